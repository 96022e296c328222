"""A LoRA operator for vLLM on CPU: right for base-model rows, and no copies of weights.

vLLM 0.32's own indexes the adapter stack with −1 for rows without an adapter, so such a row gets the last
slot's adapter whenever the batch holds any adapter at all (vllm-project/vllm#48421, #49656); it also gathers and
upcasts a copy of A and B per token, at the full ``max_lora_rank`` and for layers the adapter leaves alone. Here
a compiled loop goes over the rows and reads each adapter's weights in place, as many ranks as it has; adapters
with many rows go through matrix products instead. Each row is computed alike in any batch. Remove when
upstream's operator skips negative indices and is as fast (docs/openlora.md, "CPU operator").
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

__all__ = ["CompiledPunicaCPU", "install"]

MANY = 64
"""Rows of one adapter from which matrix products are faster than the loop (measured, see the docs)."""

_F, _I = numba.float32, numba.int64


@numba.njit(  # type: ignore[untyped-decorator]
    numba.void(_F[:, ::1], _F[:, ::1], _F[:, :, ::1], _F[:, :, ::1], _I[::1], _I[::1], _I),
    nogil=True,
    cache=True,
    # Reordered sums, so that they can use vector instructions; NaN and infinities keep their meaning.
    fastmath={"reassoc", "contract", "nsz"},
)
def _rows(y: Any, x: Any, a: Any, b: Any, slots: Any, ranks: Any, start: int) -> None:
    """y[i, start:] += B[s]·(A[s]·x[i]) for every row i with a slot s."""
    inner = np.empty(a.shape[1], np.float32)
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot < 0:
            continue
        rank = ranks[slot]
        for k in range(rank):
            total = np.float32(0)
            for j in range(x.shape[1]):
                total += a[slot, k, j] * x[i, j]
            inner[k] = total
        if rank > 0:
            for o in range(b.shape[1]):
                total = np.float32(0)
                for k in range(rank):
                    total += b[slot, o, k] * inner[k]
                y[i, start + o] += total


class _Slice(NamedTuple):
    """One of a layer's outputs (q, k and v are three): its stacks and the rank each slot has."""

    a: torch.Tensor
    b: torch.Tensor
    arrays: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    """The same memory for the compiled loop; None for another type than float32."""
    ranks: NDArray[np.int64]


class CompiledPunicaCPU(PunicaWrapperCPU):  # type: ignore[misc]
    """y[rows of i] += (x[rows of i] · Aᵢᵀ) · Bᵢᵀ, for every adapter i in the batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._layers: dict[int, list[_Slice]] = {}

    def describe(self, layer: Any, slot: int, ranks: list[int]) -> None:
        """``slot`` of vLLM's ``layer`` now has these ranks, one for each slice; none: not adapted."""
        for at, part in enumerate(self._slices(layer.lora_a_stacked, layer.lora_b_stacked)):
            part.ranks[slot] = ranks[at] if ranks else 0

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        super().update_metadata(*args, **kwargs)
        slots = self.token_lora_indices.numpy()
        present, counts = np.unique(slots, return_counts=True)
        self._few = slots.copy()
        self._many: list[tuple[int, torch.Tensor | None]] = []
        for slot, count in zip(present.tolist(), counts.tolist(), strict=True):
            if slot >= 0 and count >= MANY:
                rows = None if count == len(slots) else torch.from_numpy(np.flatnonzero(slots == slot))
                self._many.append((slot, rows))
                self._few[slots == slot] = -1
        self._any = bool((self._few >= 0).any())
        self._all = [slot for slot in present.tolist() if slot >= 0]
        self._slots = slots

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        assert scale == 1.0  # vLLM merges the scale into B
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        start = 0
        for part in self._slices(lora_a_stacked, lora_b_stacked):
            if part.arrays is None or x.dtype != torch.float32 or y.dtype != torch.float32:
                for slot in self._all:
                    self._product(
                        y, x, part, start, slot, torch.from_numpy(np.flatnonzero(self._slots == slot))
                    )
            else:
                if self._any:
                    _rows(
                        y.numpy(),
                        x.contiguous().numpy(),
                        *part.arrays,
                        self._few[: len(x)],
                        part.ranks,
                        start,
                    )
                for slot, rows in self._many:
                    self._product(y, x, part, start, slot, rows)
            start += part.b.shape[1]

    @staticmethod
    def _product(
        y: torch.Tensor, x: torch.Tensor, part: _Slice, start: int, slot: int, rows: torch.Tensor | None
    ) -> None:
        rank = int(part.ranks[slot])
        if rank:
            delta = ((x if rows is None else x[rows]) @ part.a[slot, :rank].T) @ part.b[slot, :, :rank].T
            target = y[:, start : start + part.b.shape[1]]
            if rows is None:
                target += delta
            else:
                target.index_add_(0, rows, delta.to(target.dtype))

    def _slices(self, a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> list[_Slice]:
        """Stacks are (slots, 1, rank, in) and (slots, 1, out, rank), made once a layer."""
        known = self._layers.get(id(a))
        if known is None:
            known = self._layers[id(a)] = [
                _Slice(
                    one_a[:, 0],
                    one_b[:, 0],
                    (one_a[:, 0].numpy(), one_b[:, 0].numpy()) if one_a.dtype == torch.float32 else None,
                    # Until it is described, a slot is taken to have every rank.
                    np.full(len(one_a), one_a.shape[2], np.int64),
                )
                for one_a, one_b in zip(a, b, strict=True)
            ]
        return known


def install() -> None:
    """Make vLLM's CPU platform in this process use the operator. Does nothing on other platforms."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        name = f"{CompiledPunicaCPU.__module__}.{CompiledPunicaCPU.__qualname__}"
        type(current_platform).get_punica_wrapper = classmethod(lambda _: name)
