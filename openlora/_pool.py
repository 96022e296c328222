"""A pool of Ray actors, each with one engine. Calls are unary; every one has a timeout."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import EngineError, OpenLedgerError
from . import _vllm
from ._engine import AdapterSource, Engine, EngineStats
from ._jobs import timed_out
from ._types import AdapterRef, AssetRef, Choice, Generation, GenerationRequest, Queue, Sampling, Tiers

__all__ = ["EnginePool", "PoolConfig"]


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
    timeout: float = 600.0
    """Seconds for one call."""
    start_timeout: float = 600.0
    """Seconds for a replica to come up; a large base model takes its time."""
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    concurrency: int = 8192
    """Calls one replica holds at once, waiting or running; keep it above ``queue.max_waiting``, which refuses what is
    too much with a clear error where Ray would only let it wait."""
    tiers: Tiers = field(default_factory=Tiers)
    """Memory for adapters in each replica."""
    queue: Queue = field(default_factory=Queue)
    """How requests wait for a replica."""
    restarts: int = 5
    """How often Ray replaces a replica that died; the calls it held are made once more."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of the actors, over the defaults."""


@dataclass(frozen=True, slots=True)
class _Info:
    engine_class: str
    vocab_size: int
    max_model_len: int
    stop_token_ids: tuple[int, ...]


class _Replica:
    """The actor. Its engine is made by the first call, so that a refusal reaches the caller as itself."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        # Calls that block: refusals that ask the chain, and replays, which are several requests each.
        self._threads = ThreadPoolExecutor(64)

    def _get(self) -> Engine:
        with self._lock:
            if self._engine is None:
                config = self._config
                self._engine = Engine(
                    config.base,
                    base_asset=config.base_asset,
                    adapters=config.adapters() if config.adapters else None,
                    engine=config.engine,
                    timeout=config.timeout,
                    tiers=config.tiers,
                    queue=config.queue,
                )
            return self._engine

    async def _ready(self) -> Engine:
        engine = self._engine
        return engine if engine is not None else await asyncio.to_thread(self._get)

    async def info(self) -> _Info:
        engine = await self._ready()
        return _Info(engine.engine_class, engine.vocab_size, engine.max_model_len, engine.stop_token_ids)

    async def stats(self) -> EngineStats:
        return (await self._ready()).stats()

    async def generate(self, request: GenerationRequest) -> Generation:
        """Holds no thread while it waits; ended by ``ray.cancel``, it leaves the engine."""
        loop = asyncio.get_running_loop()
        engine = await self._ready()
        try:
            answer = await loop.run_in_executor(self._threads, engine.submit, request)
            try:
                return await asyncio.wait_for(asyncio.wrap_future(answer), engine.timeout)
            except TimeoutError:
                raise timed_out(engine.timeout) from None
        except EngineError as error:
            self._end(error)
            raise

    async def call(self, method: str, *arguments: Any) -> Any:
        engine = await self._ready()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, getattr(engine, method), *arguments)
        except EngineError as error:
            self._end(error)
            raise

    def _end(self, error: EngineError) -> None:
        if self._engine is not None and self._engine.dead:
            # Ray restarts an actor whose process ends, never one that only raises.
            print(f"openlora: replica ends: {error}", file=sys.stderr, flush=True)
            os._exit(1)


class EnginePool:
    """Engines on Ray, chosen by adapter so that each adapter stays warm in one place.

    A pool can be passed to Ray tasks and actors; they use the same replicas. ``close`` ends them.
    """

    def __init__(self, config: PoolConfig, replicas: Sequence[Any], info: _Info) -> None:
        self._config, self._replicas, self._info = config, list(replicas), info
        self._tokenizer: Any = None

    @classmethod
    def start(cls, config: PoolConfig) -> EnginePool:
        """Start ``config.replicas`` replicas and wait until they serve.

        Ray must be initialised. Raises ``UserError`` for a base model or engine arguments that cannot
        work, ``EngineError`` when a replica does not come up in time.
        """
        import ray

        if not ray.is_initialized():
            raise EngineError("Ray is not running", fix="call ray.init() first, or ray.init(address=…)")
        environment = _vllm.environment() | dict(config.env)
        if Path(config.base).exists():
            environment.setdefault("HF_HUB_OFFLINE", "1")
        actor = ray.remote(_Replica).options(
            num_cpus=config.num_cpus,
            num_gpus=config.num_gpus,
            max_concurrency=config.concurrency,
            max_restarts=config.restarts,
            max_task_retries=1,
            runtime_env={"env_vars": environment},
        )
        replicas = [actor.remote(config) for _ in range(config.replicas)]
        try:
            infos = [cast(_Info, _get(replica.info.remote(), config.start_timeout)) for replica in replicas]
            if len(set(infos)) != 1:
                raise EngineError(
                    "The replicas differ",
                    why=f"they report {set(infos)}",
                    fix="give every node the same build",
                )
        except BaseException:
            for replica in replicas:
                ray.kill(replica)
            raise
        return cls(config, replicas, infos[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._config, self._replicas, self._info)

    # What it is

    @property
    def base_asset(self) -> AssetRef | None:
        return self._config.base_asset

    @property
    def engine_class(self) -> str:
        return self._info.engine_class

    @property
    def vocab_size(self) -> int:
        return self._info.vocab_size

    @property
    def max_model_len(self) -> int:
        return self._info.max_model_len

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        return self._info.stop_token_ids

    @property
    def tokenizer(self) -> Any:
        """The base model's Hugging Face tokenizer, loaded in this process."""
        if self._tokenizer is None:
            self._tokenizer = _vllm.load_tokenizer(self._config.base)
        return self._tokenizer

    def stats(self) -> list[EngineStats]:
        """One entry a replica."""
        return [_get(replica.stats.remote(), self._config.timeout) for replica in self._replicas]

    # What it does; each as in Engine

    def generate(self, request: GenerationRequest) -> Generation:
        return cast(Generation, self._ask(request.adapter, "generate", request))

    def generate_many(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """All of them at once, in order. The first failure is raised."""
        sent = [self._send(request.adapter, "generate", request) for request in requests]
        return [cast(Generation, _get(reference, self._config.timeout)) for reference in sent]

    async def agenerate(self, request: GenerationRequest) -> Generation:
        return cast(Generation, await self._aask(request.adapter, "generate", request))

    def score(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        return cast(list[int], self._ask(adapter, "score", prompt, tokens, adapter))

    async def ascore(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        return cast(list[int], await self._aask(adapter, "score", prompt, tokens, adapter))

    def step(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        return cast(list[int], self._ask(adapter, "step", prefix, adapter, token_ids))

    async def astep(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        return cast(list[int], await self._aask(adapter, "step", prefix, adapter, token_ids))

    def step_choice(
        self,
        prompt: list[int],
        tokens: list[int],
        positions: list[int],
        adapter: AdapterRef | None,
        seed: bytes,
        sampling: Sampling,
    ) -> list[Choice]:
        return cast(
            list[Choice],
            self._ask(adapter, "step_choice", prompt, tokens, positions, adapter, seed, sampling),
        )

    def close(self) -> None:
        """End the replicas; whatever they held fails."""
        import ray

        for replica in self._replicas:
            ray.kill(replica)
        self._replicas = []

    # Ray

    def _send(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        if not self._replicas:
            raise EngineError("This pool was closed", fix="start a new one")
        key = adapter.cid if adapter else ""
        # Highest random weight: adding a replica moves only the adapters that now belong to it.
        chosen = max(
            range(len(self._replicas)),
            key=lambda index: hashlib.sha256(f"{index}/{key}".encode()).digest(),
        )
        if method == "generate":
            return self._replicas[chosen].generate.remote(*arguments)
        return self._replicas[chosen].call.remote(method, *arguments)

    def _ask(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        return _get(self._send(adapter, method, *arguments), self._config.timeout)

    async def _aask(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        reference = self._send(adapter, method, *arguments)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(reference.future()), self._config.timeout)
        except TimeoutError:
            raise _late(self._config.timeout) from None
        except Exception as error:
            raise _own(error) from error


def _get(reference: Any, timeout: float) -> Any:
    import ray

    try:
        return ray.get(reference, timeout=timeout)
    except ray.exceptions.GetTimeoutError:
        raise _late(timeout) from None
    except Exception as error:
        raise _own(error) from error


def _late(timeout: float) -> EngineError:
    return EngineError(
        f"A replica gave no answer in {timeout:g} seconds",
        why="it is starting, overloaded, or its node is lost",
        fix="retry, or raise the pool's timeout",
    )


def _own(error: Exception) -> OpenLedgerError:
    """The error as it was raised in the replica; Ray hands over its own subclass of it."""
    import ray

    cause = getattr(error, "cause", None)
    if isinstance(cause, OpenLedgerError):
        return cause
    if isinstance(error, OpenLedgerError):
        return error
    if isinstance(error, ray.exceptions.ActorUnavailableError | ray.exceptions.RayActorError):
        return EngineError(
            "A replica died during the call",
            why=_vllm.reason(error),
            fix="retry; if it keeps dying, look for memory pressure and at the replica's log",
        )
    return EngineError("A call to a replica failed", why=_vllm.reason(error))
