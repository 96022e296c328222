"""What a PEFT LoRA directory holds, read without executing or unpickling anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from ..errors import UserError
from ._types import AdapterRef, AssetRef

__all__ = ["CONFIG", "WEIGHTS", "Limits", "Shape", "check_limits", "inspect", "refused"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
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


@dataclass(frozen=True, slots=True)
class Shape:
    """Rank, and every adapted layer with its (inputs, outputs). Hashable, so that adapters alike share one."""

    rank: int
    layers: tuple[tuple[str, tuple[int, int]], ...]


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


def inspect(adapter: AdapterRef, path: Path) -> Shape:
    """What the files of a PEFT directory hold, read without executing or unpickling anything."""
    if not path.is_dir():
        raise refused(adapter, "it is a single file", "publish the PEFT directory")
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not file.is_file() or file.is_symlink():
            raise refused(adapter, f"{name} is not a plain file")
        if name != WEIGHTS and (file.suffix not in _HARMLESS or file.name.startswith(".")):
            raise refused(
                adapter,
                f"it holds {name}; only safetensors are loaded, never pickles or code",
                f"publish {CONFIG} and {WEIGHTS} alone",
            )
    for needed in (CONFIG, WEIGHTS):
        if not (path / needed).is_file():
            raise refused(adapter, f"it lacks {needed}", "save it with peft's save_pretrained")
    rank = _check_config(adapter, path / CONFIG)
    layers = _check_weights(adapter, path / WEIGHTS, rank)
    return Shape(rank, tuple(sorted(layers.items())))


def check_limits(adapter: AdapterRef, shape: Shape, limits: Limits) -> None:
    """Raise ``UserError`` for an adapter the engine cannot hold."""
    if shape.rank > limits.max_rank:
        raise refused(
            adapter,
            f"its rank is {shape.rank}, this engine holds at most {limits.max_rank}",
            f"start the engine with max_lora_rank={shape.rank} or more",
        )
    foreign = sorted({_leaf(layer) for layer, _ in shape.layers} - limits.modules)
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


def _check_config(adapter: AdapterRef, path: Path) -> int:
    try:
        config = from_json(path.read_bytes())  # nested too deep it is refused, where json overflows the stack
        ranks = [int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values())]
        alphas = [float(config["lora_alpha"]), *map(float, (config.get("alpha_pattern") or {}).values())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refused(adapter, f"{CONFIG} cannot be read ({type(error).__name__}: {error})") from error
    if min(ranks) < 1 or not all(map(math.isfinite, alphas)):
        raise refused(adapter, f"{CONFIG} asks for rank {min(ranks)} and alpha {alphas[0]}", "train it again")
    if config.get("peft_type") != "LORA":
        raise refused(adapter, f"it is a {config.get('peft_type')} adapter", "train a LoRA adapter")
    for name, off in _UNSUPPORTED.items():
        if config.get(name) not in (off, None, False, [], {}):
            raise refused(adapter, f"it sets {name} to {config[name]!r}", f"train it without {name}")
    return max(ranks)


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
                    raise refused(
                        adapter,
                        f"it adapts {_leaf(layer) or key}, which the engine cannot score",
                        "leave the output head and the embeddings out of target_modules",
                    )
                if not layer or side not in ("A", "B"):
                    raise refused(
                        adapter, f"tensor {key} is not a LoRA matrix", "train it without modules_to_save"
                    )
                tensor = weights.get_slice(key)
                shape = tensor.get_shape()
                if len(shape) != 2 or min(shape) < 1 or shape[side == "B"] > rank:
                    raise refused(adapter, f"tensor {key} has shape {shape}, not that of rank {rank}")
                sides.setdefault(layer.removeprefix("base_model.model."), {})[side] = shape
        _check_finite(adapter, path)
    except (SafetensorError, OSError) as error:
        raise refused(adapter, f"{WEIGHTS} cannot be read ({error})", "save it with safetensors") from error
    if not sides:
        raise refused(adapter, "it holds no weights")
    for layer, pair in sides.items():
        if len(pair) != 2 or pair["A"][0] != pair["B"][1]:
            raise refused(adapter, f"the two matrices of {layer} do not fit together")
    return {layer: (pair["A"][1], pair["B"][0]) for layer, pair in sides.items()}


def _check_finite(adapter: AdapterRef, path: Path) -> None:
    """Refuse NaN and infinities: they would spread through the KV cache to other requests."""
    import numpy as np

    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        if tensor["dtype"] not in _EXPONENTS:
            raise refused(
                adapter, f"tensor {name} is of type {tensor['dtype']}", "save it as float32 or bfloat16"
            )

    def finite(dtype: str, first: int, last: int) -> bool:
        # All exponent bits set is how IEEE 754 writes infinities and NaN; numpy has no bfloat16.
        kind, mask = _EXPONENTS[dtype]
        bits = np.frombuffer(data, kind, (last - first) // np.dtype(kind).itemsize, start + first)
        return not np.any((bits & mask) == mask)

    types = {tensor["dtype"] for tensor in header.values()}
    # At once where they are of one type, which is nearly always: safetensors allows no gaps.
    if len(types) == 1 and finite(next(iter(types)), 0, len(data) - start):
        return
    for name, tensor in header.items():
        if not finite(tensor["dtype"], *tensor["data_offsets"]):
            raise refused(adapter, f"tensor {name} holds values that are not finite", "train it again")


def _leaf(layer: str) -> str:
    return layer.rpartition(".")[2]


def refused(adapter: AdapterRef, why: str, fix: str = "use another adapter") -> UserError:
    return UserError(f"Adapter {adapter.asset_id} was refused", why=why, fix=fix)
