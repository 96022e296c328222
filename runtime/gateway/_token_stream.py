"""Tokens of a model agent's answer on their way from its worker to a client that streams.

The seed of a model call follows from the payment, so both ends know it before the call is made: the gateway opens a
channel under it, and the worker looks whether somebody listens there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ...openlora import EnginePool, Generation, GenerationRequest, Generator
from ...registry import step_seed
from .._requests import PaidRequest, Receipt

__all__ = ["TokenStreams"]

_ASK = 5.0
"""Seconds a worker waits for the channels' answer before it generates without them."""


class _Channels:
    """The Ray actor between workers and gateway."""

    def __init__(self) -> None:
        self._open: dict[bytes, asyncio.Queue[tuple[int, tuple[int, ...]]]] = {}

    async def open(self, seed: bytes) -> None:
        self._open.setdefault(seed, asyncio.Queue())

    async def wanted(self, seed: bytes) -> bool:
        return seed in self._open

    async def put(self, seed: bytes, start: int, tokens: tuple[int, ...]) -> None:
        if seed in self._open:
            self._open[seed].put_nowait((start, tokens))

    async def take(self, seed: bytes) -> tuple[int, tuple[int, ...]] | None:
        """The next tokens and where they begin; None when the channel was closed."""
        queue = self._open.get(seed)
        return None if queue is None else await queue.get()

    async def close(self, seed: bytes) -> None:
        queue = self._open.pop(seed, None)
        if queue is not None:
            queue.put_nowait((0, ()))  # whoever takes wakes up


class _Forwarding:
    """The pool as workers see it: what a client waits for is passed on as it is made."""

    def __init__(self, pool: EnginePool, channels: Any) -> None:
        self._pool, self._channels = pool, channels

    def generate(self, request: GenerationRequest) -> Generation:
        import ray

        try:
            wanted = ray.get(self._channels.wanted.remote(request.seed), timeout=_ASK)
        except ray_errors():
            wanted = False  # a stream comes late without its channel; the action does not depend on it
        if not wanted:
            return self._pool.generate(request)
        made = None
        for chunk in self._pool.stream(request):
            self._channels.put.remote(request.seed, chunk.start, chunk.tokens)
            made = chunk.generation
        assert made is not None  # the last chunk has it
        return made


class TokenStreams:
    """Makes answers of model agents stream token by token. Deploy the agents on ``generator`` and give this to
    ``create_app``; without it a stream has its answer in one go at the end."""

    def __init__(self, pool: EnginePool) -> None:
        """Starts an actor on the Ray that the pool runs on."""
        import ray

        self.pool = pool
        self._channels: Any = ray.remote(_Channels).options(num_cpus=0, max_restarts=-1).remote()
        self.generator: Generator = _Forwarding(pool, self._channels)

    def close(self) -> None:
        import ray

        ray.kill(self._channels)

    def open(self, paid: PaidRequest) -> None:
        """Listen for the first model call of this payment's action; before it begins."""
        import ray

        with suppress(ray_errors()):
            ray.get(self._channels.open.remote(_seed(paid)), timeout=_ASK)

    async def text(
        self, paid: PaidRequest, receipt: Future[Receipt], *, stripped: bool, silence: float
    ) -> AsyncIterator[str]:
        """The answer's text as it is made, as far as it is certain; ends when the action does, and says nothing every
        ``silence`` seconds. ``stripped``: without the blanks around it, as a chat's answer."""
        seed, done = _seed(paid), asyncio.wrap_future(receipt)
        tokens: list[int] = []
        said = ""
        taken: asyncio.Future[Any] | None = None
        try:
            while not done.done():
                taken = taken or asyncio.wrap_future(self._channels.take.remote(seed).future())
                await asyncio.wait({taken, done}, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
                if not taken.done():
                    yield ""
                    continue
                chunk, taken = taken.result(), None
                if chunk is None or chunk[0] > len(tokens):
                    return  # some were lost with their worker: the receipt has them
                tokens[chunk[0] :] = chunk[1]  # a worker that took over begins again, with the same
                text = str(self.pool.tokenizer.decode(tokens, skip_special_tokens=True))
                text = text.rstrip("\ufffd")  # a character may be half there
                text = text.strip() if stripped else text
                if len(text) > len(said) and text.startswith(said):
                    yield text[len(said) :]
                    said = text
        except ray_errors():
            return  # the channels are away
        finally:
            self._channels.close.remote(seed)


def ray_errors() -> type[Exception]:
    import ray

    found: type[Exception] = ray.exceptions.RayError
    return found


def _seed(paid: PaidRequest) -> bytes:
    return step_seed(paid.payment.signature, paid.request_hash, 0)
