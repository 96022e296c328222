"""Clients as people have them, against a listening gateway: openai, ChatOpenAI, MCP, A2A, x402 on httpx, curl. All of
them real."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypedDict

import httpx
import httpx2
import loop
import openai
import pytest
import world as demo
from a2a.client import ClientConfig, ClientFactory
from a2a.types import Message, Part, Role, SendMessageRequest, TaskState
from collector import Collector, collecting
from eth_account import Account
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from listening import listening
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from x402 import x402Client, x402ClientSync
from x402.http.clients import x402HttpxClient
from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    encode_payment_signature_header,
)
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.schemas import PaymentRequired

from openledger import datanets
from openledger.agents import Peer, agent, ask, load_agent
from openledger.openlora import EnginePool
from openledger.registry import ModelCallStep, SeedSource, SubActionStep, value_hash
from openledger.runtime import Client, Receipt, Service, State, deploy_agent, purse_account, register_agent
from openledger.runtime.gateway import Key, Keys, TokenStreams, create_app, model_agent, register_open
from openledger.runtime.gateway._serve import Wanted, starting
from openledger.staking import Verdict, fetch_action, verify

PRICE = 10**16
QUESTION, ANSWER = datanets.shipped("audit_findings").questions()[0]
ASKED = [{"role": "user", "content": QUESTION}]


@dataclass
class Gateway:
    """A gateway over the desk and over the findings adapter as a model, and whoever pays there."""

    url: str
    world: demo.World
    pool: EnginePool
    desk: Service
    model: Service
    keys: Keys
    secret: str
    key: Key

    @property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.secret)

    @property
    def desk_url(self) -> str:
        return f"{self.url}/agents/{self.desk.operator.agent_id}"

    def balance(self, account: str) -> int:
        return self.world.connection.ledger.balance(account)

    def key_of(self, name: str, cap: int, funds: int) -> tuple[str, Key]:
        """A key whose account holds ``funds`` wei."""
        connection = self.world.connection
        secret, key = self.keys.create(name, cap)
        ledger = connection.as_(self.world.people.client)
        ledger.send(connection.contracts.token.functions.transfer(key.payer, funds))
        return secret, key

    def x402(self, signer: Any, client: Any = None, most: int = 10**18) -> Any:
        """x402's client, registered by our one line."""
        contracts, client = self.world.connection.contracts, client or x402Client()
        register_open(
            client,
            signer,
            network=f"eip155:{contracts.chain.chain_id}",
            token=str(contracts.token.address),
            most=most,
            now=self.world.connection.ledger.now,  # other tests have moved the devnet's clock
        )
        return client


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Gets the spans of the gateway and its workers, of every call here."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def gateway(world: demo.World, pool: EnginePool, collector: Collector) -> Iterator[Gateway]:
    connection, operator = world.connection, world.people.operator
    streams = TokenStreams(pool)
    desk = loop.deploy(world, pool, "operator")
    declared = model_agent("findings", "audit_findings", datanets=("audit_findings",), price=PRICE)
    registered = register_agent(
        declared,
        connection,
        operator,
        base=world.base.asset_id,
        adapters={"model": world.adapters["findings"].asset_id},
        datanet_ids=[world.datanets["findings"].asset_id],
        stake=loop.STAKE,
        engine_class=pool.engine_class,
    )
    model = deploy_agent(declared, registered, connection, operator, streams.generator, world.trained.base)
    keys = Keys.open(connection, operator)
    try:
        with listening(create_app([desk, model], connection, keys=keys, streams=streams)) as url:
            made = Gateway(url, world, pool, desk, model, keys, "", Key(0, "", "", 0, 0, False))
            made.secret, made.key = made.key_of("tests", 100 * demo.OPEN, 10 * demo.OPEN)
            yield made
    finally:
        keys.close()
        desk.close()
        model.close()
        streams.close()


# -- prepaid keys: clients as they are ------------------------------------------------------------


def test_openai_lists_the_agents_as_models(gateway: Gateway) -> None:
    listed = {model.id: model for model in gateway.openai.models.list()}
    assert set(listed) == {"risk-desk", "findings"}
    assert listed["findings"].openledger["price"] == str(PRICE)  # type: ignore[attr-defined]
    assert listed["findings"].owned_by == gateway.world.people.operator.address


def test_openai_gets_an_answer_with_its_receipt(gateway: Gateway) -> None:
    before = gateway.balance(gateway.key.payer)
    raw = gateway.openai.chat.completions.with_raw_response.create(
        model="findings", messages=ASKED, temperature=0, max_tokens=32
    )
    answer = raw.parse()
    text = answer.choices[0].message.content
    assert text is not None
    assert ANSWER.lower() in text.lower()
    assert answer.choices[0].finish_reason == "stop"
    told = answer.model_extra["openledger"]
    assert raw.headers["X-OpenLedger-Receipt"] == told["receipt"]
    assert told["verification"] == "unverified"

    action = fetch_action(told["receipt"], gateway.world.connection.store)
    [step] = action.steps
    assert isinstance(step, ModelCallStep)
    assert step.asset_id == gateway.world.adapters["findings"].asset_id
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(step.prompt_tokens)
    assert answer.usage.completion_tokens == len(step.output_tokens)
    assert action.record.output_hash == value_hash(text)
    assert action.record.client == gateway.key.payer
    assert gateway.balance(gateway.key.payer) == before - PRICE


def receipt_after_first_piece(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The text that is told as it is made, of a model whose receipts wait for the first of it: a gateway on a busy machine may
    come to read it when all is done, and then tells it at once."""
    made: list[str] = []
    begun, text, finish = threading.Event(), TokenStreams.text, gateway.model.operator.finish

    async def watched(*args: Any, **options: Any) -> AsyncIterator[tuple[str, int]]:
        try:
            async for piece in text(*args, **options):
                if piece[0]:
                    made.append(piece[0])
                    begun.set()
                yield piece
        finally:
            begun.set()  # there is no more to wait for

    def patient(payment_id: bytes) -> Receipt:
        receipt = finish(payment_id)
        begun.wait(900)
        return receipt

    monkeypatch.setattr(TokenStreams, "text", watched)
    monkeypatch.setattr(gateway.model.operator, "finish", patient)
    return made


def test_openai_streams_the_same_answer_as_it_is_made(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gateway.openai.chat.completions.create(model="findings", messages=ASKED, max_tokens=32)
    made = receipt_after_first_piece(gateway, monkeypatch)
    chunks = list(
        gateway.openai.chat.completions.create(
            model="findings",
            messages=ASKED,
            max_tokens=32,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *spoken, last, usage = chunks
    assert "".join(c.choices[0].delta.content or "" for c in spoken) == whole.choices[0].message.content
    assert made != []  # it came before the receipt did
    assert last.choices[0].finish_reason == "stop"
    assert last.model_extra["openledger"]["receipt"].startswith("bafy")
    assert usage.usage == whole.usage


def test_openai_continues_a_text(gateway: Gateway) -> None:
    answer = gateway.openai.completions.create(model="findings", prompt="The audit of", max_tokens=4)
    streamed = gateway.openai.completions.create(
        model="findings", prompt="The audit of", max_tokens=4, stream=True
    )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert "".join(chunk.choices[0].text for chunk in streamed) == answer.choices[0].text


def test_an_agent_of_many_steps_answers_as_a_model_too(gateway: Gateway) -> None:
    answer = gateway.openai.chat.completions.create(model="risk-desk", messages=ASKED, temperature=0)
    assert ANSWER.lower() in (answer.choices[0].message.content or "").lower()
    assert answer.model_extra["openledger"]["ignored"] == ["temperature"]


def test_langchain_invokes_and_streams(gateway: Gateway) -> None:
    chat = ChatOpenAI(
        model="findings", base_url=f"{gateway.url}/v1", api_key=gateway.secret, temperature=0, max_tokens=32
    )
    answer = chat.invoke(QUESTION)
    assert ANSWER.lower() in str(answer.content).lower()
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(str(chunk.content) for chunk in chat.stream(QUESTION)) == answer.content


async def test_an_mcp_client_has_the_agents_as_tools(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.secret}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        McpClient(streamable_http_client(f"{gateway.url}/mcp/", http_client=http)) as client,
    ):
        assert {tool.name for tool in (await client.list_tools()).tools} == {"risk-desk", "findings"}
        result = await client.call_tool("risk-desk", {"input": QUESTION})
    assert not result.is_error
    assert ANSWER.lower() in result.content[0].text.lower()  # type: ignore[union-attr]
    assert result.structured_content["openledger"]["receipt"].startswith("bafy")


@asynccontextmanager
async def a2a(gateway: Gateway, service: Service, secret: str = "", **config: Any) -> AsyncIterator[Any]:
    """A2A's client of an agent, found by its card."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with httpx.AsyncClient(headers=headers, timeout=600) as http:
        factory = ClientFactory(ClientConfig(httpx_client=http, **config))
        yield await factory.create_from_url(f"{gateway.url}/a2a/{service.operator.agent_id}")


def message(text: str, task_id: str = "", metadata: Any = None) -> SendMessageRequest:
    said = Message(
        message_id=f"{text}{task_id}",
        role=Role.ROLE_USER,
        parts=[Part(text=text)],
        task_id=task_id,
        metadata=ParseDict(metadata or {}, Struct()),
    )
    return SendMessageRequest(message=said)


async def test_an_a2a_client_finds_an_agent_and_streams_its_answer(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt_after_first_piece(gateway, monkeypatch)
    async with a2a(gateway, gateway.model, gateway.secret) as client:
        first, *chunks, last = [event async for event in client.send_message(message(QUESTION))]
    assert first.task.status.state == TaskState.TASK_STATE_WORKING
    updates = [event.artifact_update for event in chunks]
    assert [update.append for update in updates] == [False] + [True] * (len(updates) - 1)
    assert len(updates) > 1  # it came as it was made
    assert ANSWER.lower() in "".join(update.artifact.parts[0].text for update in updates).lower()
    assert last.status_update.status.state == TaskState.TASK_STATE_COMPLETED
    receipt = MessageToDict(last.status_update.metadata)["openledger"]["receipt"]
    action = fetch_action(receipt, gateway.world.connection.store)
    assert action.record.client == gateway.key.payer


async def test_an_a2a_client_pays_what_it_is_asked_for_by_x402(gateway: Gateway) -> None:
    client, before = gateway.world.people.client, gateway.balance(gateway.world.people.client.address)
    async with a2a(gateway, gateway.desk, streaming=False) as desk:
        [asks] = [event.task async for event in desk.send_message(message(QUESTION))]
        assert asks.status.state == TaskState.TASK_STATE_INPUT_REQUIRED
        assert gateway.balance(client.address) == before
        terms = MessageToDict(asks.status.message.metadata)["x402.payment.required"]
        payment = await gateway.x402(client).create_payment_payload(PaymentRequired.model_validate(terms))
        paid = {
            "x402.payment.status": "payment-submitted",
            "x402.payment.payload": payment.model_dump(by_alias=True, exclude_none=True),
        }
        [done] = [event.task async for event in desk.send_message(message("Here.", asks.id, paid))]
    assert done.status.state == TaskState.TASK_STATE_COMPLETED
    assert ANSWER.lower() in done.artifacts[0].parts[0].text.lower()
    assert before - gateway.balance(client.address) == 10**17
    check_anchored(gateway, MessageToDict(done.metadata)["openledger"]["receipt"])


def test_curl_needs_no_more_than_a_key(gateway: Gateway) -> None:
    body = json.dumps({"model": "findings", "messages": ASKED, "max_tokens": 32})
    line = ["curl", "-sS", "--max-time", "600", f"{gateway.url}/v1/chat/completions", "-d", body]
    line += ["-H", f"Authorization: Bearer {gateway.secret}", "-H", "Content-Type: application/json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, check=True)
    assert ANSWER.lower() in json.loads(done.stdout)["choices"][0]["message"]["content"].lower()


def test_what_the_operator_pays_for_is_never_called_verified(gateway: Gateway) -> None:
    """It holds the keys' accounts, so it could have signed until it liked the seed."""
    answer = gateway.openai.chat.completions.create(model="findings", messages=ASKED, max_tokens=8)
    cid = answer.model_extra["openledger"]["receipt"]
    gateway.model.batcher.anchor()
    connection = gateway.world.connection
    report = verify(
        cid, store=connection.store, ledger=connection.ledger, replayer=lambda _base: gateway.pool
    )
    assert report.record is not None
    assert report.record.seed_source is SeedSource.OPERATOR
    assert {check.verdict for check in report.checks if check.name != "seed"} == {Verdict.VERIFIED}
    assert report.verdict is Verdict.UNVERIFIED


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"messages": [{"role": "user", "content": "what " * 10_000}]},
            r"A prompt of \d+ tokens was refused",
        ),
        ({"prompt": "what " * 10_000}, r"A prompt of \d+ tokens was refused"),
        ({"prompt": "what", "max_tokens": 10**6}, "prompt tokens and 1000000 output tokens were refused"),
        ({"prompt": "what", "max_tokens": "all"}, "max_tokens 'all' was refused"),
        ({"prompt": "what", "temperature": "warm"}, "does not take this input"),
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": 7}, "does not take this input"),
        ({"messages": [{"role": "nobody", "content": "what"}]}, "Unexpected message type"),
        ({}, "does not take this input"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_model_cannot_take_is_refused_before_it_is_paid(
    gateway: Gateway, asked: dict[str, Any], says: str
) -> None:
    before = gateway.balance(gateway.key.payer), gateway.keys.get(gateway.key.id).spent
    known = gateway.model.outbox.receipts(gateway.model.operator.agent_id)
    reply = httpx.post(
        f"{gateway.url}/agents/{gateway.model.operator.agent_id}/invoke",
        json={"input": asked},
        headers={"Authorization": f"Bearer {gateway.secret}"},
        timeout=600,
    )
    assert reply.status_code == 400, reply.text
    assert re.search(says, reply.json()["error"]["message"])
    assert "X-OpenLedger-Payment" not in reply.headers
    assert (gateway.balance(gateway.key.payer), gateway.keys.get(gateway.key.id).spent) == before
    assert gateway.model.outbox.receipts(gateway.model.operator.agent_id) == known


def test_a_failed_action_is_told_with_its_receipt_and_given_back(gateway: Gateway) -> None:
    secret, key = gateway.key_of("failing", demo.OPEN, demo.OPEN)
    reply = httpx.post(
        f"{gateway.desk_url}/invoke",
        json={"input": {"finding": 7}},
        headers={"Authorization": f"Bearer {secret}"},
        timeout=600,
    )
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "graph"
    assert reply.json()["openledger"]["status"] == "failed"
    gateway.desk.batcher.anchor()
    assert gateway.balance(key.payer) == demo.OPEN
    assert gateway.keys.get(key.id).spent == 0


def test_the_command_serves_an_agent_as_the_chain_has_it(gateway: Gateway) -> None:
    """What ``openledger gateway serve`` runs, on the tests' pool."""
    connection, operator, pool = gateway.world.connection, gateway.world.people.operator, gateway.pool
    ids = {alias: ref.asset_id for alias, ref in gateway.world.adapters.items()}
    registered = register_agent(
        load_agent(loop.TARGET),
        connection,
        operator,
        base=gateway.world.base.asset_id,
        adapters=ids,
        datanet_ids=[ref.asset_id for ref in gateway.world.datanets.values()],
        stake=loop.STAKE,
        engine_class=pool.engine_class,
    )
    aliases = ",".join(f"{alias}={asset}" for alias, asset in ids.items())
    wanted = Wanted.parse(f"{loop.TARGET}={registered.agent_id},{aliases}")
    with (
        starting([wanted], connection, operator, lambda _: None, pool_for=lambda *_: nullcontext(pool)) as (
            services,
            streams,
        ),
        listening(create_app(services, connection, keys=gateway.keys, streams=streams)) as url,
    ):
        for service in services:
            service.begin()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=gateway.secret)
        answer = client.chat.completions.create(model=f"agent:{registered.agent_id}", messages=ASKED)
    assert services[0].registered == registered
    assert ANSWER.lower() in (answer.choices[0].message.content or "").lower()


# -- x402: each call paid by who makes it ---------------------------------------------------------


async def test_x402_pays_with_one_line_of_registration(gateway: Gateway) -> None:
    client = gateway.world.people.client
    before = gateway.balance(client.address)
    async with x402HttpxClient(gateway.x402(client), timeout=600) as http:
        reply = await http.post(f"{gateway.desk_url}/invoke", json={"input": {"finding": QUESTION}})
    assert reply.status_code == 200, reply.text
    assert ANSWER.lower() in reply.json()["output"].lower()
    settled = decode_payment_response_header(reply.headers["PAYMENT-RESPONSE"])
    assert settled.success
    assert settled.payer == client.address
    assert before - gateway.balance(client.address) == int(settled.amount or 0) == 10**17
    mined = gateway.world.connection.chain.w3.eth.get_transaction_receipt(settled.transaction)
    assert mined["status"] == 1

    check_anchored(gateway, reply.headers["X-OpenLedger-Receipt"])


def check_anchored(gateway: Gateway, cid: str) -> None:
    """The gateway tells of the anchor and verifies nothing; who replays finds it verified."""
    gateway.desk.batcher.anchor()
    shown = httpx.get(f"{gateway.url}/actions/{cid}", timeout=600).json()
    assert shown["state"] == "anchored"
    assert shown["anchor"]["final"] is False
    assert {c["verdict"] for c in shown["checks"] if c["name"] == "anchor"} == {"verified"}
    assert shown["verification"] == "unverified"
    connection = gateway.world.connection
    report = verify(
        cid, store=connection.store, ledger=connection.ledger, replayer=lambda _base: gateway.pool
    )
    assert report.summary == "verified", report.checks


async def test_openai_pays_by_x402_too(gateway: Gateway) -> None:
    client = gateway.world.people.client
    http = x402HttpxClient(gateway.x402(client), timeout=600)
    paying = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="x402", http_client=http)
    async with paying:
        answer = await paying.chat.completions.create(model="findings", messages=ASKED, max_tokens=32)  # type: ignore[arg-type]
    assert ANSWER.lower() in (answer.choices[0].message.content or "").lower()
    action = fetch_action(answer.model_extra["openledger"]["receipt"], gateway.world.connection.store)
    assert (action.record.client, action.record.seed_source) == (client.address, SeedSource.CLIENT)


async def test_x402_keeps_to_the_clients_own_limit(gateway: Gateway) -> None:
    client = gateway.world.people.client
    before = gateway.balance(client.address)
    async with x402HttpxClient(gateway.x402(client, most=10**17 - 1), timeout=600) as http:
        with pytest.raises(Exception, match="max_amount_per_payment"):
            await http.post(f"{gateway.desk_url}/invoke", json={"input": {"finding": QUESTION}})
    assert gateway.balance(client.address) == before


async def test_x402s_own_scheme_is_refused_because_it_binds_nothing(gateway: Gateway) -> None:
    account = Account.from_key(gateway.world.people.client.key)
    before = gateway.balance(account.address)
    client = x402Client()
    client.register("eip155:*", ExactEvmScheme(account))
    client.set_spend_controls(False)
    async with x402HttpxClient(client, timeout=600) as http:
        reply = await http.post(f"{gateway.desk_url}/invoke", json={"input": {"finding": QUESTION}})
    assert reply.status_code == 402
    assert "does not bind this request" in reply.json()["error"]["what"]
    assert "OpenScheme" in reply.json()["error"]["fix"]
    assert gateway.balance(account.address) == before


# -- agents that call agents ----------------------------------------------------------------------


def test_an_agent_pays_another_from_a_worker_and_both_records_are_verified(gateway: Gateway) -> None:
    """On Ray; the key that pays stays with the operator."""
    connection, operator = gateway.world.connection, gateway.world.people.operator
    desk = Peer(gateway.url, gateway.desk.operator.agent_id)

    class Asked(TypedDict, total=False):  # here, so that a worker need not import this file
        question: str
        answer: str

    @agent("front", price=PRICE, input="question", output="answer", uses={"desk": desk}, budget=10**17)
    def front() -> Any:
        """Asks the desk."""
        graph = StateGraph(Asked)
        graph.add_node("ask", lambda state: {"answer": ask("desk", {"finding": state["question"]})})
        graph.add_edge(START, "ask")
        graph.add_edge("ask", END)
        return graph

    registered = register_agent(
        front,
        connection,
        operator,
        base=gateway.world.base.asset_id,
        adapters={},
        datanet_ids=[gateway.world.datanets["findings"].asset_id],
        stake=loop.STAKE,
        engine_class="none",
    )
    purse = purse_account(connection.as_(operator), registered.agent_id).address
    payer = connection.as_(gateway.world.people.client)
    payer.send(connection.contracts.token.functions.transfer(purse, 10**17))
    service = deploy_agent(front, registered, connection, operator, None, gateway.world.trained.base)
    try:
        client = Client(gateway.world.people.client, payer)
        receipt = client.call(service.operator, registered.agent_id, QUESTION, PRICE)
        service.batcher.anchor()
    finally:
        service.close()
    assert ANSWER.lower() in receipt.output.lower()
    assert gateway.balance(purse) == 0
    [step] = fetch_action(receipt.cid, connection.store).steps
    assert isinstance(step, SubActionStep)
    check_anchored(gateway, step.receipt)
    report = verify(receipt.cid, store=connection.store, ledger=connection.ledger, replayer=None)
    assert report.summary == "verified", report.checks


# -- hanging up -----------------------------------------------------------------------------------


def pay(gateway: Gateway, url: str, body: Any) -> dict[str, str]:
    """The header that pays for one request, as x402's client makes it."""
    asked = httpx.post(url, json=body, timeout=600)
    assert asked.status_code == 402
    required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
    payload = gateway.x402(gateway.world.people.client, x402ClientSync()).create_payment_payload(required)
    return {"PAYMENT-SIGNATURE": encode_payment_signature_header(payload)}


def test_a_client_that_hangs_up_finds_its_receipt_later(gateway: Gateway) -> None:
    client, body = gateway.world.people.client, {"input": {"finding": QUESTION, "reading": "What?"}}
    before = gateway.balance(client.address)
    headers = pay(gateway, f"{gateway.desk_url}/invoke", body)
    with httpx.stream("POST", f"{gateway.desk_url}/stream", json=body, headers=headers, timeout=600) as reply:
        assert reply.status_code == 200
        payment_id = reply.headers["X-OpenLedger-Payment"]
        assert next(reply.iter_lines()) == "event: ticket"
    # The action has not ended, and nobody listens any more.
    outbox, deadline = gateway.desk.outbox, time.monotonic() + 600
    while outbox.get(payment_id).state is not State.SIGNED and time.monotonic() < deadline:
        time.sleep(0.05)
    row = outbox.get(payment_id)
    assert row.state is State.SIGNED

    again = [httpx.post(f"{gateway.desk_url}/invoke", json=body, headers=headers, timeout=600) for _ in "12"]
    assert {reply.headers["X-OpenLedger-Receipt"] for reply in again} == {row.envelope}
    assert [reply.json()["status"] for reply in again] == ["ok", "ok"]
    assert before - gateway.balance(client.address) == 10**17
    newest = httpx.get(f"{gateway.desk_url}/receipts?limit=1").json()["data"][0]
    assert (newest["receipt"], newest["status"]) == (row.envelope, "ok")


# -- spans ----------------------------------------------------------------------------------------


def test_a_call_is_traced_into_its_worker_to_each_model_call(gateway: Gateway, collector: Collector) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    asked = loop.questions(1, seed=9)[0]
    headers = {"Authorization": f"Bearer {gateway.secret}", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    reply = httpx.post(f"{gateway.desk_url}/invoke", json={"input": asked}, headers=headers, timeout=600)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    http, action, *calls = (
        "POST /agents/{agent_id}/invoke",
        "invoke_agent risk-desk",
        "chat findings",
        "chat sensors",
    )
    spans = collector.within(trace, http, action, *calls)
    assert spans[action].parent == spans[http].id
    assert spans[action].attributes["openledger.receipt"] == told["openledger"]["receipt"]
    steps = fetch_action(told["openledger"]["receipt"], gateway.world.connection.store).steps
    for number, (step, call) in enumerate(zip(steps, calls, strict=True)):
        assert isinstance(step, ModelCallStep)
        assert spans[call].parent == spans[action].id
        assert spans[call].attributes == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openledger",
            "gen_ai.request.model": call.removeprefix("chat "),
            "gen_ai.request.max_tokens": 64,
            "gen_ai.request.temperature": 0.0,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.response.model": step.content,
            "gen_ai.response.finish_reasons": [step.finish],
            "gen_ai.usage.input_tokens": len(step.prompt_tokens),
            "gen_ai.usage.output_tokens": len(step.output_tokens),
            "openledger.asset_id": step.asset_id,
            "openledger.engine_class": gateway.pool.engine_class,
            "openledger.node": step.node,
            "openledger.step": number,
        }
    used = {kind: f"gen_ai.usage.{kind}_tokens" for kind in ("input", "output")}
    for kind in used.values():
        assert spans[action].attributes[kind] == sum(spans[call].attributes[kind] for call in calls)


def test_no_span_of_any_of_these_calls_holds_what_was_asked_or_answered(
    gateway: Gateway, collector: Collector
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4738"
    chunks = gateway.openai.chat.completions.create(
        model="findings",
        messages=ASKED,
        stream=True,
        extra_headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    collector.within(trace, "POST /v1/chat/completions", "invoke_agent findings", "chat model")
    private = [text.lower() for text in (QUESTION, ANSWER, said, gateway.secret)]
    assert not [span.raw for span in collector.spans if any(text in span.raw.lower() for text in private)]
