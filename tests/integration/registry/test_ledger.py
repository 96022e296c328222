"""The ledger against a real chain: money moves once, stake is wrapped when short, gas suffices."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from openledger.errors import ChainError, UserError
from openledger.registry import Connection
from openledger.settings import Settings
from openledger.staking import join_jury, leave_jury, stake, unstake, withdraw, withdraw_jury

OPEN = 10**18


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    with Connection.open(Settings(home=tmp_path_factory.mktemp("home"))) as opened:
        yield opened


def account(connection: Connection, number: int) -> Any:
    assert connection.devnet is not None
    return connection.devnet.accounts[number]


def test_jurors_can_leave_in_the_block_after_they_joined(connection: Connection) -> None:
    """Vote checkpoints written one block after the estimate cost more than it said."""
    for number in range(1, 7):
        ledger = connection.as_(account(connection, number))
        assert join_jury(ledger, 200 * OPEN) == 200 * OPEN
        leave_jury(ledger)
    connection.chain.advance(connection.ledger.parameter("withdrawalDelay") + 1)
    ledger = connection.as_(account(connection, 1))
    before = ledger.balance(ledger.address)
    withdraw_jury(ledger)
    assert ledger.balance(ledger.address) - before == 200 * OPEN


def test_stake_wraps_what_is_missing_and_comes_back_after_the_delay(connection: Connection) -> None:
    owner = account(connection, 8)
    ledger = connection.as_(owner)
    agent_id = connection.agents.register(owner, "staker", "a test")
    assert ledger.balance(ledger.address) == 0
    assert stake(ledger, agent_id, 50 * OPEN) == 50 * OPEN
    ready = unstake(ledger, agent_id, 20 * OPEN)
    assert ledger.stake_of(agent_id) == 30 * OPEN
    with pytest.raises(ChainError) as early:
        withdraw(ledger, agent_id)
    assert early.value.revert is not None
    connection.chain.advance(ready - ledger.now() + 1)
    assert withdraw(ledger, agent_id) == 20 * OPEN
    assert ledger.balance(ledger.address) == 20 * OPEN


def test_a_signer_that_signs_in_different_ways_makes_no_secrets(connection: Connection) -> None:
    """After a restart it could not show what it committed to, and would be slashed for that."""

    class Fickle:
        address = account(connection, 7).address

        def unsafe_sign_hash(self, digest: bytes) -> Any:
            return SimpleNamespace(signature=secrets.token_bytes(65))

    with pytest.raises(UserError, match="cannot make secrets") as refused:
        connection.as_(Fickle()).secret("vote", b"subject")  # type: ignore[arg-type]
    assert "OPENLEDGER_KEYSTORE" in refused.value.fix
    steady = connection.as_(account(connection, 7))
    assert steady.secret("vote", b"subject") == steady.secret("vote", b"subject")
    assert steady.secret("vote", b"subject") != steady.secret("vote", b"another")


def test_somebody_without_open_is_told_what_is_missing(connection: Connection) -> None:
    poor = Account.create()
    agent_id = connection.agents.register(account(connection, 9), "other", "a test")
    with pytest.raises(UserError, match="has too little OPEN"):
        stake(connection.as_(poor), agent_id, OPEN)


def test_an_unknown_parameter_lists_the_known_ones(connection: Connection) -> None:
    with pytest.raises(UserError, match="challengeWindow"):
        connection.ledger.parameter("window")


def test_a_committing_secret_is_the_same_after_a_restart_and_differs_by_what_it_is_for(
    connection: Connection,
) -> None:
    ledger = connection.as_(account(connection, 1))
    again = connection.as_(account(connection, 1))
    other = connection.as_(account(connection, 2))
    assert ledger.secret("vote", bytes(32), 1, 0) == again.secret("vote", bytes(32), 1, 0)
    different = {
        ledger.secret("vote", bytes(32), 1, 0),
        ledger.secret("vote", bytes(32), 2, 0),
        ledger.secret("challenge", bytes(32), 1, 0),
        other.secret("vote", bytes(32), 1, 0),
    }
    assert len(different) == 4


def test_reading_needs_no_key(connection: Connection) -> None:
    from openledger.registry import Ledger

    reader = Ledger(connection.contracts)
    assert reader.now() > 0
    with pytest.raises(UserError, match="no key"):
        reader.send(connection.contracts.token.functions.deposit(), 1)
