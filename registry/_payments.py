"""Payments into escrows: authorised by clients, checked before anything is done for them, collected, refunded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ChainError, OpenLedgerError, UserError
from ._hashing import authorization_nonce, word
from ._keccak import keccak
from ._record import recover

if TYPE_CHECKING:
    from ..contracts import Signer
    from ._content import Payment
    from ._ledger import Ledger

__all__ = ["Payments", "Repayment"]

_AT_ONCE = 128
"""Repayments of one transaction: some 50,000 gas each."""


class Repayment(NamedTuple):
    """What goes back of a payment, and what stays for its action: wei, together what was paid."""

    payment_id: bytes
    client: str
    amount: int
    charged: int


class Payments:
    """``ledger.payments``. Amounts are wei of OPEN."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._contracts = ledger, ledger.contracts
        self._escrows: dict[int, str] = {}

    def escrow_of(self, agent_id: int) -> str:
        """The address payers of the agent pay to."""
        if agent_id not in self._escrows:
            self._escrows[agent_id] = str(
                self._ledger.call(self._contracts.pool.functions.escrowOf(agent_id))
            )
        return self._escrows[agent_id]

    def authorize(self, signer: Signer, unsigned: Payment, nonce: bytes) -> Payment:
        """``unsigned`` with the client's EIP-3009 signature; no transaction, no gas."""
        from ..contracts import sign_authorization

        signed = sign_authorization(
            self._contracts.token_domain,
            signer,
            to=unsigned.to,
            value=unsigned.value,
            nonce=nonce,
            valid_after=unsigned.valid_after,
            valid_before=unsigned.valid_before,
        )
        return replace(unsigned, signature=signed.signature)

    def signer_of(self, payment: Payment, agent_id: int, request_hash: bytes) -> str:
        """Who signed the payment for this request. Raises ``ContentError`` for a malformed signature."""
        type_hash = keccak(
            b"TransferWithAuthorization(address from,address to,uint256 value,"
            b"uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        )
        nonce = authorization_nonce(agent_id, request_hash, payment.salt)
        addresses = (int(account, 16) for account in (payment.client, payment.to))
        numbers = (*addresses, payment.value, payment.valid_after, payment.valid_before)
        struct = keccak(type_hash + b"".join(word(number) for number in numbers) + nonce)
        return recover(keccak(b"\x19\x01" + self._token_separator + struct), payment.signature)

    @cached_property
    def _token_separator(self) -> bytes:
        return bytes(self._ledger.call(self._contracts.token.functions.DOMAIN_SEPARATOR()))

    def check(self, payment: Payment, agent_id: int, request_hash: bytes) -> None:
        """Refuse a payment that is not the client's to this agent for this request. Raises ``UserError`` with the cause."""
        escrow = self.escrow_of(agent_id)
        if payment.to != escrow:
            raise UserError(
                f"the payment goes to {payment.to}", why=f"the agent's escrow is {escrow}", fix="sign again"
            )
        if self.signer_of(payment, agent_id, request_hash) != payment.client:
            raise UserError(
                "the payment's signature is not the client's",
                why="it was made for another request, agent, chain or by another key",
                fix="sign the authorization again for this request",
            )

    def check_payable(self, payment: Payment) -> None:
        """Refuse a payment that the token would not move now. Raises ``UserError`` with the cause."""
        now = self._ledger.now()
        if not payment.valid_after < now < payment.valid_before:
            raise UserError(
                "the payment is not valid now",
                why=f"it holds from {payment.valid_after} to {payment.valid_before} and the chain's clock is at {now}",
                fix="sign the authorization again; if it was signed just now, set the clock of the machine that signs",
            )
        held = self._ledger.balance(payment.client)
        if held < payment.value:
            raise UserError(
                f"{payment.client} cannot pay {payment.value} wei",
                why=f"it holds {held}",
                fix="wrap or buy OPEN first",
            )

    def collect(self, payment: Payment, nonce: bytes) -> None:
        """Move an authorised payment into the escrow; done already, by anyone, is done.

        Raises ``UserError`` when it cannot be paid now, or when the client spent the authorization elsewhere or cancelled it.
        """
        functions = self._contracts.token.functions
        try:
            self._ledger.send(functions.transferWithAuthorization(*_authorization(payment, nonce)))
        except ChainError as error:
            if error.revert is None:
                raise
            if not self._ledger.call(functions.authorizationState(payment.client, nonce)):
                self.check_payable(payment)
                raise
        else:
            return
        if not self._arrived(payment, nonce):
            raise UserError(
                "the payment's authorization was cancelled or spent elsewhere",
                why=f"it was used, and {payment.value} wei did not reach {payment.to} by it",
                fix="sign a new authorization",
            )

    def collect_many(self, payments: Sequence[tuple[Payment, bytes]]) -> list[OpenLedgerError | None]:
        """:meth:`collect` for several, by one transaction where more than one can be moved: for each payment and its nonce
        None, or what ``collect`` would raise. Raises ``ChainError`` when nothing is known of any."""
        left = dict(enumerate(payments))
        if len(left) > 1:
            collect, known = self._contracts.collector.functions.collect, list(left)
            refusals = self._ledger.call(collect([_authorization(*left[i]) for i in known]))
            good = [i for i, refusal in zip(known, refusals, strict=True) if not refusal]
            if len(good) > 1:
                receipt = self._ledger.send(collect([_authorization(*left[i]) for i in good]))
                used = receipt.events(self._contracts.token.events.AuthorizationUsed)
                moved = {(event["authorizer"], bytes(event["nonce"])) for event in used}
                for i in good:
                    if (left[i][0].client, left[i][1]) in moved:
                        del left[i]
        found: list[OpenLedgerError | None] = [None] * len(payments)
        for i, (payment, nonce) in left.items():
            try:
                self.collect(payment, nonce)
            except OpenLedgerError as error:
                found[i] = error
        return found

    def _arrived(self, payment: Payment, nonce: bytes) -> bool:
        """Whether a used authorization paid what it was signed for: another one with its nonce may have been
        used instead, or it may have been cancelled."""
        token = self._contracts.token
        where = {"authorizer": payment.client, "nonce": nonce}
        for used in self._contracts.chain.logs(
            token.events.AuthorizationUsed, self._contracts.deployment.block, where=where
        ):
            block = int(used["blockNumber"])
            moved = self._contracts.chain.logs(
                token.events.Transfer, block, block, where={"from": payment.client, "to": payment.to}
            )
            for log in moved:
                if (
                    log["transactionHash"] == used["transactionHash"]
                    and log["args"]["value"] == payment.value
                ):
                    return True
        return False

    def refund(self, agent_id: int, payment_id: bytes, client: str, amount: int) -> None:
        """Give back a payment that nothing is charged for; done already is done."""
        functions = self._contracts.pool.functions
        if not self._ledger.call(functions.isRefunded(agent_id, payment_id)):
            self._ledger.send(functions.refund(agent_id, payment_id, client, amount))

    def repay(self, agent_id: int, repayments: Sequence[Repayment]) -> None:
        """Give back what is not charged of payments, once each; done already is done."""
        functions = self._contracts.pool.functions
        for start in range(0, len(repayments), _AT_ONCE):
            some = repayments[start : start + _AT_ONCE]
            if self._ledger.call(
                functions.isRefunded(agent_id, some[0].payment_id)
            ):  # by a run that was cut off
                some = [
                    one
                    for one in some
                    if not self._ledger.call(functions.isRefunded(agent_id, one.payment_id))
                ]
            if some:
                self._ledger.send(functions.repay(agent_id, [tuple(one) for one in some]))


def _authorization(payment: Payment, nonce: bytes) -> tuple[Any, ...]:
    """The arguments of EIP-3009's ``transferWithAuthorization``."""
    signature = payment.signature
    return (
        payment.client,
        payment.to,
        payment.value,
        payment.valid_after,
        payment.valid_before,
        nonce,
        signature[64],
        signature[:32],
        signature[32:64],
    )
