"""Requests under way: each is admitted within limits and answered once, from whatever thread."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import EngineError, OverloadedError
from ._types import AdapterRef, Queue

__all__ = ["Answer", "DeadlineError", "Job", "Jobs", "NotANumberError", "closed", "overloaded", "timed_out"]

T = TypeVar("T")


class NotANumberError(Exception):
    """The logits of a request hold NaN. Raised by a job's ``finish``."""


class DeadlineError(OverloadedError):
    """Its deadline passed: no other replica can make up for it."""


class Answer(Future[T]):
    """A future whose ``cancel`` takes the request out of the engine."""


@dataclass(slots=True)
class Job:
    """One request to vLLM and what to make of its output."""

    prompt: list[int]
    params: Any
    adapter: AdapterRef | None
    finish: Callable[[Any, Job], Any]
    id: str
    cost: int
    priority: int = 0
    due: float = float("inf")
    progress: Callable[[Any], None] | None = None
    """Called with the output so far after every step, where vLLM was asked for that."""
    future: Answer[Any] = field(default_factory=Answer)
    submitted: float = field(default_factory=time.perf_counter)
    checked: float = field(default_factory=time.monotonic)
    started: float = 0.0
    steps: tuple[int, int] = (0, 0)
    """The engine's count of steps when it was taken in and when it began."""
    again: bool = False

    @property
    def line(self) -> str:
        return self.adapter.cid if self.adapter else ""


class Jobs:
    """The requests that wait or run. Safe to call from any thread."""

    def __init__(self, queueing: Queue) -> None:
        self.queueing = queueing
        self.death: EngineError | None = None
        self._all: dict[str, Job] = {}
        self._counts: Counter[str] = Counter()  # of them, by adapter
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def admit(
        self, job: Job, enter: Callable[[Job], None], *, places: int, wait: float, deadline: float | None
    ) -> None:
        """Count a request and ``enter`` it, or raise: ``OverloadedError`` beyond the limits, the engine's death.

        ``places`` may run beside those that wait; ``wait`` is how many seconds a new one will, ``deadline`` how
        many it may.
        """
        with self._lock:
            if self.death is not None:
                raise self.death
            most = self.queueing.max_waiting
            if len(self._all) >= most + places:
                raise overloaded(f"{len(self._all)} requests are under way", wait)
            if self._counts[job.line] >= most // 2 + places:
                raise overloaded(f"{self._counts[job.line]} requests of this adapter are under way", wait)
            if deadline is not None and wait > deadline:
                raise overloaded(
                    f"a request waits for {wait:.1f} s, this one for at most {deadline:g} s", wait
                )
            self._all[job.id] = job
            self._counts[job.line] += 1
            enter(job)

    def drop(self, job: Job) -> None:
        """It is not under way any more."""
        with self._lock:
            if self._all.pop(job.id, None) is not None:
                self._counts[job.line] -= 1
                if not self._counts[job.line]:
                    del self._counts[job.line]

    def settle(self, job: Job, outcome: Any) -> None:
        """Drop it and answer: an exception is raised to whoever waits."""
        self.drop(job)
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    def die(self, death: EngineError) -> None:
        """Fail all of them, and whatever comes."""
        with self._lock:
            self.death = death
        for job in list(self._all.values()):
            self.settle(job, death)


def timed_out(timeout: float) -> EngineError:
    return EngineError(
        f"The engine gave no answer in {timeout:g} seconds",
        why="it is overloaded or stuck",
        fix="retry, ask for fewer tokens, or raise the timeout",
    )


def closed() -> EngineError:
    return EngineError("This engine was closed", fix="start a new one")


def overloaded(why: str, wait: float, kind: type[OverloadedError] = OverloadedError) -> OverloadedError:
    seconds = max(1.0, round(wait, 1))
    return kind(
        "The engine has more to do than it can",
        why=why,
        fix=f"ask again in {seconds:g} seconds, or add replicas",
        retry_after=seconds,
    )
