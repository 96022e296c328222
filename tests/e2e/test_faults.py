"""Every proof and demand on a real devnet: an agent commits the fault, a stranger slashes it, the books balance.

The agent is a real operator and batcher; a fault is the smallest deviation from what they do. The challenger has a
connection and a key of its own: it knows the chain, the content store, and the record's CID or the client's ticket.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import pytest
from eth_account import Account
from langgraph.graph import END, START, StateGraph

from openledger.agents import Models, Outcome, agent
from openledger.errors import ChainError, ContentError
from openledger.registry import (
    ActionContent,
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
    cid_from_digest,
    cid_of,
    decode_step,
    step_seed,
    steps_tree,
)
from openledger.runtime import Batcher, Client, Credit, Job, LocalRunner, Operator, Outbox, Receipt
from openledger.settings import Settings
from openledger.staking import Anchored, Demand, Finding, Responder, enforce, find_fault, stake, unstake

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

    def open(self, runner: Any = None, *, fixed: int = 1000) -> Shop:
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
        )
        key = Account.create()
        epoch = agents.open_epoch(owner.signer, agent_id, key.address, manifest)
        outbox = Outbox(self.folder / f"{agent_id}.db")
        shop = self._serve(agent_id, manifest, outbox, epoch, key, runner, OWNER)
        self.shops.append(shop)
        return shop

    def restart(self, shop: Shop, *, key: Any = None, number: int | None = None, runner: Any = None) -> Shop:
        """The same agent in another process; with ``key`` in a new epoch."""
        number = shop.number if number is None else number
        epoch = shop.epoch
        if key is not None:
            signer = self.account(number).signer
            epoch = self.connection.agents.open_epoch(signer, shop.agent_id, key.address, shop.manifest)
        shop.outbox.close()
        outbox = Outbox(self.folder / f"{shop.agent_id}.db")
        again = self._serve(shop.agent_id, shop.manifest, outbox, epoch, key or shop.key, runner, number)
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
        path = self.store.root / cid[-2:] / cid
        path.unlink()

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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with Connection.open(Settings(home=home)) as connection:
        assert connection.devnet is not None
        strange = tmp_path_factory.mktemp("stranger")
        shutil.copytree(home / "deployments", strange / "deployments")
        key = "0x" + bytes(connection.devnet.accounts[WATCHER].key).hex()
        settings = Settings(home=strange, rpc_url=connection.devnet.rpc_url, private_key=key)
        with Connection.open(settings) as stranger:
            world = World(connection, stranger.ledger, tmp_path_factory.mktemp("outboxes"))
            for number in (OWNER, CLIENT, BUYER, WATCHER):
                world.account(number).wrap(10_000 * OPEN)
            assets, owner = connection.assets, world.account(OWNER).signer
            world.model_id = assets.register_model(owner, MODEL)
            world.datanet_id = assets.register_datanet(owner, MODEL)
            yield world


def slashed(
    world: World, shop: Shop, found: Finding | None, fault: str, harmed: str | None, harm: int = 0
) -> int:
    """The challenger brings it; every wei of the slash is accounted for. Returns the slash."""
    assert found is not None, f"no fault found, where {fault} was committed"
    assert found.fault == fault, found.why
    before = (world.position(shop), world.burned(), world.watcher.balance(world.watcher.address))
    was = 0 if harmed is None else world.watcher.balance(harmed)
    outcome = found.bring(world.watcher)
    if found.is_demand:
        world.wait("demandResponse")
        outcome = enforce(world.watcher, outcome)
    taken = before[0] - world.position(shop)
    assert taken == outcome > 0
    reward = world.watcher.balance(world.watcher.address) - before[2]
    assert reward == taken * 3 // 10
    paid = 0 if harmed is None else world.watcher.balance(harmed) - was
    assert paid == harm
    assert world.burned() - before[1] == taken - reward - paid
    world.check_books()
    return taken


# -- proofs ----------------------------------------------------------------------------------------------------


def test_equivocation(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    other = shop.sign(receipt, output_hash=bytes(32))
    found = world.find(receipt.cid, against=other.cid)
    assert slashed(world, shop, found, "Equivocation", receipt.record.client, PRICE) == SLASH


def test_anchored_not_signed(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    shop.anchor_by_hand(shop.sign(receipt, output_hash=bytes(32)))
    found = world.find(receipt.cid)
    assert slashed(world, shop, found, "AnchoredMismatch", receipt.record.client, PRICE) == SLASH


def test_double_payment(world: World) -> None:
    shop = world.open()
    first = shop.ask()
    shop.batcher.anchor()
    shop.ask(4)  # somebody else's money lies in the escrow
    second = shop.sign(first, nonce=1)
    shop.anchor_by_hand(second)
    assert slashed(world, shop, world.find(first.cid), "DoublePayment", None) == SLASH
    found = world.find(second.cid)
    assert found is not None
    with pytest.raises(ChainError, match="AlreadyConvicted"):
        found.bring(world.watcher)


def test_charged_though_refunded(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    shop.batcher.anchor()
    shop.ask(4)
    record = receipt.record
    shop.ledger.payments.refund(shop.agent_id, record.payment_id, record.client, PRICE)
    assert slashed(world, shop, world.find(receipt.cid), "RefundedCharge", None) == SLASH


def test_misdeclared_charge(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    shop.anchor_by_hand(receipt.signed, charges=[PRICE // 2])
    assert slashed(world, shop, world.find(receipt.cid), "Misdeclared", None) == SLASH


def test_charged_though_failed(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    failed = shop.sign(receipt, status=Status.FAILED)
    shop.anchor_by_hand(failed, charges=[PRICE])
    assert slashed(world, shop, world.find(failed.cid), "Misdeclared", receipt.record.client, PRICE) == SLASH


def test_fixed_split(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    net = shop.ledger.settlement.net(shop.agent_id, shop.epoch, PRICE)
    shop.anchor_by_hand(receipt.signed, payouts=[Payout(shop.ledger.address, net)])
    share = net // 10
    assert slashed(world, shop, world.find(receipt.cid), "FixedSplitBroken", PARTNER, share) == OPEN


def test_proofs_reach_stake_that_leaves_and_agents_that_are_sold(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    shop.anchor_by_hand(shop.sign(receipt, output_hash=bytes(32)))
    unstake(shop.ledger, shop.agent_id, STAKE)
    sell(world, shop)
    found = world.find(receipt.cid)
    assert slashed(world, shop, found, "AnchoredMismatch", receipt.record.client, PRICE) == SLASH


# -- demands ---------------------------------------------------------------------------------------------------


def test_omission(world: World, tmp_path: Path) -> None:
    shop = world.open()
    kept = promised(world, shop)
    again = KeptTicket.load(kept.save(tmp_path / "ticket.json"))
    assert again == kept
    world.wait("maxAnchorLag")
    assert slashed(world, shop, world.find(again), "Omission", kept.payment.client, PRICE) == SLASH


def test_undeclared_model(world: World) -> None:
    shop = world.open(Calls(99))
    receipt = shop.ask()
    shop.batcher.anchor()
    found = world.find(receipt.cid)
    assert slashed(world, shop, found, "UndeclaredModel", receipt.record.client, PRICE) == SLASH


def test_a_datanet_is_no_model(world: World) -> None:
    shop = world.open(Calls(world.datanet_id))
    receipt = shop.ask()
    shop.batcher.anchor()
    found = world.find(receipt.cid)
    assert slashed(world, shop, found, "UndeclaredModel", receipt.record.client, PRICE) == SLASH


@pytest.mark.parametrize("what", ["envelope", "batch", "manifest", "content", "step", "chunk"])
def test_withheld_data(world: World, what: str) -> None:
    shop = world.open(Calls(world.model_id))
    receipt = shop.ask()
    (header,) = shop.batcher.anchor()
    content = ActionContent.decode(receipt.signed.content, world.store.get)
    step = decode_step(content.steps[0], world.store.get)
    missing = {
        "envelope": receipt.cid,
        "batch": cid_from_digest(header.batch_digest),
        "manifest": shop.manifest.cid,
        "content": receipt.signed.content,
        "step": content.steps[0],
        "chunk": next(cid for cid in step.encoded.blocks if cid != step.cid),
    }[what]
    block = world.store.get(missing)
    world.forget(missing)
    with pytest.raises(ContentError):
        world.store.get(missing)
    of_action = what in ("content", "step", "chunk")
    client = receipt.record.client if of_action else None
    assert slashed(world, shop, world.find(receipt.cid), "DataWithheld", client, PRICE * of_action) == SLASH
    world.store.put(block, "raw" if what == "chunk" else "dag-cbor")


# -- honest histories ------------------------------------------------------------------------------------------


def rotated(world: World) -> tuple[Shop, list[str]]:
    shop = world.open(Calls(world.model_id))
    before = shop.ask()
    again = world.restart(shop, key=Account.create(), runner=Calls(world.model_id))
    after = again.ask(5)
    again.batcher.anchor()
    return again, [before.cid, after.cid]


def transferred(world: World) -> tuple[Shop, list[str]]:
    shop = world.open()
    seller = shop.ask()
    shop.batcher.anchor()
    sell(world, shop)
    again = world.restart(shop, key=Account.create(), number=BUYER)
    buyer = again.ask(5)
    again.batcher.anchor()
    return again, [seller.cid, buyer.cid]


def crashed(world: World) -> tuple[Shop, list[str]]:
    shop = world.open()
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    shop.operator.accept(paid)
    again = world.restart(shop)
    again.batcher.anchor()
    third = world.restart(again)
    third.batcher.anchor()
    receipt = third.operator.finish(paid.payment_id)
    return third, [receipt.cid]


def late_influence(world: World) -> tuple[Shop, list[str]]:
    """The batch pays other contributors than the action's record was signed with in mind."""
    shop = world.open()
    receipt = shop.ask()
    net = shop.ledger.settlement.net(shop.agent_id, shop.epoch, PRICE)
    part = net // 10
    late = world.account(BUYER).address
    payouts = [
        Payout(PARTNER, part),
        Payout(late, net // 3),
        Payout(shop.ledger.address, net - part - net // 3),
    ]
    shop.anchor_by_hand(receipt.signed, payouts=payouts)
    return shop, [receipt.cid]


def resumed(world: World) -> tuple[Shop, list[str]]:
    shop = world.open(Calls(world.model_id, status=Status.INTERRUPTED))
    first = shop.ask()
    again = world.restart(shop, runner=Calls(world.model_id))
    second = again.ask(4, parent=first.cid, thread="0x" + first.record.payment_id.hex())
    again.batcher.anchor()
    return again, [first.cid, second.cid]


def failed(world: World) -> tuple[Shop, list[str]]:
    shop = world.open(Calls(world.model_id, status=Status.FAILED))
    before = world.watcher.balance(world.client.address)
    receipt = shop.ask()
    shop.batcher.anchor()
    assert world.watcher.balance(world.client.address) == before  # refunded
    return shop, [receipt.cid]


HISTORIES = [rotated, transferred, crashed, late_influence, resumed, failed]


@pytest.mark.parametrize("history", HISTORIES, ids=lambda one: one.__name__)
def test_honest_histories_are_never_slashed(
    world: World, history: Callable[[World], tuple[Shop, list[str]]]
) -> None:
    shop, cids = history(world)
    staked = [world.position(shop, number) for number in (OWNER, BUYER)]
    for cid in cids:
        assert world.find(cid) is None
        force_proofs(world, shop, cid)
        force_demands(world, shop, cid)
    assert [world.position(shop, number) for number in (OWNER, BUYER)] == staked
    world.check_books()


def test_kept_and_refunded_tickets_are_no_omission(world: World) -> None:
    shop = world.open()
    kept, refunded = promised(world, shop), promised(world, shop)
    shop.operator.finish(kept.ticket.payment_id)
    shop.batcher.anchor()
    shop.ledger.payments.refund(shop.agent_id, refunded.ticket.payment_id, refunded.payment.client, PRICE)
    world.wait("maxAnchorLag")
    for ticket in (kept, refunded):
        assert world.find(ticket) is None
        arguments = (ticket.ticket.to_abi(), ticket.signature, ticket.payment_abi())
        number = Finding("Omission", "forced", shop.agent_id, "demandOmission", arguments).bring(
            world.watcher
        )
        answered(world, shop, number)
    assert world.position(shop) == STAKE
    world.check_books()


def test_a_link_in_a_request_cannot_be_demanded(world: World) -> None:
    """A client that asks about a block which is nowhere does not make the operator owe it."""
    from openledger.registry import Link, links_in

    shop = world.open(Calls(world.model_id))
    nowhere = Link(cid_of(b"nowhere to be found"))
    client = world.client
    paid = client.prepare(shop.agent_id, {"links": [nowhere]}, PRICE, parent=str(nowhere), thread="t")
    receipt = shop.operator.submit(paid)
    shop.batcher.anchor()
    content = world.store.get(receipt.signed.content)
    assert nowhere not in [link.cid for link in links_in(content)]
    assert world.find(receipt.cid) is None


# --------------------------------------------------------------------------------------------------------------


def promised(world: World, shop: Shop) -> KeptTicket:
    """Paid, with a ticket, and nothing done yet."""
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    ticket = shop.operator.accept(paid)
    return ticket.keep(paid.payment)


def sell(world: World, shop: Shop) -> None:
    seller, buyer = world.account(OWNER), world.account(BUYER)
    agents = world.connection.contracts.agents.functions
    seller.send(agents.transferFrom(seller.address, buyer.address, shop.agent_id))
    stake(buyer, shop.agent_id, STAKE)


def force_proofs(world: World, shop: Shop, cid: str) -> None:
    """Every proof by hand, without what makes it one: the contract refuses each."""
    shown = shop.shown(cid)
    record = shown.signed.record
    header = shown.header.to_abi()
    anchored = shown.batch.entries[shown.nonce - shown.header.first_nonce].struct_hash
    proof = shown.batch.record_proof(shown.nonce)
    manifest = shop.manifest
    position = len(manifest.assets)
    claim: tuple[Any, ...] = (0, PARTNER, 0, [])
    if shown.batch.payouts:
        account, amount = shown.batch.payouts[0]
        claim = (0, account, amount, shown.batch.payout_tree.proof(0))
    split = (0, *manifest.fixed[0])
    forced = [
        ("proveEquivocation", (record.to_abi(), shown.signed.signature) * 2),
        ("proveAnchoredMismatch", (header, record.to_abi(), shown.signed.signature, anchored, proof)),
        ("proveDoublePayment", (shown.to_abi(), shown.to_abi())),
        ("proveRefundedCharge", (shown.to_abi(),)),
        ("proveMisdeclared", (shown.to_abi(),)),
        ("proveFixedSplit", (header, split, position, manifest.tree.proof(position), claim)),
    ]
    for function, arguments in forced:
        with pytest.raises(ChainError, match="NoConflict"):
            Finding("None", "forced", shop.agent_id, function, arguments).bring(world.watcher)


def force_demands(world: World, shop: Shop, cid: str) -> None:
    """Every demand by hand: the responder answers each and earns the bond."""
    shown = shop.shown(cid)
    header, hashed = shown.header.to_abi(), shown.header.hash()
    forced: list[tuple[str, tuple[Any, ...]]] = [
        ("demandBatchData", (header, [])),
        ("demandManifest", (header, [])),
        ("demandRecordData", (shown.to_abi(), [])),
    ]
    content = ActionContent.decode(shown.signed.content, world.store.get)
    steps = [decode_step(step, world.store.get) for step in content.steps]
    if steps:
        tree = steps_tree([step.leaf(i) for i, step in enumerate(steps)])
        leaf = steps[0].leaf(0).to_abi()
        forced.append(("demandStepData", (shown.to_abi(), leaf, tree.proof(0), [])))
        forced.append(("demandModel", (shown.to_abi(), leaf, tree.proof(0))))
    for function, arguments in forced:
        finding = Finding("None", "forced", shop.agent_id, function, arguments, hashed)
        if function in ("demandBatchData", "demandManifest") and asked_before(world, hashed):
            continue  # for the record before it in the batch
        answered(world, shop, finding.bring(world.watcher))


def asked_before(world: World, header_hash: bytes) -> bool:
    """Whether the batch's own block and its manifest were demanded."""
    disputes = world.connection.contracts.disputes
    every = 2**64 - 1
    asked = world.watcher.events(disputes.events.Demanded, nonce=every)
    return sum(bytes(one["headerHash"]) == header_hash for one in asked) == 2


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
