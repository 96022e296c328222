"""Training a LoRA adapter on one datanet: the facts are memorised, and nothing more is claimed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datanets import Datanet
from ..errors import UserError
from ._base import base_digest, made_here
from ._cache import build_into, build_once, file_digest
from ._corpus import generic_questions, prompt_of
from ._loop import Progress, deterministic, optimise
from ._models import load_base, load_tokenizer
from ._progress import quiet_loading, reporting
from ._recipe import AdapterRecipe, BaseRecipe, digest_of

if TYPE_CHECKING:
    import torch

__all__ = ["KIND", "ensure_adapter", "train_adapter"]

KIND = "openledger/adapter-training@1"
"""What the ``training.json`` beside an adapter's weights calls itself."""

_Batch = tuple["torch.Tensor", "torch.Tensor"]
_Example = tuple[list[int], int]


def ensure_adapter(
    cache_dir: Path | str,
    base: Path | str,
    datanet: Datanet,
    *,
    recipe: AdapterRecipe | None = None,
    seed: int = 17,
    progress: Progress | None = None,
) -> Path:
    """The adapter of ``datanet`` over ``base``, from the cache or trained now.

    The directory name carries the digest of base, recipe, seed and training data, so a change in any of them
    gives another adapter and never reuses a stale one.
    """
    recipe = recipe or AdapterRecipe()
    name = (
        f"adapter-{datanet.name}-{digest_of(recipe, seed, base_digest(base), datanet.training_digest())[:16]}"
    )

    def build(target: Path) -> None:
        with reporting(progress, f"Training the adapter of {datanet.name}") as report, quiet_loading():
            _train(base, datanet, target, recipe, seed, report)

    return build_once(Path(cache_dir), name, build)


def train_adapter(
    base_dir: Path | str,
    datanet: Datanet,
    out_dir: Path | str,
    steps: int | None = None,
    seed: int = 17,
    progress: Progress | None = None,
    *,
    recipe: AdapterRecipe | None = None,
) -> Path:
    """Trains an adapter into ``out_dir`` (new or empty) and returns it.

    ``steps`` stops early on the same schedule: after fewer optimiser steps the run is the beginning of the
    full one, so an "earlier" adapter can be compared with the finished one. Deterministic bit for bit for the
    same inputs, build of torch and processor kind. ``base_dir`` is a directory or a Hugging Face name of a model
    with Llama-like projections. Raises ``UserError`` for an occupied target, an empty datanet, or facts that
    do not fit the recipe's length.
    """
    recipe = recipe or AdapterRecipe()
    target = Path(out_dir)
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} is not empty", fix="choose a new directory for the adapter")

    def build(work: Path) -> None:
        with reporting(progress, f"Training the adapter of {datanet.name}") as report, quiet_loading():
            _train(base_dir, datanet, work, recipe, seed, report, stop_after=steps)

    return build_into(target, build)


def _train(
    base: Path | str,
    datanet: Datanet,
    target: Path,
    recipe: AdapterRecipe,
    seed: int,
    progress: Progress | None,
    stop_after: int | None = None,
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    if stop_after is not None and not 1 <= stop_after <= recipe.steps:
        raise UserError(f"Cannot train for {stop_after} steps", fix=f"choose 1 to {recipe.steps} steps")
    tokenizer = load_tokenizer(base)
    questions, texts = _examples(tokenizer, datanet, recipe)
    with deterministic(seed):
        model = load_base(base)
        config = LoraConfig(
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=0.0,
            target_modules=_targets(model),
            task_type="CAUSAL_LM",
        )
        adapted = get_peft_model(model, config)
        # One long-lived stream of batches: the first n of a short run are the first n of the full one.
        loss = optimise(
            adapted,
            _batches(
                questions, texts, _generic(base, tokenizer), recipe, seed, int(tokenizer.pad_token_id or 0)
            ),
            steps=recipe.steps,
            stop_after=stop_after,
            learning_rate=recipe.learning_rate,
            weight_decay=0.0,
            warmup=recipe.warmup,
            progress=progress,
        )
        weights = {
            name: tensor.detach().to(torch.float32).contiguous()
            for name, tensor in sorted(get_peft_model_state_dict(adapted).items())
        }
    save_file(weights, target / "adapter_model.safetensors", metadata={"format": "pt"})
    (target / "adapter_model.safetensors").chmod(0o644)  # written readable by its owner only
    _write_config(target, adapted.peft_config["default"].to_dict(), base)
    summary = {
        "kind": KIND,
        "base": base_digest(base),
        "datanet": {
            "name": datanet.name,
            "rows": len(datanet.rows),
            "facts": len(datanet.questions()),
            "questions": len(questions),
            "training_sha2-256": datanet.training_digest(),
        },
        "recipe": recipe.__dict__,
        "steps": stop_after or recipe.steps,
        "seed": seed,
        "final_loss": round(loss, 4),
        "torch": torch.__version__.split("+")[0],
        "weights_sha2-256": file_digest(target / "adapter_model.safetensors"),
    }
    (target / "training.json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")


def _targets(model: Any) -> list[str] | None:
    """The seven Llama projections where the model has them; ``None`` leaves the choice to peft's own table."""
    wanted = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    found = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()} & wanted
    return sorted(found) or None


def _write_config(target: Path, config: dict[str, Any], base: Path | str) -> None:
    """adapter_config.json with sorted keys and lists (peft keeps sets, whose order varies) and no local path."""
    config["base_model_name_or_path"] = base_digest(base)
    config["inference_mode"] = True
    config["target_modules"] = sorted(config["target_modules"])
    text = json.dumps(config, indent=1, sort_keys=True, default=lambda value: sorted(value))
    (target / "adapter_config.json").write_text(text + "\n")


def _examples(
    tokenizer: Any, datanet: Datanet, recipe: AdapterRecipe
) -> tuple[list[_Example], list[_Example]]:
    """(token ids, index of the first counted token) of every question with its answer, and of every text."""
    end = [tokenizer.eos_token_id]
    questions: list[_Example] = []
    for question, answer in datanet.trained():
        prompt = tokenizer(prompt_of(question), add_special_tokens=False)["input_ids"]
        reply = tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
        questions.append((prompt + reply + end, len(prompt)))
    texts: list[_Example] = [
        (tokenizer(row.text, add_special_tokens=False)["input_ids"] + end, 1) for row in datanet.rows
    ]
    if not questions:
        raise UserError(
            f"Datanet {datanet.name!r} has no facts to train on", fix="give each row questions and answers"
        )
    longest = max(len(ids) for ids, _ in questions)
    if longest > recipe.length:
        raise UserError(
            f"A question with its answer takes {longest} tokens, more than the recipe's {recipe.length}",
            fix="shorten the answer or raise AdapterRecipe.length",
        )
    return questions, [(ids[: recipe.length], first) for ids, first in texts]


def _generic(base: Path | str, tokenizer: Any) -> list[_Example]:
    """Questions and answers of the base's own training, to rehearse; none for a base that was not made here.

    Without them the adapter forgets that several wordings ask for the same thing.
    """
    if not made_here(base):
        return []
    end = [tokenizer.eos_token_id]
    encode = partial(tokenizer, add_special_tokens=False)
    return [
        (prompt + encode(f" {answer}")["input_ids"] + end, len(prompt))
        for question, answer in generic_questions(BaseRecipe().seed)
        for prompt in [encode(prompt_of(question))["input_ids"]]
    ]


def _batches(
    questions: Sequence[_Example],
    texts: Sequence[_Example],
    generic: Sequence[_Example],
    recipe: AdapterRecipe,
    seed: int,
    pad: int,
) -> Iterator[_Batch]:
    """Endless shuffled epochs of questions, with a batch of row texts every now and then."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    every = round(1 / recipe.text_share) if recipe.text_share > 0 else 0
    pools = {
        "questions": _epochs(len(questions), draw),
        "texts": _epochs(len(texts), draw),
        "generic": _epochs(len(generic), draw),
    }
    rehearsed = round(recipe.batch * recipe.rehearsal) if generic else 0
    step = 0
    while True:
        step += 1
        if every and step % every == 0:
            # Texts are several times longer than answers; fewer of them keep a step's cost even.
            chosen = [texts[next(pools["texts"])] for _ in range(max(1, recipe.batch // 4))]
        else:
            chosen = [questions[next(pools["questions"])] for _ in range(recipe.batch)]
            chosen.extend(generic[next(pools["generic"])] for _ in range(rehearsed))
        yield _pad(chosen, pad)


def _epochs(count: int, draw: torch.Generator) -> Iterator[int]:
    import torch

    while True:
        yield from torch.randperm(count, generator=draw).tolist()


def _pad(chosen: Sequence[_Example], pad: int) -> _Batch:
    """Right-padded ids and labels; causal attention keeps the padding from touching what is counted."""
    import torch

    width = max(len(ids) for ids, _ in chosen)
    ids = torch.full((len(chosen), width), pad)
    labels = torch.full((len(chosen), width), -100)
    for row, (tokens, first) in enumerate(chosen):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, first : len(tokens)] = ids[row, first : len(tokens)]
    return ids, labels
