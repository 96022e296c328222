"""Blocks of at most 4 KiB: long byte strings, values and lists are split into linked chunks.

4 KiB is what a demand can have posted on-chain. A long byte string becomes raw chunks under
``{"depth", "links", "size"}``, a long list the same without size; each further depth is one more layer
of dag-cbor blocks ``{"links"}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ContentError, UserError
from ._cid import CODECS, Link, cid_of, codec_of
from ._dagcbor import decode, encode

__all__ = ["MAX_BLOCK", "Encoded", "Getter", "Reader", "pack_bytes", "pack_items", "pack_value", "parse_uint256", "unpack_bytes",
           "unpack_items", "unpack_value"]  # fmt: skip

MAX_BLOCK = 4096
_INLINE_BYTES = 512
_INLINE_VALUE = 512
_INLINE_LINKS = 8
_NODE_LINKS = 64
_MAX_SIZE = 1 << 30

Getter = Callable[[str], bytes]
"""Fetches a block by CID: ``store.get``."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A root block and every block below it, by CID."""

    cid: str
    data: bytes
    blocks: Mapping[str, bytes] = field(repr=False)
    """All blocks to store, children before parents, the root included."""

    @classmethod
    def of(cls, value: Any, blocks: dict[str, bytes], what: str) -> Encoded:
        """Encode the root ``value``; refuse one that does not fit a block."""
        data = encode(value)
        if len(data) > MAX_BLOCK:
            raise UserError(f"{what} does not fit a block of {MAX_BLOCK} bytes", fix="use shorter names")
        cid = cid_of(data)
        blocks[cid] = data
        return cls(cid, data, blocks)


def pack_bytes(data: bytes, blocks: dict[str, bytes]) -> Any:
    """``data`` itself if short, else linked raw chunks, added to ``blocks``."""
    if len(data) <= _INLINE_BYTES:
        return data
    if len(data) > _MAX_SIZE:
        raise UserError(f"{len(data)} bytes are too much for a record", fix="store a file and link it")
    links = []
    for start in range(0, len(data), MAX_BLOCK):
        chunk = data[start : start + MAX_BLOCK]
        cid = cid_of(chunk, "raw")
        blocks[cid] = chunk
        links.append(Link(cid))
    return {**_layer(links, blocks), "size": len(data)}


def unpack_bytes(packed: Any, get: Getter, cid: str | None = None) -> bytes:
    """The inverse of :func:`pack_bytes`."""
    if isinstance(packed, bytes):
        return packed
    if not isinstance(packed, dict) or set(packed) != {"depth", "links", "size"}:
        raise ContentError("A packed byte string is malformed", cid=cid)
    size = packed["size"]
    if type(size) is not int or not 0 <= size <= _MAX_SIZE:
        raise ContentError("A packed byte string has no valid size", cid=cid)
    chunks, total = [], 0
    for link in _leaves(packed, get, cid, -(-size // MAX_BLOCK)):
        if codec_of(link) != CODECS["raw"]:
            raise ContentError("A chunk is not a raw block", cid=link)
        chunks.append(get(link))
        total += len(chunks[-1])
        if total > size:
            break
    if total != size:
        raise ContentError("A packed byte string has another length than it says", cid=cid)
    return b"".join(chunks)


def pack_value(value: Any, blocks: dict[str, bytes]) -> Any:
    """A wrapper of any dag-cbor value: in place if short, else as linked chunks of its encoding.

    A value with links is never in place: whoever chose it would choose what an operator can be asked to show.
    """
    data = encode(value)
    if len(data) <= _INLINE_VALUE and not _has_link(value):
        return {"value": value}
    return {"linked": pack_bytes(data, blocks)}


def _has_link(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_link(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_link(item) for item in value)
    return type(value) is Link


def unpack_value(packed: Any, get: Getter, cid: str | None = None) -> Any:
    """The inverse of :func:`pack_value`."""
    if isinstance(packed, dict) and set(packed) == {"value"}:
        return packed["value"]
    if isinstance(packed, dict) and set(packed) == {"linked"}:
        return decode(unpack_bytes(packed["linked"], get, cid), cid)
    raise ContentError("A packed value is malformed", cid=cid)


def pack_items(items: Sequence[Any], per_block: int, blocks: dict[str, bytes]) -> Any:
    """A list as linked dag-cbor blocks of ``per_block`` items each; in place when it fits one small block."""
    if len(encode(list(items[: per_block + 1]))) <= _INLINE_VALUE and len(items) <= per_block:
        return list(items)
    links = []
    for start in range(0, len(items), per_block):
        links.append(_put(list(items[start : start + per_block]), blocks))
    return _layer(links, blocks)


def unpack_items(packed: Any, get: Getter, cid: str | None = None, *, limit: int = 1 << 20) -> list[Any]:
    """The inverse of :func:`pack_items`; refuses more than ``limit`` items."""
    if isinstance(packed, list):
        return packed
    if not isinstance(packed, dict) or set(packed) != {"depth", "links"}:
        raise ContentError("A packed list is malformed", cid=cid)
    items: list[Any] = []
    for link in _leaves(packed, get, cid, limit):
        chunk = decode(get(link), link)
        if not isinstance(chunk, list) or not chunk or len(items) + len(chunk) > limit:
            raise ContentError("A packed list is malformed", cid=link)
        items.extend(chunk)
    return items


def _put(value: Any, blocks: dict[str, bytes]) -> Link:
    data = encode(value)
    if len(data) > MAX_BLOCK:
        raise UserError(f"An item does not fit a block of {MAX_BLOCK} bytes")
    cid = cid_of(data)
    blocks[cid] = data
    return Link(cid)


def _layer(links: list[Link], blocks: dict[str, bytes]) -> dict[str, Any]:
    depth = 0
    while len(links) > _INLINE_LINKS:
        links = [
            _put({"links": links[start : start + _NODE_LINKS]}, blocks)
            for start in range(0, len(links), _NODE_LINKS)
        ]
        depth += 1
    return {"depth": depth, "links": links}


def _leaves(packed: dict[str, Any], get: Getter, cid: str | None, limit: int) -> list[str]:
    depth, links = packed["depth"], packed["links"]
    if type(depth) is not int or not 0 <= depth <= 8 or not isinstance(links, list):
        raise ContentError("A list of links is malformed", cid=cid)
    while True:
        if len(links) > limit or any(type(link) is not Link for link in links):
            raise ContentError("A list of links is malformed", cid=cid)
        if depth == 0:
            return [str(link) for link in links]
        below: list[Any] = []
        for link in links:
            node = decode(get(link), link)
            if not isinstance(node, dict) or set(node) != {"links"} or not isinstance(node["links"], list):
                raise ContentError("A list of links is malformed", cid=link)
            below.extend(node["links"])
            if len(below) > limit:
                break
        links, depth = below, depth - 1


def parse_uint256(value: Any) -> int | None:
    """A decimal string as written by ``str(int)``; None for anything else."""
    if not isinstance(value, str) or len(value) > 78 or not (value.isascii() and value.isdigit()):
        return None
    number = int(value)
    return number if str(number) == value and number < 2**256 else None


class Reader:
    """Takes the fields of one decoded block and refuses anything unexpected with ``ContentError``."""

    def __init__(self, block: Any, what: str, cid: str | None, keys: set[str]) -> None:
        self.what, self.cid = what, cid
        if not isinstance(block, dict) or set(block) != keys:
            found = sorted(block) if isinstance(block, dict) else type(block).__name__
            raise ContentError(f"Block {cid or 'given'} is not {what}", why=f"it holds {found}", cid=cid)
        self._block = block

    def fail(self, key: str) -> ContentError:
        return ContentError(f"{self.what}: field {key!r} is malformed", cid=self.cid)

    def raw(self, key: str) -> Any:
        return self._block[key]

    def integer(self, key: str, low: int = 0, high: int = 2**63 - 1) -> int:
        value = self._block[key]
        if type(value) is not int or not low <= value <= high:
            raise self.fail(key)
        return value

    def number(self, key: str) -> float:
        value = self._block[key]
        if type(value) is not float:
            raise self.fail(key)
        return value

    def text(self, key: str) -> str:
        value = self._block[key]
        if type(value) is not str:
            raise self.fail(key)
        return value

    def octets(self, key: str, length: int) -> bytes:
        value = self._block[key]
        if not isinstance(value, bytes) or len(value) != length:
            raise self.fail(key)
        return value

    def link(self, key: str) -> str:
        value = self._block[key]
        if type(value) is not Link:
            raise self.fail(key)
        return str(value)

    def link_or_none(self, key: str) -> str | None:
        return None if self._block[key] is None else self.link(key)
