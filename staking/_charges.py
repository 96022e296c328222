"""Which payments the anchored records of an agent charge. Every record is read once, however many are looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import ContentError
from ..registry import Batch, BatchHeader, ContentStore, Ledger, SignedRecord, cid_from_digest
from ._finding import Anchored

__all__ = ["Charges"]


@dataclass
class _Charged:
    """Of one batch: indexes by payment, and the envelopes that could not be read yet."""

    by_payment: dict[bytes, list[int]] = field(default_factory=dict)
    unread: set[int] | None = None
    """None while the batch itself could not be."""


class Charges:
    """Remembers 200 bytes or so an action, of every agent that was asked about. Not thread-safe."""

    def __init__(self, ledger: Ledger, store: ContentStore) -> None:
        self._ledger, self._store = ledger, store
        self._batches: dict[bytes, _Charged] = {}

    def of(self, payment_id: bytes, agent_id: int) -> Iterator[Anchored]:
        """The agent's anchored records that charge this payment, oldest first; without those that cannot be read now."""
        for header in self._ledger.batches(agent_id):
            # by the header's hash: after a re-organisation it is another batch
            charged = self._batches.setdefault(header.hash(), _Charged())
            if charged.unread is None or charged.unread:
                self._read(header, charged)
            for index in charged.by_payment.get(payment_id, ()):
                try:
                    batch = Batch.decode(cid_from_digest(header.batch_digest), self._store.get)
                    cid = batch.entries[index].envelope
                    signed = SignedRecord.decode(self._store.get(cid), cid)
                except ContentError:  # gone since
                    continue
                yield Anchored(header, batch, header.first_nonce + index, signed)

    def _read(self, header: BatchHeader, charged: _Charged) -> None:
        try:
            batch = Batch.decode(cid_from_digest(header.batch_digest), self._store.get)
        except ContentError:
            return
        left = range(len(batch.entries)) if charged.unread is None else sorted(charged.unread)
        charged.unread = set()
        for index in left:
            entry = batch.entries[index]
            if not entry.charge:
                continue
            try:
                signed = SignedRecord.decode(self._store.get(entry.envelope), entry.envelope)
            except ContentError:
                charged.unread.add(index)
                continue
            if signed.record.struct_hash() == entry.struct_hash:
                charged.by_payment.setdefault(signed.record.payment_id, []).append(index)
