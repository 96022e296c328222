"""Workers for one job at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ExecutionError

__all__ = ["Solitary"]


class Solitary:
    """Workers that run one job at a time, for jobs that were lost with a worker they shared: whatever ends one of these was
    the job in it. ``most`` at once, of which ``spares`` are kept ready while nobody needs one: a new process takes seconds."""

    def __init__(self, launch: Callable[[], Any], most: int, spares: int = 0) -> None:
        self._launch, self._places = launch, threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._users, self._spares = 0, min(spares, most)
        self._idle: list[Any] = []
        self._closed = False

    def prepare(self) -> None:
        """Start what is missing of the spares."""
        with self._lock:
            while not self._closed and len(self._idle) < self._spares:
                self._idle.append(self._launch())

    @contextmanager
    def lease(self, timeout: float) -> Iterator[Any]:
        """An actor for one job; one that is not given back whole is ended. Raises ``ExecutionError`` after ``timeout``
        seconds without one."""
        with self._lock:
            self._users += 1
        try:
            if not self._places.acquire(timeout=timeout):
                raise ExecutionError(
                    "no worker could run the action",
                    why="others that lost their worker are run first",
                    fix="the action is kept and recover() runs it again",
                )
            try:
                with self._lock:
                    worker = self._idle.pop(0) if self._idle else None
                worker = worker if worker is not None else self._launch()
                try:
                    yield worker
                except BaseException:
                    self._end(worker)
                    raise
                with self._lock:
                    self._idle.insert(0, worker)
            finally:
                self._places.release()
        finally:
            with self._lock:
                self._users -= 1
                keep = 0 if self._closed else len(self._idle) if self._users else self._spares
                ended, self._idle = self._idle[keep:], self._idle[:keep]
            for worker in ended:
                self._end(worker)
            self.prepare()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            ended, self._idle = self._idle, []
        for worker in ended:
            self._end(worker)

    @staticmethod
    def _end(worker: Any) -> None:
        import ray

        if ray.is_initialized():
            ray.kill(worker)
