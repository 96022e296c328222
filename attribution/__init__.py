"""Proof of Attribution: whose words an output is made of, and who is paid for it, in exact integers.

``SpanIndex`` finds spans, ``shares`` divides an output among their contributors, ``split`` divides a fee, and
``explain`` says why.
"""

from __future__ import annotations

from ._action import divide_action, scores_of, shares_of
from ._explain import Receipt, ReceiptLine, explain
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
from .spans import MAX_OUTPUT, MIN_TOKENS, NearSpan, Source, SourceRow, Span, SpanIndex

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
    "ModelUse",
    "NearSpan",
    "Payout",
    "Receipt",
    "ReceiptLine",
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
    "rule_id",
    "scores_of",
    "shares",
    "shares_of",
    "split",
]
