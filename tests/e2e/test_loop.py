"""The whole loop on the real stack: pay, act, record, anchor, verify, challenge, slash, pay out."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import loop
import pytest
from world import OPEN

from openledger.errors import ChainError, ChallengeError, UserError
from openledger.registry import ModelCallStep, SeedSource, SignedRecord, Status
from openledger.runtime import Receipt, Service, explain_action
from openledger.staking import (
    Outcome,
    Report,
    Verdict,
    audit,
    build_evidence,
    fetch_action,
    hold_jury,
    open_challenge,
    prove_equivocation,
    verify,
)


@pytest.fixture(scope="module")
def asked() -> list[dict[str, str]]:
    return loop.questions(3, seed=5)


def call_all(stack: Any, service: Service, asked: list[dict[str, str]]) -> list[Receipt]:
    operator = service.operator
    made = [stack.client.call(operator, operator.agent_id, value, operator.agent.price) for value in asked]
    service.batcher.anchor()
    return made


@pytest.fixture(scope="module")
def honest(stack: Any, asked: list[dict[str, str]]) -> list[Receipt]:
    return call_all(stack, stack.honest, asked)


@pytest.fixture(scope="module")
def faked(stack: Any, asked: list[dict[str, str]]) -> list[Receipt]:
    return call_all(stack, stack.cheat, asked)


def check(stack: Any, receipt: Receipt, **changed: Any) -> Report:
    connection = stack.world.connection
    given = {"store": connection.store, "ledger": connection.ledger, "replayer": lambda _base: stack.pool}
    return verify(receipt.cid, **{**given, **changed})


def test_a_record_holds_request_answer_steps_and_lineage(
    stack: Any, honest: list[Receipt], asked: Any
) -> None:
    action = fetch_action(honest[0].cid, stack.world.connection.store)
    assert action.record.status is Status.OK
    assert action.record.seed_source is SeedSource.CLIENT
    assert action.content.request["input"] == asked[0]
    assert action.content.output == honest[0].output
    findings, sensors = action.steps
    assert isinstance(findings, ModelCallStep)
    assert isinstance(sensors, ModelCallStep)
    assert (findings.node, sensors.node) == ("findings", "sensors")
    assert (findings.asset_id, findings.content) == (
        stack.world.adapters["findings"].asset_id,
        stack.world.adapters["findings"].cid,
    )


def test_honest_actions_verify_from_the_cid_alone(stack: Any, honest: list[Receipt]) -> None:
    for receipt in honest:
        report = check(stack, receipt)
        assert report.summary == "verified", report.checks
        assert report.tokens_replayed > 8


def test_a_swapped_adapter_is_named_to_the_token(stack: Any, faked: list[Receipt]) -> None:
    for receipt in faked:
        report = check(stack, receipt)
        assert report.verdict is Verdict.MISMATCH
        assert report.step == 0  # the findings node; the sensors node was served as declared
        assert report.token is not None
        assert f"mismatch at step 0 token {report.token}" in report.summary


def test_without_chain_or_engine_nothing_is_called_verified(stack: Any, honest: list[Receipt]) -> None:
    assert check(stack, honest[0], ledger=None).verdict is Verdict.UNVERIFIED
    assert check(stack, honest[0], replayer=None).verdict is Verdict.UNVERIFIED


def test_an_audit_sees_both_agents(stack: Any, honest: list[Receipt], faked: list[Receipt]) -> None:
    connection = stack.world.connection
    found = audit(
        connection.ledger, connection.store, lambda _base: stack.pool, sample=100, rng=random.Random(1)
    )
    verdicts = {report.cid: report.verdict for _, _, report in found}
    assert {verdicts[receipt.cid] for receipt in honest} == {Verdict.VERIFIED}
    assert {verdicts[receipt.cid] for receipt in faked} == {Verdict.MISMATCH}


def dispute(stack: Any, cid: str, step: int, token: int) -> tuple[Outcome, int]:
    """Hold a dispute; returns its outcome and what the challenger gained or lost, in wei."""
    connection, people = stack.world.connection, stack.world.people
    ledger = connection.as_(people.auditor)
    before = ledger.balance(ledger.address)
    evidence = build_evidence(cid, step, token, store=connection.store, ledger=ledger)
    outcome = hold_jury(open_challenge(evidence, ledger), connection, lambda _base: stack.pool)
    return outcome, ledger.balance(ledger.address) - before


def test_a_cheat_is_slashed_and_every_wei_of_it_accounted_for(stack: Any, faked: list[Receipt]) -> None:
    ledger = stack.world.connection.ledger
    agent_id = stack.cheat.registered.agent_id
    staked, paid = ledger.stake_of(agent_id), ledger.balance(stack.client.address)
    report = check(stack, faked[0])
    assert report.replay is not None
    assert report.replay.gross
    outcome, gain = dispute(stack, faked[0].cid, report.step or 0, report.replay.evidence or 0)
    assert outcome.convicted
    assert staked - ledger.stake_of(agent_id) == outcome.slashed == 80 * faked[0].record.fee
    assert outcome.slashed == outcome.burned + outcome.to_challenger + outcome.to_client + outcome.to_jury
    assert outcome.burned * 2 >= outcome.slashed
    assert ledger.balance(stack.client.address) - paid == outcome.to_client >= faked[0].record.fee
    assert gain == outcome.to_challenger > 0


def test_a_challenge_of_an_honest_record_loses_its_bond(stack: Any, honest: list[Receipt]) -> None:
    ledger = stack.world.connection.ledger
    staked = ledger.stake_of(stack.honest.registered.agent_id)
    outcome, gain = dispute(stack, honest[0].cid, 0, 0)
    assert outcome.state == "Acquitted"
    assert gain < 0
    assert ledger.stake_of(stack.honest.registered.agent_id) == staked


def test_two_signatures_for_one_nonce_are_slashed_at_once(stack: Any, faked: list[Receipt]) -> None:
    """The record key itself signs a second, different record: what only a dishonest operator does."""
    connection = stack.world.connection
    signed = faked[1].signed
    other = replace(signed.record, output_hash=bytes(32))
    key = connection.record_key(other.agent_id)
    forged = SignedRecord.make(other, key, signed.domain, signed.content)
    before = connection.ledger.stake_of(other.agent_id)
    prove_equivocation(signed, forged, connection.as_(stack.world.people.auditor))
    assert connection.ledger.stake_of(other.agent_id) < before


def test_one_record_twice_is_no_equivocation(stack: Any, honest: list[Receipt]) -> None:
    with pytest.raises(ChainError, match="NoConflict"):
        prove_equivocation(
            honest[0].signed, honest[0].signed, stack.world.connection.as_(stack.world.people.auditor)
        )


def test_evidence_must_be_a_generated_token_of_an_anchored_action(stack: Any, honest: list[Receipt]) -> None:
    connection = stack.world.connection
    for step, token, message in ((9, 0, "step 9 is no model call"), (0, 999, "no token 999")):
        with pytest.raises(ChallengeError, match=message):
            build_evidence(honest[0].cid, step, token, store=connection.store, ledger=connection.ledger)


def test_contributors_of_the_words_are_paid_after_the_window(
    stack: Any, honest: list[Receipt], asked: Any
) -> None:
    connection, people = stack.world.connection, stack.world.people
    ledger = connection.ledger

    def wealth(account: str) -> int:
        return ledger.balance(account) + ledger.settlement.credit_of(
            account
        )  # small amounts accrue in the pool

    before = {handle: wealth(str(a.address)) for handle, a in people.contributors.items()}
    escrow = ledger.balance(ledger.payments.escrow_of(stack.honest.registered.agent_id))
    assert escrow == sum(receipt.record.fee for receipt in honest)
    assert stack.honest.batcher.settle() == 0  # the window is still open
    connection.chain.advance(ledger.parameter("challengeWindow") + 1)
    assert stack.honest.batcher.settle() >= 1
    assert stack.honest.batcher.settle() == 0
    assert ledger.balance(ledger.payments.escrow_of(stack.honest.registered.agent_id)) == 0
    earned = {h: wealth(str(a.address)) - before[h] for h, a in people.contributors.items()}
    expected: dict[str, int] = dict.fromkeys(people.contributors, 0)
    handles = {str(a.address): h for h, a in people.contributors.items()}
    for receipt in honest:
        action = fetch_action(receipt.cid, connection.store)
        explained = explain_action(stack.honest.attributor.index, action.content, action.steps)
        assert explained is not None
        assert explained.lines, "the answer was memorised from some row"
        for line in explained.lines:
            expected[handles[line.account]] += line.wei
        assert (
            sum(line.wei for line in explained.lines) + sum(p.amount for p in explained.others)
            == receipt.record.fee
        )
    assert earned == expected
    assert sum(earned.values()) > 0


def test_a_final_batch_can_no_longer_be_challenged(stack: Any, honest: list[Receipt]) -> None:
    with pytest.raises(ChainError) as refused:
        dispute(stack, honest[1].cid, 0, 0)
    assert refused.value.revert is not None


def test_the_same_payment_gets_the_same_receipt(stack: Any, asked: Any) -> None:
    operator = stack.honest.operator
    paid = stack.client.prepare(operator.agent_id, asked[0], operator.agent.price)
    first = operator.submit(paid)
    before = stack.world.connection.ledger.balance(stack.client.address)
    assert operator.submit(paid) == first
    assert stack.world.connection.ledger.balance(stack.client.address) == before


def test_copies_of_one_request_at_once_run_and_pay_once(stack: Any, asked: Any) -> None:
    operator, ledger = stack.honest.operator, stack.world.connection.ledger
    paid = stack.client.prepare(operator.agent_id, asked[1], operator.agent.price)
    before = ledger.balance(stack.client.address)
    with ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(operator.submit, [paid] * 8))
    assert len({receipt.cid for receipt in receipts}) == 1
    assert before - ledger.balance(stack.client.address) == operator.agent.price


def relay(stack: Any, payment: Any, nonce: bytes) -> None:
    """Submit an authorization as anyone may."""
    ledger = stack.world.connection.as_(stack.world.people.auditor)
    ledger.payments.collect(payment, nonce)


def test_a_payment_relayed_by_somebody_else_is_taken_as_paid(stack: Any, asked: Any) -> None:
    operator = stack.honest.operator
    paid = stack.client.prepare(operator.agent_id, asked[1], operator.agent.price)
    relay(stack, paid.payment, paid.payment.nonce(operator.agent_id, paid.request_hash))
    assert operator.submit(paid).record.fee == operator.agent.price


def test_an_authorization_spent_elsewhere_is_not_taken_as_paid(stack: Any, asked: Any) -> None:
    """The client signs the same nonce again, to itself, and uses that one."""
    operator, ledger = stack.honest.operator, stack.world.connection.ledger
    paid = stack.client.prepare(operator.agent_id, asked[1], operator.agent.price)
    nonce = paid.payment.nonce(operator.agent_id, paid.request_hash)
    to_itself = ledger.payments.authorize(
        stack.world.people.client, replace(paid.payment, to=stack.client.address), nonce
    )
    relay(stack, to_itself, nonce)
    with pytest.raises(UserError, match="spent elsewhere"):
        operator.submit(paid)


def test_an_underpaid_request_is_refused_and_nothing_taken(stack: Any, asked: Any) -> None:
    operator = stack.honest.operator
    before = stack.world.connection.ledger.balance(stack.client.address)
    with pytest.raises(UserError, match="underpaid"):
        stack.client.call(operator, operator.agent_id, asked[0], operator.agent.price - 1)
    assert stack.world.connection.ledger.balance(stack.client.address) == before


def test_an_agent_without_stake_is_not_paid(stack: Any, asked: Any) -> None:
    world = stack.world
    bare = world.connection.agents.register(world.people.curator, "bare", "registered, with nothing at stake")
    before = world.connection.ledger.balance(stack.client.address)
    with pytest.raises(UserError, match="has no stake"):
        stack.client.call(stack.honest.operator, bare, asked[0], OPEN)
    with pytest.raises(UserError, match="is not registered"):
        stack.client.call(stack.honest.operator, 10_000, asked[0], OPEN)
    assert world.connection.ledger.balance(stack.client.address) == before


def test_a_failed_action_is_recorded_and_given_back(stack: Any) -> None:
    """A prompt longer than the context fails in its node; the fee returns to the client at settlement."""
    connection, ledger = stack.world.connection, stack.world.connection.ledger
    operator = stack.honest.operator
    before = ledger.balance(stack.client.address)
    receipt = stack.client.call(operator, operator.agent_id, {"finding": "why " * 2000}, operator.agent.price)
    assert receipt.record.status is Status.FAILED
    assert "context" in receipt.output["error"]
    assert check(stack, receipt).verdict is Verdict.UNVERIFIED  # not anchored yet
    stack.honest.batcher.anchor()
    connection.chain.advance(ledger.parameter("challengeWindow") + 1)
    stack.honest.batcher.settle()
    assert ledger.balance(stack.client.address) == before
