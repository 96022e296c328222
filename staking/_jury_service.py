"""Sits for a juror: votes in every dispute whose committee holds it, and moves disputes on that nobody moves. One pass at a
time, so that it may be stopped anywhere: a vote is kept before it is committed, and its salt follows from the key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..contracts import show_open
from ..errors import ContentError, OpenLedgerError
from ..registry import Ledger, keccak
from ._challenge import STATES
from ._daemon import UNREACHABLE, DaemonLog
from ._due import SEATS, clock, due_step, take
from ._journal import Journal
from ._juror import Juror

__all__ = ["JuryPolicy", "JuryService"]

COUNTERS = (
    "seats",
    "committed",
    "revealed",
    "unavailable",
    "missed",
    "steps",
    "wei_earned",
    "wei_lost",
    "wei_gas",
)
_ENDED = ("Convicted", "Acquitted", "Voided", "Forfeited")


@dataclass(frozen=True, slots=True)
class JuryPolicy:
    """What a juror does beside voting by replay."""

    unavailable_after: int | None = None
    """Seconds after the draw from which it votes ``unavailable`` when what is to be replayed cannot be had; None to
    abstain, which costs as much as silence."""
    patience: int = 600
    """Seconds it waits for others to send a step that is due; jurors take turns from then to twice that time."""


@dataclass
class JuryService:
    """See the module. ``juror`` signs with ``ledger``'s key."""

    ledger: Ledger
    juror: Juror
    journal: Journal
    log: DaemonLog
    policy: JuryPolicy = field(default_factory=JuryPolicy)

    def __post_init__(self) -> None:
        self.journal.expect(COUNTERS)

    def run(self) -> None:
        """One pass over all disputes that have not ended. Raises ``ChainError`` when the chain is away; everything else
        is logged and tried again."""
        count = int(self.ledger.call(self._functions.disputeCount()))
        ended = int(self.journal.noted("ended-to") or 0)
        for number in range(ended + 1, count + 1):
            if self.journal.noted(f"ended:{number}") is None:
                self._guarded(number)
            if number == ended + 1 and self.journal.noted(f"ended:{number}") is not None:
                ended = number
        self.journal.note("ended-to", str(ended))

    def _guarded(self, number: int) -> None:
        try:
            self._attend(number)
        except OpenLedgerError as error:
            if error.code == UNREACHABLE:
                raise
            self.log.problem(f"dispute {number}", error, dispute=number)

    def _attend(self, number: int) -> None:
        found = self.ledger.call(self._functions.dispute(number))
        state, round_ = STATES[int(found.state)], int(found.round)
        if state == "Drawn" and self._vote_of(number, round_).seated:
            self._vote(number, found)
        step = due_step(self.ledger, number)
        if step is None:
            if state in _ENDED:
                self._end(number, state, round_)
            return
        waits_for_seat = state in ("Open", "Seeding", "Opening")
        if state == "Committed" or not (waits_for_seat or self._sat(number, round_)):
            return
        now = clock(self.ledger)
        since = self.journal.first_seen(f"due:{number}-{step.key}", now)
        if now - since >= self._turn(number):
            after = take(self.ledger, number)
            self.journal.count("steps")
            what = f"dispute {number}: {step.name}, for nobody did in {now - since} s; now {after}"
            self.log.write("step", what, dispute=number, state=after)

    def _turn(self, number: int) -> int:
        """Seconds this juror waits for others: jurors that all sent a step at once would pay for it in vain."""
        patience = self.policy.patience
        drawn = int.from_bytes(keccak(f"{self.ledger.address}-{number}".encode()), "big")
        return patience + (drawn % patience if patience else 0)

    # -- voting ----------------------------------------------------------------------------------

    def _vote(self, number: int, found: Any) -> None:
        cast, now = self._vote_of(number, int(found.round)), clock(self.ledger)
        seat = f"{number}-{int(found.round)}"
        if self.journal.noted(f"seat:{seat}") is None:
            self.journal.note(f"seat:{seat}", str(now))
            self.journal.count("seats")
            what = f"seated in dispute {number}, round {int(found.round)}; commits by {int(found.commitBy)}"
            self.log.write("seated", what, dispute=number, commitBy=int(found.commitBy))
        if cast.revealed:
            return
        committed = int.from_bytes(bytes(cast.commitment), "big") != 0
        if not committed and now <= int(found.commitBy):
            self._commit(number, found, now)
        elif not committed:
            self._missed(seat, number, "did not commit in time")
        elif now > int(found.revealBy):
            self._missed(seat, number, "did not reveal in time")
        elif now > int(found.commitBy) or int(found.commits) == SEATS[int(found.tier)]:
            made = self.juror.reveal(number)
            self.journal.count("revealed")
            self.log.write("revealed", f"dispute {number}: {made}", dispute=number, **made.to_plain())

    def _commit(self, number: int, found: Any, now: int) -> None:
        unavailable = False
        try:
            self.juror.compute(number)
        except ContentError as error:
            drawn_at = int(found.commitBy) - int(
                self.ledger.call(self._functions.termsOf(number)).commitPeriod
            )
            after = self.policy.unavailable_after
            if after is None or now - drawn_at < after:
                what = f"dispute {number}: unverified, what is to be replayed cannot be had ({error})"
                self.log.write_once(f"missing-{number}", "unverified", what, dispute=number)
                return
            unavailable = True
        made = self.juror.commit(number, unavailable=unavailable)
        self.journal.count("unavailable" if unavailable else "committed")
        # the numbers stay secret until they are revealed, so the log does not have them
        what = f"dispute {number}: committed{' `unavailable`' if made.unavailable else ''}"
        self.log.write("committed", what, dispute=number, round=made.round)

    def _missed(self, seat: str, number: int, why: str) -> None:
        if self.journal.noted(f"missed:{seat}") is None:
            self.journal.note(f"missed:{seat}", why)
            self.journal.count("missed")
            self.log.write("missed", f"dispute {number}: {why}", dispute=number)

    # -- what came of it -------------------------------------------------------------------------

    def _end(self, number: int, state: str, round_: int) -> None:
        if self._sat(number, round_):
            events = self.ledger.contracts.disputes.events.JurorSettled
            settled = list(self.ledger.events(events, id=number, juror=self.ledger.address))
            earned = sum(int(event["reward"]) for event in settled)
            lost = sum(int(event["penalty"]) for event in settled)
            with self.journal.together():
                self.journal.count("wei_earned", earned)
                self.journal.count("wei_lost", lost)
                self.journal.note(f"ended:{number}", state)
            what = f"dispute {number}: {state}; earned {show_open(earned)}, lost {show_open(lost)}"
            self.log.write("ended", what, dispute=number, state=state, earned=str(earned), lost=str(lost))
        self.journal.note(f"ended:{number}", state)

    def _sat(self, number: int, round_: int) -> bool:
        return any(self._vote_of(number, earlier).seated for earlier in range(round_ + 1))

    def _vote_of(self, number: int, round_: int) -> Any:
        return self.ledger.call(self._functions.voteOf(number, round_, self.ledger.address))

    @property
    def _functions(self) -> Any:
        return self.ledger.contracts.disputes.functions
