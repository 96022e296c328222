"""The content store is away when an action has run: nothing is lost, and nothing is run again for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from shops import PRICE, Calls, World, open_world

from openledger.agents import Outcome
from openledger.errors import ContentError
from openledger.registry import Status
from openledger.runtime import Job


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    make = tmp_path_factory.mktemp
    with open_world(make("home"), make("stranger"), make("outboxes")) as world:
        yield world


@dataclass
class Counted:
    """A worker whose tools move something in the world each time they run."""

    calls: Calls
    ran: int = 0

    def run(self, job: Job) -> Outcome:
        self.ran += 1
        return self.calls.run(job)


@pytest.fixture
def away(world: World) -> Iterator[None]:
    """No block can be written, or read."""
    root, aside = world.store.root, world.store.root.with_name("aside")
    root.rename(aside)
    root.write_text("no directory")
    yield
    if not root.is_dir():
        back(world)


def back(world: World) -> None:
    root = world.store.root
    root.unlink()
    root.with_name("aside").rename(root)


def test_an_action_that_cannot_be_recorded_now_is_run_once(
    world: World, request: pytest.FixtureRequest
) -> None:
    runner = Counted(Calls(world.model_id))
    shop = world.open(runner)
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    shop.operator.accept(paid)
    request.getfixturevalue("away")
    for _ in range(3):
        with pytest.raises(ContentError):
            shop.operator.finish(paid.payment_id)
    back(world)
    receipt = shop.operator.finish(paid.payment_id)
    assert runner.ran == 1
    assert receipt.record.status is Status.OK


def test_nor_is_it_given_up_once_it_has_run(world: World, request: pytest.FixtureRequest) -> None:
    runner = Counted(Calls(world.model_id))
    shop = world.open(runner)
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    shop.operator.accept(paid)
    request.getfixturevalue("away")
    with pytest.raises(ContentError):
        shop.operator.finish(paid.payment_id)
    back(world)
    assert shop.operator.give_up(paid.payment_id, "too late").record.status is Status.OK
    assert runner.ran == 1
