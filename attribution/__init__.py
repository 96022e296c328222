"""Proof of Attribution: whose words an output is made of, and who is paid for it, in exact integers.

``SpanIndex`` finds spans, ``shares`` divides an output among their contributors, ``split`` divides a fee, and
``explain`` says why.
"""

from __future__ import annotations

from ._action import add_influence, divide_action, scores_of, shares_of
from ._explain import Decoder, InfluenceLine, Receipt, ReceiptLine, explain, receipt_of
from ._repeats import DUPLICATE_JACCARD, repeats, similarity
from ._retrieval import Refused, Retrieval, Retrieved, retrieval
from ._rules import (
    COARSE,
    GRID_PARTS,
    GRID_SAVED,
    MAX_HOLDERS,
    MIN_WEIGHT,
    PARTS,
    RULE_ID,
    RULE_TEXT,
    RULE_TEXTS,
    RULE_V1,
    RULE_V2,
    SLACK,
    SLACK_TOGETHER,
    rule_id,
)
from ._shares import Credit, Influence, Portion, Shares, shares
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
    give_back,
    split,
    with_shares,
)
from ._stated import NoInfluence, Stated, counted, decode_influence, encode_influence, paid_by
from .spans import MAX_OUTPUT, MIN_TOKENS, NearSpan, Source, SourceRow, Span, SpanIndex

__all__ = [
    "AUDIT_BPS",
    "COARSE",
    "DUPLICATE_JACCARD",
    "GRID_PARTS",
    "GRID_SAVED",
    "MAX_HOLDERS",
    "MAX_OUTPUT",
    "MIN_TOKENS",
    "MIN_WEIGHT",
    "PARTS",
    "PROTOCOL_BPS",
    "RULE_ID",
    "RULE_TEXT",
    "RULE_TEXTS",
    "RULE_V1",
    "RULE_V2",
    "SLACK",
    "SLACK_TOGETHER",
    "Accounts",
    "Credit",
    "Influence",
    "InfluenceLine",
    "Decoder",
    "ModelUse",
    "NearSpan",
    "NoInfluence",
    "Payout",
    "Portion",
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
    "Stated",
    "add_influence",
    "batch_payouts",
    "by_account",
    "claimable",
    "counted",
    "decode_influence",
    "divide_action",
    "give_back",
    "encode_influence",
    "explain",
    "paid_by",
    "repeats",
    "receipt_of",
    "retrieval",
    "rule_id",
    "scores_of",
    "shares",
    "shares_of",
    "similarity",
    "split",
    "with_shares",
]
