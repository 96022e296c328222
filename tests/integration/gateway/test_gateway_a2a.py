"""The gateway's agents by A2A, through the SDK's own client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypedDict
from uuid import uuid4

import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
    SubscribeToTaskRequest,
    Task,
    TaskState,
)
from a2a.utils.errors import (
    ContentTypeNotSupportedError,
    InternalError,
    InvalidParamsError,
    TaskNotCancelableError,
    TaskNotFoundError,
    UnsupportedOperationError,
)
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from listening import listening
from x402 import x402Client
from x402.schemas import PaymentRequired

from openledger.agents import agent
from openledger.registry import ActionRecord
from openledger.runtime.gateway import register_open
from openledger.runtime.gateway._a2a_parts import X402

PRICE = 10**16
WORKING, COMPLETED, FAILED, ASKS, CANCELED = (
    getattr(TaskState, f"TASK_STATE_{name}")
    for name in ("WORKING", "COMPLETED", "FAILED", "INPUT_REQUIRED", "CANCELED")
)


def asked(what: Any, *, task: str = "", message_id: str = "", metadata: Any = None, **more: Any) -> Any:
    """A message: text, or data."""
    part = Part(text=what) if isinstance(what, str) else Part(data=ParseDict(what, Value()))
    message = Message(
        message_id=message_id or str(uuid4()),
        role=Role.ROLE_USER,
        parts=[part],
        task_id=task,
        metadata=ParseDict(metadata or {}, Struct()),
    )
    return SendMessageRequest(message=message, **more)


class Talker:
    """The SDK's client of one agent."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def events(self, what: Any, **more: Any) -> list[Any]:
        return [event async for event in self.client.send_message(asked(what, **more))]

    async def send(self, what: Any, **more: Any) -> Task:
        [event] = await self.events(what, **more)
        task: Task = event.task
        return task


@asynccontextmanager
async def talking(
    url: str, headers: dict[str, str] | None = None, *, streaming: bool = False
) -> AsyncIterator[Talker]:
    async with httpx.AsyncClient(headers=headers, timeout=600) as http:
        factory = ClientFactory(ClientConfig(httpx_client=http, streaming=streaming))
        yield Talker(await factory.create_from_url(url))


def at(site: Any, name: str = "echo") -> str:
    return f"{site.url}/a2a/{getattr(site.house, name).operator.agent_id}"


def told(thing: Any) -> dict[str, Any]:
    """The metadata of a task, an artifact or a message."""
    found: dict[str, Any] = MessageToDict(thing.metadata)
    return found


async def pay(site: Any, task: Task, change: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """The metadata that pays what a task asks for."""
    paying, contracts = x402Client(), site.house.connection.contracts
    token, now = str(contracts.token.address), site.house.connection.ledger.now
    register_open(paying, site.house.client, network="eip155:*", token=token, most=PRICE, now=now)
    terms = PaymentRequired.model_validate(told(task.status.message)["x402.payment.required"])
    payment = await paying.create_payment_payload(terms)
    made = payment.model_dump(by_alias=True, exclude_none=True)
    if change is not None:
        change(made)
    return {"x402.payment.status": "payment-submitted", "x402.payment.payload": made}


# -- cards ----------------------------------------------------------------------------------------


async def test_each_agent_has_a_card_and_the_gateway_one_of_all(site: Any) -> None:
    for name in ("echo", "talk"):
        card = site.http.get(f"{at(site, name)}/.well-known/agent-card.json").json()
        [interface] = card["supportedInterfaces"]
        assert interface == {"url": at(site, name), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
        assert card["name"] == name
        assert f"{PRICE} wei" in card["description"]
        assert card["capabilities"]["extensions"][0]["uri"] == X402
        assert card["securitySchemes"]["key"]["httpAuthSecurityScheme"]["scheme"] == "bearer"
    whole = site.http.get("/.well-known/agent-card.json").json()
    assert [skill["id"] for skill in whole["skills"]] == ["echo", "talk"]
    assert site.http.get("/a2a/999/.well-known/agent-card.json").status_code == 404


async def test_an_agent_that_is_alone_is_at_the_root(site: Any) -> None:
    headers, _ = site.house.key()
    with listening(site.house.app(site.house.echo)) as url:
        async with talking(url, headers) as echo:
            assert (await echo.send("alone")).artifacts[0].parts[0].text == "ALONE"
            assert echo.client._card.name == "echo"


async def test_where_several_are_the_tenant_names_one(site: Any) -> None:
    headers, _ = site.house.key()
    async with talking(site.url, headers) as all_of_them:
        task = await all_of_them.send("by name", tenant="echo")
        assert task.artifacts[0].parts[0].text == "BY NAME"
        for tenant in ("", "nobody", "999"):
            with pytest.raises(InvalidParamsError):
                await all_of_them.send("to whom?", tenant=tenant)


# -- paying ---------------------------------------------------------------------------------------


async def test_a_key_pays_and_the_task_has_the_receipt(site: Any) -> None:
    headers, key = site.house.key()
    async with talking(at(site), headers) as echo:
        task = await echo.send("louder")
        again = await echo.client.get_task(GetTaskRequest(id=task.id))
    assert task.status.state == COMPLETED
    [answer] = task.artifacts
    assert answer.parts[0].text == "LOUDER"
    assert told(answer) == told(task)
    row = site.house.echo.outbox.signed_as(told(task)["openledger"]["receipt"])
    assert row.accepted["request"]["input"] == "louder"
    assert (again.artifacts, told(again), again.context_id) == (task.artifacts, told(task), task.context_id)
    assert site.house.keys.get(key.id).spent == PRICE


async def test_a_message_is_paid_once_however_often_it_is_sent(site: Any) -> None:
    headers, key = site.house.key()
    async with talking(at(site), headers) as echo:
        tasks = await asyncio.gather(*(echo.send("once", message_id="m1") for _ in range(4)))
        other = await echo.send("once", message_id="m2")
    assert len({task.id for task in tasks}) == 1
    assert other.id != tasks[0].id
    assert site.house.keys.get(key.id).spent == 2 * PRICE


async def test_x402_pays_a_task_that_asked_for_it(site: Any) -> None:
    house = site.house
    before = house.balance(house.client)
    async with talking(at(site)) as echo:
        task = await echo.send("paid")
        assert task.status.state == ASKS
        terms = told(task.status.message)
        assert terms["x402.payment.status"] == "payment-required"
        assert terms["x402.payment.required"]["accepts"][0]["amount"] == str(PRICE)
        assert (await echo.client.get_task(GetTaskRequest(id=task.id))).status.state == ASKS
        paid = await pay(site, task)
        tasks = [await echo.send("Here it is.", task=task.id, metadata=paid) for _ in range(2)]
        got = await echo.client.get_task(GetTaskRequest(id=task.id))
    for done in (*tasks, got):
        assert (done.id, done.context_id, done.status.state) == (task.id, task.context_id, COMPLETED)
        assert done.artifacts[0].parts[0].text == "PAID"
        said = told(done.status.message)
        assert said["x402.payment.status"] == "payment-completed"
        assert said["x402.payment.receipts"][0]["transaction"].startswith("0x")
    assert told(tasks[0])["openledger"]["seed_source"] == "client"
    assert before - house.balance(house.client) == PRICE


async def test_a_payment_may_come_with_the_message(site: Any) -> None:
    async with talking(at(site)) as echo:
        paid = await pay(site, await echo.send("at once"))
        first = await echo.send("at once", metadata=paid)
        second = await echo.send("at once", metadata=paid)
    assert first.artifacts[0].parts[0].text == "AT ONCE"
    assert first.id == second.id
    assert told(first) == told(second)


async def test_a_gateway_that_forgot_the_task_still_knows_its_payment(site: Any) -> None:
    """As after a restart: the same message gets what it paid for, and one that paid nothing has to come again."""
    async with talking(at(site)) as echo:
        task = await echo.send("remember")
        paid = await pay(site, task)
        first = await echo.send("Here.", task=task.id, metadata=paid)
        direct = await echo.send("remember", metadata=paid)
    with site.house.serving() as restarted:
        async with talking(at(restarted)) as echo:
            again = await echo.send("Here.", task=task.id, metadata=paid)
            assert told(again)["openledger"] == told(first)["openledger"]
            at_once = await echo.client.get_task(GetTaskRequest(id=direct.id))
            assert at_once.artifacts[0].parts[0].text == "REMEMBER"
            with pytest.raises(TaskNotFoundError):
                await echo.send("Go on.", task=str(uuid4()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p["payload"]["authorization"].update(value="1"), "INVALID_AMOUNT"),
        (lambda p: p["accepted"].update(network="eip155:1"), "NETWORK_MISMATCH"),
        (lambda p: p["payload"].update(salt="0x" + "00" * 32), "INVALID_SIGNATURE"),
        (lambda p: p["payload"]["authorization"].update(validAfter="1"), "SETTLEMENT_FAILED"),
        (lambda p: p["payload"].clear(), "INVALID_SIGNATURE"),
    ],
)
async def test_a_payment_that_is_not_taken(site: Any, change: Callable[[Any], None], reason: str) -> None:
    """The task goes on waiting for one."""
    house = site.house
    before = house.balance(house.client)
    async with talking(at(site)) as echo:
        task = await echo.send("refused")
        refused = await echo.send("Here.", task=task.id, metadata=await pay(site, task, change))
        said = told(refused.status.message)
        assert refused.status.state == ASKS
        assert (said["x402.payment.status"], said["x402.payment.error"]) == ("payment-failed", reason)
        assert said["x402.payment.receipts"][0]["success"] is False
        assert house.balance(house.client) == before
        paid = await echo.send("Here.", task=task.id, metadata=await pay(site, refused))
    assert paid.artifacts[0].parts[0].text == "REFUSED"


async def test_terms_can_be_turned_down(site: Any) -> None:
    async with talking(at(site)) as echo:
        tasks = [await echo.send("dear") for _ in range(2)]
        rejected = await echo.send(
            "No.", task=tasks[0].id, metadata={"x402.payment.status": "payment-rejected"}
        )
        assert rejected.status.state == FAILED
        canceled = await echo.client.cancel_task(CancelTaskRequest(id=tasks[1].id))
        assert canceled.status.state == CANCELED
        for task in tasks:
            with pytest.raises(TaskNotFoundError):
                await echo.client.get_task(GetTaskRequest(id=task.id))


async def test_a_wrong_key_is_refused(site: Any) -> None:
    async with talking(at(site)) as echo:
        terms = httpx.Headers({"Authorization": "Bearer ol-wrong"})
        reply = site.http.post(at(site), json={}, headers=terms)
        assert reply.status_code == 401
        assert await echo.send("still here")


# -- streams, and tasks that take a while ---------------------------------------------------------


async def test_a_stream_has_the_task_its_answer_and_its_end(site: Any) -> None:
    headers, _ = site.house.key()
    async with talking(at(site), headers, streaming=True) as echo:
        first, artifact, last = await echo.events("streamed")
    assert first.task.status.state == WORKING
    assert artifact.artifact_update.artifact.parts[0].text == "STREAMED"
    assert artifact.artifact_update.last_chunk
    assert last.status_update.status.state == COMPLETED
    assert told(last.status_update)["openledger"]["receipt"].startswith("bafy")


async def test_an_unpaid_stream_has_the_terms(site: Any) -> None:
    async with talking(at(site), streaming=True) as echo:
        [event] = await echo.events("unpaid")
        assert event.task.status.state == ASKS
        events = await echo.events("Here.", task=event.task.id, metadata=await pay(site, event.task))
    assert events[-1].status_update.status.state == COMPLETED


async def test_who_does_not_wait_asks_later_or_subscribes(site: Any, gate: Any) -> None:
    headers, _ = site.house.key()
    async with talking(at(site), headers, streaming=True) as echo:
        plain = ClientFactory(ClientConfig(httpx_client=echo.client._transport.httpx_client, streaming=False))
        polling = Talker(plain.create(echo.client._card))
        now = SendMessageConfiguration(return_immediately=True)
        task = await polling.send("wait for it", configuration=now)
        assert task.status.state == WORKING
        assert (await echo.client.get_task(GetTaskRequest(id=task.id))).status.state == WORKING
        with pytest.raises(TaskNotCancelableError):
            await echo.client.cancel_task(CancelTaskRequest(id=task.id))
        with pytest.raises(UnsupportedOperationError):
            await echo.send("hurry", task=task.id)
        states = []
        async for event in echo.client.subscribe(SubscribeToTaskRequest(id=task.id)):
            states.append(event.task.status.state)
            gate.set()
        done = await echo.client.get_task(GetTaskRequest(id=task.id))
    assert states == [WORKING, COMPLETED]
    assert done.artifacts[0].parts[0].text == "WAIT FOR IT"


# -- what an agent asks back ----------------------------------------------------------------------


class Order(TypedDict, total=False):
    what: str
    sure: str


@agent("clerk", price=PRICE, input="what", output="sure")
def clerk() -> Any:
    """Asks before it does anything."""
    graph = StateGraph(Order)
    graph.add_node("ask", lambda state: {"sure": interrupt(f"{state['what']}: sure?")})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


@pytest.fixture(scope="module")
def clerks(site: Any) -> Any:
    return site.house.serve(clerk)


async def test_an_interrupt_asks_and_its_answer_is_a_paid_action_of_the_same_task(
    site: Any, clerks: Any
) -> None:
    house = site.house
    headers, key = house.key()
    with listening(house.app(clerks)) as url:
        async with talking(url, headers) as someone:
            task = await someone.send("sell")
            assert task.status.state == ASKS
            assert MessageToDict(task.status.message.parts[0].data) == ["sell: sure?"]
            answers = [await someone.send("yes", task=task.id, message_id="m") for _ in range(2)]
            got = await someone.client.get_task(GetTaskRequest(id=task.id))
            with pytest.raises(UnsupportedOperationError):
                await someone.send("again", task=task.id)
    for done in (*answers, got):
        assert (done.id, done.status.state, done.artifacts[0].parts[0].text) == (task.id, COMPLETED, "yes")
    assert house.keys.get(key.id).spent == 2 * PRICE
    row = clerks.outbox.signed_as(told(got)["openledger"]["receipt"])
    assert row.accepted["request"]["parent"] == told(task)["openledger"]["receipt"]


# -- what goes wrong ------------------------------------------------------------------------------


async def test_an_action_that_fails_is_a_failed_task_and_is_not_charged(site: Any) -> None:
    headers, key = site.house.key()
    async with talking(at(site), headers) as echo:
        task = await echo.send("fail")
    assert task.status.state == FAILED
    assert "no answer to this" in task.status.message.parts[0].text
    assert told(task)["openledger"]["charged"] == "0"
    row = site.house.echo.outbox.signed_as(told(task)["openledger"]["receipt"])
    assert ActionRecord.from_block(row.executed["record"], None).charge == 0
    assert site.house.keys.get(key.id).spent == 0


async def test_data_goes_to_the_graph_as_it_is_and_comes_back_so(site: Any) -> None:
    headers, _ = site.house.key()
    async with talking(at(site, "talk"), headers) as talk:
        task = await talk.send({"messages": [{"role": "user", "content": "x"}], "temperature": 1})
        assert '"temperature": 1' in task.artifacts[0].parts[0].text
        with pytest.raises(InvalidParamsError, match="not exact"):
            await talk.send({"temperature": 2**53 + 1})
        both = asked("text")
        both.message.parts.append(Part(url="http://127.0.0.1/"))
        with pytest.raises(ContentTypeNotSupportedError):
            await anext(talk.client.send_message(both))


async def test_too_much_at_once_is_refused_unpaid(site: Any, gate: Any) -> None:
    headers, key = site.house.key()
    with site.house.serving(running_each=1) as narrow:
        async with talking(at(narrow), headers) as echo:
            now = SendMessageConfiguration(return_immediately=True)
            running = await echo.send("wait there", configuration=now)
            with pytest.raises(InternalError, match="Too many actions"):
                await echo.send("me too")
            gate.set()
            for _ in range(300):
                if (await echo.client.get_task(GetTaskRequest(id=running.id))).status.state != WORKING:
                    break
                await asyncio.sleep(0.1)  # no faster than the gateway answers
    assert site.house.keys.get(key.id).spent == PRICE


def test_no_text_of_an_exception_reaches_a_caller(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr("openledger.runtime.gateway._calls.Calls.begin", broken)
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    for method in ("SendMessage", "SendStreamingMessage"):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"message": message}}
        reply = site.http.post(at(site), json=body, headers={"A2A-Version": "1.0"})
        assert reply.json()["error"]["message"] == "A part of this service failed"
        assert "secret" not in reply.text


def rpc(site: Any, body: Any, version: str = "1.0") -> Any:
    reply = site.http.post(at(site), content=json.dumps(body), headers={"A2A-Version": version})
    assert reply.status_code == 200, reply.text
    return reply.json()["error"]["code"]


def test_what_is_no_request_is_refused_by_the_protocols_codes(site: Any) -> None:
    head = {"jsonrpc": "2.0", "id": 1}
    send = {**head, "method": "SendMessage"}
    assert rpc(site, {**head, "method": "Nothing"}) == -32601
    assert rpc(site, {**send, "params": {"message": {}}}) == -32602
    assert rpc(site, {**send, "params": {"message": {"parts": 7}}}) == -32602
    assert rpc(site, []) == -32600
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
    assert rpc(site, {**send, "params": {"message": message}}, "0.3") == -32009
    assert rpc(site, {**head, "method": "ListTasks", "params": {}}) == -32004
    assert rpc(site, {**head, "method": "GetExtendedAgentCard", "params": {}}) == -32004


async def test_who_knows_only_the_payment_gets_no_task(site: Any) -> None:
    """It is public."""
    headers, _ = site.house.key()
    async with talking(at(site), headers) as echo:
        task = await echo.send("mine")
        payment = told(task)["openledger"]["payment_id"]
        for guess in (payment, f"{payment}-{'0' * 32}", f"{payment}-"):
            with pytest.raises(TaskNotFoundError):
                await echo.client.get_task(GetTaskRequest(id=guess))
            with pytest.raises(TaskNotFoundError):
                await echo.send("go on", task=guess)
