"""How many workers a load asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import UserError
from openledger.runtime import Scaling


@pytest.mark.parametrize(("ongoing", "workers"), [(0, 1), (8, 1), (9, 2), (24, 3), (25, 4), (1000, 4)])
def test_as_many_as_their_target_asks_for_between_the_bounds(ongoing: int, workers: int) -> None:
    assert Scaling(1, 4, 8).wanted(ongoing) == workers


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(0, 8), st.floats(0.5, 100))
def test_more_work_never_asks_for_fewer(ongoing: int, least: int, more: int, target: float) -> None:
    scaling = Scaling(least, least + more, target)
    assert least <= scaling.wanted(ongoing) <= scaling.wanted(ongoing + 1) <= least + more


@pytest.mark.parametrize("wrong", [(0, 1), (2, 1), (1, 1, 0.0), (1, 1, 8.0, 0)])
def test_bounds_that_make_no_sense_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(UserError):
        Scaling(*wrong)
