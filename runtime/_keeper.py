"""What an operator would otherwise have to think of: anchoring before each deadline, settling, finishing what was left."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ExecutionError, OpenLedgerError
from ..registry import Ledger
from ..staking import DaemonLog
from ._deploy import Service
from ._fleet import REPORT
from ._metrics import KeeperMetrics
from ._outbox import ActionRow, State

__all__ = ["Keeper", "Keeping"]

LONGEST_WAIT = 600.0
"""Seconds between two tries at most, however often the chain was away."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """When what is done, in seconds."""

    every: float = 15.0
    """Between two passes."""
    anchor_after: float = 60.0
    """An action waits so long for others to be anchored with; less when its deadline is near."""
    settle_every: float = 300.0
    alarm: float = 900.0
    """Before a ticket's ``anchorBy``: an action that is not anchored by then raises the alarm, and one that no worker would
    run is recorded as failed and paid back."""


class Keeper:
    """Keeps one service's promises, in a thread of its own: anchors in batches, settles what is final, executes accepted
    actions that nobody asked for again, or gives up those that no worker would run. What fails is tried again after twice
    the time, and always well before the next ``anchorBy``; when that comes near, an alarm is logged and counted.

    After each pass ``health`` says when that was and how the deadlines stand.
    """

    def __init__(
        self,
        service: Service,
        ledger: Ledger,
        log: DaemonLog,
        keeping: Keeping | None = None,
        *,
        health: Path | None = None,
    ) -> None:
        self._service, self._ledger, self._log = service, ledger, log
        self._keeping, self._health = keeping or Keeping(), health
        self._metrics = KeeperMetrics(service.operator.agent.name)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="keeper", daemon=True)
        self._ahead = 0.0  # of the chain's clock before this machine's
        self._anchored_at = self._settled_at = -1e18
        self._alarmed: set[str] = set()

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop after the pass under way, and anchor what is signed. Raises ``ChainError`` when that fails: it is anchored
        after the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._anchor()

    def run(self) -> None:
        """One pass. Raises what failed; to repeat it is safe."""
        self._ahead = self._ledger.now() - time.time()
        rows = self._open()
        if self._due(rows):
            self._anchor()
        if time.monotonic() - self._settled_at >= self._keeping.settle_every:
            settled = self._service.batcher.settle()
            self._settled_at = time.monotonic()
            if settled:
                self._metrics.settled(settled)
                self._log.write("settled", f"{settled} batches were paid out", batches=settled)
        # Last: an execution may take minutes.
        lag = self._ledger.max_anchor_lag
        for row in rows:
            if row.state in (State.ACCEPTED, State.EXECUTED) and self._left(row) < lag / 2:
                self._finish(row)

    def _finish(self, row: ActionRow) -> None:
        payment_id = bytes.fromhex(row.payment_id[2:])
        try:
            self._service.operator.finish(payment_id)
        except ExecutionError as error:
            if self._left(row) > self._keeping.alarm:
                raise
            # A failure that is on-chain in time costs the fee; a promise that is not kept costs stake.
            self._service.operator.give_up(payment_id, str(error))
            what = f"payment {row.payment_id} goes back: no worker ran it in time"
            self._log.write("gaveUp", what, paymentId=row.payment_id)

    def _serve(self) -> None:
        failures = 0
        while not self._stop.is_set():
            wait = self._keeping.every
            try:
                self.run()
                failures = 0
            except OpenLedgerError as error:
                failures += 1
                self._metrics.failed()
                wait = min(wait * 2 ** min(failures, 12), LONGEST_WAIT, max(1.0, self._soonest() / 8))
                self._log.write(
                    "away", f"{error} Again in {wait:.0f} s.", code=error.code, retryIn=round(wait)
                )
            with suppress(OpenLedgerError):  # nothing is known of the deadlines while the outbox is away
                self._watch(failures, wait)
            self._rest(wait)

    def _rest(self, seconds: float) -> None:
        """Wait, and go on telling of the deadlines: what is not told for a while Ray forgets."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0 and not self._stop.wait(min(left, REPORT)):
            self._metrics.again()

    def _soonest(self) -> float:
        """Seconds to the next deadline; 0 while the outbox is away."""
        try:
            return self._to_next(self._open())
        except OpenLedgerError:
            return 0.0

    def _anchor(self) -> None:
        for header in self._service.batcher.anchor():
            self._metrics.anchored()
            self._log.write(
                "anchored",
                f"nonces {header.first_nonce} to {header.first_nonce + header.count - 1}",
                firstNonce=header.first_nonce,
                count=header.count,
            )
        self._anchored_at = time.monotonic()

    def _due(self, rows: list[ActionRow]) -> bool:
        signed = [row for row in rows if row.state is State.SIGNED]
        if not signed:
            return False
        soonest = min(map(self._left, signed))
        waited = time.monotonic() - self._anchored_at
        return waited >= self._keeping.anchor_after or soonest < 2 * self._keeping.alarm

    def _watch(self, failures: int, wait: float) -> None:
        """Tell how the deadlines stand; raise the alarm for each that is near."""
        rows = self._open()
        left = self._to_next(rows)
        near = {row.payment_id for row in rows if self._left(row) < self._keeping.alarm}
        for row in rows:
            if row.payment_id in near - self._alarmed:
                self._log.write(
                    "alarm",
                    f"payment {row.payment_id} is {row.state} and must be anchored in {self._left(row):.0f} s, or it can be slashed",
                    paymentId=row.payment_id,
                    state=str(row.state),
                    secondsLeft=round(self._left(row)),
                )
        self._alarmed = near
        signed = sum(row.state is State.SIGNED for row in rows)
        self._metrics.deadlines(left, signed)
        if self._health is not None:
            told = {
                "at": round(time.time()),
                "failures": failures,
                "retryIn": round(wait),
                "secondsLeft": round(left),
                "alarms": len(near),
                "signed": signed,
            }
            scratch = self._health.with_suffix(".new")
            scratch.write_text(json.dumps(told) + "\n")
            scratch.replace(self._health)

    def _open(self) -> list[ActionRow]:
        """Actions that are promised and not anchored."""
        states = (State.ACCEPTED, State.EXECUTED, State.SIGNED)
        return self._service.outbox.in_state(self._service.operator.agent_id, *states)

    def _to_next(self, rows: list[ActionRow]) -> float:
        return min(map(self._left, rows), default=LONGEST_WAIT * 8)

    def _left(self, row: ActionRow) -> float:
        ticket: dict[str, Any] = row.accepted["ticket"]
        return float(ticket["anchor_by"]) - (time.time() + self._ahead)
