"""The chain's events of this deployment in SQL, kept in step with the chain through re-organisations.

Raw logs, as the node gives them; they are decoded when they are read. What is here can always be read from the chain again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..errors import UserError
from ._database import Database, deployment_table

if TYPE_CHECKING:
    from pathlib import Path

    from ..contracts import Contracts

__all__ = ["Index"]

_MARKS = 1_000
"""Newest ends of passes that are kept. A re-organisation past them has everything read again."""
_TOPICS = ("topic0", "topic1", "topic2", "topic3")
_WRITER = -1  # lock of whoever brings the index up to date

_meta = sa.MetaData()
_blocks = sa.Table(
    "blocks",
    _meta,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
)  # up to which a pass has read
_logs = sa.Table(
    "logs",
    _meta,
    sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("log", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("block_hash", sa.LargeBinary, nullable=False),
    sa.Column("tx", sa.LargeBinary, nullable=False),
    sa.Column("tx_index", sa.Integer, nullable=False),
    sa.Column("address", sa.LargeBinary, nullable=False),
    sa.Column("topic0", sa.LargeBinary, nullable=False),
    sa.Column("topic1", sa.LargeBinary),
    sa.Column("topic2", sa.LargeBinary),
    sa.Column("topic3", sa.LargeBinary),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
for _number in (1, 2, 3):
    sa.Index(f"logs_by_topic{_number}", _logs.c.topic0, _logs.c[f"topic{_number}"], _logs.c.block)
deployment_table("index", _meta)


class Index:
    """See the module. :meth:`logs` gives what ``Chain.logs`` gives, from here. Thread-safe; processes may share one."""

    def __init__(self, contracts: Contracts, url: str | Path, *, confirmations: int = 0) -> None:
        """``url`` as ``Outbox`` takes it; blocks younger than ``confirmations`` are left out. Raises as
        ``Outbox``, and ``UserError`` when it is of another deployment."""
        self._contracts, self._chain, self._confirmations = contracts, contracts.chain, confirmations
        self._db = Database(url, "index")
        try:
            self._db.claim(contracts)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    @property
    def head(self) -> int | None:
        """The last block that was read, or None before the first pass."""
        with self._db.read() as db:
            return db.execute(sa.select(sa.func.max(_blocks.c.number))).scalar()

    def advance(self) -> int:
        """Drop what the chain no longer has, read what is new; returns how many logs were added.

        Asked again after any failure, it goes on where it was. Raises ``ChainError`` when the chain is away.
        """
        added, addresses = 0, list(self._contracts.deployment.addresses.values())
        last = self._chain.block_number() - self._confirmations
        at = self._drop()
        start = self._contracts.deployment.block if at is None else at
        for end, seen, found in self._chain.raw_logs(addresses, start + 1, last):
            if at is not None and not self._stands(at):
                break  # the chain changed below; the next pass drops what it lost
            if not self._add(at, end, seen, found):
                break  # another process is at it
            at, added = end, added + len(found)
        return added

    def _stands(self, number: int) -> bool:
        with self._db.read() as db:
            known = db.execute(sa.select(_blocks.c.hash).where(_blocks.c.number == number)).scalar()
        return known is not None and self._chain.block_hash(number) == bytes(known)

    def _drop(self) -> int | None:
        """Forget every block that the chain does not have, and all after it; gives the last that stands."""
        with self._db.read() as db:
            marks = list(db.execute(sa.select(_blocks).order_by(_blocks.c.number.desc())))
        stands = next(
            (mark.number for mark in marks if self._chain.block_hash(mark.number) == bytes(mark.hash)), None
        )
        if marks and marks[0].number != stands:
            after = -1 if stands is None else stands
            with self._db.write(_WRITER) as db:
                db.execute(_logs.delete().where(_logs.c.block > after))
                db.execute(_blocks.delete().where(_blocks.c.number > after))
        return stands

    def _add(self, at: int | None, end: int, seen: bytes, found: list[Any]) -> bool:
        """Keep a chunk that follows on ``at``, all of it or nothing. False where another pass was first."""
        rows = [
            {
                "block": int(log["blockNumber"]),
                "log": int(log["logIndex"]),
                "block_hash": bytes(log["blockHash"]),
                "tx": bytes(log["transactionHash"]),
                "tx_index": int(log["transactionIndex"]),
                "address": bytes.fromhex(log["address"][2:]),
                "data": bytes(log["data"]),
                **dict.fromkeys(_TOPICS),
                **dict(zip(_TOPICS, map(bytes, log["topics"]), strict=False)),
            }
            for log in found
            if log["topics"]
        ]
        with self._db.write(_WRITER) as db:
            if db.execute(sa.select(sa.func.max(_blocks.c.number))).scalar() != at:
                return False
            if rows:
                db.execute(_logs.insert(), rows)
            db.execute(_blocks.insert().values(number=end, hash=seen))
            oldest = (
                sa.select(_blocks.c.number).order_by(_blocks.c.number.desc()).offset(_MARKS).limit(1)
            ).scalar_subquery()
            db.execute(_blocks.delete().where(_blocks.c.number <= oldest))
        return True

    def logs(
        self,
        event: Any,
        from_block: int,
        to_block: int | None = None,
        *,
        where: dict[str, Any] | None = None,
    ) -> Iterator[Any]:
        """Every ``event`` (``contract.events.Anchored``) of the blocks read so far, as ``Chain.logs`` gives them.

        ``where`` filters by indexed arguments; raises ``UserError`` for a name that is none.
        """
        from eth_abi.abi import encode
        from eth_utils.abi import event_abi_to_log_topic
        from hexbytes import HexBytes
        from web3.datastructures import AttributeDict

        one = event() if callable(event) else event
        indexed = [given for given in one.abi["inputs"] if given["indexed"]]
        query = sa.select(_logs).where(
            _logs.c.topic0 == event_abi_to_log_topic(one.abi),
            _logs.c.address == bytes.fromhex(one.address[2:]),
            _logs.c.block >= from_block,
        )
        if to_block is not None:
            query = query.where(_logs.c.block <= to_block)
        for name, value in (where or {}).items():
            place = next((n for n, given in enumerate(indexed, 1) if given["name"] == name), None)
            if place is None:
                names = ", ".join(given["name"] for given in indexed)
                raise UserError(f"{one.name} is not indexed by {name!r}", fix=f"use one of {names}")
            query = query.where(_logs.c[f"topic{place}"] == encode([indexed[place - 1]["type"]], [value]))
        with self._db.read() as db:
            rows = list(db.execute(query.order_by(_logs.c.block, _logs.c.log)))
        for row in rows:
            topics = [
                topic for topic in (row.topic0, row.topic1, row.topic2, row.topic3) if topic is not None
            ]
            yield one.process_log(
                AttributeDict(
                    {
                        "address": one.address,
                        "topics": [HexBytes(topic) for topic in topics],
                        "data": HexBytes(row.data),
                        "blockNumber": row.block,
                        "blockHash": HexBytes(row.block_hash),
                        "transactionHash": HexBytes(row.tx),
                        "transactionIndex": row.tx_index,
                        "logIndex": row.log,
                    }
                )
            )
