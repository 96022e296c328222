"""Proof of Attribution: whose words an output is made of, and who is paid for it, in exact integers.

``SpanIndex`` finds spans, ``shares`` divides an output among their contributors, ``split`` divides a fee, and
``explain`` says why.
"""

from __future__ import annotations

from ._action import divide_action, scores_of, shares_of
from ._explain import Decoder, Receipt, ReceiptLine, explain, receipt_of
from ._index import MIN_TOKENS, SpanIndex
from ._retrieval import Refused, Retrieval, Retrieved, retrieval
from ._shares import MAX_HOLDERS, MIN_WEIGHT, RULE_ID, RULE_TEXT, RULE_V1, Credit, Shares, rule_id, shares
from ._split import (
    AUDIT_BPS,
    PROTOCOL_BPS,
    Accounts,
    ModelUse,
    Payout,
    Royalty,
    batch_payouts,
    by_account,
    claimable,
    split,
)
from ._types import MAX_OUTPUT, Source, SourceRow, Span

__all__ = [
    "AUDIT_BPS",
    "MAX_HOLDERS",
    "MAX_OUTPUT",
    "MIN_TOKENS",
    "MIN_WEIGHT",
    "PROTOCOL_BPS",
    "RULE_ID",
    "RULE_TEXT",
    "RULE_V1",
    "Accounts",
    "Credit",
    "Decoder",
    "ModelUse",
    "Payout",
    "Receipt",
    "ReceiptLine",
    "Refused",
    "Retrieval",
    "Retrieved",
    "Royalty",
    "Shares",
    "Source",
    "SourceRow",
    "Span",
    "SpanIndex",
    "batch_payouts",
    "by_account",
    "claimable",
    "divide_action",
    "explain",
    "receipt_of",
    "retrieval",
    "rule_id",
    "scores_of",
    "shares",
    "shares_of",
    "split",
]
