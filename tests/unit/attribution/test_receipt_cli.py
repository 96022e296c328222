"""``openledger attribution show``: a receipt from the content store alone, every wei of it, and nothing called verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from blocks import lose
from typer.testing import CliRunner, Result

from openledger import datanets
from openledger.attribution import (
    RULE_V2,
    Accounts,
    Influence,
    ModelUse,
    NoInfluence,
    Royalty,
    SpanIndex,
    Stated,
    divide_action,
    retrieval,
    scores_of,
)
from openledger.cli import app
from openledger.datanets import Datanet, Row
from openledger.errors import ContentError, OpenLedgerError, UserError
from openledger.registry import (
    ActionContent,
    ActionRecord,
    AssetRef,
    Domain,
    LocalStore,
    Manifest,
    ModelCallStep,
    ReplayClass,
    RetrievalStep,
    Sampling,
    SeedSource,
    SignedRecord,
    Split,
    Status,
    Step,
    cid_of,
    digest_of,
    steps_tree,
)
from openledger.settings import get_settings

ANN, BO = "0x" + "1" * 40, "0x" + "2" * 40
HERON = "A quick heron watches nine silver fish below the weir."
LAMP = "The lamp in the tower turns slowly and every boat knows it."
FEE = 10**18 + 7


@dataclass(frozen=True)
class Desk:
    """A store with a base's tokenizer, a datanet, and records over them."""

    store: LocalStore
    manifest: Manifest
    index: SpanIndex

    def step(self, output: str, prompt: str = "?") -> ModelCallStep:
        tokens, model = self.index.encode(output), self.manifest.models[0]
        return ModelCallStep(
            model.asset_id, model.cid, model.asset_id, model.cid, self.index.encode(prompt), tokens, [-1] * len(tokens),
            Sampling(0.0, 1.0, 0, 64), bytes(32), "cpu", "stop", "answer",
        )  # fmt: skip

    def scores(self, steps: list[Step], fee: int = FEE, influences: Any = None) -> dict[str, Any]:
        outputs = [step.output_tokens for step in steps if isinstance(step, ModelCallStep)]
        uses = [ModelUse(1, "0xmaker", len(tokens), (Royalty(9, "0xbase", 2000),)) for tokens in outputs]
        accounts = Accounts("0xtreasury", "0xoperator", "0xstakers")
        joined, payouts = divide_action(
            self.index, outputs, uses, fee, self.manifest.split, accounts, protocol_bps=500, audit_bps=200,
            influences=influences,
        )  # fmt: skip
        return scores_of(joined, payouts) | {"retrieval": retrieval(self.index, steps).to_block()}

    def record(self, steps: list[Step], scores: Any, status: Status = Status.OK) -> str:
        """The CID of a record with these scores."""
        for step in steps:
            self.store.put_blocks(step.encoded.blocks)
        content = ActionContent(
            self.manifest.cid, "desk", {"ask": 1}, "said", None, [step.cid for step in steps], "v1-spans", scores,
            None, 0, 1,
        )  # fmt: skip
        self.store.put_blocks(content.encoded.blocks)
        root = steps_tree([step.leaf(i) for i, step in enumerate(steps)]).root
        record = ActionRecord(
            3, 8, 1, BO, bytes(32), status, content.request_hash, content.output_hash, root, bytes(32), FEE,
            ReplayClass.EXACT_TOLERANCE, SeedSource.CLIENT, 0, digest_of(content.cid),
        )  # fmt: skip
        envelope = SignedRecord(record, bytes(65), Domain(1, "0x" + "3" * 40), content.cid)
        return self.store.put(envelope.encode())


@pytest.fixture
def desk(tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("OPENLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OPENLEDGER_CACHE", raising=False)
    get_settings.cache_clear()
    store = LocalStore(tmp_path / "home" / "content")
    net = Datanet(
        "river", "birds", (Row("r1", "ann", "CC-BY-4.0", HERON), Row("r2", "bo", "CC-BY-4.0", LAMP))
    )
    cid = datanets.publish(net, store, accounts={"ann": ANN, "bo": BO})
    base = store.add_path(tokenizer)
    manifest = Manifest(
        "desk", [AssetRef(1, base)], [], [AssetRef(2, cid)], "v1-spans", Split(3000, 2000, 500, 4500), "cpu", bytes(32)
    )  # fmt: skip
    store.put_blocks(manifest.encoded.blocks)
    index = datanets.span_index([cid], store, tokenizer, tmp_path / "cache")
    yield Desk(store, manifest, index)
    get_settings.cache_clear()


@pytest.fixture
def show() -> Callable[..., Result]:
    def show(*words: str, exits: int = 0, fails: type[OpenLedgerError] | None = None) -> Result:
        result = CliRunner().invoke(app, ["attribution", "show", *words], env={"COLUMNS": "220"})
        if fails is None:
            assert result.exit_code == exits, (result.output, result.exception)
        else:
            assert isinstance(result.exception, fails), (result.output, result.exception)
        return result

    return show


@pytest.fixture
def cid(desk: Desk) -> str:
    """An answer of a contributor's sentence, from a prompt with another's."""
    documents = {
        "documents": [{"text": LAMP, "metadata": {"row": "r2", "datanet_cid": desk.manifest.datanets[0].cid}}]
    }
    steps = [
        RetrievalStep(2, documents, desk.manifest.datanets[0].cid),
        desk.step(f"Well: {HERON} So it is.", prompt=f"{LAMP} What does the heron?"),
    ]
    return desk.record(steps, desk.scores(steps))


def test_the_lines_of_a_receipt_are_the_whole_fee(cid: str, show: Callable[..., Result]) -> None:
    told = json.loads(show(cid, "--json").stdout)
    assert told["rule"] == "v1-spans"
    assert told["addsUp"] is True
    (words,) = told["words"]
    assert HERON.startswith(words["text"])
    assert (words["row"], words["contributor"], words["rowText"]) == ("r1", ANN, HERON)
    reasons = [one["for"] for one in told["others"]]
    assert set(reasons) == {"protocol", "audit", "operator", "model", "royalty", "staker", "unattributed"}
    assert sum(int(one["wei"]) for one in [*told["words"], *told["others"]]) == FEE == int(told["fee"])


def test_the_scores_stand_beside_each_other_and_are_never_blended(
    cid: str, show: Callable[..., Result]
) -> None:
    told = json.loads(show(cid, "--json").stdout)
    span, seen, influence = (told["scores"][name] for name in ("span", "retrieval", "influence"))
    assert span["paid"] is True
    assert 0 < span["coveredBps"] < 10_000
    assert seen["paid"] is False
    assert [row[2:4] for row in seen["rows"]] == [["r2", BO]]
    assert influence is None
    assert BO not in {one["account"] for one in [*told["words"], *told["others"]]}, (
        "being retrieved is not paid"
    )


def test_a_person_reads_words_rows_wei_and_that_nothing_was_checked(
    cid: str, show: Callable[..., Result]
) -> None:
    told = show(cid).stdout
    assert "desk: action 8 of agent 3" in told
    assert HERON[:-1] in told
    assert "r1 of river" in told
    assert ANN in told
    assert f"{FEE:,}" in told
    assert "tokens of r2" in told
    assert "influence" in told
    assert "not computed" in told
    assert (
        f"unverified: this is what the record says; `openledger attribution recompute {cid}` checks it"
        in told
    )


def test_the_answer_is_shown_with_the_words_that_are_paid_in_colour(desk: Desk, tokenizer: Path) -> None:
    from openledger.staking import read_receipt
    from openledger.staking._receipt_view import _colours, _highlighted

    steps: list[Step] = [desk.step(HERON), desk.step(LAMP)]
    cid = desk.record(steps, desk.scores(steps))
    receipt = read_receipt(cid, store=desk.store, tokenizer_for=lambda _base: tokenizer / "tokenizer.json")
    paid = receipt.paid
    assert paid is not None
    pieces = [
        [(text.strip(), line.source.row) for text, line in one.pieces if line] for one in receipt.outputs
    ]
    assert pieces == [[(HERON, "r1")], [(LAMP, "r2")]]
    answer = f"He says: {HERON.upper()} And {LAMP}"
    text = _highlighted(answer, paid.lines, _colours(paid))
    marked = {answer[span.start : span.end]: str(span.style) for span in text.spans}
    assert marked == {HERON.upper(): "bold green", LAMP: "bold cyan"}
    assert text.plain == answer


def test_influence_has_lines_of_its_own_beside_the_words_and_all_are_the_whole_fee(
    desk: Desk, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record divides by spans alone; what its batch states adds the row that taught the rest."""
    from openledger.staking import read_receipt
    from openledger.staking._receipt_view import plain_receipt, print_receipt

    late = replace(desk, manifest=replace(desk.manifest, rule=RULE_V2))
    desk.store.put_blocks(late.manifest.encoded.blocks)
    steps: list[Step] = [late.step(HERON), late.step("Boats know its light."), late.step("So it is.")]
    lengths = [len(step.output_tokens) for step in steps if isinstance(step, ModelCallStep)]
    nothing = [Influence((0,) * length) for length in lengths]
    cid = late.record(steps, late.scores(steps, influences=nothing))
    lamp = desk.index.sources[1]
    stated: list[Stated] = [
        nothing[0],
        Influence((9000,) * lengths[1], ((lamp, 8000),)),
        NoInfluence("it is of the base model alone"),
    ]

    def receipt(found: Any) -> Any:
        tokens = lambda _base: tokenizer / "tokenizer.json"  # noqa: E731
        return read_receipt(cid, store=desk.store, tokenizer_for=tokens, stated=lambda _action: found)

    before, after = receipt(None), receipt((desk.index, stated))
    assert before.adds_up
    assert after.adds_up
    (line,) = after.paid.influenced
    assert (line.source.row, line.account) == ("r2", BO)
    assert after.text_of(line.source) == LAMP
    assert after.paid.lines == before.paid.lines, "words are paid the same"
    told = plain_receipt(after)
    assert sum(int(one["wei"]) for one in [*told["words"], *told["influence"], *told["others"]]) == FEE
    assert told["scores"]["influence"][2] == {"why": "it is of the base model alone"}
    print_receipt(before)
    assert "stated when the action is anchored" in " ".join(capsys.readouterr().out.split())
    print_receipt(after)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{line.wei:,}" in shown
    assert "of 1 row that taught it" in shown
    assert "output 2: nobody's" in shown


@pytest.mark.parametrize(
    ("words", "row", "shown"),
    [
        ("turns", "The lamp turns.", "The lamp turns."),
        ("turns", f"{'a' * 40} turns {'b' * 40}", f"…{'a' * 29} turns {'b' * 29}…"),
        ("not there", "b" * 80, f"{'b' * 39}…"),
        ("turns", None, "not to be had"),
    ],
)
def test_a_row_is_shown_where_the_words_stand_in_it(words: str, row: str | None, shown: str) -> None:
    from openledger.staking._receipt_view import _around

    assert _around(words, row) == shown


def test_what_was_not_computed_is_called_that(desk: Desk, show: Callable[..., Result]) -> None:
    steps: list[Step] = [desk.step(HERON)]
    scores = desk.scores(steps)
    del scores["retrieval"]
    told = json.loads(show(desk.record(steps, scores), "--json").stdout)
    assert told["scores"]["retrieval"] is told["scores"]["influence"] is None


def test_lines_that_do_not_add_up_are_called_that(desk: Desk, show: Callable[..., Result]) -> None:
    steps: list[Step] = [desk.step(HERON)]
    less = desk.record(steps, desk.scores(steps, FEE - 1))
    assert "DOES NOT ADD UP" in show(less, exits=4).stdout
    assert json.loads(show(less, "--json", exits=4).stdout)["addsUp"] is False


@pytest.mark.parametrize(
    ("scores", "why"),
    [({"refund": "the action failed"}, "the action failed: the fee goes back"), (None, "divides nothing")],
)
def test_an_action_that_pays_nobody_says_why(
    desk: Desk, show: Callable[..., Result], scores: Any, why: str
) -> None:
    cid = desk.record([], scores, Status.FAILED)
    assert why in show(cid).stdout
    told = json.loads(show(cid, "--json").stdout)
    assert told["paid"] is False
    assert why in told["why"]


def test_a_datanet_that_cannot_be_had_leaves_its_rows_without_text(
    desk: Desk, cid: str, show: Callable[..., Result]
) -> None:
    net = desk.manifest.datanets[0].cid
    lose(desk.store, net)
    assert "not to be had" in show(cid).stdout
    assert json.loads(show(cid, "--json").stdout)["words"][0]["rowText"] is None


def test_bad_input_is_named(desk: Desk, cid: str, show: Callable[..., Result]) -> None:
    show("nonsense", fails=UserError)
    refused = show(desk.manifest.datanets[0].cid, fails=ContentError)
    assert "is not an action record" in str(refused.exception)
    missing = show(cid_of(b"nowhere"), fails=ContentError)
    assert "is not in the store" in str(missing.exception)
    steps: list[Step] = [desk.step(HERON)]
    malformed = show(desk.record(steps, desk.scores(steps) | {"payouts": [[1]]}), fails=ContentError)
    assert "malformed" in str(malformed.exception)
    bare = replace(desk, manifest=replace(desk.manifest, models=()))
    desk.store.put_blocks(bare.manifest.encoded.blocks)
    steps = [desk.step(HERON)]
    unread = show(bare.record(steps, desk.scores(steps)), fails=ContentError)
    assert "names no base model" in str(unread.exception)
    shutil.rmtree(desk.store.root)
    show(cid, fails=ContentError)
