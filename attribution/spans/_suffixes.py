"""A suffix array over tokens, searched without reading it into memory.

Tokens are stored big-endian in a fixed width, so comparing bytes compares tokens and one ``memcmp`` settles a
step of a binary search. Built with divsufsort (Mori, https://github.com/y-256/libdivsufsort) over the bytes,
keeping the suffixes that start at a token; the idea of searching pretraining text this way is infini-gram's
(Liu et al., 2024, https://arxiv.org/abs/2401.17377).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MAX_BYTES",
    "NEEDLE",
    "Buffer",
    "Suffixes",
    "border_of",
    "build_suffixes",
    "pack",
    "width_of",
    "windows",
]

_FEW = 64
"""Needles up to which it takes longer to bisect all of them at once."""
MAX_BYTES = 2**31 - 1
"""Largest text that can be sorted."""
NEEDLE = 8
"""Longest needle of :meth:`Suffixes.ranges`, in tokens; a text ends in as many borders, so that every window is whole."""


class Buffer(Protocol):
    """Bytes that can be sliced: ``bytes`` or a memory map."""

    def __getitem__(self, key: slice, /) -> bytes: ...

    def __len__(self) -> int: ...


def width_of(largest: int) -> int:
    """Bytes per token for ids up to ``largest``; the highest value of a width is kept for row borders."""
    return 2 if largest < 0xFFFF else 4


def border_of(width: int) -> int:
    """The id that stands behind each row; higher than every token's, so that it sorts last and no needle holds it."""
    return (1 << (8 * width)) - 1


def pack(tokens: Sequence[int] | NDArray[Any], width: int) -> bytes:
    """Token ids as big-endian integers of ``width`` bytes."""
    import numpy as np

    return np.asarray(tokens, dtype=f">u{width}").tobytes()


def windows(data: Buffer, length: int, width: int) -> NDArray[np.bytes_]:
    """Every stretch of ``length`` tokens of packed ``data``, in place, as strings that compare as the tokens do.

    numpy compares strings byte by byte, unsigned, and takes zeros at their end for absent: the same for equal sizes.
    """
    import numpy as np

    count = max(0, len(data) // width - length + 1)
    return np.ndarray((count,), f"S{length * width}", buffer=data if count else b"", strides=(width,))  # type: ignore[arg-type]


def build_suffixes(data: bytes, width: int) -> NDArray[np.uint32]:
    """Token positions in the order of the text that follows them. ``data`` is at most ``MAX_BYTES`` long."""
    import numpy as np
    from pydivsufsort import divsufsort

    order = divsufsort(np.frombuffer(bytearray(data), dtype=np.uint8))
    return np.ascontiguousarray(order[order % width == 0] // width, dtype=np.uint32)


class Suffixes:
    """Range queries over ``order`` (token positions in suffix order) of the packed text ``data``.

    ``ids`` are the tokens of the text, sorted, and ``counts`` how often each occurs: together they say where in
    ``order`` the suffixes of a first token stand. ``data`` ends in ``NEEDLE`` borders.
    """

    def __init__(
        self,
        data: Buffer,
        order: NDArray[np.uint32],
        width: int,
        ids: NDArray[np.uint32],
        counts: NDArray[np.uint32],
    ) -> None:
        import numpy as np

        self._data, self._order, self._width, self._ids = data, order, width, ids
        self._bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._places = memoryview(order)  # type: ignore[arg-type]  # one element of it is read faster than of an array

    def ranges(
        self,
        needles: NDArray[np.bytes_],
        within: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Half-open range of ``order`` of each of ``needles`` (:func:`windows` of at most ``NEEDLE`` tokens), all bisected
        at once inside ``within``; empty where there is none."""
        if len(needles) <= _FEW:
            return self._few(needles, within)
        text = windows(self._data, needles.dtype.itemsize // self._width, self._width)
        low = self._bisect(text, needles, *within, past=False)
        high = low.copy()
        some = (low < within[1]).nonzero()[0]
        some = some[text[self._order[low[some]]] == needles[some]]
        high[some] = self._bisect(text, needles[some], low[some], within[1][some], past=True)
        return low, high

    def _few(
        self,
        needles: NDArray[np.bytes_],
        within: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """:meth:`ranges`, one after the other."""
        import numpy as np

        packed, size = needles.tobytes(), needles.dtype.itemsize
        found = [
            self.interval(packed[place * size : (place + 1) * size], low, high)
            for place, (low, high) in enumerate(zip(within[0].tolist(), within[1].tolist(), strict=True))
        ]
        low, high = np.array(found, dtype=np.int64).reshape(-1, 2).T
        return low, high

    def starting_with(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Half-open range of ``order`` of the suffixes whose first token is each of ``tokens``."""
        import numpy as np

        places = np.searchsorted(self._ids, tokens)
        known = places < len(self._ids)
        known[known] = self._ids[places[known]] == tokens[known]
        places = np.where(known, places, 0)
        return self._bounds[places], np.where(known, self._bounds[places + known], self._bounds[places])

    def _bisect(
        self,
        text: NDArray[np.bytes_],
        needles: NDArray[np.bytes_],
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        *,
        past: bool,
    ) -> NDArray[np.int64]:
        """The first place in each [low, high) whose suffix is not before its needle, or, ``past`` it, is behind it."""
        low, high = low.copy(), high.copy()
        still = (low < high).nonzero()[0]
        while still.size:
            middle = (low[still] + high[still]) >> 1
            there, wanted = text[self._order[middle]], needles[still]
            before = there <= wanted if past else there < wanted
            low[still[before]] = middle[before] + 1
            high[still[~before]] = middle[~before]
            still = still[low[still] < high[still]]
        return low

    def interval(self, wanted: bytes, low: int, high: int) -> tuple[int, int]:
        """Half-open part of [low, high) whose suffixes begin with ``wanted``, of any length; empty when there is none."""
        data, order, width, size = self._data, self._places, self._width, len(wanted)

        def prefix(place: int) -> bytes:
            start = order[place] * width
            return data[start : start + size]

        places = range(len(order))
        first = bisect_left(places, wanted, low, high, key=prefix)
        if first == high or prefix(first) != wanted:
            return first, first
        return first, bisect_right(places, wanted, first, high, key=prefix)

    def longest(self, wanted: bytes, low: int, high: int) -> int:
        """Tokens of the longest beginning of ``wanted`` found among the suffixes in [low, high)."""
        data, order, width, size = self._data, self._places, self._width, len(wanted)

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
