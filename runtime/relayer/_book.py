"""What a relayer has paid for, in SQL: each batch once, before it is sent; and what is left of each day's caps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ...contracts import show_open
from ...errors import OverloadedError, UserError
from .._database import Database

__all__ = ["Book", "Entry"]

_DAY = 86_400
SENDING, DONE, FAILED = "sending", "done", "failed"
_meta = sa.MetaData()
_batches = sa.Table(
    "relayer_batches",
    _meta,
    sa.Column("id", sa.String(66), primary_key=True),  # the EIP-712 digest
    sa.Column("account", sa.String(42), nullable=False),  # lower case
    sa.Column("nonce", sa.String(78), nullable=False),
    sa.Column("day", sa.Integer, nullable=False, index=True),  # days since 1970, UTC
    sa.Column("state", sa.String(8), nullable=False, index=True),
    sa.Column("wei", sa.String(78), nullable=False),  # what its gas may cost; once mined, what it did cost
    sa.Column("since", sa.BigInteger, nullable=False),  # the block before it was sent
    sa.Column("tx", sa.String(66), nullable=True),
    sa.Column("raw", sa.Text, nullable=True),  # the signed transaction, before it was broadcast
    sa.Column("why", sa.Text, nullable=True),
    sa.Index("relayer_batches_account", "account", "day"),
)


@dataclass(frozen=True)
class Entry:
    """A batch as it is kept."""

    id: str
    account: str
    nonce: int
    state: str
    """``sending``, ``done`` or ``failed``: mined without effect, and paid for."""
    wei: int
    since: int
    tx: str | None
    raw: bytes | None
    why: str | None


class Book:
    """See the module. Thread-safe. ``clock`` gives unix seconds; days are UTC's."""

    def __init__(self, url: str | Path, clock: Callable[[], float] = time.time) -> None:
        """``url`` as for :class:`Database`."""
        self._db, self._clock = Database(url, "relayer"), clock

    def close(self) -> None:
        self._db.close()

    def find(self, id: str) -> Entry | None:
        with self._db.read() as db:
            row = db.execute(sa.select(_batches).where(_batches.c.id == id)).first()
        return None if row is None else _entry(row)

    def open(self) -> list[Entry]:
        """Every batch of which it is not known here what became of it."""
        with self._db.read() as db:
            return [_entry(row) for row in db.execute(sa.select(_batches).where(_batches.c.state == SENDING))]

    def spent(self, account: str | None = None) -> int:
        """Wei of gas today, of one account or of all; what is being sent counts with what it may cost."""
        with self._db.read() as db:
            return _spent(db, self._day(), account)

    def begin(
        self, id: str, account: str, nonce: int, wei: int, since: int, *, account_cap: int, cap: int
    ) -> None:
        """Note that the batch is about to be sent, for at most ``wei``. The caps are wei of gas a day, of one account and of
        all of them.

        Raises ``OverloadedError`` with code ``relay.cap`` where that exceeds a cap of today, ``UserError`` with code
        ``relay.nonce`` while another batch of the account is on its way.
        """
        account, day = account.lower(), self._day()
        with self._db.write() as db:
            sending = sa.select(_batches.c.id).where(
                _batches.c.account == account, _batches.c.state == SENDING
            )
            if db.execute(sending).first() is not None:
                raise UserError(
                    "another batch of this account is on its way",
                    why="an account's batches are carried out one after another",
                    fix="wait until it is mined, then sign with the next nonce",
                    code="relay.nonce",
                )
            self._room("this account", wei, _spent(db, day, account), account_cap)
            self._room("this relayer", wei, _spent(db, day, None), cap)
            row = {
                "id": id,
                "account": account,
                "nonce": str(nonce),
                "day": day,
                "state": SENDING,
                "wei": str(wei),
                "since": since,
            }
            # what was spent on an earlier try of today stays spent
            earlier = db.execute(sa.select(_batches).where(_batches.c.id == id)).first()
            if earlier is not None:
                db.execute(_batches.update().where(_batches.c.id == id).values(id=_spare(db, id)))
            db.execute(_batches.insert().values(row))

    def signed(self, id: str, tx: str, raw: bytes) -> None:
        """The bytes that are about to be broadcast."""
        self._update(id, tx=tx, raw="0x" + raw.hex())

    def done(self, id: str, tx: str, wei: int) -> None:
        """It was carried out, for ``wei`` of gas."""
        self._update(id, state=DONE, tx=tx, wei=str(wei), raw=None)

    def failed(self, id: str, why: str, tx: str | None, wei: int) -> None:
        """It can no longer be carried out by that transaction."""
        self._update(id, state=FAILED, tx=tx, wei=str(wei), raw=None, why=why)

    def drop(self, id: str) -> None:
        """It was never sent, and costs nothing."""
        with self._db.write() as db:
            db.execute(_batches.delete().where(_batches.c.id == id, _batches.c.state == SENDING))

    def _update(self, id: str, **values: Any) -> None:
        with self._db.write() as db:
            db.execute(_batches.update().where(_batches.c.id == id).values(values))

    def _day(self) -> int:
        return int(self._clock()) // _DAY

    def _room(self, whose: str, wei: int, spent: int, cap: int) -> None:
        if spent + wei <= cap:
            return
        reset = (self._day() + 1) * _DAY
        when = datetime.fromtimestamp(reset, UTC).strftime("%Y-%m-%d %H:%M UTC")
        raise OverloadedError(
            f"the gas that {whose} may use today is used up",
            retry_after=reset - self._clock(),
            why=f"{show_open(spent)} of {show_open(cap)} are spent and this may cost {show_open(wei)}; it resets at {when}",
            fix=f"send it again after {when}, or pay the gas yourself; nothing was sent",
            code="relay.cap",
        )


def _spent(db: sa.Connection, day: int, account: str | None) -> int:
    """Summed here: amounts in wei are wider than SQL's integers."""
    query = sa.select(_batches.c.wei).where(_batches.c.day == day)
    if account is not None:
        query = query.where(_batches.c.account == account.lower())
    return sum(int(row.wei) for row in db.execute(query))


def _spare(db: sa.Connection, id: str) -> str:
    """An id for an earlier try of the same batch."""
    number = 1
    while True:
        made = f"{id[:58]}~{number}"
        if db.execute(sa.select(_batches.c.id).where(_batches.c.id == made)).first() is None:
            return made
        number += 1


def _entry(row: Any) -> Entry:
    raw = None if row.raw is None else bytes.fromhex(row.raw[2:])
    return Entry(
        row.id, row.account, int(row.nonce), row.state, int(row.wei), row.since, row.tx, raw, row.why
    )
