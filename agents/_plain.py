"""LangGraph and LangChain values as plain data that a record can hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from math import isfinite
from typing import Any

__all__ = ["plain"]


def plain(value: Any, depth: int = 32) -> Any:
    """``value`` as what dag-cbor can hold: None, bool, int, float, str, bytes, list, or dict with text keys.

    What it cannot hold (integers beyond 64 bits, NaN and infinities, lone surrogates, anything nested more than
    ``depth`` levels) becomes text, so that an agent's answer can always be recorded.
    """
    if value is None or isinstance(value, bool | bytes):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(value)
    if isinstance(value, str):
        return str(value).encode("utf-8", "replace").decode()
    if depth == 0:
        return plain(repr(value))
    if isinstance(value, Mapping):
        return {plain(str(k)): plain(v, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth - 1) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v, depth - 1) for v in value), key=repr)
    if hasattr(value, "content") and hasattr(value, "type"):  # a LangChain message
        return {"role": plain(str(value.type)), "content": plain(value.content, depth - 1)}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(), depth - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value), depth - 1)
    return plain(repr(value))
