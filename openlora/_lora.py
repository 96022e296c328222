"""vLLM's adapter cache, filled from outside its steps.

vLLM 0.32 loads an adapter inside the step that first needs it: it reads files there, takes a slot at once even
for a preload, and copies the table of cached adapters for every active adapter of every step (3 ms a step at
2,000 cached). Here an adapter is read by another process, parsed in any thread (``parse``) and put into the cache between
two steps (``insert``), which is one dictionary entry; a slot is taken by the first step that runs it. On CPU even that
copies nothing: the operator is pointed at the adapter where it is. Upstream has no issue for this; drop it when
``add_lora`` can leave the slots alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA
from vllm.lora.lora_model import LoRAModel
from vllm.lora.worker_manager import LRUCacheWorkerLoRAManager

from ._lora_cpu import CompiledPunicaCPU, Pair, Table, entry
from ._pack import Packed

__all__ = ["AdapterCache", "install"]


_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


_PLANS = 256
"""Kinds of adapters that are remembered."""


class _Handed:
    """What vLLM takes for its class of adapters and loads them by: gives it what was handed over, by number. So no
    pickle is read, and nothing that was not verified."""

    def __init__(self) -> None:
        self.packed: dict[int, Packed] = {}

    def from_local_checkpoint(
        self,
        lora_dir: str,
        expected_lora_modules: set[str],
        peft_helper: Any,
        *,
        lora_model_id: int,
        dtype: torch.dtype,
        moe_ep_spec: Any,
        **options: Any,
    ) -> LoRAModel:
        packed = self.packed[lora_model_id]
        made = LoRAModel.from_lora_tensors(
            lora_model_id=lora_model_id,
            tensors=dict(_views(packed, dtype)),
            peft_helper=peft_helper,
            dtype=dtype,
            **options,
        )
        unknown = sorted(name for name in made.loras if name.rpartition(".")[2] not in expected_lora_modules)
        if unknown:
            raise ValueError(f"it adapts {unknown[0]}, which this model does not have")
        made.memory = len(packed.memory)
        return made


def _views(packed: Packed, dtype: torch.dtype) -> Iterator[tuple[str, torch.Tensor]]:
    flat = torch.frombuffer(packed.memory, dtype=dtype)
    for piece in packed.pieces:
        (rows, columns), start = piece.shape, piece.start // dtype.itemsize
        strides = (1, rows) if piece.by_columns else (columns, 1)
        yield piece.name, flat.as_strided(piece.shape, strides, start)


class AdapterCache(LRUCacheWorkerLoRAManager):  # type: ignore[misc]
    """Takes the place of the runner's adapter manager over the same layers and slots."""

    def __init__(self, old: LRUCacheWorkerLoRAManager, config: Any) -> None:
        self._handed = _Handed()
        super().__init__(config, old.device, old.embedding_modules, self._handed)
        self._adapter_manager = old._adapter_manager
        self._running: set[int] = set()
        self._plans: dict[bytes, _Plan] = {}
        # The layers to be pointed at an adapter; the rest vLLM copies into their stacks.
        modules = old._adapter_manager.modules
        self._pointed = {
            name: one
            for name, one in modules.items()
            if isinstance(one, BaseLinearLayerWithLoRA)
            and isinstance(one.punica_wrapper, CompiledPunicaCPU)
            and self.dtype == "F32"
        }
        self._copied = {name: one for name, one in modules.items() if name not in self._pointed}
        self._table = Table(list(self._pointed.values()), old._adapter_manager.lora_slots)

    # From any thread

    @property
    def dtype(self) -> str:
        """That of adapters, as safetensors calls it."""
        return _DTYPES[self.lora_config.lora_dtype]

    def parse(self, request: Any, packed: Packed) -> LoRAModel:
        """What vLLM makes of an adapter; its ``memory`` is in bytes. Raises as vLLM's loader.

        That is the same for all adapters of a kind, down to the places in their memory: vLLM is asked for the first."""
        plan = self._plans.get(packed.kind)
        if plan is not None:
            return plan.carry_out(request.lora_int_id, packed)
        self._handed.packed[request.lora_int_id] = packed
        try:
            model = self._load_adapter(request)
        finally:
            del self._handed.packed[request.lora_int_id]
        scales = [(one.lora_b, one.scaling) for one in model.loras.values()]
        self._adapter_manager._create_merged_loras_inplace(model)
        model.memory, model.entries = len(packed.memory), self._entries(model)
        if self._pointed.keys() >= model.loras.keys():
            plan = _Plan.of(model, packed, scales)
            if plan is not None:
                if len(self._plans) >= _PLANS:
                    self._plans.clear()
                self._plans[packed.kind] = plan
        return model

    def _entries(self, model: LoRAModel) -> Any:
        rows: list[tuple[int, int, int, int]] = []
        for name, module in self._pointed.items():
            weights = model.get_lora(name)
            rows += map(entry, _pairs(module, weights) if weights else [None] * module.n_slices)
        return np.array(rows, np.int64).reshape(-1, 4)

    # Between two steps

    def insert(self, parsed: LoRAModel) -> None:
        # Not add_adapter, which would merge once more what has been merged.
        self._adapter_manager._registered_adapters[parsed.id] = parsed

    def remove(self, number: int) -> None:
        if number in self._adapter_manager.lora_index_to_id:
            # No pointer may outlive it.
            self._table.point(self._adapter_manager.lora_index_to_id.index(number), 0)
        self._adapter_manager.remove_adapter(number)
        self._running.discard(number)

    @property
    def slots(self) -> list[int | None]:
        """The adapter in each slot."""
        return list(self._adapter_manager.lora_index_to_id)

    # What vLLM calls

    def list_adapters(self) -> set[int]:
        return set(self._adapter_manager._registered_adapters)

    def add_adapter(self, request: Any) -> bool:
        """Only what was inserted can run, so a step never reads a file."""
        manager, number = self._adapter_manager, request.adapter_id
        if manager.get_adapter(number) is None:
            raise LookupError(f"adapter {request.lora_name} was not inserted")
        active = manager._active_adapters
        if number not in active and self._pointed:
            if len(active) >= manager.lora_slots:
                active.remove_oldest()
            slot = manager.lora_index_to_id.index(None)
            active[number], manager.lora_index_to_id[slot] = None, number
            self._point(slot, manager.get_adapter(number))
        manager.activate_adapter(number)
        return True

    def _apply_adapters(self, requests: set[Any]) -> None:
        wanted = {request.adapter_id for request in requests if request}
        if wanted <= self._running:
            return
        # Those that have a slot first: else a new one could take theirs, to be loaded once more.
        held = set(self._adapter_manager.lora_index_to_id)
        for request in sorted(requests, key=lambda request: request.adapter_id not in held):
            self.add_adapter(request)
        self._running = wanted

    def _point(self, slot: int, model: LoRAModel) -> None:
        """What vLLM's ``activate_adapter`` does, without copying where our operator runs."""
        self._table.point(slot, model.entries)
        for name, module in self._copied.items():
            weights = model.get_lora(name)
            if weights:
                module.set_lora(slot, weights.lora_a, weights.lora_b)
            else:
                module.reset_lora(slot)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of the memory of any adapter of one kind."""

    rank: int
    entries: Any
    """As the table's, with addresses from the beginning of the memory."""
    scales: tuple[tuple[int, int, float], ...]
    """First float, last and one, and by what they are multiplied."""

    @classmethod
    def of(cls, model: LoRAModel, packed: Packed, scales: list[tuple[Any, Any]]) -> Self | None:
        """``scales`` are the matrices B and what vLLM multiplied them by. None where it left that memory."""
        start, stop = _address(packed), _address(packed) + len(packed.memory)
        entries = model.entries.copy()
        places = entries[entries[:, 0] > 0, 1:3]
        if ((places < start) | (places >= stop)).any():
            return None
        entries[entries[:, 0] > 0, 1:3] -= start
        parts: list[tuple[int, int, float]] = []
        for b, scale in sorted(scales, key=lambda pair: pair[0].data_ptr()):
            if not (isinstance(b, torch.Tensor) and start <= b.data_ptr() < stop):
                return None
            first = (b.data_ptr() - start) // b.itemsize
            if parts and parts[-1][2] == scale:
                first = parts.pop()[0]
            parts.append((first, (b.data_ptr() - start) // b.itemsize + b.numel(), scale))
        return cls(model.rank, entries, tuple(parts))

    def carry_out(self, number: int, packed: Packed) -> LoRAModel:
        model = LoRAModel(number, self.rank, {})
        floats = np.frombuffer(packed.memory, np.float32)
        for first, last, scale in self.scales:
            floats[first:last] *= scale
        model.memory, model.entries, model.packed = len(packed.memory), self.entries.copy(), packed
        model.entries[model.entries[:, 0] > 0, 1:3] += _address(packed)
        return model


def _address(packed: Packed) -> int:
    return int(np.frombuffer(packed.memory, np.uint8).ctypes.data)


def _pairs(module: Any, weights: Any) -> list[Pair | None]:
    """A and B of each of a layer's outputs, as its ``set_lora`` finds them."""
    a, b = weights.lora_a, weights.lora_b
    if isinstance(a, torch.Tensor):
        a, b = [a], [b]
    if len(b) != module.n_slices:
        a, b = module.expand_packed_lora(a, b)
    return [None if one is None else (one, other) for one, other in zip(a, b, strict=True)]


def install(worker: Any) -> AdapterCache:
    """Run in the worker by ``collective_rpc``: gives its model runner this cache."""
    runner = worker.model_runner
    runner.lora_manager = AdapterCache(runner.lora_manager, worker.vllm_config)
    return runner.lora_manager  # type: ignore[no-any-return]
