"""The client's side: pay for one request, call the agent, and refuse an answer that does not hold up."""

from __future__ import annotations

import secrets
from typing import Any, Protocol

from ..errors import ExecutionError, UserError
from ..registry import Ledger, Payment, authorization_nonce, value_hash
from ._requests import PaidRequest, Receipt, request_of

__all__ = ["Client", "Submit"]


class Submit(Protocol):
    """Where a paid request goes: an ``Operator``, or a remote one behind the same method."""

    def submit(self, paid: PaidRequest) -> Receipt: ...


class Client:
    """Pays agents with EIP-3009 authorizations: the client sends no transaction and needs no gas.

    ``signer`` holds the OPEN that is spent. The signature covers the request's hash, so it pays for
    nothing else, and it fixes the sampling seed, so the operator cannot choose one.
    """

    def __init__(self, signer: Any, ledger: Ledger) -> None:
        self.address: str = signer.address
        self._signer, self._ledger = signer, ledger

    def prepare(
        self, agent_id: int, value: Any, price: int, *, ttl: int = 3600, **resume: Any
    ) -> PaidRequest:
        """A signed request that pays ``price`` wei and is valid for ``ttl`` seconds."""
        request = request_of(agent_id, value, **resume)
        salt = secrets.token_bytes(32)
        now = self._ledger.now()
        unsigned = Payment(
            client=self.address,
            to=self._ledger.escrow_of(agent_id),
            value=price,
            valid_after=0,
            valid_before=now + ttl,
            signature=bytes(65),
            salt=salt,
        )
        nonce = authorization_nonce(agent_id, value_hash(request), salt)
        return PaidRequest(request, self._ledger.authorize(self._signer, unsigned, nonce))

    def call(self, operator: Submit, agent_id: int, value: Any, price: int, **resume: Any) -> Receipt:
        """Pay, call and check the receipt. Raises ``UserError`` before anything is paid if the agent has
        no stake, ``ExecutionError`` if the receipt is not the agent's signature under its answer."""
        if self._ledger.stake_of(agent_id) == 0:
            raise UserError(
                f"agent {agent_id} has no stake",
                why="nothing could be slashed if its answer were faked",
                fix="call an agent with stake; nothing was paid",
            )
        paid = self.prepare(agent_id, value, price, **resume)
        receipt = operator.submit(paid)
        self._check(paid, receipt)
        return receipt

    def _check(self, paid: PaidRequest, receipt: Receipt) -> None:
        record, domain = receipt.record, self._ledger.domain
        key = self._ledger.record_key(record.agent_id, record.epoch)
        problems = [
            problem
            for problem, wrong in {
                "another chain": receipt.signed.domain != domain,
                "another request": record.request_hash != paid.request_hash
                or record.payment_id != paid.payment_id,
                "another payer or fee": (record.client, record.fee) != (self.address, paid.payment.value),
                "a key that is not the agent's": receipt.signed.signer() != key,
                "a ticket by another key": receipt.ticket.signer(receipt.ticket_signature, domain) != key,
                "an answer it did not sign": record.output_hash != value_hash(receipt.output),
            }.items()
            if wrong
        ]
        if problems:
            raise ExecutionError(
                f"agent {record.agent_id} gave a receipt with {', '.join(problems)}",
                why="it would not hold in a challenge",
                fix="keep it and the payment; do not use the answer",
                record=receipt.cid,
            )
