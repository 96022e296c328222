"""A worker that is killed is restarted by Ray, and its action runs again: one record, paid once."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import loop
import ray
from ruin import until

from openledger.registry import Status
from openledger.staking import Verdict, verify


def worker_of(runner: Any) -> int:
    """Its process; 0 while Ray starts it again."""
    (worker,) = runner.workers
    try:
        return int(ray.get(worker.pid.remote(), timeout=900))
    except ray.exceptions.RayActorError:
        return 0


def test_a_killed_worker_comes_back_and_nothing_is_lost(stack: Any) -> None:
    operator, runner, ledger = stack.honest.operator, stack.honest.runner, stack.world.connection.ledger
    asked = loop.questions(8, seed=3)
    before = ledger.balance(stack.client.address)
    first = worker_of(runner)
    with ThreadPoolExecutor(8) as threads:
        running = [
            threads.submit(stack.client.call, operator, operator.agent_id, value, operator.agent.price)
            for value in asked
        ]
        until(
            lambda: (
                any(worker.load for worker in runner._fleet.workers) or all(one.done() for one in running)
            ),
            "none is being executed",
        )
        os.kill(first, signal.SIGKILL)
        receipts = [one.result(timeout=900) for one in running]
    until(lambda: worker_of(runner) not in (0, first), "the worker does not come back")
    assert {receipt.record.status for receipt in receipts} == {Status.OK}
    assert len({receipt.record.nonce for receipt in receipts}) == len(asked)
    assert before - ledger.balance(stack.client.address) == len(asked) * operator.agent.price
    stack.honest.batcher.anchor()
    connection = stack.world.connection
    report = verify(receipts[0].cid, store=connection.store, ledger=ledger, replayer=lambda _base: stack.pool)
    assert report.verdict is Verdict.VERIFIED
