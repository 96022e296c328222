"""From spans to shares: whose words an output is made of, and how much of it nobody can claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ._rules import MAX_HOLDERS, MIN_TOKENS, MIN_WEIGHT, PARTS, RULE_V1, RULE_V2, rule_id
from .spans import Source, Span, checked_tokens

__all__ = ["Credit", "Influence", "Portion", "Shares", "shares"]


@dataclass(frozen=True, slots=True)
class Credit:
    """Output tokens ``start`` to ``end`` (exclusive), credited to one row with their weight."""

    start: int
    end: int
    source: Source
    weight: int


@dataclass(frozen=True, slots=True)
class Influence:
    """What an adapter's rows did to one output, in integers."""

    saved: tuple[int, ...]
    """For each output token, thousandths of a bit by which the adapter made it likelier than its base model did; 0
    where it did not."""
    parts: tuple[tuple[Source, int], ...] = ()
    """Of ``PARTS``, what each row has of it; what is missing is nobody's."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Weight that a row is credited with by influence, over the output as a whole."""

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
    portions: tuple[Portion, ...] = ()
    """By influence, in the order of acceptance; under ``RULE_V2`` alone."""

    def of(self, contributor: str) -> tuple[tuple[Credit, ...], tuple[Portion, ...]]:
        """What one contributor has."""
        return (
            tuple(credit for credit in self.credits if credit.source.contributor == contributor),
            tuple(portion for portion in self.portions if portion.source.contributor == contributor),
        )

    @property
    def claimed(self) -> int:
        """What all contributors have together."""
        return sum(c.weight for c in self.credits) + sum(p.weight for p in self.portions)

    @property
    def weights(self) -> dict[str, int]:
        """Weight of each contributor, sorted by name; thousandths of a bit."""
        summed: dict[str, int] = {}
        several: tuple[Credit | Portion, ...] = (*self.credits, *self.portions)
        for one in several:
            summed[one.source.contributor] = summed.get(one.source.contributor, 0) + one.weight
        return dict(sorted(summed.items()))

    def to_block(self) -> dict[str, Any]:
        """As dag-cbor and JSON values, for an action's ``scores``."""
        block: dict[str, Any] = {
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
        if self.rule == RULE_V2:
            block["portions"] = [
                [p.weight, p.source.accepted, p.source.datanet, p.source.row, p.source.contributor]
                for p in self.portions
            ]
        return block

    @classmethod
    def from_block(cls, block: Any) -> Shares:
        """The inverse of :meth:`to_block`. Raises ``UserError`` when the block is malformed or does not add up."""
        try:
            credits = tuple(
                Credit(s, e, Source(a, d, r, who), w) for s, e, w, a, d, r, who in block["credits"]
            )
            portions = tuple(
                Portion(Source(*source), weight) for weight, *source in block.get("portions", [])
            )
            made = cls(
                str(block["rule"]),
                int(block["tokens"]),
                int(block["total"]),
                int(block["unattributed"]),
                credits,
                portions,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError("A block of shares is malformed", why=repr(error)) from error
        if made.unattributed < 0 or made.claimed + made.unattributed != made.total:
            raise UserError("A block of shares does not add up", fix="compute the shares again")
        return made

    @classmethod
    def joined(cls, parts: Sequence[Shares], rule: str = RULE_V1) -> Shares:
        """Shares of several outputs taken as one, e.g. of an action's model calls in order; ``rule`` is that of none.

        Token positions of each part follow those of the part before.
        """
        if not parts:
            return cls(rule, 0, 0, 0, ())
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
            _summed([(portion.source, portion.weight) for part in parts for portion in part.portions]),
        )


def shares(
    output_tokens: Sequence[int],
    spans: Iterable[Span],
    rule: str = RULE_V1,
    *,
    costs: Sequence[int],
    influence: Influence | None = None,
) -> Shares:
    """Divides an output among the contributors of its spans, under ``rule``, and under ``RULE_V2`` what spans do not
    explain by ``influence``; see ``RULE_TEXTS``.

    ``costs`` come from :meth:`SpanIndex.costs`; a span's weight is taken from them, not from the span. The order
    of ``spans`` does not matter, and one span more never takes anything from its owner. Output without tokens,
    or of special tokens only, has a total of 0. Raises ``UserError`` for spans outside the output, and for influence
    that is missing or does not fit.
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
    portions = _portions(rule, costs, owners, influence)
    claimed = sum(credit.weight for credit in credits) + sum(portion.weight for portion in portions)
    return Shares(rule, len(tokens), summed[-1], summed[-1] - claimed, credits, portions)


def _portions(
    rule: str, costs: Sequence[int], owners: Sequence[Source | None], influence: Influence | None
) -> tuple[Portion, ...]:
    """What rows have, by influence, of the tokens that nobody owns."""
    if (rule == RULE_V2) != (influence is not None):
        raise UserError(
            f"Rule {rule} {'needs' if influence is None else 'does not take'} influence",
            fix=f"give it with {RULE_V2} and only then",
        )
    if influence is None:
        return ()
    parts = [part for _, part in influence.parts]
    if (
        len(influence.saved) != len(costs)
        or any(type(one) is not int or one < 0 for one in (*influence.saved, *parts))
        or sum(parts) > PARTS
    ):
        raise UserError(
            f"An influence on {len(influence.saved)} tokens with {sum(parts)} parts of {PARTS} does not fit an output of "
            f"{len(costs)}",
            fix="give a number of at least 0 for each output token and at most all parts",
        )
    free = sum(
        min(saved, cost)
        for saved, cost, owner in zip(influence.saved, costs, owners, strict=True)
        if owner is None
    )
    return _summed([(source, free * part // PARTS) for source, part in influence.parts])


def _summed(several: Iterable[tuple[Source, int]]) -> tuple[Portion, ...]:
    found: dict[Source, int] = {}
    for source, weight in several:
        found[source] = found.get(source, 0) + weight
    return tuple(Portion(source, weight) for source, weight in sorted(found.items()) if weight)


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
