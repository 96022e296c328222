"""The span index: every stretch of an output that stands word for word in a contributed row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ._cache import shards_of
from ._match import Output, Places, maximal
from ._near import near_chains
from ._rarity import Rarity
from ._shard import Shard
from ._types import NearSpan, Source, SourceRow, Span, checked_tokens
from ._vocabulary import Vocabulary, normal_form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MIN_TOKENS", "SpanIndex"]

MIN_TOKENS = 8
"""Shortest stretch, in tokens, that counts as taken from a row."""

_FORMAT = 2


class SpanIndex:
    """Rows over memory-mapped shards of their texts. Made by :meth:`build`.

    What it answers follows from tokenizer and rows alone; how the texts are cut into shards makes no difference to it.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        shards: Sequence[Shard],
        sources: Sequence[Sequence[tuple[Source, ...]]],
        digest: str,
    ) -> None:
        self._vocabulary, self._shards, self._sources = vocabulary, tuple(shards), sources
        self.digest = digest
        """sha2-256 (hex) of tokenizer and rows: the same digest means the same spans."""
        counts = _counts(shards, sources)
        self._size = sum(counts.values())
        self._rarity = Rarity(counts, vocabulary.size)

    @classmethod
    def build(cls, rows: Iterable[SourceRow], tokenizer: Path | str, cache_dir: Path | str) -> SpanIndex:
        """The index over ``rows``. Only texts that no shard in ``cache_dir`` holds are tokenised and sorted.

        ``tokenizer`` is a base model's directory or its ``tokenizer.json``. The order in which rows are given does
        not matter. Raises ``UserError`` for two rows with one name, a tokenizer that cannot be read, or a cache that
        cannot be written.
        """
        ordered = sorted(rows, key=lambda row: (row.accepted, row.datanet, row.row))
        if len({(row.datanet, row.row) for row in ordered}) != len(ordered):
            raise UserError(
                "Two rows of an index have the same datanet and row id", fix="give each row its own id"
            )
        vocabulary = Vocabulary.load(tokenizer)
        forms: dict[bytes, str] = {}
        holders: dict[bytes, list[Source]] = {}
        digest = hashlib.sha256(json.dumps([_FORMAT, vocabulary.digest]).encode())
        for row in ordered:
            form = normal_form(row.text)
            try:
                key = hashlib.sha256(form.encode()).digest()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"The text of row {row.row} is not Unicode", why=str(error), fix="mend or drop the row"
                ) from error
            forms.setdefault(key, form)
            holders.setdefault(key, []).append(Source(row.accepted, row.datanet, row.row, row.contributor))
            named = [row.accepted, row.datanet, row.row, row.contributor, key.hex()]
            digest.update(json.dumps(named).encode())
        shards = shards_of(forms, vocabulary, Path(cache_dir))
        sources = [[tuple(holders[key]) for key in shard.keys] for shard in shards]
        return cls(vocabulary, shards, sources, digest.hexdigest())

    def __len__(self) -> int:
        """Tokens of all rows."""
        return self._size

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Every row of the index in order of acceptance."""
        return tuple(sorted(source for shard in self._sources for text in shard for source in text))

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` in the index's normal form."""
        return self._vocabulary.encode(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        return self._vocabulary.decode(tokens)

    def costs(self, output_tokens: Sequence[int]) -> list[int]:
        """Rarity of each output token in thousandths of a bit; 0 for special tokens, which nobody wrote.

        floor(1000 · log2((T + V) / (c + 1))) for a token that occurs c times among the T tokens of the index
        with a vocabulary of V, computed in integers so that everyone gets the same number.
        """
        special = self._vocabulary.special
        return [
            0 if token in special else self._rarity.cost(token) for token in checked_tokens(output_tokens)
        ]

    def find(self, output_tokens: Sequence[int], min_tokens: int = MIN_TOKENS) -> list[Span]:
        """All maximal spans of at least ``min_tokens`` tokens, in the order of their starts.

        Maximal: no longer span of the output that is also found covers it. Spans may overlap; none crosses a row
        border or holds a special token. Costs O(n log N) comparisons of at most the longest row's length for an
        output of n and an index of N tokens, once per shard. Raises ``UserError`` for input that is not token ids.
        """
        if min_tokens < 1:
            raise UserError(f"min_tokens must be at least 1, not {min_tokens}")
        tokens = checked_tokens(output_tokens)
        summed = [0, *accumulate(self.costs(tokens))]
        output = Output(tokens, self._vocabulary.special, self._vocabulary.width)
        # An output may repeat a stretch that very many rows hold: they are named once.
        known: dict[Places, tuple[Source, ...]] = {}
        spans = []
        for start, end, places in maximal(self._shards, output, min_tokens):
            sources = known.get(places)
            if sources is None:
                sources = known[places] = self._holders(places)
            spans.append(Span(start, end, summed[end] - summed[start], sources))
        return spans

    def near(self, output_tokens: Sequence[int]) -> list[NearSpan]:
        """Stretches of the output that stand in a row but for a few edits, in the order of their starts.

        A score of its own, to be shown: no rule pays for it. What counts as near is defined in ``_near``. Of stretches of
        which one covers the other, the one with the higher score (matched tokens less ``EDIT_COST`` for each edit) is
        given, of equals the first accepted. Raises ``UserError`` for input that is not token ids.
        """
        import numpy as np

        tokens = checked_tokens(output_tokens)
        summed = [0, *accumulate(self.costs(tokens))]
        output = Output(tokens, self._vocabulary.special, self._vocabulary.width)
        found = []
        for chain in near_chains(self._shards, output):
            weight = sum(summed[end] - summed[start] for start, end in chain.matches)
            source = self._sources[chain.shard][chain.text][0]
            found.append(
                (
                    -chain.score,
                    source,
                    NearSpan(chain.start, chain.end, chain.matched, chain.edits, weight, source),
                )
            )
        kept, reach = [], np.zeros(len(tokens) + 1, np.int64)
        for _, _, span in sorted(found, key=lambda one: (one[0], one[1], one[2].start, one[2].end)):
            if reach[span.start] < span.end:
                kept.append(span)
                np.maximum(reach[span.start :], span.end, out=reach[span.start :])
        return sorted(kept, key=lambda span: (span.start, span.end, span.source))

    def _holders(self, places: Places) -> tuple[Source, ...]:
        found: list[Source] = []
        for number, low, high in places:
            for text in self._shards[number].texts_at(low, high):
                found.extend(self._sources[number][text])
        return tuple(sorted(found))


def _counts(shards: Sequence[Shard], sources: Sequence[Sequence[Sequence[Source]]]) -> dict[int, int]:
    """How often each token occurs in all rows; a text counts once for each row that holds it."""
    import numpy as np

    ids: list[NDArray[Any]] = [np.empty(0, np.uint32)]
    counts: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for shard, holders in zip(shards, sources, strict=True):
        ids.append(shard.ids)
        counts.append(shard.counts.astype(np.int64))
        for text, rows in enumerate(holders):
            if len(rows) > 1:
                more, times = np.unique(shard.text(text), return_counts=True)
                ids.append(more.astype(np.uint32))
                counts.append(times * (len(rows) - 1))
    tokens, places = np.unique(np.concatenate(ids), return_inverse=True)
    summed = np.zeros(len(tokens), np.int64)
    np.add.at(summed, places, np.concatenate(counts))
    return dict(zip(tokens.tolist(), summed.tolist(), strict=True))
