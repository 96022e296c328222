"""Which request runs next: fair between adapters, few slots, no starvation. Knows nothing of vLLM.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) over adapters, in tokens: each has a tag, the virtual
time at which its next request is due; the smallest runs, and its tag grows by the tokens it asked for. Virtual
time is the tag of what ran last, and an adapter that comes back starts there, so idling saves up no credit and a
waiting request ages with every token served to others. Priority is a head start in that time and so cannot
starve anyone either.

A batch holds at most ``slots`` adapters. Those that have one keep it while they have work; only when none has
come free for ``patience`` steps and another waits is the one furthest ahead of its share closed, which lets its
running requests end but admits none: one slot at a time changes hands. Where more adapters wait than there are
slots and the batch is not full, every other slot goes to the adapter with the most requests rather than to the
one that is due, so that many cold adapters with a request each cannot empty the batches of a hot one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

__all__ = ["HEAD_START", "Schedule", "Schedulable"]

HEAD_START = 4096
"""Tokens by which one step of priority goes ahead."""

_NEVER = float("inf")


class Schedulable(Protocol):
    """What a request must tell."""

    @property
    def id(self) -> str: ...
    @property
    def line(self) -> str:
        """The adapter's CID, empty for the base model, which needs no slot."""

    @property
    def cost(self) -> int:
        """Tokens of prompt and output, at most."""

    @property
    def priority(self) -> int: ...
    @property
    def due(self) -> float:
        """The time after which it need not begin; infinite for none."""


J = TypeVar("J", bound=Schedulable)


@dataclass(slots=True)
class _Line(Generic[J]):
    """The requests of one adapter."""

    name: str
    tag: float
    ready: bool
    heap: list[tuple[int, float, int, J]] = field(default_factory=list)
    pending: int = 0
    running: int = 0
    closed: bool = False
    waits_since: int = 0


class Schedule(Generic[J]):
    """At most ``places`` requests run, of at most ``slots`` adapters."""

    def __init__(self, slots: int, places: int, patience: int) -> None:
        self._slots, self._places, self._patience = slots, places, patience
        self._lines: dict[str, _Line[J]] = {}
        self._open: dict[str, _Line[J]] = {}  # they run something, or are the base model's
        self._idle: list[tuple[float, int, str]] = []  # ready, without a slot; stale entries are skipped
        self._large: list[tuple[float, int, str]] = []  # the same by number of requests
        self._absent: list[tuple[float, int, str]] = []  # not in memory
        self._dues: list[tuple[float, int, J]] = []
        self._waiting: dict[str, J] = {}
        self._order = itertools.count()
        self._now = 0.0  # virtual time
        self._step = 0
        self._granted = 0  # the step at which a slot last changed hands
        self._by_size = False
        self.running = 0
        self.backlog = 0
        """Tokens that waiting requests ask for."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, line: str) -> bool:
        return line in self._lines

    def waiting(self) -> list[J]:
        return list(self._waiting.values())

    def count(self, line: str) -> int:
        """Requests of an adapter that wait."""
        return self._lines[line].pending if line in self._lines else 0

    def add(self, job: J, *, ready: bool) -> None:
        """``ready``: its adapter is in memory."""
        line = self._lines.get(job.line)
        if line is None:
            line = self._lines[job.line] = _Line(job.line, self._now, ready)
        if not line.pending and line.running == 0:
            line.tag = max(line.tag, self._now)
            line.waits_since = self._step
        self._waiting[job.id] = job
        self.backlog += job.cost
        line.pending += 1
        heappush(line.heap, (-job.priority, job.due, next(self._order), job))
        if job.due < _NEVER:
            heappush(self._dues, (job.due, next(self._order), job))
        self._offer(line)

    def ready(self, name: str, ready: bool = True) -> None:
        """The adapter came into memory, or left it."""
        line = self._lines.get(name)
        if line is not None and line.ready != ready:
            line.ready = ready
            line.waits_since = self._step
            self._offer(line)

    def absent(self) -> str | None:
        """The adapter to load next; not given again until ``ready`` or ``retry``."""
        name = self._first(self._absent)
        if name is not None:
            heappop(self._absent)
        return name

    def retry(self, name: str) -> None:
        """Loading failed; give the adapter again while requests for it are left."""
        if name in self._lines:
            self._offer(self._lines[name])

    def jobs(self, name: str) -> list[J]:
        """The waiting requests of an adapter, in no order."""
        line = self._lines.get(name)
        return [entry[3] for entry in line.heap if entry[3].id in self._waiting] if line else []

    def next(self) -> J | None:
        """The request to run now, counted as running from here on."""
        if self.running >= self._places:
            return None
        best = min(
            (line for line in self._open.values() if line.pending and not line.closed),
            key=self._score,
            default=None,
        )
        taken = len(self._open) - ("" in self._open)
        due = self._first(self._idle) if taken < self._slots else None
        if due is not None:
            filled = self.running + sum(line.pending for line in self._open.values() if not line.closed)
            if self._by_size and filled < self._places and len(self._lines) > self._slots:
                due = self._first(self._large, by_size=True) or due
            line = self._lines[due]
            if best is None or self._score(line) < self._score(best):
                best = line
                self._by_size, self._granted = not self._by_size, self._step
        if best is None:
            return None
        job = self._pop(best)
        self._now = max(self._now, best.tag)
        best.tag = max(best.tag, self._now) + job.cost
        best.running += 1
        self._open[best.name] = best
        self.running += 1
        return job

    def remove(self, job: J) -> bool:
        """Forget a waiting request. True if its adapter has none left."""
        if self._waiting.pop(job.id, None) is None:
            return False
        line = self._lines[job.line]
        line.pending -= 1
        self.backlog -= job.cost
        self._offer(line)  # the head may be another now
        return self._leave(line)

    def finished(self, job: J, unused: int = 0) -> bool:
        """A running request ended, ``unused`` tokens before it had to. True if its adapter has none left."""
        line = self._lines[job.line]
        line.running -= 1
        line.tag -= unused
        self.running -= 1
        if line.running == 0:
            line.closed = False
            del self._open[line.name]
            if line.pending:
                line.waits_since = self._step
                self._offer(line)
        return self._leave(line)

    def overdue(self, now: float) -> Iterator[J]:
        """Waiting requests whose time is up. They stay until ``remove``."""
        while self._dues and self._dues[0][0] <= now:
            job = heappop(self._dues)[2]
            if job.id in self._waiting:
                yield job

    def stepped(self) -> None:
        """The engine made a step: close an adapter if another has waited too long for its slot."""
        self._step += 1
        holding = [line for line in self._open.values() if line.name]
        name = self._first(self._idle)
        if name is None or len(holding) < self._slots:
            for line in holding:
                line.closed = False
        elif self._step - max(self._granted, self._lines[name].waits_since) >= self._patience:
            ahead = [line for line in holding if not line.closed]
            if len(holding) - len(ahead) < max(1, self._slots // 4):
                max(ahead, key=lambda line: line.tag).closed = True

    def _score(self, line: _Line[J]) -> float:
        self._prune(line)
        return line.tag + HEAD_START * line.heap[0][0]

    def _offer(self, line: _Line[J]) -> None:
        """Put a line without a slot where it is looked for."""
        if not line.pending or line.running:
            return
        if not line.name:
            self._open[""] = line
        else:
            order = next(self._order)
            heappush(self._idle if line.ready else self._absent, (self._score(line), order, line.name))
            if line.ready:
                heappush(self._large, (-line.pending, order, line.name))

    def _first(self, heap: list[tuple[float, int, str]], *, by_size: bool = False) -> str | None:
        """The name on top once stale entries are gone."""
        while heap:
            key, _, name = heap[0]
            line = self._lines.get(name)
            if line is None or not line.pending or line.running or line.ready == (heap is self._absent):
                pass
            elif key == (-line.pending if by_size else self._score(line)):
                return name
            heappop(heap)
        return None

    def _pop(self, line: _Line[J]) -> J:
        self._prune(line)
        job = heappop(line.heap)[3]
        del self._waiting[job.id]
        line.pending -= 1
        self.backlog -= job.cost
        return job

    def _prune(self, line: _Line[J]) -> None:
        while line.heap[0][3].id not in self._waiting:
            heappop(line.heap)

    def _leave(self, line: _Line[J]) -> bool:
        if line.pending or line.running:
            return False
        self._open.pop(line.name, None)
        self._lines.pop(line.name, None)
        return True
