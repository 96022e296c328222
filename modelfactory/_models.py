"""Loading bases and tokenizers: a local directory or a Hugging Face name, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import UserError

__all__ = ["load_base", "load_tokenizer"]


def load_base(base: Path | str) -> Any:
    """The causal language model at ``base``, in float32 and evaluation mode."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            _where(base), dtype=torch.float32, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise _unreadable(base, error) from error
    return model.eval()


def load_tokenizer(base: Path | str) -> Any:
    """The tokenizer at ``base``, with a padding token and left padding."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(_where(base), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _unreadable(base, error) from error
    if tokenizer.eos_token_id is None:
        raise UserError(f"The tokenizer of {base} has no end token", fix="use a base that can end an answer")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def _where(base: Path | str) -> str:
    path = Path(base)
    if path.is_dir():
        # An absolute path can never be mistaken for a name on the hub.
        return str(path.absolute())
    if isinstance(base, Path) or str(base).startswith((".", "/", "~")):
        raise UserError(
            f"There is no base model at {base}", fix="run ensure_base, or give a Hugging Face name"
        )
    return str(base)


def _unreadable(base: Path | str, error: Exception) -> UserError:
    why = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"Cannot load the base model {base}", why=why, fix="check the name, or remove a damaged cache"
    )
