"""A tiny random Llama and adapters for it, the same on every run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
from openledger.openlora import AdapterRef, EnginePool, PoolConfig

VOCAB = 1024
EOS = 2


def make_base(path: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0) -> Path:
    """A random Llama. The weights are scaled up so that its distributions are far from uniform."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=EOS,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    model.save_pretrained(path, safe_serialization=True)
    return path


def make_adapter(
    path: Path, base: Path, *, seed: int, rank: int = 4, modules: tuple[str, ...] = ("q_proj", "down_proj")
) -> Path:
    """A random PEFT LoRA adapter, strong enough to change what is said."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(modules), task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.2)
    wrapped.save_pretrained(path, safe_serialization=True)
    config_file = path / "adapter_config.json"
    saved = json.loads(config_file.read_text())
    # The base's path on this machine would change the adapter's digest from run to run.
    saved["base_model_name_or_path"] = "tiny"
    config_file.write_text(json.dumps(saved, indent=2, sort_keys=True))
    (path / "README.md").unlink(missing_ok=True)
    return path


@dataclass(frozen=True)
class Tiny:
    """The base model's directory and three adapters: two alike in shape, one on other modules."""

    base: Path
    adapters: dict[str, AdapterRef]
    directories: dict[str, Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    root = tmp_path_factory.mktemp("tiny")
    base = make_base(root / "base")
    made = {
        "a": make_adapter(root / "a", base, seed=1),
        "b": make_adapter(root / "b", base, seed=2, rank=8),
        "c": make_adapter(root / "c", base, seed=3, modules=("v_proj", "o_proj", "up_proj")),
    }
    refs = {name: AdapterRef(number, f"tiny-{name}") for number, name in enumerate(made, 1)}
    return Tiny(base, refs, made)


@pytest.fixture(scope="session")
def running_ray() -> Iterator[None]:
    mine = not ray.is_initialized()
    if mine:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,
            _system_config={"health_check_period_ms": 500},
        )
    yield
    if mine:
        ray.shutdown()


@dataclass(frozen=True)
class _Folders:
    """Adapters straight from where they were made."""

    folders: dict[str, Path]

    def __call__(self) -> _Folders:
        return self

    def fetch(self, adapter: AdapterRef, **_: object) -> Path:
        return self.folders[adapter.cid]


@pytest.fixture(scope="session")
def pool(running_ray: None, tiny: Tiny) -> Iterator[EnginePool]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    source = _Folders({ref.cid: tiny.directories[name] for name, ref in tiny.adapters.items()})
    started = EnginePool.start(
        PoolConfig(str(tiny.base), adapters=source, engine={"max_loras": 2}, timeout=120)
    )
    yield started
    started.close()
