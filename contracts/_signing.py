"""Signers, and the two signatures that move OPEN without gas: EIP-3009 authorizations and EIP-2612 permits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import UserError

__all__ = ["Authorization", "Signer", "load_signer", "sign_authorization", "sign_permit", "token_domain"]

_AUTHORIZATION = [
    {"name": "from", "type": "address"},
    {"name": "to", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "validAfter", "type": "uint256"},
    {"name": "validBefore", "type": "uint256"},
    {"name": "nonce", "type": "bytes32"},
]
_PERMIT = [
    {"name": "owner", "type": "address"},
    {"name": "spender", "type": "address"},
    {"name": "value", "type": "uint256"},
    {"name": "nonce", "type": "uint256"},
    {"name": "deadline", "type": "uint256"},
]


class Signer(Protocol):
    """What signs for an address. An ``eth_account`` account is one; a hardware wallet can be another."""

    @property
    def address(self) -> Any:
        """The checksummed address."""

    def unsafe_sign_hash(self, message_hash: Any) -> Any:
        """Sign a 32-byte digest; the result has ``.signature`` (65 bytes)."""

    def sign_transaction(self, transaction_dict: Any) -> Any:
        """Sign a transaction; the result has ``.raw_transaction`` and ``.hash``."""


def load_signer(private_key: str) -> Signer:
    """A signer from a 0x… private key. Raises ``UserError`` for a malformed one, without showing it."""
    from eth_account import Account

    try:
        signer: Signer = Account.from_key(private_key)
    except (ValueError, TypeError):
        raise UserError(
            "The private key is malformed",
            why="it is not 32 bytes of hexadecimal",
            fix="set OPENLEDGER_PRIVATE_KEY to 0x and 64 hexadecimal digits",
        ) from None
    return signer


@dataclass(frozen=True, slots=True)
class Authorization:
    """A signed EIP-3009 authorization. ``value`` in wei, times in unix seconds, ``nonce`` 32 bytes."""

    client: str
    to: str
    value: int
    valid_after: int
    valid_before: int
    nonce: bytes
    signature: bytes

    @property
    def vrs(self) -> tuple[int, bytes, bytes]:
        """(v, r, s) for the token's functions that take them apart."""
        return self.signature[64], self.signature[:32], self.signature[32:64]

    def to_abi(self) -> tuple[str, str, int, int, int, bytes]:
        """The first six arguments of ``transferWithAuthorization``."""
        return self.client, self.to, self.value, self.valid_after, self.valid_before, self.nonce


def token_domain(token: Any) -> dict[str, Any]:
    """The EIP-712 domain of a token contract, as it reports it (EIP-5267)."""
    _, name, version, chain_id, contract, _, _ = token.functions.eip712Domain().call()
    return {"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract}


def sign_authorization(
    domain: dict[str, Any],
    signer: Signer,
    *,
    to: str,
    value: int,
    nonce: bytes,
    valid_before: int,
    valid_after: int = 0,
    receive: bool = False,
) -> Authorization:
    """Authorise anyone (or, with ``receive``, only ``to``) to move ``value`` wei to ``to``, once.

    ``domain`` is :func:`token_domain` of the token.
    """
    primary = "ReceiveWithAuthorization" if receive else "TransferWithAuthorization"
    message = {
        "from": signer.address,
        "to": to,
        "value": value,
        "validAfter": valid_after,
        "validBefore": valid_before,
        "nonce": nonce,
    }
    signature = _sign(signer, domain, primary, _AUTHORIZATION, message)
    return Authorization(signer.address, to, value, valid_after, valid_before, nonce, signature)


def sign_permit(
    domain: dict[str, Any], signer: Signer, *, spender: str, value: int, nonce: int, deadline: int
) -> tuple[int, bytes, bytes]:
    """(v, r, s) that let ``spender`` take up to ``value`` wei until ``deadline`` (unix seconds)."""
    message = {
        "owner": signer.address,
        "spender": spender,
        "value": value,
        "nonce": nonce,
        "deadline": deadline,
    }
    signature = _sign(signer, domain, "Permit", _PERMIT, message)
    return signature[64], signature[:32], signature[32:64]


def _sign(
    signer: Signer,
    domain: dict[str, Any],
    primary: str,
    fields: list[dict[str, str]],
    message: dict[str, Any],
) -> bytes:
    from eth_account.messages import encode_typed_data
    from eth_utils.crypto import keccak

    signable = encode_typed_data(domain_data=domain, message_types={primary: fields}, message_data=message)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    return bytes(signer.unsafe_sign_hash(digest).signature)
