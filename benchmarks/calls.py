"""What a call to a worker costs: of a Ray actor, as agents' workers are, and through Ray Serve's handle.

``python -m benchmarks.calls``. Milliseconds of CPU a call in all processes of the cluster, and of wall time, for calls one
after another and 16 at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import psutil
import ray

from benchmarks import _peer

CALLS = 2_000


class Echo:
    async def run(self, value: bytes) -> bytes:
        return value

    async def __call__(self, value: bytes) -> bytes:
        return value


def cpu() -> float:
    """Seconds of processor time of this process and all it started, Ray's daemons included."""
    me = psutil.Process()
    spent = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def cost(call: Callable[[bytes], Any], threads: int) -> dict[str, float]:
    value = bytes(1_000)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, [value] * 200))
        idle, began = cpu(), time.perf_counter()
        time.sleep(2)
        rate = (cpu() - idle) / (time.perf_counter() - began)  # what Ray spends on nothing
        spent, began = cpu(), time.perf_counter()
        list(pool.map(call, [value] * CALLS))
        wall = time.perf_counter() - began
        busy = cpu() - spent - rate * wall
    return {"cpu_ms": 1000 * busy / CALLS, "wall_ms": 1000 * wall / CALLS, "idle_cpu": rate}


def measure() -> dict[str, Any]:
    from ray import serve

    ray.init("local", include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    found: dict[str, Any] = {}
    actor = ray.remote(Echo).options(num_cpus=0, max_concurrency=16).remote()
    for threads in (1, 16):
        found[f"actor, {threads} at once"] = cost(lambda v: ray.get(actor.run.remote(v)), threads)
    serve.start(proxy_location="Disabled")
    deployment = serve.deployment(
        Echo,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=16,
        autoscaling_config={"min_replicas": 1, "max_replicas": 1, "target_ongoing_requests": 16},
    )
    handle = serve.run(deployment.bind(), name="echo", route_prefix=None)
    for threads in (1, 16):
        found[f"serve, {threads} at once"] = cost(lambda v: handle.remote(v).result(), threads)
    return found


def main() -> None:
    if find_spec("grpc_reflection") is not None:
        print(json.dumps(measure()))
        return
    from benchmarks.openlora import serve_llm  # an environment that has what Serve needs

    print(json.dumps(_peer.ask("calls", {}, serve_llm()), indent=1))


if __name__ == "__main__":
    main()
