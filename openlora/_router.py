"""Where requests go: by adapter, within bounds, around replicas that are away. Knows nothing of Ray.

Every process that holds a pool has a router of its own over the requests it sent itself. That costs no hop and no actor
whose loss would stop everyone, and the bound still holds for all of them together: if each of *p* processes keeps
replica *r* within ⌈1.25 · its own mean⌉, their sum is within 1.25 · the whole mean + *p*.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

from ._ring import Ring, capacity

__all__ = ["Router", "State"]

State = Literal["serving", "restarting", "drained", "dead"]
"""``restarting`` comes back by itself; ``drained`` was told to go; ``dead`` died too often."""


class Router:
    """Requests under way from this process, by replica and adapter. For one thread."""

    def __init__(self, count: int) -> None:
        self._ring = Ring(count)
        self.states: list[State] = ["serving"] * count
        self.loads = [0] * count
        self._demand: Counter[str] = Counter()  # of them, by adapter
        self._turn = random.randrange(
            count
        )  # processes that begin at the same time do not begin at the same place

    @property
    def serving(self) -> list[int]:
        return [replica for replica, state in enumerate(self.states) if state == "serving"]

    def spread(self, adapter: str, demand: int, members: list[int]) -> list[int]:
        """The replicas of an adapter with ``demand`` requests: as many, clockwise, as it takes for their fair shares."""
        total = sum(self.loads[replica] for replica in members) + 1
        fair = max(1, capacity(total, len(members)))
        wanted = -(-demand // fair)
        return [replica for _, replica in zip(range(wanted), self._ring.walk(adapter, members), strict=False)]

    def choose(self, adapter: str, without: Collection[int] = ()) -> int | None:
        """The replica for one more request of an adapter, of the base model for ``""``; None while none serves, but
        those ``without``."""
        members = [replica for replica in self.serving if replica not in without]
        if not members:
            return None
        if not adapter:
            self._turn += 1
            return min(
                members, key=lambda replica: (self.loads[replica], (replica - self._turn) % len(self.loads))
            )
        most = capacity(sum(self.loads[replica] for replica in members) + 1, len(members))
        own = self.spread(adapter, self._demand[adapter] + 1, members)
        best = min(own, key=lambda replica: self.loads[replica]) if len(own) > 1 else own[0]
        if self.loads[best] < most:
            return best
        return next(replica for replica in self._ring.walk(adapter, members) if self.loads[replica] < most)

    @contextmanager
    def carrying(self, adapter: str, replica: int) -> Iterator[None]:
        """Count a request while it is under way."""
        self.loads[replica] += 1
        self._demand[adapter] += 1
        try:
            yield
        finally:
            self.loads[replica] -= 1
            self._demand[adapter] -= 1
            if not self._demand[adapter]:
                del self._demand[adapter]
