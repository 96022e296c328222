"""``openledger agent …`` as a user types it, on a devnet of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from openledger.cli import app
from openledger.contracts import Devnet
from openledger.errors import ChainError, ContentError, OpenLedgerError, UserError
from openledger.settings import get_settings

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("home")
    with Devnet.start(path):
        yield path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    monkeypatch.setenv("OPENLEDGER_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    runner = CliRunner()

    def run(*words: object, fails: type[OpenLedgerError] | None = None) -> Result:
        result = runner.invoke(app, ["agent", *map(str, words)])
        if fails is None:
            assert result.exit_code == 0, (result.output, result.exception)
        else:
            assert isinstance(result.exception, fails), (result.output, result.exception)
        return result

    yield run
    get_settings.cache_clear()


@pytest.fixture
def read(run: Run) -> Callable[..., Any]:
    return lambda *words: json.loads(run(*words, "--json").stdout)


@pytest.fixture
def agent_id(read: Callable[..., Any]) -> int:
    return int(read("register", "Auditor", "Finds bugs", "--service", "web=https://agent.example")["agentId"])


def test_an_agent_is_registered_shown_and_described(
    run: Run, read: Callable[..., Any], agent_id: int, home: Path
) -> None:
    found = read("show", agent_id)
    assert found["registration"]["name"] == "Auditor"
    assert found["namedInFile"] is True
    assert found["owner"] == found["wallet"]
    assert found["epoch"] is None
    run("describe", agent_id, "Inspector", "Finds more", "--no-x402")
    changed = read("show", agent_id)
    assert (changed["registration"]["name"], changed["registration"]["x402Support"]) == ("Inspector", False)
    shown = run("show", agent_id).stdout
    for text in ("Inspector", "names this agent", "none opened", found["escrow"]):
        assert text in shown
    run("show", 4040, fails=UserError)
    run("register", "x", "y", "--service", "nonsense", fails=UserError)


def test_a_dry_run_publishes_nothing(run: Run, read: Callable[..., Any], agent_id: int, home: Path) -> None:
    before = {path for path in home.rglob("*") if path.is_file() and "content" in path.parts}
    output = run("register", "Auditor the second", "Finds bugs", "--dry-run").stdout
    assert "Registers the agent 'Auditor the second'" in output
    assert "signs     AgentRegistry.register(agentURI=ipfs://" in output
    assert "nothing was signed or sent" in output
    trial = read("rate", agent_id, "99.77", "--as", 4, "--dry-run")
    assert trial["dryRun"] is True
    assert trial["calls"][0]["arguments"]["value"] == "9977"
    assert {path for path in home.rglob("*") if path.is_file() and "content" in path.parts} == before
    run("show", agent_id + 1, fails=UserError)
    refused = run("rate", agent_id, "100", "--dry-run", fails=ChainError)
    assert isinstance(refused.exception, ChainError)
    assert str(refused.exception.revert).startswith("SelfFeedback")


def test_a_wallet_is_set_by_its_consent(
    run: Run, read: Callable[..., Any], agent_id: int, tmp_path: Path
) -> None:
    consent = tmp_path / "consent.json"
    consent.write_text(run("consent", agent_id, "--as", 5).stdout)
    wallet = json.loads(consent.read_text())["newWallet"]
    run("wallet", agent_id, "--consent", consent, "--as", 6, fails=ChainError)
    run("wallet", agent_id + 1, "--consent", consent, fails=UserError)
    run("wallet", agent_id, "--consent", consent, "--unset", fails=UserError)
    assert read("wallet", agent_id, "--consent", consent)["wallet"] == wallet
    assert run("wallet", agent_id).stdout.strip() == wallet
    run("wallet", agent_id, "--unset")
    assert int(read("wallet", agent_id)["wallet"], 16) == 0
    consent.write_text("{}")
    run("wallet", agent_id, "--consent", consent, fails=UserError)
    consent.write_text("[")
    run("wallet", agent_id, "--consent", consent, fails=UserError)
    run("wallet", agent_id, "--consent", tmp_path / "absent", fails=UserError)


def test_feedback_is_given_answered_and_taken_back(run: Run, read: Callable[..., Any], agent_id: int) -> None:
    given = read("rate", agent_id, "-3.2", "--tag1", "tradingYield", "--tag2", "day", "--as", 4)
    run("reply", agent_id, given["client"], 1, "We are sorry")
    [found] = read("feedback", agent_id)
    assert (found["value"], found["valueDecimals"], found["paid"]) == ("-32", 1, "0")
    assert len(found["responses"]) == 1
    assert "-3.2" in run("feedback", agent_id).stdout
    assert read("feedback", agent_id, "--tag", "other") == []
    assert read("feedback", agent_id, "--client", given["client"]) == [found]
    run("revoke", agent_id, 1, fails=ChainError)
    run("revoke", agent_id, 1, "--as", 4)
    assert read("feedback", agent_id) == []
    assert read("feedback", agent_id, "--revoked")[0]["revoked"] is True
    run("rate", agent_id, "good", "--as", 4, fails=UserError)
    run("feedback", 4040, fails=UserError)


def test_a_validation_is_asked_for_and_answered(
    run: Run, read: Callable[..., Any], agent_id: int, tmp_path: Path, home: Path
) -> None:
    work, report = tmp_path / "work.json", tmp_path / "report.json"
    work.write_text('{"input": "2 + 2", "output": "4"}')
    report.write_text('{"by": "replay"}')
    validator = Devnet.running(home).accounts[8].address  # type: ignore[union-attr]
    asked = read("validate", agent_id, validator, work)
    assert asked["response"] is None
    assert "waiting" in run("validations", agent_id).stdout
    trial = read("answer", agent_id, asked["requestHash"], 90, "--as", 8, "--dry-run")
    assert trial["calls"][0]["arguments"]["requestHash"] == asked["key"]
    run("answer", agent_id, asked["requestHash"], 90, "--as", 7, fails=UserError)
    run("answer", agent_id, "0x12", 90, "--as", 8, fails=UserError)
    run("answer", agent_id, asked["requestHash"], 90, "--tag", "replay", "--report", report, "--as", 8)
    [found] = read("validations", agent_id)
    assert (found["response"], found["tag"], found["verdict"]) == (90, "replay", False)
    # a request whose data is gone is not answered blindly
    for path in home.rglob("*"):
        if path.is_file() and "content" in path.parts and path.read_bytes().find(b"2 + 2") >= 0:
            path.unlink()
    run("answer", agent_id, asked["requestHash"], 80, "--as", 8, fails=ContentError)
