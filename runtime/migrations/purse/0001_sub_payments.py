"""What actions paid to other agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sub_payments",
        sa.Column("payment_id", sa.String(66), primary_key=True),
        sa.Column("parent", sa.String(66), nullable=False, index=True),
        sa.Column("agent_id", sa.Integer, nullable=False),
        sa.Column("wei", sa.String(78), nullable=False),
        sa.Column("receipt", sa.Text),
    )
