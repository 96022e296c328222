"""An agent that is left alone: registered once, resumed, renewed; its actions anchored, settled and finished in time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import world as demo
from crash_child import doubler

from openledger.errors import ChainError, ExecutionError, OpenLedgerError, UserError
from openledger.openlora import EnginePool
from openledger.registry import Connection, Ledger, Status
from openledger.runtime import Client, Deployment, Keeper, Keeping, Service, State, Uses, deploy_agent
from openledger.settings import Settings
from openledger.staking import DaemonLog

TARGET = f"{Path(__file__).with_name('crash_child.py').resolve()}:doubler"
LATER = 10**9


@pytest.fixture(scope="module")
def uses(world: demo.World) -> Uses:
    return Uses(world.base.asset_id, {}, [world.datanets["findings"].asset_id], world.trained.base)


@pytest.fixture(scope="module")
def service(world: demo.World, pool: EnginePool, uses: Uses) -> Iterator[Service]:
    operator = world.people.operator
    with Deployment(doubler, world.connection) as deployment:
        registered = deployment.registered(operator, uses, stake=100 * demo.OPEN, engine_class="none")
        made = deploy_agent(TARGET, registered, world.connection, operator, None, uses.directory)
        yield made
        made.close()


@pytest.fixture
def entries() -> list[Any]:
    return []


@pytest.fixture
def keep(world: demo.World, service: Service, entries: list[Any], tmp_path: Path) -> Callable[..., Keeper]:
    def make(
        ledger: Ledger | None = None, tell: Callable[[Any], None] = entries.append, **when: float
    ) -> Keeper:
        mine = ledger or world.connection.as_(world.people.operator)
        return Keeper(service, mine, DaemonLog(tell=tell), Keeping(**when), health=tmp_path / "health.json")

    return make


def call(world: demo.World, service: Service, n: int) -> Any:
    client = Client(world.people.client, world.connection.as_(world.people.client))
    return client.call(service.operator, service.operator.agent_id, n, doubler.price)


# -- registration ---------------------------------------------------------------------------------


def test_a_deployment_is_registered_once_and_renewed_by_an_epoch(world: demo.World, uses: Uses) -> None:
    connection, operator = world.connection, world.people.operator
    stayer = replace(doubler, name="stayer")

    def deploy(**changes: Any) -> Any:
        with Deployment(stayer, connection) as deployment:
            used = replace(uses, **changes)
            return deployment.registered(operator, used, stake=100 * demo.OPEN, engine_class="none")

    first = deploy()
    assert connection.ledger.stake_of(first.agent_id) == 100 * demo.OPEN
    assert deploy() == first
    changed = deploy(datanet_ids=[])
    assert (changed.agent_id, changed.epoch) == (first.agent_id, first.epoch + 1)
    assert changed.manifest.datanets == ()
    with Deployment(stayer, connection) as deployment:
        assert deployment.agent_id == first.agent_id
        with pytest.raises(UserError, match="another process"):
            Deployment(stayer, connection)
        with pytest.raises(UserError, match="belongs to"):
            deployment.registered(world.people.client, uses, stake=100 * demo.OPEN, engine_class="none")


def test_a_registration_that_was_interrupted_is_completed(world: demo.World, uses: Uses) -> None:
    connection, operator = world.connection, world.people.operator
    begun = replace(doubler, name="begun")
    agent_id = connection.agents.register(operator, begun.name, begun.name)
    with Deployment(begun, connection) as deployment:
        (deployment.folder / "agent.json").write_text(json.dumps({"agentId": agent_id}))
    with Deployment(begun, connection) as deployment:
        made = deployment.registered(operator, uses, stake=100 * demo.OPEN, engine_class="none")
    assert made.agent_id == agent_id
    assert connection.ledger.stake_of(agent_id) == 100 * demo.OPEN
    assert int(connection.agents.get(agent_id).escrow, 16)


# -- what is kept ---------------------------------------------------------------------------------


def test_actions_are_anchored_together_and_settled_when_final(
    world: demo.World, service: Service, keep: Callable[..., Keeper], entries: list[Any], tmp_path: Path
) -> None:
    ledger, agent_id = world.connection.ledger, service.operator.agent_id
    first = ledger.next_nonce(agent_id)
    patient = keep(anchor_after=LATER, settle_every=LATER)
    patient.run()  # nothing is signed: nothing is due
    call(world, service, 1)
    call(world, service, 2)
    assert ledger.next_nonce(agent_id) == first
    keep(anchor_after=0, settle_every=LATER).run()
    assert ledger.next_nonce(agent_id) == first + 2
    assert [entry.event for entry in entries] == ["anchored"]
    world.connection.chain.advance(ledger.parameter("challengeWindow") + 1)
    keep(settle_every=0).run()
    assert entries[-1].event == "settled"
    assert not service.outbox.batches(agent_id, State.ANCHORED)


def test_an_accepted_action_that_nobody_asks_for_is_finished_before_its_deadline(
    world: demo.World, service: Service, keep: Callable[..., Keeper]
) -> None:
    ledger, agent_id = world.connection.ledger, service.operator.agent_id
    client = Client(world.people.client, world.connection.as_(world.people.client))
    paid = client.prepare(agent_id, 21, doubler.price, ttl=10**9)
    service.operator.accept(paid)
    keeper, key = keep(anchor_after=0, settle_every=LATER), "0x" + paid.payment_id.hex()
    keeper.run()
    assert service.outbox.get(key).state is State.ACCEPTED  # its client may still ask
    world.connection.chain.advance(ledger.max_anchor_lag * 6 // 10)
    keeper.run()
    assert service.outbox.get(key).state is State.SIGNED
    keeper.run()
    assert service.outbox.get(key).state is State.ANCHORED


def test_with_the_chain_away_it_tries_again_and_raises_the_alarm(
    world: demo.World,
    service: Service,
    keep: Callable[..., Keeper],
    entries: list[Any],
    tmp_path: Path,
) -> None:
    with Connection.open(
        Settings(home=tmp_path / "other", cache=world.connection.settings.cache_dir)
    ) as gone:
        away = gone.ledger
    call(world, service, 3)
    health, told, enough = tmp_path / "health.json", [], threading.Event()

    def tell(entry: Any) -> None:
        """Its thread says what failed, and then how it stands: here it still stands as it did after the pass before."""
        entries.append(entry)
        if entry.event == "away" and health.exists():
            told.append(json.loads(health.read_text()))
        if [entry.event for entry in entries].count("away") == 3:
            enough.set()

    keeper = keep(away, tell, every=0.05, alarm=10**9)
    with pytest.raises(ChainError):
        keeper.run()
    keeper.start()
    assert enough.wait(600)
    keeper.close()  # the service's own connection is fine: what is signed is anchored
    events = [entry.event for entry in entries]
    assert events.count("away") >= 3
    assert events.count("alarm") == 1
    assert events[-1] == "anchored"
    assert [one["failures"] for one in told] == list(range(1, events.count("away")))
    assert {one["alarms"] for one in told} == {1}


def test_deadlines_are_told_between_two_passes(
    keep: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray forgets what is not told for twenty seconds; a pass that failed may be tried again after ten minutes."""
    monkeypatch.setattr("openledger.runtime._keeper.REPORT", 0.02)
    keeper, told = keep(every=600), []
    monkeypatch.setattr(keeper._metrics._left, "set", told.append)
    keeper.start()
    ends = time.monotonic() + 600
    while len(told) < 5 and time.monotonic() < ends:
        time.sleep(0.02)
    keeper.close()
    assert len(told) >= 5
    assert told == sorted(told, reverse=True)


def test_it_outlives_an_outbox_that_is_away(
    service: Service, keep: Callable[..., Keeper], entries: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise OpenLedgerError("the outbox could not be written or read", code="outbox")

    keeper = keep(every=0.05)
    with monkeypatch.context() as broken:
        broken.setattr(service.outbox, "in_state", away)
        keeper.start()
        ends = time.monotonic() + 600
        while not entries and time.monotonic() < ends:
            time.sleep(0.02)
    assert [entry.fields["code"] for entry in entries[:1]] == ["outbox"]
    time.sleep(0.2)
    assert keeper._thread.is_alive()
    keeper.close()


def test_what_no_worker_runs_is_paid_back_before_its_deadline(
    world: demo.World, service: Service, keep: Callable[..., Keeper], entries: list[Any]
) -> None:
    """Last: it stops the workers for good."""
    ledger, agent_id = world.connection.ledger, service.operator.agent_id
    client = Client(world.people.client, world.connection.as_(world.people.client))
    paid = client.prepare(agent_id, 4, doubler.price, ttl=10**9)
    service.operator.accept(paid)
    key, held = "0x" + paid.payment_id.hex(), ledger.balance(client.address)
    service.runner.close()
    keeper = keep(anchor_after=0, settle_every=LATER, alarm=900)
    world.connection.chain.advance(ledger.max_anchor_lag - 1200)
    with pytest.raises(ExecutionError, match="stopped"):  # there is time: they may come back
        keeper.run()
    assert service.outbox.get(key).state is State.ACCEPTED
    world.connection.chain.advance(400)
    keeper.run()
    keeper.run()
    assert [entry.event for entry in entries] == ["gaveUp", "anchored"]
    receipt = service.operator.finish(paid.payment_id)  # asked for now, it says what became of it
    assert receipt.record.status is Status.FAILED
    assert "stopped" in receipt.output["error"]
    assert ledger.balance(client.address) == held + doubler.price
    assert service.outbox.get(key).state is State.ANCHORED
