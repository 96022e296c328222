"""Prepaid API keys, for clients that cannot pay per call: plain ``openai``, ``ChatOpenAI``, curl.

Each key has an account of its own, which pays for its calls by the same signed payments as anybody else's, and a
cap that is enforced before anything is signed. The account's secret is derived from the gateway's signer, so there
is none to lose; the key itself is shown once and only its hash is kept. As the operator holds these accounts,
their records name it as the seed's source and are never called verified.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ...contracts import Signer, show_open
from ...errors import UserError
from ...registry import Connection
from .._database import Database, deployment_table

__all__ = ["Key", "Keys"]

_PREFIX = "ol-"
_meta = sa.MetaData()
_keys = sa.Table(
    "gateway_keys",
    _meta,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("payer", sa.String(42), nullable=False),
    sa.Column("cap", sa.String(78), nullable=False),  # wei, decimal
    sa.Column("spent", sa.String(78), nullable=False),  # wei, decimal
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("revoked", sa.Boolean, nullable=False),
)
_spends = sa.Table(
    "gateway_spends",
    _meta,
    sa.Column("payment_id", sa.String(66), primary_key=True),
    sa.Column("key_id", sa.Integer, nullable=False, index=True),
    sa.Column("agent_id", sa.Integer, nullable=False),
    sa.Column("wei", sa.String(78), nullable=False),
    sa.Column("open", sa.Boolean, nullable=False, index=True),  # whether it may still be given back
)
deployment_table("gateway", _meta)


@dataclass(frozen=True)
class Key:
    """A key as it is kept. Amounts in wei."""

    id: int
    name: str
    payer: str
    """The address that pays for it, and that OPEN is sent to."""
    cap: int
    spent: int
    """Of the cap, what actions under way hold included."""
    revoked: bool


class Keys:
    """The keys of one gateway. Thread-safe; several processes may share the database."""

    def __init__(self, url: str | Path, payer_of: Callable[[int], Signer]) -> None:
        """``url`` as for :class:`Database`; ``payer_of`` a key's number is its account."""
        self._db, self._payer_of = Database(url, "gateway"), payer_of

    @classmethod
    def open(cls, connection: Connection, signer: Signer) -> Keys:
        """Those of the connection's home, with accounts derived from ``signer``. Raises as :class:`Database`, and
        ``UserError`` when they are of another deployment."""
        from eth_account import Account

        settings, ledger = connection.settings, connection.as_(signer)

        def payer_of(number: int) -> Signer:
            payer: Signer = Account.from_key(ledger.secret("gateway-payer", b"", number))
            return payer

        keys = cls(settings.database_url or settings.home_dir / "gateway.db", payer_of)
        try:
            keys._db.claim(connection.contracts)
        except BaseException:
            keys.close()
            raise
        return keys

    def close(self) -> None:
        self._db.close()

    def create(self, name: str, cap: int) -> tuple[str, Key]:
        """A new key that may spend ``cap`` wei in all: the secret, shown only now, and what is kept of it."""
        if not name.strip() or len(name) > 80:
            raise UserError("a key needs a name of 1 to 80 characters", fix="say whose it is")
        if cap <= 0:
            raise UserError(f"a cap of {cap} wei was refused", fix="give an amount above 0")
        secret = _PREFIX + secrets.token_urlsafe(32)
        row = {"name": name, "hash": _hash(secret), "payer": "", "cap": str(cap), "spent": "0",
               "created": time.time(), "revoked": False}  # fmt: skip
        with self._db.write() as db:
            number = int(db.execute(_keys.insert().values(row)).inserted_primary_key[0])  # type: ignore[index]
            payer = str(self._payer_of(number).address)
            db.execute(_keys.update().where(_keys.c.id == number).values(payer=payer))
        return secret, self.get(number)

    def find(self, secret: str) -> Key | None:
        """The key behind a secret, if there is one and it is not revoked."""
        query = sa.select(_keys).where(_keys.c.hash == _hash(secret), _keys.c.revoked.is_(False))
        with self._db.read() as db:
            row = db.execute(query).first()
        return None if row is None else _key(row)

    def get(self, number: int) -> Key:
        """Raises ``UserError`` for a number that no key has."""
        with self._db.read() as db:
            row = db.execute(sa.select(_keys).where(_keys.c.id == number)).first()
        if row is None:
            raise UserError(f"there is no key {number}", fix="`openledger gateway key list` shows them")
        return _key(row)

    def all(self) -> list[Key]:
        """Oldest first."""
        with self._db.read() as db:
            return [_key(row) for row in db.execute(sa.select(_keys).order_by(_keys.c.id))]

    def revoke(self, number: int) -> Key:
        """Refuse the key from now on; what runs goes on. Repeating it changes nothing."""
        self.get(number)
        with self._db.write() as db:
            db.execute(_keys.update().where(_keys.c.id == number).values(revoked=True))
        return self.get(number)

    def payer(self, key: Key) -> Signer:
        """The account that pays for ``key``. Raises ``UserError`` when the gateway's signer is another than then."""
        signer = self._payer_of(key.id)
        if str(signer.address) != key.payer:
            raise UserError(
                f"the account of key {key.id} cannot be had",
                why=f"it is {key.payer}, and this signer's is {signer.address}",
                fix="run the gateway with the signer that made the key",
            )
        return signer

    def reserve(self, key: Key, payment_id: str, agent_id: int, wei: int) -> None:
        """Take ``wei`` from what ``key`` may spend, once a payment. Raises ``UserError``, code ``user.payment.cap``."""
        with self._db.write(-key.id) as db:
            known = sa.select(_spends.c.payment_id).where(_spends.c.payment_id == payment_id)
            if db.execute(known).first() is not None:
                return
            if _spent(db, key.id) + wei > key.cap:
                raise UserError(
                    f"key {key.name!r} has reached its cap",
                    why=f"this call costs {show_open(wei)} and the key may spend {show_open(key.cap)} in all",
                    fix="ask whoever gave you the key for another; nothing was paid",
                    code="user.payment.cap",
                )
            row = {
                "payment_id": payment_id,
                "key_id": key.id,
                "agent_id": agent_id,
                "wei": str(wei),
                "open": True,
            }
            db.execute(_spends.insert().values(row))
            _add(db, key.id, wei)

    def settle(self, payment_id: str, charged: int) -> None:
        """So many wei of the payment are charged and stay spent; what was not taken, or goes back, counts no more. Repeating it
        changes nothing."""
        which = (_spends.c.payment_id == payment_id, _spends.c.open.is_(True))
        with self._db.read() as db:
            row = db.execute(sa.select(_spends).where(*which)).first()
        if row is None:
            return
        with self._db.write(-row.key_id) as db:
            done = _spends.update().values(open=False, wei=str(charged)) if charged else _spends.delete()
            if db.execute(done.where(*which)).rowcount == 1:
                _add(db, row.key_id, charged - int(row.wei))

    def open_spends(self) -> list[tuple[str, int]]:
        """(payment id, agent) of every payment of which it is not known here what became of it."""
        with self._db.read() as db:
            rows = db.execute(sa.select(_spends).where(_spends.c.open.is_(True)))
            return [(row.payment_id, row.agent_id) for row in rows]


def _spent(db: sa.Connection, number: int) -> int:
    return int(db.execute(sa.select(_keys.c.spent).where(_keys.c.id == number)).scalar_one())


def _add(db: sa.Connection, number: int, wei: int) -> None:
    """To what a key has spent; amounts in wei are wider than SQL's integers, so not in SQL."""
    spent = str(_spent(db, number) + wei)
    db.execute(_keys.update().where(_keys.c.id == number).values(spent=spent))


def _hash(secret: str) -> str:
    # The secret is 256 random bits: there is nothing to stretch.
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def _key(row: Any) -> Key:
    return Key(row.id, row.name, row.payer, int(row.cap), int(row.spent), bool(row.revoked))
