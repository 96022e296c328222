"""The CPU operator against its definition, without an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.lora.layers import LoRAMapping

from openledger.openlora._lora_cpu import MANY, CompiledPunicaCPU

SLOTS, RANK = 6, 16
RANKS = [4, 16, 1, 0, 8, 5]
"""Of the adapter in each slot; 0: the layer is not adapted."""
OUTPUTS = (48, 24, 24)


def layer(dtype: torch.dtype, inputs: int = 40) -> Any:
    torch.manual_seed(0)
    a = tuple(torch.zeros(SLOTS, 1, RANK, inputs, dtype=dtype) for _ in OUTPUTS)
    b = tuple(torch.zeros(SLOTS, 1, width, RANK, dtype=dtype) for width in OUTPUTS)
    for one_a, one_b in zip(a, b, strict=True):
        for slot, rank in enumerate(RANKS):
            one_a[slot, 0, :rank] = torch.randn(rank, inputs)
            one_b[slot, 0, :, :rank] = torch.randn(one_b.shape[2], rank)
        # What an adapter that was here before has left behind.
        one_a[3], one_b[3] = torch.nan, torch.nan
    return SimpleNamespace(lora_a_stacked=a, lora_b_stacked=b)


def operator(rows: list[int], over: Any, *, described: bool = True) -> CompiledPunicaCPU:
    """``rows``: the slot of each row, −1 for the base model."""
    made = CompiledPunicaCPU(4096, max_batches=512, device="cpu")
    if described:
        for slot, rank in enumerate(RANKS):
            made.describe(over, slot, [rank] * len(OUTPUTS) if rank else [])
    numbers = tuple(slot + 1 for slot in rows)
    made.update_metadata(
        LoRAMapping(numbers, numbers, is_prefill=True), [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 100
    )
    return made


def expected(x: torch.Tensor, y: torch.Tensor, rows: list[int], over: Any) -> torch.Tensor:
    out, start = y.double().clone(), 0
    for a, b in zip(over.lora_a_stacked, over.lora_b_stacked, strict=True):
        for row, slot in enumerate(rows):
            rank = RANKS[slot] if slot >= 0 else 0
            hidden = a[slot, 0, :rank].double() @ x[row].double()
            out[row, start : start + b.shape[2]] += b[slot, 0, :, :rank].double() @ hidden
        start += b.shape[2]
    return out


BATCHES = {
    "base rows only": [-1] * 5,
    "one adapter, few rows": [1] * 7,
    "one adapter, many rows": [1] * (MANY + 3),
    "each row another": [0, 1, 2, 3, 4, 5, -1, 4, 2, -1],
    "many of one beside few of others": [-1, 2] + [4] * MANY + [0, 5, -1] + [3] * MANY + [4, 1],
    "many of two, interleaved": [0, 4] * MANY,
    "no row": [],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", BATCHES)
def test_each_row_gets_its_own_adapter_and_nothing_else(name: str, dtype: torch.dtype) -> None:
    rows, over = BATCHES[name], layer(dtype)
    x, y = torch.randn(len(rows), 40).to(dtype), torch.randn(len(rows), sum(OUTPUTS)).to(dtype)
    want = expected(x, y, rows, over)
    operator(rows or [-1], over).add_lora_linear(y, x, over.lora_a_stacked, over.lora_b_stacked, 1.0, OUTPUTS)
    tolerance = 1e-4 if dtype == torch.float32 else 0.6
    assert torch.allclose(y.double(), want, atol=tolerance, rtol=tolerance / 10)


def test_a_row_is_the_same_bit_for_bit_whatever_its_batch() -> None:
    over = layer(torch.float32)
    x, y = torch.randn(40, 40), torch.zeros(40, sum(OUTPUTS))
    rows = [[0, 1, 2, 4, 5, -1][at % 6] for at in range(40)]
    operator(rows, over).add_lora_linear(y, x, over.lora_a_stacked, over.lora_b_stacked, 1.0, OUTPUTS)
    for at in (0, 1, 2, 3, 4, 5, 33):
        alone = torch.zeros(1, sum(OUTPUTS))
        operator([rows[at]], over).add_lora_linear(
            alone, x[at : at + 1], over.lora_a_stacked, over.lora_b_stacked, 1.0, OUTPUTS
        )
        assert torch.equal(alone[0], y[at])


def test_a_slot_nobody_described_is_read_at_full_rank() -> None:
    over, rows = layer(torch.float32), [0, 1, 4]
    x, y = torch.randn(3, 40), torch.zeros(3, sum(OUTPUTS))
    want = expected(x, y, rows, over)
    operator(rows, over, described=False).add_lora_linear(
        y, x, over.lora_a_stacked, over.lora_b_stacked, 1.0, OUTPUTS
    )
    assert torch.allclose(y.double(), want, atol=1e-4)
