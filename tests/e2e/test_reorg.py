"""The chain forgets blocks under a running agent: every paid action is still anchored once and paid out once.

anvil's ``anvil_reorg`` replaces the newest blocks by empty ones: payments, anchors and refunds in them never happened.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shops import BUYER, CLIENT, OWNER, PARTNER, PRICE, Calls, Shop, World, open_world

from openledger.errors import ChainError
from openledger.registry import Status
from openledger.runtime import Client, State


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    make = tmp_path_factory.mktemp
    with open_world(make("home"), make("stranger"), make("outboxes")) as world:
        yield world


def now_at(world: World) -> int:
    return world.connection.chain.block_number()


def forget(world: World, since: int) -> None:
    """All blocks after ``since`` are replaced by empty ones."""
    world.connection.chain._request("anvil_reorg", [now_at(world) - since, []])


def escrow(world: World, shop: Shop) -> int:
    return world.watcher.balance(world.watcher.payments.escrow_of(shop.agent_id))


def settled(world: World, shop: Shop, actions: int) -> None:
    """To the end: the window passes, and each action's fee is paid out once."""
    partner = world.watcher.balance(PARTNER)
    world.wait("challengeWindow")
    assert shop.batcher.settle() >= 1
    net = world.watcher.settlement.net(shop.agent_id, shop.epoch, actions * PRICE)
    credit = world.watcher.settlement.credit_of(PARTNER)
    assert world.watcher.balance(PARTNER) - partner + credit >= net // 10
    assert escrow(world, shop) == 0
    assert {row.state for row in shop.outbox.in_state(shop.agent_id, *State)} == {State.SETTLED}
    headers = list(world.watcher.batches(shop.agent_id))
    assert sum(header.count for header in headers) == actions
    world.check_books()


def test_a_batch_that_the_chain_forgot_is_anchored_again_as_it_was(world: World) -> None:
    shop = world.open()
    for value in range(3):
        shop.ask(value)
    since = now_at(world)
    (first,) = shop.batcher.anchor()
    forget(world, since)
    assert world.watcher.next_nonce(shop.agent_id) == 0
    (again,) = shop.batcher.anchor()
    assert (again.record_root, again.payout_root) == (first.record_root, first.payout_root)
    assert world.watcher.is_anchored(again)
    assert shop.batcher.anchor() == []
    settled(world, shop, 3)


def test_payments_that_the_chain_forgot_are_collected_again(world: World) -> None:
    shop, since = world.open(), now_at(world)
    before = world.watcher.balance(world.client.address)
    for value in range(3):
        shop.ask(value)
    forget(world, since)
    assert escrow(world, shop) == 0
    shop.batcher.anchor()
    assert escrow(world, shop) == 3 * PRICE
    assert before - world.watcher.balance(world.client.address) == 3 * PRICE
    settled(world, shop, 3)


def test_payments_and_their_anchored_batch_forgotten_together_come_back(world: World) -> None:
    shop, since = world.open(), now_at(world)
    shop.ask(1)
    shop.batcher.anchor()
    shop.ask(2)
    forget(world, since)
    assert len(shop.batcher.anchor()) == 2
    settled(world, shop, 2)


def test_a_refund_that_the_chain_forgot_is_given_again(world: World) -> None:
    shop = world.open(Calls(world.model_id, status=Status.FAILED))
    before = world.watcher.balance(world.client.address)
    since = now_at(world)
    shop.ask(1)
    shop.batcher.anchor()
    assert world.watcher.balance(world.client.address) == before
    forget(world, since)
    shop.batcher.anchor()
    assert world.watcher.balance(world.client.address) == before
    assert escrow(world, shop) == 0
    (row,) = shop.outbox.in_state(shop.agent_id, *State)
    assert row.state is State.ANCHORED


def test_a_batch_that_was_mined_again_at_another_time_is_settled_under_its_new_header(world: World) -> None:
    shop = world.open()
    shop.ask(1)
    since = now_at(world)
    (first,) = shop.batcher.anchor()
    forget(world, since)
    world.connection.chain.advance(60)
    call = first.to_abi()[:-1]
    shop.ledger.send(world.connection.contracts.log.functions.anchor(call))  # as a node's pool may, by itself
    assert not world.watcher.is_anchored(first)
    settled(world, shop, 1)


def test_a_payment_that_was_withdrawn_meanwhile_is_named_and_keeps_nobody_else_s_away(world: World) -> None:
    """The agent has signed both; one client takes its money away before the chain sees its payment a second time."""
    shop, since = world.open(), now_at(world)
    shop.ask(1)
    buyer = world.account(BUYER)
    Client(buyer.signer, buyer).call(shop.operator, shop.agent_id, 2, PRICE)
    forget(world, since)
    first, second = shop.outbox.in_state(shop.agent_id, State.SIGNED)
    client, transfer = world.account(CLIENT), world.connection.contracts.token.functions.transfer
    client.send(transfer(PARTNER, client.balance(client.address)))
    with pytest.raises(ChainError, match="payments are gone from agent") as gone:
        shop.batcher.anchor()
    assert first.payment_id in str(gone.value)
    assert second.payment_id not in str(gone.value)
    assert f"put {PRICE} wei" in gone.value.fix
    assert escrow(world, shop) == PRICE, "the other was not collected"
    world.account(OWNER).send(transfer(world.watcher.payments.escrow_of(shop.agent_id), PRICE))
    (header,) = shop.batcher.anchor()
    assert header.count == 2
    settled(world, shop, 2)
