"""What an engine refuses before it does anything: each a ``UserError`` with cause and fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ..errors import UserError
from ._types import GenerationRequest

__all__ = ["check_length", "check_request", "check_tokens"]


class Facts(Protocol):
    """What decides: of an engine that was started."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def max_model_len(self) -> int: ...

    @property
    def stop_token_ids(self) -> tuple[int, ...]: ...


def check_request(request: GenerationRequest, facts: Facts) -> GenerationRequest:
    """The request with its stop tokens named. Raises ``UserError`` for one that can never be served."""
    sampling = request.sampling
    sampling.check()
    if not isinstance(request.seed, bytes) or len(request.seed) != 32:
        raise UserError(
            "The seed was refused",
            why="it must be 32 bytes",
            fix="derive it from the client's signature, or use 32 random bytes for a local run",
        )
    check_tokens(request.prompt, "prompt", facts)
    check_length(len(request.prompt), sampling.max_tokens, facts)
    if sampling.stop_token_ids is None:
        sampling = replace(sampling, stop_token_ids=facts.stop_token_ids)
    check_tokens(sampling.stop_token_ids or (), "stop token", facts, empty=True)
    if not -8 <= request.priority <= 8:
        raise UserError(
            f"Priority {request.priority} was refused",
            why="it lies between -8 and 8",
            fix="use 0, or a step or two more for what is urgent",
        )
    return replace(request, sampling=sampling)


def check_tokens(tokens: Sequence[int], what: str, facts: Facts, *, empty: bool = False) -> None:
    """Raise ``UserError`` unless all are ids of this vocabulary, and at least one unless ``empty``."""
    if not tokens and not empty:
        raise UserError(f"The {what} is empty", why="a model needs at least one token", fix="add one")
    for token in tokens:
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < facts.vocab_size:
            raise UserError(
                f"The {what} id {token!r} was refused",
                why=f"this base model knows ids 0 to {facts.vocab_size - 1}",
                fix="encode the text with this base model's own tokenizer",
            )


def check_length(prompt: int, output: int, facts: Facts) -> None:
    """Raise ``UserError`` unless ``prompt`` and ``output`` tokens fit in the context."""
    longest = facts.max_model_len
    if prompt >= longest:
        raise UserError(
            f"A prompt of {prompt} tokens was refused",
            why=f"prompt and output together fit in {longest} tokens",
            fix="shorten the prompt, or use a base model with a longer context",
        )
    if prompt + output > longest:
        raise UserError(
            f"{prompt} prompt tokens and {output} output tokens were refused",
            why=f"together they must fit in {longest} tokens",
            fix=f"ask for at most {longest - prompt} tokens, or shorten the prompt",
        )
