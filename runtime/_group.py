"""Group commit: what many threads ask for at once is done together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["GroupCommit"]

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 0.5
"""Seconds after which a request no longer waits for the group before it: where a block takes long, several are on their way."""


class GroupCommit(Generic[T, R]):
    """Calls ``do`` with whatever has come while it was busy, and gives each thread its own result. One that comes alone
    does not wait for others.

    The technique of databases' logs (DeWitt et al., SIGMOD 1984). ``do`` may run in two threads at once, after
    ``PATIENCE``; it gives for each request, in their order, its result or the exception that its thread raises. What
    ``do`` itself raises, all of them do.
    """

    def __init__(self, do: Callable[[list[T]], Sequence[R | Exception]], most: int = 128) -> None:
        """``most`` is how many are done at once."""
        self._do, self._most = do, most
        self._waiting: list[tuple[T, Future[R]]] = []
        self._lock, self._leading = threading.Lock(), threading.Lock()

    def __call__(self, request: T) -> R:
        answer: Future[R] = Future()
        with self._lock:
            self._waiting.append((request, answer))
        while not answer.done():
            leads = self._leading.acquire(timeout=PATIENCE)
            try:
                if answer.done():
                    break
                with self._lock:
                    group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if not group:  # mine is on its way, in a group that another thread took out of turn
                    break
                self._run(group)
            finally:
                if leads:
                    self._leading.release()
        return answer.result()

    def _run(self, group: list[tuple[T, Future[R]]]) -> None:
        try:
            done = self._do([request for request, _ in group])
        except BaseException as error:
            for _, answer in group:
                answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), result in zip(group, done, strict=True):
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
