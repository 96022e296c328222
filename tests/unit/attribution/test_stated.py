"""Influence as a batch states it: what it says survives storage, counts where it is near, and malformed it says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.attribution import (
    COARSE,
    GRID_PARTS,
    GRID_SAVED,
    PARTS,
    RULE_V2,
    SLACK,
    SLACK_TOGETHER,
    Accounts,
    Influence,
    ModelUse,
    NoInfluence,
    Royalty,
    Shares,
    Source,
    Span,
    Stated,
    counted,
    decode_influence,
    encode_influence,
    paid_by,
    shares,
    split,
    with_shares,
)
from openledger.errors import ContentError, UserError
from openledger.registry import MAX_BLOCK, Link, Split, cid_of, decode, encode

ROWS = tuple(Source(place, "net", f"row-{place}", f"0x{place % 3}") for place in range(12))
STEPS = PARTS // GRID_PARTS


@st.composite
def influences(draw: st.DrawFn, tokens: int | None = None) -> Influence:
    """On the grid, as a batch states it."""
    count = draw(st.integers(0, 30)) if tokens is None else tokens
    saved = draw(st.lists(st.integers(0, 200), min_size=count, max_size=count))
    left, parts = STEPS, []
    for row in sorted(draw(st.sets(st.sampled_from(ROWS), max_size=5))):
        part = draw(st.integers(1, max(1, left // 2)))
        left -= part
        parts.append((row, part * GRID_PARTS))
    return Influence(tuple(one * GRID_SAVED for one in saved), tuple(parts))


stated = influences() | st.builds(NoInfluence, st.text(max_size=80))


def lengths(outputs: list[Stated]) -> list[int]:
    return [len(one.saved) if isinstance(one, Influence) else 3 for one in outputs]


# -- storage --------------------------------------------------------------------------------------


@given(st.lists(stated, max_size=6))
def test_what_is_stated_survives_storage_in_blocks_that_can_be_demanded(outputs: list[Stated]) -> None:
    made = encode_influence(outputs)
    assert all(len(block) <= MAX_BLOCK for block in made.blocks.values())
    assert decode_influence(made.cid, made.blocks.__getitem__, ROWS, lengths(outputs)) == outputs


def test_a_long_output_takes_several_blocks() -> None:
    saved = tuple(GRID_SAVED * (place // 7 % 90) for place in range(20_000))
    long: list[Stated] = [Influence(saved, ((ROWS[4], 700),))]
    made = encode_influence(long)
    assert len(made.blocks) > 4
    assert decode_influence(made.cid, made.blocks.__getitem__, ROWS, [20_000]) == long


@pytest.mark.parametrize("off", [Influence((50,)), Influence((), ((ROWS[0], 5),))])
def test_what_is_not_on_the_grid_cannot_be_stated(off: Influence) -> None:
    with pytest.raises(UserError, match="not on the grid"):
        encode_influence([off])


def packed(outputs: Any, version: Any = 1) -> bytes:
    return encode({"version": version, "outputs": {"value": outputs}})


@pytest.mark.parametrize(
    "block",
    [
        packed([{"saved": [1, 1], "parts": []}]),
        packed([{"saved": [1, -1, 1], "parts": []}]),
        packed([{"saved": [1, 1.5, 1], "parts": []}]),
        packed([{"saved": [1, 1, 1], "parts": [[99, 1]]}]),
        packed([{"saved": [1, 1, 1], "parts": [[1, -1]]}]),
        packed([{"saved": [1, 1, 1], "parts": [[1, STEPS], [2, 1]]}]),
        packed([{"saved": [1, 1, 1], "parts": [[2, 1], [1, 1]]}]),
        packed([{"saved": [1, 1, 1], "parts": [[1, 1], [1, 1]]}]),
        packed([{"saved": [1, 1, 1], "parts": [[1, 0]]}]),
        packed([{"why": 7}]),
        packed([{"why": "x" * 401}]),
        packed([{"saved": [1, 1, 1], "parts": [], "more": 1}]),
        packed([]),
        packed([7]),
        packed([{"saved": [1, 1, 1], "parts": []}], version=2),
        encode({"version": 1, "outputs": [1]}),
        encode({"version": 1, "outputs": {"linked": {"depth": 0, "links": [], "size": 1 << 29}}}),
        encode([1]),
        encode({"version": 1, "outputs": {"linked": {"depth": 0, "links": [Link(cid_of(b"", "dag-pb"))], "size": 9}}}),
        b"\xff",
    ],
)  # fmt: skip
def test_what_is_malformed_states_nothing(block: bytes) -> None:
    (found,) = decode_influence(cid_of(block), lambda _cid: block, ROWS, [3])
    assert isinstance(found, NoInfluence)
    assert "malformed" in found.why


def test_a_block_that_is_not_there_is_an_error_and_no_statement() -> None:
    made = encode_influence([Influence((300,) * 20_000)])
    for cid in made.blocks:

        def get(asked: str, cid: str = cid) -> bytes:
            if asked == cid:
                raise ContentError(f"{cid} is not in the store", cid=cid)
            return made.blocks[asked]

        with pytest.raises(ContentError, match="not in the store"):
            decode_influence(made.cid, get, ROWS, [20_000])


# -- what counts ----------------------------------------------------------------------------------


def moved(own: Influence, tokens: dict[int, int], rows: dict[Source, int]) -> Influence:
    """The same, some numbers off by so many steps."""
    parts = dict(own.parts)
    for row, steps in rows.items():
        parts[row] = parts.get(row, 0) + steps * GRID_PARTS
    saved = [one + tokens.get(place, 0) * GRID_SAVED for place, one in enumerate(own.saved)]
    return Influence(tuple(saved), tuple(sorted(parts.items())))


OWN = Influence((5000,) * 20, tuple((row, 300) for row in ROWS[:8]))


@pytest.mark.parametrize(
    ("tokens", "rows", "near"),
    [
        ({}, {}, True),
        ({3: SLACK}, {ROWS[1]: -SLACK}, True),
        ({3: SLACK + 1}, {}, False),
        ({}, {ROWS[1]: SLACK + 1}, False),
        ({}, {ROWS[9]: SLACK}, True),
        ({}, {ROWS[9]: SLACK + 1}, False),
        (dict.fromkeys(range(SLACK_TOGETHER), 1), {}, True),
        (dict.fromkeys(range(SLACK_TOGETHER + 1), 1), {}, False),
        ({}, dict.fromkeys(ROWS[: SLACK_TOGETHER // 2], 2), True),
        ({}, dict.fromkeys(ROWS[: SLACK_TOGETHER // 2 + 1], 2), False),
        ({}, {ROWS[0]: -STEPS // 50, ROWS[9]: STEPS // 50}, False),
    ],
)
def test_what_is_stated_counts_as_a_whole_where_it_is_near(
    tokens: dict[int, int], rows: dict[Source, int], near: bool
) -> None:
    said = moved(OWN, tokens, rows)
    assert counted(said, OWN) == (said if near else counted(None, OWN))


@given(influences(), stated)
def test_what_counts_is_what_is_stated_or_ones_own_rounded_down(own: Influence, said: Stated) -> None:
    found = counted(said, own)
    assert isinstance(found, Influence)
    if found is not said:
        assert all(0 <= a - b < COARSE * GRID_SAVED for a, b in zip(own.saved, found.saved, strict=True))
        mine, theirs = dict(own.parts), dict(found.parts)
        assert theirs.keys() <= mine.keys()
        assert not any(one % (COARSE * GRID_SAVED) for one in found.saved)
        assert not any(part % (COARSE * GRID_PARTS) for part in theirs.values())
        assert all(0 <= part - theirs.get(row, 0) < COARSE * GRID_PARTS for row, part in mine.items())


@given(influences(tokens=8), influences(tokens=8), st.data())
def test_two_who_differ_by_a_step_come_to_the_same_but_for_the_edges_of_a_coarse_grid(
    said: Influence, own: Influence, data: st.DataObject
) -> None:
    """What is stated is far from both: they must answer alike, or no jury would have a majority."""
    place, row = data.draw(st.integers(0, 7)), data.draw(st.sampled_from(ROWS))
    other = moved(own, {place: 1}, {row: 1})
    one, two = counted(said, own), counted(said, other)
    assert isinstance(one, Influence)
    assert isinstance(two, Influence)
    edges = (other.saved[place] // GRID_SAVED, dict(other.parts)[row] // GRID_PARTS)
    if said not in (one, two) and all(edge % COARSE for edge in edges):
        assert one == two


@given(stated)
def test_where_nobody_can_have_influence_nothing_that_is_stated_counts(said: Stated) -> None:
    nobody = NoInfluence("its adapter says not what it was trained on")
    assert counted(said, nobody) == nobody
    assert paid_by(nobody, 4) == Influence((0, 0, 0, 0))


@given(influences())
def test_a_reason_does_not_stand_for_influence_that_can_be_had(own: Influence) -> None:
    assert counted(NoInfluence("I would not compute it"), own) == counted(None, own)


# -- and what it pays -----------------------------------------------------------------------------


@given(st.integers(0, 10**20), st.lists(st.integers(0, 9000), max_size=25), st.data())
def test_shares_that_come_later_divide_a_fee_as_if_they_had_been_there(
    fee: int, costs: list[int], data: st.DataObject
) -> None:
    spans = [Span(0, len(costs), 0, (ROWS[0],))] if len(costs) > 10 and data.draw(st.booleans()) else []
    influence = data.draw(influences(tokens=len(costs)))

    def divided(by: Influence) -> Shares:
        return shares(list(range(len(costs))), spans, RULE_V2, costs=costs, influence=by)

    before, after = divided(Influence((0,) * len(costs))), divided(influence)
    bps, accounts = (
        Split(3000, 2000, 500, 4500),
        Accounts("treasury", "operator", "stakers", fixed={"x": 100}),
    )
    uses = [ModelUse(1, "maker", len(costs), (Royalty(2, "base", 2000),))]
    first = split(fee, bps, uses, before, accounts)
    assert with_shares(first, bps, after, "treasury") == split(fee, bps, uses, after, accounts)


def test_the_blocks_are_plain_numbers_of_steps() -> None:
    made = encode_influence(
        [Influence((300, 0), ((ROWS[2], 40), (ROWS[1], 20))), NoInfluence("the base alone")]
    )
    assert decode(made.data) == {
        "version": 1,
        "outputs": {"value": [{"saved": [3, 0], "parts": [[1, 2], [2, 4]]}, {"why": "the base alone"}]},
    }
