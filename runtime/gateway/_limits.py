"""How much one client, and all of them, may ask for: what is beyond is refused with 429 before anything is paid."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass

from ...errors import OverloadedError, UserError

__all__ = ["Limiter", "Limits"]

_REMEMBERED = 10_000
"""Clients whose last requests are remembered; who is forgotten begins with a full bucket."""


@dataclass(frozen=True)
class Limits:
    """What a gateway takes."""

    body_bytes: int = 1 << 20
    """Bytes of a request."""
    body_seconds: float = 20.0
    """Seconds in which all of it has to be there."""
    rate: float = 20.0
    """Requests a second of one client, on average."""
    burst: int = 60
    """Requests of one client at once."""
    running: int = 64
    """Actions that run at once."""
    running_each: int = 16
    """Of them for one client: the rest stays for others."""

    def __post_init__(self) -> None:
        if min(self.body_bytes, self.burst, self.running, self.running_each) < 1 or self.rate <= 0:
            raise UserError("a gateway's limits are above 0", fix="raise them")


class Limiter:
    """Counts. A client is a prepaid key, or an address on the network. Thread-safe."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._running: Counter[str] = Counter()

    def admit(self, client: str) -> None:
        """Count a request. Raises ``OverloadedError`` when the client's bucket is empty."""
        limits, now = self.limits, time.monotonic()
        with self._lock:
            level, at = self._buckets.pop(client, (float(limits.burst), now))
            level = min(limits.burst, level + (now - at) * limits.rate)
            taken = level >= 1
            self._buckets[client] = level - taken, now
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        if not taken:
            raise OverloadedError(
                "Too many requests",
                retry_after=(1 - level) / limits.rate,
                why=f"one client may make {limits.rate:g} a second",
                fix="wait as Retry-After says",
            )

    def begin(self, client: str) -> None:
        """Count an action that starts; :meth:`end` it. Raises ``OverloadedError`` when too many run."""
        with self._lock:
            mine, all_of_them = self._running[client], self._running.total()
            if mine < self.limits.running_each and all_of_them < self.limits.running:
                self._running[client] += 1
                return
        whose = "this client's" if mine >= self.limits.running_each else "the gateway's"
        raise OverloadedError(
            "Too many actions run now",
            retry_after=1.0,
            why=f"all of {whose} places are taken",
            fix="wait as Retry-After says; nothing was paid",
        )

    def end(self, client: str) -> None:
        with self._lock:
            self._running[client] -= 1
            if self._running[client] <= 0:
                del self._running[client]
