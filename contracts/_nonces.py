"""Transaction nonces for many threads that send from one address."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

__all__ = ["NonceLane", "lane"]


@dataclass
class NonceLane:
    """The nonces of one address on one chain. Hold ``lock`` from choosing a nonce until it is broadcast.

    The node's pending count rules while nothing is in flight, so a chain that was reset, or another
    program that sends from the same address, cannot leave a gap behind.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    _next: int = 0
    _in_flight: int = 0
    _count_lock: threading.Lock = field(default_factory=threading.Lock)

    def choose(self, pending: int) -> int:
        """The nonce to use, given the node's pending count. Call under ``lock``."""
        with self._count_lock:
            return max(pending, self._next) if self._in_flight else pending

    def sent(self, nonce: int) -> None:
        """The transaction with ``nonce`` was broadcast. Call under ``lock``."""
        with self._count_lock:
            self._next = nonce + 1
            self._in_flight += 1

    def done(self) -> None:
        """A broadcast transaction was mined or given up."""
        with self._count_lock:
            self._in_flight -= 1


_LANES: dict[tuple[str, int, str], NonceLane] = {}
_LANES_LOCK = threading.Lock()


def lane(rpc_url: str, chain_id: int, address: str) -> NonceLane:
    """The lane shared by every client in this process."""
    with _LANES_LOCK:
        return _LANES.setdefault((rpc_url, chain_id, address.lower()), NonceLane())
