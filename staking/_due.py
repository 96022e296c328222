"""Which step of a dispute anyone may send now, and since when it is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..registry import Ledger
from ._batches import BatchDispute
from ._challenge import STATES

__all__ = ["SEATS", "DueStep", "clock", "due_step"]

SEATS = (5, 11, 23)
"""Jurors of a committee, by tier (contracts' ``JuryBase``)."""


@dataclass(frozen=True, slots=True)
class DueStep:
    """A step that moves a dispute on."""

    name: str
    state: str
    round: int

    @property
    def key(self) -> str:
        """Names this step of its dispute among all it may ever need."""
        return f"{self.state}-{self.round}"


def clock(ledger: Ledger) -> int:
    """Unix time of the block to come: on a quiet chain the latest is long past."""
    pending = ledger.chain.w3.eth.get_block("pending")
    return max(ledger.now(), int(pending["timestamp"]))


def due_step(ledger: Ledger, dispute_id: int) -> DueStep | None:
    """The step that is due in a dispute; None while it waits for votes, time or blocks, or has ended."""
    disputes = ledger.contracts.disputes.functions
    found = ledger.call(disputes.dispute(dispute_id))
    state = STATES[int(found.state)]
    name = _due(ledger, dispute_id, found, state)
    return None if name is None else DueStep(name, state, int(found.round))


def _due(ledger: Ledger, dispute_id: int, found: Any, state: str) -> str | None:
    if state in ("Open", "Seeding"):
        # a devnet mines the block when it is waited for
        mined = ledger.chain.is_devnet or ledger.chain.block_number() > int(found.drawBlock)
        what = "draw the committee" if state == "Open" else "draw the leaves"
        return what if mined else None
    now = clock(ledger)
    if state == "Committed":
        return "burn the bond of evidence that was not shown" if now > int(found.evidenceBy) else None
    if state == "Opening":
        return "close the leaves" if now > int(found.evidenceBy) or _all_shown(ledger, dispute_id) else None
    if state == "Drawn":
        voted = int(found.reveals) == SEATS[int(found.tier)]
        return "rule" if voted or now > int(found.revealBy) else None
    if state == "Ruled":
        return "make the ruling final" if now > int(found.appealBy) else None
    if state in ("Convicted", "Acquitted"):
        rulings = ledger.contracts.disputes.functions
        tiers = range(int(found.tier) + 1)
        if not all(ledger.call(rulings.rulingOf(dispute_id, tier)).settled for tier in tiers):
            return "settle with the jurors"
    return None


def _all_shown(ledger: Ledger, dispute_id: int) -> bool:
    disputes = ledger.contracts.disputes.functions
    shown = int(ledger.call(disputes.leavesDrawn(dispute_id)).shown)
    return shown == (1 << int(ledger.call(disputes.termsOf(dispute_id)).kLeaves)) - 1


def take(ledger: Ledger, dispute_id: int) -> str:
    """Send the step that is due; returns the state after it."""
    return BatchDispute(ledger, dispute_id).proceed()
