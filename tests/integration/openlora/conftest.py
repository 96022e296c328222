"""A tiny random Llama and adapters for it, the same on every run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import ray
from safetensors.numpy import save_file

from openledger.errors import UserError
from openledger.openlora import (
    AdapterRef,
    AdapterStore,
    AssetRef,
    Engine,
    EnginePool,
    PoolConfig,
    Queue,
    Tiers,
)
from openledger.registry import LocalStore, path_cid

VOCAB = 1024
EOS = 2
LONG = 1200.0
"""Seconds that nothing takes which ever comes."""
STEPS = 4


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


SHAPES = {
    "self_attn.q_proj": (64, 64),
    "self_attn.k_proj": (64, 32),
    "self_attn.v_proj": (64, 32),
    "self_attn.o_proj": (64, 64),
    "mlp.gate_proj": (64, 128),
    "mlp.up_proj": (64, 128),
    "mlp.down_proj": (128, 64),
}
"""The layers of one block of ``make_base``'s default, (inputs, outputs)."""


def write_adapter(
    path: Path,
    *,
    seed: int,
    rank: int = 4,
    modules: tuple[str, ...] = ("q_proj", "down_proj"),
    blocks: tuple[int, ...] = (0, 1),
    scale: float = 0.2,
) -> Path:
    """What ``make_adapter`` makes, in a millisecond and without a model."""
    draw = np.random.default_rng(seed)
    tensors = {}
    for block in blocks:
        for name, (inputs, outputs) in SHAPES.items():
            if name.rpartition(".")[2] in modules:
                layer = f"base_model.model.model.layers.{block}.{name}"
                tensors[f"{layer}.lora_A.weight"] = draw.normal(0, scale, (rank, inputs)).astype(np.float32)
                tensors[f"{layer}.lora_B.weight"] = draw.normal(0, scale, (outputs, rank)).astype(np.float32)
    path.mkdir()
    save_file(tensors, path / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": sorted(modules),
        "bias": "none",
    }
    (path / "adapter_config.json").write_text(json.dumps(config))
    return path


@dataclass(frozen=True)
class Entry:
    """An adapter as a registry would give it."""

    cid: str
    kind: int
    revoked: bool
    parents: tuple[int, ...]


class Logged(LocalStore):
    """Writes down which blocks are read, by whatever process."""

    def __init__(self, root: Path, log: Path) -> None:
        super().__init__(root)
        self._log = log

    def get(self, cid: str) -> bytes:
        with self._log.open("a") as log:
            log.write(f"{cid}\n")
        return super().get(cid)


@dataclass(frozen=True)
class Tiny:
    """A published base model and adapters: two alike in shape, one on other modules."""

    root: Path
    base: Path
    base_asset: AssetRef
    adapters: dict[str, AdapterRef]
    directories: dict[str, Path]

    @property
    def table(self) -> Path:
        """Stands for the registry: a JSON file that tests may change while a pool runs."""
        return self.root / "registry.json"

    def resolve(self, asset_id: int) -> Entry:
        entries = json.loads(self.table.read_text())
        if str(asset_id) not in entries:
            raise UserError(f"Asset {asset_id} is not registered", fix="register it first")
        cid, kind, revoked, parents = entries[str(asset_id)]
        return Entry(cid, kind, revoked, tuple(parents))

    def register(
        self, asset_id: int, cid: str, *, revoked: bool = False, parents: tuple[int, ...] = (1,)
    ) -> AdapterRef:
        entries = json.loads(self.table.read_text()) if self.table.exists() else {}
        entries[str(asset_id)] = (cid, 3, revoked, parents)
        new = self.table.with_suffix(".new")
        new.write_text(json.dumps(entries))
        new.replace(self.table)  # whoever reads it meanwhile has the one or the other
        return AdapterRef(asset_id, cid)

    def publish(self, number: int, **options: Any) -> AdapterRef:
        """A new adapter by ``write_adapter``, registered as asset ``number``."""
        made = write_adapter(self.root / f"made-{number}", seed=number, **options)
        self.directories[f"made-{number}"] = made
        return self.register(number, self.content.add_path(made))

    @property
    def content(self) -> LocalStore:
        return LocalStore(self.root / "content")

    def store(self) -> AdapterStore:
        return AdapterStore(self.content, self.resolve, self.root / "adapters", ttl=0)

    def logged_store(self) -> AdapterStore:
        """As ``store``, over a directory of its own; what it reads from the content store is written down."""
        content = Logged(self.root / "content", self.root / "reads")
        return AdapterStore(content, self.resolve, self.root / "shared", ttl=0)

    def config(self, **changes: Any) -> PoolConfig:
        settings = {"engine": {"max_loras": 2}, "timeout": LONG} | changes
        return PoolConfig(str(self.base), self.base_asset, self.store, **settings)


def held(pool: EnginePool | Engine, file: Path) -> None:
    """Make the file. While it is there, a request gets ``STEPS`` steps and no more, so that a test is sure to be in the middle
    of it; what is cancelled leaves all the same."""

    def change(engine: Any) -> None:
        batch = engine._loop.batch
        llm = batch._llm
        llm.__dict__.pop("step", None)
        step = llm.step

        def step_or_wait() -> Any:
            if file.exists() and all(batch.steps - job.steps[1] >= STEPS for job in batch._running.values()):
                time.sleep(0.01)
                batch.steps -= 1  # it was none
                return []
            return step()

        llm.step = step_or_wait

    if isinstance(pool, Engine):
        change(pool)
    else:
        for replica in pool._replicas:
            ray.get(replica.__ray_call__.remote(lambda it: change(it._engine)), timeout=LONG)
    file.touch()


@pytest.fixture
def hold(tiny: Tiny) -> Iterator[Path]:
    """A file for ``held``."""
    file = tiny.root / "hold"
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    # Neither actors nor the process that reads adapters can import this module; its classes travel with their instances.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    root = tmp_path_factory.mktemp("tiny")
    base = make_base(root / "base")
    made = {
        "a": make_adapter(root / "a", base, seed=1),
        "b": make_adapter(root / "b", base, seed=2, rank=8),
        "c": make_adapter(root / "c", base, seed=3, modules=("v_proj", "o_proj", "up_proj")),
    }
    world = Tiny(root, base, AssetRef(1, path_cid(base)), {}, made)
    for number, (name, directory) in enumerate(made.items(), 2):
        world.adapters[name] = world.register(number, world.content.add_path(directory))
    return world


@pytest.fixture(scope="session")
def pool(running_ray: None, tiny: Tiny) -> Iterator[EnginePool]:
    started = EnginePool.start(tiny.config())
    yield started
    started.close()


@pytest.fixture(scope="session")
def engine(tiny: Tiny) -> Iterator[Engine]:
    """In this process, so that tests see inside: two slots, memory for a few dozen small adapters."""
    made = Engine(
        tiny.base,
        base_asset=tiny.base_asset,
        adapters=tiny.store(),
        engine={"max_loras": 2, "max_lora_rank": 64, "max_num_seqs": 16},
        timeout=LONG,
        tiers=Tiers(ram_bytes=4 << 20),
        queue=Queue(patience=8),
    )
    yield made
    made.close()
