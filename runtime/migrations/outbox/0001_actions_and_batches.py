"""Actions and batches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    if sa.inspect(op.get_bind()).has_table("actions"):
        return  # an outbox made before schemas had versions
    op.create_table(
        "actions",
        sa.Column("payment_id", sa.String(66), primary_key=True),
        sa.Column("agent_id", sa.Integer, nullable=False, index=True),
        sa.Column("state", sa.String(12), nullable=False, index=True),
        sa.Column("fee", sa.String(78), nullable=False),
        sa.Column("accepted", sa.LargeBinary, nullable=False),
        sa.Column("nonce", sa.Integer),
        sa.Column("struct_hash", sa.String(66)),
        sa.Column("executed", sa.LargeBinary),
        sa.Column("signature", sa.Text),
        sa.Column("envelope", sa.Text),
        sa.Column("first_nonce", sa.Integer),
        sa.Column("updated", sa.Float, nullable=False),
        sa.UniqueConstraint("agent_id", "nonce"),
    )
    op.create_table(
        "batches",
        sa.Column("agent_id", sa.Integer, primary_key=True),
        sa.Column("first_nonce", sa.Integer, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("call", sa.LargeBinary, nullable=False),
        sa.Column("header", sa.LargeBinary),
    )
