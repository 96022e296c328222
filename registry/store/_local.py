"""A content store on disk: small blocks in one SQLite file, each larger one in a file of its own."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from itertools import groupby, islice
from pathlib import Path

from ...errors import ContentError
from .._blocks import MAX_BLOCK
from .._cid import cid_bytes
from ._base import BaseStore
from ._rows import Rows

__all__ = ["LocalStore"]

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_AT_ONCE = 64
"""Blocks that are written before any is flushed; as many files are open."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalStore(BaseStore):
    """Blocks of at most 4 KiB, as records' are, in ``root/blocks.sqlite``; others under ``root/<last two characters of the
    CID>/<CID>``, where those of earlier versions all are.

    A file is written under another name, synced and renamed, so a crash or a full disk leaves either the whole block or
    none of it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._rows = Rows(self.root / "blocks.sqlite")

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def _path(self, cid: str) -> Path:
        return self.root / cid[-2:] / cid

    def _exists(self, cid: str) -> bool:
        return self._row(cid) is not None or self._path(cid).is_file()

    def _missing_fix(self) -> str:
        return f"import it into {self.root}, or set OPENLEDGER_IPFS_API to a node that has it"

    def _row(self, cid: str) -> bytes | None:
        try:
            return self._rows.read(cid_bytes(cid))
        except (sqlite3.Error, OSError) as error:
            raise self._failed("read", self._rows.path, cid, error) from None

    def _read(self, cid: str) -> bytes | None:
        if (data := self._row(cid)) is not None:
            return data
        try:
            return self._path(cid).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", self._path(cid), cid, error) from None

    def _write(self, cid: str, data: bytes) -> None:
        self._write_many({cid: data})

    def _write_many(self, blocks: Mapping[str, bytes]) -> None:
        for small, several in groupby(blocks.items(), key=lambda block: len(block[1]) <= MAX_BLOCK):
            while some := list(islice(several, _AT_ONCE)):
                if small:
                    self._write_rows(some)
                else:
                    self._write_files(some)

    def _write_rows(self, blocks: list[tuple[str, bytes]]) -> None:
        try:
            self._rows.write((cid_bytes(cid), data) for cid, data in blocks)
        except (sqlite3.Error, OSError) as error:
            raise self._failed("written", self._rows.path, blocks[0][0], error) from None

    def _write_files(self, blocks: list[tuple[str, bytes]]) -> None:
        root, cid = str(self.root), ""
        staged: list[tuple[int, str, str]] = []  # descriptor, where it is, where it belongs
        folders: set[str] = set()
        try:
            for cid, data in blocks:
                path = f"{root}/{cid[-2:]}/{cid}"
                if _holds(path, data):
                    continue  # a tampered file differs, and is replaced
                scratch = f"{root}/{cid[-2:]}/.new-{os.urandom(8).hex()}"
                try:
                    descriptor = os.open(scratch, _NEW, 0o600)
                except FileNotFoundError:
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    folders.add(root)
                    descriptor = os.open(scratch, _NEW, 0o600)
                staged.append((descriptor, scratch, path))
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(data)
            _flush([descriptor for descriptor, _, _ in staged])
            for _, scratch, path in staged:
                os.replace(scratch, path)
                folders.add(os.path.dirname(path))
            _flush_folders(folders)
        except OSError as error:
            raise self._failed("written", self._path(cid), cid, error) from None
        finally:
            for descriptor, scratch, _ in staged:
                os.close(descriptor)
                with suppress(FileNotFoundError):
                    os.unlink(scratch)

    def _failed(self, verb: str, path: Path, cid: str, error: OSError | sqlite3.Error) -> ContentError:
        if isinstance(error, OSError):
            full, why = error.errno in _FULL, error.strerror or str(error)
        else:
            full, why = error.sqlite_errorcode == sqlite3.SQLITE_FULL, str(error)
        fix = f"make {self.root} readable and writable, or set OPENLEDGER_HOME elsewhere"
        if full:
            why, fix = "the disk is full", f"free space on the disk of {self.root}, then try again"
        elif type(error) is sqlite3.DatabaseError:
            fix = "the file is damaged: move it away, and import its blocks from another store"
        return ContentError(f"Block {cid} cannot be {verb} at {path}", why=why, fix=fix, cid=cid)


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read() == data
    except FileNotFoundError:
        return False


def _flush(descriptors: list[int]) -> None:
    """fsync; several at once, since a disk flushes many as fast as one."""
    others = [_syncers().submit(os.fsync, one) for one in descriptors[1:]]
    try:
        for one in descriptors[:1]:
            os.fsync(one)
    finally:
        wait(others)
    for other in others:
        other.result()


def _flush_folders(folders: set[str]) -> None:
    """So that the names in them are on disk too."""
    descriptors: list[int] = []
    try:
        for folder in folders:
            descriptors.append(os.open(folder, os.O_RDONLY))
        _flush(descriptors)
    finally:
        for one in descriptors:
            os.close(one)


@cache
def _syncers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        16, thread_name_prefix="fsync"
    )  # kept: to start threads takes longer than to flush


os.register_at_fork(after_in_child=_syncers.cache_clear)
