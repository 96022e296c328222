"""Settlement: batches made final, their payouts claimed, credit paid, and what is taken of each charge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ._batch import Batch
    from ._hashing import BatchHeader
    from ._ledger import Ledger

__all__ = ["Settlement"]


_CLAIMS = ("open", "frozen", "awaited", "corrected")


class Settlement:
    """``ledger.settlement``. Amounts are wei of OPEN."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._contracts = ledger, ledger.contracts
        self._cuts: dict[tuple[int, int], int] = {}

    @cached_property
    def treasury(self) -> str:
        """The account that takes the protocol's cut and what stays unattributed."""
        return str(self._ledger.call(self._contracts.pool.functions.treasury()))

    def cut(self, agent_id: int, epoch: int) -> tuple[int, int]:
        """What protocol and audits take of an epoch's charges, in 1/10,000. The sum was fixed when the epoch was
        opened; it is divided by the present parameters, as ``RewardPool`` does."""
        cut = self._cut_bps(agent_id, epoch)
        protocol, audit = self._ledger.parameter("protocolCut"), self._ledger.parameter("auditShare")
        audits = cut * audit // (protocol + audit)
        return cut - audits, audits

    def net(self, agent_id: int, epoch: int, charged: int) -> int:
        """Wei that a batch charging ``charged`` wei has to pay out: what the epoch's cut leaves."""
        return charged - charged * self._cut_bps(agent_id, epoch) // 10_000

    def _cut_bps(self, agent_id: int, epoch: int) -> int:
        known = self._cuts.get((agent_id, epoch))
        if known is None:
            opened = self._ledger.epoch(agent_id, epoch)
            if opened is None:
                raise UserError(f"agent {agent_id} has no epoch {epoch}")
            known = self._cuts[agent_id, epoch] = opened.cut_bps
        return known

    def finalize(self, header: BatchHeader) -> None:
        """Make a batch final once its window is over; done already is done."""
        functions = self._contracts.log.functions
        if not self._ledger.call(functions.isFinal(header.hash())):
            self._ledger.send(functions.finalize(header.to_abi()))

    def claims_state(self, header: BatchHeader) -> str:
        """``open``, ``frozen`` while a jury judges the batch's payouts, ``awaited`` while those it found are not shown,
        ``corrected`` from then on."""
        found = self._ledger.call(self._contracts.pool.functions.payoutsOf(header.to_abi()))
        return _CLAIMS[int(found[0])]

    def claim(self, header: BatchHeader, batch: Batch, index: int) -> None:
        """Pay one payout of a final batch to its account; done already is done."""
        functions = self._contracts.pool.functions
        if self._ledger.call(functions.isClaimed(header.hash(), index)):
            return
        account, amount = batch.payouts[index]
        proof = batch.payout_tree.proof(index)
        self._ledger.send(functions.claim(header.to_abi(), index, account, amount, proof))

    def claim_many(self, header: BatchHeader, batch: Batch, indices: Sequence[int]) -> None:
        """Add several payouts of a final batch to their accounts' credit, which is paid once it reaches
        ``minPayout``. Raises ``ChainError`` when one was paid already."""
        tree = batch.payout_tree
        claims = [(index, *batch.payouts[index], tree.proof(index)) for index in indices]
        self._ledger.send(self._contracts.pool.functions.claimMany(header.to_abi(), claims))

    def claim_rest(self, header: BatchHeader, batch: Batch) -> None:
        """Claim every payout of a final batch that is left, a hundred at a time; done already is done."""
        functions = self._contracts.pool.functions
        left = [
            index
            for index, payout in enumerate(batch.payouts)
            if payout.amount and not self._ledger.call(functions.isClaimed(header.hash(), index))
        ]
        for start in range(0, len(left), 100):
            self.claim_many(header, batch, left[start : start + 100])

    def credit_of(self, account: str) -> int:
        """Wei owed to an account outside of batches: small payouts, licence income, shares of the cut."""
        return int(self._ledger.call(self._contracts.pool.functions.creditOf(account)))

    def withdraw_credit(self, account: str) -> None:
        """Pay an account its whole credit."""
        self._ledger.send(self._contracts.pool.functions.withdrawCredit(account))
