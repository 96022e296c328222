"""The maximal stretches of an output that stand in the texts of some shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ._shard import Shard
from ._suffixes import NEEDLE, border_of, pack, windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHUNK", "Output", "Places", "maximal"]

CHUNK = 1 << 15
"""Starts that are searched at once; bounds the memory a long output takes."""

Places = tuple[tuple[int, int, int], ...]
"""(shard, low, high): the places [low, high) of a shard's suffix order, for each shard that has any."""


class Output:
    """Tokens of an output, and where stretches of them can be looked for: between special tokens and ids no text holds."""

    def __init__(self, tokens: Sequence[int], special: frozenset[int], width: int) -> None:
        import numpy as np

        border = border_of(width)
        # a list: numpy's isin takes longer for outputs as they are
        ids = np.array([-1 if token >= border or token in special else token for token in tokens], np.int64)
        usable = ids >= 0
        self.tokens: NDArray[np.int64] = ids
        """-1 where nothing matches."""
        self.ends: NDArray[np.int64] = np.minimum.accumulate(
            np.where(usable, len(ids), np.arange(len(ids)))[::-1]
        )[::-1]
        """For each token the end of the usable run it is in; itself where it is not usable."""
        self.packed = pack(np.where(usable, ids, 0), width)
        self.width = width

    def starts(self, length: int) -> NDArray[np.int64]:
        """Where a stretch of ``length`` tokens can begin."""
        import numpy as np

        return (self.ends - np.arange(len(self.ends)) >= length).nonzero()[0]

    def needles(self, starts: NDArray[np.int64], length: int) -> NDArray[np.bytes_]:
        """The stretches of ``length`` tokens at ``starts``."""
        return windows(self.packed, length, self.width)[starts]


def maximal(shards: Sequence[Shard], output: Output, min_tokens: int) -> Iterator[tuple[int, int, Places]]:
    """(start, end, places) of each stretch of at least ``min_tokens`` that no longer one covers, in order.

    Over all shards at once: of a stretch in one shard that another shard has longer, nothing is said.
    """
    width, reach = output.width, 0
    longest = [shard.longest for shard in shards]
    for start, here in _beginnings(shards, output, min_tokens):
        # Only a match that ends beyond the last one is maximal: ask for that length first.
        need, end = max(min_tokens, reach + 1 - start), int(output.ends[start])
        if start + need > end:
            continue
        at = start * width
        wanted = output.packed[at : at + need * width]
        found = []
        for number, low, high in here:
            if need <= longest[number]:
                low, high = shards[number].suffixes.interval(wanted, low, high)
                if low < high:
                    found.append((number, low, high))
        if not found:
            continue
        lengths = [
            shards[n].suffixes.longest(output.packed[at : min(end, start + longest[n]) * width], low, high)
            for n, low, high in found
        ]
        length = max(lengths)
        wanted = output.packed[at : at + length * width]
        reach = start + length
        yield (
            start,
            reach,
            tuple(
                (n, *shards[n].suffixes.interval(wanted, low, high)) if length > need else (n, low, high)
                for (n, low, high), its in zip(found, lengths, strict=True)
                if its == length
            ),
        )


def _beginnings(shards: Sequence[Shard], output: Output, min_tokens: int) -> Iterator[tuple[int, Places]]:
    """(start, places) wherever the first ``min_tokens``, or ``NEEDLE`` if those are fewer, stand in some shard."""
    import numpy as np

    if not shards:
        return
    length = min(min_tokens, NEEDLE)
    starts = output.starts(min_tokens)
    for first in range(0, len(starts), CHUNK):
        these = starts[first : first + CHUNK]
        needles, begins = output.needles(these, length), output.tokens[these]
        ranges = [shard.suffixes.ranges(needles, shard.suffixes.starting_with(begins)) for shard in shards]
        lows, highs = np.array([low for low, _ in ranges]), np.array([high for _, high in ranges])
        some = np.flatnonzero((lows < highs).any(axis=0))
        for start, low, high in zip(
            these[some].tolist(), lows.T[some].tolist(), highs.T[some].tolist(), strict=True
        ):
            yield start, tuple((n, low[n], high[n]) for n in range(len(shards)) if low[n] < high[n])
