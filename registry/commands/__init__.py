"""What the commands of every folder share: options, who acts, how amounts, accounts and times are written."""

from __future__ import annotations

from ._options import (
    AgentId,
    Amount,
    As,
    AssetId,
    DryRun,
    Json,
    account_at,
    acting,
    console,
    document_at,
    when,
)

__all__ = [
    "AgentId",
    "Amount",
    "As",
    "AssetId",
    "DryRun",
    "Json",
    "account_at",
    "acting",
    "console",
    "document_at",
    "when",
]
