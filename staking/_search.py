"""Which dispute applies to an action: every fault that needs no engine, from chain and content store alone."""

from __future__ import annotations

from ..errors import ChallengeError, ContentError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    KeptTicket,
    Ledger,
    SignedRecord,
    cid_from_digest,
    normalise_cid,
)
from ._charges import Charges
from ._demands import omission, undeclared_model, withheld_batch, withheld_record
from ._finding import Anchored, Finding
from ._proofs import double_payment, equivocation, fixed_split, misdeclared, mismatch, refunded_charge

__all__ = ["find_fault"]


def find_fault(
    subject: str | KeptTicket,
    *,
    store: ContentStore,
    ledger: Ledger,
    against: str | None = None,
    at: tuple[BatchHeader, int] | None = None,
    charges: Charges | None = None,
) -> Finding | None:
    """The first fault of an action (the CID of its record) or of a ticket; None when there is none but, perhaps, in
    what only a replay shows.

    ``against`` is the CID of another record that the agent may have signed with the same nonce. Proofs come before
    demands. Who looks at many actions says ``at`` which nonce of which batch each is anchored, and keeps the ``charges`` of
    this chain and store: else all of the agent's batches and records are read for each.

    Raises ``ChallengeError`` for a record that is in no batch and cannot be read.
    """
    if isinstance(subject, KeptTicket):
        return omission(subject, ledger, store)
    cid = normalise_cid(subject)
    try:
        signed: SignedRecord | None = SignedRecord.decode(store.get(cid), cid)
    except ContentError:
        signed = None
    if signed is not None and against is not None:
        other = SignedRecord.decode(store.get(normalise_cid(against)), against)
        if (found := equivocation(signed, other, ledger)) is not None:
            return found
    header, nonce = at or _place(cid, signed, ledger, store)
    if header is None:
        if signed is None:
            raise ChallengeError(
                f"{cid} cannot be read and is in no batch",
                fix="get the record from whoever named it, or wait",
            )
        return None
    try:
        batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
    except ContentError:
        return withheld_batch(header, ledger, store, cid)
    in_place = signed is not None and (signed.record.agent_id, signed.record.nonce) == (
        header.agent_id,
        nonce,
    )
    if in_place and signed is not None and (found := mismatch(signed, header, batch, ledger)) is not None:
        return found
    if (found := fixed_split(header, batch, ledger, store)) is not None:
        return found
    if signed is None or batch.entries[nonce - header.first_nonce].struct_hash != signed.record.struct_hash():
        return withheld_batch(header, ledger, store, cid)
    shown = Anchored(header, batch, nonce, signed)
    return (
        misdeclared(shown)
        or refunded_charge(shown, ledger)
        or double_payment(shown, ledger, charges or Charges(ledger, store))
        or withheld_batch(header, ledger, store, cid)
        or withheld_record(shown, store)
        or undeclared_model(shown, ledger, store)
    )


def _place(
    cid: str, signed: SignedRecord | None, ledger: Ledger, store: ContentStore
) -> tuple[BatchHeader | None, int]:
    """The batch and nonce where the record is anchored; where its own nonce is, when it is nowhere."""
    own = None
    if signed is not None and signed.domain == ledger.domain:
        own = ledger.batch_of(signed.record.agent_id, signed.record.nonce)
    unreadable = None
    for header in ledger.batches(None if signed is None else signed.record.agent_id):
        try:
            batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
        except ContentError:
            unreadable = unreadable or header
            continue
        for index, entry in enumerate(batch.entries):
            if entry.envelope == cid:
                return header, header.first_nonce + index
    if own is not None and signed is not None:
        return own, signed.record.nonce
    if signed is None and unreadable is not None:
        return unreadable, unreadable.first_nonce
    return None, 0
