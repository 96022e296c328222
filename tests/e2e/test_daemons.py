"""What the daemons do beside finding false tokens: data that is withheld, audits by lot, actions that nobody can replay,
jurors who cannot get what they are to judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blocks import lose
from court import FEE, HONEST, JUROR_FEE, OPEN, SILENT, SLASH, STAKE, TRUTH, Accused, Court, lied
from typer.testing import Result

from openledger.errors import ContentError, UserError
from openledger.registry import Batch, BatchEntry, Ledger, cid_from_digest, digest_of
from openledger.staking import (
    Auditor,
    AuditPolicy,
    BatchDispute,
    Challenge,
    DaemonLog,
    Demand,
    Journal,
    Juror,
    JuryPolicy,
    JuryService,
    MeteredLedger,
    fetch_action,
    recompute_for,
)

HOUR = 3_600


def auditor(court: Court, accused: Accused, folder: Path, **policy: Any) -> Auditor:
    """The daemon of account 4, for one agent."""
    signer = court.account(4).signer
    ledger = MeteredLedger(court.connection.contracts, signer)
    return Auditor(
        ledger,
        court.connection.store,
        lambda _base: HONEST,  # type: ignore[arg-type,return-value]
        Journal(folder / "journal.db"),
        DaemonLog(folder / "log.jsonl"),
        AuditPolicy(rate=1.0, agents={accused.agent_id}, **policy),
        now=lambda: float(court.chain.now()),
    )


def told(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == event]


def test_what_cannot_be_replayed_is_unverified_and_never_ok(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    accused.act(TRUTH)
    audit = auditor(court, accused, tmp_path)
    for _ in range(6):
        audit.run()
        court.chain.advance(HOUR)
    checks = told(tmp_path, "checked")
    assert {line["verdict"] for line in checks} == {"unverified"}
    assert "no tolerance is calibrated" in checks[0]["why"]
    assert len(checks) == 4, "it was tried again, but not for ever"
    assert audit.journal.counts()["actions_unverified"] == 1
    assert audit.journal.counts()["actions_verified"] == 0


def test_withheld_data_is_demanded_after_a_while_and_silence_is_slashed(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    cid = accused.act(TRUTH)
    missing = fetch_action(cid, court.connection.store).signed.content
    data = lose(court.connection.store, missing)
    audit = auditor(court, accused, tmp_path, demand_after=2 * HOUR)
    before = audit.ledger.balance(audit.ledger.address)
    audit.run()
    court.chain.advance(HOUR)
    audit.run()
    assert told(tmp_path, "demanded") == [], "perhaps the store is away"
    court.chain.advance(HOUR)
    audit.run()
    (demanded,) = told(tmp_path, "demanded")
    assert Demand.read(audit.ledger, demanded["demand"]).state == "Open"
    court.chain.advance(audit.ledger.parameter("demandResponse") + 1)
    audit.run()
    assert accused.staked == STAKE - SLASH
    assert audit.ledger.balance(audit.ledger.address) - before == SLASH * 3 // 10
    counts = audit.journal.counts()
    assert (counts["demanded"], counts["won"], counts["wei_earned"]) == (1, 1, SLASH * 3 // 10)
    court.connection.store.put_blocks({missing: data})


def test_an_answer_to_a_demand_is_kept_and_the_audit_goes_on(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    cid = accused.act(TRUTH)
    hidden = fetch_action(cid, court.connection.store).signed.content
    data = lose(court.connection.store, hidden)
    audit = auditor(court, accused, tmp_path, demand_after=0)
    audit.run()
    (demanded,) = told(tmp_path, "demanded")
    functions = court.connection.contracts.disputes.functions
    accused.operator.send(functions.answerWithBlock(demanded["demand"], data))
    court.chain.advance(HOUR)
    audit.run()
    assert court.connection.store.get(hidden) == data
    court.chain.advance(HOUR)
    audit.run()
    assert "no tolerance is calibrated" in told(tmp_path, "checked")[-1]["why"]
    assert accused.staked == STAKE


def test_payouts_of_records_that_were_not_anchored_are_not_taken_for_those_of_the_batch(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    """The header names another batch block than its roots are of, whose payouts are in order."""
    accused.act(TRUTH)
    ledger, store = accused.operator, court.connection.store
    first = ledger.batch_of(accused.agent_id, 0)
    assert first is not None
    honest = Batch.decode(cid_from_digest(first.batch_digest), store.get)
    entry = BatchEntry(bytes(31) + b"\1", honest.entries[0].envelope, FEE)
    shown = Batch(accused.agent_id, 1, [entry], honest.payouts)
    hidden = Batch(accused.agent_id, 1, [entry._replace(struct_hash=bytes(31) + b"\2")], honest.payouts)
    store.put_blocks(shown.encoded.blocks)
    header = replace(hidden.header(accused.epoch), batch_digest=digest_of(shown.cid))
    court.account(2).send(
        court.connection.contracts.token.functions.transfer(ledger.payments.escrow_of(accused.agent_id), FEE)
    )
    ledger.send(court.connection.contracts.log.functions.anchor(header.to_abi()[:-1]))
    anchored = ledger.batch_of(accused.agent_id, 1)
    assert anchored is not None
    with pytest.raises(ContentError, match="is not what was anchored"):
        recompute_for(court.connection, ledger)(anchored)


@pytest.mark.parametrize("selected", [False, True])
def test_a_random_audit_is_asked_for_when_the_fund_can_pay_and_seen_through(
    court: Court, accused: Accused, tmp_path: Path, selected: bool
) -> None:
    accused.act(TRUTH, fee=100 * OPEN)
    audit = auditor(court, accused, tmp_path, random_audits=True)
    if court.audit_fund < 5 * 8 * JUROR_FEE:
        audit.run()
        assert "a jury costs 0.8 OPEN" in told(tmp_path, "unfunded")[0]["what"]
    court.chain.advance(audit.ledger.parameter("challengeWindow") + 1)
    header = audit.ledger.batch_of(accused.agent_id, 0)
    assert header is not None
    audit.ledger.settlement.finalize(header)
    accused.act(TRUTH)
    audit.look_for_batches()
    (asked,) = told(tmp_path, "asked")
    dispute = BatchDispute(audit.ledger, asked["dispute"])
    court.mine_draw(dispute, selected)
    audit.run()
    if selected:
        assert dispute.state == "Opening"
        assert BatchDispute(accused.operator, dispute.id).open_leaves(
            dispute.header(), court.connection.store
        )
        jurors = [service(court, juror, tmp_path) for juror in court.jurors]
        for _ in range(9):
            for one in (audit, *jurors):
                one.run()
            court.chain.advance(5 * HOUR)
    assert dispute.state == ("Acquitted" if selected else "Voided")
    assert told(tmp_path, "ended")[-1]["dispute"] == dispute.id
    assert audit.journal.counts()["wei_earned"] == 0
    assert accused.staked == STAKE


def service(court: Court, juror: str, folder: Path, **policy: Any) -> JuryService:
    ledger: Ledger = court.connection.as_(court.jurors[juror])
    seat = Juror(ledger, court.connection.store, lambda _base: HONEST, folder / "votes")  # type: ignore[arg-type,return-value]
    journal = Journal(folder / juror / "journal.db")
    return JuryService(ledger, seat, journal, DaemonLog(folder / juror / "log.jsonl"), JuryPolicy(**policy))


def settled(folder: Path, challenge: Challenge) -> tuple[int, int]:
    """What a juror earned and lost in a dispute; the log of a new journal tells of earlier ones too."""
    (ended,) = [line for line in told(folder, "ended") if line["dispute"] == challenge.id]
    return int(ended["earned"]), int(ended["lost"])


def test_jurors_say_that_data_cannot_be_had_only_if_told_to(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    cid = accused.act(lied(2))
    challenge = accused.accuse(court.account(3), 2)
    step = fetch_action(cid, court.connection.store).steps[0].cid
    data = lose(court.connection.store, step)
    silent, *others = challenge.committee
    abstains = service(court, silent, tmp_path)
    say = [service(court, juror, tmp_path, unavailable_after=8 * HOUR) for juror in others]
    stake = court.juror_stake(silent)
    for _ in range(30):
        for one in (abstains, *say):
            one.run()
        court.chain.advance(2 * HOUR)
    court.connection.store.put_blocks({step: data})
    assert challenge.state == "Convicted"
    (missing,) = told(tmp_path / silent, "unverified")
    assert "cannot be had" in missing["what"]
    assert told(tmp_path / others[0], "committed")[0]["what"].endswith("committed `unavailable`")
    assert court.juror_stake(silent) == stake - SILENT
    assert abstains.journal.counts()["missed"] == 1
    assert settled(tmp_path / silent, challenge) == (0, SILENT)
    assert {settled(tmp_path / juror, challenge) for juror in others} == {(JUROR_FEE, 0)}


def test_a_juror_that_lost_its_journal_reveals_what_it_committed_to(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    accused.act(lied(2))
    challenge = accused.accuse(court.account(3), 2)
    seated = challenge.committee
    for juror in seated:
        service(court, juror, tmp_path / "before").run()
    again = [service(court, juror, tmp_path / "after") for juror in seated]
    for _ in range(16):
        for one in again:
            one.run()
        court.chain.advance(2 * HOUR)
    assert challenge.state == "Convicted"
    assert [one.journal.counts()["committed"] for one in again] == [0] * 5
    for juror in seated:
        assert settled(tmp_path / "after" / juror, challenge) == (JUROR_FEE, 0)


def test_a_step_that_is_due_is_left_to_others_for_a_while(
    court: Court, accused: Accused, tmp_path: Path
) -> None:
    accused.act(TRUTH)
    challenge = accused.accuse(court.account(3), 1)
    court.vote(challenge, {})
    juror = service(court, challenge.committee[0], tmp_path, patience=HOUR)
    juror.run()
    assert challenge.state == "Drawn", "whoever has the ruling wants to send it"
    court.chain.advance(2 * HOUR)
    juror.run()
    assert challenge.state == "Ruled"
    court.pass_until(challenge, "appealBy")
    juror.run()
    court.chain.advance(2 * HOUR)
    juror.run()
    assert challenge.state == "Acquitted"
    juror.run()
    assert settled(tmp_path / challenge.committee[0], challenge) == (JUROR_FEE, 0)
    assert juror.journal.counts()["steps"] == 2


def test_the_commands_refuse_what_makes_no_sense(run: Callable[..., Result]) -> None:
    run("audit", "serve", "--dry-run", fails=UserError)
    run("audit", "serve", "--once", "--rate", 0, fails=UserError)
    run("audit", "serve", "--once", "--confidence", 101, fails=UserError)
    run("audit", "serve", "--once", "--least-profit", "much", fails=UserError)
    run("jury", "serve", "--once", "--patience", "long", fails=UserError)


def test_a_dry_run_sends_nothing_and_remembers_nothing(
    court: Court, accused: Accused, read: Callable[..., Any]
) -> None:
    accused.act(TRUTH, fee=100 * OPEN)
    court.chain.advance(accused.operator.parameter("challengeWindow") + 1)
    header = accused.operator.batch_of(accused.agent_id, 0)
    assert header is not None
    accused.operator.settlement.finalize(header)
    accused.act(TRUTH)
    agent = ("--agent", accused.agent_id, "--rate", 1, "--as", 5)
    asking = ("audit", "serve", "--once", "--random-audits", *agent)
    count = court.connection.contracts.disputes.functions.disputeCount()
    before = court.chain.call(count)
    tried = read(*asking, "--dry-run")
    assert [call["function"] for call in tried["calls"]] == ["requestAudit"]
    assert court.chain.call(count) == before
    made = read(*asking)
    assert court.chain.call(count) == before + 1
    assert (made["counts"]["actions_seen"], made["counts"]["actions_sampled"]) == ("2", "1")
    address = court.account(5).address
    (folder,) = (court.connection.settings.home_dir / "audit").glob(f"*{address}")
    assert "openledger_audit_actions_sampled_total" in (folder / "metrics.prom").read_text()
    assert read(*asking)["log"] == []
    asked = BatchDispute(court.account(4), before + 1)
    if asked.state == "Opening":  # the pass drew its leaves, and of twenty audits one is selected
        court.acquit(asked)
    assert asked.state in ("Voided", "Acquitted")
