"""vLLM's adapter cache, filled from outside its steps.

vLLM 0.32 loads an adapter inside the step that first needs it: it reads files there, takes a slot at once even
for a preload, and copies the table of cached adapters for every active adapter of every step (3 ms a step at
2,000 cached). Here an adapter is read and packed in any thread (``parse``) and put into the cache between two
steps (``insert``), which is one dictionary entry; a slot is taken by the first step that runs it. On CPU even that
copies nothing: the operator is pointed at the adapter where it is. Upstream has no issue for this; drop it when
``add_lora`` can leave the slots alone.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch
from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA
from vllm.lora.lora_model import LoRAModel
from vllm.lora.worker_manager import LRUCacheWorkerLoRAManager

from ._lora_cpu import CompiledPunicaCPU, Pair
from ._peft import WEIGHTS

__all__ = ["AdapterCache", "Parsed", "install"]


class Parsed(LoRAModel):  # type: ignore[misc]
    """One adapter in memory of its own: a private mapping that goes back to the system with its last tensor,
    where vLLM's many small allocations would fragment the heap, and its mapping of the file would follow
    whatever is written there later. Only safetensors are read."""

    memory = 0
    """Bytes."""

    @classmethod
    def from_local_checkpoint(
        cls,
        lora_dir: str,
        expected_lora_modules: set[str],
        peft_helper: Any,
        *,
        lora_model_id: int | None = None,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        model_vocab_size: int | None = None,
        weights_mapper: Any = None,
        skip_prefixes: list[str] | None = None,
        moe_ep_spec: Any = None,
    ) -> Self:
        tensors, memory = _read(Path(lora_dir) / WEIGHTS, dtype or torch.float32)
        made = cls.from_lora_tensors(
            lora_model_id=lora_model_id,
            tensors=tensors,
            peft_helper=peft_helper,
            device=device,
            dtype=dtype,
            model_vocab_size=model_vocab_size,
            weights_mapper=weights_mapper,
            skip_prefixes=skip_prefixes,
        )
        made.memory = memory
        unknown = sorted(name for name in made.loras if name.rpartition(".")[2] not in expected_lora_modules)
        if unknown:
            raise ValueError(f"it adapts {unknown[0]}, which this model does not have")
        return made  # type: ignore[no-any-return]


def _read(path: Path, dtype: torch.dtype) -> tuple[dict[str, torch.Tensor], int]:
    stored = safetensors.torch.load(
        path.read_bytes()
    )  # a third of safe_open's time, which the engine waits for
    pages = -(-sum(tensor.numel() for tensor in stored.values()) * dtype.itemsize // mmap.PAGESIZE)
    memory = pages * mmap.PAGESIZE
    flat = torch.frombuffer(mmap.mmap(-1, memory), dtype=dtype)
    tensors: dict[str, torch.Tensor] = {}
    at = 0
    for name, tensor in sorted(stored.items()):
        piece = flat[at : at + tensor.numel()]
        # B by columns: one of them at a time is what the operator on CPU adds to a row.
        tensors[name] = piece.view(tensor.T.shape).T if ".lora_B." in name else piece.view(tensor.shape)
        tensors[name].copy_(tensor)
        at += tensor.numel()
    return tensors, memory


class AdapterCache(LRUCacheWorkerLoRAManager):  # type: ignore[misc]
    """Takes the place of the runner's adapter manager over the same layers and slots."""

    def __init__(self, old: LRUCacheWorkerLoRAManager, config: Any) -> None:
        super().__init__(config, old.device, old.embedding_modules, Parsed)
        self._adapter_manager = old._adapter_manager
        self._running: set[int] = set()
        # The layers to be pointed at an adapter; the rest vLLM copies into their stacks.
        self._pointed = {
            name
            for name, one in old._adapter_manager.modules.items()
            if isinstance(one, BaseLinearLayerWithLoRA) and isinstance(one.punica_wrapper, CompiledPunicaCPU)
        }

    # From any thread

    def parse(self, request: Any) -> Parsed:
        """Read an adapter and pack it as the engine wants it. Raises as vLLM's loader."""
        parsed = self._load_adapter(request)
        # Packing is most of the work of adding; done twice, the second time finds nothing to do.
        self._adapter_manager._create_merged_loras_inplace(parsed)
        return parsed  # type: ignore[no-any-return]

    # Between two steps

    def insert(self, parsed: Parsed) -> None:
        self._adapter_manager.add_adapter(parsed)

    def remove(self, number: int) -> None:
        if self._pointed and number in self._adapter_manager.lora_index_to_id:
            self._point(
                self._adapter_manager.lora_index_to_id.index(number), None
            )  # it must outlive no pointer
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

    def _point(self, slot: int, model: LoRAModel | None) -> None:
        """What vLLM's ``activate_adapter`` does, without copying where our operator runs."""
        for name, module in self._adapter_manager.modules.items():
            weights = model and model.get_lora(name)
            if name in self._pointed:
                module.punica_wrapper.point(module, slot, _pairs(module, weights) if weights else ())
            elif weights:
                module.set_lora(slot, weights.lora_a, weights.lora_b)
            else:
                module.reset_lora(slot)


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
