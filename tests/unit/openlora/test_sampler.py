import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.openlora import Sampling, choose, deficit, gumbel

SEED = bytes(range(32))
LOGPROBS = np.log(np.random.default_rng(7).dirichlet(np.ones(200))).astype(np.float32)

seeds = st.binary(min_size=32, max_size=32)
positions = st.integers(0, 2**32 - 1)
samplings = st.builds(
    Sampling,
    temperature=st.floats(0.01, 10),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(0, 300),
)


def test_noise_is_fixed_for_all_time() -> None:
    # Another value here means that no record made before can be replayed.
    expected = [0.7604962784235042, 1.61786624426989, 0.4137612283429589]
    assert gumbel(SEED, 5, 3) == pytest.approx(expected, abs=1e-12)


@given(seeds, positions)
def test_noise_does_not_depend_on_how_much_is_drawn(seed: bytes, position: int) -> None:
    assert gumbel(seed, position, 3).tolist() == gumbel(seed, position, 101)[:3].tolist()


def test_noise_differs_by_seed_and_by_position() -> None:
    rows = {tuple(gumbel(SEED, position, 8)) for position in range(50)}
    rows |= {tuple(gumbel(bytes([index]) * 32, 0, 8)) for index in range(50)}
    assert len(rows) == 100


def test_noise_has_the_gumbel_distribution() -> None:
    noise = gumbel(SEED, 0, 200_000)
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)
    assert noise.var() == pytest.approx(math.pi**2 / 6, abs=0.03)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_choices_follow_the_tempered_distribution(temperature: float) -> None:
    logits = np.array([0.0, 1.0, 2.0, -1.0])
    weights = np.exp(logits / temperature)
    draws = [choose(logits, SEED, position, Sampling(temperature)) for position in range(20_000)]
    shares = np.bincount(draws, minlength=4) / len(draws)
    assert shares == pytest.approx(weights / weights.sum(), abs=0.015)


@given(seeds, positions, samplings)
def test_the_choice_is_a_function_and_has_no_deficit(seed: bytes, position: int, sampling: Sampling) -> None:
    token = choose(LOGPROBS, seed, position, sampling)
    assert token == choose(LOGPROBS.copy(), seed, position, sampling)
    assert deficit(LOGPROBS, token, seed, position, sampling) == 0.0


@given(seeds, positions, samplings, st.integers(0, 199))
def test_only_the_choice_has_no_deficit(seed: bytes, position: int, sampling: Sampling, token: int) -> None:
    behind = deficit(LOGPROBS, token, seed, position, sampling)
    assert (behind == 0.0) == (token == choose(LOGPROBS, seed, position, sampling))


@given(seeds, positions, samplings, st.floats(-100, 100))
def test_a_constant_changes_nothing(seed: bytes, position: int, sampling: Sampling, constant: float) -> None:
    shifted = LOGPROBS.astype(np.float64) + constant
    token = choose(shifted, seed, position, sampling)
    assert deficit(LOGPROBS, token, seed, position, sampling, slack=1e-9) < 1e-6


@given(seeds, positions, st.integers(1, 50))
def test_top_k_keeps_only_the_k_most_likely(seed: bytes, position: int, k: int) -> None:
    token = choose(LOGPROBS, seed, position, Sampling(5.0, top_k=k))
    assert token in np.argsort(-LOGPROBS)[:k]


@given(seeds, positions, st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(seed: bytes, position: int, p: float) -> None:
    order = np.argsort(-LOGPROBS)
    needed = int(np.searchsorted(np.cumsum(np.exp(LOGPROBS[order].astype(np.float64))), p)) + 1
    token = choose(LOGPROBS, seed, position, Sampling(1.0, top_p=p))
    assert token in order[: needed + 1]


def test_top_k_1_is_the_argmax_at_any_temperature() -> None:
    for position in range(100):
        assert choose(LOGPROBS, SEED, position, Sampling(10.0, top_k=1)) == int(LOGPROBS.argmax())


def test_temperature_0_is_the_argmax_and_ignores_the_seed() -> None:
    assert (
        choose(LOGPROBS, SEED, 0, Sampling(0))
        == choose(LOGPROBS, bytes(32), 9, Sampling(0))
        == LOGPROBS.argmax()
    )
    assert choose(np.array([1.0, 3.0, 3.0]), SEED, 0, Sampling(0)) == 1


def test_a_token_removed_by_a_filter_has_an_infinite_deficit() -> None:
    worst = int(LOGPROBS.argmin())
    assert deficit(LOGPROBS, worst, SEED, 0, Sampling(1.0, top_k=5), slack=0.01) == math.inf


def test_a_token_at_the_edge_of_a_filter_is_forgiven_within_the_slack() -> None:
    logits = np.array([0.0, -1.0, -1.001, -5.0])
    sampling = Sampling(1.0, top_k=2)
    seed = next(bytes([n]) * 32 for n in range(256) if choose(logits, bytes([n]) * 32, 0, Sampling(1.0)) == 2)
    assert deficit(logits, 2, seed, 0, sampling) == math.inf
    assert deficit(logits, 2, seed, 0, sampling, slack=0.01) < 0.05


def test_ninety_percent_temperature_is_told_apart_from_one() -> None:
    other = [
        choose(LOGPROBS, SEED, at, Sampling(0.7)) != choose(LOGPROBS, SEED, at, Sampling(1.0))
        for at in range(64)
    ]
    assert sum(other) >= 3
