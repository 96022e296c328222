"""Bad input on the real stack: a clear error that names cause and fix, and nothing lost."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blocks import tamper
from safetensors.numpy import load_file, save_file

from openledger.errors import ContentError, OpenLedgerError, UserError
from openledger.openlora import AdapterRef, GenerationRequest, Sampling
from openledger.registry import Status, child_cid
from openledger.registry.store._unixfs import links_of
from openledger.staking import verify

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def published(stack: Any, tmp_path: Path) -> AdapterRef:
    """A registered adapter of its own for each test: the findings one, with a mark in its weights' header that no adapter
    has had before."""
    world = stack.world
    copy = tmp_path / "adapter"
    shutil.copytree(world.trained.adapters["findings"], copy)
    weights = copy / "adapter_model.safetensors"
    save_file(load_file(weights), weights, {"mark": secrets.token_hex(16)})
    cid = world.connection.store.add_path(copy)
    parents = [world.base.asset_id, world.datanets["findings"].asset_id]
    return AdapterRef(
        world.connection.assets.register_adapter(world.people.model_maker, cid, parents=parents), cid
    )


def generate(stack: Any, adapter: AdapterRef) -> Any:
    prompt = tuple(stack.pool.tokenizer.encode("Question: what?\nAnswer:"))
    return stack.pool.generate(GenerationRequest(prompt, adapter, Sampling(max_tokens=2), bytes(32)))


def test_a_registered_adapter_is_served(stack: Any, published: AdapterRef) -> None:
    assert len(generate(stack, published).tokens) >= 1


def test_an_adapter_with_one_flipped_byte_is_refused(stack: Any, published: AdapterRef) -> None:
    store = stack.world.connection.store
    weights = child_cid(published.cid, "adapter_model.safetensors", store.get)
    marked, *_ = links_of(store.get(weights), weights)  # the rest is the findings adapter's too
    data = bytearray(store.get(marked))
    assert b'"mark"' in data
    data[len(data) // 2] ^= 1
    tamper(store, marked, bytes(data))
    with pytest.raises(ContentError, match="other bytes"):
        generate(stack, published)


def test_an_unregistered_adapter_is_refused(stack: Any, published: AdapterRef) -> None:
    with pytest.raises(UserError, match="not registered"):
        generate(stack, AdapterRef(999_999, published.cid))


def test_a_digest_the_registry_does_not_name_is_refused(stack: Any, published: AdapterRef) -> None:
    other = stack.world.adapters["findings"]
    with pytest.raises(UserError, match="not registered for it"):
        generate(stack, AdapterRef(published.asset_id, stack.world.adapters["sensors"].cid))
    assert generate(stack, other).adapter == other


def test_a_revoked_adapter_is_refused(stack: Any, published: AdapterRef) -> None:
    world = stack.world
    world.connection.assets.tombstone(world.people.model_maker, published.asset_id)
    with pytest.raises(UserError, match="revoked"):
        generate(stack, published)


def test_a_payment_for_another_request_is_refused(stack: Any) -> None:
    from dataclasses import replace

    operator = stack.honest.operator
    paid = stack.client.prepare(operator.agent_id, {"finding": "a?"}, operator.agent.price)
    forged = replace(paid, request={**paid.request, "input": {"finding": "b?"}})
    with pytest.raises(UserError, match="not the client's"):
        operator.submit(forged)


def test_a_client_without_money_is_told_so(stack: Any) -> None:
    from eth_account import Account

    from openledger.runtime import Client

    poor = Account.create()
    client = Client(poor, stack.world.connection.as_(poor))
    operator = stack.honest.operator
    with pytest.raises(UserError, match="cannot pay"):
        client.call(operator, operator.agent_id, {"finding": "?"}, operator.agent.price)


def test_an_agent_whose_stake_is_used_up_takes_no_payment(stack: Any) -> None:
    """A fee beyond a quarter of the stake would not be covered; the operator refuses before collecting."""
    operator = stack.honest.operator
    before = stack.world.connection.ledger.balance(stack.client.address)
    with pytest.raises(UserError, match="too little stake"):
        stack.client.call(operator, operator.agent_id, {"finding": "?"}, 10**21)
    assert stack.world.connection.ledger.balance(stack.client.address) == before


def test_a_node_that_raises_fails_the_action_with_its_own_words(stack: Any) -> None:
    operator = stack.honest.operator
    receipt = stack.client.call(operator, operator.agent_id, {"finding": 7}, operator.agent.price)
    assert receipt.record.status is Status.FAILED
    assert receipt.output["code"] == "graph"


@pytest.mark.parametrize("cid", ["", "nonsense", "bafy", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG/x"])
def test_a_malformed_cid_is_named(stack: Any, cid: str) -> None:
    connection = stack.world.connection
    with pytest.raises(UserError):
        verify(cid, store=connection.store, ledger=connection.ledger, replayer=None)


def test_a_cid_that_is_no_record_is_named(stack: Any) -> None:
    connection = stack.world.connection
    report = verify(stack.world.datanets["findings"].cid, store=connection.store, ledger=None, replayer=None)
    assert "is not an action record" in report.summary


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    import os

    environment = {**os.environ, "OPENLEDGER_HOME": str(home), "COLUMNS": "200"}
    line = [sys.executable, "-m", "openledger.cli", *words]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=900, env=environment, check=False, cwd=ROOT
    )


def test_the_command_line_prints_cause_and_fix_and_no_traceback(tmp_path: Path) -> None:
    done = command(tmp_path, "verify", "nonsense")
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_verifies_from_the_cid_alone(stack: Any) -> None:
    operator = stack.honest.operator
    receipt = stack.client.call(
        operator, operator.agent_id, {"finding": "How was Brindlow Vault fixed?"}, 10**17
    )
    stack.honest.batcher.anchor()
    done = command(stack.world.connection.settings.home_dir, "verify", receipt.cid)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("verified")


def test_a_local_run_gives_the_same_kind_of_record(settings: Any, world: Any) -> None:
    from openledger import run
    from openledger.agents import load_agent

    done = run(
        load_agent(str(ROOT / "examples/desk.py:desk")), "How was Brindlow Vault fixed?", settings=settings
    )
    assert done.signed.record.status is Status.OK
    assert done.explanation is not None
    report = verify(done.cid, store=world.connection.store, ledger=None, replayer=None)
    assert report.verdict == "unverified"
    assert json.dumps(done.signed.record.to_json())


def test_a_local_run_of_an_on_chain_adapter_says_how_to_get_one(settings: Any) -> None:
    from openledger import agent, run

    subject = agent("subject", adapters={"a": 12})(lambda: None)
    with pytest.raises(OpenLedgerError, match="cannot be had without a chain"):
        run(subject, "?", settings=settings)
