"""The thread that owns vLLM's in-process engine: takes requests, steps, hands out answers."""

from __future__ import annotations

import copy
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ..errors import EngineError, OpenLedgerError, OverloadedError
from . import _vllm
from ._adapters import Limits
from ._memory import AdapterSource, Memory
from ._schedule import Schedule
from ._types import AdapterRef, AssetRef, Queue, Tiers, Timings

__all__ = ["Answer", "Job", "Loop", "NotANumberError", "timed_out"]

T = TypeVar("T")

RECHECK = 30.0
"""Seconds of waiting after which the registry is asked again before a request runs."""


class NotANumberError(Exception):
    """The logits of a request hold NaN. Raised by a job's ``finish``."""


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
        self._base, self._queue = base, queueing
        self._inbox: queue.SimpleQueue[Job | Callable[[], None] | None] = queue.SimpleQueue()
        self._jobs: dict[str, Job] = {}
        self._counts: Counter[str] = Counter()  # of them, by adapter
        self._ids = itertools.count()
        self._salt = 0
        self._lock = threading.Lock()
        self._death: EngineError | None = None
        self._closed = False
        self.requests = self.prompt_tokens = self.tokens = self.steps = 0
        self.busy = 0.0
        """Seconds inside vLLM's step."""
        self._running: dict[str, Job] = {}
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
        return self._death is not None

    @property
    def unfinished(self) -> int:
        """Requests that wait or run."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        return self._schedule.running

    def submit(
        self,
        prompt: list[int],
        params: Any,
        adapter: AdapterRef | None,
        finish: Callable[[Any, Job], T],
        *,
        priority: int = 0,
        deadline: float | None = None,
    ) -> Answer[T]:
        """Queue a request; ``finish`` turns vLLM's output into the answer, in the loop's thread."""
        if adapter is not None:
            self.memory.check(adapter)
        job = Job(
            prompt, params, adapter, finish, str(next(self._ids)), len(prompt) + params.max_tokens, priority
        )
        if deadline is not None:
            job.due = time.monotonic() + deadline
        job.future.add_done_callback(partial(self._cancelled, job))
        with self._lock:
            if self._death is not None:
                raise self._death
            if self._closed:
                raise _closed()
            wait = self._schedule.backlog / self.rate
            most, places = self._queue.max_waiting, self.facts.max_num_seqs
            if len(self._jobs) >= most + places:
                raise _overloaded(f"{len(self._jobs)} requests are under way", wait)
            if self._counts[job.line] >= most // 2 + places:
                raise _overloaded(f"{self._counts[job.line]} requests of this adapter are under way", wait)
            if deadline is not None and wait > deadline:
                raise _overloaded(
                    f"a request waits for {wait:.1f} s, this one for at most {deadline:g} s", wait
                )
            self._jobs[job.id] = job
            self._counts[job.line] += 1
            self._inbox.put(job)
        return job.future

    def preload(self, adapter: AdapterRef) -> Future[None]:
        """Bring an adapter into memory; it takes no slot."""
        self.memory.check(adapter)
        answer: Future[None] = Future()
        self._inbox.put(partial(self.memory.preload, adapter, answer, self._arrived))
        return answer

    @property
    def rate(self) -> float:
        """Tokens of prompt and output that are served in a second; what one job asks for, at first."""
        return self.tokens / self.busy if self.busy > 1 else 1000.0

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
            self._death = EngineError(str(error))
            ready.set_exception(error)
            return
        except BaseException as error:  # noqa: BLE001 - vLLM also ends a failed start by SystemExit
            self._death = EngineError("vLLM did not start", why=_vllm.reason(error), fix=_vllm.START_FIX)
            self._death.__cause__ = error
            ready.set_exception(self._death)
            return
        facts, self._llm = started.facts, started.llm
        limits = Limits(base_asset, facts.max_lora_rank, facts.lora_modules, facts.layers)
        self.memory = Memory(source, limits, started.cache, tiers, self._inbox.put)
        self._schedule: Schedule[Job] = Schedule(facts.max_loras, facts.max_num_seqs, self._queue.patience)
        ready.set_result(facts)
        try:
            while self._serve():
                pass
            self._die(_closed())
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
                item = self._inbox.get(block=not self._running, timeout=0.05 if len(self._schedule) else None)
            except queue.Empty:
                break
            if item is None:
                return False
            if isinstance(item, Job):
                self._take(item)
            else:
                item()
            if self._inbox.empty():
                break
        for late in self._schedule.overdue(time.monotonic()):
            self._forget(late)
            self._settle(
                late, _overloaded("its deadline passed while it waited", self._schedule.backlog / self.rate)
            )
        self._load_some()
        while (job := self._schedule.next()) is not None:
            self._begin(job)
        if self._running:
            began = time.perf_counter()
            outputs = self._llm.step()
            self.busy += time.perf_counter() - began
            self.steps += 1
            for output in outputs:
                done = self._running.get(output.request_id) if output.finished else None
                if done is not None:
                    self._finish(done, output)
            self._schedule.stepped()
        return True

    # Requests

    def _take(self, job: Job) -> None:
        if job.future.cancelled():
            self._gone(job)
            return
        job.steps = (self.steps, 0)
        here = not job.line or job.line in self.memory
        if here and job.line and job.line not in self._schedule:
            self.memory.hold(job.line)
        self._schedule.add(job, ready=here)

    def _begin(self, job: Job) -> None:
        if job.adapter is not None and time.monotonic() - job.checked > RECHECK:
            # A revocation must not wait for a long queue.
            self._ended(job, job.cost)
            self.memory.recheck(job.adapter, partial(self._rechecked, job))
            return
        try:
            lora = None
            if job.adapter is not None:
                lora = _vllm.lora_request(job.line, self.memory.residents[job.line].number)
            prompt = {"prompt_token_ids": job.prompt, "cache_salt": str(self._salt)}
            self._llm.add_request(job.id, prompt, job.params, lora_request=lora)
        except Exception as error:  # noqa: BLE001 - vLLM refuses one request with any of a dozen classes
            refusal = EngineError("vLLM refused the request", why=_vllm.reason(error))
            refusal.__cause__ = error
            self._ended(job, job.cost)
            self._settle(job, refusal)
            return
        job.started, job.steps = time.perf_counter(), (job.steps[0], self.steps)
        self._running[job.id] = job
        self.requests += 1
        self.prompt_tokens += len(job.prompt)

    def _finish(self, job: Job, output: Any) -> None:
        del self._running[job.id]
        used = len(job.prompt) + len(output.outputs[0].token_ids)
        self.tokens += used
        self._ended(job, job.cost - used)
        try:
            self._settle(job, job.finish(output, job))
        except NotANumberError:
            self._clear()
            if job.again:
                self._settle(
                    job,
                    EngineError(
                        "The model's output is not a number",
                        why="the base model's or the adapter's weights overflow",
                        fix="use another adapter, or a wider dtype",
                    ),
                )
            else:
                # It may be a victim of another's leavings in a block of the cache.
                job.again = True
                self._take(job)
        except Exception as error:  # noqa: BLE001 - one bad answer must not stop the others
            self._settle(job, error)

    def timings(self, job: Job) -> Timings:
        """Of a job that ends with this step."""
        return Timings(
            job.started - job.submitted,
            time.perf_counter() - job.started,
            job.steps[1] - job.steps[0],
            self.steps - job.steps[1],
        )

    def _cancelled(self, job: Job, answer: Future[Any]) -> None:
        """Called in whatever thread ended the future."""
        if answer.cancelled():
            self._inbox.put(partial(self._drop, job))

    def _drop(self, job: Job) -> None:
        """It was cancelled."""
        self._gone(job)
        if self._running.pop(job.id, None) is not None:
            self._llm.abort_request([job.id])
            self._ended(job)
            self._clear()
        else:
            self._forget(job)

    def _gone(self, job: Job) -> None:
        with self._lock:
            if self._jobs.pop(job.id, None) is not None:
                self._counts[job.line] -= 1
                if not self._counts[job.line]:
                    del self._counts[job.line]

    def _settle(self, job: Job, outcome: Any) -> None:
        self._gone(job)
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, Exception):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)

    def _ended(self, job: Job, unused: int = 0) -> None:
        if self._schedule.finished(job, unused):
            self.memory.release(job.line)

    def _forget(self, job: Job) -> None:
        if self._schedule.remove(job):
            self.memory.release(job.line)

    def _rechecked(self, job: Job, refusal: Exception | None) -> None:
        if refusal is not None:
            self._settle(job, refusal)
        else:
            job.checked = time.monotonic()
            self._take(job)

    def _clear(self) -> None:
        """Clean the KV cache after NaN. vLLM masks what lies in a reused block by multiplying with 0, and
        0 · NaN is NaN: without this, one adapter that overflows spoils everyone's later requests. Runs
        between two steps, so before a freed block can be given away. The salt retires cached prefixes."""
        _vllm.clear_not_a_number(self._llm)
        self._salt += 1

    # Adapters

    def _load_some(self) -> None:
        while self.memory.room and (cid := self._schedule.absent()) is not None:
            adapter = self._schedule.jobs(cid)[0].adapter
            assert adapter is not None
            self.memory.load(adapter, self._arrived)

    def _arrived(self, adapter: AdapterRef, error: OpenLedgerError | None) -> None:
        if error is None:
            if adapter.cid in self._schedule:
                self.memory.hold(adapter.cid)
                self._schedule.ready(adapter.cid)
            return
        # Another asset may name the same files and still be in force.
        for job in self._schedule.jobs(adapter.cid):
            if job.adapter == adapter:
                self._forget(job)
                self._settle(job, copy.copy(error))
        self._schedule.retry(adapter.cid)

    def _die(self, death: EngineError) -> None:
        with self._lock:
            self._death = death
        for job in list(self._jobs.values()):
            self._settle(job, death)
        self.memory.close(death)


def timed_out(timeout: float) -> EngineError:
    return EngineError(
        f"The engine gave no answer in {timeout:g} seconds",
        why="it is overloaded or stuck",
        fix="retry, ask for fewer tokens, or raise the timeout",
    )


def _closed() -> EngineError:
    return EngineError("This engine was closed", fix="start a new one")


def _overloaded(why: str, wait: float) -> OverloadedError:
    seconds = max(1.0, round(wait, 1))
    return OverloadedError(
        "The engine has more to do than it can",
        why=why,
        fix=f"ask again in {seconds:g} seconds, or add replicas",
        retry_after=seconds,
    )
