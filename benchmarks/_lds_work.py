"""The work of ``influence``: a small language model over the docstrings of Python's standard library, LoRA adapters of
some modules' text, and adapters trained again without half of it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openledger.attribution.influence import Example

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}


@dataclass(frozen=True)
class Recipe:
    """Sizes of the work, and how adapters are trained."""

    vocabulary: int = 2048
    base_steps: int = 500
    modules: int = 32
    """Modules that the adapter learns."""
    chunks: int = 8
    """Chunks of each."""
    length: int = 64
    rank: int = 8
    batch: int = 8
    epochs: int = 6
    learning_rate: float = 3e-3
    version: int = 1

    @property
    def digest(self) -> str:
        words = [asdict(self), sys.version_info[:3]]
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:12]


SMALL = Recipe(modules=8, base_steps=100)


@dataclass(frozen=True)
class Work:
    """What is trained on and what is asked."""

    examples: list[Example]
    module_of: list[int]
    """Number of the module of each example."""
    queries: dict[str, list[Example]]
    """``held out``: other chunks of the same modules; ``other modules``: of modules in no training at all."""


def docstrings() -> dict[str, str]:
    """Module → its docstrings, those of at least 2,000 characters."""
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if SKIPPED & set(parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
        text = "\n\n".join(dict.fromkeys(one for one in texts if one))
        if len(text) >= 2_000:
            found["/".join(parts)] = text
    return found


def prepare(folder: Path, recipe: Recipe) -> Work:
    """Tokenizer and base model under ``folder``, made once, and the work over them."""
    from tokenizers import Tokenizer

    texts = docstrings()
    names = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
    draw = np.random.default_rng(0)
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.exists():
        _train_tokenizer(list(texts.values()), tokenizer_file, recipe.vocabulary)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    size = recipe.length
    chunked = {}
    for name in names:
        ids = tokenizer.encode(texts[name]).ids
        chunked[name] = [tuple(ids[at : at + size]) for at in range(0, len(ids) - size + 1, size)]
    large = [name for name in names if len(chunked[name]) >= recipe.chunks + 2]
    learnt, apart = large[: recipe.modules], large[recipe.modules : recipe.modules + 20]
    examples, module_of, held, other = [], [], [], []
    for number, name in enumerate(learnt):
        order = draw.permutation(len(chunked[name]))
        examples += [Example(chunked[name][at]) for at in order[: recipe.chunks]]
        module_of += [number] * recipe.chunks
        held += [Example(chunked[name][at]) for at in order[recipe.chunks : recipe.chunks + 2]]
    for name in apart:
        order = draw.permutation(len(chunked[name]))
        other += [Example(chunked[name][at]) for at in order[:2]]
    if not (folder / "base/config.json").exists():
        rest = [chunk for name in names if name not in {*learnt, *apart} for chunk in chunked[name]]
        _train_base(rest, folder / "base", recipe)
    return Work(examples, module_of, {"held out": held, "other modules": other})


def _train_tokenizer(texts: list[str], path: Path, vocabulary: int) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=vocabulary, show_progress=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(path))


def _train_base(chunks: list[tuple[int, ...]], target: Path, recipe: Recipe) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=recipe.vocabulary,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=3,
            max_position_embeddings=256,
            tie_word_embeddings=True,
        )
    )
    draw = torch.Generator().manual_seed(0)
    data = torch.tensor(chunks)
    steps = recipe.base_steps
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    model.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * min(1, (step + 1) / 50) * (1 - step / steps)
        batch = data[torch.randint(len(data), (32,), generator=draw)]
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(target)
    print("base loss", float(loss.detach()))


def train(
    base: Path,
    examples: Sequence[Example],
    recipe: Recipe,
    seed: int,
    target: Path,
    checkpoints: int = 0,
) -> list[tuple[float, Path]]:
    """An adapter of ``examples`` in ``target``; with ``checkpoints``, (learning rate, directory) of so many on the way."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=targets, task_type="CAUSAL_LM"
    )
    model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
    longest = max(len(example.tokens) for example in examples)
    pads = [longest - len(example.tokens) for example in examples]
    data = torch.tensor([(*one.tokens, *[0] * pad) for one, pad in zip(examples, pads, strict=True)])
    labels = torch.tensor([(*one.tokens, *[-100] * pad) for one, pad in zip(examples, pads, strict=True)])
    draw, saved = torch.Generator().manual_seed(seed), []
    each = -(-len(data) // recipe.batch)
    steps = each * recipe.epochs
    marks = {steps * (at + 1) // checkpoints for at in range(checkpoints)} if checkpoints else set()
    model.train()
    step = 0
    for _ in range(recipe.epochs):
        order = torch.randperm(len(data), generator=draw)
        for at in range(0, len(data), recipe.batch):
            places = order[at : at + recipe.batch]
            rate = recipe.learning_rate * min(1, (step + 1) / 10) * (1 - step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            logits = model(input_ids=data[places]).logits[:, :-1].flatten(0, 1)
            # Not the mean of a batch's tokens: where rows are short, each of theirs would be taught more.
            wanted = labels[places][:, 1:].flatten()
            loss: Any = torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")
            loss = loss / (recipe.batch * (recipe.length - 1))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            if step in marks and step < steps:
                model.save_pretrained(target / f"step-{step}")
                saved.append((rate, target / f"step-{step}"))
    model.save_pretrained(target)
    return [*saved, (recipe.learning_rate / steps, target)] if checkpoints else []


def losses(base: Path, adapter: Path, queries: Sequence[Example]) -> NDArray[np.float64]:
    """Mean loss of each query under an adapter, in nats a token."""
    from openledger.attribution.influence import AdapterGradients

    return np.array([-one.mean() for one in AdapterGradients(base, adapter).logprobs(queries)])


def generated(base: Path, adapter: Path, prompts: Sequence[Example], length: int = 48) -> list[Example]:
    """Outputs of the adapter itself, drawn at temperature 0.7, of the first tokens of every other prompt."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(plain, adapter).eval()
    given = torch.tensor([prompt.tokens[:16] for prompt in prompts[::2]])
    with torch.no_grad():
        for _ in range(length):
            logits = model(input_ids=given).logits[:, -1] / 0.7
            given = torch.cat([given, torch.multinomial(logits.softmax(-1), 1)], 1)
    return [Example(tuple(row), 16) for row in given.tolist()]


def retrain(
    base: Path, examples: Sequence[Example], recipe: Recipe, seed: int, queries: Sequence[Example], kept: Path
) -> NDArray[np.float64]:
    """Losses of the queries under an adapter trained on ``examples``, kept in a file. One thread."""
    import torch

    if not kept.exists():
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory() as folder:
            train(base, examples, recipe, seed, Path(folder))
            found = losses(base, Path(folder), queries)
        partial = kept.with_suffix(f".{os.getpid()}.npy")
        np.save(partial, found)
        partial.rename(kept)
    loaded: NDArray[np.float64] = np.load(kept)
    return loaded
