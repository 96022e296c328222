"""Actions are found by the CID of their receipt."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_actions_envelope", "actions", ["envelope"], if_not_exists=True)
