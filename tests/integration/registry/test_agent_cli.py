"""``openledger agent …`` as a user types it, on a devnet of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blocks import held
from typer.testing import Result

from openledger.contracts import Devnet
from openledger.errors import ChainError, ContentError, UserError
from openledger.registry import LocalStore

Run = Callable[..., Result]


@pytest.fixture
def agent_id(read: Callable[..., Any]) -> int:
    return int(
        read("agent", "register", "Auditor", "Finds bugs", "--service", "web=https://agent.example")[
            "agentId"
        ]
    )


def test_an_agent_is_registered_shown_and_described(
    run: Run, read: Callable[..., Any], agent_id: int, devnet: Devnet
) -> None:
    found = read("agent", "show", agent_id)
    assert found["registration"]["name"] == "Auditor"
    assert found["namedInFile"] is True
    assert found["owner"] == found["wallet"]
    assert found["epoch"] is None
    run("agent", "describe", agent_id, "Inspector", "Finds more", "--no-x402")
    changed = read("agent", "show", agent_id)
    assert (changed["registration"]["name"], changed["registration"]["x402Support"]) == ("Inspector", False)
    shown = run("agent", "show", agent_id).stdout
    for text in ("Inspector", "names this agent", "none opened", found["escrow"]):
        assert text in shown
    run("agent", "show", 4040, fails=UserError)
    run("agent", "register", "x", "y", "--service", "nonsense", fails=UserError)


def test_a_dry_run_publishes_nothing(
    run: Run, read: Callable[..., Any], agent_id: int, devnet: Devnet
) -> None:
    store = LocalStore(devnet.home.parent / "content")
    before = held(store)
    output = run("agent", "register", "Auditor the second", "Finds bugs", "--dry-run").stdout
    assert "Registers the agent 'Auditor the second'" in output
    assert "signs     AgentRegistry.register(agentURI=ipfs://" in output
    assert "nothing was signed or sent" in output
    trial = read("agent", "rate", agent_id, "99.77", "--as", 4, "--dry-run")
    assert trial["dryRun"] is True
    assert trial["calls"][0]["arguments"]["value"] == "9977"
    assert held(store) == before
    run("agent", "show", agent_id + 1, fails=UserError)
    refused = run("agent", "rate", agent_id, "100", "--dry-run", fails=ChainError)
    assert isinstance(refused.exception, ChainError)
    assert str(refused.exception.revert).startswith("SelfFeedback")


def test_a_wallet_is_set_by_its_consent(
    run: Run, read: Callable[..., Any], agent_id: int, tmp_path: Path
) -> None:
    consent = tmp_path / "consent.json"
    consent.write_text(run("agent", "consent", agent_id, "--as", 5).stdout)
    wallet = json.loads(consent.read_text())["newWallet"]
    run("agent", "wallet", agent_id, "--consent", consent, "--as", 6, fails=ChainError)
    run("agent", "wallet", agent_id + 1, "--consent", consent, fails=UserError)
    run("agent", "wallet", agent_id, "--consent", consent, "--unset", fails=UserError)
    assert read("agent", "wallet", agent_id, "--consent", consent)["wallet"] == wallet
    assert run("agent", "wallet", agent_id).stdout.strip() == wallet
    run("agent", "wallet", agent_id, "--unset")
    assert int(read("agent", "wallet", agent_id)["wallet"], 16) == 0
    consent.write_text("{}")
    run("agent", "wallet", agent_id, "--consent", consent, fails=UserError)
    consent.write_text("[")
    run("agent", "wallet", agent_id, "--consent", consent, fails=UserError)
    run("agent", "wallet", agent_id, "--consent", tmp_path / "absent", fails=UserError)


def test_feedback_is_given_answered_and_taken_back(run: Run, read: Callable[..., Any], agent_id: int) -> None:
    given = read("agent", "rate", agent_id, "-3.2", "--tag1", "tradingYield", "--tag2", "day", "--as", 4)
    run("agent", "reply", agent_id, given["client"], 1, "We are sorry")
    [found] = read("agent", "feedback", agent_id)
    assert (found["value"], found["valueDecimals"], found["paid"]) == ("-32", 1, "0")
    assert len(found["responses"]) == 1
    assert "-3.2" in run("agent", "feedback", agent_id).stdout
    assert read("agent", "feedback", agent_id, "--tag", "other") == []
    assert read("agent", "feedback", agent_id, "--client", given["client"]) == [found]
    run("agent", "revoke", agent_id, 1, fails=ChainError)
    run("agent", "revoke", agent_id, 1, "--as", 4)
    assert read("agent", "feedback", agent_id) == []
    assert read("agent", "feedback", agent_id, "--revoked")[0]["revoked"] is True
    run("agent", "rate", agent_id, "good", "--as", 4, fails=UserError)
    run("agent", "feedback", 4040, fails=UserError)


def test_a_validation_is_asked_for_and_answered(
    run: Run, read: Callable[..., Any], agent_id: int, tmp_path: Path, devnet: Devnet
) -> None:
    work, report = tmp_path / "work.json", tmp_path / "report.json"
    work.write_text('{"input": "2 + 2", "output": "4"}')
    report.write_text('{"by": "replay"}')
    validator = devnet.accounts[8].address
    asked = read("agent", "validate", agent_id, validator, work)
    assert asked["response"] is None
    assert "waiting" in run("agent", "validations", agent_id).stdout
    trial = read("agent", "answer", agent_id, asked["requestHash"], 90, "--as", 8, "--dry-run")
    assert trial["calls"][0]["arguments"]["requestHash"] == asked["key"]
    run("agent", "answer", agent_id, asked["requestHash"], 90, "--as", 7, fails=UserError)
    run("agent", "answer", agent_id, "0x12", 90, "--as", 8, fails=UserError)
    run(
        "agent",
        "answer",
        agent_id,
        asked["requestHash"],
        90,
        "--tag",
        "replay",
        "--report",
        report,
        "--as",
        8,
    )
    [found] = read("agent", "validations", agent_id)
    assert (found["response"], found["tag"], found["verdict"]) == (90, "replay", False)
    # a request whose data is gone is not answered blindly
    for path in devnet.home.parent.rglob("*"):
        if path.is_file() and "content" in path.parts and path.read_bytes().find(b"2 + 2") >= 0:
            path.unlink()
    run("agent", "answer", agent_id, asked["requestHash"], 80, "--as", 8, fails=ContentError)
