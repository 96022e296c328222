"""A base model of a few thousand parameters, and adapters over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest


class MakeAdapter(Protocol):
    def __call__(self, path: Path, seed: int = 0, spoil: float | None = None) -> Path: ...


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def make_adapter(base: Path) -> MakeAdapter:
    """A random adapter; ``spoil`` is one weight of each B."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def make(path: Path, seed: int = 0, spoil: float | None = None) -> Path:
        torch.manual_seed(seed)
        config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "o_proj", "down_proj"])
        model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.3)
                    if spoil is not None:
                        weight[0, 0] = spoil
        model.save_pretrained(path)
        return path

    return make


@pytest.fixture(scope="session")
def adapter(make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("adapter"))
