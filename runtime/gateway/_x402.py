"""x402 for a gateway: what an action costs, and the payment a client sends for it.

Scheme ``exact`` of x402 version 2: an EIP-3009 authorization over OPEN to the agent's escrow. The operator itself
collects it, so no facilitator is asked. Its nonce must bind the request, as :func:`authorization_nonce` has it: a
payment whose nonce is merely random says nothing about what was asked, anybody who sees it could spend it on
another request, and no record could prove otherwise. :class:`OpenScheme` makes such nonces.

An agent with a tariff is paid by ``upto``: the same authorization is the most that an action may cost. It is collected
first, and what the action's tokens do not cost goes back. x402's own ``upto`` is by Permit2 and has an agent work before
anything is in escrow; a ticket must be backed.

Source: https://github.com/coinbase/x402/blob/main/specs/schemes/exact/scheme_exact_evm.md
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import from_json
from x402.http.utils import decode_payment_signature_header
from x402.schemas import PaymentPayload, PaymentRequired, PaymentRequirements, ResourceInfo, SettleResponse

from ...errors import ChainError
from ...registry import ActionRecord, Connection, Payment, authorization_nonce, value_hash
from .._requests import PaidRequest
from ._agents import Served
from ._errors import PaymentRefused

__all__ = ["Till", "metered"]

_EXACT, _UPTO = "exact", "upto"
VALID_SECONDS = 600
"""How long a payment should be valid: an action may wait for the chain."""


class Till:
    """Takes payments on one chain."""

    def __init__(self, connection: Connection) -> None:
        domain = connection.contracts.token_domain
        self._token = str(domain["verifyingContract"])
        self._name, self._version = str(domain["name"]), str(domain["version"])
        self.network = f"eip155:{connection.chain.chain_id}"
        self._connection = connection

    def required(self, served: Served, request: dict[str, Any], url: str, error: str) -> PaymentRequired:
        """What ``request`` costs. Its hash and the agent are in ``extra``, for the nonce to bind."""
        price = PaymentRequirements(
            scheme=_scheme(served),
            network=self.network,
            asset=self._token,
            amount=str(served.price),
            pay_to=served.escrow,
            max_timeout_seconds=VALID_SECONDS,
            extra={
                "name": self._name,
                "version": self._version,
                "assetTransferMethod": "eip3009",
                "paymentFlow": "upfront",
                "agentId": str(served.agent_id),
                "requestHash": "0x" + value_hash(request).hex(),
                **({} if served.tariff is None else {"tariff": served.tariff.to_json()}),
            },
        )
        resource = ResourceInfo(
            url=url, description=served.agent.description[:200], mime_type="application/json"
        )
        return PaymentRequired(error=error, resource=resource, accepts=[price])

    def refusal(
        self, served: Served, request: dict[str, Any], url: str, what: str, **rest: Any
    ) -> PaymentRefused:
        """The error for a payment that is not taken."""
        return PaymentRefused(what, required=self.required(served, request, url, what), **rest)

    def read(self, header: str, served: Served, request: dict[str, Any], url: str) -> PaidRequest:
        """The payment in a ``PAYMENT-SIGNATURE`` header, for this request. Raises ``PaymentRefused``.

        Signature, time and balance are left to the operator, which checks them before it collects anything.
        """

        def refuse(
            what: str,
            why: str = "",
            fix: str = "sign a payment for what PAYMENT-REQUIRED asks",
            reason: str = "INVALID_SIGNATURE",
        ) -> PaymentRefused:
            return self.refusal(served, request, url, what, why=why, fix=fix, reason=reason)

        try:
            from_json(b64decode(header))  # its parser refuses what would overflow the stack of the next
            payload = decode_payment_signature_header(header)
            if not isinstance(payload, PaymentPayload):
                raise TypeError(payload)
            given, salt, nonce = _payment(payload.payload)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise refuse(
                "The payment is malformed", "it is no payment of x402 version 2 by EIP-3009 with a salt",
                "register openledger.runtime.gateway.OpenScheme with your x402 client",
            ) from None  # fmt: skip
        accepted = payload.accepted
        if accepted.network != self.network:
            raise refuse(
                "The payment is for another chain",
                f"it is {accepted.scheme} on {accepted.network}"[:200],
                reason="NETWORK_MISMATCH",
            )
        if accepted.scheme != _scheme(served):
            raise refuse(
                "The payment is by another scheme",
                f"it is {accepted.scheme}, and this agent is paid by {_scheme(served)}"[:200],
                reason="INVALID_SIGNATURE",
            )
        if accepted.asset.lower() != self._token.lower():
            raise refuse(
                "The payment is in another token",
                f"OPEN is {self._token} on {self.network}",
                reason="NETWORK_MISMATCH",
            )
        if given.value != served.price:
            raise refuse(
                "The payment is of another amount",
                f"{served.price} wei are authorised for an action, exactly",
                reason="INVALID_AMOUNT",
            )
        if salt is None or nonce != authorization_nonce(served.agent_id, value_hash(request), salt):
            raise refuse(
                "The payment does not bind this request",
                "its nonce must be keccak256(agentId, requestHash, salt), so that it can pay for nothing else",
                "register openledger.runtime.gateway.OpenScheme with your x402 client in place of ExactEvmScheme",
            )
        return PaidRequest(request, given)

    def settled(self, paid: PaidRequest) -> SettleResponse:
        """What is told of a payment that was collected."""
        return SettleResponse(
            success=True,
            payer=paid.payment.client,
            transaction=self._transaction(paid),
            network=self.network,
            amount=str(paid.payment.value),
            extra={"paymentId": "0x" + paid.payment_id.hex()},
        )

    def _transaction(self, paid: PaidRequest) -> str:
        """The transaction that moved the payment, where it is among the last; else nothing."""
        contracts, nonce = self._connection.contracts, paid.payment.nonce(paid.agent_id, paid.request_hash)
        where = {"authorizer": paid.payment.client, "nonce": nonce}
        with suppress(ChainError):  # the payment was taken, whether or not its transaction can be looked up
            since = max(contracts.deployment.block, contracts.chain.block_number() - 256)
            for log in contracts.chain.logs(contracts.token.events.AuthorizationUsed, since, where=where):
                return "0x" + bytes(log["transactionHash"]).hex()
        return ""


def metered(settled: SettleResponse, record: ActionRecord) -> SettleResponse:
    """The same once it is known what of the payment is charged."""
    extra = {**(settled.extra or {}), "authorized": settled.amount}
    return settled.model_copy(update={"amount": str(record.charge), "extra": extra})


def _scheme(served: Served) -> str:
    return _EXACT if served.tariff is None else _UPTO


def _payment(inner: Mapping[str, Any]) -> tuple[Payment, bytes | None, bytes]:
    """The authorization, its salt where it has one, and its nonce. Raises anything for what is malformed."""
    from eth_utils.address import to_checksum_address

    told = inner["authorization"]
    salt = None if inner.get("salt") is None else _octets(inner["salt"], 32)
    payment = Payment(
        client=str(to_checksum_address(told["from"])),
        to=str(to_checksum_address(told["to"])),
        value=_number(told["value"], 256),
        valid_after=_number(told["validAfter"], 64),
        valid_before=_number(told["validBefore"], 64),
        signature=_signature(_octets(inner["signature"], 65)),
        salt=salt or bytes(32),
    )
    return payment, salt, _octets(told["nonce"], 32)


def _number(value: Any, bits: int) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 78) or int(text) >= 1 << bits:
        raise ValueError(text)
    return int(text)


def _signature(given: bytes) -> bytes:
    """With ``v`` as the token takes it: some wallets count it from 0."""
    return given[:64] + bytes([given[64] + 27]) if given[64] < 2 else given


def _octets(value: Any, length: int) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError(value)
    octets = bytes.fromhex(value[2:])
    if len(octets) != length:
        raise ValueError(value)
    return octets
