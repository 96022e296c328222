"""From an on-chain adapter to a directory vLLM may load: fetched by digest, checked, never trusted."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import ContentError, OpenLedgerError, UserError
from ..registry import AssetRef, ContentStore, digest_of, normalise_cid, path_cid
from ._types import AdapterRef

__all__ = ["ADAPTER", "AdapterStore", "Limits", "LocalRegistry", "RegistryEntry"]

ADAPTER = 3
"""``AssetRegistry``'s kind of an adapter."""

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_HARMLESS = {".json", ".md", ".txt", ".jinja", ""}
_HEADS = {"lm_head", "embed_tokens", "embed_out", "wte", "wpe"}
# What changes the meaning of A and B in ways vLLM does not follow, and the value that switches it off.
_UNSUPPORTED: dict[str, Any] = {
    "use_dora": False,
    "bias": "none",
    "lora_bias": False,
    "layer_replication": None,
    "modules_to_save": None,
    "trainable_token_indices": None,
    "alora_invocation_tokens": None,
    "use_qalora": False,
    "use_bdlora": None,
    "target_parameters": None,
}


_EXPONENTS = {"F32": ("<u4", 0x7F800000), "F16": ("<u2", 0x7C00), "BF16": ("<u2", 0x7F80)}


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
class _Shape:
    rank: int
    layers: Mapping[str, tuple[int, int]]


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
    re-hashed once per process and whenever a file's size or times changed. Safe to call from many threads;
    several processes may share ``root``.
    """

    def __init__(
        self,
        content: ContentStore,
        resolve: Callable[[int], RegistryEntry],
        root: Path,
        *,
        version_of: Callable[[int, bytes], int] | None = None,
        ttl: float = 30.0,
    ) -> None:
        self._content, self._resolve, self._version_of = content, resolve, version_of
        self._root, self._ttl = Path(root).absolute(), ttl
        self._entries: dict[AdapterRef, tuple[float, RegistryEntry]] = {}
        self._verified: dict[str, tuple[object, _Shape]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def fetch(self, adapter: AdapterRef, limits: Limits) -> Path:
        """A verified PEFT directory, absolute, named by its CID.

        Raises ``UserError`` for an adapter that is unregistered, revoked, of another base or beyond
        ``limits``, ``ContentError`` for one whose bytes are missing or not those of its digest.
        """
        digest = digest_of(adapter.cid)
        if normalise_cid(adapter.cid) != adapter.cid:
            raise _refused(adapter, f"{adapter.cid} is not in base32", f"write {normalise_cid(adapter.cid)}")
        entry = self._entry(adapter, digest)
        if limits.base is not None and limits.base.asset_id not in entry.parents:
            raise _refused(
                adapter,
                f"it was registered for base {_list(entry.parents)}, this engine runs asset {limits.base.asset_id}",
                "use a pool that runs its base, or an adapter of this one",
            )
        path = self._root / adapter.cid
        with self._lock:
            lock = self._locks.setdefault(adapter.cid, threading.Lock())
        with lock:
            shape = self._verify(adapter, path)
        if shape.rank > limits.max_rank:
            raise _refused(
                adapter,
                f"its rank is {shape.rank}, this engine holds at most {limits.max_rank}",
                f"start the engine with max_lora_rank={shape.rank} or more",
            )
        foreign = sorted({_leaf(layer) for layer in shape.layers} - limits.modules)
        if foreign:
            raise _refused(
                adapter,
                f"it adapts {', '.join(foreign)}, this engine adapts {', '.join(sorted(limits.modules))}",
                "train it on those modules, or start the engine with other lora_target_modules",
            )
        # vLLM ignores layers the model lacks and pads matrices that are too small: another model, silently.
        for layer, size in shape.layers.items():
            held = limits.layers.get(layer) if limits.layers is not None else size
            if held != size:
                raise _refused(
                    adapter,
                    f"it adapts {layer} of {size[0]} inputs and {size[1]} outputs, "
                    + (f"which has {held[0]} and {held[1]} here" if held else "which this base model lacks"),
                    "check that it was trained on this base model",
                )
        return path

    def _entry(self, adapter: AdapterRef, digest: bytes) -> RegistryEntry:
        known = self._entries.get(adapter)
        if known is not None and time.monotonic() - known[0] < self._ttl:
            return known[1]
        entry = self._resolve(adapter.asset_id)
        if entry.kind != ADAPTER:
            raise _refused(adapter, f"asset {adapter.asset_id} is of kind {entry.kind}, not an adapter")
        if entry.revoked:
            raise _refused(adapter, "its owner revoked it", "use an adapter that is in force")
        if entry.cid != adapter.cid and not (
            self._version_of is not None and self._version_of(adapter.asset_id, digest) > 0
        ):
            raise _refused(
                adapter,
                f"{adapter.cid} is not registered for it; the registry names {entry.cid}",
                "ask for the registered version, or register this one",
            )
        self._entries[adapter] = (time.monotonic(), entry)
        return entry

    def _verify(self, adapter: AdapterRef, path: Path) -> _Shape:
        known = self._verified.get(adapter.cid)
        if known is not None and known[0] == _fingerprint(path):
            return known[1]
        self._verified.pop(adapter.cid, None)
        if path.is_symlink() or path.exists():
            if not _is(path, adapter.cid):
                _remove(path)
                self._content.fetch_path(adapter.cid, path)
        else:
            self._content.fetch_path(adapter.cid, path)
        if not _is(path, adapter.cid):
            _remove(path)
            raise ContentError(
                f"Adapter {adapter.asset_id} is not what its digest names",
                why="the fetched files have another CID",
                fix="fetch it from another content store",
                cid=adapter.cid,
            )
        fingerprint = _fingerprint(path)
        try:
            shape = _inspect(adapter, path)
        except OpenLedgerError:
            _remove(path)
            raise
        self._verified[adapter.cid] = (fingerprint, shape)
        return shape


def _inspect(adapter: AdapterRef, path: Path) -> _Shape:
    """What the files of a PEFT directory hold, read without executing or unpickling anything."""
    if not path.is_dir():
        raise _refused(adapter, "it is a single file", "publish the PEFT directory")
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not file.is_file() or file.is_symlink():
            raise _refused(adapter, f"{name} is not a plain file")
        if name != _WEIGHTS and (file.suffix not in _HARMLESS or file.name.startswith(".")):
            raise _refused(
                adapter,
                f"it holds {name}; only safetensors are loaded, never pickles or code",
                f"publish {_CONFIG} and {_WEIGHTS} alone",
            )
    for needed in (_CONFIG, _WEIGHTS):
        if not (path / needed).is_file():
            raise _refused(adapter, f"it lacks {needed}", "save it with peft's save_pretrained")
    rank = _check_config(adapter, path / _CONFIG)
    return _Shape(rank, _check_weights(adapter, path / _WEIGHTS, rank))


def _check_config(adapter: AdapterRef, path: Path) -> int:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        rank = max([int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())])
        float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(adapter, f"{_CONFIG} cannot be read ({type(error).__name__}: {error})") from error
    if config.get("peft_type") != "LORA":
        raise _refused(adapter, f"it is a {config.get('peft_type')} adapter", "train a LoRA adapter")
    for name, off in _UNSUPPORTED.items():
        if config.get(name) not in (off, None, False, [], {}):
            raise _refused(adapter, f"it sets {name} to {config[name]!r}", f"train it without {name}")
    return rank


def _check_weights(adapter: AdapterRef, path: Path, rank: int) -> dict[str, tuple[int, int]]:
    """The layers adapted and their (inputs, outputs)."""
    from safetensors import SafetensorError, safe_open

    sides: dict[str, dict[str, list[int]]] = {}
    try:
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 - not a mapping
                layer, _, rest = key.rpartition(".lora_")
                side = rest.split(".", 1)[0]
                if _leaf(layer) in _HEADS or "embedding" in rest:
                    raise _refused(
                        adapter,
                        f"it adapts {_leaf(layer) or key}, which the engine cannot score",
                        "leave the output head and the embeddings out of target_modules",
                    )
                if not layer or side not in ("A", "B"):
                    raise _refused(
                        adapter, f"tensor {key} is not a LoRA matrix", "train it without modules_to_save"
                    )
                tensor = weights.get_slice(key)
                shape = tensor.get_shape()
                if len(shape) != 2 or not 0 < shape[side == "B"] <= rank:
                    raise _refused(adapter, f"tensor {key} has shape {shape}, not that of rank {rank}")
                sides.setdefault(layer.removeprefix("base_model.model."), {})[side] = shape
        _check_finite(adapter, path)
    except (SafetensorError, OSError) as error:
        raise _refused(adapter, f"{_WEIGHTS} cannot be read ({error})", "save it with safetensors") from error
    if not sides:
        raise _refused(adapter, "it holds no weights")
    for layer, pair in sides.items():
        if len(pair) != 2 or pair["A"][0] != pair["B"][1]:
            raise _refused(adapter, f"the two matrices of {layer} do not fit together")
    return {layer: (pair["A"][1], pair["B"][0]) for layer, pair in sides.items()}


def _check_finite(adapter: AdapterRef, path: Path) -> None:
    """Refuse NaN and infinities: they would spread through the KV cache to other requests."""
    import numpy as np

    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        for name, tensor in header.items():
            if name == "__metadata__":
                continue
            if tensor["dtype"] not in _EXPONENTS:
                raise _refused(
                    adapter, f"tensor {name} is of type {tensor['dtype']}", "save it as float32 or bfloat16"
                )
            kind, mask = _EXPONENTS[tensor["dtype"]]
            start, end = tensor["data_offsets"]
            file.seek(8 + length + start)
            bits = np.frombuffer(file.read(end - start), dtype=kind)
            # All exponent bits set is how IEEE 754 writes infinities and NaN; numpy has no bfloat16.
            if np.any((bits & mask) == mask):
                raise _refused(adapter, f"tensor {name} holds values that are not finite", "train it again")


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


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path)


def _leaf(layer: str) -> str:
    return layer.rpartition(".")[2]


def _refused(adapter: AdapterRef, why: str, fix: str = "use another adapter") -> UserError:
    return UserError(f"Adapter {adapter.asset_id} was refused", why=why, fix=fix)


def _list(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids)) or "none"
