"""``openledger gov …`` as a voter types it, on a devnet of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from openledger.contracts import Chain, Devnet
from openledger.errors import ChainError, UserError

Run = Callable[..., Result]
DAY = 86_400


@pytest.fixture
def chain(devnet: Devnet) -> Chain:
    return devnet.connect()


def value_of(read: Callable[..., Any], name: str) -> str:
    [found] = [one for one in read("gov", "parameters")["parameters"] if one["name"] == name]
    return str(found["value"])


def test_from_delegation_to_effect(run: Run, read: Callable[..., Any], chain: Chain) -> None:
    wrapped = read("gov", "delegate", "--wrap", 30_000_000, "--as", 3)
    assert wrapped["votes"] == wrapped["wrapped"] == str(30_000_000 * 10**18)
    chain.advance(1)
    propose = ("propose", "Audits take longer", "--set", "challengeWindow=90h", "--set", "protocolCut=6%")
    trial = run("gov", *propose, "--as", 3, "--dry-run")
    assert "set challengeWindow from 3d to 90h (bounds 1d to 7d)" in trial.stdout
    assert "set protocolCut from 5% to 6% (bounds 1% to 20%)" in trial.stdout
    assert "nothing was signed or sent" in trial.stdout
    assert read("gov", "list") == []

    made = read("gov", *propose, "--as", 3)
    [listed] = read("gov", "list")
    assert listed["id"] == made["proposal"]
    assert listed["effects"] == made["effects"]
    assert listed["state"] == "pending"
    run("gov", "vote", 1, "for", "--as", 3, fails=ChainError)  # not open yet
    assert "UTC on the chain" in run("devnet", "advance", "25h").stdout
    run("devnet", "advance", "soon", fails=UserError)
    voted = read("gov", "vote", 1, "for", "--reason", "they do", "--as", 3)
    assert voted["votes"] == wrapped["votes"]
    run("gov", "vote", 1, "against", "--as", 3, fails=ChainError)  # once
    chain.advance(5 * DAY)
    run("gov", "cancel", 1, "--as", 3, fails=ChainError)  # too late
    due = read("gov", "queue", 1)["executable"]
    run("gov", "execute", 1, "--dry-run", fails=ChainError)
    chain.advance(due - chain.now())
    assert "mined" in run("gov", "execute", made["proposal"]).stdout
    assert value_of(read, "challengeWindow") == str(90 * 3600)
    assert value_of(read, "protocolCut") == "600"
    shown = run("gov", "show", 1).stdout
    for text in ("executed", "Audits take longer", "for 30,000,000, against 0"):
        assert text in shown


def test_what_cannot_work_is_refused_before_anything_is_signed(
    run: Run, read: Callable[..., Any], chain: Chain
) -> None:
    read("gov", "delegate", "--wrap", 200_000, "--as", 4)
    chain.advance(1)
    before = read("gov", "list")
    refused = run("gov", "propose", "Burn less", "--set", "burnShare=49%", "--as", 4, fails=ChainError)
    assert "OutOfBounds" in str(refused.exception)
    assert "OUT OF BOUNDS" in refused.stdout
    target = "0x00000000000000000000000000000000000000aA"
    short = run("gov", "propose", "Pay", "--pay", f"{target}=10", "--as", 4, fails=ChainError)
    assert "TreasuryShort" in str(short.exception)
    for words in (
        ("propose", "Nothing"),
        ("propose", "Odd", "--set", "challengeWindow"),
        ("propose", "Odd", "--set", "challengeWindow=soon"),
        ("propose", "Odd", "--set", "noSuchThing=1"),
        ("propose", "Odd", "--pay", f"{target}=-1"),
        ("propose", "Odd", "--pay", "0x12=1"),
        ("propose", "Odd", "--grant", f"{target}=1:soon"),
        ("vote", 1, "perhaps"),
        ("show", 99),
        ("queue", "next"),
    ):
        run("gov", *words, fails=UserError)
    assert read("gov", "list") == before


def test_the_guardian_pauses_and_the_treasury_pays(
    run: Run, read: Callable[..., Any], chain: Chain, devnet: Devnet
) -> None:
    read("gov", "delegate", "--wrap", 30_000_000, "--as", 5)
    chain.transfer(_treasury(devnet), devnet.accounts[6], 50 * 10**18)
    chain.advance(1)
    guardian, grantee = devnet.accounts[7].address, devnet.accounts[8].address
    made = read(
        "gov",
        "propose",
        "A guardian and a grant",
        "--guardian",
        guardian,
        "--grant",
        f"{grantee}=40:10",
        "--as",
        5,
    )
    assert f"make {guardian} the guardian, who may pause new intake" in made["effects"]
    number = len(read("gov", "list"))
    chain.advance(DAY + 1)
    read("gov", "vote", number, "for", "--as", 5)
    chain.advance(5 * DAY)
    chain.advance(read("gov", "queue", number)["executable"] - chain.now())
    read("gov", "execute", number)
    assert read("gov", "treasury")["promised"] == str(40 * 10**18)
    chain.advance(5 * DAY)
    assert int(read("gov", "release", 1)["amount"]) >= 20 * 10**18
    assert "promised to grants" in run("gov", "treasury").stdout

    run("gov", "pause", 3, fails=ChainError)
    until = read("gov", "pause", 3, "--as", 7)["until"]
    assert read("gov", "parameters")["intakePausedUntil"] == until
    assert "paused new intake until" in run("gov", "parameters").stdout
    run("gov", "pause", 3, "--as", 7, fails=ChainError)
    assert "newest version" in run("gov", "directory").stdout


def _treasury(devnet: Devnet) -> str:
    [record] = (devnet.home.parent / "deployments").glob("*.json")
    return str(json.loads(record.read_text())["addresses"]["Treasury"])
