"""The tokenizer of a base model, without importing torch for it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..errors import UserError
from ..settings import get_settings
from ._vllm import reason

__all__ = ["load_tokenizer"]


def load_tokenizer(base: str) -> Any:
    """The Hugging Face tokenizer of a base model. Raises ``UserError`` when there is none.

    Which class it has, only ``AutoTokenizer`` knows, and importing that takes torch, 8 s of a processor and 400 MB. The class
    depends on nothing but the directory's configuration, so it is noted in the cache for whoever starts next.
    """
    note = _note(Path(base))
    kind = None if note is None else _noted(note)
    try:
        if kind is not None:
            return kind.from_pretrained(base)
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The base model {base!r} has no tokenizer",
            why=reason(error),
            fix="put tokenizer.json and tokenizer_config.json beside its weights",
        ) from error
    if note is not None:
        _keep(note, type(tokenizer))
    return tokenizer


def _note(base: Path) -> Path | None:
    """Where the class is noted: by all that ``AutoTokenizer`` chooses it from. None for what is no directory."""
    if not base.is_dir():
        return None
    from importlib.metadata import version

    found = hashlib.sha256(version("transformers").encode())
    for file in sorted(base.iterdir()):
        found.update(b"\0" + file.name.encode())
        if file.name in ("config.json", "tokenizer_config.json"):
            found.update(b"\0" + file.read_bytes())
    return get_settings().cache_dir / "tokenizers" / f"{found.hexdigest()}.class"


def _noted(note: Path) -> Any:
    """Only a class of transformers itself: code that a model brings along is not run."""
    try:
        module, _, name = note.read_text().partition(":")
        return getattr(import_module(module), name) if module.startswith("transformers.") else None
    except (OSError, ImportError, AttributeError):
        return None


def _keep(note: Path, kind: type) -> None:
    with suppress(OSError):  # a cache that cannot be written is no reason to fail
        note.parent.mkdir(parents=True, exist_ok=True)
        scratch = note.with_name(f".{uuid4().hex}")
        scratch.write_text(f"{kind.__module__}:{kind.__qualname__}")
        os.replace(scratch, note)
