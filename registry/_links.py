"""Which links of a block can be demanded on-chain; the same rule as the contracts' ``DagCbor`` library.

A link counts where a dag-cbor item starts, as an element of a list of links or after a byte string (a record's
hash in a batch). Named fields and numbered assets lead to things an operator need not hold.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ContentError
from ._blocks import MAX_BLOCK, Getter
from ._cid import CODECS, cid_from_digest, cid_of, codec_of

__all__ = ["BlockLink", "block_of", "links_in", "path_to_missing"]

_BYTES, _TEXT, _LIST = 2, 3, 4
_LENGTH = 41


class BlockLink(NamedTuple):
    """A link at ``offset`` of a block. ``listed`` is False for one that follows a hash, as a batch's entries do."""

    offset: int
    cid: str
    listed: bool


def links_in(data: bytes) -> list[BlockLink]:
    """The links of a dag-cbor block that can be demanded, in order; those up to the first malformed item."""
    found: list[BlockLink] = []
    at, before, linked = 0, -1, False
    while at < len(data):
        if before in (_BYTES, _LIST) and (cid := _link_at(data, at)) is not None:
            found.append(BlockLink(at, cid, before == _LIST or linked))
        head = data[at]
        major, info = head >> 5, head & 31
        linked = before == 6 and major == _BYTES  # a tag's byte string: a link has just ended
        before, at, argument = major, at + 1, info
        if info > 23:
            if info > 27:
                break
            size = 1 << (info - 24)
            argument = int.from_bytes(data[at : at + size], "big")
            at += size
        if major in (_BYTES, _TEXT):
            at += argument
    return found


def path_to_missing(
    root: str, get: Getter, follow: frozenset[str] | None = None, limit: int = 1 << 16
) -> list[tuple[bytes, int]] | None:
    """The first block at or below ``root`` that ``get`` cannot deliver, as (parent block, offset of the link) from the
    root down: an empty list is the root itself, None says that everything is there.

    A block of more than 4 KiB counts as missing: it cannot be shown. ``follow`` limits the entries (links after a
    hash) that are looked at; lists of links are followed always. Looks at most at ``limit`` blocks.
    """
    left = limit

    def walk(cid: str) -> list[tuple[bytes, int]] | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        try:
            data = get(cid)
        except ContentError:
            return []
        if len(data) > MAX_BLOCK:
            return []
        if codec_of(cid) != CODECS["dag-cbor"]:
            return None
        for link in links_in(data):
            if link.listed or follow is None or link.cid in follow:
                below = walk(link.cid)
                if below is not None:
                    return [(data, link.offset), *below]
        return None

    return walk(root)


def _link_at(data: bytes, at: int) -> str | None:
    link = data[at : at + _LENGTH]
    if len(link) < _LENGTH or link[:6] != b"\xd8\x2a\x58\x25\x00\x01" or link[7:9] != b"\x12\x20":
        return None
    if link[6] not in (CODECS["dag-cbor"], CODECS["raw"]):
        return None
    return cid_from_digest(link[9:], link[6])


def block_of(digest: bytes, get: Getter) -> bytes | None:
    """The block with this sha2-256 digest under whichever codec the store knows it, or None."""
    for codec in ("dag-cbor", "raw"):
        try:
            data = get(cid_from_digest(digest, codec))
        except ContentError:
            continue
        if cid_of(data, codec) == cid_from_digest(digest, codec):
            return data
    return None
