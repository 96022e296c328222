"""What the daemons share: a log that only grows, counters for Prometheus, gas that is counted, a loop that outlives
a chain or a store that is away."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ChainError, ContentError, EngineError, OpenLedgerError, UserError
from ..registry import Epoch, Ledger

if TYPE_CHECKING:
    from ..contracts import Contracts, Signer

__all__ = [
    "UNREACHABLE",
    "DaemonLog",
    "Entry",
    "MeteredLedger",
    "folder_of",
    "metrics_text",
    "occupied",
    "serve",
    "write_metrics",
]

UNREACHABLE = "chain.unreachable"
"""The code of errors that end a pass; any other concerns what was looked at."""
EPOCH_AGE = 30.0  # seconds
LONGEST_WAIT = 600.0
"""Seconds between two tries, however often the chain was away."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a daemon's log."""

    at: int
    """Unix seconds of this machine."""
    event: str
    what: str
    """A sentence for people."""
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """On one line; wei as text."""
        return json.dumps({"at": self.at, "event": self.event, "what": self.what, **self.fields})


class DaemonLog:
    """Lines of JSON appended to ``path`` (none without it) and told to ``tell``."""

    def __init__(self, path: Path | None = None, tell: Callable[[Entry], None] = lambda _entry: None) -> None:
        self._path, self._tell = path, tell
        self._told: dict[str, str] = {}
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where it is written. Only of a log that is."""
        assert self._path is not None
        return self._path.parent

    def write(self, event: str, what: str, **fields: Any) -> None:
        """Append one line, flushed before this returns."""
        entry = Entry(int(time.time()), event, what, fields)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(entry.to_json() + "\n")
        self._tell(entry)

    def write_once(self, key: str, event: str, what: str, **fields: Any) -> None:
        """The same, unless it is what this process last said about ``key``."""
        if self._told.get(key) != what:
            self._told[key] = what
            self.write(event, what, **fields)

    def problem(self, key: str, error: OpenLedgerError, **fields: Any) -> None:
        """Something failed and is tried again."""
        self.write_once(key, "problem", f"{key}: {error}", code=error.code, **fields)


class MeteredLedger(Ledger):
    """A ledger for long work: ``spent`` is told the wei of gas of each transaction, and epochs, which every check asks for,
    are read once in half a minute."""

    spent: Callable[[int], None] = staticmethod(lambda _wei: None)

    def __init__(self, contracts: Contracts, signer: Signer) -> None:
        super().__init__(contracts, signer)
        self._epochs: dict[tuple[int, int], tuple[float, Epoch]] = {}

    def epoch(self, agent_id: int, number: int) -> Epoch | None:
        known = self._epochs.get((agent_id, number))
        if known is not None and time.monotonic() - known[0] < EPOCH_AGE:
            return known[1]
        found = super().epoch(agent_id, number)
        if found is not None:
            self._epochs[agent_id, number] = time.monotonic(), found
        return found

    def send(self, call: Any, value: int = 0) -> Any:
        receipt = super().send(call, value)
        self.spent(receipt.cost)
        return receipt


def folder_of(home: Path, kind: str, ledger: Ledger) -> Path:
    """Where the daemon of the ledger's signer on its chain keeps journal, log and metrics."""
    domain = ledger.domain
    return home / kind / f"{domain.chain_id}-{domain.verifying_contract}-{ledger.address}"


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Hold the folder for one daemon, until it ends in whatever way. Raises ``UserError`` when another one holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                "a daemon of this account runs already",
                why=f"it holds {folder}",
                fix="stop it, or let it do the work",
            ) from None
        yield


def metrics_text(prefix: str, counts: Mapping[str, int], labels: Mapping[str, str]) -> str:
    """The counts in Prometheus' text format (version 0.0.4), e.g. ``openledger_audit_challenges_total``."""
    told = ",".join(f'{name}="{value}"' for name, value in labels.items())
    lines = []
    for name, value in sorted(counts.items()):
        metric = f"openledger_{prefix}_{name}_total"
        lines += [f"# TYPE {metric} counter", f"{metric}{{{told}}} {value}"]
    return "\n".join(lines) + "\n"


def write_metrics(path: Path, text: str) -> None:
    """Replace the file at once, as the node exporter's textfile collector wants it."""
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    scratch.replace(path)


def serve(
    run: Callable[[], None],
    log: DaemonLog,
    *,
    every: float,
    stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call ``run`` every ``every`` seconds until ``stop()``. What fails because chain, store or engine do is tried again,
    after twice the time for each failure in a row, ten minutes at most. Any other error ends it."""
    failures = 0
    while not stop():
        wait = every
        try:
            run()
            failures = 0
        except (ChainError, ContentError, EngineError) as error:
            failures += 1
            wait = min(max(every, 1.0) * 2**failures, LONGEST_WAIT)
            log.write("away", f"{error} Again in {wait:g} s.", code=error.code, retryIn=wait)
        while not stop() and wait > 0:
            sleep(min(wait, 0.5))
            wait -= 0.5
