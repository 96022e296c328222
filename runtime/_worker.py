"""Agents as Ray actors: each worker holds one agent's graph and executes jobs on the shared pool."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..agents import Agent, HFCodec, Models, Outcome, Peers, abandoned, execute, load_agent
from ..errors import ExecutionError, OpenLedgerError
from ..openlora import NAMESPACE, AdapterRef, Generator
from ..registry import Status, step_seed
from ..telemetry import carrier, continued, environment, start
from ._fleet import Fleet, Scaling, WorkerState
from ._metrics import AgentMetrics
from ._operator import Job
from ._relay import Relay, RelayPeers
from ._solitary import Solitary

if TYPE_CHECKING:
    from ._purse import Purse

__all__ = ["LocalRunner", "RayRunner", "run_job"]

GRACE = 30.0
"""Seconds beyond its timeout after which an action is taken for stuck, and its worker is ended."""


async def run_job(agent: Agent, graph: Any, models: Models, job: Job, peers: Peers | None = None) -> Outcome:
    """Execute ``job``; the seed of step s follows from the client's signature and the request."""
    value = job.value
    if job.resume:
        from langgraph.types import Command

        value = Command(resume=value)
    return await execute(
        agent,
        graph,
        value,
        models=models,
        seed=lambda step: step_seed(job.signature, job.request_hash, step),
        thread_id=job.thread,
        peers=peers,
    )


class LocalRunner:
    """Runs jobs in this process; for ``openledger run`` and for graphs that are tried out."""

    def __init__(self, agent: Agent, models: Models, purse: Purse | None = None) -> None:
        """With ``purse`` its actions may call other agents."""
        self._agent, self._models, self._graph = agent, models, agent.graph()
        self._purse = purse

    def run(self, job: Job) -> Outcome:
        peers = None if self._purse is None else self._purse.of(job)
        return asyncio.run(run_job(self._agent, self._graph, self._models, job, peers))


class _Worker:
    """The actor. ``agent`` is ``FILE:NAME`` or the agent itself; loaded again after a restart."""

    def __init__(
        self,
        agent: Agent | str,
        generator: Generator | None,
        base: str,
        adapters: Mapping[str, AdapterRef],
        concurrency: int,
        memory: int,
        tracing: Mapping[str, str],
        mail: Any = None,
    ) -> None:
        start(tracing)
        # Synchronous nodes wait in threads for the pool; asyncio's few default threads would be the limit.
        self._threads = ThreadPoolExecutor(2 * concurrency, thread_name_prefix="node")
        self._agent = load_agent(agent) if isinstance(agent, str) else agent
        self._models = Models() if generator is None else Models(generator, HFCodec(base), dict(adapters))
        self._graph = self._agent.graph()
        self._mail = mail
        if memory:
            _limit_memory(memory)

    async def ready(self) -> float:
        """Seconds an action may take."""
        return self._agent.timeout

    async def run(self, job: Job, trace: Mapping[str, str]) -> Outcome:
        asyncio.get_running_loop().set_default_executor(self._threads)
        peers = None if self._mail is None else RelayPeers(self._mail, job, self._patience)
        with continued(trace):
            return await run_job(self._agent, self._graph, self._models, job, peers)

    def _patience(self, alias: str) -> float:
        peer = self._agent.uses.get(alias)
        return 0.0 if peer is None else peer.timeout

    def pid(self) -> int:
        return os.getpid()


def _limit_memory(more: int) -> None:
    """Let this process allocate no more than ``more`` bytes beyond what it has: what asks for them gets a ``MemoryError``,
    where without a limit the kernel or Ray would kill a process of its own choice. Needs Linux 4.7."""
    import resource

    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit = int(status["VmData"].split()[0]) * 1024 + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


class _Lost(Exception):
    """The worker ended under the job, or with ``stuck`` stopped answering; with ``back`` Ray is starting it again."""

    def __init__(self, why: str, *, stuck: bool = False, back: bool = False) -> None:
        super().__init__(why)
        self.stuck, self.back = stuck, back


class RayRunner:
    """Workers for one agent on Ray, as many as its jobs need, the least loaded of them for each job.

    A job whose worker is lost is run again: the seed follows from the payment, so the second run gives the same
    output, and nothing was recorded for the first. It is run in a worker for itself alone, where it can take nobody with
    it. A job that ends that one, too, ``ALONE`` times, is what ends them: its action fails.
    """

    ALONE = 2

    def __init__(
        self,
        agent: Agent | str,
        generator: Generator | None,
        base: str,
        adapters: Mapping[str, AdapterRef],
        *,
        scaling: Scaling | None = None,
        timeout: float = 300.0,
        purse: Purse | None = None,
        wait: bool = True,
    ) -> None:
        """Without a ``generator`` the graph can call no model, and without a ``purse``, which is closed with this, no other
        agent. ``timeout`` is seconds a job may wait for a worker; how
        long it may run, the agent declares. Raises ``ExecutionError`` when no worker comes up; without ``wait`` that is for
        ``ready`` to do."""
        import ray

        scaling = scaling or Scaling()
        name = agent.rpartition(":")[2] if isinstance(agent, str) else agent.name
        self._purse, self._relay = purse, None if purse is None else Relay(purse.call)
        mail = None if self._relay is None else self._relay.mail

        def launch(alone: bool = False) -> Any:
            # One that is alone for a job reserves nothing: where a node was lost there may be no room for another.
            concurrency = 1 if alone else scaling.max_ongoing_requests
            actor = ray.remote(_Worker).options(
                name=f"worker/{name}/{uuid4().hex[:8]}",
                namespace=NAMESPACE,
                num_cpus=0 if alone else scaling.num_cpus,
                memory=None if alone else scaling.memory or None,
                max_restarts=-1,
                max_task_retries=0,  # lost jobs are run again here, on another worker
                max_concurrency=concurrency,
                scheduling_strategy="SPREAD",
            )
            return actor.remote(
                agent, generator, base, adapters, concurrency, scaling.memory, environment(), mail
            )

        self._timeout, self._limited = timeout, scaling.memory > 0
        self._metrics = AgentMetrics(name)
        self._solitary = Solitary(partial(launch, alone=True), scaling.max_workers, scaling.spare_workers)
        self._fleet = Fleet(scaling, launch, self._metrics.workers)
        if wait:
            self.ready()

    def ready(self) -> None:
        """Wait until a worker serves. Raises ``ExecutionError`` when none comes up."""
        self._fleet.ready(self._timeout)
        self._solitary.prepare()

    @property
    def workers(self) -> list[Any]:
        """The actor handles, without those that are being drained."""
        return [worker.handle for worker in self._fleet.workers]

    @property
    def states(self) -> list[WorkerState]:
        """``starting``, ``serving``, ``restarting`` or ``draining``, of every worker."""
        return self._fleet.states

    def run(self, job: Job) -> Outcome:
        """Raises ``ExecutionError`` when no worker could run it: it may be run again."""
        began = time.time()
        outcome = self._run_beside_others(job)
        if outcome is None:
            self._metrics.lost()
            outcome = self._run_alone(job, int(began))
        self._metrics.done(outcome, time.time() - began)
        return outcome

    def close(self) -> None:
        self._fleet.close()
        self._solitary.close()
        if self._relay is not None and self._purse is not None:
            self._relay.close()
            self._purse.close()

    def _run_beside_others(self, job: Job) -> Outcome | None:
        """None when others may have had a part in how it ended: the worker was lost, or its memory used up."""
        with self._fleet.lease(time.monotonic() + self._timeout) as worker:
            try:
                outcome = _ask(worker.handle, job, worker.limit)
            except _Lost as lost:
                self._fleet.lost(worker, stuck=lost.stuck)
                return None
        failure = outcome.output["code"] if outcome.status is Status.FAILED else ""
        if failure == "timeout":
            self._fleet.renew(worker)  # a thread cannot be stopped: the job may still run
        return None if failure == "memory" and self._limited else outcome

    def _run_alone(self, job: Job, began: int) -> Outcome:
        why = ""
        for _ in range(self.ALONE):
            try:
                with self._solitary.lease(self._timeout) as worker:
                    return _ask(worker, job, _limit(worker, self._timeout))
            except _Lost as lost:
                self._metrics.lost()
                why = str(lost)
        return abandoned(began, f"every worker that ran it was lost: {why}")


def _limit(worker: Any, timeout: float) -> float:
    """Seconds an action may take there, once it is up."""
    import ray

    ends = time.monotonic() + timeout
    try:
        while True:
            try:
                return float(_get(worker.ready.remote(), ends - time.monotonic()))
            except _Lost as lost:  # a spare that was killed while it had nothing to do
                if not lost.back or time.monotonic() > ends:
                    raise
                time.sleep(0.1)
    except ray.exceptions.GetTimeoutError:
        raise ExecutionError(
            "no worker could run the action",
            why=f"none was ready in {timeout:g} s; the cluster may have no room",
            fix="see `openledger cluster status`; the action is kept and recover() runs it again",
        ) from None


def _ask(worker: Any, job: Job, limit: float) -> Outcome:
    import ray

    try:
        outcome: Outcome = _get(worker.run.remote(job, carrier()), limit + GRACE)
    except ray.exceptions.GetTimeoutError:
        raise _Lost(f"it gave no answer {GRACE:g} s after the action's {limit:g} s", stuck=True) from None
    return outcome


def _get(reference: Any, timeout: float) -> Any:
    """What a worker answered. Raises ``_Lost`` when it ended, Ray's ``GetTimeoutError`` when it gives no answer."""
    import ray

    gone = ray.exceptions
    try:
        return ray.get(reference, timeout=max(0.0, timeout))
    except gone.RayTaskError as error:
        if isinstance(error.cause, OpenLedgerError):
            raise error.cause from None
        raise ExecutionError(
            "a worker failed", why=str(error.cause), fix="read its log; the action will be run again"
        ) from error
    except (gone.RayActorError, gone.OutOfMemoryError, gone.NodeDiedError) as error:
        back = isinstance(error, gone.ActorUnavailableError)
        raise _Lost(" ".join(str(error).split())[:300], back=back) from error
