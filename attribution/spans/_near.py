"""Stretches of an output that stand in a text but for a few edits.

Seed and chain, as sequence aligners do it (MUMmer: Delcher et al., 1999, https://doi.org/10.1093/nar/27.11.2369), in
integers and with every choice fixed, so that everyone finds the same:

- **Seed**: 4 tokens of the output that stand in at most ``MAX_PLACES`` places of the texts; where they stand in more, 6,
  then 8 tokens from the same start. What is common even then is followed no further.
- **Piece**: a seed, extended in its text as far as the tokens are the same.
- **Joint**: two pieces of one text, the second behind the first in both, with at most ``MAX_GAP`` tokens left out between
  them on either side and no special token; where they overlap, the second is cut. Its edits are the tokens that differ
  if as many are left out on both sides, else the larger number left out. Each side must have ``EDIT_COST`` matching
  tokens, net of the edits before, for each edit.
- **Chain**: pieces joined so that its score, matching tokens less ``EDIT_COST`` for each edit, is the highest; it counts
  from ``MIN_SCORE`` on. An edit so costs more than the choice of where it may be is worth: a chain is about as unlikely by
  chance as an exact stretch of as many tokens as its score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ._match import CHUNK, Output
from ._shard import Shard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["EDIT_COST", "MAX_GAP", "MAX_PLACES", "MIN_SCORE", "SEEDS", "Chain", "near_chains"]

SEEDS = (4, 6, 8)
"""Lengths of seeds, in tokens."""
MAX_PLACES = 8
"""Places a seed may stand in."""
MAX_GAP = 6
"""Tokens that may be left out between two pieces."""
EDIT_COST = 3
"""Matching tokens that pay for one edit."""
MIN_SCORE = 8
"""Least score of a chain: that of the shortest exact span."""

Piece = tuple[int, int, int]
"""(start, end, diagonal): output tokens and what to add to get their place in the shard."""


@dataclass(frozen=True)
class Chain:
    """Pieces of one text, joined."""

    shard: int
    text: int
    matches: tuple[tuple[int, int], ...]
    """Stretches [start, end) of the output that match, in order."""
    edits: int

    @property
    def start(self) -> int:
        return self.matches[0][0]

    @property
    def end(self) -> int:
        return self.matches[-1][1]

    @property
    def matched(self) -> int:
        return sum(end - start for start, end in self.matches)

    @property
    def score(self) -> int:
        return self.matched - EDIT_COST * self.edits


def near_chains(shards: Sequence[Shard], output: Output) -> Iterator[Chain]:
    """Every chain of every text, in no order. A piece belongs to the best chain it is part of."""
    for number, (shard, seeds) in enumerate(zip(shards, _seeds(shards, output), strict=True)):
        for text, pieces in _pieces(shard, output, *seeds):
            for matches, edits in _chains(shard, output, pieces):
                yield Chain(number, text, matches, edits)


def _seeds(shards: Sequence[Shard], output: Output) -> list[tuple[Ints, Ints, Ints]]:
    """(starts, ends, places) of the seeds in each shard. Places are counted over all shards."""
    import numpy as np

    found: list[list[tuple[Ints, Ints, Ints]]] = [
        [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))] for _ in shards
    ]
    starts = output.starts(SEEDS[0])
    for first in range(0, len(starts) if shards else 0, CHUNK):
        these = starts[first : first + CHUNK]
        ranges = np.array([shard.suffixes.starting_with(output.tokens[these]) for shard in shards])
        for length in SEEDS:
            fits = output.ends[these] - these >= length
            these, ranges = these[fits], ranges[:, :, fits]
            needles = output.needles(these, length)
            ranges = np.array(
                [
                    shard.suffixes.ranges(needles, (low, high))
                    for shard, (low, high) in zip(shards, ranges, strict=True)
                ]
            )
            sizes = ranges[:, 1] - ranges[:, 0]
            total = sizes.sum(axis=0)
            rare = total <= MAX_PLACES
            for shard, mine, (low, _), times in zip(shards, found, ranges, sizes, strict=True):
                times = np.where(rare, times, 0)
                begins = np.repeat(these, times)
                places = np.repeat(low - np.cumsum(times) + times, times) + np.arange(len(begins))
                mine.append((begins, begins + length, shard.order[places].astype(np.int64)))
            these, ranges = these[~rare], ranges[:, :, ~rare]
    return [tuple(np.concatenate(column) for column in zip(*mine, strict=True)) for mine in found]  # type: ignore[misc]


def _pieces(
    shard: Shard, output: Output, starts: Ints, ends: Ints, places: Ints
) -> Iterator[tuple[int, list[Piece]]]:
    """The pieces of each text that has enough of them for a chain, in the order of their starts."""
    import numpy as np

    starts, ends, diagonals = _joined(starts, ends, places - starts)
    ends = _extended(shard, output, ends, diagonals, 1)
    starts = _extended(shard, output, starts - 1, diagonals, -1) + 1
    starts, ends, diagonals = _joined(starts, ends, diagonals)
    texts = np.searchsorted(shard.starts, starts + diagonals, side="right") - 1
    # Most seeds stand alone in their text by chance; only what can make a chain is looked at one by one.
    _, which = np.unique(texts, return_inverse=True)
    enough = (np.bincount(which, ends - starts)[which] >= MIN_SCORE).nonzero()[0]
    order = enough[np.lexsort((diagonals[enough], starts[enough], texts[enough]))]
    columns = [column[order].tolist() for column in (texts, starts, ends, diagonals)]
    for text, group in groupby(zip(*columns, strict=True), key=lambda one: one[0]):
        yield text, [(start, end, diagonal) for _, start, end, diagonal in group]


def _joined(starts: Ints, ends: Ints, diagonals: Ints) -> tuple[Ints, Ints, Ints]:
    """Stretches that overlap or touch on one diagonal, as one."""
    import numpy as np

    if not len(starts):
        return starts, ends, diagonals
    order = np.lexsort((starts, diagonals))
    starts, ends, diagonals = starts[order], ends[order], diagonals[order]
    fresh = np.concatenate([[True], diagonals[1:] != diagonals[:-1]])
    # The furthest end so far on the same diagonal: each diagonal's ends are lifted above those of the one before.
    lift = np.cumsum(fresh) * (int(ends.max()) + 1)
    reach = np.maximum.accumulate(ends + lift) - lift
    fresh[1:] |= starts[1:] > reach[:-1]
    last = np.concatenate([fresh[1:], [True]])
    return starts[fresh], reach[last], diagonals[fresh]


def _extended(shard: Shard, output: Output, ends: Ints, diagonals: Ints, step: int) -> Ints:
    """Each of ``ends`` (a token of the output, on its diagonal), moved by ``step`` while output and text are the same."""
    ends = ends.copy()
    going = ((ends >= 0) & (ends < len(output.tokens)) & (ends + diagonals >= 0)).nonzero()[0]
    while going.size:
        at = ends[going]
        going = going[output.tokens[at] == shard.tokens[at + diagonals[going]]]
        ends[going] += step
        going = going[
            (ends[going] >= 0) & (ends[going] < len(output.tokens)) & (ends[going] + diagonals[going] >= 0)
        ]
    return ends


def _chains(
    shard: Shard, output: Output, pieces: Sequence[Piece]
) -> Iterator[tuple[tuple[tuple[int, int], ...], int]]:
    """(matches, edits) of the chains of one text's pieces, the best first."""
    scores: list[int] = []
    joints: list[tuple[int, list[tuple[int, int]], int] | None] = []
    """For each piece the one before it in its best chain, what matches between and in it, and the edits."""
    open_: list[int] = []
    for number, (start, end, _) in enumerate(pieces):
        score, joint = end - start, None
        open_ = [other for other in open_ if pieces[other][1] + MAX_GAP >= start]
        for other in open_:
            between = _joint(shard, output, pieces[other], pieces[number])
            if between is None:
                continue
            matches, edits = between
            paid = EDIT_COST * edits
            gained = sum(last - first for first, last in matches) - paid
            if (
                paid <= scores[other]
                and matches[-1][1] - matches[-1][0] >= paid
                # of equal scores a joint, and of joints the first
                and scores[other] + gained >= score + (joint is not None)
            ):
                score, joint = scores[other] + gained, (other, matches, edits)
        scores.append(score)
        joints.append(joint)
        open_.append(number)
    used: set[int] = set()
    for last in sorted(range(len(pieces)), key=lambda number: -scores[number]):
        members: list[int] = []
        matches, edits, at = [], 0, last
        while scores[last] >= MIN_SCORE and at not in used:
            members.append(at)
            joint = joints[at]
            if joint is None or joint[0] in used:
                matches = [pieces[at][:2], *matches]
                break
            at, matches, edits = joint[0], [*joint[1], *matches], edits + joint[2]
        if sum(end - start for start, end in matches) - EDIT_COST * edits >= MIN_SCORE:
            used.update(members)
            yield tuple(matches), edits


def _joint(
    shard: Shard, output: Output, left: Piece, right: Piece
) -> tuple[list[tuple[int, int]], int] | None:
    """What matches behind ``left`` up to the end of ``right``, and the edits; None if they cannot be joined."""
    shift = right[2] - left[2]
    gap = right[0] - left[1]
    cut = max(0, -gap, -gap - shift)
    start, gap = right[0] + cut, gap + cut
    if max(gap, gap + shift) > MAX_GAP or start >= right[1] or output.ends[left[1] - 1] < start:
        return None
    if shift:
        return [(start, right[1])], max(gap, gap + shift)
    same = [(at, at + 1) for at in range(left[1], start) if output.tokens[at] == shard.tokens[at + right[2]]]
    return [*same, (start, right[1])], gap - len(same)
