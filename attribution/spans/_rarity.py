"""How much a token says: its unigram information, in integers that are the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Rarity", "millibits"]


def millibits(numerator: int, denominator: int) -> int:
    """floor(1000 · log2(numerator / denominator)), exactly, for numerator >= denominator >= 1.

    Without floating point: 2^k <= (n/d)^1000 is decided on the integers themselves.
    """
    upper, lower = numerator**1000, denominator**1000
    bits = upper.bit_length() - lower.bit_length()
    return bits if lower << bits <= upper else bits - 1


class Rarity:
    """Costs of tokens, from their counts in an index and the size of the vocabulary."""

    def __init__(self, counts: Mapping[int, int], vocabulary: int) -> None:
        self._counts = dict(counts)
        self._total = sum(counts.values()) + vocabulary
        self._known: dict[int, int] = {}

    def cost(self, token: int) -> int:
        """Thousandths of a bit, at least 1: one more occurrence is assumed, so unseen tokens have a cost too."""
        count = self._counts.get(token, 0)
        cost = self._known.get(count)
        if cost is None:
            cost = self._known[count] = max(1, millibits(max(self._total, count + 1), count + 1))
        return cost
