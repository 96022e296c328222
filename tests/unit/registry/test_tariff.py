"""What metered actions cost, and that manifests commit to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openledger.agents import agent
from openledger.errors import ContentError, UserError
from openledger.registry import (
    AssetRef,
    Manifest,
    ModelCallStep,
    RetrievalStep,
    Sampling,
    Split,
    Tariff,
    action_fee,
    cid_of,
    decode,
    encode,
    used_tokens,
)

CID = cid_of(b"model")
wei = st.integers(0, 2**96 - 1)


def manifest(tariff: Tariff | None) -> Manifest:
    refs = [AssetRef(1, CID)]
    return Manifest("a", refs, [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32), tariff=tariff)


def call(prompt: int, output: int) -> ModelCallStep:
    sampling = Sampling(1.0, 1.0, 0, max(output, 1))
    given = [7] * prompt, [8] * output, [-1] * output
    return ModelCallStep(1, CID, 1, CID, *given, sampling, bytes(32), "cpu", "length", "answer")


def test_an_action_costs_its_base_and_the_tokens_of_all_its_model_calls() -> None:
    steps = [call(3, 5), RetrievalStep("q", [], "search"), call(2, 1)]
    assert used_tokens(steps) == (5, 6)
    metered = manifest(Tariff(prompt=10, output=100, base=1000))
    assert action_fee(metered, steps, 10**18) == 1000 + 50 + 600
    assert action_fee(metered, [], 10**18) == 1000
    assert action_fee(metered, steps, 1649) == 1649, "never more than was authorised"
    assert action_fee(manifest(None), steps, 10**18) == 10**18, "all that was paid, where there is no tariff"


@given(wei, wei, wei)
def test_a_manifest_commits_to_its_tariff(prompt: int, output: int, base: int) -> None:
    stated = manifest(Tariff(prompt, output, base))
    assert Manifest.decode(stated.cid, stated.encoded.blocks.__getitem__) == stated
    assert stated.cid != manifest(None).cid


def test_manifests_without_a_tariff_are_what_they_were() -> None:
    assert manifest(None).cid == "bafyreid6grazl6kntg6ygmle2rftjnqw4ynsstbhmwp3q5jw25mrks4ghq"


@pytest.mark.parametrize(
    "block", [[], ["1", "2"], ["1", "2", "-3"], ["1", "2", 3], 7, ["1", "2", str(2**96)]]
)
def test_a_malformed_tariff_is_refused(block: Any) -> None:
    stated = manifest(Tariff(1, 2, 3))
    root = decode(stated.encoded.data) | {"tariff": block}
    cid = cid_of(encode(root))
    with pytest.raises(ContentError, match="tariff"):
        Manifest.decode(cid, {cid: encode(root)}.__getitem__)


def test_a_tariff_does_not_hide_in_a_manifest_that_has_none() -> None:
    """Who knows manifests of version 2 only would charge, or pay, the whole price."""
    root = decode(manifest(Tariff(1, 2, 3)).encoded.data) | {"version": 2}
    cid = cid_of(encode(root))
    with pytest.raises(ContentError, match="manifest"):
        Manifest.decode(cid, {cid: encode(root)}.__getitem__)


@pytest.mark.parametrize("part", ["prompt", "output", "base"])
@pytest.mark.parametrize("wrong", [-1, 1.5, "3", True, 2**96])
def test_a_tariff_is_whole_wei(part: str, wrong: Any) -> None:
    with pytest.raises(UserError, match="tariff"):
        replace(Tariff(1, 2, 3), **{part: wrong})


def test_an_agent_cannot_begin_above_the_most_that_it_may_cost() -> None:
    with pytest.raises(UserError, match="costs more than its price"):
        agent("greedy", price=5, tariff=Tariff(0, 0, base=6))
