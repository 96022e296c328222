"""Rule v2 in service: who taught an answer is paid for it though none of its words are theirs, a stranger finds the same wei, and
an operator that states something else loses its stake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harbour
import pytest
from stranger import found_in, fresh
from world import OPEN, World

from openledger import datanets
from openledger.attribution import (
    GRID_PARTS,
    GRID_SAVED,
    PARTS,
    RULE_V2,
    Influence,
    NoInfluence,
    Stated,
    rule_id,
)
from openledger.datanets import Row
from openledger.modelfactory import ensure_adapter, influence_on, retrain
from openledger.openlora import EnginePool
from openledger.registry import Batch, BatchHeader, Manifest, ModelCallStep, cid_from_digest
from openledger.runtime import (
    Batcher,
    Client,
    LateInfluence,
    Receipt,
    Service,
    deploy_agent,
    register_agent,
)
from openledger.staking import (
    Found,
    InfluenceFor,
    Recomputed,
    Trainer,
    challenge_shares,
    examiners_for,
    fetch_action,
    hold_jury,
    index_for,
    influence_for,
    recompute,
)

TRAINER = Trainer(retrain, influence_on)
FACTS = [(row, fact) for row in harbour.TAUGHT.rows for fact in row.facts]


@dataclass(frozen=True)
class Desk:
    """The harbour's agent in service, and a client of it."""

    world: World
    service: Service
    client: Client
    influence: InfluenceFor
    """As anybody computes it."""

    def ask(self, *questions: str) -> list[Receipt]:
        operator = self.service.operator
        return [
            self.client.call(operator, operator.agent_id, question, operator.agent.price)
            for question in questions
        ]

    def batcher(self, influence: InfluenceFor, kind: type[Batcher] = Batcher) -> Batcher:
        """The operator's, stating what ``influence`` says."""
        connection = self.world.connection
        return kind(
            self.service.registered.agent_id,
            ledger=connection.as_(self.world.people.operator),
            store=connection.store,
            outbox=self.service.outbox,
            late=LateInfluence(connection.store, index_for(connection), influence),
        )

    def recompute(self, cid: str) -> Recomputed:
        connection = self.world.connection
        return recompute(
            cid,
            store=connection.store,
            ledger=connection.ledger,
            assets=connection.assets,
            index_for=index_for(connection),
            influence_for=self.influence,
        )

    def batch(self, header: BatchHeader) -> Batch:
        return Batch.decode(cid_from_digest(header.batch_digest), self.world.connection.store.get)


@pytest.fixture(scope="module")
def desk(world: World, pool: EnginePool) -> Iterator[Desk]:
    connection, people = world.connection, world.people
    adapter = ensure_adapter(
        connection.settings.cache_dir, world.trained.base, harbour.TAUGHT, recipe=harbour.RECIPE
    )
    store, assets = connection.store, connection.assets
    first = datanets.publish(harbour.TAUGHT, store, accounts=harbour.ACCOUNTS)
    second = datanets.publish(harbour.GROWN, store, accounts=harbour.ACCOUNTS, previous=first)
    net = assets.register_datanet(people.curator, first, licence="CC-BY-4.0")
    made = assets.register_adapter(
        people.model_maker, store.add_path(adapter), parents=[world.base.asset_id, net], licence="Apache-2.0"
    )
    assets.add_version(people.curator, net, second)
    target = f"{Path(harbour.__file__)}:desk"
    registered = register_agent(
        harbour.desk,
        connection,
        people.operator,
        base=world.base.asset_id,
        adapters={"harbour": made},
        datanet_ids=[net],
        stake=1_000 * OPEN,
        engine_class=pool.engine_class,
        rule=RULE_V2,
    )
    service = deploy_agent(target, registered, connection, people.operator, pool, world.trained.base)
    client = Client(people.client, connection.as_(people.client))
    yield Desk(world, service, client, influence_for(connection, influence_on))
    service.close()


@pytest.fixture(scope="module")
def answered(desk: Desk) -> list[Receipt]:
    """Every fact, asked in words that were never trained on."""
    return desk.ask(*(fact.paraphrase for _, fact in FACTS))


@pytest.fixture(scope="module")
def told(answered: list[Receipt]) -> list[tuple[Row, Receipt]]:
    """Those that the adapter knows in other words, which depends on the processor that it was trained on; each with
    the row that taught it."""
    found = [
        (row, receipt)
        for (row, fact), receipt in zip(FACTS, answered, strict=True)
        if fact.answer == receipt.output.strip()
    ]
    assert len(found) >= 3, [one.output for one in answered]
    return found


@pytest.fixture(scope="module")
def batch(desk: Desk, answered: list[Receipt]) -> BatchHeader:
    (header,) = desk.service.batcher.anchor()
    return header


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of somebody who has nothing but the chain and the content store."""
    return tmp_path_factory.mktemp("elsewhere")


# -- who is paid ----------------------------------------------------------------------------------


def test_the_epoch_names_the_rule_and_its_records_carry_it(desk: Desk, answered: list[Receipt]) -> None:
    epoch = desk.world.connection.ledger.epoch(desk.service.registered.agent_id, answered[0].record.epoch)
    assert epoch is not None
    assert Manifest.decode(epoch.manifest, desk.world.connection.store.get).rule == RULE_V2
    assert {one.record.rule_id for one in answered} == {rule_id(RULE_V2)}


def test_a_paraphrase_pays_the_contributor_of_the_row_that_taught_the_answer(
    desk: Desk, told: list[tuple[Row, Receipt]], batch: BatchHeader
) -> None:
    for row, receipt in told:
        found = desk.recompute(receipt.cid)
        assert found.found is Found.OK, found.lines
        assert found.shares is not None
        assert found.shares.credits == (), "no words of it are long enough to be anybody's"
        portions = {one.source.row: one.weight for one in found.shares.portions}
        assert portions, [one.why for one in found.lines if one.name == "influence"]
        assert max(portions, key=lambda name: portions[name]) == row.row
        paid = {one.account: one.amount for one in found.payouts if one.reason == "contributor"}
        assert max(paid, key=lambda who: paid[who]) == harbour.ACCOUNTS[row.contributor]
        assert paid[harbour.ACCOUNTS[row.contributor]] > receipt.record.fee // 20


def test_a_row_that_nothing_was_trained_on_earns_nothing(
    desk: Desk, told: list[tuple[Row, Receipt]], batch: BatchHeader
) -> None:
    """It is declared, says in other words what a row says that was asked for, and was added after the training."""
    accounts = dict(desk.batch(batch).payouts)
    assert {harbour.ACCOUNTS[row.contributor] for row, _ in told} <= accounts.keys()
    assert harbour.ACCOUNTS["late"] not in accounts
    declared = datanets.fetch(desk.world.connection.store, desk.service.registered.manifest.datanets[0].cid)
    assert declared.rows[-1].contributor == harbour.ACCOUNTS["late"]


def test_a_record_says_what_spans_pay_and_its_batch_the_rest(
    desk: Desk, answered: list[Receipt], batch: BatchHeader
) -> None:
    scores = fetch_action(answered[0].cid, desk.world.connection.store).content.scores
    assert (scores["shares"]["rule"], scores["shares"]["portions"]) == (RULE_V2, [])
    assert "contributor" not in {reason for _, _, reason, _ in scores["payouts"]}
    assert all(entry.influence is not None for entry in desk.batch(batch).entries)


# -- recomputed by a stranger ---------------------------------------------------------------------


def test_a_new_process_recomputes_influence_payouts_and_the_batchs_root(
    desk: Desk, answered: list[Receipt], batch: BatchHeader, elsewhere: Path
) -> None:
    told = fresh(desk, elsewhere, "recompute", answered[0].cid)
    assert told["found"] == "ok"
    assert found_in(told) == {
        "steps": "ok", "record": "ok", "shares": "ok", "payouts": "ok", "retrieval": "ok", "batch": "ok",
        "influence": "ok",
    }  # fmt: skip
    root = "0x" + batch.payout_root.hex()
    assert told["payoutRoot"] == {"anchored": root, "due": root}
    assert list((elsewhere / "gradients").glob("influence-*/rows.json")), "it took the gradients itself"


def test_the_receipt_has_influence_on_lines_of_its_own(
    desk: Desk, told: list[tuple[Row, Receipt]], batch: BatchHeader, elsewhere: Path
) -> None:
    row, receipt = told[0]
    shown = fresh(desk, elsewhere, "show", receipt.cid)
    assert (shown["addsUp"], shown["found"], shown["words"]) == (True, "unverified", [])
    first = max(shown["influence"], key=lambda line: int(line["wei"]))
    assert (first["row"], first["account"]) == (row.row, harbour.ACCOUNTS[row.contributor])
    assert first["rowText"] == row.text
    paid = sum(int(one["wei"]) for one in [*shown["influence"], *shown["others"]])
    assert paid == int(shown["fee"]) == receipt.record.fee
    (stated,) = shown["scores"]["influence"]
    assert sum(part for *_, part in stated["parts"]) <= PARTS


# -- what is stated, honestly or not --------------------------------------------------------------


def changed(desk: Desk, change: Callable[[Influence], Stated]) -> InfluenceFor:
    """Influence as anybody computes it, but for a change."""

    def get(manifest: Manifest, calls: Sequence[ModelCallStep]) -> list[Stated]:
        return [change(one) if isinstance(one, Influence) else one for one in desk.influence(manifest, calls)]

    return get


def test_numbers_of_another_machine_are_taken_as_they_are_stated(desk: Desk) -> None:
    """A step off, as another processor's rounding may be: every juror answers the anchored root."""

    def off(own: Influence) -> Influence:
        (source, part), *rest = own.parts
        saved = (own.saved[0] + GRID_SAVED, *own.saved[1:])
        return Influence(saved, ((source, part - GRID_PARTS), *rest))

    (receipt,) = desk.ask(FACTS[0][1].question)
    (header,) = desk.batcher(changed(desk, off)).anchor()
    found = desk.recompute(receipt.cid)
    assert found.found is Found.OK, found.lines
    assert found.batch is not None
    assert found.batch.root == header.payout_root
    (judged,) = found.batch.judged.values()
    assert judged.stated is not None
    assert judged.stated != judged.own
    assert judged.counted == list(judged.stated)


def test_a_crash_before_a_batch_is_sent_changes_nothing_of_what_it_states(desk: Desk) -> None:
    class Crash(Exception):
        pass

    class Dies(Batcher):
        def _send(self, row: Any) -> BatchHeader:
            raise Crash

    def nobody(manifest: Manifest, calls: Sequence[ModelCallStep]) -> list[Stated]:
        raise AssertionError("a batch that is fixed is not settled again")

    (receipt,) = desk.ask(FACTS[1][1].question)
    with pytest.raises(Crash):
        desk.batcher(desk.influence, Dies).anchor()
    (header,) = desk.batcher(nobody).anchor()
    assert header.first_nonce == receipt.record.nonce
    assert desk.recompute(receipt.cid).found is Found.OK


def test_a_liar_who_pays_a_friends_row_is_found_and_slashed_by_the_jury(desk: Desk) -> None:
    """The friend's row is declared and repeats nobody; the adapter never saw it."""
    connection, friend = desk.world.connection, harbour.ACCOUNTS["late"]
    sources = index_for(connection)(desk.service.registered.manifest).sources
    (row,) = [source for source in sources if source.contributor == friend]
    (receipt,) = desk.ask(FACTS[0][1].question)
    (header,) = desk.batcher(changed(desk, lambda own: replace(own, parts=((row, PARTS),)))).anchor()

    found = desk.recompute(receipt.cid)
    assert found.found is Found.DIFFERS
    assert {line.name for line in found.lines if line.found is Found.DIFFERS} == {"influence", "batch"}
    wrong = {one.account: (one.paid, one.due) for one in found.differences}
    paid, due = wrong[friend]
    assert paid > due == 0
    assert wrong[harbour.ACCOUNTS["ada"]][1] > wrong[harbour.ACCOUNTS["ada"]][0] == 0
    assert found.disputable_until is not None

    ledger, auditor = connection.ledger, connection.as_(desk.world.people.auditor)
    staked = ledger.stake_of(header.agent_id)
    outcome = hold_jury(
        challenge_shares(header, auditor), connection, _no_engine, examiners_for(connection, trainer=TRAINER)
    )
    assert outcome.convicted
    assert staked - ledger.stake_of(header.agent_id) == outcome.slashed == 80 * header.sum


def _no_engine(_base: object) -> Any:
    raise AssertionError("payouts need no engine")


def test_a_reason_is_no_excuse_where_influence_can_be_had(desk: Desk) -> None:
    (receipt,) = desk.ask(FACTS[2][1].question)
    desk.batcher(changed(desk, lambda own: NoInfluence("the disk was full"))).anchor()
    found = desk.recompute(receipt.cid)
    assert {line.name for line in found.lines if line.found is Found.DIFFERS} == {"influence", "batch"}
    assert {one.account for one in found.differences} >= {harbour.ACCOUNTS["cyd"]}


def test_who_cannot_compute_influence_calls_it_unverified(desk: Desk, answered: list[Receipt]) -> None:
    blind = replace(desk, influence=None)
    found = blind.recompute(answered[0].cid)
    assert found.found is Found.UNVERIFIED
    assert {line.name: line.found for line in found.lines}["shares"] is Found.UNVERIFIED
    assert "cannot be recomputed here" in {line.name: line.why for line in found.lines}["batch"]
