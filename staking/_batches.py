"""Judge a batch as a whole: accuse it, or ask for a random audit; open the leaves that are drawn across it.

Small deviations, which one chosen leaf does not convict by, show over many leaves that nobody chose.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import ChallengeError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    MerkleTree,
    ModelCallStep,
    ReplayClass,
    Status,
    cid_from_digest,
    position_word,
    steps_tree,
)
from ._challenge import Challenge
from ._verify import Action, fetch_action

__all__ = ["BatchDispute", "challenge_batch", "drift_threshold", "request_audit"]

NO_STEP = (0, 0, 0, bytes(32), bytes(32), bytes(32), 0, bytes(32))
NO_TOKEN = (0, bytes(32), 0, 0, bytes(32), 0)


def drift_threshold(leaves: int, rate: int) -> int:
    """How many of ``leaves`` drawn ones must deviate before a batch is at fault: the smallest m with
    C(leaves, m) / 1000^m <= rate / 10^9. Honest ones deviate once in a thousand at most, so this bounds the
    probability that an honest batch is convicted (the expected number of sets of m leaves that all deviate)."""
    from math import comb

    m = 1
    while comb(leaves, m) * 10**9 > rate * 1000**m:
        m += 1
    return m


class BatchDispute(Challenge):
    """A dispute about a whole batch, from the accusation or the request for an audit on."""

    def _draw(self) -> Any:
        return self.ledger.call(self._disputes.leavesDrawn(self.id))

    def header(self) -> BatchHeader:
        """The batch in dispute."""
        dispute = self._dispute()
        return header_of(int(dispute.agentId), int(dispute.nonce), self.ledger)

    @property
    def threshold(self) -> int:
        """How many positions must deviate for a conviction."""
        return int(self._draw().threshold)

    def draw_leaves(self) -> str:
        """Fix the positions once their block is mined; returns the state: ``Opening``, or ``Voided`` for an audit
        that was not selected."""
        self.ledger.wait_block(self.draw_block + 1)
        self.ledger.send(self._disputes.drawLeaves(self.id))
        return self.state

    def open_leaves(self, header: BatchHeader, store: ContentStore) -> int:
        """Open every position that nobody has opened; returns how many. The operator should: what stays shut
        counts against it. Raises ``ContentError`` when a record or step cannot be had."""
        opened = 0
        for position, opening in self._openings(header, store):
            self.ledger.send(self._disputes.openLeaf(self.id, position, opening))
            opened += 1
        return opened

    def close_leaves(self) -> str:
        """End the opening, once every position was shown or its time is over; returns the state."""
        self.ledger.send(self._disputes.closeLeaves(self.id))
        return self.state

    def proceed(self) -> str:
        """Take the step that is due; returns the state after it. A dry run of a ruling that becomes final also tries to
        settle with its jurors."""
        before = self.state
        if before == "Seeding":
            return self.draw_leaves()
        if before == "Opening":
            return self.close_leaves()
        if before == "Open":
            self.draw()
            return self.state
        self.resolve()
        if before == "Ruled" and self.ledger.chain.is_dry_run:
            self.settle()
        return self.state

    def _openings(self, header: BatchHeader, store: ContentStore) -> Iterator[tuple[int, tuple[Any, ...]]]:
        drawn = self._draw()
        count = int(self.ledger.call(self._disputes.termsOf(self.id)).kLeaves)
        batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
        actions: dict[int, Action] = {}
        for position in range(count):
            if int(drawn.shown) >> position & 1:
                continue
            index = position_word(bytes(drawn.seed), position, "record") % header.count
            if index not in actions:
                actions[index] = fetch_action(batch.entries[index].envelope, store)
            action = actions[index]
            shown = (header.to_abi(), action.record.to_abi(), batch.record_proof(header.first_nonce + index))
            yield position, (*shown, *_leaf_at(action, bytes(drawn.seed), position))


def _leaf_at(action: Action, seed: bytes, position: int) -> tuple[Any, ...]:
    """What follows record and proof in an opening: padding, step and proof, token and proof."""
    record, steps = action.record, action.steps
    replayable = record.replay_class is ReplayClass.EXACT_TOLERANCE and record.status is not Status.FAILED
    if not replayable or not steps:
        return False, NO_STEP, [], NO_TOKEN, []
    leaves = [step.leaf(i) for i, step in enumerate(steps)]
    tree = steps_tree(leaves)
    depth = (len(leaves) - 1).bit_length()
    index = position_word(seed, position, "step") % (1 << depth)
    if index >= len(leaves):
        padded = MerkleTree([leaf.hash() for leaf in leaves] + [bytes(32)] * ((1 << depth) - len(leaves)))
        return True, NO_STEP, padded.proof(index), NO_TOKEN, []
    step = steps[index]
    found = (False, leaves[index].to_abi(), tree.proof(index))
    if not isinstance(step, ModelCallStep) or not step.output_tokens:
        return *found, NO_TOKEN, []
    t = position_word(seed, position, "token") % len(step.output_tokens)
    return *found, step.generation.leaf(t).to_abi(), list(step.generation.proof(t))


def challenge_batch(header: BatchHeader, ledger: Ledger) -> BatchDispute:
    """Accuse a batch, with a bond in the signer's OPEN: a share of the slash at stake, at least the first jury's
    cost. Raises ``ChainError``, e.g. outside the window, or when the batch was judged before."""
    contracts, functions = ledger.contracts, ledger.contracts.disputes.functions
    fees = 5 * ledger.parameter("jurorFee") * -(-ledger.parameter("kLeaves") // 8)
    slash = max(ledger.parameter("minSlash"), header.sum * ledger.parameter("outputSlash"))
    bond = max(fees, slash * ledger.parameter("challengerBond") // 10_000)
    receipt = ledger.send_taking(bond, functions.challengeBatch, header.to_abi())
    event = receipt.event(contracts.disputes.events.BatchChallenged)
    return BatchDispute(ledger, int(event["id"]))


def request_audit(header: BatchHeader, ledger: Ledger) -> BatchDispute:
    """Ask for a random audit of a batch, once, inside its window; free. Raises ``ChainError``, e.g. when the audit
    fund cannot pay a jury."""
    contracts = ledger.contracts
    receipt = ledger.send(contracts.disputes.functions.requestAudit(header.to_abi()))
    return BatchDispute(ledger, int(receipt.event(contracts.disputes.events.AuditRequested)["id"]))


def header_of(agent_id: int, nonce: int, ledger: Ledger) -> BatchHeader:
    """The batch that holds an action. Raises ``ChallengeError`` when none does."""
    header = ledger.batch_of(agent_id, nonce)
    if header is None:
        raise ChallengeError(
            f"nonce {nonce} of agent {agent_id} is in no batch", fix="see `openledger actions AGENT_ID`"
        )
    return header
