"""Recomputes what drawn batches pay, and has the prosecutor dispute those that pay something else.

Needs no engine: rule and manifest make payouts of a batch's records and of what it states of influence, so a difference is
a fault for certain, and what could not be recomputed is unverified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ChallengeError, ContentError, UserError
from ..registry import BatchHeader, ContentStore, Ledger
from ._daemon import DaemonLog
from ._demands import require_store
from ._docket import Docket
from ._journal import Journal, PayoutDraw
from ._prosecutor import Prosecutor
from ._retry import Budget

if TYPE_CHECKING:
    from ._shares import Payouts

__all__ = ["PayoutAuditor", "Recompute"]

Recompute = Callable[[BatchHeader], "Payouts"]
"""What a batch had to pay. Raises ``ContentError`` when something cannot be had, ``ChallengeError`` for a rule that is not
known."""


@dataclass(frozen=True)
class PayoutAuditor:
    """See the module. ``per_pass`` and ``per_hour`` are actions whose payouts may be recomputed."""

    ledger: Ledger
    store: ContentStore
    journal: Journal
    log: DaemonLog
    prosecutor: Prosecutor
    recompute: Recompute
    per_pass: int
    per_hour: int
    now: Callable[[], float]

    def run(self) -> None:
        """One pass: disputes that may pay now, then new batches. Raises ``ChainError`` when the chain is away."""
        for draw in self.journal.payouts("found"):
            self.docket.guarded(draw, self._reconsider)
        hour = self.journal.spent_since(int(self.now()) - 3_600, "recomputed")
        budget = Budget(self.per_pass, self.per_hour, spent_hour=hour)
        for draw in self.journal.payouts("drawn"):
            if draw.next_at <= self.now():
                self.docket.guarded(draw, lambda one: self._check(one, budget))

    @cached_property
    def docket(self) -> Docket[PayoutDraw]:
        return Docket(
            self.ledger,
            self.journal,
            self.log,
            self.now,
            self._tell,
            lambda draw: (f"payouts of batch {draw.batch[:8]}", {}),
            "they could be recomputed",
        )

    def _check(self, draw: PayoutDraw, budget: Budget) -> None:
        header = self.docket.open(draw)
        if header is None:
            return None
        if not budget.allows(header.count):
            self.log.write_once("payout budget", "budget", "the budget for payouts is spent; the rest waits")
            return None
        budget.spend(header.count)
        self.journal.spend(int(self.now()), header.count, "recomputed")
        self.journal.count("actions_recomputed", header.count)
        try:
            found = self.recompute(header)
        except ContentError as error:
            require_store(self.store)
            return self.docket.retry(draw, header, str(error))
        except (ChallengeError, UserError) as error:  # which time does not change
            return self.docket.finish(draw, header, "unverified", str(error))
        if not found.differ_from(header):
            return self.docket.finish(draw, header, "verified", "")
        due, anchored = f"0x{found.root.hex()}", f"0x{header.payout_root.hex()}"
        self.docket.found(draw, header, f"root {due} is due, {anchored} is anchored")
        return self._reconsider(draw)

    def _reconsider(self, draw: PayoutDraw) -> None:
        """Dispute them, if it pays now."""
        header = self.docket.open(draw)
        if header is not None and self.prosecutor.dispute_shares(header):
            self.docket.brought(draw)

    def _tell(self, draw: PayoutDraw, header: BatchHeader, again: int | None) -> None:
        what = f"agent {header.agent_id} from nonce {header.first_nonce}: payouts {draw.verdict}"
        what += f", {draw.why}" if draw.why else ""
        more = {} if again is None else {"retryIn": again}
        about = {"agentId": header.agent_id, "nonce": header.first_nonce, "count": header.count}
        self.log.write("payouts", what, verdict=draw.verdict, why=draw.why, **about, **more)
