"""The honest agent's actions against the same graph on the same Ray and vLLM without any accounting.

Measures actions/s, p50 and p99, where the time goes, gas per action, and peak memory per process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "demo"))

import loop
from world import People, bars, fund, publish, train

from benchmarks._report import MemoryPeak, machine, quantiles, write_section
from openledger.registry import Connection
from openledger.runtime import Client, Job, Spent
from openledger.settings import Settings, get_settings

console = Console(highlight=False)
GROUPS = {
    "model and graph": ("execute",),
    "attribution": ("attribute",),
    "accounting": ("accept", "store", "record", "sign", "receipt"),
    "payment on-chain": ("pay",),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=60)
    parser.add_argument("--concurrency", type=int, default=10)
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
            operator, agent_id = service.operator, service.registered.agent_id
            values = [loop.questions(1, seed=i)[0] for i in range(asked.actions)]
            loop.call(world, service, values[:5], progress, "warming up")
            phases.spent.clear()

            def bare(value: object) -> float:
                paid = client.prepare(agent_id, value, operator.agent.price)
                start = time.perf_counter()
                service.runner.run(Job(value, paid.payment.signature, paid.request_hash, "bare"))
                return time.perf_counter() - start

            def full(value: object) -> float:
                paid = client.prepare(agent_id, value, operator.agent.price)
                start = time.perf_counter()
                operator.submit(paid)
                return time.perf_counter() - start

            rows = []
            for name, one in (
                ("no accounting", bare),
                ("OpenLedger", full),
                ("no accounting", bare),
                ("OpenLedger", full),
            ):
                task = progress.add_task(name, total=None)
                with ThreadPoolExecutor(asked.concurrency) as threads:
                    start = time.perf_counter()
                    took = list(threads.map(one, values))
                    rows.append((name, len(values) / (time.perf_counter() - start), *quantiles(took)))
                progress.update(task, total=1, completed=1)
            headers = service.batcher.anchor()
            connection.chain.advance(connection.ledger.parameter("challengeWindow") + 1)
            service.batcher.settle()
            service.close()
            pool.close()
        anchor_gas = _gas(connection, connection.contracts.log.events.Anchored, agentId=agent_id)
        used = connection.contracts.token.events.AuthorizationUsed
        pay_gas = _gas(connection, used, authorizer=client.address)
    write_section("Runtime", _report(asked, rows, phases, headers, anchor_gas, pay_gas, memory))


def _gas(connection: Connection, event: object, **where: object) -> list[int]:
    chain = connection.chain
    logs = chain.logs(event, connection.contracts.deployment.block, where=where)
    return [int(chain.w3.eth.get_transaction_receipt(log["transactionHash"])["gasUsed"]) for log in logs]


def _report(
    asked: argparse.Namespace,
    rows: list[tuple[str, float, float, float, float]],
    phases: Phases,
    headers: Sequence[object],
    anchor_gas: list[int],
    pay_gas: list[int],
    memory: MemoryPeak,
) -> str:
    lines = [
        f"`python -m benchmarks.runtime --actions {asked.actions} --concurrency {asked.concurrency}` on {machine()}.",
        f"Each action is two model calls on two adapters; {asked.actions} actions, {asked.concurrency} at once, each",
        "variant run twice in turn. The peer is the same graph on the same Ray workers and vLLM pool.",
        "",
        "| variant | actions/s | p50 ms | p99 ms | sd ms |",
        "|---|---|---|---|---|",
        *(f"| {name} | {rate:.1f} | {p50:.0f} | {p99:.0f} | {sd:.0f} |" for name, rate, p50, p99, sd in rows),
        "",
        "| part of an action | wall p50 ms | wall p99 ms | CPU p50 ms | share of wall time |",
        "|---|---|---|---|---|",
    ]
    whole = sum(spent.wall for group in GROUPS.values() for p in group for spent in phases.spent[p])
    for name, parts in GROUPS.items():
        wall = [
            sum(s.wall for s in values) for values in zip(*(phases.spent[p] for p in parts), strict=False)
        ]
        cpu = [sum(s.cpu for s in values) for values in zip(*(phases.spent[p] for p in parts), strict=False)]
        p50, p99, _ = quantiles(wall)
        lines.append(
            f"| {name} | {p50:.1f} | {p99:.1f} | {quantiles(cpu)[0]:.1f} | {sum(wall) / whole:.1%} |"
        )
    count = len(phases.spent["execute"]) + 5
    lines += [
        "",
        f"Anchoring: {sum(anchor_gas):,} gas for {count} actions in {len(headers)} batch(es), "
        f"{sum(anchor_gas) / count:.0f} gas an action at this batch size (see docs/contracts.md for 1,024 and 4,096); "
        f"payment {sorted(pay_gas)[len(pay_gas) // 2]:,} gas each (median).",
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


if __name__ == "__main__":
    main()
