"""The rules by which an output is divided: their names, their texts, and the identifiers that records carry."""

from __future__ import annotations

import hashlib

from ..errors import UserError

__all__ = [
    "COARSE",
    "GRID_PARTS",
    "GRID_SAVED",
    "MAX_HOLDERS",
    "MIN_WEIGHT",
    "PARTS",
    "RULE_ID",
    "RULE_TEXT",
    "RULE_TEXTS",
    "RULE_V1",
    "RULE_V2",
    "SLACK",
    "SLACK_TOGETHER",
    "rule_id",
]

RULE_V1 = "v1-spans"
RULE_V2 = "v2-spans-influence"
MIN_TOKENS = 8
MIN_WEIGHT = 32_000
"""Thousandths of a bit: a span that a unigram model would produce more often than once in 2^32 is too common."""
MAX_HOLDERS = 8
"""A span held by more contributors than this is common property."""
PARTS = 10_000
"""Into how many parts influence is divided among rows."""
GRID_SAVED = 100
"""Thousandths of a bit to which savings are rounded down."""
GRID_PARTS = 10
"""Parts (of ``PARTS``) to which a row's part is rounded down."""
SLACK = 2
"""Grid steps by which a stated number may be off from what one computes oneself."""
SLACK_TOGETHER = 10
"""Grid steps by which all savings of an output may be off together, and all its parts."""
COARSE = 10
"""Grid steps to which one's own numbers are rounded down where they count: rarely do two machines differ there."""

_SPANS = f"""weights: cost(t) = floor(1000*log2((T+V)/(c+1))), at least 1, for a token occurring c times among the T tokens
of the index with a vocabulary of V; special tokens cost 0; the weight of tokens is the sum of their costs.
spans: maximal stretches of output tokens found inside one row; at least {MIN_TOKENS} tokens, weight at least
{MIN_WEIGHT}, held by at most {MAX_HOLDERS} contributors; others are ignored.
owner of a span: the contributor of its first accepted row (order: accepted, datanet, row).
owner of a token: the owner of the heaviest span over it (then: lower start, lower end, first accepted row).
"""
RULE_TEXT = f"""openledger attribution rule {RULE_V1}
{_SPANS}shares: each contributor the weight of the tokens owned; every other token is unattributed.
"""
RULE_TEXTS = {
    RULE_V1: RULE_TEXT,
    RULE_V2: f"""openledger attribution rule {RULE_V2}
{_SPANS}saved(t): thousandths of a bit by which the adapter made token t likelier than its base model did, at least 0, rounded
down to {GRID_SAVED}.
parts: of {PARTS}, what each row has of the influence on the output that is above what it has on random text, rounded down
to {GRID_PARTS}; rows that repeat an earlier accepted one (word 3-grams, Jaccard above 0.3) have none, the earlier one has
theirs; a row of the training data that its datanet as declared does not hold has none. The token that ended an output is
left out of it, and nothing is saved by it.
stated: a batch states both of each output. What it states counts as a whole where every number is within {SLACK} steps (of
{GRID_SAVED} and {GRID_PARTS}) of what one computes oneself, and all savings and all parts each within {SLACK_TOGETHER} together;
else what one computes oneself, rounded down to {COARSE} steps, counts.
no influence: outputs of a base model alone, and of adapters that say not (openledger/adapter-training@1, the last version
of a declared datanet with that digest) what they were trained on, or whose gradients are not finite.
shares: each contributor the weight of the tokens owned; of each row's part of the sum of saved(t), at most cost(t), over
the tokens nobody owns, rounded down, its contributor; everything else is unattributed.
""",
}
"""Name of a rule → its canonical description."""
RULE_ID = hashlib.sha256(RULE_TEXT.encode()).digest()
"""The bytes32 of ``RULE_V1``."""


def rule_id(rule: str) -> bytes:
    """bytes32 that names a rule in records: sha2-256 of its canonical description. Raises ``UserError`` for a rule this
    version does not know."""
    if rule not in RULE_TEXTS:
        raise UserError(f"Attribution rule {rule!r} is not known", fix=f"use {' or '.join(RULE_TEXTS)}")
    return hashlib.sha256(RULE_TEXTS[rule].encode()).digest()
