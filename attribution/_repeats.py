"""Near-duplicates: of texts that repeat each other the first accepted one counts, and the others with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["DUPLICATE_JACCARD", "repeats", "similarity"]

DUPLICATE_JACCARD = 0.3
"""Texts whose sets of word 3-grams overlap by more than this share repeat each other."""

_WORD = re.compile(r"\w+")


def repeats(texts: Sequence[str]) -> list[tuple[int, float] | None]:
    """For each text, in order of acceptance, the earlier one that it repeats and their overlap; ``None`` for one that
    repeats none.

    Of several the most similar, and of equals the earliest. What repeats is not compared with again: copies of copies
    are those of the original. Goes through an inverted index of 3-grams, so its cost grows with shared 3-grams and not
    with the square of the texts.
    """
    found: list[tuple[int, float] | None] = []
    grams: list[frozenset[str]] = []
    holders: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        mine = _grams(text)
        grams.append(mine)
        found.append(_closest(mine, grams, holders))
        if found[-1] is None:
            for gram in mine:
                holders.setdefault(gram, []).append(index)
    return found


def similarity(left: str, right: str) -> float:
    """Jaccard index of two texts' word 3-grams, 0 to 1; case and punctuation do not count."""
    a, b = _grams(left), _grams(right)
    return len(a & b) / len(a | b) if a or b else 0.0


def _grams(text: str) -> frozenset[str]:
    words = _WORD.findall(text.lower())
    if len(words) < 3:
        return frozenset((" ".join(words),)) if words else frozenset()
    return frozenset(" ".join(words[i : i + 3]) for i in range(len(words) - 2))


def _closest(
    mine: frozenset[str], grams: list[frozenset[str]], holders: dict[str, list[int]]
) -> tuple[int, float] | None:
    """The most similar earlier text above the bar, the earliest of equals."""
    shared: dict[int, int] = {}
    for gram in mine:
        for index in holders.get(gram, ()):
            shared[index] = shared.get(index, 0) + 1
    best: tuple[int, float] | None = None
    for index in sorted(shared):
        overlap = shared[index] / (len(mine) + len(grams[index]) - shared[index])
        if overlap > DUPLICATE_JACCARD and (best is None or overlap > best[1]):
            best = index, overlap
    return best
