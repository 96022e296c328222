"""What batches and credits owe to an account, found from the chain and the content store alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import ContentError
from ._batch import Batch
from ._cid import cid_from_digest
from ._hashing import BatchHeader
from ._ledger import Ledger

if TYPE_CHECKING:
    from .store import ContentStore

__all__ = ["Due", "claim_due", "dues"]


@dataclass(frozen=True)
class Due:
    """A payout of an anchored batch that its account was not paid yet."""

    header: BatchHeader
    batch: Batch
    index: int
    ready_at: int
    """Unix seconds from which it can be claimed: when the batch's challenge window is over."""

    @property
    def account(self) -> str:
        return self.batch.payouts[self.index].account

    @property
    def amount(self) -> int:
        """In wei."""
        return self.batch.payouts[self.index].amount


def dues(
    ledger: Ledger, store: ContentStore, account: str | None = None, agent_id: int | None = None
) -> Iterator[Due]:
    """Unpaid payouts, oldest first: all of them, or those to ``account``, or those of ``agent_id``.

    Raises ``ContentError`` when a batch block is gone or is not what the chain says: its payouts cannot be
    shown then, and whoever anchored it can be asked for the block before its challenge window is over. Batches whose
    payouts a jury judges, or has corrected, are left out: ``openledger payouts`` recomputes those.
    """
    claimed = ledger.contracts.pool.functions.isClaimed
    for header in ledger.batches(agent_id):
        if header.payout_count == 0:
            continue
        if ledger.settlement.claims_state(header) != "open":
            continue  # a jury found other payouts than the batch names, or is looking
        batch = _batch(header, store)
        for index, payout in enumerate(batch.payouts):
            if payout.amount == 0 or (account is not None and payout.account.lower() != account.lower()):
                continue
            if not ledger.call(claimed(header.hash(), index)):
                yield Due(header, batch, index, ledger.challengeable_until(header) + 1)


def claim_due(ledger: Ledger, due: list[Due]) -> int:
    """Claim payouts that are ready, one transaction a batch; returns the wei claimed.

    Amounts add to their accounts' credit, which is paid out once it reaches ``minPayout``. Payouts that are not
    ready are left out.
    """
    now, claimed = ledger.now(), 0
    ready = [one for one in due if one.ready_at <= now]
    for _, group in groupby(ready, key=lambda one: one.header.hash()):
        ones = list(group)
        ledger.settlement.claim_many(ones[0].header, ones[0].batch, [one.index for one in ones])
        claimed += sum(one.amount for one in ones)
    return claimed


def _batch(header: BatchHeader, store: ContentStore) -> Batch:
    cid = cid_from_digest(header.batch_digest)
    batch = Batch.decode(cid, store.get)
    if batch.header(header.epoch, header.anchored_at) != header:
        raise ContentError(f"Batch {cid} is not the one that was anchored", cid=cid)
    return batch
