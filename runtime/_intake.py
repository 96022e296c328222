"""Takes paid requests: those that the stake can back, their payments collected, an action promised for each."""

from __future__ import annotations

import threading
from typing import Any

from ..errors import ChainError, UserError
from ..registry import HashSigner, Ledger, Payment, Ticket
from ._group import GroupCommit
from ._outbox import ActionRow, Outbox
from ._phases import Observe, phase
from ._requests import PaidRequest, SignedTicket, check_request

__all__ = ["Intake", "paid_of", "ticket_of"]


class Intake:
    """See the module. What comes at once is noted by one commit and collected by one transaction. Thread-safe."""

    def __init__(
        self,
        price: int,
        agent_id: int,
        epoch: int,
        record_key: HashSigner,
        ledger: Ledger,
        outbox: Outbox,
        observe: Observe,
    ) -> None:
        self._price, self._agent_id, self._epoch, self._key = price, agent_id, epoch, record_key
        self._ledger, self._outbox, self._observe = ledger, outbox, observe
        self._covering = threading.Lock()
        self._admit, self._collect = GroupCommit(self._admit_all), GroupCommit(self._collect_all)

    def admit(self, paid: PaidRequest) -> ActionRow:
        """Note a request, before its payment is collected. Raises ``UserError`` for one that is not acceptable."""
        self._check(paid)
        return self._admit(paid)

    def collect(self, row: ActionRow) -> ActionRow:
        """Collect its payment and sign its ticket; done already is done.

        Raises ``UserError`` or ``ChainError`` when the payment is refused (nothing is taken, and the row is gone), or when
        the chain is unreachable (it stays, and is tried again).
        """
        return self._collect(row)

    def _check(self, paid: PaidRequest) -> None:
        payment, price = paid.payment, self._price
        check_request(paid.request)
        if paid.agent_id != self._agent_id:
            raise UserError(
                f"this request is for agent {paid.agent_id}",
                why=f"agent {self._agent_id} serves here",
                fix="send it to that agent's operator",
            )
        if payment.value < price:
            raise UserError(
                "the request is underpaid",
                why=f"it authorises {payment.value} wei and agent {self._agent_id} asks {price}",
                fix=f"authorise {price} wei; nothing was taken",
            )
        self._ledger.payments.check(payment, self._agent_id, paid.request_hash)

    def _admit_all(self, asked: list[PaidRequest]) -> list[ActionRow | Exception]:
        """Note the requests that the stake can back; one group at a time, so that no two use the same cover."""
        with self._covering:
            pending = self._outbox.pending_fees(self._agent_id)
            refused = self._ledger.covered(self._agent_id, [paid.payment.value for paid in asked], pending)
            good = [paid for paid, error in zip(asked, refused, strict=True) if error is None]
            rows = iter(self._outbox.open_all(self._agent_id, [_asked(paid) for paid in good]))
        return [next(rows) if error is None else error for error in refused]

    def _collect_all(self, rows: list[ActionRow]) -> list[ActionRow | Exception]:
        """Collect the payments and promise an action for each that came in."""
        paid = [paid_of(row) for row in rows]
        with phase(self._observe, "pay"):
            refused = self._ledger.payments.collect_many(
                [(one.payment, one.payment.nonce(self._agent_id, one.request_hash)) for one in paid]
            )
            for row, error in zip(rows, refused, strict=True):
                # refused, not merely unreachable: nothing was taken
                if isinstance(error, UserError) or (isinstance(error, ChainError) and error.revert):
                    self._outbox.drop(row.payment_id)
        with phase(self._observe, "accept"):
            anchor_by = self._ledger.now() + self._ledger.max_anchor_lag
            taken = [
                (row.payment_id, {**row.accepted, "ticket": self._promise(one, anchor_by)})
                for row, one, error in zip(rows, paid, refused, strict=True)
                if error is None
            ]
            accepted = iter(self._outbox.accept_all(taken))
        return [next(accepted) if error is None else error for error in refused]

    def _promise(self, paid: PaidRequest, anchor_by: int) -> dict[str, Any]:
        ticket = Ticket(
            agent_id=self._agent_id,
            epoch=self._epoch,
            payment_id=paid.payment_id,
            request_hash=paid.request_hash,
            anchor_by=anchor_by,
        )
        signature = ticket.sign(self._key, self._ledger.domain)
        return {"epoch": ticket.epoch, "anchor_by": ticket.anchor_by, "signature": signature}


def _asked(paid: PaidRequest) -> tuple[str, int, dict[str, Any]]:
    """What the outbox keeps of a request; the inverse of :func:`paid_of`."""
    asked = {"request": paid.request, "payment": paid.payment.to_block(), "held": paid.held}
    return "0x" + paid.payment_id.hex(), paid.payment.value, asked


def paid_of(row: ActionRow) -> PaidRequest:
    """The request of an action, and what paid for it."""
    payment = Payment.from_block(row.accepted["payment"], None)
    return PaidRequest(row.accepted["request"], payment, row.accepted.get("held", False))


def ticket_of(row: ActionRow) -> SignedTicket:
    """The promise that was signed for an accepted action."""
    paid, promise = paid_of(row), row.accepted["ticket"]
    ticket = Ticket(
        agent_id=row.agent_id,
        epoch=promise["epoch"],
        payment_id=paid.payment_id,
        request_hash=paid.request_hash,
        anchor_by=promise["anchor_by"],
    )
    return SignedTicket(ticket, promise["signature"])
