"""Proposals, how they stand, and what accounts vote with. Amounts in wei of OPEN, times in unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ._keccak import keccak
from ._proposals import Call

__all__ = ["Proposal", "ProposalState", "Standing", "Support", "Voter"]


class ProposalState(IntEnum):
    """Where a proposal stands, numbered as OpenZeppelin's governor does."""

    PENDING = 0
    ACTIVE = 1
    CANCELED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7


class Support(IntEnum):
    """A vote. Abstaining counts for the quorum only."""

    AGAINST = 0
    FOR = 1
    ABSTAIN = 2


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was proposed. Times are unix seconds."""

    id: int
    proposer: str
    description: str
    calls: tuple[Call, ...]
    opens: int
    """Votes of this second count; voting begins after it."""
    closes: int

    @property
    def description_hash(self) -> bytes:
        return keccak(self.description.encode())


@dataclass(frozen=True, slots=True)
class Standing:
    """How a proposal does: votes in wei, times in unix seconds."""

    state: ProposalState
    in_favour: int
    against: int
    abstaining: int
    quorum: int
    """What ``in_favour`` and ``abstaining`` must reach together; 0 before voting opens."""
    executable: int
    """When it may be executed; 0 before it is queued."""


@dataclass(frozen=True, slots=True)
class Voter:
    """What an account has to vote with, in wei."""

    wrapped: int
    votes: int
    delegate: str
    """Who votes with its OPEN; the zero address is nobody."""
