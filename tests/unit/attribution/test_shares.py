"""Shares and splits: exact, order-free, and without a way to gain by trickery."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openledger.attribution import (
    MAX_HOLDERS,
    RULE_ID,
    RULE_TEXT,
    RULE_V1,
    Accounts,
    ModelUse,
    Payout,
    Royalty,
    Shares,
    Source,
    SourceRow,
    Span,
    SpanIndex,
    by_account,
    claimable,
    explain,
    rule_id,
    shares,
    split,
)
from openledger.errors import UserError
from openledger.registry import Split, decode, encode

WHO = ["ann", "bo", "cy"]
SPLIT = Split(operator=4000, lineage=1500, stakers=500, contributors=4000)
ACCOUNTS = Accounts("treasury", "operator", {"s1": 3, "s2": 1})


def source(who: str, accepted: int = 0) -> Source:
    return Source(accepted, "net", f"row-{who}-{accepted}", who)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[list[int], list[int], list[Span]]:
    """Token ids, their costs, and spans over them."""
    count = draw(st.integers(0, 40))
    costs = draw(st.lists(st.integers(0, 12_000), min_size=count, max_size=count))
    spans = []
    for accepted in range(draw(st.integers(0, 6)) if count else 0):
        start = draw(st.integers(0, count - 1))
        end = draw(st.integers(start + 1, count))
        holders = draw(st.lists(st.sampled_from(WHO), min_size=1, max_size=3, unique=True))
        sources = tuple(sorted(source(who, draw(st.integers(0, 9)) * 10 + accepted) for who in holders))
        spans.append(Span(start, end, sum(costs[start:end]), sources))
    return list(range(count)), costs, spans


@given(outputs())
def test_shares_add_up_and_nothing_is_negative(case: tuple[list[int], list[int], list[Span]]) -> None:
    tokens, costs, spans = case
    made = shares(tokens, spans, costs=costs)
    assert made.total == sum(costs)
    assert made.unattributed >= 0
    assert sum(made.weights.values()) + made.unattributed == made.total
    covered = [t for credit in made.credits for t in range(credit.start, credit.end)]
    assert len(covered) == len(set(covered))


@given(outputs(), st.randoms(use_true_random=False))
def test_the_order_of_spans_does_not_matter(
    case: tuple[list[int], list[int], list[Span]], chance: random.Random
) -> None:
    tokens, costs, spans = case
    mixed = list(spans)
    chance.shuffle(mixed)
    assert shares(tokens, mixed, costs=costs) == shares(tokens, spans, costs=costs)


@given(outputs(), st.data())
def test_one_more_span_never_lowers_its_owner(
    case: tuple[list[int], list[int], list[Span]], data: st.DataObject
) -> None:
    tokens, costs, spans = case
    if not spans:
        return
    extra = data.draw(st.sampled_from(spans))
    owner = extra.sources[0].contributor
    without = shares(tokens, [span for span in spans if span is not extra], costs=costs)
    assert shares(tokens, spans, costs=costs).weights.get(owner, 0) >= without.weights.get(owner, 0)


words = ["heron", "lamp", "boat", "rain", "tower", "mill", "fish", "weir"]
phrases = st.lists(st.sampled_from(words), min_size=8, max_size=24)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mine=phrases, other=phrases, output=phrases, cut=st.integers(1, 23))
def test_splitting_a_row_in_two_never_raises_its_total(
    tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    mine: list[str],
    other: list[str],
    output: list[str],
    cut: int,
) -> None:
    cut = min(cut, len(mine) - 1)
    rival = SourceRow("b", "bo", " ".join(other), 5)
    whole = [SourceRow("a", "ann", " ".join(mine), 0), rival]
    halves = [
        SourceRow("a1", "ann", " ".join(mine[:cut]), 0),
        SourceRow("a2", "ann", " ".join(mine[cut:]), 0),
        rival,
    ]
    folder = tmp_path_factory.mktemp("split")
    totals = []
    for rows in (whole, halves):
        index = SpanIndex.build(rows, tokenizer, folder)
        tokens = index.encode(" ".join(output))
        totals.append(shares(tokens, index.find(tokens), costs=index.costs(tokens)).weights.get("ann", 0))
    assert totals[1] <= totals[0]


def test_first_accepted_is_paid_for_a_row_two_have() -> None:
    span = Span(0, 10, 0, (source("bo", 2), source("ann", 5)))
    made = shares(list(range(10)), [span], costs=[9000] * 10)
    assert made.weights == {"bo": 90_000}


def test_the_heavier_span_owns_the_overlap() -> None:
    spans = [Span(0, 10, 0, (source("ann"),)), Span(6, 20, 0, (source("bo", 1),))]
    made = shares(list(range(20)), spans, costs=[5000] * 20)
    assert [(c.start, c.end, c.source.contributor) for c in made.credits] == [(0, 6, "ann"), (6, 20, "bo")]


def test_common_short_and_widely_held_spans_are_nobodys() -> None:
    tokens = list(range(12))
    crowd = tuple(source(f"c{n}", n) for n in range(MAX_HOLDERS + 1))
    for span, costs in [
        (Span(0, 12, 10**6, (source("ann"),)), [2000] * 12),
        (Span(0, 7, 10**6, (source("ann"),)), [9000] * 12),
        (Span(0, 12, 10**6, crowd), [9000] * 12),
    ]:
        made = shares(tokens, [span], costs=costs)
        assert made.credits == ()
        assert made.unattributed == made.total > 0


@pytest.mark.parametrize(
    ("spans", "costs", "says"),
    [
        ([Span(0, 9, 0, (source("ann"),))], [1] * 4, "does not lie"),
        ([Span(3, 3, 0, (source("ann"),))], [1] * 4, "does not lie"),
        ([Span(0, 2, 0, ())], [1] * 4, "does not lie"),
        ([], [1] * 3, "needs its cost"),
        ([], [1, 1, 1, -1], "needs its cost"),
    ],
)
def test_spans_and_costs_must_fit_the_output(spans: list[Span], costs: list[int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        shares([5, 6, 7, 8], spans, costs=costs)


def test_the_rule_is_named_by_its_text() -> None:
    import hashlib

    assert rule_id(RULE_V1) == RULE_ID == hashlib.sha256(RULE_TEXT.encode()).digest()
    with pytest.raises(UserError, match="not known"):
        rule_id("v0")


@given(outputs(), outputs())
def test_shares_survive_storage_and_can_be_joined(
    one: tuple[list[int], list[int], list[Span]], two: tuple[list[int], list[int], list[Span]]
) -> None:
    a, b = (shares(tokens, spans, costs=costs) for tokens, costs, spans in (one, two))
    assert Shares.from_block(decode(encode(a.to_block()))) == a
    both = Shares.joined([a, b])
    assert both.total == a.total + b.total
    assert sum(both.weights.values()) + both.unattributed == both.total
    assert both.tokens == a.tokens + b.tokens


def test_a_block_that_does_not_add_up_is_refused() -> None:
    block = shares(list(range(9)), [], costs=[1] * 9).to_block()
    with pytest.raises(UserError, match="add up"):
        Shares.from_block({**block, "unattributed": 1})
    with pytest.raises(UserError, match="malformed"):
        Shares.from_block({"rule": RULE_V1})


addresses = st.sampled_from(["a", "b", "c", "d"])
uses = st.builds(
    ModelUse,
    asset_id=st.integers(1, 9),
    account=addresses,
    output_tokens=st.integers(0, 500),
    ancestors=st.lists(
        st.builds(Royalty, st.integers(1, 9), addresses, st.integers(0, 2500)), max_size=4
    ).map(tuple),
)
bps = st.tuples(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000)).map(
    lambda cuts: [b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 10_000], strict=True)]
)


@given(
    fee=st.integers(0, 10**24),
    parts=bps,
    lineage=st.lists(uses, max_size=3),
    case=outputs(),
    stakers=st.none() | addresses,
)
def test_every_wei_of_a_fee_is_paid_out(
    fee: int,
    parts: list[int],
    lineage: list[ModelUse],
    case: tuple[list[int], list[int], list[Span]],
    stakers: str | None,
) -> None:
    tokens, costs, spans = case
    made = shares(tokens, spans, costs=costs)
    payouts = split(fee, Split(*parts), lineage, made, Accounts("treasury", "operator", stakers))
    assert sum(payout.amount for payout in payouts) == fee
    assert all(payout.amount > 0 for payout in payouts)
    assert sum(by_account(payouts).values()) == fee


def amounts(payouts: list[Payout], reason: str) -> dict[str, int]:
    return by_account([payout for payout in payouts if payout.reason == reason])


def test_a_fee_is_split_as_declared() -> None:
    made = shares(list(range(20)), [Span(0, 10, 0, (source("ann"),))], costs=[5000] * 20)
    lineage = [
        ModelUse(2, "tuner", 30, (Royalty(1, "base", 2000),)),
        ModelUse(3, "other", 10),
    ]
    accounts = Accounts("treasury", "operator", "pool", {"ann": "0xann"})
    payouts = split(1_000_000, SPLIT, lineage, made, accounts)
    rest = 930_000
    assert amounts(payouts, "protocol") == {"treasury": 50_000}
    assert amounts(payouts, "audit") == {"audits": 20_000}
    assert amounts(payouts, "operator") == {"operator": rest * 4 // 10}
    assert amounts(payouts, "royalty") == {"base": 20_925}
    assert amounts(payouts, "model") == {"tuner": 83_700, "other": 34_875}
    assert amounts(payouts, "staker") == {"pool": 46_500}
    assert amounts(payouts, "contributor") == {"0xann": 186_000}
    assert amounts(payouts, "unattributed") == {"treasury": 186_000}


def test_fixed_shares_come_out_of_the_operators_part() -> None:
    nothing = shares([], [], costs=[])
    accounts = Accounts("treasury", "operator", fixed={"app": 1000, "tools": 500})
    payouts = split(10_000, SPLIT, [], nothing, accounts)
    assert amounts(payouts, "fixed") == {"app": 930, "tools": 465}
    assert amounts(payouts, "operator") == {"operator": 9300 * 45 // 100 - 930 - 465}
    with pytest.raises(UserError, match="exceed"):
        split(10_000, SPLIT, [], nothing, Accounts("treasury", "operator", fixed={"app": SPLIT.operator + 1}))


@given(fees=st.lists(st.integers(0, 10**20), min_size=1, max_size=20), protocol=st.integers(100, 2000))
def test_actions_never_pay_out_more_than_the_chain_leaves_of_their_batch(
    fees: list[int], protocol: int
) -> None:
    nothing = shares([], [], costs=[])
    paid = 0
    for fee in fees:
        payouts = split(fee, SPLIT, [], nothing, ACCOUNTS, protocol_bps=protocol)
        paid += sum(payout.amount for payout in claimable(payouts))
    left = sum(fees) - sum(fees) * (protocol + 200) // 10_000
    assert left - len(fees) <= paid <= left


def test_without_takers_their_part_goes_where_it_is_said() -> None:
    nothing = shares([], [], costs=[])
    payouts = split(10_000, SPLIT, [], nothing, Accounts("treasury", "operator"))
    assert amounts(payouts, "operator") == {"operator": 9300 * 45 // 100}
    assert amounts(payouts, "unattributed") == {"treasury": 9300 * 55 // 100}


@pytest.mark.parametrize("fee", [-1, 1.5, True])
def test_a_lying_fee_is_refused(fee: object) -> None:
    with pytest.raises(UserError, match="cannot be split"):
        split(fee, SPLIT, [], shares([], [], costs=[]), ACCOUNTS)  # type: ignore[arg-type]


def test_impossible_inputs_to_a_split_are_refused() -> None:
    nothing = shares([], [], costs=[])
    with pytest.raises(UserError, match="royalties"):
        split(
            1, SPLIT, [ModelUse(1, "a", 1, (Royalty(2, "b", 6000), Royalty(3, "c", 6000)))], nothing, ACCOUNTS
        )
    with pytest.raises(UserError, match="negative tokens"):
        split(1, SPLIT, [ModelUse(1, "a", -1)], nothing, ACCOUNTS)
    with pytest.raises(UserError, match="account"):
        split(1, SPLIT, [], nothing, Accounts("", "o"))
    with pytest.raises(UserError, match="out of range"):
        split(1, SPLIT, [], nothing, ACCOUNTS, protocol_bps=10_001)
    with pytest.raises(UserError, match="add up"):
        split(1, SPLIT, [], Shares(RULE_V1, 0, 5, 1, ()), ACCOUNTS)


def test_of_two_contributors_of_one_row_the_first_accepted_is_paid(tokenizer: Path, tmp_path: Path) -> None:
    words = "A quick heron watches nine silver fish below the weir."
    rows = [SourceRow("copy", "eve", words, 4), SourceRow("r1", "ann", words, 2)]
    index = SpanIndex.build(rows, tokenizer, tmp_path)
    tokens = index.encode(words)
    made = shares(tokens, index.find(tokens), costs=index.costs(tokens))
    assert made.weights == {"ann": made.total}


@pytest.mark.parametrize("every", [1, 4, 12])
def test_a_copy_in_look_alike_letters_is_paid_nothing_for_the_words_it_copies(
    tokenizer: Path, tmp_path: Path, every: int
) -> None:
    """Letters are compared as tokens: a look-alike is another letter. Between its look-alikes the copy holds the same
    words, but no stretch that the row it was copied from does not hold as well, and longer."""
    words = "A quick heron watches nine silver fish below the weir while rain falls on the mill and the broken tower."
    alike = {"e": "\u0435", "a": "\u0430"}  # Cyrillic
    letters = list(words)
    for at in [at for at, letter in enumerate(words) if letter in alike][::every]:
        letters[at] = alike[letters[at]]
    copy = "".join(letters)
    assert copy != words
    rows = [SourceRow("r1", "ann", words, 0), SourceRow("copy", "eve", copy, 1)]
    index = SpanIndex.build(rows, tokenizer, tmp_path)
    tokens = index.encode(words)
    made = shares(tokens, index.find(tokens), costs=index.costs(tokens))
    assert made.weights == {"ann": made.total}
    assert {span.source.contributor for span in index.near(tokens)} == {"ann"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_composed_and_decomposed_letters_are_what_the_tokenizer_makes_of_them(
    tokenizer: Path, tmp_path: Path, form: Literal["NFC", "NFD"]
) -> None:
    """This one has no normaliser, so a row is found in the form it was given in, and in no other."""
    words = "Zoë’s café über the naïve façade, seen through señor Müller’s window at noon"
    index = SpanIndex.build([SourceRow("r", "ann", normalize(form, words), 0)], tokenizer, tmp_path)
    (span,) = index.find(index.encode(normalize(form, words)))
    assert span.tokens == len(index.encode(normalize(form, words)))
    other = index.find(index.encode(normalize("NFD" if form == "NFC" else "NFC", words)))
    assert all(part.tokens < span.tokens for part in other)


def test_a_receipt_names_words_rows_contributors_and_wei(tokenizer: Path, tmp_path: Path) -> None:
    rows = [
        SourceRow("r1", "ann", "A quick heron watches nine silver fish below the weir.", 0),
        SourceRow("r2", "ann", "The lamp in the tower turns slowly and every boat knows it.", 1),
    ]
    index = SpanIndex.build(rows, tokenizer, tmp_path)
    tokens = index.encode(
        "zebra A quick heron watches nine silver fish, and lamp in the tower turns slowly and every boat zzz"
    )
    made = shares(tokens, index.find(tokens), costs=index.costs(tokens))
    payouts = split(10**18 + 7, SPLIT, [], made, ACCOUNTS)
    receipt = explain(index, tokens, made, payouts)
    assert [line.source.row for line in receipt.lines] == ["r1", "r2"]
    assert receipt.lines[0].text == "A quick heron watches nine silver fish"
    assert sum(line.wei for line in receipt.lines) == amounts(payouts, "contributor")["ann"]
    assert sum(line.wei for line in receipt.lines) + sum(p.amount for p in receipt.others) == 10**18 + 7
    assert "row r1 of ann" in str(receipt)
    assert 0 < receipt.covered_bps < 10_000


def test_a_receipt_shows_what_is_near_and_pays_nothing_for_it(tokenizer: Path, tmp_path: Path) -> None:
    row = "the quick heron watches nine silver fish below the broken weir while rain falls on the mill"
    index = SpanIndex.build([SourceRow("r1", "ann", row, 0)], tokenizer, tmp_path)
    for words, edits in [(row, []), (row.replace("broken", "nine"), [1])]:
        tokens = index.encode(words)
        made = shares(tokens, index.find(tokens), costs=index.costs(tokens))
        paid = split(10**18, SPLIT, [], made, ACCOUNTS)
        receipt = explain(index, tokens, made, paid, near=index.near(tokens))
        assert len(receipt.near) == len(edits)
        assert ("not paid" in str(receipt)) is bool(edits)
        assert sum(line.wei for line in receipt.lines) + sum(p.amount for p in receipt.others) == 10**18
