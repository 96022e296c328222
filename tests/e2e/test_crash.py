"""kill -9 at every step from payment to payout: afterwards no action is lost and none is paid twice."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import world as demo
from crash_child import doubler

from openledger.registry import Connection, SignedRecord
from openledger.runtime import Client, Outbox, PaidRequest, State, register_agent

PHASES = (
    "pay",
    "accept",
    "execute",
    "attribute",
    "store",
    "record",
    "sign",
    "receipt",
    "batch",
    "anchor",
    "repay",
    "settle",
)
POINTS = [f"{phase}:{edge}" for phase in PHASES for edge in ("begin", "end")]
CHILD = Path(__file__).with_name("crash_child.py")


@pytest.fixture(scope="module")
def registered(world: demo.World) -> Any:
    return register_agent(
        doubler,
        world.connection,
        world.people.operator,
        base=world.base.asset_id,
        adapters={},
        datanet_ids=[world.datanets["findings"].asset_id],
        stake=100 * demo.OPEN,
        engine_class="none",
    )


@pytest.fixture(scope="module")
def history(world: demo.World, registered: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs the child once per kill point, each time with one new paid request, then once to the end."""
    connection, people = world.connection, world.people
    folder = tmp_path_factory.mktemp("crash")
    about, requests = folder / "registered", folder / "requests"
    about.write_bytes(pickle.dumps((registered, world.trained.base)))
    client = Client(people.client, connection.as_(people.client))
    before = connection.ledger.balance(client.address)
    sent: list[PaidRequest] = []
    deaths: dict[str, int | str] = {}
    home, cache = connection.settings.home_dir, connection.settings.cache_dir
    for point in [*POINTS, "-"]:
        if point != "-":
            sent.append(client.prepare(registered.agent_id, len(sent), doubler.price, ttl=10**9))
        requests.write_bytes(pickle.dumps(sent))
        done = subprocess.run(
            [sys.executable, str(CHILD), str(home), str(cache), str(about), str(requests), point],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        deaths[point] = done.returncode if done.returncode in (0, -9) else done.stderr[-3000:]
        if point == "-":
            assert done.returncode == 0, done.stderr[-3000:]
    connection.chain.advance(connection.ledger.parameter("challengeWindow") + 1)
    last = [sys.executable, str(CHILD), str(home), str(cache), str(about), str(requests), "-"]
    subprocess.run(last, check=True, capture_output=True, timeout=900)
    outbox = Outbox(home / "crash.db")
    yield {"sent": sent, "deaths": deaths, "outbox": outbox, "before": before, "client": client}
    outbox.close()


def test_the_process_died_at_every_point(history: Any) -> None:
    assert history["deaths"] == {**dict.fromkeys(POINTS, -9), "-": 0}


def test_every_paid_action_is_settled_exactly_once(history: Any, registered: Any) -> None:
    rows = history["outbox"].in_state(registered.agent_id, *State)
    assert {row.payment_id for row in rows} == {"0x" + paid.payment_id.hex() for paid in history["sent"]}
    assert {row.state for row in rows} == {State.SETTLED}


def test_nonces_are_contiguous_and_each_signs_one_record(
    history: Any, registered: Any, connection: Connection
) -> None:
    rows = history["outbox"].in_state(registered.agent_id, State.SETTLED)
    assert [row.nonce for row in rows] == list(range(len(POINTS)))
    for row in rows:
        signed = SignedRecord.decode(connection.store.get(row.envelope), row.envelope)
        assert signed.record.nonce == row.nonce
        assert "0x" + signed.record.struct_hash().hex() == row.struct_hash
        assert signed.signature.hex() == row.signature
    assert connection.ledger.next_nonce(registered.agent_id) == len(POINTS)


def test_the_client_paid_each_action_once_and_the_escrow_is_empty(
    history: Any, registered: Any, connection: Connection
) -> None:
    spent = history["before"] - connection.ledger.balance(history["client"].address)
    assert doubler.tariff is not None
    assert spent == len(POINTS) * doubler.tariff.base
    assert connection.ledger.balance(connection.ledger.payments.escrow_of(registered.agent_id)) == 0


def test_what_was_anchored_adds_up_to_what_was_charged(
    history: Any, registered: Any, connection: Connection
) -> None:
    headers = list(connection.ledger.batches(registered.agent_id))
    assert doubler.tariff is not None
    assert sum(header.sum for header in headers) == len(POINTS) * doubler.tariff.base
    assert sum(header.count for header in headers) == len(POINTS)
