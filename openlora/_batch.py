"""What runs: takes requests in, brings their adapters, steps vLLM, hands out answers. All in the engine's thread."""

from __future__ import annotations

import copy
import time
from functools import partial
from typing import Any

from ..errors import EngineError, OpenLedgerError
from . import _params, _vllm
from ._jobs import DeadlineError, Job, Jobs, NotANumberError, overloaded
from ._memory import Memory
from ._schedule import Schedule
from ._types import AdapterRef, Timings

__all__ = ["Batch"]

RECHECK = 30.0
"""Seconds of waiting after which the registry is asked again before a request runs."""


class Batch:
    """Continuous batching over vLLM's in-process engine. Everything of vLLM, the schedule and the residents belong to
    one thread, and every method is called in it; counters may be read from any."""

    def __init__(self, llm: Any, jobs: Jobs, memory: Memory, schedule: Schedule[Job]) -> None:
        self._llm, self._jobs, self._memory, self._schedule = llm, jobs, memory, schedule
        self._running: dict[str, Job] = {}
        self._salt = 0
        self.requests = self.prompt_tokens = self.tokens = self.steps = 0
        self.busy = 0.0
        """Seconds inside vLLM's step."""

    @property
    def running(self) -> int:
        return self._schedule.running

    @property
    def waiting(self) -> int:
        """Requests that were taken in and have not begun."""
        return len(self._schedule)

    @property
    def wait(self) -> float:
        """Seconds until a request that came now would begin: what is asked for over what is served in a second, a
        guess until the first requests have ended."""
        known = self.busy > 1 and self.tokens
        return self._schedule.backlog / (self.tokens / self.busy if known else 1000.0)

    def step(self) -> None:
        """Let run what may, one step of vLLM."""
        for late in self._schedule.overdue(time.monotonic()):
            self._forget(late)
            why = "its deadline passed while it waited"
            self._jobs.settle(late, overloaded(why, self.wait, DeadlineError))
        self._load_some()
        while (job := self._schedule.next()) is not None:
            self._begin(job)
        if self._running:
            began = time.perf_counter()
            outputs = self._llm.step()
            self.busy += time.perf_counter() - began
            self.steps += 1
            for output in outputs:
                running = self._running.get(output.request_id)
                if running is None:
                    continue
                if running.progress is not None:
                    running.progress(output)
                if output.finished:
                    self._finish(running, output)
            self._schedule.stepped()

    # Requests

    def take(self, job: Job) -> None:
        if job.future.cancelled():
            self._jobs.drop(job)
            return
        job.steps = (self.steps, 0)
        here = not job.line or job.line in self._memory
        if here and job.line and job.line not in self._schedule:
            self._memory.hold(job.line)
        self._schedule.add(job, ready=here)

    def _begin(self, job: Job) -> None:
        if job.adapter is not None and time.monotonic() - job.checked > RECHECK:
            # A revocation must not wait for a long queue.
            self._ended(job, job.cost)
            self._memory.recheck(job.adapter, partial(self._rechecked, job))
            return
        try:
            lora = None
            if job.adapter is not None:
                lora = _params.lora_request(job.line, self._memory.residents[job.line].number)
                self._memory.name(job.adapter)
            prompt = {"prompt_token_ids": job.prompt, "cache_salt": str(self._salt)}
            self._llm.add_request(job.id, prompt, job.params, lora_request=lora)
        except Exception as error:  # noqa: BLE001 - vLLM refuses one request with any of a dozen classes
            refusal = EngineError("vLLM refused the request", why=_vllm.reason(error))
            refusal.__cause__ = error
            self._ended(job, job.cost)
            self._jobs.settle(job, refusal)
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
            self._jobs.settle(job, job.finish(output, job))
        except NotANumberError:
            self._clear()
            if job.again:
                self._jobs.settle(
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
                self.take(job)
        except Exception as error:  # noqa: BLE001 - one bad answer must not stop the others
            self._jobs.settle(job, error)

    def timings(self, job: Job) -> Timings:
        """Of a job that ends with this step."""
        return Timings(
            job.started - job.submitted,
            time.perf_counter() - job.started,
            job.steps[1] - job.steps[0],
            self.steps - job.steps[1],
        )

    def drop(self, job: Job) -> None:
        """It was cancelled."""
        self._jobs.drop(job)
        if self._running.pop(job.id, None) is not None:
            self._llm.abort_request([job.id])
            self._ended(job)
            self._clear()
        else:
            self._forget(job)

    def _ended(self, job: Job, unused: int = 0) -> None:
        if self._schedule.finished(job, unused):
            self._memory.release(job.line)

    def _forget(self, job: Job) -> None:
        if self._schedule.remove(job):
            self._memory.release(job.line)

    def _rechecked(self, job: Job, refusal: Exception | None) -> None:
        if refusal is not None:
            self._jobs.settle(job, refusal)
        else:
            job.checked = time.monotonic()
            self.take(job)

    def _clear(self) -> None:
        """Clean the KV cache after NaN. vLLM masks what lies in a reused block by multiplying with 0, and
        0 · NaN is NaN: without this, one adapter that overflows spoils everyone's later requests. Runs
        between two steps, so before a freed block can be given away. The salt retires cached prefixes."""
        _vllm.clear_not_a_number(self._llm)
        self._salt += 1

    # Adapters

    def _load_some(self) -> None:
        while self._memory.room and (cid := self._schedule.absent()) is not None:
            adapter = self._schedule.jobs(cid)[0].adapter
            assert adapter is not None
            self._memory.load(adapter, self.arrived)

    def arrived(self, adapter: AdapterRef, error: OpenLedgerError | None) -> None:
        if error is None:
            if adapter.cid in self._schedule:
                self._memory.hold(adapter.cid)
                self._schedule.ready(adapter.cid)
            return
        self.refuse(adapter, error)
        self._schedule.retry(adapter.cid)

    def refuse(self, adapter: AdapterRef, error: OpenLedgerError) -> None:
        """End what waits for an adapter. Another asset may name the same files and still be in force."""
        for job in self._schedule.jobs(adapter.cid):
            if job.adapter == adapter:
                self._forget(job)
                self._jobs.settle(job, copy.copy(error))
