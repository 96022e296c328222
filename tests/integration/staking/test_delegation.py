"""Delegations on a real devnet: by Python, and as a user types them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import Result

from openledger.contracts import Devnet
from openledger.errors import ChainError, UserError
from openledger.registry import Connection, Ledger
from openledger.settings import Settings
from openledger.staking import (
    add_reward,
    cancel_delegation,
    claim_income,
    delegate,
    delegation,
    delegation_pool,
    set_commission,
    stake,
    undelegate,
    withdraw_delegation,
)

OPEN = 10**18
Run = Callable[..., Result]


@pytest.fixture
def connection(devnet: Devnet) -> Iterator[Connection]:
    with Connection.open(Settings(home=devnet.home.parent)) as opened:
        yield opened


def _ledger(connection: Connection, number: int) -> Ledger:
    assert connection.devnet is not None
    return connection.as_(connection.devnet.accounts[number])


def _agent(connection: Connection, number: int) -> int:
    ledger = _ledger(connection, number)
    agent_id = connection.agents.register(ledger.signer, "delegated to", "a test")
    stake(ledger, agent_id, 100 * OPEN)
    return agent_id


def _revert(error: BaseException | None) -> str:
    assert isinstance(error, ChainError)
    return error.revert or ""


def test_a_delegation_earns_is_asked_back_and_paid(connection: Connection) -> None:
    agent_id, operator = _agent(connection, 1), _ledger(connection, 1)
    ann, ben = _ledger(connection, 2), _ledger(connection, 3)
    assert set_commission(operator, agent_id, 1000) <= operator.now()
    active = delegate(ann, agent_id, 30 * OPEN)
    assert active % ann.parameter("delegationPeriod") == 0
    delegate(ben, agent_id, 10 * OPEN)
    pool = delegation_pool(ann, agent_id)
    assert (pool.pending, pool.active, pool.activates_at) == (40 * OPEN, 0, active)
    assert pool.operator == operator.address

    # nobody is active yet: it is the operator's
    assert add_reward(ben, agent_id, OPEN) == (0, OPEN)
    connection.chain.advance(active - ann.now() + 1)
    assert delegation(ann, agent_id).worth == 30 * OPEN
    assert add_reward(ben, agent_id, 4 * OPEN) == (36 * OPEN // 10, 4 * OPEN // 10)
    assert claim_income(operator, agent_id) == 14 * OPEN // 10

    mine = delegation(ann, agent_id)
    assert mine.worth == pytest.approx(327 * OPEN // 10, abs=2)
    asked, ready = undelegate(ann, agent_id, 10 * OPEN)
    assert 0 <= asked - 10 * OPEN <= 2
    assert ready == ann.now() + ann.parameter("withdrawalDelay")
    with pytest.raises(ChainError) as early:
        withdraw_delegation(ann, agent_id)
    assert _revert(early.value).startswith("NothingToWithdraw")
    rest, _ = undelegate(ann, agent_id)
    with pytest.raises(UserError, match="has not delegated"):
        undelegate(ann, agent_id, 1)
    exits = delegation(ann, agent_id).exits
    assert [one.worth for one in exits] == [asked, rest]
    connection.chain.advance(exits[-1].ready_at - ann.now() + 1)
    before = ann.balance(ann.address)
    assert withdraw_delegation(ann, agent_id) == asked + rest
    assert ann.balance(ann.address) - before == asked + rest
    assert delegation(ann, agent_id).total == 0
    # rounding favours the pool
    assert 0 <= delegation_pool(ann, agent_id).active - delegation(ben, agent_id).worth <= 2


def test_what_is_pending_comes_back_at_once(connection: Connection) -> None:
    agent_id, ann = _agent(connection, 1), _ledger(connection, 2)
    delegate(ann, agent_id, 3 * OPEN)
    assert delegation(ann, agent_id).pending == 3 * OPEN
    assert cancel_delegation(ann, agent_id) == 3 * OPEN
    assert delegation(ann, agent_id).total == 0
    assert delegation_pool(ann, agent_id).activates_at == 0


def test_an_increase_of_the_commission_gives_notice(connection: Connection) -> None:
    agent_id, operator = _agent(connection, 1), _ledger(connection, 1)
    delegate(_ledger(connection, 2), agent_id, 3 * OPEN)
    at = set_commission(operator, agent_id, 2500)
    assert at == operator.now() + operator.parameter("withdrawalDelay")
    pool = delegation_pool(operator, agent_id)
    assert (pool.commission, pool.next_commission, pool.commission_at) == (0, 2500, at)
    with pytest.raises(ChainError) as error:
        set_commission(operator, agent_id, 9999)
    assert _revert(error.value).startswith("CommissionTooHigh")


def test_after_a_sale_the_sellers_pool_is_dealt_with_by_name(connection: Connection) -> None:
    agent_id, seller, buyer = _agent(connection, 1), _ledger(connection, 1), _ledger(connection, 4)
    ann = _ledger(connection, 2)
    connection.chain.advance(delegate(ann, agent_id, 5 * OPEN) - ann.now() + 1)
    agents = connection.contracts.agents.functions
    seller.send(agents.transferFrom(seller.address, buyer.address, agent_id))
    assert delegation_pool(ann, agent_id).operator == buyer.address
    assert delegation(ann, agent_id).total == 0
    assert delegation(ann, agent_id, operator=seller.address).worth == 5 * OPEN
    with pytest.raises(ChainError) as error:
        delegate(ann, agent_id, 5 * OPEN, seller.address)
    assert _revert(error.value).startswith("NotOperator")
    assert undelegate(ann, agent_id, operator=seller.address)[0] == 5 * OPEN


def test_an_unknown_agent_is_the_users_error(connection: Connection) -> None:
    with pytest.raises(UserError, match="not registered") as error:
        delegate(_ledger(connection, 2), 4040, OPEN)
    assert error.value.code == "user.agent.unknown"


def test_the_commands(connection: Connection, run: Run, read: Callable[..., Any]) -> None:
    agent_id = _agent(connection, 5)
    ann = ("--as", 6)

    dry = run("delegate", "add", agent_id, "12.5", *ann, "--dry-run").stdout
    assert "Puts 12.5 OPEN behind agent" in dry
    assert "nothing was signed or sent" in dry
    assert read("delegate", "show", agent_id, *ann)["pending"] == "0"
    active = read("delegate", "add", agent_id, "12.5", *ann)["activeAt"]
    assert read("delegate", "cancel", agent_id, *ann)["paid"] == str(125 * 10**17)
    assert read("delegate", "add", agent_id, "12.5", *ann)["activeAt"] == active
    connection.chain.advance(active - connection.ledger.now() + 1)
    at = read("delegate", "commission", agent_id, 1000, "--as", 5)["effectiveAt"]
    connection.chain.advance(at - connection.ledger.now() + 1)
    shared = read("delegate", "reward", agent_id, "10", *ann)
    assert (shared["toDelegators"], shared["toOperator"]) == (str(9 * OPEN), str(OPEN))
    shown = read("delegate", "show", agent_id, *ann)
    assert (shown["active"], shown["commission"], shown["income"]) == (str(215 * 10**17), 1000, str(OPEN))
    assert "10 %" in run("delegate", "show", agent_id, *ann).stdout
    assert read("delegate", "income", agent_id, "--as", 5)["paid"] == str(OPEN)
    ready = read("delegate", "exit", agent_id, "1.5", *ann)["readyAt"]
    run("delegate", "exit", agent_id, *ann)
    assert "asked back" in run("delegate", "show", agent_id, *ann).stdout
    assert len(read("delegate", "show", agent_id, *ann)["exits"]) == 2
    run("delegate", "withdraw", agent_id, *ann, fails=ChainError)
    connection.chain.advance(ready - connection.ledger.now() + 60)
    paid = int(read("delegate", "withdraw", agent_id, *ann)["paid"])
    assert 0 <= 215 * 10**17 - paid <= 10
    run("delegate", "exit", agent_id, *ann, fails=UserError)
    run("delegate", "add", agent_id, "0", *ann, fails=UserError)
    run("delegate", "add", agent_id, "0.0001", *ann, fails=ChainError)
    run("delegate", "add", 4040, "1", *ann, fails=UserError)
    run("delegate", "show", agent_id, "--operator", "nobody", fails=UserError)
    run("delegate", "withdraw", agent_id, "--operator", "0x" + "11" * 20, *ann, fails=ChainError)
