"""Directories of adapters on this node's disk, within a budget of bytes, shared by the processes of the node."""

from __future__ import annotations

import shutil
import threading
import time
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

__all__ = ["Disk", "remove"]

_LOCKS = 64
"""Files that stand for what processes may not do at once: two adapters share one now and then and wait in vain."""

_RECOUNT = 30.0
"""Seconds after which the directories are counted anew, for what other processes keep in them."""

_ABANDONED = 3600.0
"""Seconds after which a half-fetched directory is taken for the leavings of a killed process."""


class Disk:
    """The directories below ``root``, one an adapter, named by CID. Beyond ``budget`` bytes the least recently kept go,
    never those in ``pinned``."""

    def __init__(self, root: Path, budget: int, pinned: frozenset[str]) -> None:
        self._root, self._budget, self._pinned = root, budget, pinned
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._counted = -float("inf")
        self.kept_bytes = 0

    def alone(self, cid: str) -> FileLock:
        """What one process of the node at a time may hold for an adapter; it goes with its holder."""
        folder = self._root.with_name(self._root.name + ".locks")
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{zlib.crc32(cid.encode()) % _LOCKS:02d}", poll_interval=0.02)

    def keep(self, cid: str) -> list[str]:
        """Count a directory as just used and make room for it. Returns the CIDs of those removed."""
        size, gone = 0, []
        with suppress(OSError):  # another process removed it meanwhile
            size = _size(self._root / cid)
        with self._lock:
            if time.monotonic() - self._counted > _RECOUNT:
                self._count()
            self.kept_bytes += size - self._kept.get(cid, 0)
            self._kept[cid] = size
            self._kept.move_to_end(cid)
            if self.kept_bytes > self._budget:
                over = self.kept_bytes - self._budget
                for other, held in self._kept.items():
                    if over > 0 and other != cid and other not in self._pinned:
                        gone.append(other)
                        over -= held
            for other in gone:
                self.kept_bytes -= self._kept.pop(other)
        for other in gone:
            # Being fetched by another process it stays, and is counted the next time.
            with suppress(OSError), self.alone(other).acquire(timeout=1.0):
                remove(self._root / other)
        return gone

    def _count(self) -> None:
        """See what is there; the half-fetched leavings of others are removed."""
        kept: list[tuple[float, str, int]] = []
        for path in self._root.iterdir():
            with suppress(OSError):  # another process removed it meanwhile
                made = path.lstat().st_mtime
                if path.name.startswith("."):
                    if time.time() - made > _ABANDONED:
                        shutil.rmtree(path, ignore_errors=True)
                elif path.is_dir() and not path.is_symlink():
                    kept.append((made, path.name, _size(path)))
        found = OrderedDict((name, size) for _, name, size in sorted(kept))
        # In the order of last use here; what others fetched comes before, by its age.
        for name in self._kept:
            if name in found:
                found.move_to_end(name)
        self._kept, self._counted = found, time.monotonic()
        self.kept_bytes = sum(found.values())


def remove(path: Path) -> None:
    """A file, a link (not what it points to) or a directory."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)


def _size(path: Path) -> int:
    return sum(file.lstat().st_size for file in path.iterdir())
