"""Which replica an adapter belongs to: consistent hashing, with bounded loads.

Karger et al. (STOC 1997): each replica owns many points of a circle, a key belongs to the first point clockwise from its
own, so that a replica that leaves or joins moves only the keys it had or gets. Mirrokni, Thorup, Zadimoghaddam
("Consistent Hashing with Bounded Loads", SODA 2018, arXiv:1608.01350): a replica takes no more than ``BOUND`` times the
mean, and what it would take beyond that goes on clockwise.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect
from collections.abc import Iterable, Iterator

__all__ = ["BOUND", "Ring", "capacity"]

BOUND = 1.25
"""Load of one replica over the mean, at most; the paper's 1 + ε."""

_POINTS = 128


class Ring:
    """Replicas 0 to ``count`` − 1 on a circle; any process builds the same one."""

    def __init__(self, count: int) -> None:
        points = sorted(
            (_hash(f"{replica}/{point}"), replica) for replica in range(count) for point in range(_POINTS)
        )
        self._count = count
        self._hashes = [point for point, _ in points]
        self._replicas = [replica for _, replica in points]

    def walk(self, key: str, among: Iterable[int]) -> Iterator[int]:
        """The replicas of ``among``, each once, clockwise from ``key``."""
        left = set(among)
        at = bisect(self._hashes, _hash(key))
        while left:
            replica = self._replicas[at % len(self._replicas)]
            at += 1
            if replica in left:
                left.discard(replica)
                yield replica


def capacity(total: int, members: int) -> int:
    """Requests one of ``members`` replicas may hold when there are ``total``: ⌈``BOUND`` · total ÷ members⌉."""
    return math.ceil(BOUND * total / members)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
