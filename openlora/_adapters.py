"""From an on-chain adapter to a directory vLLM may load: the registry vouches for it, its files are checked."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import ChainError, UserError
from ..registry import AssetRef, ContentStore, digest_of, normalise_cid
from ._files import AdapterFiles
from ._peft import Limits, refused
from ._types import AdapterRef

__all__ = ["ADAPTER", "AdapterStore", "LocalRegistry", "RegistryEntry"]

ADAPTER = 3
"""``AssetRegistry``'s kind of an adapter."""


class RegistryEntry(Protocol):
    """What the chain says about an asset; ``registry.Asset`` is one."""

    @property
    def kind(self) -> int: ...

    @property
    def revoked(self) -> bool: ...

    @property
    def cid(self) -> str:
        """CID of the current version."""

    @property
    def parents(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class _Local:
    cid: str
    parents: tuple[int, ...]
    kind: int = ADAPTER
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class LocalRegistry:
    """Stands in for the chain in a local run: exactly these adapters, all of one base. Picklable."""

    adapters: tuple[AdapterRef, ...]
    base: AssetRef

    def __call__(self, asset_id: int) -> RegistryEntry:
        for adapter in self.adapters:
            if adapter.asset_id == asset_id:
                return _Local(adapter.cid, (self.base.asset_id,))
        raise UserError(
            f"Asset {asset_id} is not registered",
            why="this is a local run over " + _list([adapter.asset_id for adapter in self.adapters]),
            fix="add it to the local registry, or connect to a chain",
        )


class AdapterStore:
    """Adapters by asset id: resolved on-chain, fetched from ``content``, kept under ``root`` by CID.

    ``resolve`` gives the registry entry of an asset id and raises ``UserError`` for one that does not exist;
    ``version_of(id, digest)`` says which version a digest is (0: none) and lets older versions be replayed.
    Answers are believed for ``ttl`` seconds, so a revocation takes at most that long; while the chain cannot be reached,
    for ``away`` seconds in all. Beyond ``disk_bytes`` the
    least recently fetched go, never those in ``pinned`` (CIDs). One adapter may have ``max_bytes``.
    Safe to call from many threads; several processes may share ``root``.
    """

    def __init__(
        self,
        content: ContentStore,
        resolve: Callable[[int], RegistryEntry],
        root: Path,
        *,
        version_of: Callable[[int, bytes], int] | None = None,
        ttl: float = 30.0,
        away: float = 120.0,
        disk_bytes: int = 16 << 30,
        max_bytes: int = 2 << 30,
        pinned: frozenset[str] = frozenset(),
    ) -> None:
        self.files = AdapterFiles(content, root, disk_bytes, max_bytes, pinned)
        """Gives the directories, without asking the registry."""
        self._resolve, self._version_of, self.ttl = resolve, version_of, ttl
        self._kept = max(ttl, away)
        self._entries: OrderedDict[AdapterRef, tuple[float, RegistryEntry]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, adapter: AdapterRef, limits: Limits) -> None:
        """Raise ``UserError`` unless the registry vouches for ``adapter`` as one of this base. No file is read."""
        digest = digest_of(adapter.cid)
        if normalise_cid(adapter.cid) != adapter.cid:
            raise refused(adapter, f"{adapter.cid} is not in base32", f"write {normalise_cid(adapter.cid)}")
        entry = self._entry(adapter, digest)
        if limits.base is not None and limits.base.asset_id not in entry.parents:
            raise refused(
                adapter,
                f"it was registered for base {_list(entry.parents)}, this engine runs asset {limits.base.asset_id}",
                "use a pool that runs its base, or an adapter of this one",
            )

    def fetch(self, adapter: AdapterRef, limits: Limits) -> Path:
        """A verified PEFT directory, absolute, named by its CID.

        Raises ``UserError`` for an adapter that is unregistered, revoked, of another base or beyond
        ``limits``, ``ContentError`` for one whose bytes are missing or not those of its digest.
        """
        self.check(adapter, limits)
        return self.files.fetch(adapter, limits)

    def _entry(self, adapter: AdapterRef, digest: bytes) -> RegistryEntry:
        now = time.monotonic()
        known = self._entries.get(adapter)
        if known is not None and now - known[0] < self.ttl:
            return known[1]
        try:
            return self._asked(adapter, digest, now)
        except ChainError as error:
            if known is None or error.code != "chain.unreachable" or now - known[0] >= self._kept:
                raise
            return known[1]

    def _asked(self, adapter: AdapterRef, digest: bytes, now: float) -> RegistryEntry:
        entry = self._resolve(adapter.asset_id)
        if entry.kind != ADAPTER:
            raise refused(adapter, f"asset {adapter.asset_id} is of kind {entry.kind}, not an adapter")
        if entry.revoked:
            raise refused(adapter, "its owner revoked it", "use an adapter that is in force")
        if entry.cid != adapter.cid and not (
            self._version_of is not None and self._version_of(adapter.asset_id, digest) > 0
        ):
            raise refused(
                adapter,
                f"{adapter.cid} is not registered for it; the registry names {entry.cid}",
                "ask for the registered version, or register this one",
            )
        with self._lock:
            self._entries[adapter] = (now, entry)
            self._entries.move_to_end(adapter)
            while now - next(iter(self._entries.values()))[0] > self._kept:
                self._entries.popitem(last=False)
        return entry


def _list(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) or "none"
