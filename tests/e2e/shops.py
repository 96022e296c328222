"""An agent in service without a model, on a devnet of its own, and everybody who deals with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

from blocks import lose
from eth_account import Account
from langgraph.graph import END, START, StateGraph

from openledger.agents import Models, Outcome, agent
from openledger.registry import (
    AssetRef,
    Batch,
    BatchEntry,
    BatchHeader,
    Connection,
    FixedShare,
    KeptTicket,
    Ledger,
    LocalStore,
    Manifest,
    ModelCallStep,
    Payout,
    Sampling,
    SignedRecord,
    Split,
    Status,
    Tariff,
    cid_from_digest,
    cid_of,
    step_seed,
)
from openledger.runtime import Batcher, Client, Credit, Job, LocalRunner, Operator, Outbox, Receipt
from openledger.settings import Settings
from openledger.staking import Anchored, Demand, Finding, Responder, find_fault, stake

OPEN = 10**18
PRICE = OPEN // 10
SLASH = 80 * PRICE
STAKE = 100 * OPEN
MODEL = cid_of(b"model")
OWNER, CLIENT, BUYER, WATCHER = 1, 2, 3, 9
PARTNER = Account.from_key(b"\x07" * 32).address


class State(TypedDict, total=False):
    x: int
    y: int


@agent("doubler", price=PRICE, input="x", output="y")
def doubler() -> Any:
    graph = StateGraph(State)
    graph.add_node("double", lambda state: {"y": 2 * state["x"]})
    graph.add_edge(START, "double")
    graph.add_edge("double", END)
    return graph


@dataclass(frozen=True)
class Calls:
    """A worker whose every action is one call of this model, and ends as it is told."""

    asset_id: int
    content: str = MODEL
    status: Status = Status.OK

    def run(self, job: Job) -> Outcome:
        # long enough that its tokens are chunks of their own
        tokens = list(range(600))
        step = ModelCallStep(
            self.asset_id, self.content, self.asset_id, self.content, [1, 2, 3], tokens, [-1000] * 600,
            Sampling(1.0, 1.0, 0, 600), step_seed(job.signature, job.request_hash, 0), "cpu", "length", "answer",
        )  # fmt: skip
        return Outcome(self.status, {"y": job.value}, (step,), 1, 2)


@dataclass(frozen=True)
class Owner:
    """Pays a tenth to the partner, the rest to the owner."""

    ledger: Ledger
    agent_id: int
    share: int = 1000
    rule: str = "test"
    rule_id: bytes = bytes(32)

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        if outcome.status is Status.FAILED:
            return Credit((), None)
        net = self.ledger.settlement.net(self.agent_id, epoch, fee)
        part = net * self.share // 10_000
        return Credit(((PARTNER, part), (self.ledger.address, net - part)), None)


@dataclass
class Shop:
    """An agent in service."""

    world: World
    agent_id: int
    manifest: Manifest
    operator: Operator
    batcher: Batcher
    outbox: Outbox
    epoch: int
    key: Any
    number: int = OWNER

    @property
    def ledger(self) -> Ledger:
        return self.world.account(self.number)

    def ask(self, value: int = 3, **resume: Any) -> Receipt:
        """A client pays and gets a receipt; nothing is anchored yet."""
        client = self.world.client
        return client.call(self.operator, self.agent_id, value, PRICE, **resume)

    def sign(self, receipt: Receipt, **changes: Any) -> SignedRecord:
        """Another record than the one the client got, signed and stored."""
        record = replace(receipt.record, **changes)
        signed = SignedRecord.make(record, self.key, self.ledger.domain, receipt.signed.content)
        self.world.store.put(signed.encode())
        return signed

    def anchor_by_hand(
        self, *signed: SignedRecord, charges: list[int] | None = None, payouts: list[Payout] | None = None
    ) -> BatchHeader:
        charges = charges or [one.record.charge for one in signed]
        entries = [
            BatchEntry(one.record.struct_hash(), one.cid, charge)
            for one, charge in zip(signed, charges, strict=True)
        ]
        if payouts is None:
            net = self.ledger.settlement.net(self.agent_id, self.epoch, sum(charges))
            part = net // 10
            payouts = [Payout(PARTNER, part), Payout(self.ledger.address, net - part)] if net else []
        batch = Batch(self.agent_id, self.ledger.next_nonce(self.agent_id), entries, payouts)
        self.world.store.put_blocks(batch.encoded.blocks)
        return self.ledger.anchor(batch, self.epoch)

    def shown(self, cid: str) -> Anchored:
        signed = SignedRecord.decode(self.world.store.get(cid), cid)
        header = self.ledger.batch_of(self.agent_id, signed.record.nonce)
        assert header is not None
        batch = Batch.decode(cid_from_digest(header.batch_digest), self.world.store.get)
        return Anchored(header, batch, signed.record.nonce, signed)


@dataclass
class World:
    """A chain, everybody on it, and a challenger who knows nobody."""

    connection: Connection
    watcher: Ledger
    folder: Path
    model_id: int = 0
    datanet_id: int = 0
    shops: list[Shop] = field(default_factory=list)

    @property
    def store(self) -> LocalStore:
        assert isinstance(self.connection.store, LocalStore)
        return self.connection.store

    @property
    def client(self) -> Client:
        ledger = self.account(CLIENT)
        return Client(ledger.signer, ledger)

    def account(self, number: int) -> Ledger:
        assert self.connection.devnet is not None
        return self.connection.as_(self.connection.devnet.accounts[number])

    def open(self, runner: Any = None, *, fixed: int = 1000, tariff: Tariff | None = None) -> Shop:
        """A new agent with stake, a manifest of one model, one datanet and one fixed share, in service."""
        owner, agents = self.account(OWNER), self.connection.agents
        agent_id = agents.register(owner.signer, "Doubler", "Doubles")
        stake(owner, agent_id, STAKE)
        manifest = Manifest(
            "doubler",
            [AssetRef(self.model_id, MODEL)],
            [],
            [AssetRef(self.datanet_id, MODEL)],
            "test",
            Split(10_000, 0, 0, 0),
            "cpu",
            bytes(32),
            [FixedShare(PARTNER, fixed)],
            tariff,
        )
        key = Account.create()
        epoch = agents.open_epoch(owner.signer, agent_id, key.address, manifest)
        outbox = Outbox(self.folder / f"{agent_id}.db")
        shop = self._serve(agent_id, manifest, outbox, epoch, key, runner, OWNER)
        self.shops.append(shop)
        return shop

    def restart(
        self,
        shop: Shop,
        *,
        key: Any = None,
        number: int | None = None,
        runner: Any = None,
        manifest: Manifest | None = None,
    ) -> Shop:
        """The same agent in another process; with ``key`` or ``manifest`` in a new epoch."""
        number = shop.number if number is None else number
        epoch, declared = shop.epoch, manifest or shop.manifest
        if key is not None or manifest is not None:
            signer, address = self.account(number).signer, (key or shop.key).address
            epoch = self.connection.agents.open_epoch(signer, shop.agent_id, address, declared)
        shop.outbox.close()
        outbox = Outbox(self.folder / f"{shop.agent_id}.db")
        again = self._serve(shop.agent_id, declared, outbox, epoch, key or shop.key, runner, number)
        again.operator.recover()
        return again

    def _serve(
        self,
        agent_id: int,
        manifest: Manifest,
        outbox: Outbox,
        epoch: int,
        key: Any,
        runner: Any,
        number: int,
    ) -> Shop:
        ledger = self.account(number)
        operator = Operator(
            doubler,
            agent_id=agent_id,
            epoch=epoch,
            manifest=manifest,
            record_key=key,
            ledger=ledger,
            store=self.store,
            outbox=outbox,
            runner=runner or LocalRunner(doubler, Models()),
            attributor=Owner(ledger, agent_id),
        )
        batcher = Batcher(agent_id, ledger=ledger, store=self.store, outbox=outbox)
        return Shop(self, agent_id, manifest, operator, batcher, outbox, epoch, key, number)

    def find(self, subject: str | KeptTicket, against: str | None = None) -> Finding | None:
        return find_fault(subject, store=self.store, ledger=self.watcher, against=against)

    def wait(self, parameter: str) -> None:
        self.connection.chain.advance(self.watcher.parameter(parameter) + 1)

    def forget(self, cid: str) -> None:
        """Nobody serves this block any more."""
        lose(self.store, cid)

    # -- the books ---------------------------------------------------------------------------------------------

    def position(self, shop: Shop, number: int = OWNER) -> int:
        vault = self.connection.contracts.vault.functions
        found = self.watcher.call(vault.positionOf(shop.agent_id, self.account(number).address))
        return int(found.active + found.pending)

    def burned(self) -> int:
        return int(self.watcher.call(self.connection.contracts.token.functions.burned()))

    def check_books(self) -> None:
        """All OPEN is where it should be, to the wei."""
        contracts, ledger = self.connection.contracts, self.watcher
        assert self.connection.devnet is not None
        held = [str(account.address) for account in self.connection.devnet.accounts]
        held += [ledger.payments.escrow_of(shop.agent_id) for shop in self.shops]
        held += [contracts.address(name) for name in ("StakeVault", "RewardPool", "Disputes")]
        held += [PARTNER, ledger.settlement.treasury]
        token = contracts.token.functions
        supply = ledger.call(token.totalSupply())
        assert sum(ledger.balance(account) for account in set(held)) == supply
        assert self.connection.chain.balance(contracts.token.address) == supply + self.burned()
        assert ledger.balance(contracts.address("Disputes")) == 0
        staked = sum(self.position(shop) + self.position(shop, BUYER) for shop in self.shops)
        assert ledger.balance(contracts.address("StakeVault")) == staked


def answered(world: World, shop: Shop, number: int) -> None:
    """The responder answers; whoever demanded has paid for it."""
    bond = Demand.read(world.watcher, number).bond
    helper = world.account(BUYER)
    responder = Responder(helper, world.store, [shop.agent_id])
    before = helper.balance(helper.address)
    (answer,) = responder.respond()
    assert answer.problem is None
    assert answer.earned == bond == helper.balance(helper.address) - before
    assert Demand.read(world.watcher, number).state == "Answered"
    assert responder.respond() == []


@contextmanager
def open_world(home: Path, strange: Path, outboxes: Path) -> Iterator[World]:
    """The world of ``home``; the watcher's is ``strange``, and holds what everybody can know."""
    with Connection.open(Settings(home=home)) as connection:
        assert connection.devnet is not None
        shutil.copytree(home / "deployments", strange / "deployments")
        key = "0x" + bytes(connection.devnet.accounts[WATCHER].key).hex()
        settings = Settings(home=strange, rpc_url=connection.devnet.rpc_url, private_key=key)
        with Connection.open(settings) as stranger:
            world = World(connection, stranger.ledger, outboxes)
            for number in (OWNER, CLIENT, BUYER, WATCHER):
                world.account(number).wrap(10_000 * OPEN)
            assets, owner = connection.assets, world.account(OWNER).signer
            world.model_id = assets.register_model(owner, MODEL)
            world.datanet_id = assets.register_datanet(owner, MODEL)
            yield world
