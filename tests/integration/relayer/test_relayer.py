"""Users without gas: what they sign is carried out by a relayer, within its terms, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from listening import listening

from openledger.contracts import Relay, delegated_to, reviewed
from openledger.errors import ChainError, OverloadedError, UserError
from openledger.registry import cid_of, digest_of
from openledger.runtime.relayer import Book, create_app
from openledger.staking import delegate, delegation, stake

OPEN = 10**18


def test_a_user_without_coin_delegates_buys_registers_and_claims(
    world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    operator = world.connection.as_(world.connection.signer_for(2))
    agent_id = world.connection.agents.register(operator.signer, "delegated to", "a test")
    stake(operator, agent_id, 100 * OPEN)
    asset = world.connection.assets.register_datanet(operator.signer, cid_of(b"rows"))
    offer = world.connection.licences.offer(
        operator.signer, asset, 5 * OPEN, terms=digest_of(cid_of(b"terms"))
    )
    user = world.newcomer()
    address, signer = user.address, user.signer
    with world.through(world.url) as connection:
        mine = connection.as_(signer)
        before = connection.chain.block_number()
        with reviewed(connection.contracts, "Puts 30 OPEN behind the agent.") as review:
            delegate(mine, agent_id, 30 * OPEN)
            review.done("delegated")
        said = capsys.readouterr().out
        assert connection.chain.block_number() == before + 1, "approval and delegation are one transaction"
        assert delegation(mine, agent_id).total == 30 * OPEN
        assert delegated_to(connection.chain, address) == connection.contracts.address("SponsoredAccount")
        lines = [line.strip() for line in said.splitlines()]
        signs = [line.split("(")[0] for line in lines if line.startswith("signs")]
        assert signs[:2] == ["signs     OpenToken.approve", "signs     DelegationPool.delegate"]
        assert signs[2].startswith(f"signs     that {address} runs SponsoredAccount")
        assert "relayed   as one batch, number 0, until 20" in said
        assert f"gas       is paid by {world.sponsor.address}, of {world.url}" in said
        assert lines.index(next(x for x in lines if x.startswith("gas"))) < lines.index(
            next(x for x in lines if x.startswith("mined"))
        )
        mined = {call["transaction"] for call in review.calls}
        assert len(mined) == 1
        assert connection.chain.w3.eth.get_transaction(mined.pop())["from"] == world.sponsor.address

        licence = connection.licences.buy(signer, offer)
        assert connection.licences.get(licence).holder == address
        own = connection.assets.register_datanet(signer, cid_of(b"of the user"))
        assert connection.assets.get(own).owner == address
        agent = connection.agents.register(signer, "of the user", "a test")
        assert connection.agents.get(agent).owner == address
        world.connection.income.pay(operator.signer, own, 7 * OPEN)
        held = mine.balance(address)
        assert held == (100 - 30 - 5) * OPEN
        connection.income.distribute(signer, own)
        assert mine.balance(address) == held + 7 * OPEN
        assert connection.chain.balance(address) == 0
        assert world.book.spent(address) > 0
        with pytest.raises(ChainError, match="was refused") as refused:
            connection.income.distribute(signer, 10**6)
        assert refused.value.revert is not None


def test_the_same_batch_is_the_same_transaction_and_a_replay_on_chain_is_refused(world: Any) -> None:
    user = world.newcomer()
    batch = world.batch(user, user.contracts.token.functions.delegate(user.address))
    sent = _sent(world)
    first = world.relayer.submit(batch)
    assert world.relayer.submit(batch) == first
    assert _sent(world) == sent + 1
    stranger = world.connection.signer_for(3)
    with pytest.raises(ChainError) as replay:
        world.connection.chain.send(batch.call(world.connection.chain), stranger)
    assert (replay.value.revert or "").startswith("NotSponsor")
    with pytest.raises(ChainError) as replay:
        world.connection.chain.send(batch.call(world.connection.chain), world.sponsor)
    assert replay.value.revert == "BadBatchNonce(given=0, expected=1)"
    later = batch.model_copy(update={"deadline": batch.deadline + 1})
    with pytest.raises(UserError) as forged:
        world.relayer.submit(later)
    assert forged.value.code == "relay.signature"


def test_what_is_not_in_the_terms_is_refused_and_costs_nothing(world: Any) -> None:
    user, other = world.newcomer(), world.newcomer(0)
    contracts, vault = user.contracts, user.contracts.address("StakeVault")
    token = contracts.token.functions
    good = token.approve(vault, 1)
    now = user.chain.w3.eth.get_block("pending")["timestamp"]
    foreign = world.connection.chain.contract(other.address, contracts.token.abi)
    stale = world.batch(user, good)
    assert stale.code is not None
    wrong: list[tuple[str, Any]] = [
        ("relay.target", world.batch(user, foreign.functions.approve(vault, 1))),
        ("relay.target", world.batch(user, token.transfer(other.address, 1))),
        ("relay.target", world.batch(user, token.approve(other.address, 1))),
        ("relay.target", world.batch(user, good, token.transferFrom(user.address, other.address, 1))),
        (
            "relay.target",
            world.batch(user, token.permit(user.address, other.address, 1, now, 27, bytes(32), bytes(32))),
        ),
        ("relay.target", world.batch(user, contracts.collector.functions.collect([]))),
        ("relay.target", world.batch(user, *[good] * 17)),
        ("relay.target", world.batch(user)),
        ("relay.deadline", world.batch(user, good, deadline=now - 1)),
        ("relay.deadline", world.batch(user, good, deadline=now + 4000)),
        ("relay.nonce", world.batch(user, good, nonce=1)),
        ("relay.signature", world.batch(user, good, sponsor=other.address)),
        ("relay.signature", world.batch(user, good, code=None)),
        ("relay.signature", stale.model_copy(update={"account": other.address})),
        ("relay.signature", world.batch(user, good, code=world.batch(other, good).code)),
        ("relay.signature", world.batch(user, good, code=stale.code.model_copy(update={"nonce": 1}))),
    ]
    sent, coin = _sent(world), world.connection.chain.balance(str(world.sponsor.address))
    for code, batch in wrong:
        with pytest.raises(UserError) as refused:
            world.relayer.submit(batch)
        assert refused.value.code == code, str(refused.value)
    with pytest.raises(ChainError) as reverts:  # tried first, and not sent
        world.relayer.submit(world.batch(user, contracts.vault.functions.joinJury(1)))
    assert reverts.value.revert is not None
    assert _sent(world) == sent
    assert world.connection.chain.balance(str(world.sponsor.address)) == coin
    assert world.book.spent(user.address) == 0


def test_configured_targets_and_transfers_are_paid_for(world: Any, books: Callable[..., Book]) -> None:
    user, other = world.newcomer(), world.newcomer(0)
    generous = world.relayer_with(books(), transfers=True)
    generous.submit(world.batch(user, user.contracts.token.functions.transfer(other.address, 3)))
    assert user.balance(other.address) == 3


def test_a_used_up_cap_says_when_it_resets(world: Any, books: Callable[..., Book]) -> None:
    clock = [86_400.0 * 20_000 + 3600]
    book = books(clock=lambda: clock[0])
    user, other = world.newcomer(0), world.newcomer(0)
    call = user.contracts.token.functions.delegate(user.address)
    world.relayer_with(book).submit(world.batch(user, call))
    spent = book.spent(user.address)
    assert spent == book.spent() > 0
    mean = world.relayer_with(book, account_cap=spent + 1)
    batch = world.batch(user, call)
    with pytest.raises(OverloadedError, match="resets at 2024-10-05 00:00 UTC") as used_up:
        mean.submit(batch)
    assert used_up.value.code == "relay.cap"
    assert used_up.value.retry_after == 86_400 - 3600
    poor = world.relayer_with(book, cap=spent + 1)
    with pytest.raises(OverloadedError, match="this relayer may use today"):
        poor.submit(world.batch(other, call))
    assert book.spent() == spent, "what is refused takes nothing"
    clock[0] += used_up.value.retry_after
    world.relayer_with(book).submit(batch)
    with pytest.raises(OverloadedError) as dear:
        world.relayer_with(book, fee_cap=1).submit(world.batch(user, call))
    assert dear.value.code == "relay.fee"
    quick = world.relayer_with(book, account_burst=1, account_rate=1e-9)
    quick.submit(world.batch(user, call))
    with pytest.raises(OverloadedError, match="Too many requests"):
        quick.submit(world.batch(user, call))


def test_an_authorization_that_became_stale_is_noticed_and_paid_for_once(
    world: Any, books: Callable[..., Book]
) -> None:
    user, book = world.newcomer(0), books()
    chain, rpc = world.connection.chain, world.connection.chain.w3.provider.make_request
    chain.transfer(user.address, world.connection.signer_for(1), OPEN)
    batch = world.batch(user, user.contracts.token.functions.delegate(user.address))
    relayer, failed = world.relayer_with(book), []

    def submit() -> None:
        with pytest.raises(ChainError) as caught:
            relayer.submit(batch)
        failed.append(caught.value)

    rpc("evm_setAutomine", [False])
    try:
        sent = _sent(world)
        thread = threading.Thread(target=submit)
        thread.start()
        while int(chain.w3.eth.get_transaction_count(world.sponsor.address, "pending")) == sent:
            assert thread.is_alive()
            time.sleep(0.05)
        price = 10**11  # the account's own transaction comes before it in the block
        own = {"to": user.address, "value": 0, "gas": 21_000, "nonce": 0, "chainId": chain.chain_id}
        own |= {"maxFeePerGas": price, "maxPriorityFeePerGas": price}
        chain.w3.eth.send_raw_transaction(user.signer.sign_transaction(own).raw_transaction)
        rpc("evm_mine", [])
        thread.join(600)
    finally:
        rpc("evm_setAutomine", [True])
    assert failed[0].code == "relay.stale"
    receipt = chain.w3.eth.get_transaction_receipt(failed[0].tx)
    assert receipt["status"] == 1, "the chain calls it a success"
    assert delegated_to(chain, user.address) is None
    spent = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert book.spent(user.address) == spent
    with pytest.raises(UserError, match="has nonce 0, and the account's next is 1"):
        relayer.submit(batch)
    relayer.submit(world.batch(user, user.contracts.token.functions.delegate(user.address)))
    assert book.spent(user.address) > spent


def test_over_http_errors_keep_what_they_say(world: Any, books: Callable[..., Book]) -> None:
    user = world.newcomer(0)
    call = user.contracts.token.functions.delegate(user.address)
    foreign = user.contracts.token.functions.approve(world.sponsor.address, 1)
    poor = world.relayer_with(books(), account_cap=1)
    with listening(create_app(poor)) as url, world.through(url) as connection:
        mine = connection.as_(user.signer)
        with pytest.raises(OverloadedError, match="resets at 20") as used_up:
            mine.send(call)
        assert used_up.value.code == "relay.cap"
        assert 0 < used_up.value.retry_after <= 86_400
        with pytest.raises(UserError, match="would let") as refused:
            mine.send(foreign)
        assert refused.value.code == "relay.target"
        with pytest.raises(ChainError) as reverts:
            mine.send(mine.contracts.vault.functions.leaveJury())
        assert reverts.value.revert is not None
    with pytest.raises(ChainError) as away, world.through(url) as connection:
        connection.as_(user.signer).send(call)
    assert away.value.code == "relay.unreachable"
    other = "0xef0100" + user.contracts.address("Parameters")[2:]
    user.chain.w3.provider.make_request("anvil_setCode", [user.address, other])
    with pytest.raises(UserError, match="runs other code"):
        Relay(world.url, user.contracts).send([(call, 0)], user.signer)


def _sent(world: Any) -> int:
    return int(world.connection.chain.w3.eth.get_transaction_count(world.sponsor.address))
