"""A content store on disk: one file a block, written atomically."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from pathlib import Path

from ...errors import ContentError
from ._base import BaseStore

__all__ = ["LocalStore"]

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_AT_ONCE = 64
"""Files that are written before any is flushed; as many are open."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalStore(BaseStore):
    """Blocks under ``root/<last two characters of the CID>/<CID>``.

    A block is written to a temporary file, synced and renamed, so a crash or a full disk leaves either
    the whole block or none of it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def _path(self, cid: str) -> Path:
        return self.root / cid[-2:] / cid

    def _exists(self, cid: str) -> bool:
        return self._path(cid).is_file()

    def _missing_fix(self) -> str:
        return f"import it into {self.root}, or set OPENLEDGER_IPFS_API to a node that has it"

    def _read(self, cid: str) -> bytes | None:
        try:
            return self._path(cid).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed("read", self._path(cid), cid, error) from None

    def _write(self, cid: str, data: bytes) -> None:
        self._write_many({cid: data})

    def _write_many(self, blocks: Mapping[str, bytes]) -> None:
        several = list(blocks.items())
        for start in range(0, len(several), _AT_ONCE):
            self._write_some(several[start : start + _AT_ONCE])

    def _write_some(self, blocks: list[tuple[str, bytes]]) -> None:
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

    def _failed(self, verb: str, path: Path, cid: str, error: OSError) -> ContentError:
        full = error.errno in _FULL
        return ContentError(
            f"Block {cid} cannot be {verb} at {path}",
            why="the disk is full" if full else error.strerror or str(error),
            fix=f"free space on the disk of {self.root}, then try again"
            if full
            else f"make {self.root} readable and writable, or set OPENLEDGER_HOME elsewhere",
            cid=cid,
        )


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
