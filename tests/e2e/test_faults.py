"""Every proof and demand on a real devnet: an agent commits the fault, a stranger slashes it, the books balance.

The agent is a real operator and batcher; a fault is the smallest deviation from what they do. The challenger has a
connection and a key of its own: it knows the chain, the content store, and the record's CID or the client's ticket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from blocks import lose
from eth_account import Account
from shops import BUYER, OPEN, OWNER, PARTNER, PRICE, SLASH, STAKE, Calls, Shop, World, answered, open_world

from openledger.errors import ChainError, ContentError
from openledger.registry import (
    ActionContent,
    AssetRef,
    KeptTicket,
    LocalStore,
    Payout,
    Status,
    cid_from_digest,
    cid_of,
    decode_step,
    steps_tree,
)
from openledger.staking import Finding, Verdict, enforce, find_fault, stake, unstake, verify
from openledger.staking._charges import Charges


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    make = tmp_path_factory.mktemp
    with open_world(make("home"), make("stranger"), make("outboxes")) as world:
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


def test_a_copy_that_charges_is_found_where_it_is(world: World) -> None:
    shop = world.open()
    receipt = shop.ask()
    failed = shop.sign(receipt, status=Status.FAILED)
    shop.anchor_by_hand(failed)
    header = shop.anchor_by_hand(failed, charges=[PRICE])
    found = find_fault(failed.cid, store=world.store, ledger=world.watcher, at=(header, 1))
    assert slashed(world, shop, found, "Misdeclared", receipt.record.client, PRICE) == SLASH


def test_who_looks_at_many_actions_reads_each_record_once(world: World) -> None:
    class Counting(LocalStore):
        reads: ClassVar[Counter[str]] = Counter()

        def get(self, cid: str) -> bytes:
            self.reads[cid] += 1
            return super().get(cid)

    shop = world.open()
    cids = [shop.ask(value).cid for value in range(3)]
    shop.batcher.anchor()
    header, store = shop.ledger.batch_of(shop.agent_id, 0), Counting(world.store.root)
    assert header is not None
    gone = lose(world.store, cids[2])
    charges = Charges(world.watcher, store)

    def look(nonce: int) -> Finding | None:
        return find_fault(cids[nonce], store=store, ledger=world.watcher, at=(header, nonce), charges=charges)

    assert look(0) is None
    before = store.reads[cids[1]], store.reads[cids[2]]
    assert before == (1, 1)
    assert look(0) is None
    assert store.reads[cids[1]] == 1
    assert store.reads[cids[2]] == 2, "what could not be read is tried again"
    world.store.put_blocks({cids[2]: gone})
    assert look(0) is None
    assert look(0) is None
    assert store.reads[cids[2]] == 3
    lose(world.store, cids[0])
    payment = shop.outbox.receipts(shop.agent_id)[-1].payment_id
    assert list(charges.of(bytes.fromhex(payment[2:]), shop.agent_id)) == [], "read before, and gone since"


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


def renewed(world: World) -> tuple[Shop, list[str]]:
    """The agent declares another model, or another key, before it runs what it was paid for: it cannot be run as promised."""
    shop = world.open(Calls(world.model_id))
    client, before = world.client, world.watcher.balance(world.client.address)
    paid = [client.prepare(shop.agent_id, value, PRICE) for value in (3, 4)]
    shop.operator.accept(paid[0])
    another = cid_of(b"another model")
    world.connection.assets.add_version(world.account(OWNER).signer, world.model_id, another)
    manifest = replace(shop.manifest, models=[AssetRef(world.model_id, another)])
    again = world.restart(shop, manifest=manifest, runner=Calls(world.model_id, another))
    again.operator.accept(paid[1])
    third = world.restart(
        again, key=Account.create(), manifest=manifest, runner=Calls(world.model_id, another)
    )
    receipts = [third.operator.finish(one.payment_id) for one in paid]
    assert [one.record.status for one in receipts] == [Status.FAILED] * 2
    assert "renewed" in receipts[0].output["error"]
    assert [one.record.epoch for one in receipts] == [again.epoch, third.epoch]
    third.batcher.anchor()
    assert world.watcher.balance(client.address) == before
    for one in receipts:
        report = verify(one.cid, store=world.store, ledger=world.watcher, replayer=None)
        assert report.verdict is Verdict.VERIFIED, report.summary
    return third, [one.cid for one in receipts]


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


HISTORIES = [rotated, transferred, crashed, renewed, late_influence, resumed, failed]


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
