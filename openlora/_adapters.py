"""From an on-chain adapter to a directory vLLM may load: fetched by digest, checked, never trusted."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import ContentError, OpenLedgerError, UserError
from ..registry import AssetRef, ContentStore, digest_of, normalise_cid, path_cid
from ._disk import Disk, remove
from ._peft import Shape, inspect, leaf, refused
from ._types import AdapterRef

__all__ = ["ADAPTER", "AdapterStore", "Limits", "LocalRegistry", "RegistryEntry"]

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
class Limits:
    """What an engine can hold."""

    base: AssetRef | None
    """Its base model, where it is registered."""
    max_rank: int
    modules: frozenset[str]
    """Names of the layers that may carry LoRA, e.g. ``q_proj``."""
    layers: Mapping[str, tuple[int, int]] | None = None
    """Every linear layer of the base model by its full name: (inputs, outputs). None: unknown."""


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
    Answers are believed for ``ttl`` seconds, so a revocation takes at most that long. Kept directories are
    re-hashed once per process and whenever a file's size or times changed; beyond ``disk_bytes`` the least
    recently fetched go, never those in ``pinned`` (CIDs). One adapter may have ``max_bytes``.
    Safe to call from many threads. Several processes may share ``root``, as the replicas of a node do: an adapter
    is fetched by one of them while the others wait, under a lock beside it (``root``.locks).
    """

    def __init__(
        self,
        content: ContentStore,
        resolve: Callable[[int], RegistryEntry],
        root: Path,
        *,
        version_of: Callable[[int, bytes], int] | None = None,
        ttl: float = 30.0,
        disk_bytes: int = 16 << 30,
        max_bytes: int = 2 << 30,
        pinned: frozenset[str] = frozenset(),
    ) -> None:
        self._content, self._resolve, self._version_of = content, resolve, version_of
        self._root, self.ttl = Path(root).absolute(), ttl
        self._max_bytes = min(max_bytes, disk_bytes)
        self._entries: OrderedDict[AdapterRef, tuple[float, RegistryEntry]] = OrderedDict()
        self._verified: dict[str, tuple[object, Shape]] = {}
        self._shapes: dict[Shape, Shape] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._disk = Disk(self._root, disk_bytes, pinned)

    @property
    def kept_bytes(self) -> int:
        """What the kept directories hold, as far as this process knows."""
        return self._disk.kept_bytes

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
        path = self._root / adapter.cid
        with self._lock:
            lock = self._locks.setdefault(adapter.cid, threading.Lock())
        with lock:
            shape = self._verify(adapter, path)
        for other in self._disk.keep(adapter.cid):
            self._verified.pop(other, None)
            with self._lock:
                self._locks.pop(other, None)
        if shape.rank > limits.max_rank:
            raise refused(
                adapter,
                f"its rank is {shape.rank}, this engine holds at most {limits.max_rank}",
                f"start the engine with max_lora_rank={shape.rank} or more",
            )
        foreign = sorted({leaf(layer) for layer, _ in shape.layers} - limits.modules)
        if foreign:
            raise refused(
                adapter,
                f"it adapts {', '.join(foreign)}, this engine adapts {', '.join(sorted(limits.modules))}",
                "train it on those modules, or start the engine with other lora_target_modules",
            )
        # vLLM ignores layers the model lacks and pads matrices that are too small: another model, silently.
        for layer, size in shape.layers:
            held = limits.layers.get(layer) if limits.layers is not None else size
            if held != size:
                raise refused(
                    adapter,
                    f"it adapts {layer} of {size[0]} inputs and {size[1]} outputs, "
                    + (f"which has {held[0]} and {held[1]} here" if held else "which this base model lacks"),
                    "check that it was trained on this base model",
                )
        return path

    def _entry(self, adapter: AdapterRef, digest: bytes) -> RegistryEntry:
        now = time.monotonic()
        known = self._entries.get(adapter)
        if known is not None and now - known[0] < self.ttl:
            return known[1]
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
            while now - next(iter(self._entries.values()))[0] > self.ttl:
                self._entries.popitem(last=False)
        return entry

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


def _list(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) or "none"
