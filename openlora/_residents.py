"""Which adapters are in memory, within a budget of bytes."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Resident", "Residents"]


@dataclass(slots=True)
class Resident:
    """An adapter in memory."""

    number: int
    """vLLM's name for it; a new one each time it is loaded."""
    memory: int
    held: bool = False


class Residents:
    """The middle tier: adapters held for requests and pinned ones stay, of the others the least recently used go."""

    def __init__(self, budget: int, pinned: Iterable[str] = ()) -> None:
        self.budget, self.used = budget, 0
        self._pinned = set(pinned)
        self._all: OrderedDict[str, Resident] = OrderedDict()
        self._free: OrderedDict[str, None] = OrderedDict()
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, cid: str) -> bool:
        return cid in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._all))

    def __getitem__(self, cid: str) -> Resident:
        return self._all[cid]

    def number(self) -> int:
        """A number no adapter has had."""
        return next(self._numbers)

    @property
    def room(self) -> bool:
        """Whether one more may be loaded now."""
        return self.used < self.budget or bool(self._free)

    @property
    def idle(self) -> bool:
        """Whether none is held for a request."""
        return len(self._free) + len(self._pinned & self._all.keys()) >= len(self._all)

    def add(self, cid: str, number: int, memory: int) -> list[int]:
        """Count an adapter that was loaded. Returns the numbers of those that must go for it.

        When all the rest is held the budget is exceeded rather than the request refused.
        """
        self._all[cid] = Resident(number, memory)
        self.used += memory
        gone = []
        while self.used > self.budget and self._free:
            gone.append(self.remove(next(iter(self._free))))
        if cid not in self._pinned:
            self._free[cid] = None
        return gone

    def remove(self, cid: str) -> int:
        resident = self._all.pop(cid)
        self._free.pop(cid, None)
        self.used -= resident.memory
        return resident.number

    def hold(self, cid: str) -> None:
        """Keep it until ``release``."""
        self._all[cid].held = True
        self._free.pop(cid, None)

    def release(self, cid: str) -> list[int]:
        """It may go from now on; the numbers of those that must, where the budget was exceeded."""
        resident = self._all.get(cid)
        if resident is None:
            return []
        resident.held = False
        if cid not in self._pinned:
            self._free[cid] = None
        gone = []
        while self.used > self.budget and self._free:
            gone.append(self.remove(next(iter(self._free))))
        return gone
