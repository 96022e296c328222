"""Brings before the Disputes contract what an audit found, where it pays, and sees every dispute of its account through.

The chain is asked before anything is sent: what this account committed to there is adopted, whatever the journal knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..contracts import show_open
from ..errors import ChainError, ChallengeError, OpenLedgerError
from ..registry import (
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    ModelCallStep,
    cid_from_digest,
    evidence_hash,
)
from ._batches import header_of, request_audit
from ._challenge import STATES, Challenge, Evidence, build_evidence, open_challenge
from ._daemon import UNREACHABLE, DaemonLog
from ._due import clock, due_step, take
from ._finding import FAULTS, Demand, Finding
from ._journal import Case, Draw, Journal
from ._verify import fetch_action
from ._worth import worth_of_challenge, worth_of_finding

__all__ = ["Prosecutor"]

OVERLAP = 64  # blocks that are read again, because the last ones may be replaced


@dataclass(frozen=True)
class Prosecutor:
    """See the module. ``confidence`` is how many of 10,000 challenges it expects to convict; ``least`` the wei a
    challenge has to bring on average."""

    ledger: Ledger
    store: ContentStore
    journal: Journal
    log: DaemonLog
    confidence: int = 9_500
    least: int = 0

    # -- bringing --------------------------------------------------------------------------------

    def challenge(self, draw: Draw, header: BatchHeader) -> bool:
        """Challenge the action before a jury, once, if that pays; False while it may still come to that.

        Raises ``OpenLedgerError`` when a step failed; what was committed by then is shown by :meth:`tend`.
        """
        about = {"agentId": header.agent_id, "nonce": draw.nonce, "cid": draw.cid}
        key = f"challenge of nonce {draw.nonce} of agent {header.agent_id}"
        if (own := self._committed(header.agent_id, draw.nonce)) is not None:
            self.log.write("known", f"{key}: it is dispute {own.id} of this account", dispute=own.id, **about)
            return True
        if self._sending():
            self.log.write_once(key, "waits", f"{key} waits: a transaction of this account is not mined yet")
            return False
        if (other := self._before_jury(header.agent_id, draw.nonce)) is not None:
            self.log.write_once(key, "waits", f"{key} waits: dispute {other} judges the action", **about)
            return False
        record = fetch_action(draw.cid, self.store).record
        worth = worth_of_challenge(self.ledger, header, record, gross=draw.step >= 0)
        told = worth.explain(self.confidence, self.least)
        if not worth.pays(self.confidence, self.least):
            self.log.write_once(key, "unpaid", f"{key} {told}", **about)
            return False
        evidence = build_evidence(draw.cid, draw.step, draw.token, store=self.store, ledger=self.ledger)
        self.log.write("challenging", f"{key} {told}", step=draw.step, token=draw.token, **about)
        opened = open_challenge(evidence, self.ledger)
        case = Case("jury", opened.id, header.agent_id, draw.nonce, draw.step, draw.token, worth.bond)
        with self.journal.together():
            self.journal.save_case(case)
            self.journal.count("challenged")
        self.log.write(
            "challenged", f"{key}: dispute {opened.id}", dispute=opened.id, bond=str(worth.bond), **about
        )
        return True

    def bring(self, draw: Draw, header: BatchHeader, found: Finding) -> bool:
        """Prove or demand what needs no jury, if that pays; False while it may still come to that."""
        about = {"agentId": header.agent_id, "nonce": draw.nonce, "cid": draw.cid, "fault": found.fault}
        key = f"{found.fault} by agent {header.agent_id} at nonce {draw.nonce}"
        try:
            worth = worth_of_finding(self.ledger, found)
            told = worth.explain(self.confidence if found.is_demand else 10_000, self.least)
            if not worth.pays(self.confidence if found.is_demand else 10_000, self.least):
                self.log.write_once(key, "unpaid", f"{key} {told}", **about)
                return False
            outcome = found.bring(self.ledger)
        except ChainError as error:
            if error.revert is None:
                raise
            # brought before, by somebody or for another action of the batch
            self.log.write_once(key, "refused", f"{key}: {error.revert}", **about)
            return not found.is_demand
        if found.is_demand:
            case = Case("demand", outcome, header.agent_id, draw.nonce, bond=worth.bond)
            with self.journal.together():
                self.journal.save_case(case)
                self.journal.count("demanded")
            self.log.write("demanded", f"{key} {told}: demand {outcome}", demand=outcome, **about)
            return False
        self.journal.count("proved")
        self.journal.count("wei_earned", worth.reward)
        self.log.write("proved", f"{key} {told}: {show_open(outcome)} slashed", slashed=str(outcome), **about)
        return True

    def ask_for_audit(self, header: BatchHeader) -> None:
        """Request a random audit of the batch if the audit fund can pay its jury; once, by anybody."""
        disputes = self.ledger.contracts.disputes
        fund = int(self.ledger.call(disputes.functions.auditFund()))
        fund += self.ledger.settlement.credit_of(disputes.address)
        cost = 5 * self.ledger.parameter("jurorFee") * -(-self.ledger.parameter("kLeaves") // 8)
        batch = f"the batch of agent {header.agent_id} from nonce {header.first_nonce}"
        about = {"agentId": header.agent_id, "nonce": header.first_nonce}
        if fund < cost:
            why = f"no audit of {batch}: the fund holds {show_open(fund)}, a jury costs {show_open(cost)}"
            self.log.write_once("audit fund", "unfunded", why, **about)
            return
        try:
            asked = request_audit(header, self.ledger)
        except ChainError as error:
            if error.revert is None:
                raise
            self.log.write("refused", f"no audit of {batch}: {error.revert}", **about)
            return
        self.journal.save_case(Case("audit", asked.id, header.agent_id, header.first_nonce))
        self.log.write(
            "asked", f"asked for an audit of {batch}: dispute {asked.id}", dispute=asked.id, **about
        )

    # -- seeing through --------------------------------------------------------------------------

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
            challenge.reveal(self._evidence(case))
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
            opened = next(iter(self.ledger.events(events.ChallengeOpened, id=case.id)), None)
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

    # -- what is known of an action --------------------------------------------------------------

    @property
    def _functions(self) -> Any:
        return self.ledger.contracts.disputes.functions

    def _committed(self, agent_id: int, nonce: int) -> Case | None:
        events = self.ledger.contracts.disputes.events.ChallengeCommitted
        for event in self.ledger.events(events, agentId=agent_id, nonce=nonce):
            if event["challenger"] == self.ledger.address:
                return self._adopt("jury", event)
        return None

    def _sending(self) -> bool:
        eth, address = self.ledger.chain.w3.eth, self.ledger.signer.address
        return eth.get_transaction_count(address, "pending") > eth.get_transaction_count(address, "latest")

    def _before_jury(self, agent_id: int, nonce: int) -> int | None:
        """Another account's dispute that judges the action's tokens now."""
        events = self.ledger.contracts.disputes.events.ChallengeOpened
        for event in self.ledger.events(events, agentId=agent_id, nonce=nonce):
            found = self.ledger.call(self._functions.dispute(int(event["id"])))
            is_tokens = FAULTS[int(found.fault)] == "OutputMismatch"
            if is_tokens and STATES[int(found.state)] in ("Open", "Drawn", "Ruled"):
                return int(event["id"])
        return None

    def _evidence(self, case: Case) -> Evidence:
        """What the dispute was committed with; when the journal does not say, each token is tried."""
        header = header_of(case.agent_id, case.nonce, self.ledger)
        batch = Batch.decode(cid_from_digest(header.batch_digest), self.store.get)
        action = fetch_action(batch.entries[case.nonce - header.first_nonce].envelope, self.store)
        committed = bytes(self.ledger.call(self._functions.dispute(case.id)).evidenceHash)
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
            why="it opens no token of the action, as a dispute of payouts or training",
            fix=f"show it by the call that committed it, before {case.id} is forfeited",
        )
