"""From a digest to a directory vLLM may load: fetched, checked, never trusted. Knows nothing of the registry."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from ..errors import ContentError, OpenLedgerError, UserError
from ..registry import ContentStore, path_cid
from ._disk import Disk, remove
from ._peft import Limits, Shape, check_limits, inspect
from ._types import AdapterRef

__all__ = ["AdapterFiles"]


class AdapterFiles:
    """Adapters from ``content``, kept under ``root`` by CID.

    Kept directories are re-hashed once per process and whenever a file's size or times changed; beyond
    ``disk_bytes`` the least recently fetched go, never those in ``pinned`` (CIDs). One adapter may have
    ``max_bytes``. Safe to call from many threads. Several processes may share ``root``, as the replicas of a node
    do: an adapter is fetched by one of them while the others wait, under a lock beside it (``root``.locks).
    Pickled, it starts anew over the same ``root``.
    """

    def __init__(
        self, content: ContentStore, root: Path, disk_bytes: int, max_bytes: int, pinned: frozenset[str]
    ) -> None:
        self._arguments = content, root, disk_bytes, max_bytes, pinned
        self._content, self._root = content, Path(root).absolute()
        self._max_bytes = min(max_bytes, disk_bytes)
        self._verified: dict[str, tuple[object, Shape]] = {}
        self._shapes: dict[Shape, Shape] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._disk = Disk(self._root, disk_bytes, pinned)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    def fetch(self, adapter: AdapterRef, limits: Limits) -> Path:
        """A verified PEFT directory, absolute, named by its CID.

        Raises ``UserError`` for an adapter beyond ``limits``, ``ContentError`` for one whose bytes are missing or
        not those of its digest.
        """
        path = self._root / adapter.cid
        with self._lock:
            lock = self._locks.setdefault(adapter.cid, threading.Lock())
        with lock:
            shape = self._verify(adapter, path)
        for other in self._disk.keep(adapter.cid):
            self._verified.pop(other, None)
            with self._lock:
                self._locks.pop(other, None)
        check_limits(adapter, shape, limits)
        return path

    def _verify(self, adapter: AdapterRef, path: Path) -> Shape:
        known = self._verified.get(adapter.cid)
        if known is not None and known[0] == _fingerprint(path):
            return known[1]
        with self._disk.alone(adapter.cid):
            self._verified.pop(adapter.cid, None)
            if (path.is_symlink() or path.exists()) and not _is(path, adapter.cid):
                remove(path)
            if not path.exists():
                self._content.fetch_path(adapter.cid, path, limit=self._max_bytes)
                if not _is(path, adapter.cid):
                    remove(path)
                    raise ContentError(
                        f"Adapter {adapter.asset_id} is not what its digest names",
                        why="the fetched files have another CID",
                        fix="fetch it from another content store",
                        cid=adapter.cid,
                    )
            fingerprint = _fingerprint(path)
            try:
                shape = inspect(adapter, path)
            except OpenLedgerError:
                remove(path)
                raise
        self._verified[adapter.cid] = (fingerprint, self._shapes.setdefault(shape, shape))
        return shape


def _is(path: Path, cid: str) -> bool:
    try:
        return not path.is_symlink() and path_cid(path) == cid
    except UserError:  # a link or special file inside: not something that was published
        return False


def _fingerprint(path: Path) -> object:
    """Changes whenever a file below ``path`` does, short of forged times."""
    try:
        return tuple(
            (file.as_posix(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            for file in sorted([path, *path.rglob("*")])
            if (stat := file.lstat())
        )
    except OSError:
        return None
