"""Generations from an engine's loop: whole, as they are made, or continued where another engine left off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import EngineError
from ..registry import clip_logprob
from . import _params
from ._jobs import Answer, Job, NotANumberError
from ._loop import Loop
from ._stream import Chunk, Feed
from ._types import LENGTH, STOP, AssetRef, Generation, GenerationRequest, Sampling, Timings

__all__ = ["Generating", "integers"]


class Generating:
    """Turns checked requests into generations."""

    def __init__(self, loop: Loop, base: AssetRef | None, engine_class: str) -> None:
        self._loop, self._base, self.engine_class = loop, base, engine_class
        self.tokens = 0
        """Output tokens made so far."""

    def submit(
        self, request: GenerationRequest, feed: Feed | None = None, done: Chunk | None = None
    ) -> Answer[Generation]:
        """Queue a checked request. ``feed`` gets the tokens as they are made; ``done`` is what was made of it elsewhere:
        it goes on behind that."""
        tokens, logprobs = (done.tokens, done.logprobs) if done else ((), ())
        sampling = request.sampling

        def generation(
            more: Sequence[int], their: Sequence[int], finish: int, timings: Timings
        ) -> Generation:
            return Generation(
                prompt=request.prompt,
                tokens=(*tokens, *more),
                logprobs=(*logprobs, *their),
                finish=finish,
                adapter=request.adapter,
                base=self._base,
                engine_class=self.engine_class,
                seed=request.seed,
                sampling=sampling,
                timings=timings,
            )

        def progress(output: Any) -> None:
            assert feed is not None
            made, have = output.outputs[0], feed.put_so_far - len(tokens)
            new = made.token_ids[have:]
            nats = _params.first_of_each(made.logprobs, have)[: len(new)]
            whole = next((at for at, nat in enumerate(nats) if nat != nat), len(nats))
            if whole:
                feed.put(list(new[:whole]), integers(nats[:whole]))

        def finish(output: Any, job: Job) -> Generation:
            made = output.outputs[0]
            if made.finish_reason not in ("stop", "length"):
                raise EngineError(f"The engine ended a generation by {made.finish_reason!r}")
            self.tokens += len(made.token_ids)
            values = integers(_params.first_of_each(made.logprobs)[: len(made.token_ids)])
            flag = STOP if made.finish_reason == "stop" else LENGTH
            return generation(made.token_ids, values, flag, self._loop.batch.timings(job))

        if (ended := _ended(tokens, sampling)) is not None:  # nothing was left to do but to say so
            answer: Answer[Generation] = Answer()
            answer.set_result(generation((), (), ended, Timings()))
            return answer
        return self._loop.submit(
            [*request.prompt, *tokens],
            _params.generate_params(sampling, request.seed, done=len(tokens), stream=feed is not None),
            request.adapter,
            finish,
            priority=request.priority,
            deadline=request.deadline,
            progress=progress if feed is not None else None,
        )


def _ended(tokens: tuple[int, ...], sampling: Sampling) -> int | None:
    """The finish flag of an output that has ended."""
    if tokens and tokens[-1] in (sampling.stop_token_ids or ()):
        return STOP
    return LENGTH if len(tokens) >= sampling.max_tokens else None


def integers(nats: Any) -> list[int]:
    """Nat as 10⁻⁴ nat. Raises ``NotANumberError``."""
    values = [float(value) for value in nats]
    if any(value != value for value in values):
        raise NotANumberError
    return [clip_logprob(value) for value in values]
