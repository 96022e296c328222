"""Weights laid out for the engine: the same numbers, wherever they stand and whatever floats they become."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from openledger.errors import UserError
from openledger.openlora import AdapterRef
from openledger.openlora._pack import Packed, pack

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
ADAPTER = AdapterRef(2, "bafyadapter")


def packed(directory: Path, tensors: dict[str, torch.Tensor], dtype: str) -> Packed:
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text('{"r": 2}')
    sealed, descriptor = pack(ADAPTER, directory, dtype)
    return sealed.opened(descriptor)


def tensor(made: Packed, name: str, dtype: str) -> torch.Tensor:
    piece = next(piece for piece in made.pieces if piece.name == name)
    rows, columns = piece.shape
    flat = torch.frombuffer(made.memory, dtype=TYPES[dtype], count=rows * columns, offset=piece.start)
    return flat.view(columns, rows).T if piece.by_columns else flat.view(rows, columns)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6),
    have=st.sampled_from(sorted(TYPES)),
    want=st.sampled_from(sorted(TYPES)),
)
def test_numbers_become_what_torch_makes_of_them(
    tmp_path_factory: pytest.TempPathFactory, bits: list[int], have: str, want: str
) -> None:
    wide = np.array(bits, np.uint32).view(np.float32)
    if have != "F32":
        wide = np.array([bit & 0xFFFF for bit in bits], np.uint16)
        stored = torch.from_numpy(wide).view(TYPES[have])
    else:
        stored = torch.from_numpy(wide)
    stored = torch.where(torch.isfinite(stored), stored, torch.zeros_like(stored)).view(3, 2)
    name = "model.layers.0.q_proj.lora_A.weight"
    expected = stored.to(TYPES[want])
    folder = tmp_path_factory.mktemp("pack")
    if not torch.isfinite(expected).all():
        with pytest.raises(UserError, match=f"not finite as {want}"):
            packed(folder, {name: stored}, want)
    else:
        got = tensor(packed(folder, {name: stored}, want), name, want)
        assert torch.equal(got.view(torch.int16), expected.view(torch.int16))


def test_b_is_kept_by_columns_and_every_tensor_is_aligned(tmp_path: Path) -> None:
    a, b = torch.arange(15.0).view(3, 5), torch.arange(21.0).view(7, 3)
    names = {"x.q_proj.lora_A.weight": a, "x.q_proj.lora_B.weight": b}
    made = packed(tmp_path, names, "F32")
    assert [piece.by_columns for piece in made.pieces] == [False, True]
    assert [piece.start % 64 for piece in made.pieces] == [0, 0]
    for name, value in names.items():
        assert torch.equal(tensor(made, name, "F32"), value)


def test_no_descriptor_is_left_open_whatever_happens(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    name = "x.q_proj.lora_A.weight"
    packed(tmp_path, {name: torch.ones(2, 2)}, "F32")
    with pytest.raises(UserError, match="not finite as F16"):
        packed(tmp_path, {name: torch.full((2, 2), 1e6)}, "F16")
    assert set(os.listdir("/proc/self/fd")) == before
