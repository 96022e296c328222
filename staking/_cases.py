"""The disputes and demands of an account, seen through: evidence, draw, ruling, the jurors' pay, the enforcement of demands.

The chain is asked before anything is sent: what this account committed to there is adopted, whatever the journal knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..contracts import show_open
from ..errors import ChallengeError, OpenLedgerError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    ModelCallStep,
    cid_from_digest,
    evidence_hash,
)
from ._batches import header_of
from ._challenge import Challenge, Evidence, build_evidence
from ._daemon import UNREACHABLE, DaemonLog
from ._due import clock, due_step, take
from ._finding import Demand
from ._journal import Case, Journal
from ._questions import shares_evidence, show_shares
from ._verify import fetch_action

__all__ = ["OVERLAP", "Cases"]

OVERLAP = 64  # blocks that are read again, because the last ones may be replaced


@dataclass(frozen=True)
class Cases:
    """See the module."""

    ledger: Ledger
    store: ContentStore
    journal: Journal
    log: DaemonLog

    def adopt(self) -> None:
        """Take up what this account committed to or demanded on the chain and the journal does not know."""
        events, head = self.ledger.contracts.disputes.events, self.ledger.chain.block_number()
        since = int(self.journal.noted("cases-read") or 0) - OVERLAP
        for event in self.ledger.events(events.ChallengeCommitted, since=since):
            if event["challenger"] == self.ledger.address:
                self._adopt("jury", event)
        for event in self.ledger.events(events.Demanded, since=since):
            if event["demander"] == self.ledger.address:
                self._adopt("demand", event)
        if not self.ledger.chain.is_dry_run:
            self.journal.note("cases-read", str(head))

    def _adopt(self, kind: str, event: dict[str, Any]) -> Case:
        number = int(event["id"])
        known = self.journal.case(kind, number)
        if known is None:
            nonce = int(event["nonce"])
            # a demand about a whole batch has the largest nonce, which SQLite cannot hold
            place = (int(event["agentId"]), -1 if nonce == 2**64 - 1 else nonce)
            known = Case(kind, number, *place, bond=int(event["bond"]))
            self.journal.save_case(known)
            self.log.write(
                "adopted", f"{kind} {number} of this account is on the chain", kind=kind, id=number
            )
        return known

    def tend(self) -> None:
        """Take every step that is due in this account's cases. What fails is logged, and tried again next time; a chain
        that is away is raised."""
        for case in self.journal.cases():
            try:
                self._demand(case) if case.kind == "demand" else self._dispute(case)
            except OpenLedgerError as error:
                if error.code == UNREACHABLE:
                    raise
                self.log.problem(f"{case.kind} {case.id}", error, id=case.id)

    def _dispute(self, case: Case) -> None:
        challenge = Challenge(self.ledger, case.id)
        if challenge.state == "Committed" and case.kind == "jury":
            if clock(self.ledger) > int(self.ledger.call(self._functions.dispute(case.id)).evidenceBy):
                return self._end(case, "Forfeited")
            self._reveal(challenge, case)
            self.log.write("revealed", f"showed the evidence of dispute {case.id}", dispute=case.id)
            if self.ledger.chain.is_dry_run:
                return None
        while (step := due_step(self.ledger, case.id)) is not None:
            state = take(self.ledger, case.id)
            self.log.write(
                "step", f"dispute {case.id}: {step.name}; now {state}", dispute=case.id, state=state
            )
            if self.ledger.chain.is_dry_run:
                return None
            if state == step.state:
                break
        state = case.state = challenge.state
        if state == "Ruled":
            ruling = self.ledger.call(self._functions.rulingOf(case.id, challenge.tier))
            if not ruling.convicted and case.kind == "jury":
                why = f"dispute {case.id} would acquit; `openledger appeal {case.id}` until {challenge.appeal_by}"
                self.log.write_once(f"ruling {case.id}", "ruled", why, dispute=case.id)
        if state in ("Convicted", "Acquitted", "Voided", "Forfeited"):
            return self._end(case, state)
        return self.journal.save_case(case)

    def _end(self, case: Case, state: str) -> None:
        events = self.ledger.contracts.disputes.events
        case.state, case.done, change = state, True, 0
        if case.kind == "jury":
            kinds = (events.ChallengeOpened, events.SharesDisputed)
            opened = next((event for kind in kinds for event in self.ledger.events(kind, id=case.id)), None)
            bond = case.bond if opened is None else int(opened["bond"])
            paid = self.ledger.events(events.AccuserPaid, id=case.id, accuser=self.ledger.address)
            if state == "Convicted":
                change = sum(int(event["amount"]) for event in paid) - bond
            elif state in ("Acquitted", "Forfeited"):
                change = -bond
        with self.journal.together():
            self.journal.save_case(case)
            self._book(case.kind, state == "Convicted", change)
        what = f"{case.kind} dispute {case.id}: {state}; {'+' if change > 0 else ''}{show_open(change)}"
        self.log.write("ended", what, dispute=case.id, state=state, change=str(change))

    def _book(self, kind: str, won: bool, change: int) -> None:
        if kind != "audit":
            self.journal.count("wei_earned" if change > 0 else "wei_lost", abs(change))
            self.journal.count("won" if won else "lost", 1 if won or change < 0 else 0)

    def _demand(self, case: Case) -> None:
        demand = Demand.read(self.ledger, case.id)
        if demand.state == "Open":
            if clock(self.ledger) <= demand.answer_by:
                return
            receipt = self.ledger.send(self._functions.enforce(case.id))
            paid = receipt.event(self.ledger.contracts.disputes.events.Convicted)["distribution"]
            change, state = int(paid["toChallenger"]), "Enforced"
        else:
            change, state = (-demand.bond if demand.state == "Answered" else 0), demand.state
        if self.ledger.chain.is_dry_run:
            return
        if state == "Answered" and demand.fault == "DataWithheld":
            for shown in self.ledger.events(
                self.ledger.contracts.disputes.events.BlockShown, id=case.id, digest=demand.subject
            ):
                for codec in ("dag-cbor", "raw"):  # the chain knows the digest only
                    self.store.put(bytes(shown["data"]), codec)
        case.state, case.done = state, True
        with self.journal.together():
            self.journal.save_case(case)
            self._book(case.kind, state == "Enforced", change)
        what = f"demand {case.id}: {state}; {'+' if change > 0 else ''}{show_open(change)}"
        self.log.write("ended", what, demand=case.id, state=state, change=str(change))

    # -- what was committed to -------------------------------------------------------------------

    def of_tokens(self, header: BatchHeader, nonce: int) -> Case | None:
        """This account's challenge of an action's tokens, if it committed to one."""
        _, shares = shares_evidence(header, self.ledger)
        return self._committed(header, nonce, lambda evidence: evidence != shares)

    def of_shares(self, header: BatchHeader) -> Case | None:
        """This account's dispute of a batch's payouts, if it committed to one."""
        _, shares = shares_evidence(header, self.ledger)
        return self._committed(header, header.first_nonce, lambda evidence: evidence == shares)

    def _committed(self, header: BatchHeader, nonce: int, meant: Callable[[bytes], bool]) -> Case | None:
        events = self.ledger.contracts.disputes.events.ChallengeCommitted
        for event in self.ledger.events(events, agentId=header.agent_id, nonce=nonce):
            mine = event["challenger"] == self.ledger.address
            if mine and meant(self._evidence_hash(int(event["id"]))):
                return self._adopt("jury", event)
        return None

    def _evidence_hash(self, number: int) -> bytes:
        return bytes(self.ledger.call(self._functions.dispute(number)).evidenceHash)

    def _reveal(self, challenge: Challenge, case: Case) -> None:
        header = header_of(case.agent_id, case.nonce, self.ledger)
        _, shares = shares_evidence(header, self.ledger)
        if self._evidence_hash(case.id) == shares:
            show_shares(challenge, header, self.ledger)
        else:
            challenge.reveal(self._evidence(case))

    @property
    def _functions(self) -> Any:
        return self.ledger.contracts.disputes.functions

    def _evidence(self, case: Case) -> Evidence:
        """What the dispute was committed with; when the journal does not say, each token is tried."""
        header = header_of(case.agent_id, case.nonce, self.ledger)
        batch = Batch.decode(cid_from_digest(header.batch_digest), self.store.get)
        action = fetch_action(batch.entries[case.nonce - header.first_nonce].envelope, self.store)
        committed = self._evidence_hash(case.id)
        struct_hash = action.record.struct_hash()
        tokens = [
            (index, token)
            for index, step in enumerate(action.steps)
            if isinstance(step, ModelCallStep)
            for token in range(len(step.output_tokens))
        ]
        for step, token in sorted(tokens, key=lambda leaf: leaf != (case.step, case.token)):
            salt = self.ledger.secret("challenge", struct_hash, step, token)
            if evidence_hash(self.ledger.address, salt, struct_hash, step, token) == committed:
                return build_evidence(action.cid, step, token, store=self.store, ledger=self.ledger)
        raise ChallengeError(
            f"dispute {case.id} was committed with other evidence",
            why="it opens no token of the action, as a dispute of training",
            fix=f"show it by the call that committed it, before {case.id} is forfeited",
        )
