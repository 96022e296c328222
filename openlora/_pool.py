"""A pool of engines on Ray: the face over replicas, their routing and their failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar, cast
from uuid import uuid4

from ..errors import EngineError, UserError
from . import _vllm
from ._dispatch import Dispatch, find, get, run
from ._engine import EngineStats
from ._refusals import check_request
from ._replica import NAMESPACE, Info, PoolConfig, Replica, actor_name
from ._router import State
from ._stream import Chunk
from ._tokenizer import load_tokenizer
from ._types import LENGTH, STOP, AdapterRef, AssetRef, Choice, Generation, GenerationRequest, Sampling

__all__ = ["EnginePool", "PoolConfig"]

T = TypeVar("T")

_PLACES = 64
"""Places of a pool that ``join`` looks into for its first engine."""

_FREED = 10.0
"""Seconds after which a name that is still taken belongs to an engine that runs."""


class EnginePool:
    """Engines on Ray, chosen by adapter so that each adapter stays warm in one place, or in as many as it needs.

    A request whose replica is lost is made again on another. A pool can be passed to Ray tasks and actors; they use
    the same replicas. ``close`` ends them.
    """

    def __init__(self, config: PoolConfig, replicas: Sequence[Any], info: Info | None, name: str) -> None:
        self._config, self._replicas, self._known, self._name = config, list(replicas), info, name
        self._dispatch = Dispatch(config, self._replicas, name)
        self._tokenizer: Any = None

    @classmethod
    def start(cls, config: PoolConfig) -> EnginePool:
        """Start ``config.replicas`` replicas and wait until they serve.

        Ray must be initialised. Raises ``UserError`` for a base model or engine arguments that cannot
        work, or where a pool of that name runs, ``EngineError`` when a replica does not come up in time, as when Ray has
        no room for it.
        """
        return cls.begin(config).ready()

    @classmethod
    def begin(cls, config: PoolConfig) -> EnginePool:
        """As ``start``, without the wait: what is asked of it waits for an engine. ``ready`` says whether one comes up."""
        import ray

        _require_ray()
        name = config.name or uuid4().hex[:12]
        places = max(config.replicas, config.max_replicas)
        replicas: list[Any] = []
        try:
            for place in range(config.replicas):
                replicas.append(_launch(config, name, place))
        except BaseException:
            for replica in replicas:
                ray.kill(replica)
            raise
        return cls(config, replicas + [None] * (places - len(replicas)), None, name)

    def ready(self) -> EnginePool:
        """This pool, once its replicas serve. Raises as ``start``, and has ended them then."""
        import ray

        if self._known is not None:
            return self
        replicas = [replica for replica in self._replicas if replica is not None]
        try:
            infos = [
                cast(Info, get(replica.info.remote(), self._config.start_timeout)) for replica in replicas
            ]
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
        self._known = infos[0]
        return self

    @classmethod
    def join(cls, name: str, timeout: float = 60.0) -> EnginePool:
        """The running pool of that name, whoever started it. ``timeout`` seconds are for its answer.

        Raises: UserError: no pool of that name runs on this cluster. EngineError: it gives no answer in time.
        """
        _require_ray()
        first = next((found for place in range(_PLACES) if (found := find(name, place)) is not None), None)
        if first is None:
            raise UserError(
                f"No pool {name!r} runs on this Ray cluster", fix="start one: EnginePool.start(…)"
            )
        config = cast(PoolConfig, get(first.config.remote(), timeout))
        info = cast(Info, get(first.info.remote(), timeout))
        places = range(max(config.replicas, config.max_replicas))
        return cls(config, [find(name, place) for place in places], info, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._config, self._replicas, self._known, self._name)

    @property
    def _info(self) -> Info:
        if self._known is None:
            self._known = cast(Info, _result(run(self._dispatch.call(None, "info"))))
        return self._known

    # What it is

    @property
    def name(self) -> str:
        """Under which Ray knows its engines, as ``engine/<name>/<place>``."""
        return self._name

    @property
    def base(self) -> str:
        """Directory or Hugging Face name of the base model."""
        return self._config.base

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
            self._tokenizer = load_tokenizer(self._config.base)
        return self._tokenizer

    @property
    def states(self) -> list[State]:
        """What this process knows of each place: ``serving``, ``restarting``, ``drained`` (or empty) or ``dead``."""
        return self._dispatch.states

    def stats(self) -> list[EngineStats]:
        """One entry for each replica that serves, in their order."""
        return cast(list[EngineStats], _result(run(self._dispatch.stats())))

    def check(self, request: GenerationRequest) -> None:
        """Refuse here what every engine of it would refuse. Raises ``UserError``."""
        check_request(request, self._info)

    # What it does; each as in Engine

    def generate(self, request: GenerationRequest) -> Generation:
        return _result(self.submit(request))

    def generate_many(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """All of them at once, in order. The first failure is raised."""
        futures = [self.submit(request) for request in requests]
        return [_result(future) for future in futures]

    def submit(self, request: GenerationRequest) -> Future[Generation]:
        """As ``generate``, but returns at once. Cancelling the future takes the request out of its engine."""
        return run(self._dispatch.call(request.adapter, "generate", request))

    async def agenerate(self, request: GenerationRequest) -> Generation:
        return await asyncio.wrap_future(self.submit(request))

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """The output as it is made, the whole generation in the last chunk. Begins with the first chunk asked for;
        closing it, or dropping it, takes the request out of its engine. Where a replica is lost, another goes on at
        the same token. Raises as ``generate``; the timeout bounds the wait for each chunk."""
        chunks = self._dispatch.stream(request)
        try:
            while (chunk := _result(run(_next(chunks)))) is not None:
                yield chunk
        finally:
            run(_close(chunks))

    async def astream(self, request: GenerationRequest) -> AsyncGenerator[Chunk, None]:
        """As ``stream``."""
        chunks = self._dispatch.stream(request)
        try:
            while (chunk := await asyncio.wrap_future(run(_next(chunks)))) is not None:
                yield chunk
        finally:
            run(_close(chunks))

    def cut(self, request: GenerationRequest, made: Chunk, length: int) -> Generation:
        """What a stream has made, ended at ``length`` tokens or where it is now: as the request for no more would have been."""
        tokens, sampling = made.tokens[:length], request.sampling
        stops = self.stop_token_ids if sampling.stop_token_ids is None else sampling.stop_token_ids
        stopped = tokens[-1] in stops
        return Generation(
            prompt=request.prompt,
            tokens=tokens,
            logprobs=made.logprobs[:length],
            finish=STOP if stopped else LENGTH,
            adapter=request.adapter,
            base=self.base_asset,
            engine_class=self.engine_class,
            seed=request.seed,
            sampling=sampling if stopped else replace(sampling, max_tokens=len(tokens)),
        )

    def score(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        return cast(list[int], self._call(adapter, "score", prompt, tokens, adapter))

    async def ascore(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        return cast(list[int], await self._acall(adapter, "score", prompt, tokens, adapter))

    def step(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        return cast(list[int], self._call(adapter, "step", prefix, adapter, token_ids))

    async def astep(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        return cast(list[int], await self._acall(adapter, "step", prefix, adapter, token_ids))

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
            self._call(adapter, "step_choice", prompt, tokens, positions, adapter, seed, sampling),
        )

    def drain(self, replica: int, timeout: float = 60.0) -> None:
        """Take a replica out of service: new requests go to the others, those it holds end, then its process does,
        after ``timeout`` seconds at the latest; what still runs then is made again elsewhere. Its place is empty until
        ``replace`` fills it.

        Raises: UserError: the pool has no such replica.
        """
        if not 0 <= replica < len(self._replicas):
            raise UserError(
                f"Replica {replica} cannot be drained",
                why=f"this pool has replicas 0 to {len(self._replicas) - 1}",
                fix="name one of them",
            )
        if self._replicas[replica] is None:
            raise UserError(f"Replica {replica} cannot be drained", why="its place is empty")
        _result(run(self._dispatch.drain(replica, timeout)))

    def replace(self, replica: int | None = None) -> int:
        """Start an engine in the place of one that was drained or is dead, or in an empty place; the first such without
        ``replica``. Returns its place once it serves; other holders of the pool find it by themselves within seconds.
        An unnamed pool's ends with the driver that called this.

        Raises: UserError: that place, or every one, has an engine. EngineError: it does not come up.
        """
        import ray

        states = self.states
        free = [place for place, state in enumerate(states) if state in ("drained", "dead")]
        if replica not in (None, *free) or not free:
            raise UserError(
                "No replica can be started" + ("" if replica is None else f" in place {replica}"),
                why=f"the places are {', '.join(states)}",
                fix="drain one first, or start the pool with more max_replicas",
            )
        place = free[0] if replica is None else replica
        started = _launch(self._config, self._name, place)
        try:
            info = cast(Info, get(started.info.remote(), self._config.start_timeout))
            if info != self._info:
                raise EngineError(
                    "The new replica differs from the pool",
                    why=f"it reports {info}, the pool {self._info}",
                    fix="give every node the same build",
                )
        except BaseException:
            ray.kill(started)
            raise
        _result(run(self._dispatch.fill(place, started)))
        return place

    def close(self, timeout: float = 30.0) -> None:
        """Take no new work, let what runs end, then end the replicas, after ``timeout`` seconds at the latest; what
        still runs then fails."""
        _result(run(self._dispatch.close(timeout)))

    def _call(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        return _result(run(self._dispatch.call(adapter, "call", method, *arguments)))

    async def _acall(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        return await asyncio.wrap_future(run(self._dispatch.call(adapter, "call", method, *arguments)))


def _require_ray() -> None:
    import ray

    if not ray.is_initialized():
        raise EngineError("Ray is not running", fix="call ray.init() first, or ray.init(address=…)")


def _launch(config: PoolConfig, name: str, place: int) -> Any:
    """The actor of an engine, being created. Raises ``UserError`` when the place has one."""
    import ray

    actor = ray.remote(Replica).options(
        name=actor_name(name, place),
        namespace=NAMESPACE,
        lifetime="detached" if config.name else None,
        num_cpus=config.num_cpus,
        num_gpus=config.num_gpus,
        max_concurrency=config.concurrency,
        max_restarts=config.restarts,
        max_task_retries=0,  # lost calls are made again by Dispatch, on another replica
        scheduling_strategy="SPREAD",
        # One of its own costs the agent's start and a new process, each time; the defaults are set in the actor.
        runtime_env={"env_vars": dict(config.env)} if config.env else None,
    )
    ends = time.monotonic() + _FREED
    while True:
        try:
            return actor.remote(config, name, place)
        except ValueError as error:  # Ray frees the name of an actor a moment after its end
            if time.monotonic() > ends:
                raise UserError(
                    f"Place {place} of pool {name!r} has an engine already",
                    why=_vllm.reason(error),
                    fix="join the pool: EnginePool.join(name)",
                ) from None
            time.sleep(0.1)


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except BaseException:
        future.cancel()  # the caller was interrupted: nobody waits any more
        raise


async def _next(chunks: AsyncGenerator[Chunk, None]) -> Chunk | None:
    return await anext(chunks, None)


async def _close(chunks: AsyncGenerator[Chunk, None]) -> None:
    with suppress(RuntimeError):  # it is being cancelled, and closes by itself
        await chunks.aclose()
