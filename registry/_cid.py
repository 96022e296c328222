"""CIDs: what a block is called. CIDv1, sha2-256, base32; the chain stores the digest and the codec apart."""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from functools import lru_cache
from hashlib import sha256

from ..errors import UserError

__all__ = ["CODECS", "Link", "cid_bytes", "cid_from_bytes", "cid_from_digest", "cid_of", "codec_name",
           "codec_of", "digest_of", "normalise_cid"]  # fmt: skip

CODECS = {"raw": 0x55, "dag-pb": 0x70, "dag-cbor": 0x71}
"""Codec names and their multicodec numbers, as stored on-chain (uint32)."""

_NAMES = {code: name for name, code in CODECS.items()}
_SHA256 = b"\x12\x20"  # multihash prefix: sha2-256, 32 bytes
_LENGTH = 36  # version, codec, multihash prefix, digest


class Link(str):
    """A CID inside a dag-cbor block. An ordinary ``str`` everywhere else."""

    __slots__ = ()


def _code(codec: str | int) -> int:
    code = CODECS.get(codec) if isinstance(codec, str) else codec
    if code not in _NAMES:
        raise UserError(f"Unknown content codec {codec!r}", fix=f"use one of {', '.join(CODECS)}")
    return code


def cid_from_digest(digest: bytes, codec: str | int = "dag-cbor") -> str:
    """The CID of the block with this 32-byte sha2-256 digest. ``codec`` by name or number."""
    if len(digest) != 32:
        raise UserError(f"A content digest has 32 bytes, not {len(digest)}")
    return _encoded(_code(codec), digest)


@lru_cache(4096)  # base32 is slow, and an action names each of its blocks some five times
def _encoded(code: int, digest: bytes) -> str:
    return "b" + b32encode(bytes((1, code)) + _SHA256 + digest).decode().rstrip("=").lower()


def cid_of(data: bytes, codec: str | int = "dag-cbor") -> str:
    """The CID of a block: base32 CIDv1 over sha2-256."""
    return cid_from_digest(sha256(data).digest(), codec)


def cid_bytes(cid: str) -> bytes:
    """The 36 binary bytes of a CID. Raises ``UserError`` on anything this project cannot address."""
    if not isinstance(cid, str) or not cid:
        raise _malformed(cid, "it is empty")
    return _decoded(cid)


@lru_cache(4096)  # base32 is slow, and one adapter's CID is read some twenty times until it is in memory
def _decoded(cid: str) -> bytes:
    if cid[0] != "b":
        cid = _foreign(cid)
    body = cid[1:]
    if body != body.lower():
        raise _malformed(cid, "base32 CIDs are lower case")
    try:
        data = b32decode(body.upper() + "=" * (-len(body) % 8))
    except (Base32Error, ValueError):
        raise _malformed(cid, "it is not base32") from None
    if len(data) != _LENGTH or data[0] != 1 or data[2:4] != _SHA256 or data[1] not in _NAMES:
        raise _malformed(cid, "it is not a version 1 sha2-256 CID of raw, dag-pb or dag-cbor data")
    if _encoded(data[1], data[4:]) != cid:
        raise _malformed(cid, "its last character carries stray bits")
    return data


def cid_from_bytes(data: bytes) -> str:
    """The inverse of :func:`cid_bytes`."""
    if len(data) != _LENGTH or data[0] != 1 or data[2:4] != _SHA256:
        raise _malformed(data.hex(), "it is not a version 1 sha2-256 CID")
    return cid_from_digest(data[4:], data[1])


def digest_of(cid: str) -> bytes:
    """The 32-byte digest of a CID, as stored on-chain."""
    return cid_bytes(cid)[4:]


def codec_of(cid: str) -> int:
    """The multicodec number of a CID, as stored on-chain."""
    return cid_bytes(cid)[1]


def codec_name(cid: str) -> str:
    """The codec of a CID by name: ``raw``, ``dag-pb`` or ``dag-cbor``."""
    return _NAMES[codec_of(cid)]


def normalise_cid(cid: str) -> str:
    """The base32 CIDv1 form of any CID: base58 ``z…`` (as js-ipfs answers) and version 0 ``Qm…`` included."""
    return cid_from_bytes(cid_bytes(cid))


def _foreign(cid: str) -> str:
    from multiformats import CID

    try:
        parsed = CID.decode(cid)
        if parsed.hashfun.name != "sha2-256":
            raise _malformed(cid, "its hash is not sha2-256")
        return cid_from_digest(bytes(parsed.raw_digest), parsed.codec.code)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _malformed(cid, str(error) or type(error).__name__) from None


def _malformed(cid: object, why: str) -> UserError:
    shown = repr(cid) if len(repr(cid)) <= 90 else repr(cid)[:87] + "…'"
    return UserError(
        f"{shown} is not a CID", why=why, fix="copy the whole identifier; it starts with b", code="user.cid"
    )
