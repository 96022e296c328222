"""Payouts that are not what the rule makes of a batch's records: found from public data, judged by a jury that recomputes
them, corrected, and paid to those they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import loop
import pytest
from thief import call, steal
from typer.testing import Result

from openledger.contracts import Devnet
from openledger.errors import ChainError
from openledger.registry import BatchHeader
from openledger.staking import (
    Payouts,
    challenge_shares,
    claim_found,
    examiners_for,
    hold_jury,
    index_for,
    recompute_payouts,
)


@pytest.fixture(scope="module")
def honest(stack: Any) -> BatchHeader:
    """A batch of three actions, anchored as they should be."""
    call(stack, loop.questions(3, seed=11))
    (header,) = stack.honest.batcher.anchor()
    return header


@pytest.fixture(scope="module")
def devnet(stack: Any) -> Devnet:
    """What the commands act on."""
    found: Devnet = stack.world.connection.devnet
    return found


@pytest.fixture(scope="module")
def stolen(stack: Any, honest: BatchHeader) -> BatchHeader:
    """Three more, of which the operator takes everything."""
    call(stack, loop.questions(3, seed=12))
    return steal(stack)


def recomputed(stack: Any, header: BatchHeader) -> Payouts:
    connection = stack.world.connection
    return recompute_payouts(
        header,
        store=connection.store,
        ledger=connection.ledger,
        assets=connection.assets,
        index_for=index_for(connection),
    )


def dispute(stack: Any, header: BatchHeader) -> Any:
    connection = stack.world.connection
    auditor = connection.as_(stack.world.people.auditor)
    challenge = challenge_shares(header, auditor)
    assert connection.ledger.settlement.claims_state(header) == "frozen"
    return hold_jury(challenge, connection, _no_engine, examiners_for(connection))


def _no_engine(_base: object) -> Any:
    raise AssertionError("payouts need no engine")


def test_anyone_recomputes_an_honest_batch_to_the_wei(stack: Any, honest: BatchHeader) -> None:
    found = recomputed(stack, honest)
    assert found.root == honest.payout_root
    assert not found.differ_from(honest)
    paid = {payout.account: payout.amount for payout in found.payouts}
    assert sum(paid.values()) == stack.world.connection.ledger.settlement.net(
        honest.agent_id, honest.epoch, honest.sum
    )
    contributors = {str(one.address) for one in stack.world.people.contributors.values()}
    assert contributors & paid.keys(), "somebody's words were used"


def test_an_honest_batch_that_is_disputed_is_acquitted_and_can_be_claimed(
    stack: Any, honest: BatchHeader
) -> None:
    before = stack.world.connection.ledger.stake_of(honest.agent_id)
    outcome = dispute(stack, honest)
    assert outcome.state == "Acquitted"
    assert stack.world.connection.ledger.stake_of(honest.agent_id) == before
    assert stack.world.connection.ledger.settlement.claims_state(honest) == "open"


def test_stolen_payouts_are_slashed_and_paid_to_those_they_belong_to(stack: Any, stolen: BatchHeader) -> None:
    connection = stack.world.connection
    ledger, chain = connection.ledger, connection.contracts.chain
    found = recomputed(stack, stolen)
    assert found.differ_from(stolen)
    before = ledger.stake_of(stolen.agent_id)
    outcome = dispute(stack, stolen)
    assert outcome.convicted
    assert ledger.stake_of(stolen.agent_id) == before - outcome.slashed
    assert outcome.slashed == 80 * stolen.sum
    assert outcome.to_client == 0

    wait = ledger.challengeable_until(stolen) + 1 - ledger.now()
    if wait > 0:
        chain.advance(wait)
    ledger.settlement.finalize(stolen)
    with pytest.raises(ChainError, match="ClaimsNotOpen"):
        connection.contracts.chain.call(
            connection.contracts.pool.functions.claim(stolen.to_abi(), 0, found.payouts[0].account, 1, [])
        )
    owed = {payout.account: payout.amount for payout in found.payouts}
    purses = {account: _purse(stack, account) for account in owed}
    assert claim_found(stolen, found, ledger) == sum(owed.values())
    pool_of_delegators = connection.contracts.address("DelegationPool")
    for account, amount in owed.items():
        if account != pool_of_delegators:
            assert _purse(stack, account) - purses[account] == amount
    assert chain.call(connection.contracts.pool.functions.remaining(stolen.hash())) == 0


def _purse(stack: Any, account: str) -> int:
    """What an account holds and is credited with."""
    ledger = stack.world.connection.ledger
    return int(ledger.balance(account) + ledger.settlement.credit_of(account))


def test_the_commands_find_it_bring_it_and_pay_it(
    stack: Any, honest: BatchHeader, stolen: BatchHeader, run: Callable[..., Result], read: Callable[..., Any]
) -> None:
    (receipt,) = call(stack, loop.questions(1, seed=13))
    header = steal(stack)
    batch = (header.agent_id, header.first_nonce)
    assert read("payouts", honest.agent_id, honest.first_nonce)["differ"] is False
    assert "anchored payouts differ; claims: open" in run("payouts", *batch, exits=4).stdout

    told = read("challenge", receipt.cid)
    assert (told["fault"], told["state"]) == ("WrongShares", "Convicted")
    assert told["slashed"] == str(80 * header.sum)
    connection = stack.world.connection
    wait = connection.ledger.challengeable_until(header) + 1 - connection.ledger.now()
    connection.chain.advance(max(wait, 1))
    connection.ledger.settlement.finalize(header)
    net = connection.ledger.settlement.net(header.agent_id, header.epoch, header.sum)
    assert read("payouts", *batch, "--claim")["paid"] == str(net)
    assert connection.ledger.settlement.claims_state(header) == "corrected"
