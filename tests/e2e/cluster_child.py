"""A Ray cluster of several nodes and agents on it, for test_cluster and test_hosts: runs what is asked and prints what was seen,
as JSON.

Usage: cluster_child.py FOLDER CACHE [hosts]. A process of its own, because a test session may hold another Ray.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, TypedDict
from unittest.mock import patch

from langgraph.graph import END, START, StateGraph

from openledger.agents import agent

HANG = 900.0
"""Seconds after which something has gone wrong, however slow the machine."""


class Task(TypedDict, total=False):
    folder: str
    name: str
    does: str
    done: str


def carry(task: Task) -> Task:
    """Note that it began, and where; then do what is asked."""
    import ray

    folder, name = Path(task["folder"]), task["name"]
    with (folder / "log").open("a") as log:
        log.write(f"{name} {ray.get_runtime_context().get_node_id()} {os.getpid()}\n")
    if task["does"] == "wait":
        until(lambda: (folder / "release").exists() or (folder / f"release-{name}").exists())
    elif task["does"] == "crash":
        os._exit(1)
    elif task["does"] == "gorge":
        bytearray(16 << 30)
    return {"done": f"{name} done"}


@agent("porter", price=10**16, output="done", timeout=1000)
def porter() -> Any:
    graph = StateGraph(Task)
    graph.add_node("carry", carry)
    graph.add_edge(START, "carry")
    graph.add_edge("carry", END)
    return graph


hasty = replace(porter, name="hasty", timeout=2.0)


async def spin(task: Task) -> Task:
    """Never end, and let nothing else in its process run."""
    if task["does"] == "spin":
        carry(task)
        while True:
            pass
    return {"done": f"{task['name']} done"}


@agent("spinner", price=10**16, output="done", timeout=1000)
def spinner() -> Any:
    graph = StateGraph(Task)
    graph.add_node("spin", spin)
    graph.add_edge(START, "spin")
    graph.add_edge("spin", END)
    return graph


def until(holds: Callable[[], Any], seconds: float = HANG) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.02)


TARGET = f"{Path(__file__).resolve()}:porter"
OPEN = 10**18


class Log:
    """What tasks wrote when they began."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "log").touch()

    def lines(self) -> list[tuple[str, str, str]]:
        """(name, node, process) of each beginning."""
        found = [line.split() for line in (self.folder / "log").read_text().splitlines()]
        return [(name, node, process) for name, node, process in found]

    def task(self, name: str, does: str = "wait") -> dict[str, str]:
        return {"folder": str(self.folder), "name": name, "does": does}

    def release(self, name: str = "") -> None:
        (self.folder / (f"release-{name}" if name else "release")).touch()


def moves(log: Log, cluster: Any, home: Path, cache: Path) -> dict[str, Any]:
    """Paid actions on two nodes, one of which is lost while they run; then a graph that ends its process."""
    from openledger import modelfactory
    from openledger.registry import Connection
    from openledger.runtime import Client, Scaling, deploy_agent, register_agent
    from openledger.settings import Settings

    with Connection.open(Settings(home=home, cache=cache)) as connection:
        assert connection.devnet is not None
        owner, customer = connection.devnet.accounts[3:5]
        for account in (owner, customer):
            connection.as_(account).wrap(2_000 * OPEN)
        base = connection.assets.register_model(owner, connection.store.put(b"none", "raw"))
        registered = register_agent(
            porter,
            connection,
            owner,
            base=base,
            adapters={},
            datanet_ids=[],
            stake=1_000 * OPEN,
            engine_class="none",
        )
        directory = modelfactory.ensure_base(cache)
        pair = Scaling(2, 2, num_cpus=1)
        service = deploy_agent(TARGET, registered, connection, owner, None, directory, workers=pair)
        until(lambda: service.runner.states == ["serving"] * 2)
        client = Client(customer, connection.as_(customer))
        before = connection.ledger.balance(client.address)

        def call(task: dict[str, str]) -> Any:
            return client.call(service.operator, registered.agent_id, task, porter.price)

        with ThreadPoolExecutor(5) as threads:
            running = [threads.submit(call, log.task(f"action-{at}")) for at in range(4)]
            until(lambda: len(log.lines()) == 4)
            victim = log.lines()[0][1]
            (lost,) = [node for node in cluster.worker_nodes if node.node_id == victim]
            moving = sum(node == victim for _, node, _ in log.lines())
            cluster.remove_node(lost, allow_graceful=False)
            until(lambda: len(log.lines()) == 4 + moving)
            log.release()
            receipts = [one.result(HANG) for one in running]
            alone = service.runner.states
            cluster.add_node(num_cpus=2, object_store_memory=80 << 20)
            until(lambda: service.runner.states == ["serving"] * 2)
            crashed = call(log.task("crash", "crash"))
        anchored = service.batcher.anchor()
        paid = before - connection.ledger.balance(client.address)
        begun = log.lines()
        service.close()
        return {
            "statuses": [receipt.record.status.name for receipt in receipts],
            "outputs": [receipt.output for receipt in receipts],
            "nonces": sorted(receipt.record.nonce for receipt in receipts),
            "anchored": [[header.first_nonce, header.count] for header in anchored],
            "paid": paid // porter.price,
            "on_lost_node": sorted(name for name, node, _ in begun if node == victim),
            "elsewhere": sorted(name for name, node, _ in begun if node != victim and name != "crash"),
            "states_after_loss": alone,
            "crash": [
                crashed.record.status.name,
                crashed.output["code"],
                Counter(n for n, _, _ in begun)["crash"],
            ],
        }


def runner(directory: Path, scaling: Any, target: str = TARGET) -> Any:
    from openledger.runtime import RayRunner

    return RayRunner(target, None, str(directory), {}, scaling=scaling)


def job(task: dict[str, str]) -> Any:
    from openledger.runtime import Job

    return Job(task, bytes(65), bytes(32), task["name"])


def scales(log: Log, directory: Path) -> dict[str, Any]:
    """Four tasks where a worker takes two; then two of them go on, on different workers."""
    from openledger.runtime import Scaling

    scaling = Scaling(1, 2, 2, 2, downscale_delay_s=0.5, graceful_shutdown_timeout_s=HANG, num_cpus=0.5)
    crew = runner(directory, scaling)
    first = crew.states
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(crew.run, job(log.task(f"task-{at}"))) for at in range(4)]
        until(lambda: len(log.lines()) == 4)
        busy = crew.states
        of = {process: name for name, _, process in log.lines()}
        staying = sorted(of.values())[:2]
        for name in {f"task-{at}" for at in range(4)} - set(staying):
            log.release(name)
        until(lambda: sorted(crew.states) == ["draining", "serving"])
        time.sleep(1)  # many looks at whether it has nothing left to do
        for name in staying:
            log.release(name)
        outputs = [one.result(HANG).output for one in running]
    until(lambda: crew.states == ["serving"])
    crew.close()
    return {
        "first": first,
        "busy": busy,
        "workers": len(of),
        "outputs": outputs,
        "begun": sorted(name for name, _, _ in log.lines()),
    }


def limits(log: Log, directory: Path) -> dict[str, Any]:
    """One worker with little memory: a task that wants more, between two that do not."""
    from openledger.runtime import Scaling

    crew = runner(directory, Scaling(1, 1, memory=512 << 20))
    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(crew.run, job(log.task(f"task-{at}"))) for at in range(2)]
        until(lambda: len(log.lines()) == 2)
        gorged = crew.run(job(log.task("gorge", "gorge")))
        log.release()
        outcomes = [one.result(HANG) for one in running]
    crew.close()
    return {
        "gorge": [gorged.status.name, gorged.output["code"]],
        "others": [outcome.output for outcome in outcomes],
        "begun": Counter(name for name, _, _ in log.lines()),
    }


def replaces(log: Log, directory: Path) -> dict[str, Any]:
    """A task that does not end in its agent's time, and goes on in its thread."""
    from openledger.runtime import Scaling

    crew = runner(directory, Scaling(1, 1), TARGET.replace(":porter", ":hasty"))
    (stuck,) = crew.workers
    late = crew.run(job(log.task("late")))
    until(lambda: crew.states == ["serving"] and crew.workers != [stuck])
    log.release()
    for _ in range(10):  # its time is short: the machine may stand still for as long
        after = crew.run(job(log.task("after")))
        if after.output != late.output:
            break
    crew.close()
    return {"late": [late.status.name, late.output["code"]], "after": after.output}


def rescues(log: Log, directory: Path) -> dict[str, Any]:
    """Tasks whose only worker is killed: once with a spare at hand, once when that was killed as well."""
    import ray

    from openledger.runtime import Scaling

    crew = runner(directory, Scaling(1, 1))

    def spare() -> int:
        return int(ray.get(crew._solitary._idle[0].pid.remote(), timeout=HANG))

    def lose(name: str, *others: int) -> tuple[int, Any]:
        """The process that a task was run in again, and what it gave."""
        before = len(log.lines())
        running = threads.submit(crew.run, job(log.task(name)))
        until(lambda: len(log.lines()) == before + 1)
        for process in (*others, int(log.lines()[-1][2])):  # with the last, the task looks for another
            os.kill(process, signal.SIGKILL)
        until(lambda: len(log.lines()) == before + 2)
        log.release(name)
        return int(log.lines()[-1][2]), running.result(HANG).output

    with ThreadPoolExecutor(1) as threads:
        ready = spare()
        rescuer, first = lose("first")
        until(lambda: crew.states == ["serving"])
        gone = spare()
        _, second = lose("second", gone)
    left = len(crew._solitary._idle)
    crew.close()
    return {
        "by_the_spare": rescuer == ready,
        "outputs": [first, second],
        "begun": Counter(name for name, _, _ in log.lines()),
        "spares": left,
    }


def hosts(log: Log, directory: Path) -> dict[str, Any]:
    """On the cluster of the settings: two tasks on two hosts. The test cuts one off, and lets them go on."""
    from openledger import ray_cluster
    from openledger.runtime import Scaling

    ray_cluster.connect()
    crew = runner(directory, Scaling(2, 2, num_cpus=1))
    until(lambda: crew.states == ["serving"] * 2)
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(crew.run, job(log.task(f"task-{at}"))) for at in range(2)]
        outputs = [one.result(HANG).output for one in running]
    crew.close()
    return {"outputs": outputs, "begun": log.lines()}


def blocks(log: Log, directory: Path) -> dict[str, Any]:
    """A task that blocks its whole worker, and one after it."""
    from openledger.runtime import Scaling, _worker

    patience, get, tries = 2.0, _worker._get, count(1)

    def once_begun(answer: Any, timeout: float) -> Any:
        """It has that long from when it blocks its worker: a slow machine takes a while to get there."""
        if timeout == patience:
            number = next(tries)
            until(lambda: len(log.lines()) == number)
        return get(answer, timeout)

    crew = runner(directory, Scaling(1, 1), TARGET.replace(":porter", ":spinner"))
    with patch.multiple(_worker, GRACE=patience - spinner.timeout, _get=once_begun):
        stuck = crew.run(job(log.task("stuck", "spin")))
    after = crew.run(job(log.task("after")))
    crew.close()
    return {
        "stuck": [stuck.status.name, stuck.output["code"]],
        "begun": Counter(name for name, _, _ in log.lines()),
        "after": after.output,
    }


def main() -> None:
    folder, cache = map(Path, sys.argv[1:3])
    if sys.argv[3:] == ["hosts"]:
        from openledger import modelfactory

        print(json.dumps(hosts(Log(folder / "log"), modelfactory.ensure_base(cache))))
        return
    import ray
    from ray.cluster_utils import Cluster

    from openledger import modelfactory

    small = {"object_store_memory": 80 << 20}
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    for _ in range(2):
        cluster.add_node(num_cpus=2, **small)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    directory = modelfactory.ensure_base(cache)
    told = {
        "moves": moves(Log(folder / "moves"), cluster, folder / "home", cache),
        "scales": scales(Log(folder / "scales"), directory),
        "limits": limits(Log(folder / "limits"), directory),
        "replaces": replaces(Log(folder / "replaces"), directory),
        "rescues": rescues(Log(folder / "rescues"), directory),
        "blocks": blocks(Log(folder / "blocks"), directory),
    }
    ray.shutdown()
    cluster.shutdown()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
