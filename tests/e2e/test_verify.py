"""Every check of a record fails on exactly the lie it is there for, told by an operator who holds the record key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import loop
import pytest
from eth_account import Account

from openledger.openlora import Tolerances
from openledger.registry import ActionContent, ModelCallStep, SignedRecord, Step, digest_of, steps_tree
from openledger.staking import Verdict, fetch_action, verify


@pytest.fixture(scope="module")
def cid(stack: Any) -> str:
    operator = stack.honest.operator
    receipt = stack.client.call(
        operator, operator.agent_id, loop.questions(1, seed=8)[0], operator.agent.price
    )
    stack.honest.batcher.anchor()
    return str(receipt.cid)


def relabel(stack: Any, step: ModelCallStep) -> ModelCallStep:
    """Names an asset that the manifest declares, but as a datanet."""
    net = stack.world.datanets["findings"]
    return replace(step, asset_id=net.asset_id, content=net.cid)


LIES: dict[str, Callable[[Any, ActionContent, list[Step]], tuple[ActionContent, list[Step]]]] = {
    "seed": lambda stack, content, steps: (content, [replace(steps[0], seed=bytes(32)), *steps[1:]]),
    "manifest": lambda stack, content, steps: (content, [relabel(stack, steps[0]), *steps[1:]]),
    "payment": lambda stack, content, steps: (
        replace(content, payment=replace(content.payment, salt=bytes(32))),
        steps,
    ),
    "payer": lambda stack, content, steps: (
        replace(content, payment=replace(content.payment, valid_before=content.payment.valid_before + 1)),
        steps,
    ),
}


def failed(stack: Any, cid: str) -> set[str]:
    connection = stack.world.connection
    report = verify(cid, store=connection.store, ledger=connection.ledger, replayer=None)
    return {check.name for check in report.checks if check.verdict is Verdict.MISMATCH}


def test_the_honest_record_has_no_mismatch(stack: Any, cid: str) -> None:
    assert failed(stack, cid) == set()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_fails_its_own_check_and_the_anchor(stack: Any, cid: str, lie: str) -> None:
    store = stack.world.connection.store
    action = fetch_action(cid, store)
    content, steps = LIES[lie](stack, action.content, list(action.steps))
    for step in steps:
        store.put_blocks(step.encoded.blocks)
    content = replace(content, steps=[step.cid for step in steps])
    store.put_blocks(content.encoded.blocks)
    root = steps_tree([step.leaf(i) for i, step in enumerate(steps)]).root
    record = replace(action.record, steps_root=root, content_digest=digest_of(content.cid))
    key = stack.world.connection.record_key(record.agent_id)
    signed = SignedRecord.make(record, key, action.signed.domain, content.cid)
    # Another salt is another authorization, so the client's signature fails with it.
    expected = {lie, "anchor"} | ({"payer"} if lie == "payment" else set())
    assert failed(stack, store.put(signed.encode())) == expected


@pytest.mark.parametrize(
    ("field", "check"), [("output_hash", "output"), ("request_hash", "request"), ("steps_root", "steps")]
)
def test_a_record_that_names_other_content_than_it_has(stack: Any, cid: str, field: str, check: str) -> None:
    store = stack.world.connection.store
    action = fetch_action(cid, store)
    record = replace(action.record, **{field: bytes(32)})
    key = stack.world.connection.record_key(record.agent_id)
    signed = SignedRecord.make(record, key, action.signed.domain, action.signed.content)
    assert {check, "anchor"} <= failed(stack, store.put(signed.encode()))


def test_another_key_than_the_epochs(stack: Any, cid: str) -> None:
    store = stack.world.connection.store
    action = fetch_action(cid, store)
    signed = SignedRecord.make(action.record, Account.create(), action.signed.domain, action.signed.content)
    assert failed(stack, store.put(signed.encode())) == {"signature"}


def calibrated(stack: Any, *arguments: object) -> Any:
    """What ``openledger verify calibrate`` prints, as a user of this home would run it."""
    settings = stack.world.connection.settings
    environment = os.environ | {
        "OPENLEDGER_HOME": str(settings.home_dir),
        "OPENLEDGER_CACHE": str(settings.cache_dir),
    }
    command = [sys.executable, "-m", "openledger.cli", "verify", "calibrate", "--json", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_calibrating_replays_what_this_machine_makes_on_an_engine_started_anew(stack: Any) -> None:
    world = stack.world
    adapters = [option for adapter in world.adapters.values() for option in ("--adapter", adapter.asset_id)]
    found = calibrated(stack, "--base", world.base.asset_id, *adapters, "--tokens", 3000)
    assert found["prover"] == found["verifier"] == stack.pool.engine_class
    assert found["tokens"] >= 3000
    assert found["exceeded_tokens"] == 0
    assert 0 == found["false_positives"] < found["false_positives_95"] < 3 / 3000
    kept = Tolerances(world.connection.settings.home_dir / "tolerances.json").calibrated
    assert [one.tokens for one in kept] == [found["tokens"]]
