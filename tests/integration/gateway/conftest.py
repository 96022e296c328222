"""A gateway over two agents that need no engine, on a devnet of their own. All else is real: HTTP, payments, records."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import httpx
import pytest
from eth_account import Account
from langgraph.graph import END, START, StateGraph
from listening import listening
from x402 import x402ClientSync
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header

from openledger.agents import Agent, Models, Outcome, agent
from openledger.attribution import RULE_ID, RULE_V1
from openledger.registry import Connection, Tariff, cid_of
from openledger.runtime import Batcher, Credit, LocalRunner, Operator, Outbox, Purse, Service, register_agent
from openledger.runtime.gateway import Key, Keys, Limits, create_app, register_open
from openledger.runtime.gateway._hasty import HastyProtocol
from openledger.settings import Settings

OPEN = 10**18
PRICE = 10**16


class Question(TypedDict, total=False):
    question: str
    answer: str


class Talk(TypedDict, total=False):
    messages: list[Any]
    temperature: float
    text: str


GATE = threading.Event()
"""Whoever asks to wait is answered once it is set."""


def _answer(state: Question) -> Question:
    question = str(state.get("question", ""))
    if question.startswith("fail"):
        raise ValueError(f"no answer to this: {question}")
    if question.startswith("wait"):
        GATE.wait(600)
    return {"answer": question.upper()}


@agent("echo", price=PRICE, input="question", output="answer", timeout=600)
def echo() -> Any:
    """Says it louder."""
    graph = StateGraph(Question)
    graph.add_node("answer", _answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph


@agent("talk", price=PRICE, output="text")
def talk() -> Any:
    """Says what it was given."""
    graph = StateGraph(Talk)
    graph.add_node("say", lambda state: {"text": json.dumps(state, sort_keys=True)})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph


@agent("gauge", price=PRICE, input="question", output="answer", tariff=Tariff(7, 11, base=PRICE // 5))
def gauge() -> Any:
    """Says it louder, and is paid by a tariff."""
    return echo.build()


class _Nobody:
    """Attribution without a datanet."""

    rule, rule_id = RULE_V1, RULE_ID

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        return Credit((), None)


@dataclass
class House:
    """The agents in service, and whoever pays."""

    connection: Connection
    echo: Service
    talk: Service
    keys: Keys
    owner: Any
    client: Any
    serve: Callable[..., Service]
    """Puts another agent into service; with ``connection`` and ``outbox`` other than the house's."""
    made: list[Key] = field(default_factory=list)

    def balance(self, account: Any) -> int:
        return self.connection.ledger.balance(getattr(account, "address", account))

    def give(self, to: str, wei: int) -> None:
        token = self.connection.contracts.token.functions
        self.connection.as_(self.owner).send(token.transfer(to, wei))

    def key(self, *, cap: int = OPEN, funds: int = OPEN) -> tuple[dict[str, str], Key]:
        """The header of a new key, and the key."""
        secret, key = self.keys.create(f"test {len(self.made)}", cap)
        self.made.append(key)
        if funds:
            self.give(key.payer, funds)
        return {"Authorization": f"Bearer {secret}"}, key

    def app(self, *services: Service, url: str | None = None, **limits: Any) -> Any:
        served = services or (self.echo, self.talk)
        return create_app(served, self.connection, keys=self.keys, url=url, limits=Limits(**limits))

    def serving(self, **limits: Any) -> AbstractContextManager[Site]:
        """A gateway of its own with these limits."""

        @contextmanager
        def site() -> Iterator[Site]:
            with (
                listening(self.app(**limits), http=HastyProtocol) as url,
                httpx.Client(base_url=url, timeout=600) as http,
            ):
                yield Site(self, url, http)

        return site()


@dataclass
class Site:
    """A listening gateway."""

    house: House
    url: str
    http: httpx.Client
    asked: Service | None = None
    """Whom ``ask`` asks, if not the agent echo."""

    @property
    def invoke_url(self) -> str:
        return f"/agents/{(self.asked or self.house.echo).operator.agent_id}/invoke"

    def ask(self, question: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.http.post(self.invoke_url, json={"input": question}, headers=headers)

    def payment(
        self, question: str, signer: Any = None, change: Callable[[Any, Any], None] | None = None
    ) -> dict[str, str]:
        """The header that pays for a question. ``change`` may alter what is paid for before it is signed, given the
        terms and x402's client."""
        asked = self.ask(question)
        assert asked.status_code == 402, asked.text
        required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
        client, contracts = x402ClientSync(), self.house.connection.contracts
        register_open(
            client,
            signer or self.house.client,
            network="eip155:*",
            token=str(contracts.token.address),
            most=OPEN,
            now=self.house.connection.ledger.now,
        )
        if change is not None:
            change(required.accepts[0], client)
        return {"PAYMENT-SIGNATURE": encode_payment_signature_header(client.create_payment_payload(required))}


def _service(declared: Agent, connection: Connection, owner: Any, base: int, outbox: Outbox) -> Service:
    registered = register_agent(
        declared,
        connection,
        owner,
        base=base,
        adapters={},
        datanet_ids=[],
        stake=1000 * OPEN,
        engine_class="none",
    )
    purse = Purse(declared, registered.agent_id, connection, owner, outbox.url) if declared.uses else None
    runner: Any = LocalRunner(declared, Models(), purse)
    attributor: Any = _Nobody()
    ledger = connection.as_(owner)
    operator = Operator(
        declared,
        agent_id=registered.agent_id,
        epoch=registered.epoch,
        manifest=registered.manifest,
        record_key=connection.record_key(registered.agent_id),
        ledger=ledger,
        store=connection.store,
        outbox=outbox,
        runner=runner,
        attributor=attributor,
    )
    batcher = Batcher(registered.agent_id, ledger=ledger, store=connection.store, outbox=outbox)
    return Service(registered, operator, batcher, runner, attributor, outbox)


@contextmanager
def open_house(home: Path) -> Iterator[House]:
    """Both agents on a devnet of that home."""
    with Connection.open(Settings(home=home)) as connection:
        assert connection.devnet is not None
        owner, client = connection.devnet.accounts[2:4]
        for account in (owner, client):
            connection.as_(account).wrap(100_000 * OPEN)
        base = connection.assets.register_model(owner, cid_of(b"a base model"))
        outbox, keys = Outbox(home / "outbox.db"), Keys.open(connection, owner)

        def serve(declared: Agent, connection: Connection = connection, outbox: Outbox = outbox) -> Service:
            return _service(declared, connection, owner, base, outbox)

        yield House(connection, serve(echo), serve(talk), keys, owner, client, serve)
        outbox.close()
        keys.close()


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("gateway")) as house:
        yield house


@pytest.fixture
def another_house(tmp_path: Path) -> Iterator[House]:
    """For a test that breaks it."""
    with open_house(tmp_path) as house:
        yield house


@pytest.fixture(scope="package")
def site(house: House) -> Iterator[Site]:
    """A gateway with room for every test."""
    with house.serving(rate=1000, burst=1000) as site:
        yield site


@pytest.fixture(scope="package")
def metered(house: House) -> Iterator[Site]:
    """A gateway over an agent with a tariff, which is asked, and one without."""
    service = house.serve(gauge)
    app = house.app(house.echo, service, rate=1000, burst=1000)
    with listening(app, http=HastyProtocol) as url, httpx.Client(base_url=url, timeout=600) as http:
        yield Site(house, url, http, service)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    GATE.clear()
    yield GATE
    GATE.set()


@pytest.fixture
def stranger() -> Any:
    """Somebody without money."""
    return Account.create()
