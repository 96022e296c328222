"""Auditor and jurors, unattended: they find who cheats among many, have it slashed, and end richer; honest agents lose
nothing. They are killed and go on, and leave alone what does not pay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import loop
import pytest
from desks import FEE, SLASH, STAKE, Desk, two_versions, with_adapter, with_an_edited_token
from world import OPEN, World

from openledger.openlora import EnginePool
from openledger.registry import Connection, Ledger
from openledger.staking import (
    Auditor,
    AuditPolicy,
    DaemonLog,
    Journal,
    Juror,
    JuryService,
    MeteredLedger,
    recompute_for,
)

HOUR = 3_600


def questions(count: int, seed: int) -> list[str]:
    return [asked["finding"] for asked in loop.questions(count, seed)]


def wealth(ledger: Ledger) -> int:
    """Wei of OPEN an account holds, wrapped or not."""
    return ledger.balance(ledger.address) + ledger.chain.balance(ledger.address)


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def auditor(world: World, pool: EnginePool, account: Any, folder: Path, policy: AuditPolicy) -> Auditor:
    ledger = MeteredLedger(world.connection.contracts, account)
    log = DaemonLog(folder / "log.jsonl")
    journal = Journal(folder / "journal.db")
    ledger.spent = lambda wei: journal.count("wei_gas", wei)
    recompute = recompute_for(world.connection, ledger)
    return Auditor(
        ledger, world.connection.store, lambda _base: pool, journal, log, policy, recompute=recompute
    )


@dataclass
class Bench:
    """Every juror's daemon."""

    services: list[JuryService]

    @classmethod
    def open(cls, world: World, pool: EnginePool, folder: Path) -> Bench:
        services = []
        for number, account in enumerate(world.people.jurors):
            ledger = world.connection.as_(account)
            juror = Juror(ledger, world.connection.store, lambda _base: pool, folder / "votes")
            kept = folder / str(number)
            journal = Journal(kept / "journal.db")
            services.append(JuryService(ledger, juror, journal, DaemonLog(kept / "log.jsonl")))
        return cls(services)

    def run(self) -> None:
        for service in self.services:
            service.run()


def let_time_pass(connection: Connection, *daemons: Any, hours: int) -> None:
    """Every daemon makes a pass, every two hours of the chain's clock."""
    for _ in range(hours // 2):
        for daemon in daemons:
            daemon.run()
        connection.chain.advance(2 * HOUR)


@pytest.fixture(scope="module")
def bench(world: World, pool: EnginePool, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.open(world, pool, tmp_path_factory.mktemp("jury"))


def test_three_cheats_among_ten_agents_are_found_and_slashed_by_the_daemons_alone(
    world: World, pool: EnginePool, bench: Bench, tmp_path: Path
) -> None:
    connection, people = world.connection, world.people
    findings, sensors = world.adapters["findings"], world.adapters["sensors"]
    older, newer = two_versions(world, tmp_path)
    honest = [Desk.open(world, pool, people.operator, findings) for _ in range(7)]
    cheats = [Desk.open(world, pool, people.cheat, adapter) for adapter in (findings, newer, findings)]
    lies = [with_adapter(sensors), with_adapter(older), with_an_edited_token]
    for seed, desk in enumerate(honest):
        desk.answer(questions(20, seed), {})
    faked = []
    # of a sampled answer, an edit may be about as likely as what it replaces: the last is a most likely one
    for seed, (desk, lie, at) in enumerate(zip(cheats, lies, (3, 8, 14), strict=True), start=20):
        faked.append(desk.answer(questions(20, seed), {at: lie})[at])

    ours = AuditPolicy(rate=1.0, agents={desk.agent_id for desk in (*honest, *cheats)})
    audit = auditor(world, pool, people.auditor, tmp_path / "audit", ours)
    jurors = [service.ledger for service in bench.services]
    before = {ledger.address: wealth(ledger) for ledger in (audit.ledger, honest[0].operator, *jurors)}
    stakes = {ledger.address: juror_stake(ledger) for ledger in jurors}
    let_time_pass(connection, audit, bench, hours=32)

    said = log_of(tmp_path / "audit")
    checked = {line["cid"]: line["verdict"] for line in said if line["event"] == "checked"}
    assert sorted(checked.values()) == ["mismatch"] * 3 + ["verified"] * 197
    assert {cid for cid, verdict in checked.items() if verdict == "mismatch"} == set(faked)
    assert [desk.staked for desk in cheats] == [STAKE - SLASH] * 3
    assert [desk.staked for desk in honest] == [STAKE] * 7
    assert wealth(honest[0].operator) == before[honest[0].operator.address]

    counts = audit.journal.counts()
    assert counts["actions_seen"] == counts["actions_sampled"] == 200
    assert (counts["payouts_verified"], counts["payouts_mismatch"]) == (10, 0), (
        "who lies about tokens pays right"
    )
    assert counts["won"] == 3
    assert counts["lost"] == 0
    assert counts["wei_earned"] == 3 * SLASH * 3 // 10
    assert wealth(audit.ledger) - before[audit.ledger.address] == counts["wei_earned"] - counts["wei_gas"] > 0
    seated = [service for service in bench.services if service.journal.counts().get("revealed")]
    assert sum(service.journal.counts()["revealed"] for service in seated) == 3 * 5
    for service in seated:
        assert wealth(service.ledger) > before[service.ledger.address]
    assert all(juror_stake(ledger) == stakes[ledger.address] for ledger in jurors)


def juror_stake(ledger: Ledger) -> int:
    return int(ledger.call(ledger.contracts.vault.functions.jurorStake(ledger.address)))


def commitments(ledger: Ledger, desk: Desk) -> list[int]:
    """Disputes about the desk's actions, by anybody."""
    events = ledger.contracts.disputes.events.ChallengeCommitted
    return [int(event["id"]) for event in ledger.events(events, agentId=desk.agent_id)]


def test_a_challenge_that_does_not_pay_is_logged_and_not_sent_until_it_does(
    world: World, pool: EnginePool, bench: Bench, tmp_path: Path
) -> None:
    desk = Desk.open(world, pool, world.people.cheat, world.adapters["findings"])
    (cid,) = desk.answer(questions(1, 40), {0: with_an_edited_token}, fee=FEE // 10)
    account = world.connection.devnet.accounts[14]
    only = AuditPolicy(rate=1.0, agents={desk.agent_id})
    audit = auditor(world, pool, account, tmp_path, only)
    with base_fee(world.connection, 10**12):
        audit.run()
        audit.run()
    (unpaid,) = [line for line in log_of(tmp_path) if line["event"] == "unpaid"]
    assert unpaid["cid"] == cid
    assert "does not pay: reward 0.3 OPEN, bond at risk 0.1 OPEN, gas 3." in unpaid["what"]
    assert commitments(audit.ledger, desk) == []
    let_time_pass(world.connection, audit, bench, hours=32)
    assert len(commitments(audit.ledger, desk)) == 1
    assert desk.staked == STAKE - OPEN


@contextmanager
def base_fee(connection: Connection, wei: int) -> Iterator[None]:
    """What gas costs on the devnet, while inside."""
    ask = connection.chain.w3.provider.make_request
    for fee in (wei, 10**9):
        ask("anvil_setNextBlockBaseFeePerGas", [hex(fee)])
        connection.chain.mine()
        if fee == wei:
            yield


def test_an_auditor_killed_between_commitment_and_evidence_shows_it_when_started_again(
    world: World, pool: EnginePool, bench: Bench, tmp_path: Path
) -> None:
    desk = Desk.open(world, pool, world.people.cheat, world.adapters["findings"])
    desk.answer(questions(1, 41), {0: with_an_edited_token})
    connection, ledger = world.connection, world.connection.ledger
    command = ["audit", "serve", "--as", "15", "--rate", "1", "--agent", str(desk.agent_id), "--json"]
    ask = connection.chain.w3.provider.make_request
    with running(connection, [*command, "--every", "1"], tmp_path / "first") as process:
        wait_until(
            lambda: "its window" not in said(tmp_path / "first") and '"seen"' in said(tmp_path / "first"),
            process,
        )
        ask("evm_setAutomine", [False])
        try:
            wait_until(lambda: connection.chain.mine() > 0 and commitments(ledger, desk) != [], process)
            process.kill()
            process.wait()
            ask("anvil_dropAllTransactions", [])
        finally:
            ask("evm_setAutomine", [True])
    assert process.returncode == -signal.SIGKILL
    (number,) = commitments(ledger, desk)
    disputes = ledger.contracts.disputes
    assert state_of(ledger, number) == "Committed"
    with running(connection, [*command, "--once"], tmp_path / "second") as process:
        assert process.wait(900) == 0, said(tmp_path / "second")
    assert list(ledger.events(disputes.events.ChallengeOpened, id=number)) != []
    assert commitments(ledger, desk) == [number]
    assert state_of(ledger, number) == "Drawn"
    let_time_pass(connection, bench, hours=32)
    assert desk.staked == STAKE - SLASH, "the jurors moved it on without the auditor"


def state_of(ledger: Ledger, number: int) -> str:
    from openledger.staking import Challenge

    return Challenge(ledger, number).state


@contextmanager
def running(connection: Connection, words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon as its user starts it."""
    settings = connection.settings
    environment = {
        **os.environ,
        "OPENLEDGER_HOME": str(settings.home_dir),
        "OPENLEDGER_CACHE": str(settings.cache_dir),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "openledger.cli", *words], stdout=out, stderr=out, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def said(log: Path) -> str:
    return log.read_text()


def wait_until(holds: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 900
    while not holds():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
