"""Questions to juries on a real devnet: is this the adapter that training gives, does this row belong, and what if nothing
can be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from court import FEE, JUROR_FEE, OPEN, SILENT, SLASH, STAKE, WRONG, Accused, Court

from openledger import datanets, modelfactory
from openledger.errors import ChainError, ChallengeError, UserError
from openledger.modelfactory import AdapterRecipe, retrain, training_step
from openledger.openlora import fetch_base
from openledger.registry import (
    AssetRef,
    ContributionState,
    ModelCallStep,
    Sampling,
    TrainingStep,
    cid_of,
    digest_of,
    encode,
)
from openledger.runtime import Lineage
from openledger.settings import Settings
from openledger.staking import (
    Challenge,
    Examiner,
    Juror,
    Opinion,
    TrainingExaminer,
    challenge_training,
)

RECIPE = AdapterRecipe(rank=2, alpha=4, steps=2, batch=2, length=128)


def answer(court: Court, challenge: Challenge, examiners: Mapping[str, Examiner]) -> None:
    """Every juror of the present committee computes its answer, commits, reveals."""
    seated = [_juror(court, juror, examiners) for juror in challenge.committee]
    for one in seated:
        one.commit(challenge.id)
    for one in seated:
        one.reveal(challenge.id)


def _juror(court: Court, juror: str, examiners: Mapping[str, Examiner]) -> Juror:
    ledger = court.connection.as_(court.jurors[juror])
    return Juror(ledger, court.connection.store, _no_engine, court.journal, examiners)


def _no_engine(_base: object) -> object:
    raise AssertionError("no question here needs an engine")


@pytest.fixture(scope="module")
def run(court: Court, settings: Settings) -> TrainingStep:
    """A short training run over the cached base: what an honest record says of it."""
    connection, owner = court.connection, court.account(1)
    base_dir = modelfactory.ensure_base(settings.cache_dir)
    base_cid = connection.store.add_path(base_dir)
    base = AssetRef(connection.assets.register_model(owner.signer, base_cid), base_cid)
    shipped = datanets.shipped("audit_findings")
    accounts = dict.fromkeys(shipped.contributors, owner.address)
    net_cid = datanets.publish(shipped, connection.store, accounts=accounts)
    net = AssetRef(connection.assets.register_datanet(owner.signer, net_cid), net_cid)
    draft = training_step(base, net, base_cid, recipe=RECIPE, seed=3)
    made = retrain(draft, base_dir, [datanets.fetch(connection.store, net_cid)])
    return training_step(base, net, made, recipe=RECIPE, seed=3)


@pytest.fixture(scope="module")
def trainers(court: Court) -> Mapping[str, Examiner]:
    def base_for(ref: AssetRef) -> Path:
        return fetch_base(court.connection, ref)

    return {"TrainingMismatch": TrainingExaminer(court.connection.store, base_for, retrain)}


def test_a_run_that_gives_another_adapter_is_slashed(
    court: Court, accused: Accused, run: TrainingStep, trainers: Mapping[str, Examiner]
) -> None:
    claimed = TrainingStep(
        run.base_asset_id,
        run.base,
        run.datanets,
        run.recipe,
        cid_of(b"trained on something else"),
        run.trainer_class,
    )
    cid = accused.anchor(claimed)
    auditor = court.account(3)
    before = auditor.balance(auditor.address)
    challenge = challenge_training(cid, 0, store=court.connection.store, ledger=auditor)
    challenge.draw()
    answer(court, challenge, trainers)
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    outcome = challenge.outcome()
    assert outcome.slashed == SLASH
    assert outcome.to_client == FEE
    assert auditor.balance(auditor.address) == before + outcome.to_challenger
    assert accused.staked == STAKE - SLASH


def test_an_honest_run_repeats_bit_for_bit_and_is_acquitted(
    court: Court, accused: Accused, run: TrainingStep, trainers: Mapping[str, Examiner]
) -> None:
    cid = accused.anchor(run)
    challenge = challenge_training(cid, 0, store=court.connection.store, ledger=court.account(3))
    challenge.draw()
    lazy, *diligent = challenge.committee
    stake = court.juror_stake(lazy)

    class Copies:
        """Answers what the record says; the probe it can only guess."""

        def answer(self, *_: object) -> tuple[bytes, bytes]:
            return digest_of(run.adapter), bytes(32)

    seated = [_juror(court, juror, trainers) for juror in diligent]
    seated.append(_juror(court, lazy, {"TrainingMismatch": Copies()}))
    for one in seated:
        one.commit(challenge.id)
    for one in seated:
        one.reveal(challenge.id)
    challenge.resolve()
    assert court.finish(challenge) == "Acquitted"
    assert accused.staked == STAKE
    assert court.juror_stake(lazy) == stake - WRONG


def test_a_juror_on_another_kind_of_machine_abstains(
    court: Court, accused: Accused, run: TrainingStep, trainers: Mapping[str, Examiner]
) -> None:
    elsewhere = TrainingStep(
        run.base_asset_id, run.base, run.datanets, run.recipe, run.adapter, "torch/9.9/tpu/v9"
    )
    cid = accused.anchor(elsewhere)
    challenge = challenge_training(cid, 0, store=court.connection.store, ledger=court.account(3))
    challenge.draw()
    first = challenge.committee[0]
    with pytest.raises(UserError, match="this machine is torch"):
        _juror(court, first, trainers).commit(challenge.id)
    with pytest.raises(ChallengeError, match="cannot be judged here"):
        _juror(court, first, {}).commit(challenge.id)
    # nobody votes, twice: nothing is decided, and silence costs
    stake = court.juror_stake(first)
    for _ in range(2):
        court.pass_until(challenge, "revealBy")
        challenge.resolve()
        if challenge.state == "Open":
            challenge.draw()
    assert challenge.state == "Voided"
    assert court.juror_stake(first) <= stake - SILENT
    assert accused.staked == STAKE


def test_an_adapter_that_nobody_can_get_convicts(court: Court, accused: Accused) -> None:
    accused.act([-1000, -2000, -3000, -4000])
    challenge = accused.accuse(court.account(3), 1)
    seated = [_juror(court, juror, {}) for juror in challenge.committee]
    for one in seated:
        made, action = one.act(challenge.id, unavailable=True)
        assert made.unavailable
        assert action == "committed"
    for one in seated:
        assert one.act(challenge.id)[1] == "revealed"
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    assert challenge.outcome().slashed == SLASH


def test_a_rejection_is_appealed_before_a_jury_and_overturned(court: Court) -> None:
    connection = court.connection
    owner, ann = court.account(4), court.account(5)
    asset = connection.assets.register_datanet(owner.signer, cid_of(encode({"empty": True})))
    connection.curation.set_open(owner.signer, asset)
    row = encode({"row": "r1", "text": "The lamp of Pier Alba turns seventeen times a night."})
    cid = connection.store.put(row)
    before = ann.balance(ann.address)
    contribution = connection.curation.contribute(ann.signer, asset, digest_of(cid))
    connection.curation.reject(owner.signer, contribution)
    connection.curation.appeal(ann.signer, contribution)
    case = Challenge(court.account(6), connection.curation.case_of(contribution))
    assert case.fault == "CurationAppeal"
    with pytest.raises(ChainError, match="NotDecided"):
        court.account(6).send(connection.contracts.arbiter.functions.deliver(case.id))
    case.draw()
    answer(court, case, {"CurationAppeal": Opinion(connection.store, accepted=True)})
    case.resolve()
    assert court.finish(case) == "Convicted"
    assert connection.curation.get(contribution).state is ContributionState.ACCEPTED
    assert connection.curation.curator_record(owner.address).overturned == 1
    assert ann.balance(ann.address) == before - 5 * JUROR_FEE, "bonds are back, the jury was paid"
    assert OPEN > 5 * JUROR_FEE


def test_an_action_names_one_owner_an_asset_even_if_it_is_sold_meanwhile(court: Court) -> None:
    connection, seller, buyer = court.connection, court.account(4), court.account(5)
    assets = connection.assets
    base = assets.register_model(seller.signer, cid_of(b"a base"), royalty_bps=1000)
    tunes = [assets.register_adapter(seller.signer, cid_of(bytes([n])), parents=[base]) for n in range(2)]
    begun = court.chain.now()
    lineage = Lineage(assets)
    first, second = (_call_of(tune) for tune in tunes)
    lineage([first])
    registry = connection.contracts.assets.functions
    seller.send(registry.transferFrom(seller.address, buyer.address, base))
    # the first adapter's lineage is remembered from before the sale, the second's is read after it
    uses = lineage([first, second])
    assert {royalty.account for use in uses for royalty in use.ancestors} == {seller.address}
    court.chain.advance(10)
    now = court.chain.now()
    assert assets.owners_between(base, begun, now) == {seller.address, buyer.address}
    assert assets.owners_between(base, now, now) == {buyer.address}
    assert assets.owners_between(tunes[0], begun, now) == {seller.address}


def _call_of(asset_id: int) -> ModelCallStep:
    sampling = Sampling(0.0, 1.0, 0, 1)
    made = cid_of(bytes([1]))
    return ModelCallStep(
        asset_id, made, 1, made, [1], [2], [0], sampling, bytes(32), "fixed", "length", "answer"
    )
