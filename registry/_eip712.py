"""EIP-712: flat structs, their domain, signatures and signers.

Source: EIP-712 (typed structured data), EIP-2 (low s only).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, Self

from ..errors import ContentError, UserError
from ._blocks import parse_uint256
from ._hashing import address_of, address_word, word
from ._keccak import keccak

__all__ = ["Domain", "HashSigner", "Struct", "recover", "sign_digest", "struct_types"]

_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_DOMAIN_TYPE = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_VERSION = keccak(b"1")


class HashSigner(Protocol):
    """What signs a digest: an ``eth_account`` account, or anything shaped like one."""

    @property
    def address(self) -> Any: ...

    def unsafe_sign_hash(self, message_hash: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Domain:
    """An EIP-712 domain of version "1"; by default "OpenLedger", that of one ``ActionLog``."""

    chain_id: int
    verifying_contract: str
    name: str = "OpenLedger"

    def separator(self) -> bytes:
        return _separator(self.chain_id, self.verifying_contract, self.name)

    def digest(self, struct_hash: bytes) -> bytes:
        """What is signed: keccak(0x1901 ++ separator ++ struct hash)."""
        return keccak(b"\x19\x01" + self.separator() + struct_hash)


@lru_cache(maxsize=64)
def _separator(chain_id: int, contract: str, name: str) -> bytes:
    return keccak(_DOMAIN_TYPE + keccak(name.encode()) + _VERSION + word(chain_id) + address_word(contract))


class Struct:
    """A flat EIP-712 struct: fields and Solidity types in order, both from ``_TYPES``."""

    __slots__ = ()
    _NAME: ClassVar[str]
    _TYPES: ClassVar[dict[str, tuple[str, str]]]  # python name -> (solidity name, solidity type)
    _TYPE_HASH: ClassVar[bytes]

    @classmethod
    def type_string(cls) -> str:
        """The EIP-712 ``encodeType``."""
        return f"{cls._NAME}({','.join(f'{kind} {name}' for name, kind in cls._TYPES.values())})"

    def _check(self) -> None:
        for field, (name, kind) in self._TYPES.items():
            value = getattr(self, field)
            if kind == "bytes32":
                good = isinstance(value, bytes) and len(value) == 32
            elif kind == "address":
                good = isinstance(value, str) and len(address_word(value)) == 32
            else:
                good = isinstance(value, int) and 0 <= value < 1 << int(kind[4:])
            if not good:
                raise UserError(f"{self._NAME}.{name} must be a {kind}, not {value!r}")

    def struct_hash(self) -> bytes:
        """EIP-712 ``hashStruct``, without the domain."""
        data = [self._TYPE_HASH]
        for field, (_, kind) in self._TYPES.items():
            value = getattr(self, field)
            data.append(
                value if kind == "bytes32" else address_word(value) if kind == "address" else word(value)
            )
        return keccak(b"".join(data))

    def digest(self, domain: Domain) -> bytes:
        """What is signed under ``domain``."""
        return domain.digest(self.struct_hash())

    def sign(self, signer: HashSigner, domain: Domain) -> bytes:
        """A 65-byte signature (r, s, v)."""
        return sign_digest(signer, self.digest(domain))

    def signer(self, signature: bytes, domain: Domain) -> str:
        """The checksummed address that made ``signature``. Raises ``ContentError`` for a malformed one."""
        return recover(self.digest(domain), signature)

    def to_abi(self) -> tuple[Any, ...]:
        """The struct as the contracts' functions take it."""
        return tuple(
            value if isinstance(value, (bytes, str)) else int(value)
            for value in (getattr(self, field) for field in self._TYPES)
        )

    def to_json(self) -> dict[str, Any]:
        """camelCase fields; bytes as 0x…, integers of more than 64 bits' type as decimal strings."""
        out: dict[str, Any] = {}
        for field, (name, kind) in self._TYPES.items():
            value = getattr(self, field)
            if kind == "bytes32":
                out[name] = "0x" + value.hex()
            elif kind == "address":
                out[name] = value
            else:
                out[name] = str(int(value)) if kind == "uint256" else int(value)
        return out

    def to_block(self) -> dict[str, Any]:
        """The struct as a dag-cbor value; uint256 as decimal text."""
        out: dict[str, Any] = {}
        for field, (name, kind) in self._TYPES.items():
            value = getattr(self, field)
            if kind == "address":
                out[name] = address_word(value)[12:]
            elif kind == "bytes32":
                out[name] = value
            else:
                out[name] = str(int(value)) if kind == "uint256" else int(value)
        return out

    @classmethod
    def from_block(cls, block: Any, cid: str | None) -> Self:
        """The inverse of :meth:`to_block`. Raises ``ContentError`` naming ``cid``."""
        if not isinstance(block, dict) or set(block) != {name for name, _ in cls._TYPES.values()}:
            raise ContentError(f"A block holds no {cls._NAME}", why="its fields differ", cid=cid)
        values: dict[str, Any] = {}
        for field, (name, kind) in cls._TYPES.items():
            value = block[name]
            if kind == "address":
                if not isinstance(value, bytes) or len(value) != 20:
                    raise ContentError(f"{cls._NAME}.{name} is not an address", cid=cid)
                value = address_of(value)
            elif kind == "uint256":
                value = parse_uint256(value)
                if value is None:
                    raise ContentError(f"{cls._NAME}.{name} is not a decimal number", cid=cid)
            elif kind != "bytes32" and type(value) is not int:
                raise ContentError(f"{cls._NAME}.{name} is not an integer", cid=cid)
            values[field] = value
        try:
            return cls(**values)
        except (UserError, ValueError) as error:
            raise ContentError(f"A block holds a malformed {cls._NAME}", why=str(error), cid=cid) from None


def struct_types(**types: str) -> dict[str, tuple[str, str]]:
    def camel(name: str) -> str:
        head, *rest = name.split("_")
        return head + "".join(part.capitalize() for part in rest)

    return {name: (camel(name), kind) for name, kind in types.items()}


def sign_digest(signer: HashSigner, digest: bytes) -> bytes:
    """A 65-byte signature (r, s, v in {27, 28}) of a 32-byte digest."""
    from eth_account.signers.local import LocalAccount

    if type(signer) is not LocalAccount:
        return bytes(signer.unsafe_sign_hash(digest).signature)
    # The same signature (RFC 6979) in a fifth of the time that the account takes to check and wrap it.
    from coincurve import PrivateKey

    signature = PrivateKey(bytes(signer.key)).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes((signature[64] + 27,))


def recover(digest: bytes, signature: bytes) -> str:
    """The checksummed signer of a digest. Raises ``ContentError`` for what the contracts would refuse too:
    a wrong length, v outside {27, 28}, or a high s."""
    from coincurve import PublicKey

    if (
        len(signature) != 65
        or signature[64] not in (27, 28)
        or int.from_bytes(signature[32:64], "big") > _HALF_ORDER
    ):
        raise ContentError("The signature is malformed", why="it is not 65 bytes with v 27 or 28 and a low s")
    try:
        standard = signature[:64] + bytes((signature[64] - 27,))
        key = PublicKey.from_signature_and_message(standard, digest, hasher=None)
    except Exception as error:  # noqa: BLE001 - the library has no type of its own
        raise ContentError("The signature is malformed", why=str(error)) from None
    return address_of(keccak(key.format(compressed=False)[1:])[12:])
