"""The nouns of attribution: rows that may be the source of words, and stretches of output found in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UserError

__all__ = ["MAX_OUTPUT", "NearSpan", "Source", "SourceRow", "Span", "checked_tokens"]

MAX_OUTPUT = 1_000_000
"""Longest output that is attributed, in tokens."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of a datanet as the index takes it in. (datanet, row) must be unique in one index."""

    row: str
    contributor: str
    """Account (0x…), or a handle in a run without chain."""
    text: str
    accepted: int
    """Place in the order of acceptance over all datanets of an index; of equal rows the lowest is paid."""
    datanet: str = ""
    """CID or name of the datanet."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a span stands. Sorted by acceptance, so the first of several sources is the one that is paid."""

    accepted: int
    datanet: str
    row: str
    contributor: str


@dataclass(frozen=True, slots=True)
class Span:
    """Output tokens ``start`` to ``end`` (exclusive) that stand word for word in every one of ``sources``.

    ``weight`` is their rarity in thousandths of a bit: the sum of :meth:`SpanIndex.costs` over the span.
    """

    start: int
    end: int
    weight: int
    sources: tuple[Source, ...]

    @property
    def tokens(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class NearSpan:
    """Output tokens ``start`` to ``end`` (exclusive) that stand in the row of ``source`` but for a few edits.

    Shown beside the spans, never paid: rule v1-spans knows only what stands word for word.
    """

    start: int
    end: int
    matched: int
    """Tokens that the row has too, in the same order."""
    edits: int
    """Tokens replaced, left out or put in between them."""
    weight: int
    """Rarity of the matched tokens alone, in thousandths of a bit."""
    source: Source
    """The first accepted row with this text."""


def checked_tokens(tokens: Sequence[int]) -> list[int]:
    """``tokens`` as a list of plain integers. Raises ``UserError`` for anything that is not token ids."""
    if isinstance(tokens, (str, bytes)):
        raise UserError(
            "An output must be given as token ids, not as text", fix="pass the ids the engine returned"
        )
    listed = [int(token) for token in tokens] if not isinstance(tokens, list) else tokens
    if len(listed) > MAX_OUTPUT:
        raise UserError(
            f"An output of {len(listed)} tokens is too long to attribute", fix=f"give at most {MAX_OUTPUT}"
        )
    for token in listed:
        if type(token) is not int or not 0 <= token < 2**32:
            raise UserError(f"{token!r} is not a token id", fix="pass integers from 0 to 2^32 - 1")
    return listed
