"""``openledger stake …``, ``jury …`` and ``claim …`` as a user types them, on a devnet of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from typer.testing import Result

from openledger.errors import ChainError, UserError
from openledger.registry import (
    AssetRef,
    Batch,
    BatchEntry,
    Connection,
    Manifest,
    Payout,
    Split,
    Tariff,
    cid_of,
)

OPEN = 10**18
Run = Callable[..., Result]


@pytest.fixture
def agent_id(read: Callable[..., Any]) -> int:
    return int(read("agent", "register", "Auditor", "Finds bugs", "--as", 4)["agentId"])


def test_stake_comes_and_goes(run: Run, read: Callable[..., Any], agent_id: int) -> None:
    told = run("stake", "add", agent_id, 100, "--as", 4).stdout
    assert "signs     StakeVault.deposit(" in told, "what is signed is said"
    assert "moves     100 OPEN from" in told, "and what moves"
    assert f"stake of agent {agent_id}: 100 OPEN" in told
    assert read("stake", "show", agent_id)["active"] == str(100 * OPEN)
    with_delay = read("stake", "exit", agent_id, "30.5", "--as", 4)
    shown = read("stake", "show", agent_id)
    assert (shown["active"], shown["pending"]) == (str(695 * OPEN // 10), str(305 * OPEN // 10))
    assert shown["exits"] == [{"amount": str(305 * OPEN // 10), "ready_at": with_delay["readyAt"]}]
    early = run("stake", "withdraw", agent_id, "--as", 4, fails=ChainError)
    assert "NothingToWithdraw" in str(early.exception)
    with Connection.open() as connection:
        connection.chain.advance(with_delay["readyAt"] - connection.chain.now() + 1)
    assert "withdrawn: 30.5 OPEN" in run("stake", "withdraw", agent_id, "--as", 4).stdout


def test_a_dry_run_signs_nothing(run: Run, read: Callable[..., Any], agent_id: int) -> None:
    told = read("stake", "add", agent_id, 7, "--as", 4, "--dry-run")
    assert told["dryRun"]
    assert [call["function"] for call in told["calls"]][-1] == "deposit"
    assert told["calls"][-1]["moves"][0]["wei"] == str(7 * OPEN)
    assert read("stake", "show", agent_id)["active"] == "0"
    refused = run("stake", "exit", agent_id, 7, "--as", 4, "--dry-run", fails=ChainError)
    assert "ExceedsActive" in str(refused.exception)


@pytest.mark.parametrize("amount", ["0", "-1", "nan", "1e-19", "ten", "1e60"])
def test_amounts_that_are_none_are_refused(run: Run, agent_id: int, amount: str) -> None:
    run("stake", "add", agent_id, "--as", 4, "--", amount, fails=UserError)


def test_an_unknown_agent_is_named(run: Run) -> None:
    assert "not registered" in str(run("stake", "show", 10**9, fails=UserError).exception)


def test_a_juror_joins_and_leaves(run: Run, read: Callable[..., Any]) -> None:
    assert "JurorStakeTooLow" in str(run("jury", "join", 1, "--as", 5, fails=ChainError).exception)
    assert read("jury", "join", 100, "--as", 5)["stake"] == str(100 * OPEN)
    assert "stays liable" in run("jury", "leave", "--as", 5).stdout
    assert "JurorStakeLocked" in str(run("jury", "withdraw", "--as", 5, fails=ChainError).exception)
    with Connection.open() as connection:
        connection.chain.advance(connection.ledger.parameter("withdrawalDelay") + 1)
    assert "withdrawn: 100 OPEN" in run("jury", "withdraw", "--as", 5).stdout


def test_what_an_agent_charges_by_the_token_is_shown(
    run: Run, read: Callable[..., Any], agent_id: int
) -> None:
    run("stake", "add", agent_id, 1000, "--as", 4)
    assert read("agent", "show", agent_id)["tariff"] is None
    refs = [AssetRef(1, cid_of(b"model"))]
    tariff = Tariff(prompt=10**12, output=2 * 10**13, base=10**15)
    manifest = Manifest(
        "Auditor", refs, [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32), tariff=tariff
    )
    with Connection.open() as connection:
        assert connection.devnet is not None
        owner, key = connection.devnet.accounts[4], connection.record_key(agent_id)
        connection.agents.open_epoch(owner, agent_id, key.address, manifest)
    told = {"base": str(10**15), "prompt_token": str(10**12), "output_token": str(2 * 10**13)}
    assert read("agent", "show", agent_id)["tariff"] == told
    shown = run("agent", "show", agent_id).stdout
    for words in ("0.001 OPEN an action", "0.000001 OPEN a prompt"):
        assert words in shown


def test_anyone_pays_an_account_what_batches_owe_it(
    run: Run, read: Callable[..., Any], agent_id: int
) -> None:
    payee, small = Account.create().address, Account.create().address
    run("stake", "add", agent_id, 1000, "--as", 4)
    with Connection.open() as connection:
        assert connection.devnet is not None
        owner = connection.devnet.accounts[4]
        key = connection.record_key(agent_id)
        manifest = Manifest(
            "Auditor", [AssetRef(1, cid_of(b"model"))], [], [], "v1", Split(10_000, 0, 0, 0), "cpu", bytes(32)
        )
        epoch = connection.agents.open_epoch(owner, agent_id, key.address, manifest)
        ledger = connection.as_(owner)
        ledger.wrap(OPEN)
        token = connection.contracts.token.functions
        ledger.send(token.transfer(ledger.payments.escrow_of(agent_id), OPEN))
        net = ledger.settlement.net(agent_id, epoch, OPEN)
        payouts = [Payout(payee, net - 10**15), Payout(small, 10**15)]
        batch = Batch(agent_id, 0, [BatchEntry(bytes(32), cid_of(b"record"), OPEN)], payouts)
        connection.store.put_blocks(batch.encoded.blocks)
        header = ledger.anchor(batch, epoch)
        owed = read("claim", "show", payee)
        assert owed["payouts"] == [
            {
                "agentId": agent_id,
                "firstNonce": 0,
                "index": 0,
                "wei": str(net - 10**15),
                "readyAt": ledger.challengeable_until(header) + 1,
            }
        ]
        assert read("claim", "pay", payee, "--as", 6)["claimed"] == "0", "its window is open"
        connection.chain.advance(ledger.parameter("challengeWindow") + 1)
        assert read("claim", "pay", payee, "--as", 6)["claimed"] == str(net - 10**15)
        assert ledger.balance(payee) == net - 10**15
        assert read("claim", "pay", small, "--as", 6)["credit"] == str(10**15), (
            "small credits are paid when asked for"
        )
        assert ledger.balance(small) == 10**15
        assert read("claim", "show", small) == {"account": small, "credit": "0", "payouts": []}
