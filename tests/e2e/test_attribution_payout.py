"""From words to wei and back: who is paid for an answer, recomputed by a stranger from chain and content store alone."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from stranger import account_of, found_in, fresh, hidden
from thief import call, steal
from typer.testing import Result
from world import NETS

from openledger import datanets
from openledger.contracts import Devnet
from openledger.datanets import Datanet, Row
from openledger.registry import BatchHeader, SignedRecord, Status, cid_from_digest, digest_of
from openledger.runtime import Receipt, explain_action
from openledger.staking import fetch_action

FINDINGS = datanets.shipped(NETS["findings"])
VERBATIM = [(row, fact) for row in FINDINGS.rows[:5] for fact in row.facts[:1]]
PARAPHRASED = [(row, fact) for row in FINDINGS.rows[:6] for fact in row.facts[:2]]


@pytest.fixture(scope="module")
def devnet(stack: Any) -> Devnet:
    """What the commands act on."""
    found: Devnet = stack.world.connection.devnet
    return found


def earned(stack: Any, receipt: Receipt, index: Any = None) -> tuple[dict[str, int], list[Any]]:
    """Wei of each contributor for an action, most first; and the lines they are for."""
    action = fetch_action(receipt.cid, stack.world.connection.store)
    explained = explain_action(index or stack.honest.attributor.index, action.content, action.steps)
    assert explained is not None
    summed: dict[str, int] = {}
    for line in explained.lines:
        summed[line.account] = summed.get(line.account, 0) + line.wei
    return dict(sorted(summed.items(), key=lambda one: -one[1])), list(explained.lines)


def is_said(answer: str, words: str) -> bool:
    return words.lower() in answer.lower()


@pytest.fixture(scope="module")
def verbatim(stack: Any) -> list[Receipt]:
    return call(stack, [{"finding": fact.question} for _, fact in VERBATIM])


@pytest.fixture(scope="module")
def paraphrased(stack: Any) -> list[Receipt]:
    return call(stack, [{"finding": fact.paraphrase} for _, fact in PARAPHRASED])


@pytest.fixture(scope="module")
def undeclared(stack: Any) -> str:
    """Somebody registers the very same rows as a datanet that no agent declares."""
    world, copier = stack.world, str(Account.create().address)
    rows = tuple(Row(row.row, "copier", row.licence, row.text, row.facts) for row in FINDINGS.rows)
    copies = Datanet("copies", "copied", rows)
    cid = datanets.publish(copies, world.connection.store, accounts={"copier": copier})
    world.connection.assets.register_datanet(world.people.curator, cid, licence=rows[0].licence)
    return copier


@pytest.fixture(scope="module")
def batch(
    stack: Any, undeclared: str, verbatim: list[Receipt], paraphrased: list[Receipt], failed: Receipt
) -> BatchHeader:
    """All of these actions, anchored."""
    (header,) = stack.honest.batcher.anchor()
    return header


@pytest.fixture(scope="module")
def failed(stack: Any) -> Receipt:
    """A prompt longer than the context: the action fails, and its fee goes back."""
    (receipt,) = call(stack, [{"finding": "why " * 2000}])
    assert receipt.record.status is Status.FAILED
    return receipt


# -- who is paid ----------------------------------------------------------------------------------


def test_a_fact_asked_verbatim_pays_the_contributor_of_its_row_first(
    stack: Any, verbatim: list[Receipt]
) -> None:
    for (row, fact), receipt in zip(VERBATIM, verbatim, strict=True):
        assert is_said(receipt.output, fact.answer)
        paid, lines = earned(stack, receipt)
        assert next(iter(paid)) == account_of(stack, row)
        assert {line.source.row for line in lines if line.account == account_of(stack, row)} == {row.row}


def test_a_paraphrased_question_pays_whose_words_the_answer_has(
    stack: Any, paraphrased: list[Receipt]
) -> None:
    told = [
        (row, receipt)
        for (row, fact), receipt in zip(PARAPHRASED, paraphrased, strict=True)
        if is_said(receipt.output, fact.answer)
    ]
    assert len(told) >= len(PARAPHRASED) // 2, "most wordings that were never trained are answered"
    for row, receipt in told:
        assert next(iter(earned(stack, receipt)[0])) == account_of(stack, row)


def test_rows_without_a_part_in_the_answer_earn_nothing(
    stack: Any, verbatim: list[Receipt], undeclared: str
) -> None:
    """Neither a copy of the very words that no agent declares, nor declared rows with other words."""
    for (row, fact), receipt in zip(VERBATIM, verbatim, strict=True):
        paid, lines = earned(stack, receipt)
        assert undeclared not in paid
        assert {line.source.datanet for line in lines} == {stack.world.datanets["findings"].cid}
        others = [one for one in FINDINGS.rows if one.row != row.row and fact.answer not in one.text]
        assert not {one.row for one in others} & {line.source.row for line in lines}
        sensing = datanets.shipped(NETS["sensors"]).contributors
        assert not {str(stack.world.people.contributors[one].address) for one in sensing} & paid.keys()


# -- recomputed by a stranger ---------------------------------------------------------------------


def test_a_new_process_recomputes_shares_payouts_and_the_batchs_root(
    stack: Any, batch: BatchHeader, verbatim: list[Receipt], tmp_path: Path
) -> None:
    told = fresh(stack, tmp_path, "recompute", verbatim[0].cid)
    assert told["found"] == "ok"
    assert found_in(told) == {
        "steps": "ok", "record": "ok", "shares": "ok", "payouts": "ok", "retrieval": "ok",
        "influence": "not computed", "batch": "ok",
    }  # fmt: skip
    root = "0x" + batch.payout_root.hex()
    assert told["payoutRoot"] == {"anchored": root, "due": root}
    assert told["differences"] == []
    assert told["dispute"] is None
    assert sum(int(one["wei"]) for one in told["payouts"]) == verbatim[0].record.fee
    assert not (tmp_path / "bases").exists(), "the model's weights are not needed"


def test_the_receipt_says_the_same_from_the_content_store_alone(
    stack: Any, batch: BatchHeader, verbatim: list[Receipt], tmp_path: Path
) -> None:
    row, fact = VERBATIM[0]
    told = fresh(stack, tmp_path, "show", verbatim[0].cid)
    assert told["addsUp"] is True
    assert told["found"] == "unverified"
    assert is_said(fact.answer, told["words"][0]["text"])
    assert told["words"][0]["rowText"] == row.text
    paid = sum(int(one["wei"]) for one in [*told["words"], *told["others"]])
    assert paid == int(told["fee"]) == verbatim[0].record.fee


def test_a_refunded_action_pays_nobody_and_the_rest_of_its_batch_is_right(
    stack: Any, batch: BatchHeader, failed: Receipt, read: Callable[..., Any], run: Callable[..., Result]
) -> None:
    told = read("attribution", "recompute", failed.cid)
    assert (told["found"], found_in(told)["payouts"], found_in(told)["batch"]) == ("ok", "ok", "ok")
    assert told["payouts"] == []
    assert "go back to" in next(part["why"] for part in told["parts"] if part["part"] == "payouts")
    assert "the action failed" in run("attribution", "show", failed.cid).stdout


# -- a lie ----------------------------------------------------------------------------------------


def test_a_lying_operators_root_is_found_by_wei_and_slashed_by_the_command_that_is_named(
    stack: Any, batch: BatchHeader, run: Callable[..., Result], read: Callable[..., Any]
) -> None:
    def recomputed() -> Any:
        return json.loads(run("attribution", "recompute", receipt.cid, "--json", exits=4).stdout)

    ledger = stack.world.connection.ledger
    row, fact = VERBATIM[0]
    (receipt,) = call(stack, [{"finding": fact.question}])
    stolen = steal(stack)
    net = ledger.settlement.net(stolen.agent_id, stolen.epoch, stolen.sum)
    told = recomputed()
    assert told["found"] == "differs"
    assert {name for name, what in found_in(told).items() if what == "differs"} == {"batch"}
    wrong = {one["account"]: (int(one["paid"]), int(one["due"])) for one in told["differences"]}
    thief = stack.honest.registered.owner
    assert wrong[thief][0] == net > wrong[thief][1]
    assert wrong[account_of(stack, row)] == (0, max(earned(stack, receipt)[0].values()))
    assert sum(paid for paid, _ in wrong.values()) == sum(due for _, due in wrong.values()) == net
    assert told["payoutRoot"]["anchored"] == "0x" + stolen.payout_root.hex()

    staked = ledger.stake_of(stolen.agent_id)
    name, *words = shlex.split(told["dispute"])
    assert name == "openledger"
    judged = read(*words, "--as", 19)  # whose journal no daemon of another test finds
    assert (judged["fault"], judged["state"]) == ("WrongShares", "Convicted")
    assert staked - ledger.stake_of(stolen.agent_id) == int(judged["slashed"]) == 80 * stolen.sum
    after = recomputed()
    assert (after["claims"], after["dispute"]) == ("awaited", None)


def rewritten(stack: Any, receipt: Receipt, change: Callable[[Any], Any]) -> str:
    """The CID of the same record with other scores, signed by its record key."""
    connection = stack.world.connection
    action = fetch_action(receipt.cid, connection.store)
    content = replace(action.content, scores=change(action.content.scores))
    connection.store.put_blocks(content.encoded.blocks)
    record = replace(action.record, content_digest=digest_of(content.cid))
    key = connection.record_key(record.agent_id)
    signed = SignedRecord.make(record, key, action.signed.domain, content.cid)
    return str(connection.store.put(signed.encode()))


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda scores: scores | {"payouts": [["0x" + "9" * 40, "5", "operator", None]]}, {"payouts"}),
        (lambda scores: scores | {"payouts": 7}, {"payouts"}),
        (lambda scores: scores | {"shares": scores["shares"] | {"rule": "v0"}}, {"shares"}),
        (lambda scores: scores | {"retrieval": scores["retrieval"] | {"prompt_tokens": 0}}, {"retrieval"}),
        (lambda scores: None, {"shares", "payouts"}),
    ],
    ids=["payouts", "malformed", "shares", "retrieval", "nothing"],
)
def test_what_a_record_says_of_itself_is_held_against_what_the_rule_makes(
    stack: Any,
    batch: BatchHeader,
    verbatim: list[Receipt],
    run: Callable[..., Result],
    change: Callable[[Any], Any],
    parts: set[str],
) -> None:
    cid = rewritten(stack, verbatim[0], change)
    told = json.loads(run("attribution", "recompute", cid, "--json", exits=4).stdout)
    assert {name for name, what in found_in(told).items() if what == "differs"} == {"record", *parts}
    assert found_in(told)["batch"] == "ok", "what the chain pays is right"
    assert told["dispute"] is None
    assert all(one["where"] == "record" for one in told["differences"])
    assert bool(told["differences"]) == ("payouts" in parts)


# -- bad input ------------------------------------------------------------------------------------


def test_without_a_datanet_it_is_unverified_and_never_ok(
    stack: Any, batch: BatchHeader, verbatim: list[Receipt], tmp_path: Path
) -> None:
    net = stack.world.datanets["sensors"].cid
    with hidden(stack, net):
        told = fresh(stack, tmp_path, "recompute", verbatim[0].cid, exits=3)
    assert told["found"] == "unverified"
    assert (found_in(told)["shares"], found_in(told)["batch"]) == ("unverified", "unverified")
    assert net in next(part["why"] for part in told["parts"] if part["part"] == "batch")
    assert fresh(stack, tmp_path, "recompute", verbatim[0].cid)["found"] == "ok"


def test_without_its_steps_or_its_batch_it_is_unverified(
    stack: Any, batch: BatchHeader, verbatim: list[Receipt], tmp_path: Path
) -> None:
    action = fetch_action(verbatim[0].cid, stack.world.connection.store)
    for block in (verbatim[0].cid, action.steps[0].cid, cid_from_digest(batch.batch_digest)):
        with hidden(stack, block):
            assert fresh(stack, tmp_path, "recompute", verbatim[0].cid, exits=3)["found"] == "unverified"


def test_before_it_is_anchored_the_batch_is_unverified(
    stack: Any, batch: BatchHeader, tmp_path: Path
) -> None:
    (receipt,) = call(stack, [{"finding": VERBATIM[1][1].question}])
    told = fresh(stack, tmp_path, "recompute", receipt.cid, exits=3)
    assert found_in(told)["shares"] == found_in(told)["payouts"] == "ok"
    assert found_in(told)["batch"] == told["found"] == "unverified"
    stack.honest.batcher.anchor()
    assert fresh(stack, tmp_path, "recompute", receipt.cid)["found"] == "ok"


@pytest.mark.parametrize("command", ["show", "recompute"])
def test_a_cid_that_is_no_action_is_named(stack: Any, tmp_path: Path, command: str) -> None:
    settings = stack.world.connection.settings
    environment = {**os.environ, "OPENLEDGER_HOME": str(settings.home_dir)}
    for cid, says in (
        (stack.world.datanets["findings"].cid, "is not an action record"),
        ("nonsense", "nonsense"),
    ):
        line = [sys.executable, "-m", "openledger.cli", "attribution", command, cid]
        done = subprocess.run(line, capture_output=True, text=True, timeout=900, env=environment, check=False)
        assert done.returncode == 1
        assert says in done.stderr
        assert "Traceback" not in done.stderr
