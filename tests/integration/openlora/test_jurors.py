"""Jurors who each replay with an engine of their own, by `openledger vote`, and a challenger by `openledger challenge`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from court import BOND, OPEN, PROMPT, SLASH, STAKE, Accused, Court
from typer.testing import Result

from openledger.contracts import Devnet
from openledger.errors import ChainError, ChallengeError
from openledger.openlora import GenerationRequest, Sampling, replayer_for
from openledger.registry import Connection, ModelCallStep
from openledger.registry import Sampling as Drawn
from openledger.settings import Settings
from openledger.staking import build_evidence, open_challenge

LENGTH, LIE = 6, 3


@pytest.fixture(scope="module")
def court(devnet: Devnet, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with Connection.open(Settings(home=devnet.home.parent)) as connection:
        connection.store.add_path(tiny.base)
        yield Court.open(connection, tmp_path_factory.mktemp("votes"), tiny.base_asset.cid)


@pytest.fixture(scope="module")
def honest(court: Court) -> ModelCallStep:
    """What the model says, with its logprobs."""
    model: Any = court.model
    engine: Any = replayer_for(court.connection)(model)
    [said] = engine.generate_many(
        [GenerationRequest(tuple(PROMPT), None, Sampling(max_tokens=LENGTH), bytes(32))]
    )
    engine.close()
    assert len(said.tokens) == LENGTH, "it ran to its length"
    return ModelCallStep(
        model.asset_id, model.cid, model.asset_id, model.cid, PROMPT, list(said.tokens), list(said.logprobs),
        Drawn(0.0, 1.0, 0, LENGTH), bytes(32), said.engine_class, "length", "answer",
    )  # fmt: skip


@pytest.fixture
def accused(court: Court) -> Iterator[Accused]:
    yield Accused.open(court)
    court.check_books()


def lied(step: ModelCallStep) -> ModelCallStep:
    """The same with one logprob grossly off."""
    return replace(step, logprobs=[value - 40_000 * (i == LIE) for i, value in enumerate(step.logprobs)])


def test_jurors_vote_by_replay(
    court: Court,
    accused: Accused,
    honest: ModelCallStep,
    read: Callable[..., Any],
    run: Callable[..., Result],
) -> None:
    cid, auditor = accused.anchor(lied(honest)), court.account(3)
    evidence = build_evidence(cid, 0, LIE, store=court.connection.store, ledger=auditor)
    number = open_challenge(evidence, auditor).id
    committee = read("resolve", number)["committee"]
    accounts = [str(account.address) for account in court.connection.devnet.accounts]  # type: ignore[union-attr]
    jurors = [accounts.index(juror) for juror in committee]
    stranger = next(i for i in range(6, 20) if i not in jurors)
    assert "not on the committee" in str(
        run("vote", number, "--as", stranger, fails=ChallengeError).exception
    )

    votes = court.connection.settings.home_dir / "votes"
    tried = read("vote", number, "--as", jurors[0], "--dry-run")
    assert [call["function"] for call in tried["calls"]] == ["commitVote"]
    assert not votes.exists(), "a dry run keeps no vote"
    committed = [read("vote", number, "--as", juror) for juror in jurors]
    kept = {path: path.read_text() for path in votes.iterdir()}
    assert len(kept) == len(jurors)
    tried = read("vote", number, "--as", jurors[0], "--dry-run")
    assert [call["function"] for call in tried["calls"]] == ["revealVote"]
    for juror, before in zip(jurors, committed, strict=True):
        assert before["action"] == "committed"
        # what was kept is revealed, without another replay
        told = run("vote", number, "--as", juror).stdout
        assert f"revealed: {before['tokenLogprobs'][0] / 1e4:.4f} nat" in told
        assert abs(before["tokenLogprobs"][0] - honest.logprobs[LIE]) < 50
    assert {path: path.read_text() for path in votes.iterdir()} == kept
    refused = run("vote", number, "--as", jurors[0], "--dry-run", fails=ChainError).exception
    assert "AlreadyVoted" in str(refused)

    appeal_by = read("resolve", number)["appealBy"]
    court.chain.advance(appeal_by - court.chain.now() + 1)
    assert read("resolve", number)["state"] == "Convicted"
    assert accused.staked == STAKE - SLASH


def test_a_challenge_replays_and_on_the_devnet_the_jury_is_held(
    court: Court,
    accused: Accused,
    honest: ModelCallStep,
    read: Callable[..., Any],
    run: Callable[..., Result],
) -> None:
    cid = accused.anchor(lied(honest))
    tried = run("challenge", cid, "--as", 3, "--dry-run").stdout
    assert f"Accuses token {LIE} of step 0 before a jury." in tried
    assert "signs     Disputes.revealChallenge(" in tried
    assert "nothing was signed or sent" in tried
    made = read("challenge", cid, "--as", 3)
    assert [call["function"] for call in made["calls"]] == ["approve", "commitChallenge", "revealChallenge"]
    assert (made["state"], made["token"], made["slashed"]) == ("Convicted", LIE, str(SLASH))
    assert made["change"] == str(SLASH * 3 // 10)


def test_an_honest_record_is_challenged_only_on_request(
    court: Court, accused: Accused, honest: ModelCallStep, run: Callable[..., Result]
) -> None:
    cid = accused.anchor(honest)
    refused = run("challenge", cid, "--as", 3, "--dry-run", fails=ChallengeError).exception
    assert "there is nothing to challenge" in str(refused)
    told = run("challenge", cid, "--as", 3, "--anyway", "--token", 1).stdout
    assert f"Acquitted, 0 OPEN slashed; you: -{BOND // OPEN} OPEN" in told
