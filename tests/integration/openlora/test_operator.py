"""The CPU operator against its definition, without an engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.lora.layers import LoRAMapping

from openledger.openlora._lora_cpu import CompiledPunicaCPU, Pair, Table, entry

SLOTS, RANK = 6, 16
RANKS = [4, 16, 1, 0, 8, 5]
"""Of the adapter in each slot; 0: the layer is not adapted."""
OUTPUTS = (48, 24, 24)


def layer(inputs: int = 40) -> Any:
    """As much of a layer of vLLM as the operator reads: its stacks say how many slots and outputs there are."""
    return SimpleNamespace(
        lora_a_stacked=tuple(torch.full((SLOTS, 1, RANK, inputs), torch.nan) for _ in OUTPUTS),
        lora_b_stacked=tuple(torch.full((SLOTS, 1, width, RANK), torch.nan) for width in OUTPUTS),
    )


def adapters(dtype: torch.dtype, inputs: int = 40) -> list[list[Pair | None]]:
    """One for each slot, B laid out as a reader of files lays it out."""
    torch.manual_seed(0)
    return [
        [
            (torch.randn(rank, inputs).to(dtype), torch.randn(rank, width).to(dtype).T)
            for width in OUTPUTS
            if rank
        ]
        for rank in RANKS
    ]


def operator(
    rows: list[int], over: Any, weights: list[list[Pair | None]], *, copied: bool = False
) -> CompiledPunicaCPU:
    """``rows``: the slot of each row, −1 for the base model. ``copied``: into the stacks, as vLLM does."""
    made = over.punica_wrapper = CompiledPunicaCPU(4096, max_batches=512, device="cpu")
    if copied:
        for stacks, side in ((over.lora_a_stacked, 0), (over.lora_b_stacked, 1)):
            for slot, pairs in enumerate(weights):
                for stack, pair in zip(stacks, pairs or [None] * len(stacks), strict=True):
                    stack[slot] = 0
                    if pair is not None:
                        stack[slot, 0, : pair[side].shape[0], : pair[side].shape[1]] = pair[side]
    else:
        over.table = Table([over], SLOTS)
        for slot, pairs in enumerate(weights):
            over.table.point(slot, list(map(entry, pairs)) or 0)
    numbers = tuple(slot + 1 for slot in rows)
    made.update_metadata(
        LoRAMapping(numbers, numbers, is_prefill=True), [slot + 1 for slot in range(SLOTS)], SLOTS + 1, 100
    )
    return made


def add(made: CompiledPunicaCPU, over: Any, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    made.add_lora_linear(y, x, over.lora_a_stacked, over.lora_b_stacked, 1.0, OUTPUTS)
    return y


def expected(
    x: torch.Tensor, y: torch.Tensor, rows: list[int], weights: list[list[Pair | None]]
) -> torch.Tensor:
    out = y.double().clone()
    for row, slot in enumerate(rows):
        start = 0
        for a, b in filter(None, weights[slot] if slot >= 0 else ()):
            out[row, start : start + len(b)] += b.double() @ (a.double() @ x[row].double())
            start += len(b)
    return out


BATCHES = {
    "base rows only": [-1] * 5,
    "one adapter, few rows": [1] * 7,
    "one adapter, many rows": [1] * (64 + 3),
    "each row another": [0, 1, 2, 3, 4, 5, -1, 4, 2, -1],
    "many of one beside few of others": [-1, 2] + [4] * 64 + [0, 5, -1] + [3] * 64 + [4, 1],
    "many of two, interleaved": [0, 4] * 64,
    "no row": [],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("copied", [False, True], ids=["pointed", "copied"])
@pytest.mark.parametrize("name", BATCHES)
def test_each_row_gets_its_own_adapter_and_nothing_else(name: str, dtype: torch.dtype, copied: bool) -> None:
    rows, over, weights = BATCHES[name], layer(), adapters(dtype if copied else torch.float32)
    for stack in (*over.lora_a_stacked, *over.lora_b_stacked):
        stack.data = stack.to(dtype)
    x, y = torch.randn(len(rows), 40).to(dtype), torch.randn(len(rows), sum(OUTPUTS)).to(dtype)
    want = expected(x, y, rows, weights)
    add(operator(rows or [-1], over, weights, copied=copied), over, y, x)
    tolerance = 1e-4 if dtype == torch.float32 else 0.6
    assert torch.allclose(y.double(), want, atol=tolerance, rtol=tolerance / 10)


def test_a_row_is_the_same_bit_for_bit_whatever_its_batch() -> None:
    over, weights = layer(), adapters(torch.float32)
    x, y = torch.randn(40, 40), torch.zeros(40, sum(OUTPUTS))
    rows = [[0, 1, 2, 4, 5, -1][at % 6] for at in range(40)]
    add(operator(rows, over, weights), over, y, x)
    for at in (0, 1, 2, 3, 4, 5, 33):
        alone = torch.zeros(1, sum(OUTPUTS))
        add(operator([rows[at]], over, weights), over, alone, x[at : at + 1])
        assert torch.equal(alone[0], y[at])


def test_only_some_outputs_of_a_layer_may_be_adapted() -> None:
    over, weights = layer(), adapters(torch.float32)
    weights[1][1] = None
    x, rows = torch.randn(3, 40), [1, 1, 1]
    y = add(operator(rows, over, weights), over, torch.zeros(3, sum(OUTPUTS)), x)
    assert not y[:, OUTPUTS[0] : OUTPUTS[0] + OUTPUTS[1]].any()
    assert y[:, : OUTPUTS[0]].all()
    assert y[:, sum(OUTPUTS[:2]) :].all()


def test_outputs_may_be_parts_of_one_matrix() -> None:
    """As where the adapter has one B for q, k and v together."""
    over, weights = layer(), adapters(torch.float32)
    a, whole = torch.randn(4, 40), torch.randn(4, sum(OUTPUTS)).T
    weights[0] = [(a, part) for part in whole.split(OUTPUTS)]
    x = torch.randn(2, 40)
    y = add(operator([0, 0], over, weights), over, torch.zeros(2, sum(OUTPUTS)), x)
    assert torch.allclose(y, x @ a.T @ whole.T, atol=1e-4)


def test_a_slot_that_was_emptied_adds_nothing() -> None:
    over, weights = layer(), adapters(torch.float32)
    made = operator([1, 1], over, weights)
    over.table.point(1, 0)
    assert not add(made, over, torch.zeros(2, sum(OUTPUTS)), torch.randn(2, 40)).any()


def test_weights_that_cannot_be_read_in_place_are_refused() -> None:
    over = layer()
    rows_of_b: list[Pair | None] = [(torch.randn(4, 40), torch.randn(width, 4)) for width in OUTPUTS]
    with pytest.raises(ValueError, match="strides"):
        operator([0], over, [rows_of_b])
