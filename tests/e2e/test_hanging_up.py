"""A metered answer is streamed from the model, and its client hangs up: it pays for what it was given, and the record of that
holds as any other does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import loop
import openai
import pytest
import world as demo
from listening import listening
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header

from openledger.openlora import EnginePool
from openledger.registry import ActionRecord, ModelCallStep, Tariff
from openledger.runtime import Service, State, deploy_agent, register_agent
from openledger.runtime.gateway import Keys, TokenStreams, create_app, model_agent, register_open
from openledger.staking import Action, Verdict, fetch_action, verify

PRICE = 10**17
TARIFF = Tariff(prompt=10**12, output=10**13, base=10**15)
LONG = 900
"""Tokens asked for: many more than are told before the gateway knows that its client has gone."""


@dataclass
class Place:
    """A gateway over two agents of the same model, one of them metered."""

    url: str
    world: demo.World
    pool: EnginePool
    metered: Service
    exact: Service
    keys: Keys

    def balance(self, account: str) -> int:
        return self.world.connection.ledger.balance(account)

    def pays(self, body: dict[str, Any]) -> dict[str, str]:
        """The header that pays for a completion."""
        asked = httpx.post(f"{self.url}/v1/completions", json=body, timeout=600)
        required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
        client, contracts = x402ClientSync(), self.world.connection.contracts
        register_open(
            client,
            self.world.people.client,
            network="eip155:*",
            token=str(contracts.token.address),
            most=PRICE,
            now=self.world.connection.ledger.now,
        )
        return {"PAYMENT-SIGNATURE": encode_payment_signature_header(client.create_payment_payload(required))}

    def told(self, body: dict[str, Any], headers: dict[str, str], pieces: int) -> tuple[str, str]:
        """Listen to so many pieces of text, then hang up: the payment's id, and what was said."""
        said = ""
        with httpx.stream(
            "POST", f"{self.url}/v1/completions", json=body, headers=headers, timeout=600
        ) as reply:
            assert reply.status_code == 200, reply.read()
            payment_id = reply.headers["X-OpenLedger-Payment"]
            for line in reply.iter_lines() if pieces else ():
                event = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
                if event.get("choices") and (text := event["choices"][0]["text"]):
                    said, pieces = said + text, pieces - 1
                    if not pieces:
                        break
        return payment_id, said

    def ended(self, service: Service, payment_id: str) -> Action:
        deadline = time.monotonic() + 900
        while service.outbox.get(payment_id).state is not State.SIGNED and time.monotonic() < deadline:
            time.sleep(0.05)
        envelope = service.outbox.get(payment_id).envelope
        assert envelope is not None
        return fetch_action(envelope, self.world.connection.store)

    def text(self, action: Action) -> str:
        return str(self.pool.tokenizer.decode(call_of(action).output_tokens, skip_special_tokens=True))


def call_of(action: Action) -> ModelCallStep:
    [step] = action.steps
    assert isinstance(step, ModelCallStep)
    return step


def body(model: str, prompt: str) -> dict[str, Any]:
    return {"model": model, "prompt": prompt, "max_tokens": LONG, "temperature": 1.5, "stream": True}


def hung_up(place: Place, prompt: str, pieces: int) -> tuple[dict[str, Any], dict[str, str], Action, str]:
    """An action that its client left: what was asked, how it was paid, its record, and what was said. The model may end an
    answer before the gateway knows that nobody listens; then another is asked for."""
    for _ in range(10):
        asked = body("metered", prompt)
        headers = place.pays(asked)
        payment_id, said = place.told(asked, headers, pieces)
        action = place.ended(place.metered, payment_id)
        if call_of(action).finish == "length" and len(call_of(action).output_tokens) < LONG:
            return asked, headers, action, said
    raise AssertionError("no answer ended where its client left")


@pytest.fixture(scope="module")
def place(world: demo.World, pool: EnginePool) -> Iterator[Place]:
    connection, operator = world.connection, world.people.operator
    streams, services = TokenStreams(pool), []
    for declared in (
        model_agent("metered", None, price=PRICE, tariff=TARIFF),
        model_agent("whole", None, price=PRICE),
    ):
        registered = register_agent(
            declared,
            connection,
            operator,
            base=world.base.asset_id,
            adapters={},
            datanet_ids=[],
            stake=loop.STAKE,
            engine_class=pool.engine_class,
        )
        services.append(
            deploy_agent(declared, registered, connection, operator, streams.generator, world.trained.base)
        )
    keys = Keys.open(connection, operator)
    try:
        with listening(create_app(services, connection, keys=keys, streams=streams)) as url:
            yield Place(url, world, pool, *services, keys)
    finally:
        keys.close()
        for service in services:
            service.close()
        streams.close()


def test_whoever_stays_pays_for_all_tokens_by_the_tariff(place: Place) -> None:
    secret, key = place.keys.create("stays", PRICE)
    ledger = place.world.connection.as_(place.world.people.client)
    ledger.send(place.world.connection.contracts.token.functions.transfer(key.payer, PRICE))
    chunks = list(
        openai.OpenAI(base_url=f"{place.url}/v1", api_key=secret).completions.create(
            model="metered",
            prompt="The audit of",
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    usage, told = chunks[-1].usage, chunks[-2].model_extra["openledger"]
    assert usage is not None
    assert told["charged"] == str(TARIFF.of(usage.prompt_tokens, usage.completion_tokens))
    assert place.keys.get(key.id).spent == int(told["charged"])
    place.metered.batcher.anchor()
    assert place.balance(key.payer) == PRICE - int(told["charged"])


def test_whoever_hangs_up_pays_for_what_was_told_and_the_record_of_it_is_verified(place: Place) -> None:
    client = place.world.people.client
    asked, headers, action, said = hung_up(place, "The oracle can", 2)
    call = call_of(action)
    assert call.sampling.max_tokens == len(call.output_tokens)
    assert place.text(action).startswith(said.rstrip("\ufffd"))
    assert action.record.charge == TARIFF.of(len(call.prompt_tokens), len(call.output_tokens))
    held = place.balance(client.address)
    place.metered.batcher.anchor()
    assert place.balance(client.address) - held >= PRICE - action.record.charge > 0
    report = verify(
        action.cid,
        store=place.world.connection.store,
        ledger=place.world.connection.ledger,
        replayer=lambda base: place.pool,
    )
    assert report.verdict is Verdict.VERIFIED, report.summary
    assert report.tokens_replayed == len(call.output_tokens)

    again = httpx.post(
        f"{place.url}/v1/completions", json=asked | {"stream": False}, headers=headers, timeout=600
    )
    assert again.headers["X-OpenLedger-Receipt"] == action.cid
    assert again.json()["choices"][0]["text"] == place.text(action)


def test_whoever_hangs_up_at_once_pays_for_one_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: Any, **__: Any) -> AsyncIterator[tuple[str, int]]:
        await asyncio.Event().wait()  # the model may be faster than whoever hangs up
        yield "", 0

    monkeypatch.setattr(TokenStreams, "text", silent)
    _, _, action, _ = hung_up(place, "A vault with", 0)
    assert len(call_of(action).output_tokens) == 1


def test_of_two_who_listen_one_may_go(place: Place) -> None:
    asked = body("metered", "Every token of") | {"max_tokens": 300}
    headers = place.pays(asked)
    with httpx.stream(
        "POST", f"{place.url}/v1/completions", json=asked, headers=headers, timeout=600
    ) as stays:
        assert stays.status_code == 200
        payment_id, _ = place.told(asked, headers, 1)
        assert stays.read()
    assert call_of(place.ended(place.metered, payment_id)).sampling.max_tokens == 300  # nothing cut it


def test_a_price_paid_exactly_buys_the_whole_answer_whoever_listens(place: Place) -> None:
    client = place.world.people.client
    before, asked = place.balance(client.address), body("whole", "The bridge was") | {"max_tokens": 200}
    payment_id, _ = place.told(asked, place.pays(asked), 1)
    action = place.ended(place.exact, payment_id)
    assert call_of(action).sampling.max_tokens == 200
    assert action.record.charge == PRICE
    assert place.balance(client.address) == before - PRICE
    row = place.exact.outbox.get(payment_id)
    assert row.executed is not None
    assert ActionRecord.from_block(row.executed["record"], None).fee == PRICE


def test_whoever_missed_tokens_on_the_way_listens_until_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: Any, **__: Any) -> AsyncIterator[tuple[str, int]]:
        for nothing in ():
            yield nothing

    monkeypatch.setattr(TokenStreams, "text", lost)
    asked = body("metered", "They say of it") | {"max_tokens": 300}
    with httpx.stream(
        "POST", f"{place.url}/v1/completions", json=asked, headers=place.pays(asked), timeout=120
    ) as reply:
        heard = reply.read().decode()
    action = place.ended(place.metered, reply.headers["X-OpenLedger-Payment"])
    assert call_of(action).sampling.max_tokens == 300  # nothing cut it
    events = [json.loads(line[6:]) for line in heard.splitlines() if line.startswith("data: {")]
    said = "".join(event["choices"][0]["text"] for event in events if event.get("choices"))
    assert said == place.text(action)
