"""What honest replays differ by on this machine: the figures behind a tolerance, and the speed of both sides."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ._tolerance import Observation
from ._types import AdapterRef, Choice, Generation, GenerationRequest, Replayer, Sampling

__all__ = ["Calibration", "Prover", "calibrate", "honest_requests", "observe"]


class Prover(Protocol):
    """Generates in batches; ``Engine`` and ``EnginePool`` do."""

    def generate_many(self, requests: Sequence[GenerationRequest]) -> list[Generation]: ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """Figures over honest generations of one prover, replayed by one verifier. Deltas in 10⁻⁴ nat."""

    prover: str
    verifier: str
    tokens: int
    max_delta: int
    p999_delta: int
    max_deficit: float
    """The furthest (nat) a committed token was behind the replayed choice."""
    swapped_median: float
    """Median |Δ| when the same outputs are scored under another adapter than produced them."""
    generate_seconds: float
    score_seconds: float
    """One prefill an output."""
    choice_seconds: float
    """``choices`` replayed decisions a sampled output, all of a greedy one."""


def honest_requests(
    adapters: Sequence[AdapterRef | None],
    vocab_size: int,
    *,
    length: int = 64,
    batch: int = 32,
    seed: int = 0,
) -> Iterator[list[GenerationRequest]]:
    """Batches without end over ``adapters`` mixed, of 1 to ``batch`` requests: prompts of 4 to 100 random token ids,
    every other output sampled. Deterministic."""
    draw = random.Random(seed)
    while True:
        size = draw.choice([1, max(1, batch // 4), batch])
        yield [_request(draw, adapters[at % len(adapters)], at, vocab_size, length) for at in range(size)]


def observe(
    generation: Generation, verifier: Replayer, choices: int | None = 8, draw: random.Random | None = None
) -> Observation:
    """Replay ``generation``, taken to be honest: every logprob, and ``choices`` drawn decisions (``None``: all).

    Raises what the verifier raises.
    """
    prompt, output = list(generation.prompt), list(generation.tokens)
    scored = verifier.score(prompt, output, generation.adapter)
    positions = list(range(len(output)))
    if choices is not None and choices < len(output):
        positions = sorted((draw or random.Random(0)).sample(positions, choices))
    replayed: list[Choice] = verifier.step_choice(
        prompt, output, positions, generation.adapter, generation.seed, generation.sampling
    )
    deltas = tuple(abs(a - b) for a, b in zip(generation.logprobs, scored, strict=True))
    return Observation(generation.engine_class, deltas, max(choice.deficit for choice in replayed))


def calibrate(
    prover: Prover,
    verifier: Replayer,
    adapters: Sequence[AdapterRef | None],
    *,
    vocab_size: int,
    tokens: int = 10_000,
    batch: int = 32,
    length: int = 64,
    choices: int = 8,
    seed: int = 0,
) -> Calibration:
    """Generate at least ``tokens`` output tokens honestly, in mixed batches, half of them sampled, and
    replay each alone. Prompts are random token ids, 4 to 100 long. Deterministic but for the times."""
    draw = random.Random(seed)
    deltas: list[int] = []
    swapped: list[int] = []
    worst = 0.0
    spent = {"generate": 0.0, "score": 0.0, "choice": 0.0}
    verifier_class = prover_class = verifier.engine_class
    while len(deltas) < tokens:
        requests = [
            _request(draw, adapters[at % len(adapters)], at, vocab_size, length) for at in range(batch)
        ]
        began = time.perf_counter()
        made = prover.generate_many(requests)
        spent["generate"] += time.perf_counter() - began
        for one in made:
            prover_class = one.engine_class
            prompt, output = list(one.prompt), list(one.tokens)
            began = time.perf_counter()
            scored = verifier.score(prompt, output, one.adapter)
            spent["score"] += time.perf_counter() - began
            deltas += [abs(a - b) for a, b in zip(one.logprobs, scored, strict=True)]
            positions = sorted(draw.sample(range(len(output)), min(choices, len(output))))
            began = time.perf_counter()
            replayed: list[Choice] = verifier.step_choice(
                prompt, output, positions, one.adapter, one.seed, one.sampling
            )
            spent["choice"] += time.perf_counter() - began
            worst = max([worst, *(choice.deficit for choice in replayed)])
        first = made[0]
        other = next((adapter for adapter in adapters if adapter != first.adapter), first.adapter)
        scored = verifier.score(list(first.prompt), list(first.tokens), other)
        swapped += [abs(a - b) for a, b in zip(first.logprobs, scored, strict=True)]
    deltas.sort()
    swapped.sort()
    return Calibration(
        prover=prover_class,
        verifier=verifier_class,
        tokens=len(deltas),
        max_delta=deltas[-1],
        p999_delta=deltas[min(len(deltas) - 1, len(deltas) * 999 // 1000)],
        max_deficit=worst,
        swapped_median=swapped[len(swapped) // 2] / 1e4,
        generate_seconds=spent["generate"],
        score_seconds=spent["score"],
        choice_seconds=spent["choice"],
    )


def _request(
    draw: random.Random, adapter: AdapterRef | None, at: int, vocab_size: int, length: int
) -> GenerationRequest:
    prompt = tuple(draw.randrange(3, vocab_size) for _ in range(draw.randint(4, 100)))
    temperature = draw.choice([0.7, 1.0]) if at % 2 else 0.0
    sampling = Sampling(temperature, draw.choice([1.0, 0.95]), 0, length, ())
    return GenerationRequest(prompt, adapter, sampling, draw.randbytes(32))
