"""Spans: stretches of an output that stand in contributed rows, word for word (:meth:`SpanIndex.find`) or but for a few
edits (:meth:`SpanIndex.near`).

An index is made of shards, suffix arrays over texts that are kept on disk and shared by all versions of a datanet.
"""

from __future__ import annotations

from ._index import MIN_TOKENS, SpanIndex
from ._near import EDIT_COST, MAX_GAP, MAX_PLACES, MIN_SCORE, SEEDS
from ._types import MAX_OUTPUT, NearSpan, Source, SourceRow, Span, checked_tokens

__all__ = [
    "EDIT_COST",
    "MAX_GAP",
    "MAX_OUTPUT",
    "MAX_PLACES",
    "MIN_SCORE",
    "MIN_TOKENS",
    "SEEDS",
    "NearSpan",
    "Source",
    "SourceRow",
    "Span",
    "SpanIndex",
    "checked_tokens",
]
