"""Payouts that are not what the rule makes of a batch's records: found from public data, judged by a jury that recomputes
them, corrected, and paid to those they belong to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import loop
import pytest
from eth_account import Account
from thief import call, steal
from typer.testing import Result

from openledger.attribution import Payout as Division
from openledger.attribution import batch_payouts, by_account, claimable
from openledger.contracts import Devnet
from openledger.errors import ChainError
from openledger.registry import (
    Batch,
    BatchEntry,
    BatchHeader,
    Payout,
    SignedRecord,
    Tariff,
    digest_of,
    used_tokens,
)
from openledger.staking import (
    Payouts,
    challenge_shares,
    claim_found,
    examiners_for,
    fetch_action,
    hold_jury,
    index_for,
    recompute_payouts,
    stake,
)

OPEN = 10**18


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


# -- charged by the token -------------------------------------------------------------------------


def charged(stack: Any, tariff: Tariff | None, seed: int) -> BatchHeader:
    """A batch of one action, charged all that was paid, whatever the tariff says; right in all else."""
    world, model = stack.world, stack.honest.registered.manifest
    connection, owner = world.connection, world.people.operator
    ledger, store, key = connection.as_(owner), connection.store, Account.create()
    agent_id = connection.agents.register(owner, "Meter", "Charges by the token")
    stake(ledger, agent_id, 1000 * OPEN)
    ledger.send(connection.contracts.pool.functions.createEscrow(agent_id))
    manifest = replace(model, tariff=tariff)
    epoch = connection.agents.open_epoch(owner, agent_id, key.address, manifest)

    (receipt,) = call(stack, loop.questions(1, seed))
    content = replace(fetch_action(receipt.cid, store).content, manifest=manifest.cid)
    store.put_blocks(content.encoded.blocks)
    record = replace(
        receipt.record, agent_id=agent_id, nonce=0, epoch=epoch, content_digest=digest_of(content.cid)
    )
    signed = SignedRecord.make(record, key, ledger.domain, content.cid)
    store.put(signed.encode())
    paying = connection.as_(world.people.client)
    escrow = ledger.payments.escrow_of(agent_id)
    paying.send(connection.contracts.token.functions.transfer(escrow, record.charge))

    said = [Division(str(to), int(wei), str(why), asset) for to, wei, why, asset in content.scores["payouts"]]
    net = ledger.settlement.net(agent_id, epoch, record.charge)
    fixed = [share.account for share in manifest.fixed]
    paid = batch_payouts(net, by_account(claimable(said)), treasury=ledger.settlement.treasury, fixed=fixed)
    entry = BatchEntry(record.struct_hash(), signed.cid, record.charge)
    batch = Batch(agent_id, 0, [entry], [Payout(*one) for one in paid])
    store.put_blocks(batch.encoded.blocks)
    return ledger.anchor(batch, epoch)


def test_what_an_action_of_a_fixed_price_pays_is_right_where_all_of_it_is_charged(stack: Any) -> None:
    header = charged(stack, None, seed=14)
    assert not recomputed(stack, header).differ_from(header)


def test_what_is_charged_beyond_the_tariff_is_slashed_and_goes_back_to_the_client(stack: Any) -> None:
    connection, client = stack.world.connection, str(stack.world.people.client.address)
    ledger, tariff = connection.ledger, Tariff(0, stack.honest.operator.agent.price // 1000, 0)
    header = charged(stack, tariff, seed=15)
    found = recomputed(stack, header)
    assert found.differ_from(header)
    (action,) = found.actions
    due = tariff.of(*used_tokens(action.steps))
    excess = header.sum - due
    assert 0 < due < header.sum / 2
    back = {payout.account: payout.amount for payout in found.payouts}[client]
    assert back == excess - -(-excess * sum(ledger.settlement.cut(header.agent_id, header.epoch)) // 10_000)

    before, purse = ledger.stake_of(header.agent_id), _purse(stack, client)
    outcome = dispute(stack, header)
    assert outcome.convicted
    assert before - ledger.stake_of(header.agent_id) == outcome.slashed > excess
    connection.chain.advance(max(ledger.challengeable_until(header) + 1 - ledger.now(), 1))
    ledger.settlement.finalize(header)
    claim_found(header, found, ledger)
    assert _purse(stack, client) - purse == back
