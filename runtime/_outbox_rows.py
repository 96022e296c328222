"""What the outbox keeps: a row an action, a row a batch, and the states they go through."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from ..registry import decode
from ._database import deployment_table

__all__ = ["ActionRow", "BatchRow", "State", "action_of", "actions", "batch_of", "batches", "meta"]


class State(StrEnum):
    PAYING = "PAYING"
    ACCEPTED = "ACCEPTED"
    EXECUTED = "EXECUTED"
    SIGNED = "SIGNED"
    ANCHORED = "ANCHORED"
    SETTLED = "SETTLED"
    REFUNDED = "REFUNDED"


meta = sa.MetaData()
actions = sa.Table(
    "actions",
    meta,
    sa.Column("payment_id", sa.String(66), primary_key=True),
    sa.Column("agent_id", sa.Integer, nullable=False, index=True),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("fee", sa.String(78), nullable=False),  # wei, decimal
    sa.Column("accepted", sa.LargeBinary, nullable=False),  # dag-cbor: all that execution needs
    sa.Column("nonce", sa.Integer),
    sa.Column("struct_hash", sa.String(66)),
    sa.Column("executed", sa.LargeBinary),  # dag-cbor: record struct, content CID, payouts
    sa.Column("signature", sa.Text),
    sa.Column("envelope", sa.Text, index=True),  # CID of the signed record
    sa.Column("first_nonce", sa.Integer),  # of its batch
    sa.Column("updated", sa.Float, nullable=False),
    sa.UniqueConstraint("agent_id", "nonce"),
)
batches = sa.Table(
    "batches",
    meta,
    sa.Column("agent_id", sa.Integer, primary_key=True),
    sa.Column("first_nonce", sa.Integer, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("call", sa.LargeBinary, nullable=False),  # dag-cbor: what is to be anchored
    sa.Column("header", sa.LargeBinary),  # dag-cbor: the header as anchored
)
deployment_table("outbox", meta)


@dataclass(frozen=True)
class ActionRow:
    payment_id: str
    agent_id: int
    state: State
    fee: int
    accepted: dict[str, Any]
    nonce: int | None
    struct_hash: str | None
    executed: dict[str, Any] | None
    signature: str | None
    envelope: str | None
    first_nonce: int | None


@dataclass(frozen=True)
class BatchRow:
    agent_id: int
    first_nonce: int
    count: int
    state: State
    call: dict[str, Any]
    header: dict[str, Any] | None


def action_of(row: Any) -> ActionRow:
    return ActionRow(
        payment_id=row.payment_id,
        agent_id=row.agent_id,
        state=State(row.state),
        fee=int(row.fee),
        accepted=decode(row.accepted),
        nonce=row.nonce,
        struct_hash=row.struct_hash,
        executed=decode(row.executed) if row.executed else None,
        signature=row.signature,
        envelope=row.envelope,
        first_nonce=row.first_nonce,
    )


def batch_of(row: Any) -> BatchRow:
    return BatchRow(
        agent_id=row.agent_id,
        first_nonce=row.first_nonce,
        count=row.count,
        state=State(row.state),
        call=decode(row.call),
        header=decode(row.header) if row.header else None,
    )
