"""Ask a jury what can be recomputed as a whole: a batch's payouts, a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ChallengeError, OpenLedgerError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    TrainingStep,
    cid_from_digest,
    payout_tree,
    shares_evidence_hash,
    steps_tree,
    training_evidence_hash,
)
from ._challenge import Challenge
from ._shares import Payouts
from ._verify import fetch_action

__all__ = ["challenge_shares", "challenge_training", "claim_found", "shares_evidence", "show_shares"]


def challenge_shares(header: BatchHeader, ledger: Ledger) -> Challenge:
    """Dispute a batch's payouts, inside its window: commit, then show. Takes the bond from the signer's OPEN: a tenth
    of the slash at stake, at least the jury's cost. Nothing of the batch can be claimed meanwhile.

    Raises ``ChainError``. If only showing failed, ``partial`` holds the :class:`Challenge`; the salt follows from
    the signer's key, so it can be shown again before the deadline.
    """
    _, evidence = shares_evidence(header, ledger)
    return _open(
        header,
        header.first_nonce,
        header.sum,
        evidence,
        lambda challenge: _revealing(challenge, header, ledger),
        ledger,
    )


def shares_evidence(header: BatchHeader, ledger: Ledger) -> tuple[bytes, bytes]:
    """The salt of the signer's dispute of a batch's payouts, and what it commits to."""
    salt = ledger.secret("shares", header.hash())
    return salt, shares_evidence_hash(ledger.address, salt, header.hash())


def show_shares(challenge: Challenge, header: BatchHeader, ledger: Ledger) -> None:
    """Show what a dispute of payouts was committed with, where its opening ended before. Raises ``ChainError``."""
    ledger.send(_revealing(challenge, header, ledger))


def _revealing(challenge: Challenge, header: BatchHeader, ledger: Ledger) -> Any:
    salt, _ = shares_evidence(header, ledger)
    return ledger.contracts.disputes.functions.revealShares(challenge.id, header.to_abi(), salt)


def challenge_training(cid: str, step: int, *, store: ContentStore, ledger: Ledger) -> Challenge:
    """Dispute that a training run gives the adapter its record says; as :func:`challenge_shares` otherwise.

    Raises ``ChallengeError`` if step ``step`` of the action at ``cid`` is no training run of an anchored action.
    """
    action = fetch_action(cid, store)
    record = action.record
    header = ledger.batch_of(record.agent_id, record.nonce)
    if header is None:
        raise ChallengeError(f"{cid} is not anchored", fix="wait until it is")
    runs = [i for i, one in enumerate(action.steps) if isinstance(one, TrainingStep)]
    if step not in runs:
        raise ChallengeError(f"step {step} is no training run", fix=f"challenge one of steps {runs}")
    batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
    leaves = [one.leaf(i) for i, one in enumerate(action.steps)]
    salt = ledger.secret("training", record.struct_hash(), step)
    evidence = training_evidence_hash(ledger.address, salt, record.struct_hash(), step)
    shown = (
        record.to_abi(),
        batch.record_proof(record.nonce),
        leaves[step].to_abi(),
        steps_tree(leaves).proof(step),
    )

    def show(challenge: Challenge) -> Any:
        functions = ledger.contracts.disputes.functions
        return functions.revealTraining(challenge.id, header.to_abi(), *shown, salt)

    return _open(header, record.nonce, record.fee, evidence, show, ledger)


def _open(
    header: BatchHeader,
    nonce: int,
    fee: int,
    evidence: bytes,
    show: Callable[[Challenge], Any],
    ledger: Ledger,
) -> Challenge:
    functions = ledger.contracts.disputes.functions
    at_commit, bond = ledger.call(functions.bondFor(fee))
    # a jury that recomputes payouts has a fee for every 64 records
    most = max(bond, at_commit * -(-header.count // 64))
    receipt = ledger.send_taking(most, functions.commitChallenge, header.to_abi(), nonce, evidence)
    event = receipt.event(ledger.contracts.disputes.events.ChallengeCommitted)
    challenge = Challenge(ledger, int(event["id"]))
    try:
        ledger.wait_block(receipt.block + 1)  # evidence is refused in the block of its commitment
        ledger.send(show(challenge))
    except OpenLedgerError as error:
        error.partial = challenge
        raise
    return challenge


def claim_found(header: BatchHeader, found: Payouts, ledger: Ledger) -> int:
    """Show the payouts behind a jury's answer, if nobody has (anyone may, within seven days), and pay those that are
    left, a hundred at a time; returns the wei paid. Raises ``ChainError`` when the jury found others."""
    pool = ledger.contracts.pool.functions
    if ledger.settlement.claims_state(header) == "awaited":
        ledger.send(pool.showPayouts(header.hash(), found.root, len(found.payouts)))
    tree = payout_tree(found.payouts)
    left = [
        (index, *payout, tree.proof(index))
        for index, payout in enumerate(found.payouts)
        if payout.amount and not ledger.call(pool.isClaimed(header.hash(), index))
    ]
    for start in range(0, len(left), 100):
        ledger.send(pool.claimMany(header.to_abi(), left[start : start + 100]))
    return sum(amount for _, _, amount, _ in left)
