"""Actions that are charged by their tokens: the client authorises a most, pays the tariff, and has the rest back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from shops import OPEN, PRICE, SLASH, STAKE, Calls, Shop, World, answered, open_world

from openledger.errors import ExecutionError
from openledger.registry import Repayment, Status, Tariff
from openledger.runtime import Batcher, BatchRow, State, check_receipt
from openledger.staking import Finding, Responder, Verdict, enforce, verify

BY_TOKEN = Tariff(prompt=OPEN // 10_000, output=OPEN // 20_000, base=OPEN // 100)
"""Of the actions below, which are of 3 and 600 tokens, 0.0403 OPEN are charged; PRICE is 0.1."""
FEE = BY_TOKEN.of(3, 600)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    make = tmp_path_factory.mktemp
    with open_world(make("home"), make("stranger"), make("outboxes")) as world:
        yield world


@pytest.fixture
def shop(world: World) -> Shop:
    return world.open(Calls(world.model_id), tariff=BY_TOKEN)


def test_the_tariff_is_charged_and_the_rest_is_back_before_the_batch_is_final(
    world: World, shop: Shop
) -> None:
    assert PRICE > FEE > 0
    before = world.watcher.balance(world.client.address)
    receipt = shop.ask()
    assert receipt.record.fee == receipt.record.charge == FEE
    assert world.watcher.balance(world.client.address) == before - PRICE
    (header,) = shop.batcher.anchor()
    assert header.sum == FEE
    assert world.watcher.balance(world.client.address) == before - FEE
    world.wait("challengeWindow")
    assert shop.batcher.settle() == 1
    assert world.watcher.balance(world.watcher.payments.escrow_of(shop.agent_id)) == 0
    assert world.find(receipt.cid) is None
    world.check_books()


def test_many_are_paid_back_by_one_transaction(world: World, shop: Shop) -> None:
    before = world.watcher.balance(world.client.address)
    for value in range(3):
        shop.ask(value)
    count, owner = world.connection.chain.w3.eth.get_transaction_count, shop.ledger.address
    sent = count(owner)
    shop.batcher.anchor()
    assert count(owner) - sent == 2, "one more to anchor"
    assert world.watcher.balance(world.client.address) == before - 3 * FEE


def test_an_action_that_costs_more_than_was_authorised_costs_that(world: World) -> None:
    shop = world.open(Calls(world.model_id), tariff=Tariff(0, OPEN, 0))
    receipt = shop.ask()
    assert receipt.record.charge == PRICE
    shop.batcher.anchor()
    assert world.find(receipt.cid) is None
    world.check_books()


def test_a_failed_metered_action_costs_nothing(world: World) -> None:
    shop = world.open(Calls(world.model_id, status=Status.FAILED), tariff=BY_TOKEN)
    before = world.watcher.balance(world.client.address)
    receipt = shop.ask()
    shop.batcher.anchor()
    assert receipt.record.charge == 0
    assert world.watcher.balance(world.client.address) == before


def test_the_rest_goes_back_once_though_the_batch_is_sent_again(world: World, shop: Shop) -> None:
    """A crash after the repayment, and a client's money that was there twice: nobody gets another's."""
    before = world.watcher.balance(world.client.address)
    shop.ask(1)
    with pytest.raises(RuntimeError, match="power"):
        _Failing(shop).anchor()
    assert world.watcher.balance(world.client.address) == before - FEE
    shop.ask(2)
    again = world.restart(shop, runner=Calls(world.model_id))
    assert len(again.batcher.anchor()) == 2
    assert world.watcher.balance(world.client.address) == before - 2 * FEE
    world.check_books()


class _Failing(Batcher):
    """Dies when it has paid back."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop.agent_id, ledger=shop.ledger, store=shop.world.store, outbox=shop.outbox)

    def _repay(self, batch: BatchRow) -> None:
        super()._repay(batch)
        raise RuntimeError("power failure")


def test_a_repayment_that_the_chain_forgot_is_made_again(world: World, shop: Shop) -> None:
    """A re-organisation drops repayment and batch, and leaves the payment."""
    before = world.watcher.balance(world.client.address)
    shop.ask()
    paid = world.connection.chain.block_number()
    shop.batcher.anchor()
    world.connection.chain._request("anvil_reorg", [world.connection.chain.block_number() - paid, []])
    assert world.watcher.balance(world.client.address) == before - PRICE
    shop.batcher.anchor()
    assert world.watcher.balance(world.client.address) == before - FEE
    (row,) = shop.outbox.in_state(shop.agent_id, *State)
    assert row.state is State.ANCHORED


def test_the_receipt_says_what_was_charged_for(world: World, shop: Shop) -> None:
    receipt = shop.ask()
    shop.batcher.anchor()
    report = verify(receipt.cid, store=world.store, ledger=world.watcher, replayer=None)
    (fee,) = [check for check in report.checks if check.name == "fee"]
    assert fee.verdict is Verdict.VERIFIED
    assert "3 + 600 tokens" in fee.found
    (payment,) = [check for check in report.checks if check.name == "payment"]
    assert payment.verdict is Verdict.VERIFIED


def test_a_fee_that_is_not_the_tariff_s_is_seen_by_whoever_verifies(world: World, shop: Shop) -> None:
    receipt = shop.ask()
    dear = shop.sign(receipt, fee=FEE + 1)
    report = verify(dear.cid, store=world.store, ledger=world.watcher, replayer=None)
    assert report.verdict is Verdict.MISMATCH
    assert f"a fee of {FEE + 1} wei" in report.summary


def test_a_client_refuses_a_fee_above_what_it_authorised(world: World) -> None:
    shop = world.open()
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    shop.operator.accept(paid)
    receipt = shop.operator.finish(paid.payment_id)
    dear = shop.sign(receipt, fee=PRICE + 1)
    with pytest.raises(ExecutionError, match="a fee above what was authorised"):
        check_receipt(world.watcher, paid, replace(receipt, cid=dear.cid, signed=dear))


def test_an_operator_that_keeps_the_rest_loses_its_stake(world: World, shop: Shop) -> None:
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    ticket = shop.operator.accept(paid).keep(paid.payment)
    receipt = shop.operator.finish(paid.payment_id)
    shop.anchor_by_hand(receipt.signed)
    world.wait("maxAnchorLag")
    finding = world.find(ticket)
    assert finding is not None
    assert finding.fault == "Omission"
    assert f"the record charges {FEE}, and 0 went back" in finding.why
    before = world.watcher.balance(world.client.address)
    number = finding.bring(world.watcher)
    (answer,) = Responder(shop.ledger, world.store).respond()
    assert answer.problem == "there is nothing to show: this is a fault"
    world.wait("demandResponse")
    enforce(world.watcher, number)
    assert world.position(shop) == STAKE - SLASH
    assert world.watcher.balance(world.client.address) > before


def test_a_client_that_demands_by_a_payment_it_did_not_make_is_answered(world: World, shop: Shop) -> None:
    """It signs a larger one with the nonce of the one that it spent."""
    paid = world.client.prepare(shop.agent_id, 3, PRICE)
    ticket = shop.operator.accept(paid).keep(paid.payment)
    shop.operator.finish(paid.payment_id)
    shop.batcher.anchor()
    world.wait("maxAnchorLag")
    nonce = paid.payment.nonce(shop.agent_id, paid.request_hash)
    inflated = world.watcher.payments.authorize(
        world.client._signer, replace(paid.payment, value=1000 * OPEN), nonce
    )
    claimed = replace(ticket, payment=inflated)
    arguments = (claimed.ticket.to_abi(), claimed.signature, claimed.payment_abi())
    number = Finding("Omission", "inflated", shop.agent_id, "demandOmission", arguments).bring(world.watcher)
    answered(world, shop, number)
    assert world.position(shop) == STAKE
    world.check_books()


def test_who_says_that_it_keeps_less_than_it_charges_is_slashed(world: World, shop: Shop) -> None:
    receipt = shop.ask()
    record = receipt.record
    shop.ledger.payments.repay(
        shop.agent_id, [Repayment(record.payment_id, record.client, PRICE - FEE, FEE - 1)]
    )
    shop.batcher.anchor()
    finding = world.find(receipt.cid)
    assert finding is not None
    assert finding.fault == "RefundedCharge"
    finding.bring(world.watcher)
    assert world.position(shop) < STAKE
