"""Rule v2: what spans do not explain is divided by influence, in integers, and the rest stays nobody's."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.attribution import (
    PARTS,
    RULE_TEXTS,
    RULE_V1,
    RULE_V2,
    Accounts,
    Influence,
    Shares,
    Source,
    Span,
    explain,
    rule_id,
    shares,
    split,
)
from openledger.errors import UserError
from openledger.registry import Split, decode, encode

WHO = ["ann", "bo", "cy"]
SPLIT = Split(operator=4000, lineage=1500, stakers=500, contributors=4000)


def source(who: str, accepted: int) -> Source:
    return Source(accepted, "net", f"row-{who}-{accepted}", who)


Case = tuple[list[int], list[Span], Influence]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Costs of an output's tokens, spans over them, and influence on them."""
    count = draw(st.integers(0, 40))
    several = st.lists(st.integers(0, 12_000), min_size=count, max_size=count)
    costs, saved = draw(several), draw(several)
    spans = []
    for accepted in range(draw(st.integers(0, 4)) if count else 0):
        start = draw(st.integers(0, count - 1))
        end = draw(st.integers(start + 1, count))
        spans.append(Span(start, end, 0, (source(draw(st.sampled_from(WHO)), accepted),)))
    left, parts = PARTS, []
    for accepted in range(draw(st.integers(0, 5))):
        part = draw(st.integers(0, left))
        left -= part
        parts.append((source(draw(st.sampled_from(WHO)), accepted), part))
    return costs, spans, Influence(tuple(saved), tuple(parts))


def divided(costs: list[int], spans: list[Span], influence: Influence) -> Shares:
    return shares(list(range(len(costs))), spans, RULE_V2, costs=costs, influence=influence)


@given(cases())
def test_every_weight_is_somebodys_or_nobodys(case: Case) -> None:
    made = divided(*case)
    assert made.total == sum(case[0])
    assert made.unattributed >= 0
    assert sum(made.weights.values()) + made.unattributed == made.total


@given(cases())
def test_influence_takes_nothing_from_the_owners_of_spans(case: Case) -> None:
    costs, spans, _ = case
    made = divided(*case)
    assert made.credits == shares(list(range(len(costs))), spans, RULE_V1, costs=costs).credits


@given(cases())
def test_influence_is_paid_for_no_more_than_the_adapter_saved_where_no_span_is(case: Case) -> None:
    costs, _, influence = case
    made = divided(*case)
    owned = {place for credit in made.credits for place in range(credit.start, credit.end)}
    free = sum(
        min(saved, cost)
        for place, (saved, cost) in enumerate(zip(influence.saved, costs, strict=True))
        if place not in owned
    )
    assert sum(portion.weight for portion in made.portions) <= free


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_spans_does_not_matter(case: Case, chance: random.Random) -> None:
    costs, spans, influence = case
    mixed, parts = list(spans), list(influence.parts)
    chance.shuffle(mixed)
    chance.shuffle(parts)
    assert divided(costs, mixed, Influence(influence.saved, tuple(parts))) == divided(*case)


@given(cases().filter(lambda case: bool(case[1])), st.data())
def test_one_span_more_never_lowers_its_owner(case: Case, data: st.DataObject) -> None:
    costs, spans, influence = case
    extra = data.draw(st.sampled_from(spans))
    owner = min(extra.sources).contributor
    without = divided(costs, [span for span in spans if span is not extra], influence)
    assert divided(*case).weights.get(owner, 0) >= without.weights.get(owner, 0)


@given(cases(), st.data())
def test_cutting_a_row_in_two_never_raises_what_its_contributor_gets(case: Case, data: st.DataObject) -> None:
    costs, spans, influence = case
    if not influence.parts:
        return
    at = data.draw(st.integers(0, len(influence.parts) - 1))
    row, part = influence.parts[at]
    first = data.draw(st.integers(0, part))
    halves = (
        (row, first),
        (Source(row.accepted + 100, row.datanet, row.row + "b", row.contributor), part - first),
    )
    cut = Influence(influence.saved, (*influence.parts[:at], *halves, *influence.parts[at + 1 :]))
    assert divided(costs, spans, cut).weights.get(row.contributor, 0) <= divided(*case).weights.get(
        row.contributor, 0
    )


@given(cases(), cases())
def test_shares_survive_storage_and_can_be_joined(one: Case, two: Case) -> None:
    a, b = divided(*one), divided(*two)
    assert Shares.from_block(decode(encode(a.to_block()))) == a
    both = Shares.joined([a, b])
    assert both.total == a.total + b.total
    assert both.unattributed == a.unattributed + b.unattributed
    names = a.weights.keys() | b.weights.keys()
    assert both.weights == {who: a.weights.get(who, 0) + b.weights.get(who, 0) for who in sorted(names)}


@given(cases(), st.integers(0, 10**20))
def test_a_fee_divided_by_them_is_whole(case: Case, fee: int) -> None:
    paid = split(fee, SPLIT, [], divided(*case), Accounts("treasury", "operator"))
    assert sum(payout.amount for payout in paid) == fee


def test_an_output_by_one_row_is_its_contributors_but_for_what_the_base_knew() -> None:
    made = divided([9000] * 5, [], Influence((9000, 9000, 4000, 0, 20_000), ((source("ann", 3), PARTS),)))
    assert made.weights == {"ann": 9000 + 9000 + 4000 + 9000}
    assert made.unattributed == 5000 + 9000


class Words:
    """Tokens as their numbers."""

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))


@given(cases(), st.integers(0, 10**20))
def test_a_receipt_says_what_influence_and_what_words_were_paid(case: Case, fee: int) -> None:
    made = divided(*case)
    paid = split(fee, SPLIT, [], made, Accounts("treasury", "operator"))
    receipt = explain(Words(), list(range(len(case[0]))), made, paid)
    lines = [*receipt.lines, *receipt.influenced]
    assert sum(line.wei for line in lines) + sum(payout.amount for payout in receipt.others) == fee
    for payout in paid:
        if payout.reason == "contributor":
            assert sum(line.wei for line in lines if line.account == payout.account) == payout.amount
    assert all("influence of row" in str(receipt) for _ in receipt.influenced)


def test_parts_that_nobody_has_stay_unattributed() -> None:
    made = divided([1000] * 10, [], Influence((1000,) * 10, ((source("ann", 0), 2500),)))
    assert (made.weights, made.unattributed) == ({"ann": 2500}, 7500)


@pytest.mark.parametrize(
    "influence",
    [
        Influence((1,) * 3),
        Influence((1, 1, 1, -1)),
        Influence((1,) * 4, ((source("ann", 0), PARTS), (source("bo", 1), 1))),
        Influence((1,) * 4, ((source("ann", 0), -1),)),
        Influence((1, 1, 1, 0.5)),  # type: ignore[arg-type]
    ],
)
def test_influence_must_fit_the_output(influence: Influence) -> None:
    with pytest.raises(UserError, match="does not fit"):
        divided([5] * 4, [], influence)


def test_each_rule_takes_what_it_knows() -> None:
    with pytest.raises(UserError, match="needs influence"):
        shares([1], [], RULE_V2, costs=[1])
    with pytest.raises(UserError, match="does not take influence"):
        shares([1], [], RULE_V1, costs=[1], influence=Influence((0,)))


def test_rules_are_told_apart_by_their_texts() -> None:
    assert len({rule_id(rule) for rule in RULE_TEXTS}) == len(RULE_TEXTS) == 2
