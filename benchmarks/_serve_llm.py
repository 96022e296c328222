"""Ray Serve LLM under the same work: ``python -m benchmarks._serve_llm`` with a JSON description, figures as JSON.

An application as ``build_openai_app`` makes it, one replica and one ingress, asked over HTTP for ``base:<adapter>``
with streaming on; with ``direct``, by its direct streaming through HAProxy. The engine's arguments are those of plain
vLLM, but on a CPU it runs in processes of its own, whatever it is told. Adapters come from a paid cloud only: what
``_bucket`` has answers as S3 there, nothing of Ray's is changed. CPU seconds and memory (shared pages once) are those
of all its processes, without the asking one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks._bucket import BUCKET, bucket
from benchmarks._serve import ENGINE, OUTPUT, Work, environment, figures, prompt

LIMIT = 1800  # seconds for everything, and two minutes to end
CACHE = Path("/tmp/ray/llm/lora/cache")  # where Ray Serve LLM downloads adapters to, whatever it is told


@contextmanager
def serving(work: Work, options: dict[str, Any], direct: bool) -> Iterator[tuple[str, Sequence[str]]]:
    """The address of the running application and the models it has, one for each adapter; no process outlives it."""
    run = uuid.uuid4().hex[:8]
    names = [f"{run}-{at}" for at in range(len(work.adapters))]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        bucket(dict(zip(names, work.adapters, strict=True))) as cloud,
    ):
        settings(folder, cloud, direct)
        import psutil
        import ray
        from ray import serve
        from ray.serve.llm import LLMConfig, build_openai_app

        config = LLMConfig(
            model_loading_config={"model_id": "base", "model_source": work.base},
            accelerator_config={"kind": "cpu"},
            lora_config={"dynamic_lora_loading_path": BUCKET, "max_num_adapters_per_replica": len(names)},
            deployment_config={"num_replicas": 1, "ray_actor_options": {"num_cpus": 0}},
            log_engine_metrics=False,
            engine_kwargs=ENGINE | options,
        )
        try:
            quiet = {"log_to_driver": False, "logging_level": "error", "include_dashboard": False}
            ray.init(address="local", object_store_memory=100 << 20, _temp_dir=folder, **quiet)
            port = free_port()
            silent = {"log_level": "ERROR", "enable_access_log": False}
            serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=silent)
            ingress = {} if direct else {"ingress_deployment_config": {"num_replicas": 1}}
            app = build_openai_app({"llm_configs": [config]} | ingress)
            serve.run(app, logging_config=silent)
            yield f"http://127.0.0.1:{port}/v1/completions", [f"base:{name}" for name in names]
        finally:
            signal.alarm(120)
            ours = descendants()
            try:
                if ray.is_initialized():
                    serve.shutdown()
                    ray.shutdown()
            finally:
                for left in psutil.wait_procs(ours, timeout=20)[1]:
                    left.kill()
                for cached in CACHE.glob(f"{run}-*"):
                    shutil.rmtree(cached, ignore_errors=True)
                    cached.unlink(missing_ok=True)


def settings(folder: str, cloud: str, direct: bool) -> None:
    """What Ray reads from the environment as it is imported; HAProxy's ports and files are the same for all, if left."""
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": cloud,
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_RPC_BASE_PATH": folder,
    }
    if direct:
        os.environ |= {
            "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
            "RAY_SERVE_INGRESS_REQUEST_ROUTER_FORWARD_BODY": "1",
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
            "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        }


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def descendants() -> list[Any]:
    import psutil

    found: list[Any] = psutil.Process().children(recursive=True)
    return found


def cpu_seconds(name: str) -> dict[int, float]:
    import psutil

    found = {}
    for one in descendants():
        with suppress(psutil.NoSuchProcess):
            if one.name().startswith(name):
                found[one.pid] = float(sum(one.cpu_times()[:2]))
    return found


def meter(name: str = "") -> Callable[[], float]:
    """CPU seconds that the processes of that name spend from now on; one that ends meanwhile is not counted."""
    before = cpu_seconds(name)
    return lambda: sum(now - before.get(pid, 0.0) for pid, now in cpu_seconds(name).items())


def memory() -> float:
    return float(sum(one.memory_full_info().pss for one in descendants()))


async def ask(
    url: str, models: Sequence[str], requests: Sequence[int], due: Callable[[int], float] = lambda _: 0.0
) -> list[float]:
    """Seconds from ``due`` to the first token of each request."""
    import aiohttp

    began = time.perf_counter()

    async def one(session: aiohttp.ClientSession, at: int, which: int) -> float:
        body = {
            "model": models[which],
            "prompt": prompt(at),
            "max_tokens": OUTPUT,
            "temperature": 0.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        first, last = 0.0, b""
        await asyncio.sleep(due(at))
        async with session.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    first, last = first or time.perf_counter() - began - due(at), line
        assert json.loads(last[6:])["usage"]["completion_tokens"] == OUTPUT, last
        return first

    every, limit = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(connector=every, timeout=limit) as session:
        return await asyncio.gather(*(one(session, at, which) for at, which in enumerate(requests)))


def serve_llm(work: Work, options: dict[str, Any]) -> dict[str, Any]:
    direct = options.pop("direct", False)
    with serving(work, options, direct) as (url, models):
        used = tuple(dict.fromkeys(work.requests))
        for _ in range(60):  # ready is said before HAProxy knows the router, which adapters need
            with suppress(AssertionError):
                asyncio.run(ask(url, models, used[:1]))
                break
            time.sleep(1)
        asyncio.run(ask(url, models, used))
        began, spent, engine = time.perf_counter(), meter(), meter("VLLM::")
        first = asyncio.run(ask(url, models, work.requests, work.due))
        found = figures(began, 0.0, first, len(work.requests), spent, memory)
        found["engine_tokens_per_cpu_second"] = len(work.requests) * OUTPUT / engine()
        return found


def stop(*_: Any) -> None:
    raise TimeoutError(f"not done in {LIMIT} seconds, or told to end")


if __name__ == "__main__":
    environment()
    for told in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(told, stop)
    signal.alarm(LIMIT)
    asked = json.loads(sys.stdin.read())
    work = Work(asked["base"], tuple(asked["adapters"]), tuple(asked["requests"]), asked["rate"])
    print(json.dumps(serve_llm(work, asked["options"])))
