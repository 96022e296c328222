"""OpenLoRA: many adapters over one base model, generations that can be replayed.

Importing this pulls in neither vLLM nor Ray nor torch; they load with the first engine or pool.
"""

from __future__ import annotations

from ._adapters import AdapterStore, Limits, RegistryEntry
from ._engine import AdapterSource, Engine, EngineStats
from ._pool import EnginePool, PoolConfig
from ._sampler import choose, deficit, gumbel
from ._types import (
    LENGTH,
    STOP,
    AdapterRef,
    AssetRef,
    Choice,
    Generation,
    GenerationRequest,
    Generator,
    Replayer,
    Sampling,
    Timings,
)
from ._verify import GROSS_DELTA, TOLERANCES, Replay, Tolerance, replay, tolerance_for, vote

__all__ = [
    "GROSS_DELTA",
    "LENGTH",
    "STOP",
    "TOLERANCES",
    "AdapterRef",
    "AdapterSource",
    "AdapterStore",
    "AssetRef",
    "Choice",
    "Engine",
    "EnginePool",
    "EngineStats",
    "Generation",
    "GenerationRequest",
    "Generator",
    "Limits",
    "PoolConfig",
    "RegistryEntry",
    "Replay",
    "Replayer",
    "Sampling",
    "Timings",
    "Tolerance",
    "choose",
    "deficit",
    "gumbel",
    "replay",
    "tolerance_for",
    "vote",
]
