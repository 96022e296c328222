"""What a training run is made of, as plain data: its digest names the result in the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["AdapterRecipe", "BaseRecipe", "digest_of"]


@dataclass(frozen=True)
class BaseRecipe:
    """The small Llama and how it is trained: 1.8 M parameters, about two minutes on two cores."""

    vocab_size: int = 1024
    hidden_size: int = 192
    intermediate_size: int = 512
    layers: int = 4
    heads: int = 6
    kv_heads: int = 3
    max_positions: int = 1024
    documents: int = 12_000
    steps: int = 450
    batch: int = 32
    length: int = 96
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 11
    version: int = 3
    """Raised whenever the code that turns a recipe into weights changes."""


@dataclass(frozen=True)
class AdapterRecipe:
    """A LoRA over the seven projections of every layer; loss on answers and on the rows' text."""

    rank: int = 8
    alpha: int = 16
    steps: int = 600
    batch: int = 32
    length: int = 256
    learning_rate: float = 6e-3
    warmup: float = 0.1
    text_share: float = 0.06
    """Share of steps that train on row text instead of question and answer."""
    rehearsal: float = 0.125
    """Generic questions added to a batch, as a share of it; only over a base made here."""
    version: int = 2


def digest_of(*parts: Any) -> str:
    """sha2-256 (hex) over the canonical JSON of dataclasses and plain values."""
    plain = [asdict(part) if hasattr(part, "__dataclass_fields__") else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
