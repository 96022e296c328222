"""An interrupt ends a paid action; its answer is a new paid action that names its parent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import world as demo

from openledger.openlora import EnginePool
from openledger.registry import Status
from openledger.runtime import Client, Service, deploy_agent, register_agent
from openledger.staking import Verdict, fetch_action, verify

TARGET = f"{Path(__file__).with_name('approver.py')}:approver"


@pytest.fixture(scope="module")
def service(world: demo.World, pool: EnginePool) -> Iterator[Service]:
    from approver import approver

    registered = register_agent(
        approver,
        world.connection,
        world.people.operator,
        base=world.base.asset_id,
        adapters={},
        datanet_ids=[world.datanets["findings"].asset_id],
        stake=100 * demo.OPEN,
        engine_class=pool.engine_class,
    )
    started = deploy_agent(
        TARGET, registered, world.connection, world.people.operator, pool, world.trained.base
    )
    yield started
    started.close()


def call(world: demo.World, service: Service, who: Any, value: Any, **resume: Any) -> Any:
    client = Client(who, world.connection.as_(who))
    operator = service.operator
    return client.call(operator, operator.agent_id, value, operator.agent.price, **resume)


def test_an_interrupt_is_answered_by_a_new_action(world: demo.World, service: Service) -> None:
    asked = call(world, service, world.people.client, 7)
    assert asked.record.status is Status.INTERRUPTED
    assert asked.output == ["send 7?"]
    thread = "0x" + asked.record.payment_id.hex()
    # Somebody else answering on the same thread does not reach it: there is nothing there to answer.
    stranger = call(world, service, world.people.auditor, "yes", thread=thread, parent=asked.cid)
    assert stranger.output != "yes, sent"
    answered = call(world, service, world.people.client, "yes", thread=thread, parent=asked.cid)
    assert answered.record.status is Status.OK
    assert answered.output == "yes, sent"
    assert fetch_action(answered.cid, world.connection.store).content.parent == asked.cid
    service.batcher.anchor()
    for receipt in (asked, answered):
        report = verify(
            receipt.cid, store=world.connection.store, ledger=world.connection.ledger, replayer=None
        )
        assert report.verdict is Verdict.VERIFIED, report.checks


def test_too_little_stake_registers_nothing(world: demo.World) -> None:
    from approver import approver

    from openledger.errors import UserError

    count = len(list(world.connection.ledger.events(world.connection.contracts.agents.events.Registered)))
    with pytest.raises(UserError, match="too little"):
        register_agent(
            approver,
            world.connection,
            world.people.operator,
            base=world.base.asset_id,
            adapters={},
            datanet_ids=[],
            stake=1,
            engine_class="none",
        )
    events = world.connection.ledger.events(world.connection.contracts.agents.events.Registered)
    assert len(list(events)) == count
