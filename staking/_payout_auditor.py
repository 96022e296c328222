"""Recomputes what drawn batches pay, and has the prosecutor dispute those that pay something else.

Needs no engine: rule and manifest make payouts of a batch's records in exact integers, so a difference is a fault for
certain, and what could not be recomputed is unverified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ChallengeError, ContentError, OpenLedgerError, UserError
from ..registry import BatchHeader, ContentStore, Ledger
from ._daemon import UNREACHABLE, DaemonLog
from ._demands import require_store
from ._due import clock
from ._journal import Journal, PayoutDraw
from ._prosecutor import Prosecutor
from ._retry import ATTEMPTS, POISON, Budget, wait_after

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
            self._guarded(draw, self._reconsider)
        hour = self.journal.spent_since(int(self.now()) - 3_600, "recomputed")
        budget = Budget(self.per_pass, self.per_hour, spent_hour=hour)
        for draw in self.journal.payouts("drawn"):
            if draw.next_at <= self.now():
                self._guarded(draw, lambda one: self._check(one, budget))

    def _guarded(self, draw: PayoutDraw, work: Callable[[PayoutDraw], None]) -> None:
        try:
            work(draw)
        except OpenLedgerError as error:
            if error.code == UNREACHABLE:
                raise
            self.log.problem(f"payouts of batch {draw.batch[:8]}", error)
        except POISON as error:
            why = f"{type(error).__name__} while it was looked at: {error}"
            if draw.stage == "found":
                self.log.write_once(f"payouts of {draw.batch}", "problem", why)
            else:
                self._retry(draw, self.journal.header(draw), why)

    def _open(self, draw: PayoutDraw) -> BatchHeader | None:
        """The batch, while its payouts can be disputed; after that it is done."""
        header = self.journal.header(draw)
        # what demands extend is for replays only
        if clock(self.ledger) <= self.ledger.challengeable_until(header):
            return header
        if draw.stage == "found":
            self._finish(draw, header, draw.verdict, f"{draw.why}; its window closed")
        else:
            why = f"; last: {draw.why}" if draw.why else ""
            self._finish(
                draw, header, "unverified", f"its window closed before they could be recomputed{why}"
            )
        return None

    def _check(self, draw: PayoutDraw, budget: Budget) -> None:
        header = self._open(draw)
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
            return self._retry(draw, header, str(error))
        except (ChallengeError, UserError) as error:  # which time does not change
            return self._finish(draw, header, "unverified", str(error))
        if not found.differ_from(header):
            return self._finish(draw, header, "verified", "")
        due, anchored = f"0x{found.root.hex()}", f"0x{header.payout_root.hex()}"
        draw.stage, draw.verdict, draw.why = "found", "mismatch", f"root {due} is due, {anchored} is anchored"
        self._tell(draw, header)
        self.journal.save_draw(draw)
        return self._reconsider(draw)

    def _reconsider(self, draw: PayoutDraw) -> None:
        """Dispute them, if it pays now."""
        header = self._open(draw)
        if header is None:
            return
        if self.prosecutor.dispute_shares(header) and not self.ledger.chain.is_dry_run:
            draw.stage = "done"
            self.journal.save_draw(draw)

    def _retry(self, draw: PayoutDraw, header: BatchHeader, why: str) -> None:
        draw.attempts += 1
        if draw.attempts >= ATTEMPTS:
            return self._finish(draw, header, "unverified", why)
        wait = wait_after(draw.attempts)
        draw.next_at, draw.why, draw.verdict = int(self.now()) + wait, why, "unverified"
        self._tell(draw, header, again=wait)
        return self.journal.save_draw(draw)

    def _finish(self, draw: PayoutDraw, header: BatchHeader, verdict: str, why: str) -> None:
        draw.stage, draw.verdict, draw.why = "done", verdict, why
        self._tell(draw, header)
        self.journal.save_draw(draw)

    def _tell(self, draw: PayoutDraw, header: BatchHeader, again: int | None = None) -> None:
        what = f"agent {header.agent_id} from nonce {header.first_nonce}: payouts {draw.verdict}"
        what += f", {draw.why}" if draw.why else ""
        more = {} if again is None else {"retryIn": again}
        about = {"agentId": header.agent_id, "nonce": header.first_nonce, "count": header.count}
        self.log.write("payouts", what, verdict=draw.verdict, why=draw.why, **about, **more)
