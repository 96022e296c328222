"""What is the same for everything an auditor drew: it is looked at while its batch can be disputed, again after a while where
something could not be had, and what goes wrong with one costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import OpenLedgerError
from ..registry import BatchHeader, Ledger
from ._daemon import UNREACHABLE, DaemonLog
from ._due import clock
from ._journal import Draw, Journal, PayoutDraw
from ._retry import ATTEMPTS, POISON, wait_after

__all__ = ["Docket"]

D = TypeVar("D", Draw, PayoutDraw)


@dataclass(frozen=True)
class Docket(Generic[D]):
    """See the module."""

    ledger: Ledger
    journal: Journal
    log: DaemonLog
    now: Callable[[], float]
    tell: Callable[[D, BatchHeader, int | None], None]
    """Writes what was found, and in how many seconds it is looked at again if it is: before it is noted as looked at."""
    called: Callable[[D], tuple[str, dict[str, Any]]]
    """What a draw is called in the log, and the fields of its lines there."""
    unchecked: str
    """Why nothing was found when the window closed: ``its window closed before …``."""

    def guarded(self, draw: D, work: Callable[[D], None]) -> None:
        """Raises ``ChainError`` when the chain is away; everything else is logged, and tried again unless a fault was
        found already."""
        try:
            work(draw)
        except OpenLedgerError as error:
            if error.code == UNREACHABLE:
                raise
            name, about = self.called(draw)
            self.log.problem(name, error, **about)
        except POISON as error:
            why = f"{type(error).__name__} while it was looked at: {error}"
            if draw.stage == "found":
                name, about = self.called(draw)
                self.log.write_once(f"found {draw.batch} {name}", "problem", why, **about)
            else:
                self.retry(draw, self.journal.header(draw), why)

    def open(self, draw: D) -> BatchHeader | None:
        """The draw's batch, while it can be disputed; after that the draw is done. What demands extend is for replays only."""
        header = self.journal.header(draw)
        if clock(self.ledger) <= self.ledger.challengeable_until(header):
            return header
        if draw.stage == "found":
            self.finish(draw, header, draw.verdict, f"{draw.why}; its window closed")
        else:
            why = f"; last: {draw.why}" if draw.why else ""
            self.finish(draw, header, "unverified", f"its window closed before {self.unchecked}{why}")
        return None

    def found(self, draw: D, header: BatchHeader, why: str) -> None:
        """It is at fault, and to be brought."""
        draw.stage, draw.verdict, draw.why = "found", "mismatch", why
        self.tell(draw, header, None)
        self.journal.save_draw(draw)

    def retry(self, draw: D, header: BatchHeader, why: str, *, limited: bool = True) -> None:
        """Look again later; when ``limited``, not for ever."""
        draw.attempts += 1
        if limited and draw.attempts >= ATTEMPTS:
            return self.finish(draw, header, "unverified", why)
        wait = wait_after(draw.attempts)
        draw.next_at, draw.why, draw.verdict = int(self.now()) + wait, why, "unverified"
        self.tell(draw, header, wait)
        return self.journal.save_draw(draw)

    def finish(self, draw: D, header: BatchHeader, verdict: str, why: str) -> None:
        """It was looked at for the last time."""
        draw.stage, draw.verdict, draw.why = "done", verdict, why
        self.tell(draw, header, None)
        self.journal.save_draw(draw)

    def brought(self, draw: D) -> None:
        """Its fault was brought; in a dry run it was not."""
        if not self.ledger.chain.is_dry_run:
            draw.stage = "done"
            self.journal.save_draw(draw)
