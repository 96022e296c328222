"""Replay of a generation: recompute what it committed to and compare.

Two checks, each blind to what the other sees. Logprobs, from one prefill under the claimed adapter, see a
swapped adapter or base, another precision, and edited tokens. Replayed sampling decisions see another seed,
another temperature, and an output made with one model but reported with another's logprobs.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import OpenLedgerError
from ._tolerance import GROSS_DELTA, Tolerance, ToleranceFor, tolerance_for
from ._types import LENGTH, STOP, AdapterRef, AssetRef, Choice, Generation, Replayer

__all__ = ["Replay", "replay", "vote"]

_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found."""

    verdict: Literal["verified", "mismatch", "unverified"]
    why: str
    """One sentence, empty when verified."""
    root: bytes | None = None
    """The generation root recomputed from the tokens and logprobs at hand."""
    first_token: int | None = None
    """The first diverging position; the number of tokens when only the end is wrong."""
    committed: tuple[int, ...] = ()
    """Logprobs as committed, 10⁻⁴ nat."""
    replayed: tuple[int, ...] = ()
    """Logprobs as recomputed."""
    evidence: int | None = None
    """The leaf to open in a challenge: the one whose logprob is furthest off, else the worst choice."""
    choices: tuple[Choice, ...] = field(default=(), repr=False)
    """The sampling decisions that were replayed."""

    @property
    def deltas(self) -> tuple[int, ...]:
        """replayed − committed, per token, 10⁻⁴ nat."""
        return tuple(after - before for before, after in zip(self.committed, self.replayed, strict=True))

    @property
    def max_delta(self) -> int:
        """The largest |Δ|, 10⁻⁴ nat; 0 when nothing was recomputed."""
        return max(map(abs, self.deltas), default=0)

    @property
    def gross(self) -> bool:
        """Whether the evidence leaf alone convicts before a jury."""
        return self.max_delta > GROSS_DELTA

    def __str__(self) -> str:
        if self.verdict == "mismatch":
            return f"mismatch at token {self.first_token}: {self.why}"
        return self.verdict if self.verdict == "verified" else f"unverified: {self.why}"


def replay(
    generation: Generation,
    replayer: Replayer,
    tolerance: Tolerance | None = None,
    *,
    tolerances: ToleranceFor = tolerance_for,
    root: bytes | None = None,
    base: AssetRef | None = None,
    positions: int | None = None,
    rng: random.Random | None = None,
) -> Replay:
    """Recompute ``generation`` under its claimed base and adapter.

    ``tolerance`` defaults to what ``tolerances`` says of the two engine classes; without one the verdict is
    ``unverified``. ``root`` is the committed generation root, ``base`` the asset of the replayer's base
    model; each is compared when given. ``positions`` bounds how many sampling decisions are replayed,
    drawn by ``rng`` (default: all; a draw the prover could foresee checks nothing). A replay that cannot
    be carried out, for example for want of the adapter, is ``unverified`` and says why.
    """
    sampling = generation.sampling
    if tolerance is None:
        tolerance = tolerances(generation.engine_class, replayer.engine_class)
    if tolerance is None:
        return Replay(
            "unverified",
            f"no tolerance is calibrated for {generation.engine_class} replayed on {replayer.engine_class}",
        )
    if base is not None and generation.base is not None and base != generation.base:
        return Replay(
            "unverified",
            f"the claimed base is asset {generation.base.asset_id}, this engine holds {base.asset_id}",
        )
    stops = replayer.stop_token_ids if sampling.stop_token_ids is None else sampling.stop_token_ids
    broken = _malformed(generation, root, stops)
    if broken is not None:
        at, why = broken
        return Replay("mismatch", why, first_token=at, evidence=at)
    prompt, tokens, committed = list(generation.prompt), list(generation.tokens), generation.logprobs
    try:
        sampling.check()
        replayed = tuple(replayer.score(prompt, tokens, generation.adapter))
        choices = _choices(generation, replayer, tolerance, positions, rng or random.SystemRandom())
    except OpenLedgerError as error:
        return Replay("unverified", str(error).rstrip("."), generation.root)
    outcome = Replay("verified", "", generation.root, None, committed, replayed, None, tuple(choices))
    wrong = [at for at, delta in enumerate(outcome.deltas) if abs(delta) > tolerance.logprob]
    other = [choice for choice in choices if choice.deficit > tolerance.choice]
    if wrong:
        worst = max(wrong, key=lambda at: abs(outcome.deltas[at]))
        why = (
            f"{len(wrong)} of {len(tokens)} logprobs differ, that of token {worst} by "
            f"{abs(outcome.deltas[worst]) / 1e4:.4f} nat where {tolerance.logprob / 1e4:.4f} is honest"
        )
    elif other:
        furthest = max(other, key=lambda choice: choice.deficit)
        worst = furthest.position
        why = (
            f"{len(other)} of {len(choices)} replayed choices differ: the seed gives {furthest.token} "
            f"at token {worst}, not {tokens[worst]}"
        )
    else:
        return outcome
    first = min([*wrong, *(choice.position for choice in other)])
    return dataclasses.replace(outcome, verdict="mismatch", why=why, first_token=first, evidence=worst)


def _malformed(generation: Generation, root: bytes | None, stops: Sequence[int]) -> tuple[int, str] | None:
    """What is wrong without any model: the position and a sentence."""
    tokens, end = generation.tokens, len(generation.tokens)
    if not tokens:
        return 0, "there is no output token"
    if len(generation.logprobs) != end:
        return min(
            end, len(generation.logprobs)
        ), f"{end} tokens came with {len(generation.logprobs)} logprobs"
    if generation.finish not in (STOP, LENGTH):
        return end, f"the finish flag {generation.finish} does not exist"
    if root is not None and generation.root != root:
        return 0, "these tokens and logprobs do not give the committed root"
    early = next((at for at, token in enumerate(tokens[:-1]) if token in stops), None)
    if early is not None:
        return early + 1, f"the output goes on after stop token {tokens[early]}"
    stopped = tokens[-1] in stops
    if generation.finish == STOP and not stopped:
        return end, "the output claims to have stopped but does not end with a stop token"
    if generation.finish == LENGTH and stopped:
        return end, "the output ends with a stop token but claims to have been cut at its length"
    if generation.finish == LENGTH and end != generation.sampling.max_tokens:
        return (
            end,
            f"the output was cut at {end} tokens where {generation.sampling.max_tokens} were asked for",
        )
    if end > generation.sampling.max_tokens:
        return generation.sampling.max_tokens, "the output is longer than was asked for"
    return None


def _choices(
    generation: Generation, replayer: Replayer, tolerance: Tolerance, count: int | None, rng: random.Random
) -> list[Choice]:
    """Replayed decisions in order of position; sampled ones end with the chunk that shows a mismatch."""
    positions = list(range(len(generation.tokens)))
    if count is not None and count < len(positions):
        positions = sorted(rng.sample(positions, count))
    # At temperature 0 one prefill answers all positions.
    size = _CHUNK if generation.sampling.temperature else len(positions)
    choices: list[Choice] = []
    for start in range(0, len(positions), size or 1):
        choices += replayer.step_choice(
            list(generation.prompt),
            list(generation.tokens),
            positions[start : start + size],
            generation.adapter,
            generation.seed,
            generation.sampling,
        )
        if any(choice.deficit > tolerance.choice for choice in choices):
            break
    return choices


def vote(
    replayer: Replayer,
    prefix: Sequence[int],
    adapter: AdapterRef | None,
    committed_token: int,
    probe_token: int,
) -> tuple[int, int]:
    """A juror's two numbers: the logprobs (10⁻⁴ nat) of the committed and the probe token after ``prefix``,
    prompt and output so far, under the declared adapter."""
    committed, probe = replayer.step(list(prefix), adapter, [committed_token, probe_token])
    return committed, probe
