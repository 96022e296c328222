"""Batches that were paid for, and what for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "relayer_batches",
        sa.Column("id", sa.String(66), primary_key=True),
        sa.Column("account", sa.String(42), nullable=False),
        sa.Column("nonce", sa.String(78), nullable=False),
        sa.Column("day", sa.Integer, nullable=False, index=True),
        sa.Column("state", sa.String(8), nullable=False, index=True),
        sa.Column("wei", sa.String(78), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("tx", sa.String(66), nullable=True),
        sa.Column("raw", sa.Text, nullable=True),
        sa.Column("why", sa.Text, nullable=True),
    )
    op.create_index("relayer_batches_account", "relayer_batches", ["account", "day"])
