"""CAR files: blocks in one file, to carry records between stores.

Source: https://ipld.io/specs/transport/car/carv1/
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ...errors import ContentError, UserError
from .._cid import CODECS, Link, cid_bytes, cid_from_bytes, cid_of, codec_name, codec_of, normalise_cid
from .._dagcbor import decode, encode
from ._base import MAX_STORED_BLOCK, ContentStore
from ._unixfs import links_of, varint

__all__ = ["export_car", "import_car", "linked_blocks", "pack_car", "unpack_car"]

_MAX_HEADER = 1 << 20


def linked_blocks(
    store: ContentStore, roots: Iterable[str], *, missing_ok: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Every block reachable from ``roots``, each once, parents first.

    With ``missing_ok`` a linked block the store lacks is left out; a missing root is always an error.
    """
    queue = [normalise_cid(root) for root in roots]
    given, seen = set(queue), set(queue)
    for cid in queue:
        if missing_ok and cid not in given and not store.has(cid):
            continue
        data = store.get(cid)
        yield cid, data
        for link in _links(cid, data):
            if link not in seen:
                seen.add(link)
                queue.append(link)


def _links(cid: str, data: bytes) -> list[str]:
    codec = codec_of(cid)
    if codec == CODECS["dag-pb"]:
        return links_of(data, cid)
    if codec != CODECS["dag-cbor"]:
        return []
    found: list[str] = []
    stack: list[Any] = [decode(data, cid)]
    while stack:
        value = stack.pop()
        if isinstance(value, Link):
            found.append(str(value))
        elif isinstance(value, list):
            stack.extend(reversed(value))
        elif isinstance(value, dict):
            stack.extend(reversed(list(value.values())))
    return found


def export_car(store: ContentStore, roots: Iterable[str], dest: Path, *, missing_ok: bool = False) -> int:
    """Write ``roots`` and every block below them to the CAR file ``dest``, atomically. Returns the block count."""
    roots = [normalise_cid(root) for root in roots]
    if not roots:
        raise UserError("A CAR file needs at least one root")
    dest = Path(dest)
    handle, scratch = tempfile.mkstemp(prefix=f".{dest.name}.", dir=dest.parent)
    count = 0
    try:
        with os.fdopen(handle, "wb") as file:
            header = encode({"version": 1, "roots": [Link(root) for root in roots]})
            file.write(varint(len(header)) + header)
            for cid, data in linked_blocks(store, roots, missing_ok=missing_ok):
                section = cid_bytes(cid)
                file.write(varint(len(section) + len(data)) + section + data)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, dest)
    finally:
        Path(scratch).unlink(missing_ok=True)
    return count


def import_car(store: ContentStore, source: Path) -> list[str]:
    """Store every block of a CAR file, each checked against its CID, and return the file's roots.

    Raises ``ContentError`` at the first malformed or tampered block; those before it stay stored.
    """
    try:
        with Path(source).open("rb") as file:
            roots = _roots(file, source)
            for cid, data in _blocks(file, source):
                store.put(data, codec_name(cid))
    except OSError as error:
        raise UserError(f"{source} cannot be read", why=error.strerror or str(error)) from None
    return roots


def pack_car(root: str, blocks: Mapping[str, bytes]) -> bytes:
    """A CAR file of these blocks."""
    header = encode({"version": 1, "roots": [Link(root)]})
    parts = [varint(len(header)), header]
    for cid, data in blocks.items():
        section = cid_bytes(cid)
        parts += [varint(len(section) + len(data)), section, data]
    return b"".join(parts)


def unpack_car(data: bytes, source: str) -> tuple[list[str], dict[str, bytes]]:
    """The roots and blocks of a CAR file from ``source``, each checked against its CID. Raises ``ContentError``."""
    file, name = io.BytesIO(data), Path(source)
    return _roots(file, name), dict(_blocks(file, name))


def _roots(file: IO[bytes], source: Path) -> list[str]:
    header = decode(_section(file, _MAX_HEADER, source) or b"")
    if (
        not isinstance(header, dict)
        or header.get("version") != 1
        or not isinstance(header.get("roots"), list)
    ):
        raise _malformed(source, "it has no version 1 header")
    if any(not isinstance(root, Link) for root in header["roots"]):
        raise _malformed(source, "a root is no link")
    return [str(root) for root in header["roots"]]


def _blocks(file: IO[bytes], source: Path) -> Iterator[tuple[str, bytes]]:
    while (section := _section(file, MAX_STORED_BLOCK + 64, source)) is not None:
        try:
            cid = cid_from_bytes(section[:36])
        except UserError as error:
            raise _malformed(source, error.why) from None
        data = section[36:]
        if cid_of(data, codec_name(cid)) != cid:
            raise ContentError(f"CAR file {source} holds other bytes than {cid}", cid=cid)
        yield cid, data


def _section(file: IO[bytes], limit: int, source: Path) -> bytes | None:
    length = shift = 0
    while True:
        byte = file.read(1)
        if not byte:
            if shift:
                raise _malformed(source, "it is cut short")
            return None
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
        if shift > 35:
            raise _malformed(source, "a length is too long")
    if not 0 < length <= limit:
        raise _malformed(source, f"a section of {length} bytes")
    data = file.read(length)
    if len(data) != length:
        raise _malformed(source, "it is cut short")
    return data


def _malformed(source: Path, why: str) -> ContentError:
    return ContentError(f"{source} is not a valid CAR file", why=why, fix="export it again")
