"""Whether a challenge pays: exact, in wei."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from openledger.staking import Worth

OPEN = 10**18
wei = st.integers(0, 10**27)


@given(reward=wei, bond=wei, gas=wei, confidence=st.integers(0, 10_000))
def test_the_expectation_is_exact_and_rounded_down(reward: int, bond: int, gas: int, confidence: int) -> None:
    share = Fraction(confidence, 10_000)
    exact = share * reward - (1 - share) * bond - gas
    assert 0 <= exact - Worth(reward, bond, gas).expected(confidence) < 1


def test_the_default_challenge_pays() -> None:
    assert Worth(reward=24 * OPEN // 10, bond=8 * OPEN // 10, gas=OPEN // 100).pays(9_500, least=0)


def test_what_brings_nothing_does_not_pay() -> None:
    assert not Worth(reward=OPEN, bond=0, gas=OPEN).pays(10_000, least=0)
    assert Worth(reward=OPEN, bond=0, gas=OPEN - 1).pays(10_000, least=0)


def test_less_than_is_asked_for_does_not_pay() -> None:
    worth = Worth(reward=OPEN, bond=0, gas=0)
    assert worth.pays(10_000, least=OPEN)
    assert not worth.pays(10_000, least=OPEN + 1)
    assert "does not pay: reward 1 OPEN" in worth.explain(10_000, OPEN + 1)


def test_a_doubtful_challenge_risks_its_bond() -> None:
    worth = Worth(reward=OPEN, bond=OPEN, gas=0)
    assert not worth.pays(5_000, least=0)
    assert worth.pays(5_001, least=0)


@given(reward=wei, confidence=st.integers(0, 10_000))
def test_an_obstacle_forbids_whatever_it_would_bring(reward: int, confidence: int) -> None:
    worth = Worth(reward, 0, 0, obstacle="the action was slashed in full")
    assert not worth.pays(confidence, least=0)
    assert worth.explain(confidence, 0) == "does not pay: the action was slashed in full"
