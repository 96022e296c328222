"""Suffix ranges, bisected one by one and all at once, hold every occurrence and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openledger.attribution.spans._suffixes import NEEDLE, Suffixes, border_of, build_suffixes, pack, windows

# Zeros and high bytes: numpy's strings end at a zero, and C's char is signed.
tokens = st.sampled_from([0, 1, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFF00])
texts = st.lists(tokens, max_size=40)


def suffixes(text: list[int], width: int) -> tuple[Suffixes, list[int]]:
    """Of one row, with its border behind it and ``NEEDLE`` more, as a shard has them."""
    data = pack([*text, border_of(width)], width)
    order = build_suffixes(data, width)[: len(text)]
    ids, counts = np.unique(np.array(text, dtype=np.uint32), return_counts=True)
    padded = data + pack([border_of(width)] * NEEDLE, width)
    return Suffixes(padded, order, width, ids, counts.astype(np.uint32)), order.tolist()


def where(text: list[int], wanted: list[int]) -> set[int]:
    return {i for i in range(len(text)) if text[i : i + len(wanted)] == wanted}


@pytest.mark.parametrize("width", [2, 4])
@given(texts, st.lists(tokens, min_size=1, max_size=12))
def test_an_interval_holds_every_occurrence(width: int, text: list[int], wanted: list[int]) -> None:
    made, order = suffixes(text, width)
    low, high = made.interval(pack(wanted, width), 0, len(order))
    assert set(order[low:high]) == where(text, wanted)


@pytest.mark.parametrize("width", [2, 4])
@settings(max_examples=50)
@given(texts, st.lists(tokens, min_size=8, max_size=30), st.sampled_from([1, 10]), st.integers(1, NEEDLE))
def test_ranges_hold_every_occurrence(
    width: int, text: list[int], output: list[int], times: int, length: int
) -> None:
    output = times * output  # few are bisected one after the other, many together
    made, order = suffixes(text, width)
    needles = windows(pack(output, width), length, width)
    first = made.starting_with(np.array(output[: len(needles)], dtype=np.int64))
    lows, highs = made.ranges(needles, first)
    for start, (low, high) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True)):
        assert set(order[low:high]) == where(text, output[start : start + length])


@given(texts, st.lists(tokens, min_size=1, max_size=12))
def test_the_longest_beginning(text: list[int], wanted: list[int]) -> None:
    made, order = suffixes(text, 2)
    expected = max((n for n in range(len(wanted) + 1) if n == 0 or where(text, wanted[:n])), default=0)
    assert made.longest(pack(wanted, 2), 0, len(order)) == expected
