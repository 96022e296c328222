"""The auditor daemon and payouts: unattended it finds the batch whose payouts were stolen, has it slashed, and ends richer. An
honest batch is never accused, and what cannot be recomputed is never called right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import loop
import pytest
from stranger import hidden
from thief import call, steal

from openledger.registry import BatchHeader, Ledger, shares_evidence_hash
from openledger.staking import (
    Auditor,
    AuditPolicy,
    Challenge,
    DaemonLog,
    Journal,
    Juror,
    JuryService,
    MeteredLedger,
    examiners_for,
    recompute_for,
)

HOUR = 3_600


@pytest.fixture(scope="module")
def honest(stack: Any) -> BatchHeader:
    """A batch of three actions, anchored as they should be."""
    call(stack, loop.questions(3, seed=21))
    (header,) = stack.honest.batcher.anchor()
    return header


def stolen(stack: Any, seed: int, count: int = 2) -> BatchHeader:
    """A batch that pays its operator everything."""
    call(stack, loop.questions(count, seed))
    return steal(stack)


def auditor(stack: Any, folder: Path, account: int = 18, **policy: Any) -> Auditor:
    """The daemon of an account, for the agent whose operator is honest but when it anchors payouts."""
    connection = stack.world.connection
    ledger = MeteredLedger(connection.contracts, connection.devnet.accounts[account])
    journal = Journal(folder / "journal.db")
    ledger.spent = lambda wei: journal.count("wei_gas", wei)
    return Auditor(
        ledger,
        connection.store,
        lambda _base: stack.pool,
        journal,
        DaemonLog(folder / "log.jsonl"),
        AuditPolicy(rate=1.0, agents={stack.honest.registered.agent_id}, **policy),
        now=lambda: float(connection.chain.now()),
        recompute=recompute_for(connection, ledger),
    )


def told(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


@pytest.fixture(scope="module")
def jury(stack: Any, tmp_path_factory: pytest.TempPathFactory) -> list[JuryService]:
    """Every juror's daemon; payouts need no engine."""
    world, folder = stack.world, tmp_path_factory.mktemp("jury")
    services = []
    for number, account in enumerate(world.people.jurors):
        ledger, kept = world.connection.as_(account), folder / str(number)
        juror = Juror(
            ledger, world.connection.store, _no_engine, folder / "votes", examiners_for(world.connection)
        )
        services.append(
            JuryService(ledger, juror, Journal(kept / "journal.db"), DaemonLog(kept / "log.jsonl"))
        )
    return services


def _no_engine(_base: object) -> Any:
    raise AssertionError("payouts need no engine")


def let_time_pass(stack: Any, *daemons: Any, hours: int) -> None:
    """Every daemon makes a pass, every two hours of the chain's clock."""
    for _ in range(hours // 2):
        for daemon in daemons:
            daemon.run()
        stack.world.connection.chain.advance(2 * HOUR)


def wealth(ledger: Ledger) -> int:
    """Wei of OPEN an account holds, wrapped or not."""
    return ledger.balance(ledger.address) + ledger.chain.balance(ledger.address)


def disputes_of(stack: Any, header: BatchHeader) -> list[int]:
    """Disputes about a batch's payouts, by anybody."""
    ledger = stack.world.connection.ledger
    events = ledger.contracts.disputes.events.SharesDisputed
    return [int(event["id"]) for event in ledger.events(events, headerHash=header.hash())]


def test_the_daemon_alone_finds_a_stolen_batch_has_it_slashed_and_ends_richer(
    stack: Any, honest: BatchHeader, jury: list[JuryService], tmp_path: Path
) -> None:
    wrong = stolen(stack, 22)
    ledger = stack.world.connection.ledger
    audit = auditor(stack, tmp_path)
    before, staked = wealth(audit.ledger), ledger.stake_of(wrong.agent_id)
    let_time_pass(stack, audit, *jury, hours=32)

    verdicts = {line["nonce"]: line["verdict"] for line in told(tmp_path, "payouts")}
    assert verdicts == {honest.first_nonce: "verified", wrong.first_nonce: "mismatch"}
    assert {line["verdict"] for line in told(tmp_path, "checked")} == {"verified"}, "its tokens are honest"
    (number,) = disputes_of(stack, wrong)
    assert Challenge(audit.ledger, number).state == "Convicted"
    assert staked - ledger.stake_of(wrong.agent_id) == 80 * wrong.sum
    assert ledger.settlement.claims_state(wrong) == "awaited"
    assert disputes_of(stack, honest) == []
    assert ledger.settlement.claims_state(honest) == "open"

    counts = audit.journal.counts()
    assert (counts["payouts_verified"], counts["payouts_mismatch"], counts["payouts_unverified"]) == (1, 1, 0)
    assert counts["actions_recomputed"] == honest.count + wrong.count
    assert (counts["challenged"], counts["won"], counts["lost"]) == (1, 1, 0)
    assert counts["wei_earned"] == 80 * wrong.sum * 3 // 10
    assert wealth(audit.ledger) - before == counts["wei_earned"] - counts["wei_gas"] > 0


def test_a_daemon_that_lost_its_journal_accuses_nobody_twice(
    stack: Any, honest: BatchHeader, tmp_path: Path
) -> None:
    again = auditor(stack, tmp_path)
    again.run()
    assert again.journal.counts()["challenged"] == 0
    assert {line["dispute"] for line in told(tmp_path, "known")} == {
        number for line in told(tmp_path, "payouts") for number in _disputes_at(stack, line["nonce"])
    }


def _disputes_at(stack: Any, nonce: int) -> list[int]:
    header = stack.world.connection.ledger.batch_of(stack.honest.registered.agent_id, nonce)
    return disputes_of(stack, header)


def test_evidence_that_was_committed_to_before_a_crash_is_shown(
    stack: Any, jury: list[JuryService], tmp_path: Path
) -> None:
    """The commitment is on the chain, the journal is empty: as after a kill between the two transactions."""
    wrong = stolen(stack, 23, count=1)
    audit = auditor(stack, tmp_path)
    ledger = audit.ledger
    disputes = ledger.contracts.disputes
    evidence = shares_evidence_hash(ledger.address, ledger.secret("shares", wrong.hash()), wrong.hash())
    _, bond = ledger.call(disputes.functions.bondFor(wrong.sum))
    ledger.approve(disputes.address, bond)
    receipt = ledger.send(disputes.functions.commitChallenge(wrong.to_abi(), wrong.first_nonce, evidence))
    ledger.wait_block(receipt.block + 1)
    number = int(receipt.event(disputes.events.ChallengeCommitted)["id"])
    before = wealth(ledger)
    audit.run()
    assert number in {line["dispute"] for line in told(tmp_path, "revealed")}
    assert disputes_of(stack, wrong) == [number], "and not challenged again"
    let_time_pass(stack, audit, *jury, hours=32)
    assert Challenge(ledger, number).state == "Convicted"
    assert wealth(ledger) > before


def test_a_dispute_that_does_not_pay_is_not_sent_until_it_does(stack: Any, tmp_path: Path) -> None:
    wrong = stolen(stack, 24, count=1)
    poor = auditor(stack, tmp_path, account=14, least_profit=10**24)
    poor.run()
    poor.run()
    unpaid = [line for line in told(tmp_path, "unpaid") if line["nonce"] == wrong.first_nonce]
    assert len(unpaid) == 1
    assert "does not pay: reward 2.4 OPEN" in unpaid[0]["what"]
    assert disputes_of(stack, wrong) == []
    restarted = auditor(stack, tmp_path, account=14)
    restarted.run()
    assert len(disputes_of(stack, wrong)) == 1


def test_the_command_looks_at_payouts_unless_it_is_told_not_to(stack: Any, tmp_path: Path) -> None:
    wrong = stolen(stack, 28, count=1)
    settings = stack.world.connection.settings
    environment = {
        **os.environ,
        "OPENLEDGER_HOME": str(settings.home_dir),
        "OPENLEDGER_CACHE": str(settings.cache_dir),
    }

    def served(account: int, *words: str) -> Any:
        serve = ["audit", "serve", "--once", "--json", "--as", str(account), "--rate", "1"]
        line = [sys.executable, "-m", "openledger.cli", *serve, "--agent", str(wrong.agent_id), *words]
        done = subprocess.run(line, capture_output=True, text=True, timeout=900, env=environment, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    blind = served(16, "--payouts-per-pass", "0")
    assert blind["counts"]["payouts_mismatch"] == blind["counts"]["challenged"] == "0"
    assert disputes_of(stack, wrong) == []
    seeing = served(17)
    looked = {line["nonce"]: line["verdict"] for line in seeing["log"] if line["event"] == "payouts"}
    assert looked[wrong.first_nonce] == "mismatch"
    assert seeing["counts"]["challenged"] == "1"
    assert len(disputes_of(stack, wrong)) == 1


def test_another_accounts_dispute_is_left_to_it(stack: Any, tmp_path: Path) -> None:
    """The stolen batch of the test before is judged for another account."""
    late = auditor(stack, tmp_path, account=15)
    late.run()
    assert late.journal.counts()["challenged"] == 0
    assert all("judges it" in line["what"] for line in told(tmp_path, "waits"))
    assert told(tmp_path, "waits") != []


def test_payouts_that_cannot_be_recomputed_are_unverified_and_never_right(
    stack: Any, honest: BatchHeader, tmp_path: Path
) -> None:
    call(stack, loop.questions(1, seed=25))
    (header,) = stack.honest.batcher.anchor()
    audit = auditor(stack, tmp_path)
    with hidden(stack, stack.world.datanets["findings"].cid):
        let_time_pass(stack, audit, hours=12)
    looked = [line for line in told(tmp_path, "payouts") if line["nonce"] == header.first_nonce]
    assert [line["verdict"] for line in looked] == ["unverified"] * 4, "tried again, but not for ever"
    assert stack.world.datanets["findings"].cid in looked[0]["why"]
    assert audit.journal.counts()["payouts_verified"] == 0


def test_a_pass_recomputes_within_its_budget(stack: Any, tmp_path: Path) -> None:
    for seed in (26, 27):
        call(stack, loop.questions(2, seed))
        stack.honest.batcher.anchor()
    audit = auditor(stack, tmp_path, payouts_per_pass=2)
    done = [0]
    for _ in range(3):
        audit.run()
        done.append(audit.journal.counts()["actions_recomputed"])
    assert all(0 < after - before <= 3 for before, after in pairwise(done)), "one batch in each pass"
    assert told(tmp_path, "budget") != []
