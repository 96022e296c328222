"""Income along a lineage: nothing is lost, whatever the lineage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import UserError
from openledger.registry import flow_income, split_income

BPS = st.integers(0, 10_000)


@given(st.integers(0, 2**256 - 1), st.lists(BPS, max_size=16))
def test_every_wei_is_accounted_for(amount: int, royalties: list[int]) -> None:
    owner, parents = split_income(amount, royalties)
    assert owner + sum(parents) == amount
    assert owner >= 0
    whole = max(sum(royalties), 10_000)
    for part, bps in zip(parents, royalties, strict=True):
        assert part * whole <= amount * bps < (part + 1) * whole


@given(st.data(), st.integers(1, 24), st.integers(0, 10**30))
def test_a_whole_lineage_is_paid(data: st.DataObject, size: int, amount: int) -> None:
    parents = {
        asset: sorted(data.draw(st.sets(st.integers(0, asset - 1), max_size=16)) if asset else set())
        for asset in range(size)
    }
    royalties = {asset: data.draw(BPS) for asset in range(size)}
    paid = flow_income(size - 1, amount, parents, royalties)
    assert sum(paid.values()) == amount
    assert paid.keys() >= {size - 1, *parents[size - 1]}


def test_a_diamond_is_split_once_as_a_whole() -> None:
    # 3 is made of 1 and 2, both of 0: the two royalties of 0 are one income when it is split
    parents = {3: [1, 2], 1: [0], 2: [0]}
    paid = flow_income(3, 1000, parents, {1: 2_000, 2: 2_000, 0: 1_000})
    assert paid == {3: 600, 1: 180, 2: 180, 0: 40}


def test_bad_input() -> None:
    for amount, royalties in ((-1, []), (1, [10_001]), (1, [-1]), (1, [1] * 17)):
        with pytest.raises(UserError, match="cannot be split"):
            split_income(amount, royalties)
