"""A content store on disk: one file a block, written atomically."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from ...errors import ContentError
from ._base import BaseStore

__all__ = ["LocalStore"]

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
        staged: dict[str, Path] = {}
        folders: set[Path] = set()
        cid = ""
        try:
            for cid, data in blocks.items():
                path = self._path(cid)
                if path.is_file() and path.read_bytes() == data:
                    continue  # a tampered file differs, and is replaced
                if not path.parent.is_dir():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    folders.add(self.root)
                handle, scratch = tempfile.mkstemp(prefix=".new-", dir=path.parent)
                staged[cid] = Path(scratch)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
            _sync(list(staged.values()))
            for cid, written in staged.items():
                os.replace(written, self._path(cid))
                folders.add(self._path(cid).parent)
            _sync(list(folders))
        except OSError as error:
            raise self._failed("written", self._path(cid), cid, error) from None
        finally:
            for left in staged.values():
                left.unlink(missing_ok=True)

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


def _sync(paths: list[Path]) -> None:
    """fsync files or directories; several at once, since a disk flushes many as fast as one."""
    if len(paths) > 1:
        list(_syncers().map(_sync_one, paths))
    elif paths:
        _sync_one(paths[0])


@cache
def _syncers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        16, thread_name_prefix="fsync"
    )  # kept: to start threads takes longer than to flush


os.register_at_fork(after_in_child=_syncers.cache_clear)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
