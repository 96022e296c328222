"""Tombstones, licences, keys and income along a lineage, on a real chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openledger.contracts import Contracts, Devnet, deploy
from openledger.errors import ChainError, UserError
from openledger.registry import Assets, Income, Ledger, Licences, cid_of, digest_of, flow_income, split_income

OPEN = 10**18
TERMS = digest_of(cid_of(b"Use it, name us."))


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(devnet: Devnet) -> Contracts:
    return deploy(devnet.connect(), devnet.accounts[0], devnet.home.parent)


@pytest.fixture
def assets(contracts: Contracts) -> Assets:
    return Assets(contracts)


@pytest.fixture
def income(contracts: Contracts) -> Income:
    return Income(contracts)


@pytest.fixture
def licences(contracts: Contracts) -> Licences:
    return Licences(contracts)


def test_a_tombstone_binds_only_tickets_after_the_lag(
    assets: Assets, contracts: Contracts, devnet: Devnet
) -> None:
    owner = devnet.accounts[1]
    asset = assets.register_datanet(owner, cid_of(b"rows"))
    digest = digest_of(cid_of(b"rows"))
    assert assets.tombstoned_at(asset) is None
    assert assets.is_usable(asset, digest, 2**40)
    assert not assets.is_usable(asset, digest_of(cid_of(b"other")), 0)
    assets.tombstone(owner, asset)
    at = assets.tombstoned_at(asset)
    assert at == assets.chain.now()
    lag = Ledger(contracts).max_anchor_lag
    assert assets.is_usable(asset, digest, at + lag)
    assert not assets.is_usable(asset, digest, at + lag + 1)


def test_income_reaches_every_owner_of_a_lineage(
    assets: Assets, income: Income, contracts: Contracts, devnet: Devnet
) -> None:
    ann, ben, cat, payer = devnet.accounts[2:6]
    datanet = assets.register_datanet(ann, cid_of(b"d"), royalty_bps=1_234)
    model = assets.register_model(ben, cid_of(b"m"), parents=[datanet], royalty_bps=7_000)
    adapter = assets.register_adapter(cat, cid_of(b"a"), parents=[model, datanet], royalty_bps=0)
    amount = 10**18 + 7
    income.pay(payer, adapter, amount)
    assert income.due(adapter) == amount
    to_owner, parts = split_income(amount, [7_000, 1_234])
    assert income.split(adapter, amount) == (to_owner, dict(zip((model, datanet), parts, strict=True)))
    expected = flow_income(
        adapter, amount, {adapter: [model, datanet], model: [datanet]}, {model: 7_000, datanet: 1_234}
    )
    assert sum(expected.values()) == amount
    ledger = Ledger(contracts)
    before = {owner.address: ledger.balance(owner.address) for owner in (ann, ben, cat)}
    paid = income.distribute(payer, adapter)
    assert paid == {
        ann.address: expected[datanet],
        ben.address: expected[model],
        cat.address: expected[adapter],
    }
    for owner in (ann, ben, cat):
        assert ledger.balance(owner.address) - before[owner.address] == paid[owner.address]
    assert [income.due(asset) for asset in (adapter, model, datanet)] == [0, 0, 0]
    history = income.history(model)
    assert [line.kind for line in history] == ["royalty", "royalty", "owner"]
    assert (history[0].amount, history[0].other) == (parts[0], adapter)
    assert (history[1].other, history[2].other) == (datanet, ben.address)
    assert sum(line.amount for line in history) == 0


def test_one_level_at_a_time(assets: Assets, income: Income, devnet: Devnet) -> None:
    ann, ben = devnet.accounts[2:4]
    datanet = assets.register_datanet(ann, cid_of(b"d"), royalty_bps=5_000)
    model = assets.register_model(ben, cid_of(b"m"), parents=[datanet])
    income.pay(ben, model, 100)
    assert income.distribute(ann, model, lineage=False) == {ben.address: 50}
    assert income.due(datanet) == 50
    with pytest.raises(ChainError, match="NoIncome"):
        income.pay(ann, datanet, 0)
    with pytest.raises(ChainError, match="UnknownAsset"):
        income.pay(ann, 4040, 1)


def test_a_lease_is_bought_with_one_signature_and_renewed(
    assets: Assets, licences: Licences, income: Income, contracts: Contracts, devnet: Devnet
) -> None:
    owner, buyer, relayer = devnet.accounts[2], devnet.accounts[6], devnet.accounts[7]
    asset = assets.register_datanet(owner, cid_of(b"lease"))
    offer = licences.offer(owner, asset, 2 * OPEN, terms=TERMS, duration=3600, max_count=3, transferable=True)
    found = licences.get_offer(offer)
    assert (found.price, found.duration, found.grant_period, found.max_count) == (2 * OPEN, 3600, None, 3)
    assert licences.offers(asset) == [found]
    assert not licences.is_licensed(asset, buyer.address)
    licence = licences.buy(buyer, offer, max_price=2 * OPEN)  # wraps native OPEN by itself
    assert licences.is_licensed(asset, buyer.address)
    held = licences.get(licence)
    assert (held.holder, held.held, held.grant_by) == (buyer.address, 0, None)
    assert held.expires_at is not None
    assert held.in_force(held.expires_at - 1)
    assert not held.in_force(held.expires_at)
    cut = 2 * OPEN * 500 // 10_000
    assert income.due(asset) == 2 * OPEN - cut

    Ledger(contracts, buyer).wrap(2 * OPEN)
    consent = licences.consent(buyer, offer, relayer.address, 2 * OPEN)
    gift = licences.relay(relayer, consent)  # the relayer pays gas only
    assert licences.get(gift).holder == relayer.address
    with pytest.raises(ChainError, match="ERC3009UsedAuthorization"):
        licences.relay(relayer, consent)

    assert licences.renew(buyer, licence) == held.expires_at + 3600
    licences.transfer(buyer, licence, relayer.address)
    assert not licences.is_licensed(asset, buyer.address)
    licences.present(owner, licence)
    licences.change(owner, offer, price=3 * OPEN, open=False)
    with pytest.raises(UserError, match="costs"):
        licences.buy(buyer, offer, max_price=2 * OPEN)
    with pytest.raises(ChainError, match="OfferClosed"):
        licences.buy(buyer, offer)
    licences.chain.advance(3 * 3600)
    assert not licences.is_licensed(asset, relayer.address)


def test_a_key_is_granted_or_the_money_goes_back(
    assets: Assets, licences: Licences, income: Income, contracts: Contracts, devnet: Devnet
) -> None:
    owner, buyer = devnet.accounts[2], devnet.accounts[8]
    asset = assets.register_datanet(owner, cid_of(b"private"))
    offer = licences.offer(owner, asset, OPEN, terms=TERMS, grant_period=3600)
    granted, waiting = licences.buy(buyer, offer), licences.buy(buyer, offer)
    assert licences.get(granted).held == OPEN
    assert not licences.is_licensed(asset, buyer.address)
    assert income.due(asset) == 0
    with pytest.raises(UserError, match="1 to 1024 bytes"):
        licences.grant_key(owner, granted, bytes(1025))
    licences.grant_key(owner, granted, b"wrapped")
    licences.grant_key(owner, granted, b"rotated")
    assert licences.keys(granted) == [b"wrapped", b"rotated"]
    assert licences.is_licensed(asset, buyer.address)
    assert licences.get(granted).expires_at is None
    with pytest.raises(ChainError, match="TooEarly"):
        licences.refund(buyer, waiting)
    licences.chain.advance(3601)
    with pytest.raises(ChainError, match="TooLate"):
        licences.grant_key(owner, waiting, b"late")
    before = Ledger(contracts).balance(buyer.address)
    assert licences.refund(buyer, waiting) == OPEN
    assert Ledger(contracts).balance(buyer.address) - before == OPEN
    with pytest.raises(UserError, match="There is no licence"):
        licences.get(waiting)


def test_bad_input_is_refused_before_it_is_sent(licences: Licences, devnet: Devnet) -> None:
    signer = devnet.accounts[2]
    with pytest.raises(UserError, match="There is no offer 4040"):
        licences.get_offer(4040)
    with pytest.raises(UserError, match="duration cannot be 0"):
        licences.offer(signer, 1, 1, terms=TERMS, duration=0)
    with pytest.raises(UserError, match="malformed"):
        licences.offer(signer, 1, 2**96, terms=TERMS)
    with pytest.raises(UserError, match="malformed"):
        licences.offer(signer, 1, 1, terms=b"short")
