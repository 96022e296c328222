"""Anchoring and settlement of one agent's signed actions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from ..attribution import batch_payouts
from ..errors import ChainError, UserError
from ..registry import (
    ActionRecord,
    Batch,
    BatchEntry,
    BatchHeader,
    ContentStore,
    Ledger,
    Payment,
    Payout,
    value_hash,
)
from ._outbox import ActionRow, BatchRow, Outbox, State
from ._phases import Observe, ignore, phase

__all__ = ["Batcher"]


class Batcher:
    """Puts contiguous nonces into batches, anchors them, and pays them out once their window has passed.

    A batch is fixed in the outbox before it is sent, and ``ActionLog`` takes only the next nonce, so a
    repeated ``anchor`` or ``settle`` after a crash finds what was done and does the rest. What a re-organisation of
    the chain dropped is done again: batches as they were fixed, payments by the authorizations their clients signed.
    """

    def __init__(
        self,
        agent_id: int,
        *,
        ledger: Ledger,
        store: ContentStore,
        outbox: Outbox,
        limit: int = 1024,
        observe: Observe = ignore,
    ) -> None:
        self.agent_id, self._ledger, self._store, self._outbox = agent_id, ledger, store, outbox
        self._limit, self._observe = limit, observe
        self._lock = threading.Lock()

    def anchor(self) -> list[BatchHeader]:
        """Anchor every signed action; returns the new headers. Raises ``ChainError``; repeat it then."""
        with self._lock:
            self._take_back()
            done = [self._send(batch) for batch in self._outbox.batches(self.agent_id, State.SIGNED)]
            while rows := self._next_rows():
                with phase(self._observe, "batch"):
                    self._refund(rows)
                    fixed = self._fix(rows)
                done.append(self._send(fixed))
            return done

    def settle(self) -> int:
        """Finalise and pay out every batch whose challenge window is over; returns how many were.

        Anyone may do the same from public data: an operator that does not settle delays nobody.
        """
        settled = 0
        with self._lock:
            for row in self._outbox.batches(self.agent_id, State.ANCHORED):
                header = self._standing(row)
                if header is None or not self._ledger.window_over(header):
                    continue
                with phase(self._observe, "settle"):
                    self._ledger.settlement.finalize(header)
                    claims = self._ledger.settlement.claims_state(header)
                    if claims in ("frozen", "awaited"):
                        continue  # a jury judges these payouts; what it finds, anyone may claim
                    if claims == "corrected":
                        self._outbox.settled(row)
                        continue
                    batch = Batch.decode(row.call["batch"], self._store.get)
                    self._ledger.settlement.claim_rest(header, batch)
                    self._outbox.settled(row)
                settled += 1
        return settled

    def _take_back(self) -> None:
        """Have batches sent again that the chain no longer has."""
        anchored = self._outbox.batches(self.agent_id, State.ANCHORED)
        expected = self._ledger.next_nonce(self.agent_id) if anchored else 0
        for row in anchored:
            if row.first_nonce >= expected:
                self._outbox.dropped(row)

    def _standing(self, row: BatchRow) -> BatchHeader | None:
        """The header as the chain has it now, perhaps from another block than at first; None where it was dropped."""
        header = _header(row)
        if self._ledger.is_anchored(header):
            return header
        if self._ledger.next_nonce(self.agent_id) <= row.first_nonce:
            return None
        header = self._ledger.anchored(self.agent_id, row.first_nonce)
        self._outbox.anchored(row, _plain(header))
        return header

    def _next_rows(self) -> list[ActionRow]:
        """Signed, unbatched actions at contiguous nonces of one epoch, oldest first."""
        rows = [row for row in self._outbox.in_state(self.agent_id, State.SIGNED) if row.first_nonce is None]
        picked: list[ActionRow] = []
        expected = self._ledger.next_nonce(self.agent_id)
        for row in rows:
            if (
                row.nonce != expected
                or len(picked) == self._limit
                or (picked and _epoch(row) != _epoch(picked[0]))
            ):
                break
            picked.append(row)
            expected += 1
        return picked

    def _fix(self, rows: list[ActionRow]) -> BatchRow:
        entries = []
        totals: dict[str, int] = {}
        for row in rows:
            assert row.executed is not None  # SIGNED rows have all of these
            assert row.struct_hash is not None
            assert row.envelope is not None
            record = ActionRecord.from_block(row.executed["record"], None)
            entries.append(BatchEntry(bytes.fromhex(row.struct_hash[2:]), row.envelope, record.charge))
            for account, amount in row.executed["payouts"]:
                totals[account] = totals.get(account, 0) + int(amount)
        assert rows[0].executed is not None
        assert rows[0].nonce is not None
        epoch = _epoch(rows[0])
        payouts = self._payouts(
            epoch, sum(entry.charge for entry in entries), totals, rows[0].executed["fixed"]
        )
        batch = Batch(self.agent_id, rows[0].nonce, entries, payouts)
        self._store.put_blocks(batch.encoded.blocks)
        return self._outbox.open_batch(self.agent_id, rows, {"batch": batch.cid, "epoch": epoch})

    def _payouts(self, epoch: int, charged: int, totals: dict[str, int], fixed: list[str]) -> list[Payout]:
        if charged == 0:
            return []
        settlement = self._ledger.settlement
        net = settlement.net(self.agent_id, epoch, charged)
        paid = batch_payouts(net, totals, treasury=settlement.treasury, fixed=fixed)
        return [Payout(*payout) for payout in paid]

    def _refund(self, rows: list[ActionRow]) -> None:
        """Give back what failed actions were paid; the ledger does it once, however often it is asked."""
        for row in rows:
            assert row.executed is not None
            record = ActionRecord.from_block(row.executed["record"], None)
            if record.fee > record.charge:
                given = (record.payment_id, record.client, record.fee - record.charge)
                self._paid(partial(self._ledger.payments.refund, self.agent_id, *given))

    def _paid(self, work: Callable[[], Any]) -> Any:
        """Do what needs the payments in escrow. Where it is short, a re-organisation dropped some: collect them again."""
        try:
            return work()
        except ChainError as error:
            if not (error.revert or "").startswith("EscrowShort"):
                raise
        unsettled = (State.ACCEPTED, State.EXECUTED, State.SIGNED, State.ANCHORED)
        for row in self._outbox.in_state(self.agent_id, *unsettled):
            payment = Payment.from_block(row.accepted["payment"], None)
            nonce = payment.nonce(self.agent_id, value_hash(row.accepted["request"]))
            try:
                self._ledger.payments.collect(payment, nonce)
            except (ChainError, UserError) as error:
                if isinstance(error, ChainError) and error.revert is None:
                    raise
                raise ChainError(
                    f"the payment {row.payment_id} is gone from agent {self.agent_id}'s escrow",
                    why=f"a re-organisation dropped it and it cannot be collected again: {error}",
                    fix=f"put {payment.value} wei into {payment.to}: what is signed must be anchored",
                ) from error
        return work()

    def _send(self, row: BatchRow) -> BatchHeader:
        with phase(self._observe, "anchor"):
            batch = Batch.decode(row.call["batch"], self._store.get)
            if self._ledger.next_nonce(self.agent_id) > row.first_nonce:  # sent before a crash
                header = self._ledger.anchored(self.agent_id, row.first_nonce)
            else:
                header = self._paid(lambda: self._ledger.anchor(batch, row.call["epoch"]))
            if header.batch_digest != batch.header(row.call["epoch"]).batch_digest:
                raise ChainError(
                    f"nonces from {row.first_nonce} of agent {self.agent_id} are anchored with another batch",
                    why="two operators seem to share one agent",
                    fix="run one operator an agent; open a new epoch if its key has leaked",
                )
            self._outbox.anchored(row, _plain(header))
        return header


def _epoch(row: ActionRow) -> int:
    return int(row.accepted["ticket"]["epoch"])


def _plain(header: BatchHeader) -> dict[str, object]:
    return {"fields": [v if isinstance(v, bytes) else str(v) for v in header.to_abi()]}


def _header(row: BatchRow) -> BatchHeader:
    assert row.header is not None  # ANCHORED rows have it
    fields: list[Any] = [v if isinstance(v, bytes) else int(v) for v in row.header["fields"]]
    return BatchHeader(*fields)
