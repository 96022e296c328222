"""What a daemon remembers between its steps: draws, disputes, counts. One SQLite file for each account on each chain.

Losing it loses no money: what was committed to is found again on the chain. Wei are text, for SQLite's integers end at 2^63.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..registry import BatchHeader

__all__ = ["Case", "Draw", "Journal", "PayoutDraw"]

_SCHEMA = """
create table if not exists batches (hash text primary key, header text not null);
create table if not exists draws (
  batch text not null references batches, nonce integer not null, cid text not null default '',
  stage text not null default 'drawn', verdict text not null default '', why text not null default '',
  step integer not null default 0, token integer not null default 0, tokens integer not null default 0,
  attempts integer not null default 0, next_at integer not null default 0, missing_since integer not null default 0,
  primary key (batch, nonce));
create index if not exists draws_by_stage on draws (stage);
create table if not exists cases (
  kind text not null, id integer not null, agent_id integer not null, nonce integer not null,
  step integer not null default -1, token integer not null default -1, bond text not null default '0',
  state text not null default '', done integer not null default 0, primary key (kind, id));
create table if not exists payouts (
  batch text primary key references batches, stage text not null default 'drawn', verdict text not null default '',
  why text not null default '', attempts integer not null default 0, next_at integer not null default 0);
create table if not exists replayed (at integer not null, tokens integer not null);
create table if not exists recomputed (at integer not null, tokens integer not null);
create table if not exists notes (key text primary key, value text not null);
"""


@dataclass(slots=True)
class Draw:
    """An anchored action that was drawn. ``stage`` is ``drawn``, ``found`` (at fault, not brought yet) or ``done``."""

    batch: str
    nonce: int
    cid: str = ""
    stage: str = "drawn"
    verdict: str = ""
    why: str = ""
    step: int = 0
    token: int = 0
    """What to open, where replay found the fault; step −1 where it needs no jury, −2 where no single leaf convicts."""
    tokens: int = 0
    """Output tokens that were replayed."""
    attempts: int = 0
    next_at: int = 0
    """Unix seconds of this machine before which it is not looked at again."""
    missing_since: int = 0
    """Since when (chain's clock) content is missing; 0 while none is."""


@dataclass(slots=True)
class PayoutDraw:
    """A batch whose payouts are to be recomputed; ``stage`` and the rest as of a :class:`Draw`."""

    batch: str
    stage: str = "drawn"
    verdict: str = ""
    why: str = ""
    attempts: int = 0
    next_at: int = 0


@dataclass(slots=True)
class Case:
    """A jury's dispute, a demand or a requested audit (``kind``) by this account."""

    kind: str
    id: int
    agent_id: int
    nonce: int
    step: int = -1
    token: int = -1
    bond: int = 0
    """Wei."""
    state: str = ""
    done: bool = False


class Journal:
    """See the module. Every method commits what it writes before it returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._expected: tuple[str, ...] = ()
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything written inside, or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # -- batches and draws -----------------------------------------------------------------------

    def knows(self, header: BatchHeader) -> bool:
        return self._one("select 1 from batches where hash = ?", header.hash().hex()) is not None

    def add_batch(self, header: BatchHeader, nonces: list[int], *, payouts: bool = False) -> None:
        """A newly anchored batch, the nonces that were drawn from it, and whether its payouts were."""
        key = header.hash().hex()
        self._db.execute("insert or ignore into batches values (?, ?)", (key, _pack(header)))
        rows = [(key, nonce) for nonce in nonces]
        self._db.executemany("insert or ignore into draws (batch, nonce) values (?, ?)", rows)
        if payouts:
            self._db.execute("insert or ignore into payouts (batch) values (?)", (key,))

    def header(self, draw: Draw | PayoutDraw) -> BatchHeader:
        (packed,) = self._db.execute("select header from batches where hash = ?", (draw.batch,)).fetchone()
        return _unpack(packed)

    def draws(self, stage: str) -> list[Draw]:
        """Those at a stage, in the order they were drawn."""
        names = ", ".join(field.name for field in fields(Draw))
        rows = self._db.execute(f"select {names} from draws where stage = ? order by rowid", (stage,))
        return [Draw(*row) for row in rows]

    def payouts(self, stage: str) -> list[PayoutDraw]:
        """Batches whose payouts are at a stage, in the order they were drawn."""
        names = ", ".join(field.name for field in fields(PayoutDraw))
        rows = self._db.execute(f"select {names} from payouts where stage = ? order by rowid", (stage,))
        return [PayoutDraw(*row) for row in rows]

    def save_draw(self, draw: Draw | PayoutDraw) -> None:
        _upsert(self._db, "draws" if isinstance(draw, Draw) else "payouts", draw)

    # -- cases -----------------------------------------------------------------------------------

    def cases(self) -> list[Case]:
        """Those that have not ended, oldest first."""
        return self._cases("where done = 0 order by rowid")

    def case(self, kind: str, number: int) -> Case | None:
        """The case with this number, if it is known."""
        return next(iter(self._cases("where kind = ? and id = ?", kind, number)), None)

    def _cases(self, which: str, *values: Any) -> list[Case]:
        names = ", ".join(field.name for field in fields(Case))
        rows = self._db.execute(f"select {names} from cases {which}", values).fetchall()
        return [
            Case(k, i, a, n, s, t, int(bond), state, bool(over))
            for k, i, a, n, s, t, bond, state, over in rows
        ]

    def save_case(self, case: Case) -> None:
        _upsert(self._db, "cases", case)

    # -- counts, budgets, notes ------------------------------------------------------------------

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        self.note(f"count:{name}", str(int(self.noted(f"count:{name}") or 0) + more))

    def expect(self, names: Iterable[str]) -> None:
        """Counters that begin at 0."""
        self._expected = tuple(names)

    def counts(self) -> dict[str, int]:
        """Every counter by name; as ``actions_…`` how many draws stand with each verdict, as ``payouts_…`` how many batches'
        payouts do."""
        noted = self._db.execute("select key, value from notes where key like 'count:%' order by key")
        found = {key.removeprefix("count:"): int(value) for key, value in noted}
        found = dict.fromkeys(self._expected, 0) | found
        for name, table in (("actions", "draws"), ("payouts", "payouts")):
            verdicts = self._db.execute(
                f"select verdict, count(*) from {table} where verdict != '' group by verdict"
            )
            found |= {f"{name}_{verdict}": number for verdict, number in verdicts}
        return found

    def spend(self, at: int, tokens: int, on: str = "replayed") -> None:
        """Note that ``tokens`` were ``replayed`` (or ``recomputed``) at unix time ``at``."""
        self._db.execute(f"delete from {on} where at < ?", (at - 86_400,))
        self._db.execute(f"insert into {on} values (?, ?)", (at, tokens))

    def spent_since(self, at: int, on: str = "replayed") -> int:
        """Tokens ``replayed`` (or ``recomputed``) after unix time ``at``."""
        (total,) = self._db.execute(
            f"select coalesce(sum(tokens), 0) from {on} where at > ?", (at,)
        ).fetchone()
        return int(total)

    def noted(self, key: str) -> str | None:
        row = self._one("select value from notes where key = ?", key)
        return None if row is None else str(row[0])

    def note(self, key: str, value: str) -> None:
        self._db.execute("insert or replace into notes values (?, ?)", (key, value))

    def first_seen(self, key: str, now: int) -> int:
        """When ``key`` was first asked about: ``now`` the first time."""
        known = self.noted(key)
        if known is None:
            self.note(key, str(now))
        return now if known is None else int(known)

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()


def _upsert(db: sqlite3.Connection, table: str, row: Draw | PayoutDraw | Case) -> None:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    if isinstance(row, Case):
        values["bond"] = str(row.bond)
    keys = {"draws": "batch, nonce", "payouts": "batch", "cases": "kind, id"}[table]
    rest = ", ".join(f"{name} = excluded.{name}" for name in values)
    marks = ", ".join("?" * len(values))
    db.execute(
        f"insert into {table} ({', '.join(values)}) values ({marks}) on conflict ({keys}) do update set {rest}",
        tuple(values.values()),
    )


def _pack(header: BatchHeader) -> str:
    plain = {field.name: getattr(header, field.name) for field in fields(header)}
    return json.dumps({k: v.hex() if isinstance(v, bytes) else str(v) for k, v in plain.items()})


def _unpack(packed: str) -> BatchHeader:
    kept = json.loads(packed)
    octets = ("record_root", "payout_root", "batch_digest")
    values: dict[str, Any] = {k: bytes.fromhex(v) if k in octets else int(v) for k, v in kept.items()}
    return BatchHeader(**values)
