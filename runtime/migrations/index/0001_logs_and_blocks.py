"""Logs of the contracts, and the blocks they were read from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "blocks",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "logs",
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
    for number in (1, 2, 3):
        op.create_index(f"logs_by_topic{number}", "logs", ["topic0", f"topic{number}", "block"])
