"""A LoRA operator for vLLM on CPU: right for base-model rows, and no copies of weights.

vLLM 0.32's own indexes the adapter stack with −1 for rows without an adapter, so such a row gets the last
slot's adapter whenever the batch holds any adapter at all (vllm-project/vllm#48421, #49656); it also gathers and
upcasts a copy of A and B per token, at the full ``max_lora_rank`` and for layers the adapter leaves alone, and
copies an adapter's weights into a slot of the stacks before it may run. Here a slot is a table entry that points at
the adapter's own memory, and a compiled loop goes over the rows, those of an adapter together, and reads the weights
there, as many ranks as there are. Each row is computed alike, bit for bit, in any batch. Remove when upstream's operator
skips negative indices and is as fast (docs/openlora.md, "CPU operator").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numba.core import cgutils, types
from numba.extending import intrinsic
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

__all__ = ["CompiledPunicaCPU", "Pair", "Table", "entry", "install"]

Pair = tuple[torch.Tensor, torch.Tensor]
"""A (rank, in) and B (out, rank), with the scale in B. The loop reads B by columns: it is fast, and allowed, only as a
view of memory of (rank, out)."""

_F, _I = numba.float32, numba.int64


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_: Any, address: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


@numba.njit(  # type: ignore[untyped-decorator]
    numba.void(_F[:, ::1], _F[:, ::1], _I[::1], _I[::1], _I[:, ::1], _I, _I),
    nogil=True,
    cache=True,
    # Reordered sums, so that they can use vector instructions; NaN and infinities keep their meaning.
    fastmath={"reassoc", "contract", "nsz"},
)
def _rows(y: Any, x: Any, rows: Any, slots: Any, table: Any, start: int, outputs: int) -> None:
    """y[i, start:start+outputs] += B[s]·(A[s]·x[i]) for every i of ``rows``, s its slot; table[s] is (rank, address of A,
    address of B, elements from one column of B to the next). Only whole-row views are indexed in the inner loops: with
    an index that could be negative they do not become vector instructions, a factor of 4 to 8."""
    for i in rows:
        rank, step = table[slots[i], 0], table[slots[i], 3]
        if rank == 0:
            continue
        a = numba.carray(_pointer(table[slots[i], 1]), (rank, x.shape[1]), np.float32)
        b = numba.carray(_pointer(table[slots[i], 2]), (rank, step), np.float32)
        row, out = x[i], y[i, start : start + outputs]
        fours = rank - rank % 4
        for k in range(0, fours, 4):
            a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            h0 = h1 = h2 = h3 = np.float32(0)
            for j in range(row.shape[0]):
                h0 += a0[j] * row[j]
                h1 += a1[j] * row[j]
                h2 += a2[j] * row[j]
                h3 += a3[j] * row[j]
            for o in range(out.shape[0]):
                out[o] += h0 * b0[o] + h1 * b1[o] + h2 * b2[o] + h3 * b3[o]
        for k in range(fours, rank):
            ak, bk, h = a[k], b[k], np.float32(0)
            for j in range(row.shape[0]):
                h += ak[j] * row[j]
            for o in range(out.shape[0]):
                out[o] += h * bk[o]


class Table:
    """Where the weights of the adapter in each slot are: ``entries`` is (outputs of layers, slots, 4), q, k and v being
    three outputs. ``layers`` are vLLM's, with our operator; whoever points a slot keeps the memory."""

    def __init__(self, layers: Sequence[Any], slots: int) -> None:
        outputs = sum(len(layer.lora_b_stacked) for layer in layers)
        self.entries = np.zeros((outputs, slots, 4), np.int64)
        at = 0
        for layer in layers:
            layer.punica_wrapper.read(layer, self.entries[at : at + len(layer.lora_b_stacked)])
            at += len(layer.lora_b_stacked)

    def point(self, slot: int, entries: Any) -> None:
        """(outputs of layers, 4), see ``entry``; 0: none is adapted."""
        self.entries[:, slot] = entries


def entry(pair: Pair | None) -> tuple[int, int, int, int]:
    """What the loop must know of one output's weights: rank, addresses of A and B, elements from column to column of B."""
    if pair is None:
        return 0, 0, 0, 0
    a, b = pair
    if not a.is_contiguous() or b.stride(0) != 1:
        raise ValueError(f"weights of strides {a.stride()} and {b.stride()} cannot be pointed at")
    return len(a), a.data_ptr(), b.data_ptr(), b.stride(1)


class CompiledPunicaCPU(PunicaWrapperCPU):  # type: ignore[misc]
    """y[rows of i] += (x[rows of i] · Aᵢᵀ) · Bᵢᵀ, for every adapter i in the batch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._layers: dict[int, Any] = {}

    def read(self, layer: Any, entries: Any) -> None:
        """The weights of ``layer`` are where ``entries`` (outputs, slots, 4) say, not in its stacks."""
        self._layers[id(layer.lora_a_stacked)] = entries

    def update_metadata(self, *args: Any, **kwargs: Any) -> None:
        super().update_metadata(*args, **kwargs)
        self._slots = self.token_lora_indices.numpy().copy()
        order = np.argsort(self._slots, kind="stable")
        self._adapted = order[self._slots[order] >= 0]

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
        """Stacks are (slots, 1, rank, in) and (slots, 1, out, rank), made once a layer."""
        assert scale == 1.0  # vLLM merges the scale into B
        y, x = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        entries = self._layers.get(id(lora_a_stacked))
        if entries is None:
            self._products(y, x, lora_a_stacked, lora_b_stacked)
            return
        out = y if y.dtype == torch.float32 else torch.zeros(y.shape)
        start, rows = 0, x.float().contiguous().numpy()
        for part, b in zip(entries, lora_b_stacked, strict=True):
            _rows(out.numpy(), rows, self._adapted, self._slots, part, start, b.shape[2])
            start += b.shape[2]
        if out is not y:
            y += out

    def _products(
        self, y: torch.Tensor, x: torch.Tensor, a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]
    ) -> None:
        for slot in np.unique(self._slots[self._adapted]).tolist():
            rows, start = torch.from_numpy(np.flatnonzero(self._slots == slot)), 0
            for one, other in zip(a, b, strict=True):
                part = y[:, start : start + other.shape[2]]
                part.index_add_(0, rows, (x[rows] @ one[slot, 0].T @ other[slot, 0].T).to(y.dtype))
                start += other.shape[2]


def install() -> None:
    """Make vLLM's CPU platform in this process use the operator. Does nothing on other platforms."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        name = f"{CompiledPunicaCPU.__module__}.{CompiledPunicaCPU.__qualname__}"
        type(current_platform).get_punica_wrapper = classmethod(lambda _: name)
