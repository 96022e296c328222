"""Disputes and demands as a user types them. The jurors vote by their own code, without an engine; see test_vote_cli."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blocks import lose
from court import BOND, JUROR_FEE, OPEN, SLASH, STAKE, TRUTH, Accused, Court
from typer.testing import Result

from openledger.errors import ChainError, ChallengeError, ContentError, UserError
from openledger.registry import Ledger
from openledger.staking import BatchDispute, Demand, build_evidence, fetch_action, open_challenge

Run = Callable[..., Result]
Read = Callable[..., Any]


def sends(told: Any) -> list[str]:
    """The functions of a command's transactions."""
    return [call["function"] for call in told["calls"]]


def moved(told: Any) -> dict[tuple[str, str], int]:
    """Wei that a command's transactions moved, by source and target."""
    moves = [(move["from"], move["to"], int(move["wei"])) for call in told["calls"] for move in call["moves"]]
    return {(source, target): wei for source, target, wei in moves}


def test_join_resolve_and_appeal(court: Court, accused: Accused, run: Run, read: Read) -> None:
    both = [value - 40_000 * (position in (1, 2)) for position, value in enumerate(TRUTH)]
    cid = accused.act(both)
    auditor, second = court.account(3), court.account(4).address
    opened = open_challenge(build_evidence(cid, 0, 2, store=court.connection.store, ledger=auditor), auditor)
    joining = ("join", opened.id, cid, "--step", 0, "--token", 1, "--as", 4)
    tried = read(*joining, "--dry-run")
    assert moved(tried) == {(second, "Disputes"): BOND}
    assert len(court.chain.call(court.connection.contracts.disputes.functions.leavesOf(opened.id))) == 1
    joined = read(*joining)
    assert sends(joined) == ["approve", "joinChallenge"]
    assert joined["bond"] == str(BOND)
    refused = run(*joining[:-2], "--as", 5, fails=ChainError).exception
    assert "LeafJudged" in str(refused)

    early = run("resolve", opened.id, "--dry-run", fails=ChainError).exception
    assert "TooEarly" in str(early), "a dry run waits for no block"
    drawn = read("resolve", opened.id)
    assert drawn["state"] == opened.state == "Drawn"
    assert drawn["committee"] == opened.committee
    run(*joining, fails=ChainError)
    run("appeal", opened.id, fails=ChainError)
    court.vote(opened, {})
    assert "Ruled: final unless somebody appeals" in run("resolve", opened.id).stdout

    bond = 11 * JUROR_FEE + BOND
    appealing = ("appeal", opened.id, "--as", 5)
    assert str(moved(read(*appealing, "--dry-run"))[court.account(5).address, "Disputes"]) == str(bond)
    assert opened.state == "Ruled"
    assert read(*appealing)["bond"] == str(bond)
    assert len(read("resolve", opened.id)["committee"]) == 11
    court.vote(opened, {})
    ruled = read("resolve", opened.id)
    assert ruled["appealBy"] == opened.appeal_by
    run("resolve", opened.id, "--dry-run", fails=ChainError)
    court.pass_until(opened, "appealBy")
    final = read("resolve", opened.id, "--dry-run")
    assert sends(final) == ["resolve", "settle", "settle"]
    assert opened.state == "Ruled"
    told = run("resolve", opened.id).stdout
    assert "moves" in told
    assert f"Convicted: {SLASH // OPEN} OPEN slashed" in told
    assert accused.staked == STAKE - SLASH
    assert read("resolve", opened.id)["calls"] == [], "nothing is left to settle"


def test_a_dispute_that_is_not_there_is_named(court: Court, run: Run) -> None:
    for command in ("resolve", "vote"):
        assert "4040" in str(run(command, 4040, fails=ChallengeError).exception)
    assert "no demand 4040" in str(run("enforce", 4040, fails=ChallengeError).exception)


def test_accuse_a_batch_and_open_its_leaves(court: Court, accused: Accused, run: Run, read: Read) -> None:
    accused.act([value - 300 for value in TRUTH])
    accusing = ("accuse", accused.agent_id, 0, "--as", 3)
    assert sends(read(*accusing, "--dry-run")) == ["approve", "challengeBatch"]
    made = read(*accusing)
    dispute = BatchDispute(court.account(3), made["dispute"])
    assert moved(made)[court.account(3).address, "Disputes"] == BOND
    run("accuse", accused.agent_id, 99, fails=ChallengeError)
    assert read("resolve", dispute.id)["state"] == "Opening"
    run("resolve", dispute.id, fails=ChainError)  # the operator has time
    opening = ("open-leaves", dispute.id, "--as", 1)
    tried = read(*opening, "--dry-run")
    assert sends(tried) == ["openLeaf"] * 64
    assert dispute.state == "Opening"
    assert read(*opening)["opened"] == 64
    assert "opened 0 leaves" in run(*opening).stdout
    assert read("resolve", dispute.id)["state"] == "Open"
    assert read("resolve", dispute.id)["state"] == "Drawn"
    court.vote(dispute, {})
    assert read("resolve", dispute.id)["state"] == "Ruled"
    court.pass_until(dispute, "appealBy")
    assert read("resolve", dispute.id)["slashed"] == str(SLASH)


def test_request_an_audit(court: Court, accused: Accused, run: Run, read: Read) -> None:
    accused.act(TRUTH, fee=100 * OPEN)
    asking = ("request-audit", accused.agent_id)
    assert "AuditFundShort" in str(run(*asking, 0, "--dry-run", fails=ChainError).exception)
    court.chain.advance(accused.operator.parameter("challengeWindow") + 1)
    header = accused.operator.batch_of(accused.agent_id, 0)
    assert header is not None
    accused.operator.settlement.finalize(header)
    accused.act(TRUTH)
    assert sends(read(*asking, 1, "--as", 3, "--dry-run")) == ["requestAudit"]
    made = read(*asking, 1, "--as", 3)
    assert [move for move in moved(made) if court.account(3).address in move] == [], "it is free"
    dispute = BatchDispute(court.account(3), made["dispute"])
    assert "AuditAsked" in str(run(*asking, 1, fails=ChainError).exception)
    court.mine_draw(dispute, selected=False)
    assert "not selected" in run("resolve", dispute.id, "--dry-run").stdout
    assert read("resolve", dispute.id)["state"] == "Voided"
    assert "ended: Voided" in str(run("resolve", dispute.id, fails=ChallengeError).exception)


def withheld(court: Court, accused: Accused, read: Read) -> tuple[Demand, bytes]:
    """Demand a block of a record that nobody serves; returns the open demand and the block."""
    cid, store = accused.act(TRUTH), court.connection.store
    missing = fetch_action(cid, store).signed.content
    block = lose(store, missing)
    made = read("challenge", cid, "--as", 3)
    assert made["fault"] == "DataWithheld"
    return Demand.read(accused.operator, made["demand"]), block


def test_a_store_that_is_away_withholds_nothing(
    court: Court, accused: Accused, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid, before = accused.act(TRUTH), court.account(3).balance(court.account(3).address)
    monkeypatch.setenv("OPENLEDGER_IPFS_API", "/ip4/127.0.0.1/tcp/9/http")
    assert "cannot be reached" in str(run("challenge", cid, "--as", 3, fails=ContentError).exception)
    assert court.account(3).balance(court.account(3).address) == before


def test_enforce(court: Court, accused: Accused, run: Run, read: Read) -> None:
    demanded, block = withheld(court, accused, read)
    demand = demanded.demand_id
    assert "TooEarly" in str(run("enforce", demand, "--dry-run", fails=ChainError).exception)
    court.chain.advance(accused.operator.parameter("demandResponse") + 1)
    assert sends(read("enforce", demand, "--dry-run")) == ["enforce"]
    assert accused.staked == STAKE
    told = run("enforce", demand, "--as", 3).stdout
    assert f"moves     {SLASH // OPEN * 0.3:g} OPEN from" in told
    assert f"slashed: {SLASH // OPEN} OPEN" in told
    assert accused.staked == STAKE - SLASH
    assert "DemandNotOpen" in str(run("enforce", demand, fails=ChainError).exception)
    court.connection.store.put(block, "dag-cbor")


def test_respond(court: Court, accused: Accused, run: Run, read: Read) -> None:
    demanded, block = withheld(court, accused, read)
    demand = demanded.demand_id
    answering = ("respond", "--as", 1)
    unmet = run(*answering, exits=1)
    assert (
        f"demand {demand} (DataWithheld) of agent {accused.agent_id}: there is nothing to show"
        in unmet.stdout
    )
    assert "0 answered, 1 without an answer" in unmet.stdout
    court.connection.store.put(block, "dag-cbor")
    assert sends(read(*answering, "--dry-run")) == ["answerWithBlock"]
    answered = read(*answering)
    assert answered["answered"] == [demand]
    assert moved(answered)["Disputes", accused.operator.address] > 0
    assert read(*answering)["answered"] == []
    run(*answering, "--watch", "--dry-run", fails=UserError)


@contextmanager
def watching(home: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A responder as an operator leaves it running. Leaving kills it as a crash does."""
    command = [sys.executable, "-m", "openledger.cli", "respond", "--watch", "--as", "1", "--json"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, "OPENLEDGER_HOME": str(home)}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_answered(process: subprocess.Popen[bytes], ledger: Ledger, demand: Demand, log: Path) -> None:
    deadline = time.monotonic() + 900
    told = {"demand": demand.demand_id, "earned": str(demand.bond), "problem": None}
    while json.dumps(told) not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    assert Demand.read(ledger, demand.demand_id).state == "Answered"


def test_a_watching_responder_is_killed_started_again_and_answers_the_next_demand(
    court: Court, accused: Accused, read: Read, tmp_path: Path
) -> None:
    home, log, operator = court.connection.settings.home_dir, tmp_path / "log", accused.operator
    with watching(home, log) as process:
        while "Answers the open demands" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        before = operator.balance(operator.address)
        first, block = withheld(court, accused, read)
        court.connection.store.put(block, "dag-cbor")
        wait_answered(process, operator, first, log)
        assert operator.balance(operator.address) == before + first.bond
    assert process.returncode == -signal.SIGKILL
    second, block = withheld(court, accused, read)
    court.connection.store.put(block, "dag-cbor")
    assert Demand.read(operator, second.demand_id).state == "Open"
    with watching(home, log) as process:
        wait_answered(process, operator, second, log)
    assert accused.staked == STAKE


def test_what_a_challenge_needs(run: Run) -> None:
    run("challenge", fails=UserError)
    run("challenge", "--ticket", "no such file", fails=UserError)
