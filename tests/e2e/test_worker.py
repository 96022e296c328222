"""A worker that is killed is restarted by Ray, and its action runs again: one record, paid once."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import loop
import ray

from openledger.registry import Status
from openledger.staking import Verdict, verify


def kill_worker(stack: Any) -> int:
    runner = stack.honest.runner
    ends = time.monotonic() + 60
    while runner.states != ["serving"] and time.monotonic() < ends:
        time.sleep(0.05)
    (worker,) = runner.workers
    pid: int = ray.get(worker.pid.remote(), timeout=60)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_worker_comes_back_and_nothing_is_lost(stack: Any) -> None:
    operator, ledger = stack.honest.operator, stack.world.connection.ledger
    asked = loop.questions(8, seed=3)
    before = ledger.balance(stack.client.address)
    with ThreadPoolExecutor(8) as threads:
        running = [
            threads.submit(stack.client.call, operator, operator.agent_id, value, operator.agent.price)
            for value in asked
        ]
        time.sleep(0.3)  # some are being executed now
        killed = kill_worker(stack)
        receipts = [one.result(timeout=200) for one in running]
    assert kill_worker(stack) != killed
    assert {receipt.record.status for receipt in receipts} == {Status.OK}
    assert len({receipt.record.nonce for receipt in receipts}) == len(asked)
    assert before - ledger.balance(stack.client.address) == len(asked) * operator.agent.price
    stack.honest.batcher.anchor()
    connection = stack.world.connection
    report = verify(receipts[0].cid, store=connection.store, ledger=ledger, replayer=lambda _base: stack.pool)
    assert report.verdict is Verdict.VERIFIED
