"""The thread that owns vLLM's in-process engine: admits requests, steps, hands out answers."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..errors import EngineError, OpenLedgerError, UserError
from . import _vllm
from ._types import AdapterRef, Timings

__all__ = ["Answer", "Job", "Loop", "NotANumberError"]

T = TypeVar("T")


class NotANumberError(Exception):
    """The logits of a request hold NaN. Raised by a job's ``finish``."""


class Answer(Future[T]):
    """A future that knows its request."""

    job: str


@dataclass(slots=True)
class Job:
    """One request to vLLM and what to make of its output."""

    prompt: list[int]
    params: Any
    adapter: AdapterRef | None
    directory: Path | None
    finish: Callable[[Any, Job], Any]
    id: str
    future: Answer[Any] = field(default_factory=Answer)
    submitted: float = field(default_factory=time.perf_counter)
    started: float = 0.0
    again: bool = False

    def timings(self) -> Timings:
        return Timings(self.started - self.submitted, time.perf_counter() - self.started)


class Loop:
    """Continuous batching for callers in any thread.

    At most ``max_loras`` adapters are in flight at once, and a request that has waited ``patience``
    seconds for a slot lets nothing younger pass: first come, first served by free slot alone would keep a
    cold adapter out for as long as hot ones have work, and vLLM's own scheduler has no ageing either.

    The constructor returns once the engine serves; errors as ``Engine``.
    """

    def __init__(self, base: str, arguments: dict[str, Any], patience: float) -> None:
        self._base, self._patience = base, patience
        self._inbox: queue.SimpleQueue[Job | str | None] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._running: dict[str, Job] = {}
        self._ids = itertools.count()
        self._salt = 0
        self._lock = threading.Lock()
        self._death: EngineError | None = None
        self._closed = False
        self.adapters: dict[str, int] = {}
        """vLLM's number of each adapter that was loaded, by CID."""
        self.requests = self.prompt_tokens = 0
        self.busy = 0.0
        """Seconds inside vLLM's step."""
        ready: Future[_vllm.Facts] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(arguments, ready), name="openlora-engine", daemon=True
        )
        self._thread.start()
        self.facts = ready.result()

    @property
    def dead(self) -> bool:
        return self._death is not None

    def submit(
        self,
        prompt: list[int],
        params: Any,
        adapter: AdapterRef | None,
        directory: Path | None,
        finish: Callable[[Any, Job], T],
    ) -> Answer[T]:
        """Queue a request; ``finish`` turns vLLM's output into the answer, in the loop's thread."""
        job = Job(prompt, params, adapter, directory, finish, str(next(self._ids)))
        job.future.job = job.id
        with self._lock:
            if self._death is not None:
                raise self._death
            if self._closed:
                raise _closed()
            self._inbox.put(job)
        return job.future

    def wait(self, answer: Answer[T], timeout: float) -> T:
        """The answer, or ``EngineError`` after ``timeout`` seconds; the request is then dropped."""
        try:
            return answer.result(timeout)
        except FutureTimeout:
            self._inbox.put(answer.job)
            raise EngineError(
                f"The engine gave no answer in {timeout:g} seconds",
                why="it is overloaded or stuck",
                fix="retry, ask for fewer tokens, or raise the timeout",
            ) from None

    def close(self) -> None:
        """Stop the thread and fail whatever still waits."""
        if not self._closed:
            self._closed = True
            self._inbox.put(None)
            self._thread.join(timeout=30)

    # In the thread

    def _run(self, arguments: dict[str, Any], ready: Future[_vllm.Facts]) -> None:
        try:
            llm, facts = _vllm.start(self._base, arguments)
        except OpenLedgerError as error:
            self._death = EngineError(str(error))
            ready.set_exception(error)
            return
        except BaseException as error:  # noqa: BLE001 - vLLM also ends a failed start by SystemExit
            self._death = EngineError("vLLM did not start", why=_vllm.reason(error), fix=_vllm.START_FIX)
            self._death.__cause__ = error
            ready.set_exception(self._death)
            return
        self._slots = facts.max_loras
        ready.set_result(facts)
        try:
            while self._serve(llm):
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

    def _serve(self, llm: Any) -> bool:
        """Take what came in, admit what may run, one step. False once closed."""
        while True:
            try:
                item = self._inbox.get(block=not (self._running or self._waiting))
            except queue.Empty:
                break
            if item is None:
                return False
            if isinstance(item, Job):
                self._waiting.append(item)
            else:
                self._drop(llm, item)
        self._admit(llm)
        if self._running:
            began = time.perf_counter()
            outputs = llm.step()
            self.busy += time.perf_counter() - began
            for output in outputs:
                job = self._running.pop(output.request_id, None) if output.finished else None
                if job is not None:
                    self._finish(llm, job, output)
        return True

    def _drop(self, llm: Any, job_id: str) -> None:
        if self._running.pop(job_id, None) is not None:
            llm.abort_request([job_id])
            self._clear(llm)
        self._waiting = deque(job for job in self._waiting if job.id != job_id)

    def _admit(self, llm: Any) -> None:
        active = {job.adapter.cid for job in self._running.values() if job.adapter}
        left: deque[Job] = deque()
        while self._waiting:
            job = self._waiting.popleft()
            cid = job.adapter.cid if job.adapter else None
            if cid is not None and cid not in active and len(active) >= self._slots:
                left.append(job)
                if time.perf_counter() - job.submitted > self._patience:
                    break
            elif self._add(llm, job) and cid is not None:
                active.add(cid)
        left.extend(self._waiting)
        self._waiting = left

    def _add(self, llm: Any, job: Job) -> bool:
        try:
            lora = self._lora(llm, job.adapter, job.directory) if job.adapter and job.directory else None
            prompt = {"prompt_token_ids": job.prompt, "cache_salt": str(self._salt)}
            llm.add_request(job.id, prompt, job.params, lora_request=lora)
        except Exception as error:  # noqa: BLE001 - vLLM refuses one request with any of a dozen classes
            refusal = error
            if not isinstance(error, OpenLedgerError):
                refusal = EngineError("vLLM refused the request", why=_vllm.reason(error))
                refusal.__cause__ = error
            job.future.set_exception(refusal)
            return False
        job.started = time.perf_counter()
        self._running[job.id] = job
        self.requests += 1
        self.prompt_tokens += len(job.prompt)
        return True

    def _lora(self, llm: Any, adapter: AdapterRef, directory: Path) -> Any:
        """The adapter as vLLM names it. Its first load happens here, where a failure costs one request;
        inside a step it would end the engine."""
        known = self.adapters.get(adapter.cid)
        request = _vllm.lora_request(adapter.cid, known or len(self.adapters) + 1, directory)
        # Only when it is absent: vLLM's add_lora always takes a slot, and may evict a hot adapter from it.
        if known is None or known not in llm.list_loras():
            try:
                llm.add_lora(request)
            except Exception as error:
                raise UserError(
                    f"Adapter {adapter.asset_id} was refused",
                    why=f"vLLM cannot load {adapter.cid}: {_vllm.reason(error)}",
                    fix="check that it was trained on this base model",
                ) from error
            self.adapters[adapter.cid] = request.lora_int_id
        return request

    def _finish(self, llm: Any, job: Job, output: Any) -> None:
        try:
            job.future.set_result(job.finish(output, job))
        except NotANumberError:
            self._clear(llm)
            if job.again:
                job.future.set_exception(
                    EngineError(
                        "The model's output is not a number",
                        why="the base model's or the adapter's weights overflow",
                        fix="use another adapter, or a wider dtype",
                    )
                )
            else:
                # It may be a victim of another's leavings in a block of the cache.
                job.again = True
                self._waiting.append(job)
        except Exception as error:  # noqa: BLE001 - one bad answer must not stop the others
            job.future.set_exception(error)

    def _clear(self, llm: Any) -> None:
        """Clean the KV cache after NaN. vLLM masks what lies in a reused block by multiplying with 0, and
        0 · NaN is NaN: without this, one adapter that overflows spoils everyone's later requests. Runs
        between two steps, so before a freed block can be given away. The salt retires cached prefixes."""
        _vllm.clear_not_a_number(llm)
        self._salt += 1

    def _die(self, death: EngineError) -> None:
        with self._lock:
            self._death = death
        jobs = [*self._running.values(), *self._waiting]
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
            if isinstance(item, Job):
                jobs.append(item)
        for job in jobs:
            job.future.set_exception(death)


def _closed() -> EngineError:
    return EngineError("This engine was closed", fix="start a new one")
