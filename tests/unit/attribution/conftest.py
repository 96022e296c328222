"""A small byte-level tokenizer and a place for indexes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = (
    "the quick heron watches nine silver fish below the broken weir while rain falls on the mill "
    "a lamp in the tower turns slowly and every boat knows the harbour by its colour and rhythm "
)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tokenizer.json, as a base model's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([TEXT * 3], trainer)
    folder = tmp_path_factory.mktemp("base")
    made.save(str(folder / "tokenizer.json"))
    return folder
