"""The workers of one agent: which of them takes the next job, and how many there are.

Each is a Ray actor; Ray places it, restarts it when its process or its node is lost, and asks its own autoscaler for a
node when there is no room. What is decided here is what only the one caller of all workers knows: their loads. The
rule is Ray Serve's: as many as ``ongoing requests / target_ongoing_requests``, between a least and a most number, at
once upwards, after a delay downwards. They are no Serve deployment because of what a call costs: through Serve's
handle 4 times the CPU of an actor call, more than all of an action's accounting may take (docs/operator.md, Workers).
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ExecutionError, UserError

__all__ = ["Fleet", "Scaling", "Worker", "WorkerState"]

WorkerState = Literal["starting", "serving", "restarting", "draining"]

TICK = 0.1
"""Seconds between two looks at workers that are on their way up or down."""

REPORT = 5.0
"""Seconds between two reports of how many there are."""

PAUSE = (0.5, 30.0)
"""Seconds before a worker that cannot begin is tried again: at first, and at most."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many workers an agent has and what each may take. Names as in Ray Serve's ``autoscaling_config``, with
    workers for replicas."""

    min_workers: int = 1
    max_workers: int = 1
    target_ongoing_requests: float = 8.0
    """Jobs per worker, running or waiting, above which there are more workers."""
    max_ongoing_requests: int = 16
    """Jobs one worker runs at once; more wait."""
    downscale_delay_s: float = 60.0
    """Seconds with less to do before a worker is drained."""
    graceful_shutdown_timeout_s: float = 150.0
    """Seconds a drained worker has for the jobs it holds; what runs then is run again elsewhere."""
    num_cpus: float = 0.0
    """CPUs that Ray reserves for each worker."""
    spare_workers: int = 1
    """Workers kept ready for jobs that lost theirs, up to ``max_workers``; with 0 such a job waits for a new process."""
    memory: int = 0
    """Bytes that Ray reserves for each worker and that its jobs together may allocate; 0 sets no limit."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_workers <= self.max_workers:
            raise UserError(
                f"{self.min_workers} to {self.max_workers} workers were refused",
                fix="give 1 ≤ min_workers ≤ max_workers",
            )
        if self.target_ongoing_requests <= 0 or self.max_ongoing_requests < 1:
            raise UserError("a worker that may take no job was refused", fix="give targets above 0")

    def wanted(self, ongoing: int) -> int:
        """Workers for ``ongoing`` jobs."""
        wanted = math.ceil(ongoing / self.target_ongoing_requests)
        return min(max(wanted, self.min_workers), self.max_workers)


class Worker:
    """One actor as the fleet knows it."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.state: WorkerState = "starting"
        self.load = 0
        self.limit = 0.0
        """Seconds an action may take, as the agent declares."""
        self.until = math.inf
        """When a draining one is ended, by ``time.monotonic()``."""
        self.ready = handle.ready.remote()
        self.look_at = 0.0
        self.pause = PAUSE[0]


class Fleet:
    """Thread-safe. ``launch`` makes an actor; ``report`` is told how many workers are in which state, how many jobs they
    run and how many wait."""

    def __init__(
        self,
        scaling: Scaling,
        launch: Callable[[], Any],
        report: Callable[[Mapping[WorkerState, int], int, int], None],
    ) -> None:
        self._scaling, self._launch, self._report = scaling, launch, report
        self._workers = [Worker(launch()) for _ in range(scaling.min_workers)]
        self._waiting = 0
        self._closed = False
        self._surplus_since: float | None = None
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._refused = ""
        self._tending = threading.Thread(target=self._tend, name="fleet", daemon=True)
        self._tending.start()

    def ready(self, timeout: float) -> None:
        """Wait until one worker serves. Raises ``ExecutionError`` when none does, naming why, and is closed then."""
        ends = time.monotonic() + timeout
        with self._changed:
            while not self._serving() and not self._refused and time.monotonic() < ends:
                self._changed.wait(ends - time.monotonic())
            serving = self._serving()
        if not serving:
            self.close()
            raise ExecutionError(
                "no worker started",
                why=self._refused or f"none was ready in {timeout:g} s; the cluster may have no room",
                fix="correct the agent's file, or see `openledger cluster status`",
            )

    @property
    def workers(self) -> list[Worker]:
        """All but those that are being drained."""
        with self._changed:
            return [worker for worker in self._workers if worker.state != "draining"]

    @property
    def states(self) -> list[WorkerState]:
        with self._changed:
            return [worker.state for worker in self._workers]

    @contextmanager
    def lease(self, ends: float) -> Iterator[Worker]:
        """The least loaded worker that serves, for one job; waits for one until ``ends`` of ``time.monotonic()``. Raises
        ``ExecutionError`` then."""
        worker = self._take(ends)
        try:
            yield worker
        finally:
            with self._changed:
                worker.load -= 1
                self._changed.notify()
                self._moved()

    def _take(self, ends: float) -> Worker:
        with self._changed:
            self._waiting += 1
            try:
                self._moved()
                while True:
                    if self._closed:
                        raise ExecutionError("the workers were stopped", fix="deploy the agent again")
                    most = self._scaling.max_ongoing_requests
                    able = [worker for worker in self._serving() if worker.load < most]
                    if able:
                        best = min(able, key=lambda worker: worker.load)
                        best.load += 1
                        return best
                    if not self._changed.wait(ends - time.monotonic()) and time.monotonic() >= ends:
                        self._changed.notify()  # it may have been told of a place that another can take
                        raise ExecutionError(
                            "no worker could run the action",
                            why=self._refused or f"the workers are {', '.join(self._states()) or 'gone'}",
                            fix="see `openledger cluster status`; the action is kept and recover() runs it again",
                        )
            finally:
                self._waiting -= 1

    def lost(self, worker: Worker, *, stuck: bool = False) -> None:
        """A call to ``worker`` found it gone; with ``stuck`` it does not answer, and is ended. Ray starts it again."""
        import ray

        with self._changed:
            if stuck:
                ray.kill(worker.handle, no_restart=False)
            if worker.state == "serving":
                worker.state, worker.ready = "restarting", worker.handle.ready.remote()
        self._wake.set()

    def renew(self, worker: Worker) -> None:
        """Drain ``worker`` and start another: a job of its timed out, and what no longer counts may still run in it."""
        with self._changed:
            if worker.state == "serving" and not self._closed:
                self._workers.append(Worker(self._launch()))
                self._drain(worker)
        self._wake.set()

    def close(self) -> None:
        """End the workers; jobs they hold are lost."""
        import ray

        with self._changed:
            self._closed = True
            workers, self._workers = self._workers, []
            self._changed.notify_all()
        self._wake.set()
        if ray.is_initialized():
            for worker in workers:
                ray.kill(worker.handle)

    # How many there are

    def _tend(self) -> None:
        import ray

        while not self._closed and ray.is_initialized():
            self._wake.clear()
            patience = REPORT
            try:
                with self._changed:
                    self._look()
                    self._scale()
                    if any(state != "serving" for state in self._states()):
                        patience = TICK
                    elif self._surplus_since is not None:
                        patience = min(REPORT, self._scaling.downscale_delay_s / 4)
                    counts, waiting = Counter(self._states()), self._waiting
                    running = self._ongoing() - waiting
                self._report(counts, running, waiting)
            except Exception as error:  # noqa: BLE001 - of Ray, which may be on its way back: nobody else would look
                self._refused = str(error)
            self._wake.wait(patience)

    def _look(self) -> None:
        """See which workers have come up, cannot, or are done."""
        import ray

        now = time.monotonic()
        for worker in list(self._workers):
            if worker.state == "draining":
                if worker.load == 0 or now > worker.until:
                    ray.kill(worker.handle)
                    self._workers.remove(worker)
            elif worker.state != "serving" and now >= worker.look_at:
                self._look_at(worker, now)

    def _look_at(self, worker: Worker, now: float) -> None:
        import ray

        if not ray.wait([worker.ready], timeout=0)[0]:
            return
        try:
            worker.limit = ray.get(worker.ready)
        except ray.exceptions.ActorDiedError as error:  # it cannot be made, or was killed for good
            self._refused = str(error).strip().splitlines()[-1]
            self._workers.remove(worker)
            again = Worker(self._launch())
            again.pause = min(2 * worker.pause, PAUSE[1])
            again.look_at = now + worker.pause
            self._workers.append(again)
            self._changed.notify_all()
        except Exception:  # noqa: BLE001 - on its way back: ask again
            worker.ready, worker.look_at = worker.handle.ready.remote(), now + TICK
        else:
            worker.state, worker.pause, self._refused = "serving", PAUSE[0], ""
            self._changed.notify_all()

    def _scale(self) -> None:
        if self._closed:
            return
        staying = [worker for worker in self._workers if worker.state != "draining"]
        wanted = self._scaling.wanted(self._ongoing())
        for _ in range(wanted - len(staying)):
            self._workers.append(Worker(self._launch()))
        if wanted >= len(staying):
            self._surplus_since = None
        elif self._surplus_since is None:
            self._surplus_since = time.monotonic()
        elif time.monotonic() - self._surplus_since >= self._scaling.downscale_delay_s:
            self._surplus_since = None
            # First what does not serve, then what has least to finish.
            leaving = sorted(staying, key=lambda worker: (worker.state == "serving", worker.load))
            for worker in leaving[: len(staying) - wanted]:
                self._drain(worker)

    def _drain(self, worker: Worker) -> None:
        worker.state = "draining"
        worker.until = time.monotonic() + self._scaling.graceful_shutdown_timeout_s

    def _serving(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.state == "serving"]

    def _states(self) -> list[WorkerState]:
        return [worker.state for worker in self._workers]

    def _ongoing(self) -> int:
        return self._waiting + sum(worker.load for worker in self._workers)

    def _moved(self) -> None:
        """A job came or went: wake who decides, when there are now too few workers or too many, or one has finished."""
        staying = sum(worker.state != "draining" for worker in self._workers)
        wanted = self._scaling.wanted(self._ongoing())
        if wanted > staying or (wanted < staying) != (self._surplus_since is not None):
            self._wake.set()
