"""Files and directories as UnixFS: raw leaves, 256 KiB chunks, balanced trees of width 174.

The parameters of Kubo's and js-ipfs' importers with raw leaves, so a path has the same CID there.
Source: https://specs.ipfs.tech/unixfs/ and https://ipld.io/specs/codecs/dag-pb/spec/
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ...errors import ContentError, UserError
from .._cid import CODECS, cid_bytes, cid_from_bytes, cid_of, codec_of

__all__ = ["add_path", "child_cid", "fetch_path", "links_of", "path_cid", "varint"]

CHUNK = 256 * 1024
WIDTH = 174
MAX_DEPTH = 32

Put = Callable[[bytes, str], str]
Get = Callable[[str], bytes]

_DIRECTORY, _FILE = 1, 2


class _Node(NamedTuple):
    cid: str
    total: int  # bytes of this block and all below it
    size: int  # bytes of file content


class _PBLink(NamedTuple):
    cid: str
    name: str


def path_cid(path: Path) -> str:
    """The CID :func:`add_path` would return, without storing anything."""
    return add_path(path, cid_of)


def add_path(path: Path, put: Put) -> str:
    """Store a file or directory through ``put`` and return its root CID.

    Raises ``UserError`` for what UnixFS content must not hold here: symbolic links and special files.
    """
    return _add(path, put).cid


def _add(path: Path, put: Put) -> _Node:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                return _add_file(file, put)
        if stat.S_ISDIR(mode):
            children = [(name, _add(path / name, put)) for name in sorted(os.listdir(path), key=str.encode)]
            return _put_node(_varint_field(1, _DIRECTORY), children, 0, put)
    except OSError as error:
        raise UserError(f"{path} cannot be read", why=error.strerror or str(error)) from None
    raise UserError(
        f"{path} cannot be stored", why="it is neither a file nor a directory", fix="copy it first"
    )


def _add_file(file: IO[bytes], put: Put) -> _Node:
    # levels[d] holds finished nodes of depth d that have no parent yet; at most WIDTH each.
    levels: list[list[_Node]] = [[]]
    while (chunk := file.read(CHUNK)) or not any(levels):
        _push(levels, 0, _Node(put(chunk, "raw"), len(chunk), len(chunk)), put)
        if not chunk:
            break
    depth = 0
    while depth + 1 < len(levels) or len(levels[depth]) > 1:
        if levels[depth]:
            node = _parent(levels[depth], put)
            levels[depth] = []
            _push(levels, depth + 1, node, put)
        depth += 1
    return levels[depth][0]


def _push(levels: list[list[_Node]], depth: int, node: _Node, put: Put) -> None:
    if depth == len(levels):
        levels.append([])
    if len(levels[depth]) == WIDTH:
        full = _parent(levels[depth], put)
        levels[depth] = []
        _push(levels, depth + 1, full, put)
    levels[depth].append(node)


def _parent(children: list[_Node], put: Put) -> _Node:
    size = sum(child.size for child in children)
    data = _varint_field(1, _FILE) + _varint_field(3, size)
    data += b"".join(_varint_field(4, child.size) for child in children)
    return _put_node(data, [("", child) for child in children], size, put)


def _put_node(data: bytes, children: list[tuple[str, _Node]], size: int, put: Put) -> _Node:
    links = b"".join(
        _bytes_field(
            2,
            _bytes_field(1, cid_bytes(child.cid))
            + _bytes_field(2, name.encode())
            + _varint_field(3, child.total),
        )
        for name, child in children
    )
    block = links + _bytes_field(1, data)
    return _Node(put(block, "dag-pb"), len(block) + sum(child.total for _, child in children), size)


def fetch_path(cid: str, dest: Path, get: Get) -> Path:
    """Write the UnixFS tree ``cid`` to ``dest``, all of it or nothing.

    A file is replaced atomically; an existing directory is accepted only if it already is ``cid``.
    """
    if dest.is_dir() and not dest.is_symlink():
        if path_cid(dest) == cid:
            return dest
        raise UserError(
            f"{dest} exists and holds something else than {cid}", fix="remove it or name another place"
        )
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{dest.name}.", dir=dest.parent))
        try:
            _fetch(cid, scratch / "new", get, 0)
            try:
                os.replace(scratch / "new", dest)
            except OSError:
                if not dest.is_dir() or path_cid(dest) != cid:
                    raise  # else another process was faster
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ContentError(
            f"{dest} cannot be written",
            why=error.strerror or str(error),
            fix=f"free space or permissions at {dest.parent}",
            cid=cid,
        ) from None
    return dest


def child_cid(cid: str, name: str, get: Get) -> str:
    """The CID of the file or directory ``name`` in the directory ``cid``. Raises ``ContentError`` when there is none."""
    kind, _, links = _decode(get(cid), cid) if codec_of(cid) == CODECS["dag-pb"] else (0, 0, [])
    found = [link.cid for link in links if link.name == name] if kind == _DIRECTORY else []
    if len(found) != 1:
        why = f"it holds {len(found)}" if kind == _DIRECTORY else "it is no directory"
        raise ContentError(f"there is no {name!r} in {cid}", why=why, cid=cid)
    return found[0]


def _fetch(cid: str, dest: Path, get: Get, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ContentError(f"{cid} is nested deeper than {MAX_DEPTH}", cid=cid)
    if codec_of(cid) == CODECS["dag-pb"]:
        kind, _, links = _decode(get(cid), cid)
        if kind == _DIRECTORY:
            dest.mkdir()
            seen: set[str] = set()
            for link in links:
                if not link.name or link.name in (".", "..") or "/" in link.name or "\0" in link.name:
                    raise ContentError(f"Directory {cid} holds an unsafe name", why=repr(link.name), cid=cid)
                if link.name in seen:
                    raise ContentError(f"Directory {cid} holds {link.name!r} twice", cid=cid)
                seen.add(link.name)
                _fetch(link.cid, dest / link.name, get, depth + 1)
            return
    with dest.open("wb") as file:
        for chunk in _read(cid, get, 0):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _read(cid: str, get: Get, depth: int) -> Iterator[bytes]:
    if depth > MAX_DEPTH:
        raise ContentError(f"{cid} is nested deeper than {MAX_DEPTH}", cid=cid)
    codec = codec_of(cid)
    if codec == CODECS["raw"]:
        yield get(cid)
        return
    if codec != CODECS["dag-pb"]:
        raise ContentError(
            f"{cid} is a record, not a file", fix="give the CID of a file or directory", cid=cid
        )
    kind, size, links = _decode(get(cid), cid)
    if kind != _FILE:
        raise ContentError(f"{cid} is not part of a file", cid=cid)
    written = 0
    for link in links:
        for chunk in _read(link.cid, get, depth + 1):
            written += len(chunk)
            if written > size:
                raise ContentError(f"File {cid} is longer than it says", cid=cid)
            yield chunk
    if written != size:
        raise ContentError(f"File {cid} is shorter than it says", cid=cid)


def _decode(block: bytes, cid: str) -> tuple[int, int, list[_PBLink]]:
    """(UnixFS type, file size, links) of a dag-pb block."""
    try:
        links, data = [], b""
        for field, value in _fields(block):
            if field == 2 and isinstance(value, bytes):
                parts = dict(_fields(value))
                name, target = parts.get(2, b""), parts[1]
                if not isinstance(name, bytes) or not isinstance(target, bytes):
                    raise ValueError("a link has another shape")
                links.append(_PBLink(cid_from_bytes(target), name.decode()))
            elif field == 1 and isinstance(value, bytes):
                data = value
        kind = size = 0
        for field, value in _fields(data):
            if isinstance(value, int):
                kind, size = (value if field == 1 else kind), (value if field == 3 else size)
            elif field == 2 and value:
                raise ValueError("it holds data in place; only raw leaves are supported")
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, UserError) as error:
        raise ContentError(f"Block {cid} is not valid UnixFS", why=str(error), cid=cid) from None
    return kind, size, links


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if tag & 7 == 0:
            number, at = _read_varint(data, at)
            yield tag >> 3, number
        elif tag & 7 == 2:
            length, at = _read_varint(data, at)
            if at + length > len(data):
                raise ValueError("it is cut short")
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"it holds wire type {tag & 7}")


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")


def links_of(block: bytes, cid: str) -> list[str]:
    """The CIDs a dag-pb block links to. Raises ``ContentError`` for a malformed one."""
    return [link.cid for link in _decode(block, cid)[2]]


def varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint_field(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + varint(len(value)) + value
