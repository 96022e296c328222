"""The thread that owns vLLM's in-process engine: takes requests, steps, hands out answers."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Any, TypeVar

from ..errors import EngineError, OpenLedgerError
from . import _vllm
from ._batch import Batch
from ._jobs import Answer, Job, Jobs, closed, timed_out
from ._memory import AdapterSource, Memory
from ._peft import Limits
from ._schedule import Schedule
from ._types import AdapterRef, AssetRef, Queue, Tiers

__all__ = ["Loop"]

T = TypeVar("T")


class Loop:
    """Continuous batching for callers in any thread. The constructor returns once the engine serves.

    Everything of vLLM, the schedule and the residents belong to one thread; others put requests and closures into
    its inbox. Adapters are fetched and read in threads beside it, one load for all requests of an adapter.
    """

    def __init__(
        self,
        base: str,
        arguments: dict[str, Any],
        *,
        base_asset: AssetRef | None,
        source: AdapterSource | None,
        tiers: Tiers,
        queueing: Queue,
    ) -> None:
        self._base, self.jobs = base, Jobs(queueing)
        self._inbox: queue.SimpleQueue[Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._ids = itertools.count()
        self._closed = False
        ready: Future[_vllm.Facts] = Future()
        self._thread = threading.Thread(
            target=self._run,
            args=(arguments, base_asset, source, tiers, ready),
            name="openlora-engine",
            daemon=True,
        )
        self._thread.start()
        self.facts = ready.result()
        for adapter in tiers.pinned:
            self.preload(adapter)

    @property
    def dead(self) -> bool:
        return self.jobs.death is not None

    @property
    def unfinished(self) -> int:
        """Requests that wait or run."""
        return len(self.jobs)

    def submit(
        self,
        prompt: list[int],
        params: Any,
        adapter: AdapterRef | None,
        finish: Callable[[Any, Job], T],
        *,
        priority: int = 0,
        deadline: float | None = None,
        progress: Callable[[Any], None] | None = None,
    ) -> Answer[T]:
        """Queue a request; ``finish`` turns vLLM's output into the answer, in the loop's thread."""
        if adapter is not None:
            self.memory.check(adapter)
        job = Job(
            prompt, params, adapter, finish, str(next(self._ids)), len(prompt) + params.max_tokens, priority
        )
        job.progress = progress
        if deadline is not None:
            job.due = time.monotonic() + deadline
        job.future.add_done_callback(partial(self._cancelled, job))
        if self._closed:
            raise closed()
        places, wait = self.facts.max_num_seqs, self.batch.wait
        self.jobs.admit(job, self._inbox.put, places=places, wait=wait, deadline=deadline)
        return job.future

    def preload(self, adapter: AdapterRef) -> Future[None]:
        """Bring an adapter into memory; it takes no slot."""
        self.memory.check(adapter)
        answer: Future[None] = Future()
        self._inbox.put(partial(self.memory.preload, adapter, answer, self.batch.arrived))
        return answer

    def wait(self, answer: Answer[T], timeout: float) -> T:
        """The answer, or ``EngineError`` after ``timeout`` seconds; the request is then dropped."""
        try:
            return answer.result(timeout)
        except FutureTimeout:
            answer.cancel()
            raise timed_out(timeout) from None

    def close(self) -> None:
        """Stop the threads and fail whatever still waits."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
            self._thread.join(timeout=30)

    # In the thread

    def _run(
        self,
        arguments: dict[str, Any],
        base_asset: AssetRef | None,
        source: AdapterSource | None,
        tiers: Tiers,
        ready: Future[_vllm.Facts],
    ) -> None:
        try:
            started = _vllm.start(self._base, arguments, tiers.slot_bytes)
        except OpenLedgerError as error:
            self.jobs.death = EngineError(str(error))
            ready.set_exception(error)
            return
        except BaseException as error:  # noqa: BLE001 - vLLM also ends a failed start by SystemExit
            self.jobs.death = EngineError("vLLM did not start", why=_vllm.reason(error), fix=_vllm.START_FIX)
            self.jobs.death.__cause__ = error
            ready.set_exception(self.jobs.death)
            return
        facts = started.facts
        limits = Limits(base_asset, facts.max_lora_rank, facts.lora_modules, facts.layers)
        self.memory = Memory(
            source,
            limits,
            started.cache,
            tiers,
            self._inbox.put,
            lambda *refused: self.batch.refuse(*refused),
        )
        schedule: Schedule[Job] = Schedule(facts.max_loras, facts.max_num_seqs, self.jobs.queueing.patience)
        self.batch = Batch(started.llm, self.jobs, self.memory, schedule)
        ready.set_result(facts)
        try:
            while self._serve():
                pass
            self._die(closed())
        except BaseException as error:  # noqa: BLE001 - every caller must learn of it
            death = EngineError(
                "The engine failed and cannot go on",
                why=_vllm.reason(error),
                fix="start a new engine and retry",
            )
            death.__cause__ = error
            self._die(death)

    def _serve(self) -> bool:
        """Take what came in, let run what may, one step. False once closed."""
        while True:
            try:
                # Waiting requests alone may await a load, which reports here, or their deadline.
                item = self._inbox.get(
                    block=not self.batch.running, timeout=0.05 if self.batch.waiting else None
                )
            except queue.Empty:
                break
            if item is None:
                return False
            if isinstance(item, Job):
                self.batch.take(item)
            else:
                item()
            if self._inbox.empty():
                break
        self.batch.step()
        return True

    def _cancelled(self, job: Job, answer: Future[Any]) -> None:
        """Called in whatever thread ended the future."""
        if answer.cancelled():
            self._inbox.put(partial(self.batch.drop, job))

    def _die(self, death: EngineError) -> None:
        self.jobs.die(death)
        self.memory.close(death)
