"""Replay on a real engine: honest generations pass, every kind of cheat is named."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from openledger.openlora import (
    LENGTH,
    STOP,
    AdapterRef,
    AssetRef,
    EnginePool,
    Generation,
    GenerationRequest,
    Sampling,
    Tolerance,
    calibrate,
    replay,
    tolerance_for,
    vote,
)

from .conftest import Tiny

PROMPT = (5, 7, 9, 11)
SEED = b"\1" * 32
GREEDY = Sampling(max_tokens=48)
SAMPLED = Sampling(1.0, max_tokens=48)
FILTERED = Sampling(0.8, 0.9, 40, 48)


def make(pool: EnginePool, adapter: AdapterRef | None, sampling: Sampling, seed: bytes = SEED) -> Generation:
    return pool.generate(GenerationRequest(PROMPT, adapter, sampling, seed))


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED, FILTERED], ids=["greedy", "sampled", "filtered"])
@pytest.mark.parametrize("who", ["base", "a", "b", "c"])
def test_an_honest_generation_is_verified(pool: EnginePool, tiny: Tiny, who: str, sampling: Sampling) -> None:
    made = make(pool, tiny.adapters.get(who), sampling)
    found = replay(made, pool, root=made.root)
    assert str(found) == "verified"
    assert found.root == made.root
    assert found.max_delta <= 2
    assert len(found.choices) == len(made.tokens)
    assert found.first_token is None
    assert found.evidence is None


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("used", ["b", "base"])
def test_another_adapter_than_claimed_is_a_gross_mismatch(
    pool: EnginePool, tiny: Tiny, used: str, sampling: Sampling
) -> None:
    made = replace(make(pool, tiny.adapters.get(used), sampling), adapter=tiny.adapters["a"])
    found = replay(made, pool)
    assert found.verdict == "mismatch"
    assert found.gross
    assert found.evidence is not None
    assert abs(found.deltas[found.evidence]) == found.max_delta
    assert found.first_token is not None
    assert found.first_token <= found.evidence
    # What a jury would compute for that leaf is what the replay found.
    prefix = [*made.prompt, *made.tokens[: found.evidence]]
    committed, probe = vote(pool, prefix, made.adapter, made.tokens[found.evidence], 77)
    assert committed == pytest.approx(found.replayed[found.evidence], abs=2)
    assert [probe] == pool.step(prefix, made.adapter, [77])


def test_an_adapter_claimed_where_only_the_base_ran_is_found_the_other_way_round_too(
    pool: EnginePool, tiny: Tiny
) -> None:
    made = replace(make(pool, tiny.adapters["a"], GREEDY), adapter=None)
    assert replay(made, pool).verdict == "mismatch"


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_an_edited_token_is_the_first_to_diverge(pool: EnginePool, tiny: Tiny, sampling: Sampling) -> None:
    made = make(pool, tiny.adapters["a"], sampling)
    edited = list(made.tokens)
    edited[20] = (edited[20] + 1) % 1000 + 3
    found = replay(replace(made, tokens=tuple(edited)), pool)
    assert found.verdict == "mismatch"
    assert found.first_token == 20


def test_an_edited_logprob_is_found_at_its_place(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    logprobs = list(made.logprobs)
    logprobs[7] += 5000
    found = replay(replace(made, logprobs=tuple(logprobs)), pool)
    assert (found.verdict, found.first_token, found.evidence, found.gross) == ("mismatch", 7, 7, True)


def test_another_prompt_is_found(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    assert replay(replace(made, prompt=(5, 7, 9, 12)), pool).verdict == "mismatch"


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param({"seed": b"\2" * 32}, id="another seed"),
        pytest.param(
            {"sampling": replace(SAMPLED, temperature=0.9, stop_token_ids=(2,))}, id="temperature .9 for 1"
        ),
        pytest.param(
            {"sampling": replace(SAMPLED, temperature=0.0, stop_token_ids=(2,))}, id="temperature 0 for 1"
        ),
        pytest.param(
            {"sampling": replace(SAMPLED, top_k=5, stop_token_ids=(2,))}, id="no top-k where one is claimed"
        ),
        pytest.param(
            {"sampling": replace(SAMPLED, top_p=0.5, stop_token_ids=(2,))}, id="no top-p where one is claimed"
        ),
    ],
)
def test_what_logprobs_cannot_see_the_seed_shows(
    pool: EnginePool, tiny: Tiny, claim: dict[str, object]
) -> None:
    made = replace(make(pool, tiny.adapters["a"], SAMPLED), **claim)
    found = replay(made, pool)
    assert found.max_delta <= 2
    assert found.verdict == "mismatch"
    assert "seed" in found.why
    assert found.evidence is not None
    assert any(choice.position == found.evidence and choice.deficit > 0 for choice in found.choices)


def test_a_few_random_positions_find_another_seed(pool: EnginePool, tiny: Tiny) -> None:
    made = replace(make(pool, tiny.adapters["a"], SAMPLED), seed=b"\2" * 32)
    found = replay(made, pool, positions=4, rng=random.Random(1))
    assert found.verdict == "mismatch"
    assert len(found.choices) == 4


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_spoof_is_caught_by_its_choices(pool: EnginePool, tiny: Tiny, sampling: Sampling) -> None:
    # Generate with b, then report a's logprobs of the same tokens: the prefill agrees by construction.
    made = make(pool, tiny.adapters["b"], sampling)
    logprobs = pool.score(list(made.prompt), list(made.tokens), tiny.adapters["a"])
    spoof = replace(made, adapter=tiny.adapters["a"], logprobs=tuple(logprobs))
    found = replay(spoof, pool)
    assert found.max_delta <= 2
    assert found.verdict == "mismatch"
    assert "choices" in found.why


def test_an_output_cut_short_is_found_whatever_it_claims(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    for finish in (STOP, LENGTH):
        cut = replace(made, tokens=made.tokens[:10], logprobs=made.logprobs[:10], finish=finish)
        found = replay(cut, pool)
        assert (found.verdict, found.first_token) == ("mismatch", 10)


def test_an_output_that_goes_on_after_its_stop_is_found(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    stops = replace(made.sampling, stop_token_ids=(made.tokens[3],))
    found = replay(replace(made, sampling=stops), pool)
    assert found.verdict == "mismatch"
    assert found.first_token == made.tokens.index(made.tokens[3]) + 1


def test_a_generation_that_stopped_is_verified_and_its_end_is_bound(pool: EnginePool, tiny: Tiny) -> None:
    free = make(pool, tiny.adapters["a"], GREEDY)
    made = make(pool, tiny.adapters["a"], replace(GREEDY, stop_token_ids=(free.tokens[9],)))
    assert made.finish == STOP
    assert replay(made, pool).verdict == "verified"
    assert replay(replace(made, finish=LENGTH), pool).verdict == "mismatch"


def test_another_root_than_that_of_the_tokens_is_found(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    assert replay(made, pool, root=bytes(32)).verdict == "mismatch"


def test_nothing_uncalibrated_is_called_verified(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    elsewhere = replace(made, engine_class="vllm/0.32.0/bfloat16/NVIDIA-H200")
    found = replay(elsewhere, pool)
    assert found.verdict == "unverified"
    assert "NVIDIA-H200" in found.why
    assert replay(elsewhere, pool, Tolerance.of(20)).verdict == "verified"


def test_another_base_than_this_engines_is_unverified(pool: EnginePool, tiny: Tiny) -> None:
    made = replace(make(pool, None, GREEDY), base=AssetRef(1, "bafyother"))
    assert replay(made, pool, base=AssetRef(2, "bafythis")).verdict == "unverified"


def test_a_replay_that_cannot_be_made_says_why(pool: EnginePool, tiny: Tiny) -> None:
    made = make(pool, tiny.adapters["a"], GREEDY)
    long = replace(made, prompt=tuple([5] * 300))
    found = replay(long, pool)
    assert found.verdict == "unverified"
    assert "shorten the prompt" in found.why


def test_calibration_finds_honest_replays_within_the_tolerance(pool: EnginePool, tiny: Tiny) -> None:
    found = calibrate(
        pool,
        pool,
        [*tiny.adapters.values(), None],
        vocab_size=pool.vocab_size,
        tokens=1000,
        batch=16,
        length=32,
    )
    tolerance = tolerance_for(found.prover, found.verifier)
    assert tolerance is not None
    assert found.tokens >= 1000
    assert found.p999_delta <= found.max_delta <= tolerance.logprob
    assert found.max_deficit <= tolerance.choice
    # What is caught is far from what is forgiven.
    assert found.swapped_median > 100 * tolerance.logprob / 1e4
