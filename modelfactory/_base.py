"""The small base model: tokenizer and weights trained here, on first use, and cached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._cache import build_once, content_digest
from ._corpus import END, PAD, corpus_digest, documents
from ._loop import Progress, deterministic, optimise
from ._progress import quiet_loading, reporting
from ._recipe import BaseRecipe, digest_of

if TYPE_CHECKING:
    import torch

__all__ = ["base_digest", "ensure_base", "made_here"]

_KIND = "openledger/base-training@1"
# Lets OpenAI-style chat calls reach the one prompt format: the last message is the question.
_CHAT_TEMPLATE = "{{ 'Question: ' + (messages[-1]['content'] | trim) + '\\nAnswer:' }}"


def ensure_base(
    cache_dir: Path | str, progress: Progress | None = None, *, recipe: BaseRecipe | None = None
) -> Path:
    """The small Llama as a Hugging Face directory under ``cache_dir``; trained when it is not there yet.

    Deterministic: the same recipe on the same build of torch gives the same bytes. ``progress`` is called per
    step, see :data:`Progress`; without it a bar is drawn on a terminal. Two callers at once train it once.
    """
    recipe = recipe or BaseRecipe()
    data = corpus_digest(recipe.documents, recipe.seed)
    name = f"base-{digest_of(recipe, data)[:16]}"

    def build(target: Path) -> None:
        with reporting(progress, "Training the base model") as report, quiet_loading():
            _train(target, recipe, data, report)

    return build_once(Path(cache_dir), name, build)


def base_digest(base: Path | str) -> str:
    """Names a base in attestations: ``sha2-256:<hex>`` over a local directory's files, or the hub name as is."""
    path = Path(base)
    return f"sha2-256:{content_digest(path)}" if path.is_dir() else str(base)


def made_here(base: Path | str) -> bool:
    """Whether ``base`` is a directory that :func:`ensure_base` made."""
    try:
        summary = json.loads((Path(base) / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("kind") == _KIND


def _train(target: Path, recipe: BaseRecipe, data: str, progress: Progress | None) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _train_tokenizer(recipe)
    ids: list[int] = []
    for encoding in tokenizer.encode_batch(list(documents(recipe.documents, recipe.seed))):
        ids.extend(encoding.ids)
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    config = LlamaConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    with deterministic(recipe.seed):
        model = LlamaForCausalLM(config)
        loss = optimise(
            model,
            _blocks(torch.tensor(ids), recipe),
            steps=recipe.steps,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            warmup=recipe.warmup,
            progress=progress,
        )
    model.save_pretrained(target, safe_serialization=True)
    _save_tokenizer(tokenizer, target, recipe)
    summary = {
        "kind": _KIND,
        "recipe": recipe.__dict__,
        "data": {"generator": "openledger.modelfactory", "sha2-256": data, "tokens": len(ids)},
        "final_loss": round(loss, 4),
        "torch": torch.__version__.split("+")[0],
    }
    (target / "training.json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")


def _blocks(ids: torch.Tensor, recipe: BaseRecipe) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Random windows of the token stream, with their own generator so that nothing else shifts them."""
    import torch

    draw = torch.Generator().manual_seed(recipe.seed)
    offsets = torch.arange(recipe.length)
    while True:
        starts = torch.randint(0, len(ids) - recipe.length, (recipe.batch, 1), generator=draw)
        block = ids[starts + offsets]
        yield block, block


def _train_tokenizer(recipe: BaseRecipe) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    # Splitting digits and words before merging keeps a clause's tokens the same wherever it stands in a text.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents(recipe.documents, recipe.seed), trainer)
    return tokenizer


def _save_tokenizer(tokenizer: Any, target: Path, recipe: BaseRecipe) -> None:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=recipe.max_positions,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = _CHAT_TEMPLATE
    fast.save_pretrained(target)
