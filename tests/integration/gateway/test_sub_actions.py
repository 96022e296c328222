"""Agents that call other agents through their gateways: paid by x402, within a budget, once, for receipts that hold."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest
from langgraph.graph import END, START, StateGraph
from listening import listening
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from x402.http.utils import decode_payment_required_header, encode_payment_required_header

from openledger.agents import Agent, Peer, aask, agent, ask, mcp_tools
from openledger.errors import ContentError, ExecutionError, UserError
from openledger.registry import (
    ActionRecord,
    Connection,
    LocalStore,
    SignedRecord,
    Status,
    SubActionStep,
    ToolCallStep,
)
from openledger.runtime import Client, Outbox, Purse, Receipt, Service
from openledger.runtime.gateway import create_app
from openledger.staking import Verdict, fetch_action, read_receipt, verify

PRICE = 10**16
_numbers = itertools.count()


class State(TypedDict, total=False):
    asked: Any
    answer: Any


def caller(node: Callable[[State], Any], url: str, number: int, *, budget: int = PRICE, **peer: Any) -> Agent:
    """An agent whose only node may call the agent ``number`` at ``url`` as ``echo``."""

    @agent(
        f"caller-{next(_numbers)}",
        price=PRICE,
        input="asked",
        output="answer",
        uses={"echo": Peer(url, number, **peer)},
        budget=budget,
    )
    def build() -> Any:
        """Asks another."""
        graph = StateGraph(State)
        graph.add_node("ask", node)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", END)
        return graph

    return build


def forward(state: State) -> State:
    return {"answer": ask("echo", state["asked"])}


class Caller:
    """A caller in service, in a home with a content store of its own."""

    def __init__(self, site: Any, folder: Path, declared: Agent, *, funds: int = 10 * PRICE) -> None:
        self.site, self.house, self.declared = site, site.house, declared
        self.store = LocalStore(folder / "content")
        there = self.house.connection
        settings = there.settings.model_copy(update={"home": folder})
        self.connection = Connection(settings, there.contracts, self.store, None, None)
        self.outbox = Outbox(folder / "outbox.db")
        self.service: Service = self.house.serve(declared, self.connection, self.outbox)
        self.client = Client(self.house.client, self.connection.as_(self.house.client))
        self.house.give(self.purse.address, funds)
        self.funds = funds

    @property
    def purse(self) -> Purse:
        runner: Any = self.service.runner
        purse: Purse = runner._purse
        return purse

    @property
    def spent(self) -> int:
        return self.funds - int(self.house.balance(self.purse.address))

    def ask(self, value: Any) -> Receipt:
        return self.client.call(self.service.operator, self.service.operator.agent_id, value, PRICE)

    def steps(self, receipt: Receipt) -> tuple[Any, ...]:
        return fetch_action(receipt.cid, self.store).steps


@pytest.fixture
def call(site: Any, tmp_path: Path) -> Callable[..., Caller]:
    """Puts a caller into service that asks the agent echo."""

    def make(
        node: Callable[[State], Any] = forward, *, url: str = "", funds: int = 10 * PRICE, **declared: Any
    ) -> Caller:
        number = site.house.echo.operator.agent_id
        folder = tmp_path / str(next(_numbers))
        return Caller(site, folder, caller(node, url or site.url, number, **declared), funds=funds)

    return make


# -- the lineage ----------------------------------------------------------------------------------


def test_the_others_receipt_is_a_step_of_the_record_and_can_be_checked_from_here(call: Any) -> None:
    one = call()
    receipt = one.ask("hello")
    assert (receipt.record.status, receipt.output) == (Status.OK, "HELLO")
    [step] = one.steps(receipt)
    assert isinstance(step, SubActionStep)
    assert one.spent == PRICE

    sub = fetch_action(step.receipt, one.store)  # its store is not the other's
    assert sub.content.request["input"] == "hello"
    assert sub.record.client == one.purse.address
    assert sub.record.agent_id == one.house.echo.operator.agent_id
    one.house.echo.batcher.anchor()
    one.service.batcher.anchor()
    for cid, store in ((step.receipt, one.house.connection.store), (receipt.cid, one.store)):
        report = verify(cid, store=store, ledger=one.connection.ledger, replayer=None)
        assert report.verdict is Verdict.VERIFIED, report.checks
    assert [check.found for check in report.checks if check.name == "sub-action"] == [
        f"step 0: action {sub.record.nonce} of agent {sub.record.agent_id}, signed by its key"
    ]
    shown = read_receipt(receipt.cid, store=one.store, tokenizer_for=lambda _: Path())
    assert shown.paid is None


def test_a_receipt_within_a_receipt_is_carried_along(site: Any, call: Any, tmp_path: Path) -> None:
    inner = call()
    with listening(create_app([inner.service], inner.connection)) as url:
        number = inner.service.operator.agent_id
        outer = Caller(site, tmp_path / "outer", caller(forward, url, number, budget=PRICE))
        receipt = outer.ask("far away")
    [middle] = outer.steps(receipt)
    [last] = fetch_action(middle.receipt, outer.store).steps
    assert fetch_action(last.receipt, outer.store).content.output == "FAR AWAY"


def test_a_receipt_that_was_lost_or_is_anothers_is_found_by_who_verifies(call: Any) -> None:
    one = call()
    receipt = one.ask("hello")
    [step] = one.steps(receipt)

    class Without:
        def get(self, cid: str) -> bytes:
            if cid == step.receipt:
                raise ContentError("gone", cid=cid)
            return bytes(one.store.get(cid))

    store: Any = Without()
    report = verify(receipt.cid, store=store, ledger=one.connection.ledger, replayer=None)
    assert report.verdict is Verdict.UNVERIFIED
    assert any(check.name == "sub-action" and "gone" in check.found for check in report.checks)

    forged = SignedRecord.decode(one.store.get(step.receipt))
    stranger = SignedRecord.make(forged.record, one.house.client, forged.domain, forged.content)

    class Forged:
        def get(self, cid: str) -> bytes:
            return stranger.encode() if cid == step.receipt else bytes(one.store.get(cid))

    store = Forged()
    report = verify(receipt.cid, store=store, ledger=one.connection.ledger, replayer=None)
    assert report.verdict is Verdict.MISMATCH


def test_asynchronous_nodes_ask_at_once_and_each_call_is_paid(call: Any) -> None:
    import asyncio

    async def node(state: State) -> State:
        same = [aask("echo", state["asked"]) for _ in range(2)]
        return {"answer": await asyncio.gather(*same, aask("echo", "other"))}

    one = call(node, budget=3 * PRICE)
    receipt = one.ask("same")
    assert receipt.output == ["SAME", "SAME", "OTHER"]
    steps = one.steps(receipt)
    assert len({step.receipt for step in steps}) == len(steps) == 3
    assert one.spent == 3 * PRICE


# -- what may be spent ----------------------------------------------------------------------------


def test_a_metered_agent_takes_of_the_budget_what_it_charges(metered: Any, tmp_path: Path) -> None:
    """What is authorised must have room while the call runs, and no longer."""

    def twice(state: State) -> State:
        return {"answer": [ask("echo", "one"), ask("echo", "two")]}

    number, fee = metered.asked.operator.agent_id, PRICE // 5
    one = Caller(metered, tmp_path, caller(twice, metered.url, number, budget=PRICE + fee))
    receipt = one.ask("x")
    assert receipt.output == ["ONE", "TWO"]
    assert one.spent == 2 * PRICE
    metered.asked.batcher.anchor()
    assert one.spent == 2 * fee


def test_a_metered_agent_that_charges_what_its_tariff_does_not_give_is_refused(
    metered: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openledger.runtime import _operator

    # its operator cheats: all else on both sides is as it is
    monkeypatch.setattr(_operator, "action_fee", lambda manifest, steps, paid: paid)
    number = metered.asked.operator.agent_id
    one = Caller(metered, tmp_path, caller(forward, metered.url, number, budget=PRICE))
    receipt = one.ask("dear")
    assert receipt.record.status is Status.FAILED
    assert "a fee that its tariff does not give" in receipt.output["error"]


def test_what_is_beyond_the_budget_is_refused_before_it_is_paid(call: Any) -> None:
    def twice(state: State) -> State:
        return {"answer": [ask("echo", "one"), ask("echo", "two")]}

    one = call(twice, budget=2 * PRICE - 1)
    receipt = one.ask("x")
    assert receipt.record.status is Status.FAILED
    assert receipt.output["code"] == "budget"
    assert "more than the action may spend" in receipt.output["error"]
    first, second = one.steps(receipt)
    assert isinstance(first, SubActionStep)
    assert second == ToolCallStep("agent:echo", "two", {**receipt.output})
    assert one.spent == PRICE
    assert one.ask("again").output["code"] == "budget"  # each action has its own
    assert one.spent == 2 * PRICE


@pytest.mark.parametrize(
    ("declared", "why"),
    [({"budget": 0}, "more than the action may spend"), ({"funds": PRICE - 1}, "cannot pay")],
)
def test_without_budget_or_money_nothing_is_paid(call: Any, declared: Any, why: str) -> None:
    one = call(**declared)
    receipt = one.ask("hello")
    assert receipt.record.status is Status.FAILED
    assert receipt.output["code"] == "budget"
    assert why in receipt.output["error"]
    assert one.spent == 0


def test_an_agent_that_is_not_declared_is_not_called(call: Any) -> None:
    one = call(lambda _: {"answer": ask("stranger", "hello")})
    receipt = one.ask("x")
    assert receipt.output["code"] == "peer"
    assert "may not call 'stranger'" in receipt.output["error"]
    assert one.spent == 0


def test_an_action_that_fails_is_a_step_too_and_gives_the_budget_back(call: Any) -> None:
    def careful(state: State) -> State:
        try:
            ask("echo", "fail")
        except ExecutionError as error:
            return {"answer": [error.code, error.record, ask("echo", "better")]}
        return {}

    one = call(careful)  # the budget is enough for one
    receipt = one.ask("x")
    code, failed, answer = receipt.output
    assert (code, answer) == ("peer", "BETTER")
    first, second = one.steps(receipt)
    assert first.receipt == failed
    sub = fetch_action(failed, one.store)
    assert (sub.record.status, sub.record.charge) == (Status.FAILED, 0)
    assert fetch_action(second.receipt, one.store).record.status is Status.OK
    one.house.echo.batcher.anchor()
    assert one.spent == PRICE  # of two


@pytest.mark.parametrize(("url", "number"), [("echo.example", 1), ("http://echo.example", 0)])
def test_what_is_no_agent(url: str, number: int) -> None:
    with pytest.raises(UserError, match="no agent that could be called"):
        Peer(url, number)


# -- crashes --------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("where", ["_kept", "_finished", "_answer"])
def test_an_action_that_a_crash_makes_run_again_pays_once(
    call: Any, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other was paid and has answered; the caller dies before it notes that, and after."""
    one = call()
    echo, operator = one.house.echo.outbox, one.service.operator
    paid = one.client.prepare(operator.agent_id, f"once {where}", PRICE)
    before = len(echo.receipts(one.house.echo.operator.agent_id, limit=1000))

    def kill(*_: Any) -> None:
        raise Killed

    operator.accept(paid)
    with monkeypatch.context() as patch:
        patch.setattr(Purse, where, kill)
        with pytest.raises(Killed):
            operator.finish(paid.payment_id)
    assert one.spent == PRICE
    one.outbox.close()

    again = Outbox(one.outbox.url)
    restarted = reopened(one, again)
    assert restarted.recover() == 1
    receipt = restarted.finish(paid.payment_id)
    assert receipt.output == f"ONCE {where.upper()}"
    [step] = one.steps(receipt)
    made = echo.receipts(one.house.echo.operator.agent_id, limit=1000)
    assert len(made) == before + 1
    assert made[0].envelope == step.receipt
    assert one.spent == PRICE
    again.close()


def reopened(one: Caller, outbox: Outbox) -> Any:
    """The operator as the next process makes it."""
    from openledger.agents import Models
    from openledger.runtime import LocalRunner, Operator

    old: Any = one.service.operator
    purse = Purse(one.declared, old.agent_id, one.connection, one.house.owner, outbox.url)
    return Operator(
        one.declared,
        agent_id=old.agent_id,
        epoch=old.epoch,
        manifest=old.manifest,
        record_key=one.connection.record_key(old.agent_id),
        ledger=one.connection.as_(one.house.owner),
        store=one.store,
        outbox=outbox,
        runner=LocalRunner(one.declared, Models(), purse),
        attributor=one.service.attributor,
    )


# -- gateways that are away, or lie ---------------------------------------------------------------


@contextmanager
def between(site: Any, change: Callable[[Response, int, bool], Response]) -> Iterator[str]:
    """A gateway that passes everything on and alters what comes back, given the number of the answer and whether it
    was paid for."""
    numbers = itertools.count()

    async def pass_on(request: Request) -> Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in ("accept", "payment-signature", "content-type")
        }
        async with httpx.AsyncClient(timeout=600) as http:
            reply = await http.post(
                f"{site.url}{request.url.path}", content=await request.body(), headers=headers
            )
        kept = {name: value for name, value in reply.headers.items() if name == "payment-required"}
        given = Response(reply.content, reply.status_code, kept, reply.headers["content-type"])
        return change(given, next(numbers), "payment-signature" in headers)

    with listening(Starlette(routes=[Route("/{path:path}", pass_on, methods=["POST"])])) as url:
        yield url


def test_a_gateway_that_loses_the_answer_is_asked_again_and_paid_once(site: Any, call: Any) -> None:
    lost = []

    def lose(reply: Response, number: int, paid: bool) -> Response:
        if (paid, len(lost)) in ((False, 0), (True, 1)):
            lost.append(number)
            return Response("away", 503)
        return reply

    with between(site, lose) as url:
        one = call(url=url)
        assert one.ask("patience").output == "PATIENCE"
    assert lost == [0, 2]
    assert one.spent == PRICE


def test_a_gateway_that_stays_away_is_given_up_in_time(call: Any) -> None:
    one = call(url="http://127.0.0.1:9", timeout=1.0)
    receipt = one.ask("anybody?")
    assert receipt.output["code"] == "peer"
    assert "gave no answer in 1 s" in receipt.output["error"]
    [step] = one.steps(receipt)
    assert (step.name, step.arguments) == ("agent:echo", "anybody?")
    assert one.spent == 0


def terms(change: Callable[[Any], None], reply: Response) -> Response:
    """What a gateway asks, changed."""
    required: Any = decode_payment_required_header(reply.headers["payment-required"])
    change(required.accepts[0])
    made = {"PAYMENT-REQUIRED": encode_payment_required_header(required)}
    return Response(reply.body, 402, made, "application/json")


def test_terms_that_are_not_the_agents_are_not_paid(site: Any, call: Any) -> None:
    dishonest: dict[str, Callable[[Any], None]] = {
        "escrow": lambda price: setattr(price, "pay_to", "0x" + "11" * 20),
        "token": lambda price: setattr(price, "asset", "0x" + "11" * 20),
        "network": lambda price: setattr(price, "network", "eip155:1"),
        "agent": lambda price: price.extra.update(agentId="1000"),
        "request": lambda price: price.extra.update(requestHash="0x" + "00" * 32),
        "amount": lambda price: setattr(price, "amount", "-1"),
        "more than the action may spend": lambda price: setattr(price, "amount", str(PRICE + 1)),
        "no payment that could be made": lambda price: setattr(price, "extra", {}),
    }
    changes = iter(dishonest.values())
    with between(site, lambda reply, *_: terms(next(changes), reply)) as url:
        one = call(url=url)
        for why in dishonest:
            receipt = one.ask("dishonest")
            assert receipt.record.status is Status.FAILED
            assert why in receipt.output["error"]
    assert one.spent == 0


def test_a_receipt_that_is_not_the_calls_is_not_believed(site: Any, call: Any) -> None:
    """It is another's, damaged, or none at all: the call failed, and says why."""
    another = site.ask("another", site.payment("another") | {"Accept": "application/vnd.ipld.car"}).content
    lies: dict[str, Callable[[bytes], bytes]] = {
        "with another request": lambda _: another,
        "that could be read": lambda body: body[:-1] + bytes([body[-1] ^ 1]),
        "no receipt": lambda _: b"{}",
    }
    left = iter(lies.values())
    with between(
        site, lambda reply, _, paid: Response(next(left)(bytes(reply.body)), 200) if paid else reply
    ) as url:
        one = call(url=url)
        for why in lies:
            receipt = one.ask(why)
            assert receipt.output["code"] == "peer"
            assert why in receipt.output["error"], receipt.output
            [step] = one.steps(receipt)
            assert isinstance(step, ToolCallStep)


def test_the_receipt_itself_is_had_by_who_asks_for_it(site: Any, tmp_path: Path) -> None:
    from openledger.registry import import_car

    reply = site.ask("packed", site.payment("packed") | {"Accept": "application/vnd.ipld.car"})
    assert reply.headers["Content-Type"] == "application/vnd.ipld.car"
    (tmp_path / "action.car").write_bytes(reply.content)
    store = LocalStore(tmp_path / "content")
    [cid] = import_car(store, tmp_path / "action.car")
    assert cid == reply.headers["X-OpenLedger-Receipt"]
    assert fetch_action(cid, store).content.output == "PACKED"


# -- by MCP ---------------------------------------------------------------------------------------


def test_an_agent_is_a_tool_of_another_by_mcp(site: Any, call: Any) -> None:
    headers, key = site.house.key()

    def node(state: State) -> State:
        [tool] = mcp_tools(f"{site.url}/mcp/", only=["echo"], headers=headers)
        return {"answer": tool.invoke({"input": state["asked"]})["output"]}

    one = call(node)
    receipt = one.ask("by tool")
    assert receipt.output == "BY TOOL"
    [step] = one.steps(receipt)
    assert step.name == f"echo@{site.url}/mcp/"
    assert step.arguments == {"input": "by tool"}
    assert site.house.keys.get(key.id).spent == PRICE
    row = site.house.echo.outbox.signed_as(step.result["openledger"]["receipt"])
    assert ActionRecord.from_block(row.executed["record"], None).client == key.payer
