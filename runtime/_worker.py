"""Agents as Ray actors: each worker holds one agent's graph and executes jobs on the shared pool."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..agents import Agent, HFCodec, Models, Outcome, execute, load_agent
from ..errors import ExecutionError, OpenLedgerError
from ..openlora import AdapterRef, Generator
from ..registry import step_seed
from ._operator import Job

__all__ = ["LocalRunner", "RayRunner", "run_job"]


async def run_job(agent: Agent, graph: Any, models: Models, job: Job) -> Outcome:
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
    )


class LocalRunner:
    """Runs jobs in this process; for ``openledger run`` and for graphs that are tried out."""

    def __init__(self, agent: Agent, models: Models) -> None:
        self._agent, self._models, self._graph = agent, models, agent.graph()

    def run(self, job: Job) -> Outcome:
        return asyncio.run(run_job(self._agent, self._graph, self._models, job))


class _Worker:
    """The actor. ``agent`` is ``FILE:NAME`` or the agent itself; loaded again after a restart."""

    def __init__(
        self,
        agent: Agent | str,
        generator: Generator,
        base: str,
        adapters: Mapping[str, AdapterRef],
        concurrency: int,
    ) -> None:
        # Synchronous nodes wait in threads for the pool; asyncio's few default threads would be the limit.
        self._threads = ThreadPoolExecutor(2 * concurrency, thread_name_prefix="node")
        self._agent = load_agent(agent) if isinstance(agent, str) else agent
        self._models = Models(generator, HFCodec(base), dict(adapters))
        self._graph = self._agent.graph()

    async def run(self, job: Job) -> Outcome:
        asyncio.get_running_loop().set_default_executor(self._threads)
        return await run_job(self._agent, self._graph, self._models, job)

    def pid(self) -> int:
        return os.getpid()


class RayRunner:
    """A fixed set of worker actors for one agent, taken in turn.

    A worker that dies is restarted by Ray and its job is run again there: the seed follows from the
    payment, so the second run gives the same output, and nothing was recorded for the first.
    """

    def __init__(
        self,
        agent: Agent | str,
        generator: Generator,
        base: str,
        adapters: Mapping[str, AdapterRef],
        *,
        workers: int = 1,
        concurrency: int = 16,
        timeout: float = 300.0,
        num_cpus: float = 0.0,
    ) -> None:
        """``timeout`` is seconds a job may take, restarts included; ``num_cpus`` is reserved per worker."""
        import ray

        actor = ray.remote(_Worker).options(
            num_cpus=num_cpus, max_restarts=-1, max_task_retries=2, max_concurrency=concurrency
        )
        self._timeout = timeout
        self._workers = [actor.remote(agent, generator, base, adapters, concurrency) for _ in range(workers)]
        self._turn = itertools.count()
        self._lock = threading.Lock()
        ray.get([worker.pid.remote() for worker in self._workers], timeout=timeout)

    @property
    def workers(self) -> list[Any]:
        """The actor handles."""
        return list(self._workers)

    def run(self, job: Job) -> Outcome:
        import ray

        with self._lock:
            worker = self._workers[next(self._turn) % len(self._workers)]
        try:
            outcome: Outcome = ray.get(worker.run.remote(job), timeout=self._timeout)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, OpenLedgerError):
                raise error.cause from None
            raise ExecutionError(
                "a worker failed", why=str(error.cause), fix="read its log; the action will be run again"
            ) from error
        except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError) as error:
            raise ExecutionError(
                "no worker could run the action",
                why=str(error),
                fix="check `ray status`; the action is kept and recover() runs it again",
            ) from error
        return outcome

    def close(self) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker)
