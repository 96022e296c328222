"""Tokens on their way from the engine's thread to a reader, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ._types import Generation

__all__ = ["MOST", "PAUSE", "Chunk", "Feed", "pause"]

MOST = 16
"""Tokens after which a chunk is handed over at once."""

PAUSE = 0.02
"""Seconds that its first token waits for more. Each chunk costs Ray about a millisecond of processor time: token by
token, streams are several times slower than whole outputs."""

_AT_PAUSE = 4


def pause(streams: int) -> float:
    """Seconds to wait for more, beside so many streams: ``PAUSE`` for up to four, then longer, so that one replica hands
    over about 200 chunks a second at most however many it serves."""
    return PAUSE * max(1.0, streams / _AT_PAUSE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next tokens of an output."""

    start: int
    """Index in the output of the first of them: chunks follow on each other without gap or overlap."""
    tokens: tuple[int, ...]
    logprobs: tuple[int, ...]
    """Per token, 10⁻⁴ nat, of the raw distribution."""
    generation: Generation | None = None
    """In the last chunk, the whole output with all that it commits to."""


class Feed:
    """One writer, one reader. ``wake`` is called in the writer's thread, and only when there is something to do: the
    first token after a chunk was taken, the token that fills a chunk, the end."""

    def __init__(self, wake: Callable[[], None], start: int = 0) -> None:
        self._wake, self._lock = wake, threading.Lock()
        self._tokens: list[int] = []
        self._logprobs: list[int] = []
        self.taken = self.put_so_far = start
        """Index in the output of what is handed over next, and of what is put in next."""

    def put(self, tokens: list[int], logprobs: list[int]) -> None:
        """Append; ``logprobs`` in 10⁻⁴ nat, as many as tokens."""
        with self._lock:
            before = len(self._tokens)
            self._tokens += tokens
            self._logprobs += logprobs
            self.put_so_far += len(tokens)
            after = len(self._tokens)
        if (after and not before) or before < MOST <= after:
            self._wake()

    @property
    def waiting(self) -> int:
        """Tokens that were put and not taken."""
        return len(self._tokens)

    def take(self, generation: Generation | None = None) -> Chunk:
        """All that waits."""
        with self._lock:
            chunk = Chunk(self.taken, tuple(self._tokens), tuple(self._logprobs), generation)
            self.taken += len(self._tokens)
            self._tokens, self._logprobs = [], []
        return chunk
