"""A suffix array over tokens, searched without reading it into memory.

Tokens are stored big-endian in a fixed width, so comparing bytes compares tokens and one ``memcmp`` settles a
step of a binary search. Built with divsufsort (Mori, https://github.com/y-256/libdivsufsort) over the bytes,
keeping the suffixes that start at a token; the idea of searching pretraining text this way is infini-gram's
(Liu et al., 2024, https://arxiv.org/abs/2401.17377).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Buffer", "Suffixes", "build_suffixes", "pack", "width_of"]

_MAX_BYTES = 2**31 - 1


class Buffer(Protocol):
    """Bytes that can be sliced: ``bytes`` or a memory map."""

    def __getitem__(self, key: slice, /) -> bytes: ...


def width_of(largest: int) -> int:
    """Bytes per token for ids up to ``largest``; the highest value of a width is kept for row borders."""
    return 2 if largest < 0xFFFF else 4


def pack(tokens: Sequence[int], width: int) -> bytes:
    """Token ids as big-endian integers of ``width`` bytes."""
    import numpy as np

    return np.asarray(tokens, dtype=f">u{width}").tobytes()


def build_suffixes(data: bytes, width: int) -> NDArray[np.uint32]:
    """Token positions in the order of the text that follows them."""
    import numpy as np
    from pydivsufsort import divsufsort

    if len(data) > _MAX_BYTES:
        raise UserError(
            f"The rows take {len(data)} bytes, more than one index holds",
            fix="split them over several datanets",
        )
    order = divsufsort(np.frombuffer(bytearray(data), dtype=np.uint8))
    return np.ascontiguousarray(order[order % width == 0] // width, dtype=np.uint32)


class Suffixes:
    """Range queries over ``order`` (token positions in suffix order) of the packed text ``data``."""

    def __init__(self, data: Buffer, order: Sequence[int], width: int) -> None:
        self._data, self._order, self._width = data, order, width

    def interval(self, wanted: bytes, low: int = 0, high: int | None = None) -> tuple[int, int]:
        """Half-open range of ``order`` whose suffixes begin with ``wanted``; empty when there are none."""
        data, order, width, size = self._data, self._order, self._width, len(wanted)

        def prefix(place: int) -> bytes:
            start = order[place] * width
            return data[start : start + size]

        places = range(len(order))
        top = len(order) if high is None else high
        first = bisect_left(places, wanted, low, top, key=prefix)
        if first == top or prefix(first) != wanted:
            return first, first
        return first, bisect_right(places, wanted, first, top, key=prefix)

    def longest(self, wanted: bytes, low: int, high: int) -> int:
        """Tokens of the longest beginning of ``wanted`` found among the suffixes in [low, high)."""
        data, order, width, size = self._data, self._order, self._width, len(wanted)

        def prefix(place: int) -> bytes:
            start = order[place] * width
            return data[start : start + size]

        # The suffix that shares most with ``wanted`` stands right before or right after where it would be.
        place = bisect_left(range(len(order)), wanted, low, high, key=prefix)
        return max(
            (_common(wanted, prefix(p)) // width for p in (place - 1, place) if low <= p < high), default=0
        )


def _common(left: bytes, right: bytes) -> int:
    """Length of the common beginning of two byte strings."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
