"""Phases of an action as an observer sees them: for figures, logs and fault injection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["Observe", "Spent", "ignore", "phase"]


class Spent(NamedTuple):
    """What a phase took, in seconds: on the clock, and of this thread's processor time."""

    wall: float
    cpu: float


Observe = Callable[[str, Spent | None], None]
"""Told of every phase: its name with ``None`` when it begins, with what it took when it has ended."""


def ignore(_: str, __: Spent | None) -> None:
    """Nobody watches."""


@contextmanager
def phase(observe: Observe, name: str) -> Iterator[None]:
    """Tell ``observe`` of a phase around a block; one that raises never ends."""
    observe(name, None)
    wall, cpu = time.perf_counter(), time.thread_time()
    yield
    observe(name, Spent(time.perf_counter() - wall, time.thread_time() - cpu))
