"""OpenLoRA: many adapters over one base model, generations that can be replayed.

Importing this pulls in neither vLLM nor Ray nor torch; they load with the first engine or pool.
"""

from __future__ import annotations

from ._adapters import AdapterStore, Limits, LocalRegistry, RegistryEntry
from ._calibrate import Calibration, calibrate
from ._connected import fetch_base, open_adapters, pool_config, replayer_for
from ._engine import AdapterSource, Engine, EngineStats
from ._pool import EnginePool, PoolConfig
from ._sampler import choose, deficit, gumbel
from ._stream import Chunk
from ._types import (
    LENGTH,
    STOP,
    AdapterRef,
    AssetRef,
    Choice,
    Generation,
    GenerationRequest,
    Generator,
    Queue,
    Replayer,
    Sampling,
    Tiers,
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
    "Chunk",
    "Engine",
    "EnginePool",
    "EngineStats",
    "Generation",
    "GenerationRequest",
    "Generator",
    "Calibration",
    "Limits",
    "LocalRegistry",
    "PoolConfig",
    "Queue",
    "RegistryEntry",
    "Replay",
    "Replayer",
    "Sampling",
    "Tiers",
    "Timings",
    "Tolerance",
    "calibrate",
    "choose",
    "deficit",
    "fetch_base",
    "gumbel",
    "open_adapters",
    "pool_config",
    "replay",
    "replayer_for",
    "tolerance_for",
    "vote",
]
