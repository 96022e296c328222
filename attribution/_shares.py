"""From spans to shares: whose words an output is made of, and how much of it nobody can claim."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .spans import Source, Span, checked_tokens

__all__ = [
    "MAX_HOLDERS",
    "MIN_WEIGHT",
    "RULE_ID",
    "RULE_TEXT",
    "RULE_V1",
    "Credit",
    "Shares",
    "rule_id",
    "shares",
]

RULE_V1 = "v1-spans"
MIN_TOKENS = 8
MIN_WEIGHT = 32_000
"""Thousandths of a bit: a span that a unigram model would produce more often than once in 2^32 is too common."""
MAX_HOLDERS = 8
"""A span held by more contributors than this is common property."""

RULE_TEXT = f"""openledger attribution rule {RULE_V1}
weights: cost(t) = floor(1000*log2((T+V)/(c+1))), at least 1, for a token occurring c times among the T tokens
of the index with a vocabulary of V; special tokens cost 0; the weight of tokens is the sum of their costs.
spans: maximal stretches of output tokens found inside one row; at least {MIN_TOKENS} tokens, weight at least
{MIN_WEIGHT}, held by at most {MAX_HOLDERS} contributors; others are ignored.
owner of a span: the contributor of its first accepted row (order: accepted, datanet, row).
owner of a token: the owner of the heaviest span over it (then: lower start, lower end, first accepted row).
shares: each contributor the weight of the tokens owned; every other token is unattributed.
"""
RULE_ID = hashlib.sha256(RULE_TEXT.encode()).digest()
"""bytes32 that names the rule in records: sha2-256 of its canonical description, RULE_TEXT."""


def rule_id(rule: str) -> bytes:
    """The bytes32 of a rule by name. Raises ``UserError`` for a rule this version does not know."""
    if rule != RULE_V1:
        raise UserError(f"Attribution rule {rule!r} is not known", fix=f"use {RULE_V1}")
    return RULE_ID


@dataclass(frozen=True, slots=True)
class Credit:
    """Output tokens ``start`` to ``end`` (exclusive), credited to one row with their weight."""

    start: int
    end: int
    source: Source
    weight: int


@dataclass(frozen=True, slots=True)
class Shares:
    """The division of one output. ``total`` = every contributor's weight + ``unattributed``, exactly."""

    rule: str
    tokens: int
    """Length of the output."""
    total: int
    unattributed: int
    credits: tuple[Credit, ...]
    """In the order of the output; no two overlap."""

    @property
    def weights(self) -> dict[str, int]:
        """Weight of each contributor, sorted by name; thousandths of a bit."""
        summed: dict[str, int] = {}
        for credit in self.credits:
            summed[credit.source.contributor] = summed.get(credit.source.contributor, 0) + credit.weight
        return dict(sorted(summed.items()))

    def to_block(self) -> dict[str, Any]:
        """As dag-cbor and JSON values, for an action's ``scores``."""
        return {
            "rule": self.rule,
            "tokens": self.tokens,
            "total": self.total,
            "unattributed": self.unattributed,
            "credits": [
                [
                    c.start,
                    c.end,
                    c.weight,
                    c.source.accepted,
                    c.source.datanet,
                    c.source.row,
                    c.source.contributor,
                ]
                for c in self.credits
            ],
        }

    @classmethod
    def from_block(cls, block: Any) -> Shares:
        """The inverse of :meth:`to_block`. Raises ``UserError`` when the block is malformed or does not add up."""
        try:
            credits = tuple(
                Credit(s, e, Source(a, d, r, who), w) for s, e, w, a, d, r, who in block["credits"]
            )
            made = cls(
                str(block["rule"]),
                int(block["tokens"]),
                int(block["total"]),
                int(block["unattributed"]),
                credits,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError("A block of shares is malformed", why=repr(error)) from error
        if made.unattributed < 0 or sum(c.weight for c in credits) + made.unattributed != made.total:
            raise UserError("A block of shares does not add up", fix="compute the shares again")
        return made

    @classmethod
    def joined(cls, parts: Sequence[Shares]) -> Shares:
        """Shares of several outputs taken as one, e.g. of an action's model calls in order.

        Token positions of each part follow those of the part before.
        """
        if not parts:
            return cls(RULE_V1, 0, 0, 0, ())
        if len({part.rule for part in parts}) != 1:
            raise UserError("Shares under different rules cannot be joined")
        moved: list[Credit] = []
        offset = 0
        for part in parts:
            moved.extend(Credit(c.start + offset, c.end + offset, c.source, c.weight) for c in part.credits)
            offset += part.tokens
        return cls(
            parts[0].rule,
            offset,
            sum(p.total for p in parts),
            sum(p.unattributed for p in parts),
            tuple(moved),
        )


def shares(
    output_tokens: Sequence[int], spans: Iterable[Span], rule: str = RULE_V1, *, costs: Sequence[int]
) -> Shares:
    """Divides an output among the contributors of its spans, under ``rule``; see ``RULE_TEXT``.

    ``costs`` come from :meth:`SpanIndex.costs`; a span's weight is taken from them, not from the span. The order
    of ``spans`` does not matter, and one span more never takes anything from its owner. Output without tokens,
    or of special tokens only, has a total of 0. Raises ``UserError`` for spans outside the output.
    """
    rule_id(rule)
    tokens = checked_tokens(output_tokens)
    if len(costs) != len(tokens) or any(type(cost) is not int or cost < 0 for cost in costs):
        raise UserError("Each output token needs its cost", fix="pass costs=index.costs(output_tokens)")
    summed = [0]
    for cost in costs:
        summed.append(summed[-1] + cost)
    eligible: list[tuple[int, int, int, Source]] = []
    for span in spans:
        if not 0 <= span.start < span.end <= len(tokens) or not span.sources:
            raise UserError(
                f"Span {span.start}–{span.end} does not lie in an output of {len(tokens)} tokens",
                fix="pass the spans found in this output",
            )
        weight = summed[span.end] - summed[span.start]
        holders = {source.contributor for source in span.sources}
        if span.tokens >= MIN_TOKENS and weight >= MIN_WEIGHT and len(holders) <= MAX_HOLDERS:
            eligible.append((-weight, span.start, span.end, min(span.sources)))
    owners: list[Source | None] = [None] * len(tokens)
    free = list(range(len(tokens) + 1))  # free[t]: the first unowned token at or after t
    for _, start, end, owner in sorted(eligible):
        place = _next(free, start)
        while place < end:
            owners[place] = owner
            free[place] = place + 1
            place = _next(free, place)
    credits = tuple(_credits(owners, summed))
    return Shares(
        rule, len(tokens), summed[-1], summed[-1] - sum(credit.weight for credit in credits), credits
    )


def _next(free: list[int], place: int) -> int:
    """Follows and shortens the chain of owned tokens, so that all spans together take nearly linear time."""
    root = place
    while free[root] != root:
        root = free[root]
    while free[place] != root:
        free[place], place = root, free[place]
    return root


def _credits(owners: list[Source | None], summed: list[int]) -> Iterable[Credit]:
    start = 0
    for place in range(1, len(owners) + 1):
        if place == len(owners) or owners[place] != owners[start]:
            owner = owners[start]
            if owner is not None:
                yield Credit(start, place, owner, summed[place] - summed[start])
            start = place
