"""Payments of many clients, collected together by one transaction on a real chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from openledger.contracts import Devnet, deploy
from openledger.errors import UserError
from openledger.registry import Ledger, Payment

FEE = 10**17
REQUEST = b"\x05" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("home")
    with Devnet.start(home) as devnet:
        contracts = deploy(devnet.connect(), devnet.accounts[0], home)
        operator = Ledger(contracts, devnet.accounts[1])
        yield operator, [Ledger(contracts, account) for account in devnet.accounts[2:6]]


def signed(payer: Ledger, number: int, **changes: Any) -> tuple[Payment, bytes]:
    """A payment to agent 1 and its nonce."""
    now = payer.now()
    draft = Payment(
        payer.address, payer.payments.escrow_of(1), FEE, 0, now + 3600, bytes(65), number.to_bytes(32, "big")
    )
    draft = replace(draft, **changes)
    nonce = draft.nonce(1, REQUEST)
    return payer.payments.authorize(payer.signer, draft, nonce), nonce


def test_those_that_can_be_paid_are_moved_by_one_transaction_and_the_others_say_why(world: Any) -> None:
    operator, payers = world
    token = operator.contracts.token
    for payer in payers:
        payer.wrap(10 * FEE)
    good = [signed(payer, number) for number, payer in enumerate(payers)]
    relayed = signed(payers[0], 10)
    payers[3].payments.collect(*relayed)  # by somebody else, before
    elsewhere = signed(payers[1], 11)
    itself = payers[1].payments.authorize(
        payers[1].signer, replace(elsewhere[0], to=payers[1].address), elsewhere[1]
    )
    payers[1].payments.collect(itself, elsewhere[1])
    late = signed(payers[2], 12, valid_before=operator.now() - 1)
    poor = signed(payers[2], 13, value=11 * FEE)
    forged = (replace(signed(payers[2], 14)[0], value=1), signed(payers[2], 14)[1])
    before, block = operator.balance(good[0][0].to), operator.chain.block_number()

    asked = [poor, *good, relayed, elsewhere, late, forged]
    found = operator.payments.collect_many(asked)

    assert [error is None for error in found] == [False, *[True] * 4, True, False, False, False]
    assert "cannot pay" in str(found[0])
    assert "spent elsewhere" in str(found[6])
    assert "not valid now" in str(found[7])
    assert found[8].revert == "ERC3009InvalidSignature()"  # type: ignore[union-attr]
    assert operator.balance(good[0][0].to) == before + 4 * FEE
    used = list(operator.chain.logs(token.events.AuthorizationUsed, block + 1))
    assert len(used) == 4
    assert len({log["transactionHash"] for log in used}) == 1
    assert operator.chain.block_number() == block + 1
    sent = operator.chain.w3.eth.get_transaction(used[0]["transactionHash"])["input"]
    _, given = operator.contracts.collector.decode_function_input(sent)
    assert len(given["payments"]) == 4  # what could not be moved was not sent

    # Asked again, all that was moved is found so, and nothing is moved twice.
    assert operator.payments.collect_many(good) == [None] * 4
    assert operator.balance(good[0][0].to) == before + 4 * FEE


def test_a_client_who_can_pay_one_of_two_pays_one(world: Any) -> None:
    operator, _ = world
    payer = Account.create()
    operator.wrap(FEE)
    operator.send(operator.contracts.token.functions.transfer(payer.address, FEE))
    ledger = Ledger(operator.contracts, payer)
    first, second = signed(ledger, 20), signed(ledger, 21)
    moved, refused = operator.payments.collect_many([first, second])
    assert moved is None
    assert isinstance(refused, UserError)
    assert operator.balance(payer.address) == 0


def test_none_and_one_are_collected_too(world: Any) -> None:
    operator, payers = world
    assert operator.payments.collect_many([]) == []
    assert operator.payments.collect_many([signed(payers[0], 30)]) == [None]


def test_what_others_did_between_the_trial_and_the_block_is_noticed(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One payment is relayed by a stranger, one is spent on something else; the third is still collected."""
    operator, payers = world
    relayed, elsewhere, good = (signed(payers[number], 40 + number) for number in range(3))
    itself = payers[1].payments.authorize(
        payers[1].signer, replace(elsewhere[0], to=payers[1].address), elsewhere[1]
    )
    send = operator.send

    def overtaken(call: Any, value: int = 0) -> Any:
        monkeypatch.undo()
        payers[3].payments.collect(*relayed)
        payers[3].payments.collect(itself, elsewhere[1])
        return send(call, value)

    monkeypatch.setattr(operator, "send", overtaken)
    before = operator.balance(good[0].to)
    first, second, third = operator.payments.collect_many([relayed, elsewhere, good])
    assert first is None
    assert third is None
    assert isinstance(second, UserError)
    assert "spent elsewhere" in str(second)
    assert operator.balance(good[0].to) == before + 2 * FEE
