"""How many drawn leaves must deviate: against the exact binomial."""

from __future__ import annotations

from fractions import Fraction
from math import comb

from hypothesis import given
from hypothesis import strategies as st

from openledger.staking import drift_threshold

P = Fraction(1, 1000)


@given(leaves=st.integers(32, 256), rate=st.integers(1, 10_000))
def test_an_honest_batch_is_convicted_no_more_often_than_allowed(leaves: int, rate: int) -> None:
    m = drift_threshold(leaves, rate)
    tail = sum(
        (comb(leaves, i) * P**i * (1 - P) ** (leaves - i) for i in range(m, leaves + 1)), start=Fraction(0)
    )
    assert tail <= Fraction(rate, 10**9)
    assert m == 1 or comb(leaves, m - 1) * P ** (m - 1) > Fraction(rate, 10**9)


def test_the_default_asks_for_four_of_sixty_four() -> None:
    assert drift_threshold(64, 1000) == 4
