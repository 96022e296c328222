"""The actor: one engine, called from many processes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from ..errors import EngineError
from . import _vllm
from ._engine import AdapterSource, Engine, EngineStats
from ._jobs import Answer, timed_out
from ._metrics import EngineMetrics
from ._stream import MOST, Chunk, Feed, pause
from ._types import AssetRef, Generation, GenerationRequest, Queue, Tiers

__all__ = ["NAMESPACE", "DrainingError", "Info", "PoolConfig", "Replica", "StartingError", "actor_name"]

T = TypeVar("T")

REPORT = 5.0
"""Seconds between two reports of an engine's counters."""


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """What every replica is started with."""

    base: str
    """Directory or Hugging Face name of the base model; a directory must exist on every node."""
    base_asset: AssetRef | None = None
    adapters: Callable[[], AdapterSource] | None = None
    """Makes the source of adapters, inside the actor; pickled by value."""
    engine: Mapping[str, Any] = field(default_factory=dict)
    """vLLM's engine arguments, under vLLM's names."""
    replicas: int = 1
    """Engines to begin with, each a Ray actor; Ray puts them on different nodes where it can."""
    max_replicas: int = 0
    """Places for engines; ``EnginePool.replace`` fills an empty one. Never fewer than ``replicas``."""
    name: str = ""
    """With a name the pool outlives whoever started it: any driver of the cluster finds it by ``EnginePool.join``, and
    it runs until it is closed. Without one it ends with its driver."""
    timeout: float = 600.0
    """Seconds for one call, its retries on other replicas included."""
    start_timeout: float = 600.0
    """Seconds for a replica to come up; a large base model takes its time."""
    num_cpus: float = 1.0
    """CPUs that Ray reserves for each replica."""
    num_gpus: float = 0.0
    """GPUs that Ray reserves for each replica."""
    concurrency: int = 8192
    """Calls one replica holds at once, waiting or running; keep it above ``queue.max_waiting``, which refuses what is
    too much with a clear error where Ray would only let it wait."""
    tiers: Tiers = field(default_factory=Tiers)
    """Memory for adapters in each replica."""
    queue: Queue = field(default_factory=Queue)
    """How requests wait for a replica."""
    restarts: int = 5
    """How often Ray replaces a replica that died; the calls it held are made again on another."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of the actors, over the defaults."""


@dataclass(frozen=True, slots=True)
class Info:
    engine_class: str
    vocab_size: int
    max_model_len: int
    stop_token_ids: tuple[int, ...]


NAMESPACE = "openledger"
"""Ray's namespace of the actors' names, so that drivers find each other's."""


def actor_name(pool: str, replica: int) -> str:
    """Under which Ray knows the engine at a place of a pool: ``engine/<pool>/<place>``."""
    return f"engine/{pool}/{replica}"


class DrainingError(EngineError):
    """This replica takes no new work; another may."""


class StartingError(EngineError):
    """This replica has no engine yet; another may."""


class Replica:
    """Its engine is made beside the actor, which is there at once, so that a refusal reaches the callers as itself; where one
    could not be made, the next call tries again."""

    def __init__(self, config: PoolConfig, pool: str, place: int) -> None:
        os.environ.update(_vllm.environment() | dict(config.env))
        self._config, self._pool, self._place = config, pool, place
        self._engine: Engine | None = None
        # Calls that block: refusals that ask the chain, and replays, which are several requests each.
        self._threads = ThreadPoolExecutor(64)
        self._making: Future[Engine] | None = self._threads.submit(self._make)
        self._draining = False
        self._carried = 0
        self._idle = asyncio.Event()
        self._flowing: set[Feed] = set()  # of streams that have begun
        self._reporting: asyncio.Task[None] | None = None

    def _make(self) -> Engine:
        config = self._config
        return Engine(
            config.base,
            base_asset=config.base_asset,
            adapters=config.adapters() if config.adapters else None,
            engine=config.engine,
            timeout=config.timeout,
            tiers=config.tiers,
            queue=config.queue,
        )

    async def _ready(self) -> Engine:
        if self._engine is None:
            making = self._making = self._making or self._threads.submit(self._make)
            try:
                self._engine = await asyncio.shield(asyncio.wrap_future(making))
            except Exception:
                if self._making is making:
                    self._making = None
                raise
        return self._engine

    def _engine_now(self) -> Engine:
        """For work, which another replica may do sooner than this one has an engine."""
        if self._engine is None:
            raise StartingError("This replica has no engine yet", fix="ask its info, which waits for it")
        return self._engine

    async def config(self) -> PoolConfig:
        """What the pool was started with, for who joins it."""
        return self._config

    async def info(self) -> Info:
        engine = await self._ready()
        if self._reporting is None:
            self._reporting = asyncio.ensure_future(self._report())
        return Info(engine.engine_class, engine.vocab_size, engine.max_model_len, engine.stop_token_ids)

    async def stats(self) -> EngineStats:
        return (await self._ready()).stats()

    async def generate(self, request: GenerationRequest) -> Generation:
        """Holds no thread while it waits; ended by ``ray.cancel``, it leaves the engine."""
        with self._carrying():
            engine = self._engine_now()
            answer = await self._submit(partial(engine.submit, request), Answer.cancel)
            try:
                return await asyncio.wait_for(asyncio.wrap_future(answer), engine.timeout)
            except TimeoutError:
                raise timed_out(engine.timeout) from None

    async def stream(self, request: GenerationRequest, done: Chunk | None) -> AsyncGenerator[Chunk, None]:
        """The output in chunks, from behind ``done`` on; ended by ``ray.cancel``, it leaves the engine."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        with self._carrying():
            engine = self._engine_now()

            def wake() -> None:
                loop.call_soon_threadsafe(woken.set)

            answer, feed = await self._submit(
                partial(engine.submit_stream, request, wake, done), lambda begun: begun[0].cancel()
            )
            try:
                while True:
                    try:
                        await asyncio.wait_for(woken.wait(), engine.timeout)
                    except TimeoutError:
                        raise timed_out(engine.timeout) from None
                    woken.clear()
                    if feed.taken and feed.waiting < MOST and not answer.done():
                        with suppress(TimeoutError):
                            await asyncio.wait_for(woken.wait(), pause(len(self._flowing)))
                        woken.clear()
                    if answer.done():
                        yield feed.take(answer.result())
                        return
                    if feed.waiting:
                        self._flowing.add(feed)
                        yield feed.take()
            finally:
                self._flowing.discard(feed)
                answer.cancel()

    async def call(self, method: str, *arguments: Any) -> Any:
        """A call that takes an engine's thread-safe method by name, in a thread of its own."""
        with self._carrying():
            engine = self._engine_now()
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, getattr(engine, method), *arguments)

    async def drain(self) -> None:
        """Take no new work, and return when what is under way has ended."""
        self._draining = True
        if self._carried:
            await self._idle.wait()

    async def _report(self) -> None:
        """Tell Ray's metrics what the engine counts, until the process ends."""
        metrics = EngineMetrics(self._pool, self._place)
        while True:
            metrics.report((await self._ready()).stats())
            await asyncio.sleep(REPORT)

    async def _submit(self, begin: Callable[[], T], cancel: Callable[[T], object]) -> T:
        """``begin`` in a thread; cancelled meanwhile, what it began is cancelled as well."""
        begun = asyncio.get_running_loop().run_in_executor(self._threads, begin)
        try:
            return await asyncio.shield(begun)
        except asyncio.CancelledError:
            begun.add_done_callback(lambda done: None if done.exception() else cancel(done.result()) and None)
            raise

    @contextmanager
    def _carrying(self) -> Iterator[None]:
        if self._draining:
            raise DrainingError(
                "This replica takes no new work", why="it is being drained", fix="send it to another"
            )
        self._carried += 1
        try:
            yield
        except EngineError as error:
            if self._engine is not None and self._engine.dead:
                # Ray restarts an actor whose process ends, never one that only raises.
                print(f"openlora: replica ends: {error}", file=sys.stderr, flush=True)
                os._exit(1)
            raise
        finally:
            self._carried -= 1
            if not self._carried and self._draining:
                self._idle.set()
