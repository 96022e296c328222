"""kill -9 of every part under 200 paid actions at once: afterwards each is settled once and the books balance.

Seeded: the same seed kills the same parts in the same order, each after so many answers. ``make chaos`` makes more of both;
``OPENLEDGER_CHAOS=ACTIONS,KILLS,SEED`` chooses.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from chaos_agent import findings
from ruin import PARTS, PATIENCE, Deployment, ask, payer_of, serve, until

from openledger import datanets
from openledger.registry import Connection, SignedRecord
from openledger.runtime import Outbox, State
from openledger.settings import Settings

ACTIONS, KILLS, SEED = map(int, os.environ.get("OPENLEDGER_CHAOS", "200,5,1").split(","))

WAIT = PATIENCE * (2 + KILLS / 5)
"""Seconds for all answers."""

pytestmark = pytest.mark.timeout(WAIT + 5 * PATIENCE)


def plan(seed: int, kills: int) -> list[str]:
    """Every part before any a second time, in random order."""
    draw, parts = random.Random(seed), []
    while len(parts) < kills:
        parts += draw.sample(PARTS, len(PARTS))
    return parts[:kills]


@dataclass
class Aftermath:
    """What was asked, what came back, and what is left."""

    deployment: Deployment
    connection: Connection
    killed: list[str]
    paid: int
    """Wei that left the client."""
    answers: list[dict[str, Any]]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    cache = Path(os.environ.get("OPENLEDGER_CACHE", Path(__file__).parents[2] / ".openledger/cache"))
    deployment = Deployment(tmp_path_factory.mktemp("chaos") / "home")
    try:
        settings = Settings(home=deployment.home, cache=cache, ipfs_api=deployment.ipfs_api)
        with Connection.open(settings) as connection:
            yield asyncio.run(live_through(deployment, connection))
    finally:
        deployment.close()


async def live_through(deployment: Deployment, connection: Connection) -> Aftermath:
    client = serve(deployment, connection)
    before = connection.ledger.balance(client.address)
    killed: list[str] = []
    answers: list[dict[str, Any]] = []
    payer = payer_of(client, connection)
    questions = [one[0] for one in datanets.shipped("audit_findings").questions()]
    async with httpx.AsyncClient(timeout=240, limits=httpx.Limits(max_connections=ACTIONS)) as http:
        asking = [
            asyncio.create_task(ask(http, deployment, payer, questions[at % len(questions)], WAIT))
            for at in range(ACTIONS)
        ]
        answered = asyncio.Semaphore(0)
        for task in asking:
            task.add_done_callback(lambda _: answered.release())
        for part in plan(SEED, KILLS):
            for _ in range(ACTIONS // (KILLS + 1)):
                await answered.acquire()
            await asyncio.to_thread(deployment.kill, part)
            killed.append(part)
        for task in asyncio.as_completed(asking):
            answers.append(await task)
    await asyncio.to_thread(settle, deployment, connection)
    return Aftermath(
        deployment, connection, killed, before - connection.ledger.balance(client.address), answers
    )


def settle(deployment: Deployment, connection: Connection) -> None:
    """The gateway anchors what is left; then the window passes and it pays everything out."""
    ledger, agent_id = connection.ledger, deployment.agent_id
    until(lambda: ledger.next_nonce(agent_id) == ACTIONS, "not all is anchored")
    time.sleep(1)
    connection.chain.advance(ledger.parameter("challengeWindow") + 60)
    escrow = ledger.payments.escrow_of(agent_id)
    until(lambda: ledger.balance(escrow) == 0, "not all is paid out")


@pytest.fixture(scope="module")
def outbox(aftermath: Aftermath) -> Iterator[Outbox]:
    domain = aftermath.connection.ledger.domain
    folder = aftermath.deployment.home / "outbox"
    opened = Outbox(folder / f"{domain.chain_id}-{domain.verifying_contract}.db")
    yield opened
    opened.close()


def test_every_part_was_killed(aftermath: Aftermath) -> None:
    assert aftermath.killed == plan(SEED, KILLS)
    assert set(aftermath.killed) == set(PARTS)


def test_every_payment_got_its_answer(aftermath: Aftermath) -> None:
    assert len(aftermath.answers) == ACTIONS
    failed = [answer for answer in aftermath.answers if answer["status"] != "ok"]
    for answer in failed:  # a part was away for too long; nothing else is an excuse
        assert answer["error"]["code"] in {"timeout", "chain.unreachable", "content"}
        assert (answer["openledger"]["charged"], answer["openledger"]["refund"]) == ("0", str(findings.price))
    assert len(failed) < ACTIONS / 2
    assert len({answer["openledger"]["receipt"] for answer in aftermath.answers}) == ACTIONS


def test_every_action_is_settled_once(aftermath: Aftermath, outbox: Outbox) -> None:
    rows = outbox.in_state(aftermath.deployment.agent_id, *State)
    until(
        lambda: all(
            row.state is State.SETTLED for row in outbox.in_state(aftermath.deployment.agent_id, *State)
        ),
        "not all is settled",
    )
    assert {row.envelope for row in rows} == {answer["openledger"]["receipt"] for answer in aftermath.answers}


def test_nonces_are_contiguous_and_no_two_records_share_one(aftermath: Aftermath) -> None:
    """What clients hold, not what the operator says."""
    ledger, store = aftermath.connection.ledger, aftermath.connection.store
    records = [
        SignedRecord.decode(store.get(cid), cid)
        for cid in (answer["openledger"]["receipt"] for answer in aftermath.answers)
    ]
    assert sorted(one.record.nonce for one in records) == list(range(ACTIONS))
    keys = {
        epoch: ledger.record_key(aftermath.deployment.agent_id, epoch)
        for epoch in {one.record.epoch for one in records}
    }
    assert all(one.signer() == keys[one.record.epoch] for one in records)
    headers = list(ledger.batches(aftermath.deployment.agent_id))
    assert sum(header.count for header in headers) == ACTIONS


def test_the_books_balance(aftermath: Aftermath) -> None:
    ledger, agent_id = aftermath.connection.ledger, aftermath.deployment.agent_id
    charged = sum(int(answer["openledger"]["charged"]) for answer in aftermath.answers)
    assert 0 < charged < ACTIONS * findings.price
    assert aftermath.paid == charged  # all the rest came back
    headers = list(ledger.batches(agent_id))
    assert sum(header.sum for header in headers) == charged
    assert ledger.balance(ledger.payments.escrow_of(agent_id)) == 0
    left = aftermath.connection.contracts.pool.functions.remaining
    assert [ledger.call(left(header.hash())) for header in headers] == [0] * len(headers)
