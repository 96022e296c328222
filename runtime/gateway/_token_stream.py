"""Tokens of a model agent's answer on their way from its worker to a client that streams.

The seed of a model call follows from the payment, so both ends know it before the call is made: the gateway opens a
channel under it, and the worker looks whether somebody listens there. Of a metered answer nobody listens to any more, the
worker makes no more: it ends with what was told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

from ...openlora import Chunk, EnginePool, Generation, GenerationRequest, Generator
from ...registry import step_seed
from .._requests import PaidRequest, Receipt

__all__ = ["TokenStreams"]

_ASK = 5.0
"""Seconds a worker waits for the channels' answer before it generates without them."""


class _Channels:
    """The Ray actor between workers and gateway."""

    def __init__(self) -> None:
        self._open: dict[bytes, asyncio.Queue[tuple[int, tuple[int, ...]]]] = {}
        self._listeners: Counter[bytes] = Counter()
        self._told: dict[bytes, int] = {}
        self._cut: dict[bytes, int] = {}

    async def open(self, seed: bytes) -> None:
        self._open.setdefault(seed, asyncio.Queue())
        self._listeners[seed] += 1

    async def wanted(self, seed: bytes) -> int | None:
        """The tokens at which the output ends, 0 where nothing ends it; None where nobody ever listened."""
        return self._cut.get(seed, 0 if seed in self._open else None)

    async def put(self, seed: bytes, start: int, tokens: tuple[int, ...]) -> int:
        """The tokens at which the output ends, or 0."""
        if seed in self._open:
            self._open[seed].put_nowait((start, tokens))
        return self._cut.get(seed, 0)

    async def take(self, seed: bytes) -> tuple[int, tuple[int, ...]] | None:
        """The next tokens and where they begin; None when the channel was closed."""
        queue = self._open.get(seed)
        return None if queue is None else await queue.get()

    async def leave(self, seed: bytes, told: int) -> None:
        """A listener has gone with so many tokens. When the last has, the output ends: with one token, which every output
        has, or with what the one was told who heard most."""
        if seed not in self._open:
            return
        self._told[seed] = max(told, self._told.get(seed, 1))
        self._listeners[seed] -= 1
        if self._listeners[seed] <= 0:
            self._cut[seed] = self._told[seed]

    async def close(self, seed: bytes) -> None:
        queue = self._open.pop(seed, None)
        for kept in (self._listeners, self._told, self._cut):
            kept.pop(seed, None)
        if queue is not None:
            queue.put_nowait((0, ()))  # whoever takes wakes up


class _Forwarding:
    """The pool as workers see it: what a client waits for is passed on as it is made."""

    def __init__(self, pool: EnginePool, channels: Any) -> None:
        self._pool, self._channels = pool, channels

    def generate(self, request: GenerationRequest) -> Generation:
        import ray

        try:
            end = ray.get(self._channels.wanted.remote(request.seed), timeout=_ASK)
        except ray_errors():
            end = None  # a stream comes late without its channel; the action does not depend on it
        if end is None:
            return self._pool.generate(request)
        if end:  # a worker before this one had begun it
            most = min(end, request.sampling.max_tokens)
            return self._pool.generate(replace(request, sampling=replace(request.sampling, max_tokens=most)))
        return self._forward(request)

    def _forward(self, request: GenerationRequest) -> Generation:
        made, done = None, Chunk(0, (), ())
        answer: Any = None
        with closing(self._pool.stream(request)) as chunks:
            for chunk in chunks:
                made = chunk.generation
                done = Chunk(0, done.tokens + chunk.tokens, done.logprobs + chunk.logprobs)
                if answer is not None and (end := self._ends(answer, wait=made is not None)):
                    return self._pool.cut(request, done, end)
                answer = self._channels.put.remote(request.seed, chunk.start, chunk.tokens)
        assert made is not None  # the last chunk has it
        return made

    @staticmethod
    def _ends(answer: Any, *, wait: bool) -> int:
        """What the channels have answered; 0 as long as they have not."""
        import ray

        try:
            if not wait and not ray.wait([answer], timeout=0)[0]:
                return 0
            return int(ray.get(answer, timeout=_ASK))
        except ray_errors():
            return 0


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
    ) -> AsyncIterator[tuple[str, int]]:
        """The answer's text as it is made, as far as it is certain, and the tokens told with it; ends when the action does, and
        says nothing every ``silence`` seconds. ``stripped``: without the blanks around it, as a chat's answer. Whoever
        listened says :meth:`leave` in the end."""
        seed, done = _seed(paid), asyncio.wrap_future(receipt)
        tokens: list[int] = []
        said = ""
        told = 0
        taken: asyncio.Future[Any] | None = None
        try:
            while not done.done():
                taken = taken or asyncio.wrap_future(self._channels.take.remote(seed).future())
                await asyncio.wait({taken, done}, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
                if not taken.done():
                    yield "", told
                    continue
                chunk, taken = taken.result(), None
                if chunk is None or chunk[0] > len(tokens):
                    return  # some were lost with their worker: the receipt has them
                tokens[chunk[0] :] = chunk[1]  # a worker that took over begins again, with the same
                text = str(self.pool.tokenizer.decode(tokens, skip_special_tokens=True))
                text = text.rstrip("\ufffd")  # a character may be half there
                text = text.strip() if stripped else text
                if len(text) > len(said) and text.startswith(said):
                    told = len(tokens)
                    yield text[len(said) :], told
                    said = text
        except ray_errors():
            return  # the channels are away

    def leave(self, paid: PaidRequest, receipt: Future[Receipt], told: int | None) -> None:
        """Listen no more. With ``told`` the output ends at so many tokens, where nobody else listens and it has not ended;
        without, the action goes on unheard."""
        seed = _seed(paid)
        if told is None or receipt.done():
            self._channels.close.remote(seed)
            return
        self._channels.leave.remote(seed, told)
        receipt.add_done_callback(lambda _: self._channels.close.remote(seed))


def ray_errors() -> type[Exception]:
    import ray

    found: type[Exception] = ray.exceptions.RayError
    return found


def _seed(paid: PaidRequest) -> bytes:
    return step_seed(paid.payment.signature, paid.request_hash, 0)
