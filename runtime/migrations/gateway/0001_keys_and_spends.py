"""Prepaid keys and what they spend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "gateway_keys",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("payer", sa.String(42), nullable=False),
        sa.Column("cap", sa.String(78), nullable=False),
        sa.Column("spent", sa.String(78), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
    )
    op.create_table(
        "gateway_spends",
        sa.Column("payment_id", sa.String(66), primary_key=True),
        sa.Column("key_id", sa.Integer, nullable=False, index=True),
        sa.Column("agent_id", sa.Integer, nullable=False),
        sa.Column("wei", sa.String(78), nullable=False),
        sa.Column("open", sa.Boolean, nullable=False, index=True),
    )
