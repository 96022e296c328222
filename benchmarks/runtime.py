"""An agent's actions against the same graph on the same Ray and vLLM without any accounting.

Measures what accounting and payment add to an action in time and processor time, actions/s at 1 to 256 at once, gas per
action, and peak memory per process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "demo"))

import loop
from world import People, bars, fund, publish, train

from benchmarks._report import MemoryPeak, cpu_seconds, machine, quantiles, write_section
from openledger.registry import Connection
from openledger.runtime import Client, Job, Service, Spent
from openledger.settings import Settings, get_settings

console = Console(highlight=False)
BARE, RECORDED, PAID = "no accounting", "recorded", "paid and recorded"
PHASES = {
    "model and graph": ("execute",),
    "attribution": ("attribute",),
    "record": ("store", "record", "sign", "receipt"),
    "payment on-chain": ("pay",),
    "ticket": ("accept",),
}


class Phases:
    """What each phase took, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, list[Spent]] = defaultdict(list)
        self._lock = threading.Lock()

    def __call__(self, name: str, spent: Spent | None) -> None:
        if spent is not None:
            with self._lock:
                self.spent[name].append(spent)


@dataclass(frozen=True)
class Row:
    """One run: actions/s, seconds of each action, and of processor time an action in all processes."""

    name: str
    at_once: int
    rate: float
    took: list[float]
    cpu: float


class Variants:
    """The three ways to run one action; what a way needs beforehand is done before its clock runs."""

    def __init__(self, service: Service, client: Client) -> None:
        self._service, self._client = service, client

    def prepare(self, name: str, value: object) -> Callable[[], Any]:
        operator = self._service.operator
        paid = self._client.prepare(operator.agent_id, value, operator.agent.price)
        if name == BARE:
            job = Job(value, paid.payment.signature, paid.request_hash, "bare")
            return lambda: self._service.runner.run(job)
        if name == RECORDED:
            operator.accept(paid)
            return lambda: operator.finish(paid.payment_id)
        return lambda: operator.submit(paid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--actions", type=int, default=60, help="of each run, and at least twice as many as at once"
    )
    parser.add_argument("--concurrency", type=int, default=10, help="where the three variants are compared")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sweep", default="", help="actions at once, for throughput: 1,4,16,64,256")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="openledger-bench-"))
    settings = Settings(home=home, cache=get_settings().cache_dir)
    trained = train(settings.cache_dir)
    with Connection.open(settings) as connection:
        assert connection.devnet is not None
        people = People.of(connection.devnet, str(connection.contracts.treasury.address))
        fund(connection, people)
        world = publish(connection, people, trained)
        with MemoryPeak(connection.devnet.pid) as memory, bars() as progress:
            loop.start_ray(settings)
            pool = loop.start_pool(world)
            phases = Phases()
            service = loop.deploy(world, pool, "operator", phases)
            client = Client(people.client, connection.as_(people.client))
            loop.call(world, service, loop.questions(10), progress, "warming up")
            phases.spent.clear()
            run = Run(Variants(service, client), connection.devnet.pid, progress)
            rows = [
                run(name, asked.concurrency, asked.actions)
                for _ in range(asked.rounds)
                for name in (BARE, RECORDED, PAID)
            ]
            sweep = [
                run(name, at_once, max(asked.actions, 2 * at_once))
                for at_once in map(int, filter(None, asked.sweep.split(",")))
                for name in (BARE, RECORDED, PAID)
            ]
            service.batcher.anchor()
            connection.chain.advance(connection.ledger.parameter("challengeWindow") + 1)
            service.batcher.settle()
            service.close()
            pool.close()
        gas = _gas(connection, service.registered.agent_id, client.address)
    write_section("Runtime", _report(asked, rows, phases.spent, sweep, gas, memory))


class Run:
    """Runs a variant with so many actions at once."""

    def __init__(self, variants: Variants, chain: int, progress: Progress) -> None:
        self._variants, self._chain, self._progress = variants, chain, progress

    def __call__(self, name: str, at_once: int, count: int) -> Row:
        task = self._progress.add_task(f"{name}, {at_once} at once", total=count)
        # forty questions, again and again, the same for every variant
        values = [loop.questions(1, seed=i % 40)[0] for i in range(count)]
        with ThreadPoolExecutor(at_once) as threads:
            prepared = list(threads.map(lambda value: self._variants.prepare(name, value), values))

            def timed(action: Callable[[], Any]) -> float:
                start = time.perf_counter()
                action()
                self._progress.advance(task)
                return time.perf_counter() - start

            cpu, start = cpu_seconds(self._chain), time.perf_counter()
            took = list(threads.map(timed, prepared))
            wall = time.perf_counter() - start
            return Row(name, at_once, count / wall, took, (cpu_seconds(self._chain) - cpu) / count)


def _gas(connection: Connection, agent_id: int, payer: str) -> tuple[int, int, int, int]:
    """Of anchoring, and how many batches; of payments, and how many transactions."""
    log, token = connection.contracts.log, connection.contracts.token
    found: list[int] = []
    for event, where in (
        (log.events.Anchored, {"agentId": agent_id}),
        (token.events.AuthorizationUsed, {"authorizer": payer}),
    ):
        logs = connection.chain.logs(event, connection.contracts.deployment.block, where=where)
        sent = {bytes(one["transactionHash"]) for one in logs}
        receipts = [connection.chain.w3.eth.get_transaction_receipt(tx) for tx in sent]  # type: ignore[arg-type]
        found += [sum(int(receipt["gasUsed"]) for receipt in receipts), len(sent)]
    return found[0], found[1], found[2], found[3]


def _report(
    asked: argparse.Namespace,
    rows: Sequence[Row],
    spent: dict[str, list[Spent]],
    sweep: Sequence[Row],
    gas: tuple[int, int, int, int],
    memory: MemoryPeak,
) -> str:
    command = f"--actions {asked.actions} --concurrency {asked.concurrency} --rounds {asked.rounds}"
    if asked.sweep:
        command += f" --sweep {asked.sweep}"
    lines = [
        f"`python -m benchmarks.runtime {command}` on {machine()}.",
        f"Each action is two model calls on two adapters; {asked.actions} actions, {asked.concurrency} at once, the variants",
        f"in turn {asked.rounds} times. The peer is the same graph on the same Ray workers and vLLM pool. *Recorded* is all of an",
        "action but its payment, which was collected before the clock ran; CPU is of all processes, the chain's too.",
        "",
        "| variant | actions/s | p50 ms | p99 ms | sd ms | CPU ms an action |",
        "|---|---|---|---|---|---|",
        *map(_line, rows),
        "",
        *_ratios(rows),
        "",
        "| part of an action | CPU ms of its thread, mean an action over all runs |",
        "|---|---|",
    ]
    done = len(spent["execute"])
    for name, parts in PHASES.items():
        cpu = sum(one.cpu for part in parts for one in spent[part])
        lines.append(f"| {name} | {1e3 * cpu / done:.1f} |")
    if sweep:
        names = (BARE, RECORDED, PAID)
        lines += [
            "",
            "| at once | " + " | ".join(f"{name}, actions/s (p50 ms)" for name in names) + " | of the peer |",
            "|---|---|---|---|---|",
        ]
        for at_once in dict.fromkeys(row.at_once for row in sweep):
            mine = {row.name: row for row in sweep if row.at_once == at_once}
            cells = [f"{mine[name].rate:.1f} ({quantiles(mine[name].took)[0]:.0f})" for name in names]
            of = [f"{mine[name].rate / mine[BARE].rate:.2f}" for name in (RECORDED, PAID)]
            lines.append(f"| {at_once} | " + " | ".join(cells) + f" | {of[0]}, {of[1]} |")
    anchoring, batches, paying, sent = gas
    actions = sum(len(row.took) for row in (*rows, *sweep) if row.name != BARE) + 10
    lines += [
        "",
        f"Anchoring: {anchoring:,} gas for {actions} actions in {batches} batch(es), {anchoring / actions:.0f} gas an action "
        f"at this batch size (see docs/contracts.md for 1,024 and 4,096). Payment: {paying / actions:,.0f} gas an action, "
        f"{actions} in {sent} transactions.",
        "",
        f"Peak private memory: {memory.total / 2**30:.2f} GiB in all; "
        + ", ".join(
            f"{name} {used / 2**20:.0f} MiB"
            for name, used in sorted(memory.peaks.items(), key=lambda x: -x[1])[:8]
        )
        + ".",
    ]
    text = "\n".join(lines)
    console.print(text)
    return text


def _line(row: Row) -> str:
    p50, p99, sd = quantiles(row.took)
    return f"| {row.name} | {row.rate:.1f} | {p50:.0f} | {p99:.0f} | {sd:.0f} | {1e3 * row.cpu:.1f} |"


def _ratios(rows: Sequence[Row]) -> list[str]:
    """Each variant over its rounds against the peer over its own."""

    def whole(name: str) -> tuple[float, float, float]:
        mine = [row for row in rows if row.name == name]
        took = [one for row in mine for one in row.took]
        rate = len(took) / sum(len(row.took) / row.rate for row in mine)
        return rate, quantiles(took)[0], 1e3 * sum(row.cpu for row in mine) / len(mine)

    peer = whole(BARE)
    lines = []
    for name, target in ((RECORDED, " (targets 0.95, 3 %, 2 ms)"), (PAID, "")):
        rate, p50, cpu = whole(name)
        lines.append(
            f"{name.capitalize()}: {rate / peer[0]:.2f} of the peer's throughput, p50 {p50 / peer[1] - 1:+.0%}, "
            f"CPU {cpu - peer[2]:+.1f} ms an action{target}. "
        )
    return lines


if __name__ == "__main__":
    main()
