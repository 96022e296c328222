"""The outbox: every action's state, fsynced before the step that depends on it.

One row an action, one row a batch, in SQL: SQLite by default, or Postgres. States:

    PAYING    payment authorised, not yet known to be mined
    ACCEPTED  paid and ticketed; will be executed, again if a crash interrupts it
    EXECUTED  content stored, nonce and full record struct fixed; nothing signed yet
    SIGNED    signature and envelope stored; the receipt may leave
    ANCHORED  in a batch on-chain; SIGNED again if a re-organisation drops it
    SETTLED   final and paid out
    REFUNDED  given back without execution

A record's struct is committed here, with its nonce, before its first signature exists: a restart
signs the same bytes again and can never sign two records for one nonce (which would be slashed).
That holds for several processes on one database too: of one agent's writes one runs at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..errors import OpenLedgerError, UserError
from ..registry import encode
from ._database import Database
from ._group import GroupCommit
from ._outbox_rows import ActionRow, BatchRow, State, action_of, actions, batch_of, batches

if TYPE_CHECKING:
    from ..contracts import Contracts

__all__ = ["ActionRow", "BatchRow", "Outbox", "State"]


# Made once: to build a statement takes as long as to run it.
_ONE = sa.select(actions).where(actions.c.payment_id == sa.bindparam("key"))
_TOP = sa.select(sa.func.max(actions.c.nonce)).where(actions.c.agent_id == sa.bindparam("agent"))
_OPEN = actions.insert().returning(actions)
_IS = actions.update().where(actions.c.payment_id == sa.bindparam("key"))
_ACCEPT = _IS.where(actions.c.state == State.PAYING).values(state=State.ACCEPTED).returning(actions)
_FIX = _IS.where(actions.c.state == State.ACCEPTED).values(state=State.EXECUTED)
_SIGN = _IS.where(actions.c.state == State.EXECUTED).values(state=State.SIGNED)
_REFUND = _IS.where(actions.c.state == State.ACCEPTED).values(state=State.REFUNDED)


class Outbox:
    """See the module. Its methods are thread-safe; what threads fix and sign at once is made durable by one commit.

    Raises ``OpenLedgerError`` with code ``outbox`` when a write cannot be made durable (a full disk,
    say): the transition then did not happen, and the same call may be repeated once there is room.
    """

    def __init__(self, url: str | Path) -> None:
        """``url`` is a file, ``sqlite:///…`` or ``postgresql+psycopg://…``; raises as :class:`Database`."""
        self._db = Database(url, "outbox")
        self.url = self._db.url
        self._write: GroupCommit[tuple[int, _Change], ActionRow] = GroupCommit(self._write_all)

    def close(self) -> None:
        self._db.close()

    def claim(self, contracts: Contracts) -> None:
        """Keep it for this deployment. Raises ``UserError`` when it holds another's actions."""
        self._db.claim(contracts)

    # -- actions ---------------------------------------------------------------------------------

    def open(self, payment_id: str, agent_id: int, fee: int, accepted: dict[str, Any]) -> ActionRow:
        """Note a payment of ``fee`` wei before it is collected. The same one twice gives the row it has."""
        return self.open_all(agent_id, [(payment_id, fee, accepted)])[0]

    def open_all(self, agent_id: int, payments: Sequence[tuple[str, int, dict[str, Any]]]) -> list[ActionRow]:
        """:meth:`open` for several payments of one agent: of all of them or none."""
        rows = []
        with self._db.write(agent_id) as db:
            for payment_id, fee, accepted in payments:
                row = db.execute(_ONE, {"key": payment_id}).first()
                if row is None:
                    values = {
                        "payment_id": payment_id,
                        "agent_id": agent_id,
                        "state": State.PAYING,
                        "fee": str(fee),
                        "accepted": encode(accepted),
                        "updated": time.time(),
                    }
                    row = db.execute(_OPEN, values).one()
                rows.append(row)
        return [action_of(row) for row in rows]

    def drop(self, payment_id: str) -> None:
        """Forget a payment that the chain refused: nothing was taken."""
        with self._db.write() as db:
            db.execute(
                actions.delete().where(actions.c.payment_id == payment_id, actions.c.state == State.PAYING)
            )

    def accept(self, payment_id: str, accepted: dict[str, Any]) -> ActionRow:
        """Paid: keep the signed ticket with what execution needs."""
        return self.accept_all([(payment_id, accepted)])[0]

    def accept_all(self, paid: Sequence[tuple[str, dict[str, Any]]]) -> list[ActionRow]:
        """:meth:`accept` for several payments: of all of them or none. One that another process has accepted keeps what
        that promised."""
        rows = []
        with self._db.write() as db:
            for payment_id, accepted in paid:
                values = {"key": payment_id, "accepted": encode(accepted), "updated": time.time()}
                row = db.execute(_ACCEPT, values).first()
                row = row or db.execute(_ONE, {"key": payment_id}).first()
                if row is None:
                    raise OpenLedgerError(
                        f"action {payment_id} cannot become {State.ACCEPTED}",
                        why="it is not in the outbox: another process took its payment for refused",
                        fix="send the request again with the same payment: it is collected once",
                        code="outbox",
                    )
                rows.append(row)
        return [action_of(row) for row in rows]

    def execute(self, row: ActionRow, next_nonce: int, fix: Any) -> ActionRow:
        """Assign the agent's next nonce and fix the record: ``fix(nonce) -> (struct_hash, executed)``.

        ``next_nonce`` is the chain's; the outbox's own highest plus one wins when higher.
        """

        def change(db: sa.Connection) -> ActionRow:
            top = db.execute(_TOP, {"agent": row.agent_id}).scalar()
            nonce = next_nonce if top is None else max(next_nonce, int(top) + 1)
            struct_hash, executed = fix(nonce)
            fixed = replace(
                row, state=State.EXECUTED, nonce=nonce, struct_hash=struct_hash, executed=executed
            )
            block = encode(executed)
            if _moved(db, _FIX, row.payment_id, nonce=nonce, struct_hash=struct_hash, executed=block):
                return fixed
            return action_of(db.execute(_ONE, {"key": row.payment_id}).one())  # it has its record already

        return self._write((row.agent_id, change))

    def signed(self, row: ActionRow, signature: str, envelope: str) -> ActionRow:
        """Its record is signed, its envelope stored. One that was signed before keeps what it has."""

        def change(db: sa.Connection) -> ActionRow:
            if _moved(db, _SIGN, row.payment_id, signature=signature, envelope=envelope):
                return replace(row, state=State.SIGNED, signature=signature, envelope=envelope)
            return _repeated(db, row.payment_id, State.EXECUTED, State.SIGNED)

        return self._write((row.agent_id, change))

    def refunded(self, payment_id: str) -> None:
        with self._db.write() as db:
            if not _moved(db, _REFUND, payment_id):
                _repeated(db, payment_id, State.ACCEPTED, State.REFUNDED)

    def _write_all(self, changes: list[tuple[int, _Change]]) -> list[ActionRow | Exception]:
        """In one transaction: of all of them or none, but for those that raise before they write."""
        with self._db.write(*{agent_id for agent_id, _ in changes}) as db:
            return list(_tried(db, [change for _, change in changes]))

    def get(self, payment_id: str) -> ActionRow:
        with self._db.read() as db:
            row = db.execute(_ONE, {"key": payment_id}).first()
        if row is None:
            raise UserError(
                f"no action was paid by {payment_id}", fix="call the agent with that payment first"
            )
        return action_of(row)

    def in_state(self, agent_id: int, *states: State) -> list[ActionRow]:
        """The agent's actions in any of ``states``, by nonce, then by age."""
        query = (
            sa.select(actions)
            .where(actions.c.agent_id == agent_id, actions.c.state.in_(states))
            .order_by(actions.c.nonce.nulls_last(), actions.c.updated)
        )
        with self._db.read() as db:
            return [action_of(row) for row in db.execute(query)]

    def receipts(self, agent_id: int, *, before: int | None = None, limit: int = 100) -> list[ActionRow]:
        """The agent's signed actions below nonce ``before``, latest first."""
        query = sa.select(actions).where(actions.c.agent_id == agent_id, actions.c.envelope.is_not(None))
        if before is not None:
            query = query.where(actions.c.nonce < before)
        with self._db.read() as db:
            found = db.execute(query.order_by(actions.c.nonce.desc()).limit(limit))
            return [action_of(row) for row in found]

    def signed_as(self, cid: str) -> ActionRow | None:
        """The action whose receipt has this CID."""
        with self._db.read() as db:
            row = db.execute(sa.select(actions).where(actions.c.envelope == cid)).first()
        return None if row is None else action_of(row)

    def knows(self, agent_id: int) -> bool:
        """Whether any action of the agent was ever taken here."""
        query = sa.select(actions.c.payment_id).where(actions.c.agent_id == agent_id).limit(1)
        with self._db.read() as db:
            return db.execute(query).first() is not None

    def pending_fees(self, agent_id: int) -> int:
        """Wei of the agent's actions that are taken and not yet anchored: the stake must back them too."""
        states = (State.PAYING, State.ACCEPTED, State.EXECUTED, State.SIGNED)
        query = sa.select(actions.c.fee).where(actions.c.agent_id == agent_id, actions.c.state.in_(states))
        with self._db.read() as db:
            return sum(int(fee) for (fee,) in db.execute(query))

    # -- batches ---------------------------------------------------------------------------------

    def open_batch(self, agent_id: int, rows: Sequence[ActionRow], call: dict[str, Any]) -> BatchRow:
        """Fix a batch of contiguous signed actions before it is sent. One that begins at the same nonce stands."""
        first = rows[0].nonce
        assert first is not None  # SIGNED rows have nonces
        at = (batches.c.agent_id == agent_id, batches.c.first_nonce == first)
        with self._db.write(agent_id) as db:
            if (fixed := db.execute(sa.select(batches).where(*at)).first()) is not None:
                return batch_of(fixed)
            db.execute(
                batches.insert().values(
                    agent_id=agent_id,
                    first_nonce=first,
                    count=len(rows),
                    state=State.SIGNED,
                    call=encode(call),
                )
            )
            db.execute(
                actions.update()
                .where(actions.c.payment_id.in_([row.payment_id for row in rows]))
                .values(first_nonce=first)
            )
            return batch_of(db.execute(sa.select(batches).where(*at)).one())

    def batches(self, agent_id: int, *states: State) -> list[BatchRow]:
        query = (
            sa.select(batches)
            .where(batches.c.agent_id == agent_id, batches.c.state.in_(states))
            .order_by(batches.c.first_nonce)
        )
        with self._db.read() as db:
            return [batch_of(row) for row in db.execute(query)]

    def of_batch(self, batch: BatchRow) -> list[ActionRow]:
        """The actions of a batch, by nonce."""
        members = (actions.c.agent_id == batch.agent_id, actions.c.first_nonce == batch.first_nonce)
        with self._db.read() as db:
            return [
                action_of(row)
                for row in db.execute(sa.select(actions).where(*members).order_by(actions.c.nonce))
            ]

    def anchored(self, batch: BatchRow, header: dict[str, Any]) -> None:
        self._move_batch(batch, State.ANCHORED, header=encode(header))

    def dropped(self, batch: BatchRow) -> None:
        """The chain no longer has an anchored batch: it is to be sent again as it is."""
        self._move_batch(batch, State.SIGNED)

    def settled(self, batch: BatchRow) -> None:
        self._move_batch(batch, State.SETTLED)

    def _move_batch(self, batch: BatchRow, after: State, **values: Any) -> None:
        key = (batches.c.agent_id == batch.agent_id, batches.c.first_nonce == batch.first_nonce)
        members = (actions.c.agent_id == batch.agent_id, actions.c.first_nonce == batch.first_nonce)
        with self._db.write() as db:
            db.execute(batches.update().where(*key).values(state=after, **values))
            db.execute(actions.update().where(*members).values(state=after, updated=time.time()))


_Change = Callable[[sa.Connection], ActionRow]
"""Writes an action's next state and gives its row."""


def _tried(db: sa.Connection, changes: Sequence[_Change]) -> Iterator[ActionRow | Exception]:
    for change in changes:
        try:
            yield change(db)
        except sa.exc.SQLAlchemyError:
            raise  # the transaction is lost, for all of them
        except Exception as error:  # noqa: BLE001 - whatever fixing it raised is of this one alone
            yield error


def _moved(db: sa.Connection, move: sa.Update, payment_id: str, **values: Any) -> bool:
    """Whether the action was in the state that ``move`` begins from; it is in the next one then."""
    return bool(db.execute(move, {"key": payment_id, "updated": time.time(), **values}).rowcount)


def _repeated(db: sa.Connection, payment_id: str, before: State, after: State) -> ActionRow:
    """The action, where it is in ``after`` already: repeating a transition after a crash is fine, any other order is a
    bug."""
    row = db.execute(_ONE, {"key": payment_id}).first()
    if row is None or row.state != after:
        raise OpenLedgerError(
            f"action {payment_id} cannot become {after}",
            why=f"it is {None if row is None else row.state}, not {before}",
            code="outbox",
        )
    return action_of(row)
