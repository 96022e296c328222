"""OpenLoRA: many adapters over one base model, generations that can be replayed.

Importing this pulls in neither vLLM nor Ray nor torch; they load with the first engine or pool.
"""

from __future__ import annotations

from ._adapters import AdapterStore, LocalRegistry, RegistryEntry
from ._calibrate import Calibration, calibrate, honest_requests, observe
from ._connected import (
    fetch_adapter,
    fetch_base,
    fetch_tokenizer,
    open_adapters,
    pool_config,
    replayer_for,
    shared_pool,
)
from ._engine import AdapterSource, Engine, EngineStats
from ._peft import Limits
from ._pool import EnginePool, PoolConfig
from ._replica import NAMESPACE
from ._sampler import choose, deficit, gumbel
from ._stream import Chunk
from ._tokenizer import load_tokenizer
from ._tolerance import (
    GROSS_DELTA,
    TOLERANCES,
    Calibrated,
    Observation,
    Tolerance,
    ToleranceFor,
    Tolerances,
    fit,
    tolerance_for,
)
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
from ._verify import Replay, replay, vote

__all__ = [
    "GROSS_DELTA",
    "LENGTH",
    "NAMESPACE",
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
    "Calibrated",
    "Calibration",
    "Limits",
    "LocalRegistry",
    "Observation",
    "PoolConfig",
    "Queue",
    "RegistryEntry",
    "Replay",
    "Replayer",
    "Sampling",
    "Tiers",
    "Timings",
    "Tolerance",
    "ToleranceFor",
    "Tolerances",
    "calibrate",
    "choose",
    "deficit",
    "fetch_adapter",
    "fetch_base",
    "fetch_tokenizer",
    "fit",
    "gumbel",
    "honest_requests",
    "load_tokenizer",
    "observe",
    "open_adapters",
    "pool_config",
    "replay",
    "replayer_for",
    "shared_pool",
    "tolerance_for",
    "vote",
]
