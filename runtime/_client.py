"""The client's side: pay for one request, call the agent, and refuse an answer that does not hold up."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..errors import ExecutionError, UserError
from ..registry import (
    ActionContent,
    Getter,
    Ledger,
    Manifest,
    Payment,
    SignedRecord,
    Status,
    Ticket,
    action_fee,
    authorization_nonce,
    decode_step,
    value_hash,
)
from ._requests import PaidRequest, Receipt, SignedTicket, request_of

__all__ = ["Agent", "Client", "broken_terms", "check_receipt"]


class Agent(Protocol):
    """Where paid requests go: an ``Operator``, or a remote one behind the same methods."""

    def accept(self, paid: PaidRequest) -> SignedTicket: ...

    def finish(self, payment_id: bytes) -> Receipt: ...


class Client:
    """Pays agents with EIP-3009 authorizations: the client sends no transaction and needs no gas.

    ``signer`` holds the OPEN that is spent. The signature covers the request's hash, so it pays for
    nothing else, and it fixes the sampling seed, so the operator cannot choose one.
    """

    def __init__(self, signer: Any, ledger: Ledger, tickets: Path | None = None) -> None:
        """With ``tickets``, every ticket is kept there, as ``<payment id>.json``, before its action begins."""
        self.address: str = signer.address
        self._signer, self._ledger, self._tickets = signer, ledger, tickets

    def prepare(
        self,
        agent_id: int,
        value: Any,
        price: int,
        *,
        ttl: int = 3600,
        salt: bytes | None = None,
        **resume: Any,
    ) -> PaidRequest:
        """A signed request that pays ``price`` wei and is valid for ``ttl`` seconds. With the same ``salt`` of 32
        bytes the same request is the same payment, however often it is prepared; by default it is random."""
        request = request_of(agent_id, value, **resume)
        salt = salt or secrets.token_bytes(32)
        now = self._ledger.now()
        unsigned = Payment(
            client=self.address,
            to=self._ledger.payments.escrow_of(agent_id),
            value=price,
            valid_after=0,
            valid_before=now + ttl,
            signature=bytes(65),
            salt=salt,
        )
        nonce = authorization_nonce(agent_id, value_hash(request), salt)
        return PaidRequest(request, self._ledger.payments.authorize(self._signer, unsigned, nonce))

    def call(self, agent: Agent, agent_id: int, value: Any, price: int, **resume: Any) -> Receipt:
        """Pay, call and check what comes back.

        Raises ``UserError`` before anything is paid if the agent has no stake, ``ExecutionError`` if its ticket
        or its receipt would not hold in a challenge.
        """
        if self._ledger.stake_of(agent_id) == 0:
            raise UserError(
                f"agent {agent_id} has no stake",
                why="nothing could be slashed if its answer were faked",
                fix="call an agent with stake; nothing was paid",
            )
        paid = self.prepare(agent_id, value, price, **resume)
        ticket = agent.accept(paid)
        self._check_ticket(paid, ticket)
        if self._tickets is not None:
            ticket.keep(paid.payment).save(self._tickets / f"0x{paid.payment_id.hex()}.json")
        receipt = agent.finish(paid.payment_id)
        self._check_receipt(paid, ticket.ticket, receipt)
        return receipt

    def _check_ticket(self, paid: PaidRequest, given: SignedTicket) -> None:
        ticket, ledger = given.ticket, self._ledger
        key = ledger.record_key(paid.agent_id, ticket.epoch)
        latest = ledger.now() + ledger.max_anchor_lag
        _refuse(
            "ticket",
            {
                "another agent, payment or request": (ticket.agent_id, ticket.payment_id, ticket.request_hash)
                != (paid.agent_id, paid.payment_id, paid.request_hash),
                "a key that is not the agent's": ticket.signer(given.signature, ledger.domain) != key,
                "an anchor later than the protocol allows": ticket.anchor_by > latest,
            },
        )

    def _check_receipt(self, paid: PaidRequest, ticket: Ticket, receipt: Receipt) -> None:
        record = receipt.record
        promised = (record.epoch, record.anchor_by) == (ticket.epoch, ticket.anchor_by)
        if record.status is Status.FAILED:  # of an agent that was renewed meanwhile: it costs nothing
            promised = record.epoch >= ticket.epoch and record.anchor_by == ticket.anchor_by
        check_receipt(
            self._ledger, paid, receipt, {"another epoch or deadline than its ticket": not promised}
        )


def check_receipt(
    ledger: Ledger, paid: PaidRequest, receipt: Receipt, more: Mapping[str, bool] | None = None
) -> None:
    """Refuse a receipt that would not hold against its agent, or is of another request. ``more`` are further problems and
    whether it has them. Raises ``ExecutionError``."""
    record = receipt.record
    _refuse(
        "receipt",
        {
            "another chain": receipt.signed.domain != ledger.domain,
            "another agent": record.agent_id != paid.agent_id,
            "another request": (record.request_hash, record.payment_id)
            != (paid.request_hash, paid.payment_id),
            "another payer": record.client != paid.payment.client,
            "a fee above what was authorised": record.fee > paid.payment.value,
            "an anchor later than the protocol allows": record.anchor_by
            > ledger.now() + ledger.max_anchor_lag,
            "a key that is not the agent's": receipt.signed.signer()
            != ledger.record_key(record.agent_id, record.epoch),
            "an answer it did not sign": record.output_hash != value_hash(receipt.output),
            **(more or {}),
        },
        receipt.cid,
    )


def broken_terms(ledger: Ledger, paid: PaidRequest, signed: SignedRecord, get: Getter) -> dict[str, bool]:
    """Problems of a receipt that need the blocks behind it, for ``check_receipt``. Raises ``ContentError`` where some are missing."""
    record, content = signed.record, ActionContent.decode(signed.content, get)
    manifest = Manifest.decode(content.manifest, get)
    epoch = ledger.epoch(record.agent_id, record.epoch)
    due = action_fee(manifest, [decode_step(cid, get) for cid in content.steps], paid.payment.value)
    return {
        "another manifest than its epoch's": epoch is None or epoch.manifest != content.manifest,
        "a fee that its tariff does not give": record.status is not Status.FAILED and record.fee != due,
    }


def _refuse(what: str, problems: Mapping[str, bool], cid: str | None = None) -> None:
    found = ", ".join(problem for problem, wrong in problems.items() if wrong)
    if found:
        raise ExecutionError(
            f"the agent gave a {what} with {found}",
            why="it would not hold in a challenge",
            fix="keep it with the payment; do not use the answer",
            record=cid,
        )
