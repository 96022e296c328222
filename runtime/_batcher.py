"""Anchoring and settlement of one agent's signed actions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attribution import RULE_V2, batch_payouts, rule_id
from ..errors import ChainError, UserError
from ..registry import (
    ActionContent,
    ActionRecord,
    Batch,
    BatchEntry,
    BatchHeader,
    ContentStore,
    Ledger,
    Payment,
    Payout,
    Repayment,
    value_hash,
)
from ._outbox import ActionRow, BatchRow, Outbox, State
from ._phases import Observe, ignore, phase

if TYPE_CHECKING:
    from ._attribute import Settle, Settled

__all__ = ["Batcher"]

_LATE = rule_id(RULE_V2)


class Batcher:
    """Puts contiguous nonces into batches, anchors them, and pays them out once their window has passed.

    A batch is fixed in the outbox before it is sent, and ``ActionLog`` takes only the next nonce, so a
    repeated ``anchor`` or ``settle`` after a crash finds what was done and does the rest. What a re-organisation of
    the chain dropped is done again: batches as they were fixed, payments by the authorizations their clients signed.
    What actions under ``RULE_V2`` pay is settled by ``late`` just before a batch is fixed, and never after.
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
        late: Settle | None = None,
    ) -> None:
        self.agent_id, self._ledger, self._store, self._outbox = agent_id, ledger, store, outbox
        self._limit, self._observe, self._late = limit, observe, late
        self._lock = threading.Lock()

    def anchor(self) -> list[BatchHeader]:
        """Anchor every signed action; returns the new headers. Raises ``ChainError``, and under ``RULE_V2`` whatever keeps
        its influence from being computed; repeat it then, within the tickets' time."""
        with self._lock:
            self._take_back()
            done = [self._send(batch) for batch in self._outbox.batches(self.agent_id, State.SIGNED)]
            while rows := self._next_rows():
                with phase(self._observe, "batch"):
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
        blocks: dict[str, bytes] = {}
        settled = self._settled(rows)
        for row in rows:
            assert row.executed is not None  # SIGNED rows have all of these
            assert row.struct_hash is not None
            assert row.envelope is not None
            record = ActionRecord.from_block(row.executed["record"], None)
            late = settled.get(row.payment_id)
            influence = None if late is None else late.influence.cid
            entry = BatchEntry(bytes.fromhex(row.struct_hash[2:]), row.envelope, record.charge, influence)
            entries.append(entry)
            blocks |= {} if late is None else late.influence.blocks
            paid = row.executed["payouts"] if late is None else late.payouts.items()
            for account, amount in paid:
                totals[account] = totals.get(account, 0) + int(amount)
        assert rows[0].executed is not None
        assert rows[0].nonce is not None
        epoch = _epoch(rows[0])
        payouts = self._payouts(
            epoch, sum(entry.charge for entry in entries), totals, rows[0].executed["fixed"]
        )
        batch = Batch(self.agent_id, rows[0].nonce, entries, payouts)
        self._store.put_blocks({**blocks, **batch.encoded.blocks})  # the batch last: it names the others
        return self._outbox.open_batch(self.agent_id, rows, {"batch": batch.cid, "epoch": epoch})

    def _settled(self, rows: list[ActionRow]) -> dict[str, Settled]:
        """By payment id, of the actions whose rule pays by influence too and that are charged for."""
        late: dict[str, ActionContent] = {}
        for row in rows:
            assert row.executed is not None
            record = ActionRecord.from_block(row.executed["record"], None)
            if record.charge and record.rule_id == _LATE:
                late[row.payment_id] = ActionContent.decode(row.executed["content"], self._store.get)
        if not late:
            return {}
        if self._late is None:
            raise UserError(
                f"actions of agent {self.agent_id} cannot be anchored here",
                why=f"rule {RULE_V2} pays by influence, and nothing was given that computes it",
                fix="deploy the agent, or give the batcher late=LateInfluence(…)",
            )
        with phase(self._observe, "influence"):
            return dict(zip(late, self._late(list(late.values())), strict=True))

    def _payouts(self, epoch: int, charged: int, totals: dict[str, int], fixed: list[str]) -> list[Payout]:
        if charged == 0:
            return []
        settlement = self._ledger.settlement
        net = settlement.net(self.agent_id, epoch, charged)
        paid = batch_payouts(net, totals, treasury=settlement.treasury, fixed=fixed)
        return [Payout(*payout) for payout in paid]

    def _repay(self, batch: BatchRow) -> None:
        """Give back what the batch's actions were paid and do not charge, before it is anchored: a record alone is no
        answer to a client that misses its money. The ledger does it once, however often it is asked."""
        due = []
        for row in self._outbox.of_batch(batch):
            assert row.executed is not None
            record = ActionRecord.from_block(row.executed["record"], None)
            if row.fee > record.charge:
                due.append(
                    Repayment(record.payment_id, record.client, row.fee - record.charge, record.charge)
                )
        if due:
            with phase(self._observe, "repay"):
                self._paid(lambda: self._ledger.payments.repay(self.agent_id, due))

    def _paid(self, work: Callable[[], Any]) -> Any:
        """Do what needs the payments in escrow. Where it is short, a re-organisation dropped some: collect them again."""
        try:
            return work()
        except ChainError as error:
            if not (error.revert or "").startswith("EscrowShort"):
                raise
        gone = self._collect_again()
        try:
            return work()
        except ChainError as error:
            if not gone or not (error.revert or "").startswith("EscrowShort"):
                raise
            owed = sum(row.fee for row, _ in gone)
            raise ChainError(
                f"payments are gone from agent {self.agent_id}'s escrow: {', '.join(row.payment_id for row, _ in gone[:8])}",
                why=f"a re-organisation dropped {len(gone)}, and they cannot be collected again: {gone[0][1]}",
                fix=f"put {owed} wei into {self._ledger.payments.escrow_of(self.agent_id)}: what is signed must be anchored",
            ) from error

    def _collect_again(self) -> list[tuple[ActionRow, Exception]]:
        """Collect every payment of an unsettled action that the chain does not have; gives those it no longer can."""
        gone: list[tuple[ActionRow, Exception]] = []
        unsettled = (State.ACCEPTED, State.EXECUTED, State.SIGNED, State.ANCHORED)
        for row in self._outbox.in_state(self.agent_id, *unsettled):
            payment = Payment.from_block(row.accepted["payment"], None)
            nonce = payment.nonce(self.agent_id, value_hash(row.accepted["request"]))
            try:
                self._ledger.payments.collect(payment, nonce)
            except UserError as error:
                gone.append((row, error))
            except ChainError as error:
                if error.revert is None:
                    raise  # the chain is away
                gone.append((row, error))
        return gone

    def _send(self, row: BatchRow) -> BatchHeader:
        with phase(self._observe, "anchor"):
            batch = Batch.decode(row.call["batch"], self._store.get)
            if self._ledger.next_nonce(self.agent_id) > row.first_nonce:  # sent before a crash
                header = self._ledger.anchored(self.agent_id, row.first_nonce)
            else:
                self._repay(row)
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
    assert row.executed is not None  # SIGNED rows have it
    return ActionRecord.from_block(row.executed["record"], None).epoch


def _plain(header: BatchHeader) -> dict[str, object]:
    return {"fields": [v if isinstance(v, bytes) else str(v) for v in header.to_abi()]}


def _header(row: BatchRow) -> BatchHeader:
    assert row.header is not None  # ANCHORED rows have it
    fields: list[Any] = [v if isinstance(v, bytes) else int(v) for v in row.header["fields"]]
    return BatchHeader(*fields)
