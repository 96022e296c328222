"""Calls of other agents from workers on Ray to the operator's process, which holds the purse, and the answers back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..agents import PeerAnswer
from ..errors import ExecutionError, OpenLedgerError
from ._operator import Job

__all__ = ["Relay", "RelayPeers"]

_TAKE = 5.0
"""Seconds after which a wait for calls begins anew."""
_GRACE = 30.0
"""Seconds beyond a call's own time after which its answer is given up."""


@dataclass(frozen=True)
class _Call:
    parent: str
    alias: str
    value: Any
    ordinal: int


class _Mail:
    """The Ray actor between workers and operator."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[tuple[int, _Call]] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[PeerAnswer | OpenLedgerError]] = {}
        self._next = 0

    async def ask(self, call: _Call) -> PeerAnswer | OpenLedgerError:
        number, self._next = self._next, self._next + 1
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((number, call))
        try:
            made: PeerAnswer | OpenLedgerError = await answer
            return made
        finally:
            del self._waiting[number]

    async def take(self, patience: float) -> tuple[int, _Call] | None:
        try:
            return await asyncio.wait_for(self._calls.get(), patience)
        except TimeoutError:
            return None

    async def answer(self, number: int, answer: PeerAnswer | OpenLedgerError) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)


class Relay:
    """The operator's end: carries out what workers ask for, ``most`` calls at once, until it is closed."""

    def __init__(self, call: Callable[[str, str, Any, int], PeerAnswer], most: int = 16) -> None:
        """``call`` as ``Purse.call``. Starts an actor on the running Ray."""
        import ray

        self._call = call
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="sub-action")
        # more than its calls at once: every worker's wait holds a place
        actor = ray.remote(_Mail).options(num_cpus=0, max_restarts=-1, max_concurrency=1000)
        self.mail: Any = actor.remote()
        self._closed = threading.Event()
        self._taking = threading.Thread(target=self._take, name="sub-actions", daemon=True)
        self._taking.start()

    def close(self) -> None:
        """End; calls under way are finished, and their actions, when they run again, find what was paid for."""
        import ray

        self._closed.set()
        if ray.is_initialized():
            ray.kill(self.mail)
        self._taking.join(2 * _TAKE)
        self._threads.shutdown(wait=True)

    def _take(self) -> None:
        import ray

        while not self._closed.is_set():
            try:
                taken = ray.get(self.mail.take.remote(_TAKE), timeout=2 * _TAKE)
            except ray.exceptions.RayError:
                self._closed.wait(0.5)  # it restarts, or is gone for good
                continue
            if taken is not None:
                self._threads.submit(self._carry_out, *taken)

    def _carry_out(self, number: int, call: _Call) -> None:
        answer: PeerAnswer | OpenLedgerError
        try:
            answer = self._call(call.parent, call.alias, call.value, call.ordinal)
        except OpenLedgerError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - the worker waits for an answer, whatever it is
            answer = ExecutionError(
                f"{call.alias!r} could not be called", why=type(error).__name__, code="peer"
            )
        self.mail.answer.remote(number, answer)


class RelayPeers:
    """``Peers`` of one job, in a worker."""

    def __init__(self, mail: Any, job: Job, timeout_of: Callable[[str], float]) -> None:
        self._mail, self._job, self._timeout_of = mail, job, timeout_of

    def call(self, alias: str, value: Any, ordinal: int) -> PeerAnswer:
        import ray

        call = _Call(self._job.payment_id, alias, value, ordinal)
        try:
            answer = ray.get(self._mail.ask.remote(call), timeout=self._timeout_of(alias) + _GRACE)
        except ray.exceptions.RayError as error:
            raise ExecutionError(
                f"{alias!r} could not be called",
                why=f"the operator is away: {type(error).__name__}",
                fix="what was paid is not paid again when the action runs again",
                code="peer",
            ) from None
        if isinstance(answer, OpenLedgerError):
            raise answer
        made: PeerAnswer = answer
        return made
