"""Two processes serve one agent from one outbox: whichever is first, there is one record, one receipt and one payment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from shops import CLIENT, OWNER, PRICE, Shop, World, open_world

from openledger.agents import Outcome
from openledger.registry import Status
from openledger.runtime import Job, Outbox, PaidRequest, Receipt, State


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    make = tmp_path_factory.mktemp
    with open_world(make("home"), make("stranger"), make("outboxes")) as world:
        yield world


@dataclass
class Overtaken:
    """A worker that is slow: meanwhile the other process does all of it. Its own answer is another."""

    other: Shop
    paid: PaidRequest
    receipt: Receipt | None = None

    def run(self, job: Job) -> Outcome:
        self.receipt = self.other.operator.submit(self.paid)
        return Outcome(Status.OK, {"y": "late"}, (), 1, 2)


def test_the_slower_one_gives_the_receipt_of_the_faster(world: World) -> None:
    fast = world.open()
    paid = world.client.prepare(fast.agent_id, 3, PRICE)
    slow_runner = Overtaken(fast, paid)
    outbox = Outbox(world.folder / f"{fast.agent_id}.db")
    slow = world._serve(fast.agent_id, fast.manifest, outbox, fast.epoch, fast.key, slow_runner, OWNER)
    held = world.watcher.balance(world.account(CLIENT).address)
    receipt = slow.operator.submit(paid)
    assert receipt == slow_runner.receipt
    assert receipt.output == 6
    assert held - world.watcher.balance(world.account(CLIENT).address) == PRICE
    assert [row.nonce for row in fast.outbox.in_state(fast.agent_id, State.SIGNED)] == [0]
    outbox.close()
