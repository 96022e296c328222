"""The client's side of x402: payments whose nonce binds the request that they pay for.

x402's own ``ExactEvmScheme`` draws its nonces at random. One line makes the same client, with any of its HTTP
wrappers, pay agents: ``register_open(x402Client(), signer, network=…, token=…, most=…)``.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ...contracts import Signer, sign_authorization
from ...errors import UserError
from ...registry import authorization_nonce

if TYPE_CHECKING:
    from x402 import x402Client, x402ClientSync
    from x402.schemas import PaymentRequirements

__all__ = ["OpenScheme", "register_open"]


class OpenScheme:
    """A scheme for ``x402Client.register``: ``exact`` or ``upto``, by EIP-3009, bound to one request of one agent. By ``upto``
    the amount is the most that an agent with a tariff may charge.

    The gateway names the request's hash. One that names another gains nothing but the price it would have had
    anyway, and the receipt, whose record holds the request, convicts it of nothing but shows it.
    """

    def __init__(
        self,
        signer: Signer,
        scheme: Literal["exact", "upto"] = "exact",
        *,
        now: Callable[[], float] = time.time,
        salt: bytes | None = None,
    ) -> None:
        """``now`` is the clock that validity is counted by, unix seconds: the chain's, where that runs ahead. With ``salt``, of
        32 bytes, the same request is the same payment; without, each is another."""
        self._signer, self.scheme, self._now, self._salt = signer, scheme, now, salt

    def create_payment_payload(self, requirements: PaymentRequirements) -> dict[str, Any]:
        """The signed payment. Raises ``UserError`` for requirements that are not an OpenLedger gateway's."""
        asked = requirements.extra
        try:
            agent_id, request_hash = (
                int(asked["agentId"]),
                bytes.fromhex(asked["requestHash"].removeprefix("0x")),
            )
            chain_id = int(requirements.network.removeprefix("eip155:"))
            domain = {"name": asked["name"], "version": asked["version"], "chainId": chain_id,
                      "verifyingContract": requirements.asset}  # fmt: skip
        except (KeyError, ValueError, TypeError, AttributeError):
            raise UserError(
                "this is no payment to an OpenLedger agent",
                why="the requirements name no agent and no request",
                fix="register ExactEvmScheme for other servers, on a client of their own",
            ) from None
        salt = self._salt or secrets.token_bytes(32)
        signed = sign_authorization(
            domain,
            self._signer,
            to=requirements.pay_to,
            value=int(requirements.amount),
            nonce=authorization_nonce(agent_id, request_hash, salt),
            valid_before=int(self._now()) + requirements.max_timeout_seconds,
        )
        return {
            "authorization": {
                "from": signed.client,
                "to": signed.to,
                "value": str(signed.value),
                "validAfter": str(signed.valid_after),
                "validBefore": str(signed.valid_before),
                "nonce": "0x" + signed.nonce.hex(),
            },
            "signature": "0x" + signed.signature.hex(),
            "salt": "0x" + salt.hex(),
        }


def register_open(
    client: x402Client | x402ClientSync,
    signer: Signer,
    *,
    network: str,
    token: str,
    most: int,
    now: Callable[[], float] = time.time,
) -> None:
    """Have ``client`` pay agents with the OPEN of ``signer``: at most ``most`` wei a call, and in no other token.

    ``network`` is ``eip155:<chain id>``, ``token`` the address of OPEN there. Replaces the client's spend controls.
    """
    client.register(network, OpenScheme(signer, "exact", now=now))
    client.register(network, OpenScheme(signer, "upto", now=now))
    allowed: Any = {"network": network, "asset": token, "max_amount_per_payment": str(most)}
    client.set_spend_controls({"allowed_assets": [allowed]})
