"""Challenge an action before the jury: commit, reveal the evidence, join, draw, resolve, appeal; and prove
equivocation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ChallengeError, OpenLedgerError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    ContributionState,
    Ledger,
    ModelCallStep,
    RecordProof,
    SignedRecord,
    cid_from_digest,
    evidence_hash,
    steps_tree,
)
from ._finding import FAULTS
from ._verify import Action, fetch_action

__all__ = [
    "STATES",
    "Challenge",
    "Evidence",
    "Outcome",
    "build_evidence",
    "open_challenge",
    "prove_equivocation",
]


STATES = ("None", "Committed", "Open", "Drawn", "Convicted", "Acquitted", "Voided", "Forfeited", "Ruled", "Seeding",
          "Opening")  # fmt: skip
"""The contract's ``State`` by name."""


@dataclass(frozen=True)
class Evidence:
    """One opened token leaf with its proofs up to the anchored batch; everything a jury needs."""

    action: Action
    header: BatchHeader
    step: int
    token: int
    record_proof: RecordProof
    step_proof: tuple[bytes, ...]
    token_proof: tuple[bytes, ...]

    def reveal_args(self) -> tuple[Any, ...]:
        """The arguments of ``revealChallenge`` between id and salt."""
        record, *leaf = self.join_args()
        return (self.header.to_abi(), record, self.record_proof, *leaf)

    def join_args(self) -> tuple[Any, ...]:
        """The arguments of ``joinChallenge`` after the id."""
        model = self.action.steps[self.step]
        assert isinstance(model, ModelCallStep)  # checked by build_evidence
        return (
            self.action.record.to_abi(),
            model.leaf(self.step).to_abi(),
            list(self.step_proof),
            model.generation.leaf(self.token).to_abi(),
            list(self.token_proof),
        )


@dataclass(frozen=True)
class Outcome:
    """How a dispute stands: its state's name and who got which wei, read from its events."""

    dispute_id: int
    state: str
    slashed: int = 0
    burned: int = 0
    to_challenger: int = 0
    to_client: int = 0
    to_jury: int = 0

    @property
    def convicted(self) -> bool:
        return self.state == "Convicted"


def build_evidence(cid: str, step: int, token: int, *, store: ContentStore, ledger: Ledger) -> Evidence:
    """The evidence that opens token ``token`` of step ``step`` of the action at ``cid``.

    Raises ``ChallengeError`` if that is no generated token of an anchored action.
    """
    action = fetch_action(cid, store)
    record = action.record
    header = ledger.batch_of(record.agent_id, record.nonce)
    if header is None:
        raise ChallengeError(
            f"{cid} is not anchored",
            why=f"nonce {record.nonce} of agent {record.agent_id} is in no batch yet",
            fix="wait until it is; a record that is never anchored breaks its ticket",
        )
    if not 0 <= step < len(action.steps) or not isinstance(action.steps[step], ModelCallStep):
        calls = [i for i, s in enumerate(action.steps) if isinstance(s, ModelCallStep)]
        raise ChallengeError(f"step {step} is no model call", fix=f"challenge one of steps {calls}")
    model = action.steps[step]
    assert isinstance(model, ModelCallStep)
    if not 0 <= token < len(model.output_tokens):
        raise ChallengeError(
            f"step {step} has no token {token}",
            fix=f"challenge one of tokens 0 to {len(model.output_tokens) - 1}",
        )
    batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
    return Evidence(
        action=action,
        header=header,
        step=step,
        token=token,
        record_proof=batch.record_proof(record.nonce),
        step_proof=tuple(steps_tree([s.leaf(i) for i, s in enumerate(action.steps)]).proof(step)),
        token_proof=tuple(model.generation.proof(token)),
    )


class Challenge:
    """A jury dispute, from its commitment on. ``ledger.signer`` is the challenger (or anyone, for
    :meth:`draw` and :meth:`resolve`)."""

    def __init__(self, ledger: Ledger, dispute_id: int) -> None:
        self.ledger, self.id = ledger, dispute_id
        self._disputes = ledger.contracts.disputes.functions

    def _dispute(self) -> Any:
        return self.ledger.call(self._disputes.dispute(self.id))

    @property
    def state(self) -> str:
        """One of ``STATES``."""
        return STATES[int(self._dispute().state)]

    @property
    def fault(self) -> str:
        """What it is about, one of ``FAULTS``."""
        return FAULTS[int(self._dispute().fault)]

    @property
    def round(self) -> int:
        """The number of the present draw: a redraw or an appeal begins the next."""
        return int(self._dispute().round)

    @property
    def tier(self) -> int:
        """0 for the first committee, one more for each appeal."""
        return int(self._dispute().tier)

    @property
    def appeal_by(self) -> int:
        """Last unix time to appeal from the present ruling; 0 when there is none."""
        return int(self._dispute().appealBy) if self.state == "Ruled" else 0

    @property
    def appeal_bond(self) -> int:
        """Wei an appeal takes now; 0 when there is nothing to appeal from."""
        return int(self.ledger.call(self._disputes.appealBond(self.id)))

    @property
    def draw_block(self) -> int:
        """The block whose hash decides the committee."""
        return int(self._dispute().drawBlock)

    @property
    def committee(self) -> list[str]:
        """The jurors of the present round; empty before the draw."""
        return [str(juror) for juror in self.ledger.call(self._disputes.committee(self.id))]

    @property
    def probe(self) -> int:
        """The probe of the present round, to be reduced modulo the base model's vocabulary."""
        return int(self.ledger.call(self._disputes.probe(self.id)))

    def reveal(self, evidence: Evidence) -> None:
        """Show what was committed to."""
        salt = _salt(self.ledger, evidence)
        self.ledger.send(self._disputes.revealChallenge(self.id, *evidence.reveal_args(), salt))

    def join(self, evidence: Evidence) -> int:
        """Accuse another leaf of the same action, before the draw block; returns the bond in wei, as much as the
        first leaf's."""
        leaves = len(self.ledger.call(self._disputes.leavesOf(self.id)))
        bond = int(self._dispute().bond) // max(leaves, 1)
        self.ledger.send_taking(bond, self._disputes.joinChallenge, self.id, *evidence.join_args())
        return bond

    def appeal(self) -> int:
        """Ask for a larger committee; returns the bond in wei. It comes back if the outcome differs."""
        bond = self.appeal_bond
        self.ledger.send_taking(bond, self._disputes.appeal, self.id)
        return bond

    def draw(self) -> None:
        """Draw the committee, once the draw block is mined."""
        self.ledger.wait_block(self.draw_block + 1)
        self.ledger.send(self._disputes.draw(self.id))

    def resolve(self) -> Outcome:
        """End what can be ended now, settle the jurors once it is final, and say how it stands."""
        if self.state not in ("Convicted", "Acquitted"):
            self.ledger.send(self._disputes.resolve(self.id))
        if self.state in ("Convicted", "Acquitted"):
            self.settle()
        return self.outcome()

    def settle(self) -> None:
        """Pay and punish the jurors of every tier that was not settled yet; of an appeal against curators, tell the
        curation contract what was decided."""
        for tier in range(self.tier + 1):
            if not self.ledger.call(self._disputes.rulingOf(self.id, tier)).settled:
                self.ledger.send(self._disputes.settle(self.id, tier))
        if self.fault == "CurationAppeal":
            self._deliver()

    def _deliver(self) -> None:
        contracts = self.ledger.contracts
        contribution = self.ledger.call(contracts.arbiter.functions.contributionOf(self.id))
        found = self.ledger.call(contracts.curation.functions.contribution(contribution))
        if ContributionState(int(found.state)) is ContributionState.APPEALED:
            self.ledger.send(contracts.arbiter.functions.deliver(self.id))

    def outcome(self) -> Outcome:
        state = self.state
        if state != "Convicted":
            return Outcome(self.id, state)
        for event in self.ledger.events(self.ledger.contracts.disputes.events.Convicted, id=self.id):
            parts = event["distribution"]
            return Outcome(
                self.id,
                state,
                slashed=parts["total"],
                burned=parts["burned"],
                to_challenger=parts["toChallenger"],
                to_client=parts["toClients"],
                to_jury=parts["toJury"],
            )
        return Outcome(self.id, state)


def open_challenge(evidence: Evidence, ledger: Ledger) -> Challenge:
    """Commit to the evidence, then reveal it. Takes the bond from the signer's OPEN.

    Raises ``ChainError``, e.g. outside the challenge window. If only the reveal failed, ``partial`` holds
    the :class:`Challenge`: reveal again before its deadline, or the bond is burned. The salt follows from the
    signer's key, so a restart can do so too.
    """
    record = evidence.action.record
    salt = _salt(ledger, evidence)
    commitment = evidence_hash(ledger.address, salt, record.struct_hash(), evidence.step, evidence.token)
    functions = ledger.contracts.disputes.functions
    _, bond = ledger.call(functions.bondFor(record.fee))
    receipt = ledger.send_taking(
        bond, functions.commitChallenge, evidence.header.to_abi(), record.nonce, commitment
    )
    event = receipt.event(ledger.contracts.disputes.events.ChallengeCommitted)
    challenge = Challenge(ledger, int(event["id"]))
    try:
        ledger.wait_block(receipt.block + 1)  # evidence is refused in the block of its commitment
        challenge.reveal(evidence)
    except OpenLedgerError as error:
        error.partial = challenge
        raise
    return challenge


def _salt(ledger: Ledger, evidence: Evidence) -> bytes:
    record = evidence.action.record
    return ledger.secret("challenge", record.struct_hash(), evidence.step, evidence.token)


def prove_equivocation(first: SignedRecord, second: SignedRecord, ledger: Ledger) -> Any:
    """Slash an agent that signed two different records with one nonce; final at once. Returns the receipt."""
    if first.record.nonce != second.record.nonce or first.record.agent_id != second.record.agent_id:
        raise ChallengeError(
            "the records do not contradict each other",
            why="they have different nonces or agents",
            fix="give two signed records of one agent with one nonce",
        )
    call = ledger.contracts.disputes.functions.proveEquivocation(
        first.record.to_abi(), first.signature, second.record.to_abi(), second.signature
    )
    return ledger.send(call)
