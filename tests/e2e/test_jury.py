"""Disputes before juries on a real devnet: bribes, laziness, theft, self-accusation, flight and silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from court import (
    BOND,
    FEE,
    HONEST,
    JUROR_FEE,
    OPEN,
    SILENT,
    SLASH,
    STAKE,
    TRUTH,
    WRONG,
    Accused,
    Court,
    Replays,
    lied,
)

from openledger.errors import ChainError
from openledger.registry import BatchHeader, vote_commitment
from openledger.staking import BatchDispute, Challenge, Juror, challenge_batch, request_audit, unstake


def test_an_honest_majority_wins_after_an_appeal_against_a_bribed_first_round(
    court: Court, accused: Accused
) -> None:
    claimed = lied(2)
    accused.act(claimed)
    auditor, appellant = court.account(3), court.account(4)
    before = {who: who.balance(who.address) for who in (auditor, appellant)}
    challenge = accused.accuse(auditor, 2)
    first = challenge.committee
    stakes = {juror: court.juror_stake(juror) for juror in court.jurors}
    # three of five say what the record says, and lie about the probe too, to make the others lose
    bribed = {juror: Replays(claimed, other=-20_000) for juror in first[:3]}
    court.vote(challenge, bribed)
    assert challenge.resolve().state == "Ruled"
    bond = Challenge(appellant, challenge.id).appeal()
    assert bond == 11 * JUROR_FEE + BOND

    challenge.draw()
    second = challenge.committee
    assert len(second) == 11
    court.vote(challenge, bribed)
    assert challenge.resolve().state == "Ruled"
    assert court.finish(challenge) == "Convicted"
    outcome = challenge.outcome()
    assert outcome.slashed == SLASH
    assert accused.staked == STAKE - SLASH
    assert outcome.to_client == FEE
    assert outcome.to_jury == 16 * JUROR_FEE
    assert auditor.balance(auditor.address) - before[auditor] == outcome.to_challenger == SLASH * 3 // 10
    assert appellant.balance(appellant.address) == before[appellant]
    for juror in court.jurors:
        sat = (juror in first) + (juror in second)
        assert stakes[juror] - court.juror_stake(juror) == (WRONG * sat if juror in bribed else 0)


def test_a_juror_who_copies_the_records_logprob_fails_the_probe(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    auditor = court.account(3)
    before = auditor.balance(auditor.address)
    operator = accused.operator.balance(accused.operator.address)
    challenge = accused.accuse(auditor, 1)
    lazy, diligent = challenge.committee[:2]
    purses = {juror: accused.operator.balance(juror) for juror in (lazy, diligent)}
    stakes = {juror: court.juror_stake(juror) for juror in (lazy, diligent)}
    court.vote(challenge, {lazy: Replays(TRUTH, other=-30_000)})
    challenge.resolve()
    assert court.finish(challenge) == "Acquitted"
    assert court.juror_stake(lazy) == stakes[lazy] - WRONG
    assert court.juror_stake(diligent) == stakes[diligent]
    assert accused.operator.balance(lazy) == purses[lazy]
    assert accused.operator.balance(diligent) == purses[diligent] + JUROR_FEE
    # the accuser pays the four, the operator has the rest
    assert auditor.balance(auditor.address) == before - BOND
    assert accused.operator.balance(accused.operator.address) == operator + BOND - 4 * JUROR_FEE
    assert accused.staked == STAKE


def test_a_copied_commitment_cannot_be_revealed(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    challenge = accused.accuse(court.account(3), 0)
    disputes = court.connection.contracts.disputes
    thief, *others = challenge.committee
    victim = Juror(
        court.connection.as_(court.jurors[others[0]]),
        court.connection.store,
        lambda _b: HONEST,
        court.journal,
    )
    made = victim.commit(challenge.id)
    copied = court.chain.call(disputes.functions.voteOf(challenge.id, 0, others[0])).commitment
    ledger = court.connection.as_(court.jurors[thief])
    ledger.send(disputes.functions.commitVote(challenge.id, copied))
    stake_before = court.juror_stake(thief)
    for juror in others[1:]:
        Juror(
            court.connection.as_(court.jurors[juror]),
            court.connection.store,
            lambda _b: HONEST,
            court.journal,
        ).act(challenge.id)
    for juror in others:
        Juror(
            court.connection.as_(court.jurors[juror]),
            court.connection.store,
            lambda _b: HONEST,
            court.journal,
        ).reveal(challenge.id)
    # the victim's numbers are public now, its salt is in its reveal
    salt = court.connection.as_(court.jurors[others[0]]).secret("vote", bytes(32), challenge.id, 0)
    numbers = (list(made.token_logprobs), made.probe_logprob, salt)
    chain_id = court.chain.chain_id
    assert copied == vote_commitment(chain_id, disputes.address, challenge.id, 0, others[0], *numbers)
    with pytest.raises(ChainError, match="VoteMismatch"):
        ledger.send(disputes.functions.revealVote(challenge.id, *numbers))
    with pytest.raises(ChainError, match="AlreadyVoted"):
        ledger.send(disputes.functions.commitVote(challenge.id, b"\x01" * 32))
    court.pass_until(challenge, "revealBy")
    challenge.resolve()
    assert court.finish(challenge) == "Acquitted"
    assert court.juror_stake(thief) == stake_before - SILENT


def test_an_accused_that_accuses_itself_ends_poorer_and_stays_convictable(
    court: Court, accused: Accused
) -> None:
    accused.act(lied(3))
    friend, auditor = court.account(5), court.account(3)

    def ours() -> int:
        operator = accused.operator
        return operator.balance(operator.address) + friend.balance(friend.address) + accused.staked

    before = ours()
    innocent = accused.accuse(friend, 0)
    court.vote(innocent, {})
    innocent.resolve()
    assert court.finish(innocent) == "Acquitted"
    assert ours() == before - 5 * JUROR_FEE
    guilty = accused.accuse(auditor, 3)
    court.vote(guilty, {})
    guilty.resolve()
    assert court.finish(guilty) == "Convicted"
    assert ours() == before - 5 * JUROR_FEE - SLASH


def test_an_accused_that_wins_as_its_own_accuser_still_loses(court: Court, accused: Accused) -> None:
    accused.act(lied(3))
    operator = accused.operator
    before = operator.balance(operator.address) + accused.staked
    challenge = accused.accuse(operator, 3)
    court.vote(challenge, {})
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    # half is burned, the client and the jury have their parts
    assert operator.balance(operator.address) + accused.staked == before - SLASH * 7 // 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_withdrawal_asked_for_before_or_after_the_fault_is_still_slashed(
    court: Court, accused: Accused, when: str
) -> None:
    leave: Callable[[int], int] = lambda amount: unstake(accused.operator, accused.agent_id, amount)  # noqa: E731
    if when == "before":
        # what stays covers the fee, what leaves is most of the stake
        leave(STAKE - 4 * FEE)
    accused.act(lied(1))
    if when == "after":
        leave(STAKE)
    challenge = accused.accuse(court.account(3), 1)
    court.vote(challenge, {})
    challenge.resolve()
    assert court.finish(challenge) == "Convicted"
    assert accused.staked == STAKE - SLASH
    court.chain.advance(15 * 86400)
    vault = court.connection.contracts.vault.functions
    before = accused.operator.balance(accused.operator.address)
    accused.operator.send(vault.withdraw(accused.agent_id))
    left = 0 if when == "after" else max(0, 4 * FEE - SLASH)
    assert accused.operator.balance(accused.operator.address) - before == STAKE - SLASH - left


def test_no_quorum_voids_without_loss_to_the_honest(court: Court, accused: Accused) -> None:
    accused.act(TRUTH)
    auditor = court.account(3)
    before = auditor.balance(auditor.address)
    challenge = accused.accuse(auditor, 2)
    for state in ("Open", "Voided"):
        honest, silent = challenge.committee[0], challenge.committee[1:]
        purse = auditor.balance(honest)
        stakes = {juror: court.juror_stake(juror) for juror in challenge.committee}
        court.vote(challenge, {}, silent=silent)
        assert challenge.resolve().state == state
        assert auditor.balance(honest) == purse + JUROR_FEE
        assert court.juror_stake(honest) == stakes[honest]
        assert all(court.juror_stake(juror) == stakes[juror] - SILENT for juror in silent)
        if state == "Open":
            challenge.draw()
    assert auditor.balance(auditor.address) == before
    assert accused.staked == STAKE


@pytest.mark.parametrize("drift", [0, 300])
def test_small_deviations_show_over_leaves_drawn_across_a_batch(
    court: Court, accused: Accused, drift: int
) -> None:
    # far below what convicts a single leaf
    accused.act([value - drift for value in TRUTH])
    auditor = court.account(3)
    header = auditor.batch_of(accused.agent_id, 0)
    assert header is not None
    dispute = challenge_batch(header, auditor)
    assert dispute.draw_leaves() == "Opening"
    operator = BatchDispute(accused.operator, dispute.id)
    assert operator.open_leaves(operator.header(), court.connection.store) == 64
    assert dispute.close_leaves() == "Open"
    dispute.draw()
    court.vote(dispute, {})
    dispute.resolve()
    assert court.finish(dispute) == ("Convicted" if drift else "Acquitted")
    assert accused.staked == STAKE - (SLASH if drift else 0)


def header_of(accused: Accused, nonce: int) -> BatchHeader:
    header = accused.operator.batch_of(accused.agent_id, nonce)
    assert header is not None
    return header


def test_a_random_audit_takes_place_as_the_block_draws_and_is_paid_from_the_audit_fund(
    court: Court, accused: Accused
) -> None:
    anyone = court.account(3)
    accused.act(TRUTH, fee=100 * OPEN)
    with pytest.raises(ChainError, match="AuditFundShort"):
        request_audit(header_of(accused, 0), anyone)
    court.chain.advance(anyone.parameter("challengeWindow") + 1)
    anyone.settlement.finalize(header_of(accused, 0))
    fund, cost = court.audit_fund, 5 * 8 * JUROR_FEE
    assert fund == 100 * OPEN * anyone.parameter("auditShare") // 10_000
    purse = anyone.balance(anyone.address)

    accused.act(TRUTH)
    spared = request_audit(header_of(accused, 1), anyone)
    court.mine_draw(spared, selected=False)
    assert spared.draw_leaves() == "Voided"
    with pytest.raises(ChainError, match="AuditAsked"):
        request_audit(header_of(accused, 1), anyone)
    assert court.audit_fund == fund

    accused.act(TRUTH)
    jury = hold_audit(court, accused, 2)
    assert jury.state == "Acquitted"
    assert court.audit_fund == fund - cost
    assert accused.staked == STAKE

    accused.act([value - 300 for value in TRUTH])
    jury = hold_audit(court, accused, 3)
    assert jury.state == "Convicted"
    outcome = jury.outcome()
    assert outcome.slashed == SLASH == STAKE - accused.staked
    # what would be an accuser's is the fund's, and the slash pays the jury
    assert outcome.to_jury == cost
    assert court.audit_fund == fund - cost + SLASH * 3 // 10
    assert anyone.balance(anyone.address) == purse


def hold_audit(court: Court, accused: Accused, nonce: int) -> BatchDispute:
    """A requested audit that is selected, to its end: leaves from the content store, five honest jurors, no appeal."""
    audit = request_audit(header_of(accused, nonce), court.account(3))
    court.mine_draw(audit, selected=True)
    assert audit.draw_leaves() == "Opening"
    purses = {juror: audit.ledger.balance(juror) for juror in court.jurors}
    court.acquit(audit)
    earned = {juror: audit.ledger.balance(juror) - purse for juror, purse in purses.items()}
    assert earned == {juror: 8 * JUROR_FEE * (juror in audit.committee) for juror in court.jurors}
    return audit
