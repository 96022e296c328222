"""Calls to replicas from this process: sent where the router says, made again elsewhere when a replica is lost.

A generation is a function of its request alone, so making one again gives the same; a stream goes on behind the tokens
that arrived. All of it happens in one event loop a process, in a thread beside the caller's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from ..errors import EngineError, OpenLedgerError, OverloadedError
from . import _vllm
from ._jobs import DeadlineError
from ._replica import NAMESPACE, DrainingError, PoolConfig, StartingError, actor_name
from ._router import Router, State
from ._stream import Chunk
from ._types import AdapterRef, GenerationRequest

__all__ = ["Dispatch", "find", "get", "run"]

T = TypeVar("T")

ATTEMPTS = 4
"""Replicas a request may be lost with, before it is taken for what kills them."""

PROBE = (0.25, 1.0, 8.0)
"""Seconds between the first two looks at whether a lost replica is back, between later ones at most, and between two at
whether another has the place of one that is gone."""


_first = threading.Lock()


@lru_cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="openlora-dispatch", daemon=True).start()
    return loop


def run(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start ``work`` in the loop. Cancelling the future cancels it."""
    with _first:  # two threads that come first would get a loop each
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(work, loop)


class _Full(dict[int, OverloadedError]):
    """Replicas that had no room for a request."""


class Dispatch:
    """The replicas of the pool ``name`` as one process sees them, None for an empty place. Every coroutine runs in the
    loop of ``run``.

    An engine that is put into the place of one that went has its name, by which every process finds it.
    """

    def __init__(self, config: PoolConfig, replicas: list[Any], name: str) -> None:
        self._config, self._replicas, self._name = config, replicas, name
        self._router = Router(len(replicas))
        self._watches: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._closed = False
        empty = [place for place, replica in enumerate(replicas) if replica is None]
        for place in empty:
            self._router.states[place] = "drained"
        if empty:
            run(self._await(empty))

    @property
    def states(self) -> list[State]:
        return list(self._router.states)

    async def call(self, adapter: AdapterRef | None, method: str, *arguments: Any) -> Any:
        """The answer of one replica. Raises what it raised; ``EngineError`` after ``timeout`` seconds, or when no
        replica is left."""
        key = adapter.cid if adapter else ""
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._retried(key, lambda replica: self._ask(replica, method, *arguments))
        except TimeoutError:
            raise _late(self._config.timeout) from None

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[Chunk, None]:
        """The chunks of an output; ``timeout`` bounds the wait for each."""
        key = request.adapter.cid if request.adapter else ""
        done: Chunk | None = None
        lost, full = 0, _Full()
        while True:
            chunks: Any = None
            try:
                async with asyncio.timeout(self._config.timeout):
                    replica = await self._place(key, full)
            except TimeoutError:
                raise _late(self._config.timeout) from None
            try:
                with self._router.carrying(key, replica):
                    method = self._replicas[replica].stream.options(num_returns="streaming")
                    chunks = method.remote(request, done)
                    while True:
                        async with asyncio.timeout(self._config.timeout):
                            reference = await anext(chunks, None)
                            if reference is None:
                                raise EngineError("A replica ended a stream early", fix="ask again")
                            chunk: Chunk = await reference
                        done = _joined(done, chunk)
                        if chunk.generation is not None:
                            chunks = None
                        yield chunk
                        if chunk.generation is not None:
                            return
            except TimeoutError:
                raise _late(self._config.timeout) from None
            except Exception as error:  # noqa: BLE001 - sorted there
                lost += self._survive(replica, error, lost, full)
            finally:
                if chunks is not None:
                    _cancel(chunks)

    async def stats(self) -> list[Any]:
        """Of those that serve now."""
        found = []
        for replica in self._router.serving:
            try:
                found.append(await self._ask(replica, "stats"))
            except Exception as error:  # noqa: BLE001 - sorted there
                self._survive(replica, error, 0, _Full())
        return found

    async def drain(self, replica: int, patience: float) -> None:
        """End a replica once what it holds has ended, or after ``patience`` seconds; what then still runs is made again
        on another."""
        self._set(replica, "drained")
        import ray

        with suppress(TimeoutError, ray.exceptions.RayError):  # late, or dead already: either way it ends now
            async with asyncio.timeout(patience):
                await self._ask(replica, "drain")
        await asyncio.to_thread(ray.kill, self._replicas[replica])

    async def fill(self, place: int, replica: Any) -> None:
        """Put an engine that serves into the place of one that went."""
        watch = self._watches.pop(place, None)
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        self._replicas[place] = replica
        self._set(place, "serving")

    async def _await(self, places: list[int]) -> None:
        for place in places:
            self._set(place, "drained")

    async def close(self, patience: float) -> None:
        import ray

        self._closed = True
        self._changed.set()
        for watch in self._watches.values():
            watch.cancel()
        if not ray.is_initialized():
            return
        left = [at for at, state in enumerate(self.states) if state != "drained"]
        await asyncio.gather(*(self.drain(replica, patience) for replica in left))

    # One replica

    async def _retried(self, key: str, ask: Callable[[int], Coroutine[Any, Any, T]]) -> T:
        lost, full = 0, _Full()
        while True:
            replica = await self._place(key, full)
            try:
                with self._router.carrying(key, replica):
                    return await ask(replica)
            except Exception as error:  # noqa: BLE001 - sorted there
                lost += self._survive(replica, error, lost, full)

    async def _ask(self, replica: int, method: str, *arguments: Any) -> Any:
        return await _answer(getattr(self._replicas[replica], method).remote(*arguments))

    async def _place(self, key: str, full: _Full) -> int:
        """The replica for a request; waits while all are restarting. Raises what the ``full`` ones said when no other is
        left."""
        while True:
            if self._closed:
                raise EngineError("This pool was closed", fix="start a new one")
            replica = self._router.choose(key, full)
            if replica is not None:
                return replica
            if full:
                raise min(full.values(), key=lambda refusal: refusal.retry_after)
            if "restarting" not in self.states:
                drained = "dead" not in self.states
                raise EngineError(
                    "Every replica was drained" if drained else "The last replica died",
                    why="" if drained else f"each was restarted {self._config.restarts} times",
                    fix="start a new pool"
                    + ("" if drained else "; look for memory pressure and at the replicas' logs"),
                )
            self._changed.clear()
            await self._changed.wait()

    def _survive(self, replica: int, error: Exception, lost: int, full: _Full) -> int:
        """1 when the request was lost with its replica and may be made again, 0 when it was never begun; else raises
        the error as the replica raised it."""
        import ray

        mine = _own(error)
        if isinstance(mine, DrainingError):
            self._set(replica, "drained")
            return 0
        if isinstance(mine, StartingError):
            self._set(replica, "restarting")
            return 0
        if isinstance(mine, OverloadedError) and not isinstance(mine, DeadlineError):
            full[replica] = mine
            return 0
        gone = ray.exceptions
        if not isinstance(error, gone.RayActorError | gone.OutOfMemoryError | gone.NodeDiedError):
            raise mine from error
        if self._router.states[replica] in ("serving", "restarting"):
            self._set(replica, "restarting")
        if lost + 1 >= ATTEMPTS:
            raise mine from error
        full.clear()  # it had begun: what others said before that is old
        return 1

    async def _watch(self, replica: int) -> None:
        """Until a replica that went serves again: the same one, restarted by Ray, or another in its place."""
        import ray

        pause, most, gone = PROBE
        while ray.is_initialized():
            mine = self._replicas[replica]
            try:
                if self._router.states[replica] == "restarting":
                    found = mine
                else:
                    found = await asyncio.to_thread(find, self._name, replica)
                if found is not None and (found != mine or self._router.states[replica] != "drained"):
                    async with asyncio.timeout(self._config.start_timeout):
                        await _answer(found.info.remote())
                    await self.fill(replica, found)
                    return
                pause = gone
            except (
                ray.exceptions.ActorDiedError,
                OpenLedgerError,
            ):  # or its engine cannot be made: who waits is told
                self._set(replica, "dead")
            except Exception:  # noqa: BLE001 - whatever keeps it from serving may pass
                pause = min(2 * pause, most)
            await asyncio.sleep(pause)

    def _set(self, replica: int, state: State) -> None:
        self._router.states[replica] = state
        self._changed.set()
        if state != "serving" and not self._closed and replica not in self._watches:
            self._watches[replica] = asyncio.ensure_future(self._watch(replica))


async def _answer(reference: Any) -> Any:
    try:
        return await asyncio.wrap_future(reference.future())
    except asyncio.CancelledError:
        _cancel(reference)
        raise


def find(pool: str, place: int) -> Any:
    """The engine at a place of a pool, wherever it was started; None while there is none."""
    import ray

    try:
        return ray.get_actor(actor_name(pool, place), NAMESPACE)
    except ValueError:
        return None


def _joined(done: Chunk | None, chunk: Chunk) -> Chunk:
    start = len(done.tokens) if done else 0
    if chunk.start != start:
        raise EngineError(f"A stream went on at token {chunk.start}, not {start}", fix="ask again")
    if done is None:
        return chunk
    return Chunk(0, done.tokens + chunk.tokens, done.logprobs + chunk.logprobs)


def _cancel(reference: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.cancel(reference)


def get(reference: Any, timeout: float) -> Any:
    """What a replica answered, outside the loop."""
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
        why="it is starting, overloaded, its node is lost, or the cluster has no room for it",
        fix="retry, raise the pool's timeout, or lower what a replica reserves",
    )


def _own(error: Exception) -> OpenLedgerError:
    """The error as it was raised in the replica; Ray hands over its own subclass of it."""
    import ray

    cause = getattr(error, "cause", None)
    if isinstance(cause, OpenLedgerError):
        return cause
    if isinstance(error, OpenLedgerError):
        return error
    if isinstance(error, ray.exceptions.RayActorError):
        return EngineError(
            "A replica died during the call",
            why=_vllm.reason(error),
            fix="retry; if it keeps dying, look for memory pressure and at the replica's log",
        )
    return EngineError("A call to a replica failed", why=_vllm.reason(error))
