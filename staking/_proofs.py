"""Faults that signatures and anchored batches prove, built from chain and content store alone."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ContentError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    Manifest,
    SignedRecord,
    cid_from_digest,
)
from ._charges import Charges
from ._finding import Anchored, Finding

__all__ = [
    "anchored_records",
    "double_payment",
    "equivocation",
    "fixed_split",
    "mismatch",
    "misdeclared",
    "refunded_charge",
]


def equivocation(first: SignedRecord, second: SignedRecord, ledger: Ledger) -> Finding | None:
    """Two records that one agent signed with one nonce."""
    a, b = first.record, second.record
    if (a.agent_id, a.nonce) != (b.agent_id, b.nonce) or a.struct_hash() == b.struct_hash():
        return None
    if not (signed_by_its_key(first, ledger) and signed_by_its_key(second, ledger)):
        return None
    return Finding(
        "Equivocation",
        f"two different records are signed with nonce {a.nonce}",
        a.agent_id,
        "proveEquivocation",
        (a.to_abi(), first.signature, b.to_abi(), second.signature),
    )


def mismatch(signed: SignedRecord, header: BatchHeader, batch: Batch, ledger: Ledger) -> Finding | None:
    """Another record is anchored at the signed one's nonce."""
    record = signed.record
    anchored = batch.entries[record.nonce - header.first_nonce].struct_hash
    if anchored == record.struct_hash() or not signed_by_its_key(signed, ledger):
        return None
    proof = batch.record_proof(record.nonce)
    return Finding(
        "AnchoredMismatch",
        f"another record than the signed one is anchored at nonce {record.nonce}",
        record.agent_id,
        "proveAnchoredMismatch",
        (header.to_abi(), record.to_abi(), signed.signature, anchored, proof),
    )


def misdeclared(shown: Anchored) -> Finding | None:
    """The leaf is not what its record says."""
    record = shown.signed.record
    if (record.agent_id, record.nonce, record.charge) == (shown.header.agent_id, shown.nonce, shown.charge):
        return None
    why = f"the leaf at nonce {shown.nonce} charges {shown.charge} wei for a record of nonce {record.nonce} that charges {record.charge}"
    return Finding("Misdeclared", why, shown.header.agent_id, "proveMisdeclared", (shown.to_abi(),))


def refunded_charge(shown: Anchored, ledger: Ledger) -> Finding | None:
    """More of the payment is charged than its operator kept when it refunded it."""
    record = shown.signed.record
    if not shown.charge:
        return None
    refund = ledger.call(ledger.contracts.pool.functions.refundOf(shown.header.agent_id, record.payment_id))
    epoch = ledger.epoch(shown.header.agent_id, shown.header.epoch)
    _, amount, operator, charged = refund
    if not amount or shown.charge <= charged or epoch is None or str(operator) != epoch.operator:
        return None
    why = f"nonce {shown.nonce} charges {shown.charge} wei of a payment of which {amount} were refunded and {charged} kept"
    return Finding("RefundedCharge", why, shown.header.agent_id, "proveRefundedCharge", (shown.to_abi(),))


def double_payment(shown: Anchored, ledger: Ledger, charges: Charges) -> Finding | None:
    """Another record of the same operator charges the same payment."""
    record, agent_id = shown.signed.record, shown.header.agent_id
    if not shown.charge:
        return None
    operators: dict[int, str] = {}

    def operator(header: BatchHeader) -> str:
        if header.epoch not in operators:
            epoch = ledger.epoch(agent_id, header.epoch)
            operators[header.epoch] = "" if epoch is None else epoch.operator
        return operators[header.epoch]

    for other in charges.of(record.payment_id, agent_id):
        if other.nonce == shown.nonce or operator(other.header) != operator(shown.header):
            continue
        first, second = sorted((shown, other), key=lambda one: one.nonce)
        why = f"nonces {first.nonce} and {second.nonce} charge one payment"
        return Finding(
            "DoublePayment", why, agent_id, "proveDoublePayment", (first.to_abi(), second.to_abi())
        )
    return None


def fixed_split(header: BatchHeader, batch: Batch, ledger: Ledger, store: ContentStore) -> Finding | None:
    """The batch breaks a fixed share of its epoch's manifest."""
    epoch = ledger.epoch(header.agent_id, header.epoch)
    if epoch is None or not header.sum:
        return None
    try:
        manifest = Manifest.decode(epoch.manifest, store.get)
    except ContentError:
        return None  # withheld: that is another fault
    net = ledger.settlement.net(header.agent_id, header.epoch, header.sum)
    for index, share in enumerate(manifest.fixed):
        paid = 0
        claim: tuple[object, ...] = (0, "0x" + "0" * 40, 0, [])
        if index < len(batch.payouts):
            account, amount = batch.payouts[index]
            paid = amount if account.lower() == share.account.lower() else 0
            claim = (index, account, amount, batch.payout_tree.proof(index))
        due = net * share.bps // 10_000
        if paid + header.count >= due:
            continue
        position = len(manifest.assets) + index
        return Finding(
            "FixedSplitBroken",
            f"{share.account} is due {due} wei of the batch from nonce {header.first_nonce} and gets {paid}",
            header.agent_id,
            "proveFixedSplit",
            (
                header.to_abi(),
                (index, share.account, share.bps),
                position,
                manifest.tree.proof(position),
                claim,
            ),
        )
    return None


def anchored_records(ledger: Ledger, store: ContentStore, agent_id: int) -> Iterator[Anchored]:
    """Every anchored record of the agent that can be read, oldest first."""
    for header in ledger.batches(agent_id):
        try:
            batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
        except ContentError:
            continue
        for index, entry in enumerate(batch.entries):
            try:
                signed = SignedRecord.decode(store.get(entry.envelope), entry.envelope)
            except ContentError:
                continue
            if signed.record.struct_hash() == entry.struct_hash:
                yield Anchored(header, batch, header.first_nonce + index, signed)


def signed_by_its_key(signed: SignedRecord, ledger: Ledger) -> bool:
    """Whether the record's epoch key signed it for this chain, and is still liable."""
    epoch = ledger.epoch(signed.record.agent_id, signed.record.epoch)
    if epoch is None or signed.domain != ledger.domain or ledger.now() > epoch.liable_until:
        return False
    try:
        return signed.signer() == epoch.record_key
    except ContentError:
        return False
