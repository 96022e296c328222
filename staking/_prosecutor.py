"""Brings before the Disputes contract what an audit found, where it pays, and sees every dispute of its account through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..contracts import show_open
from ..errors import ChainError
from ..registry import BatchHeader, ContentStore, Ledger
from ._batches import request_audit
from ._cases import Cases
from ._challenge import STATES, Challenge, build_evidence, open_challenge
from ._daemon import DaemonLog
from ._finding import FAULTS, Finding
from ._journal import Case, Draw, Journal
from ._questions import challenge_shares
from ._verify import fetch_action
from ._worth import Worth, worth_of_challenge, worth_of_finding, worth_of_shares

__all__ = ["Prosecutor"]


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

    @cached_property
    def cases(self) -> Cases:
        """This account's disputes and demands."""
        return Cases(self.ledger, self.store, self.journal, self.log)

    def challenge(self, draw: Draw, header: BatchHeader) -> bool:
        """Challenge the action before a jury, once, if that pays; False while it may still come to that.

        Raises ``OpenLedgerError`` when a step failed; what was committed by then is shown by :meth:`tend`.
        """
        key = f"challenge of nonce {draw.nonce} of agent {header.agent_id}"
        about = {"agentId": header.agent_id, "nonce": draw.nonce, "cid": draw.cid}
        own = self.cases.of_tokens(header, draw.nonce)
        other = self._before_jury(header.agent_id, draw.nonce)
        if (over := self._not_now(key, own, other, about)) is not None:
            return over
        record = fetch_action(draw.cid, self.store).record
        worth = worth_of_challenge(self.ledger, header, record, gross=draw.step >= 0)

        def send() -> Challenge:
            evidence = build_evidence(draw.cid, draw.step, draw.token, store=self.store, ledger=self.ledger)
            return open_challenge(evidence, self.ledger)

        return self._open(
            key, worth, send, Case("jury", 0, header.agent_id, draw.nonce, draw.step, draw.token), about
        )

    def dispute_shares(self, header: BatchHeader) -> bool:
        """Dispute a batch's payouts, once, if that pays; as :meth:`challenge`."""
        key = f"dispute of the payouts of agent {header.agent_id} from nonce {header.first_nonce}"
        about = {"agentId": header.agent_id, "nonce": header.first_nonce, "fault": "WrongShares"}
        own, other = self.cases.of_shares(header), self._shares_before_jury(header)
        if (over := self._not_now(key, own, other, about)) is not None:
            return over
        worth = worth_of_shares(self.ledger, header)
        case = Case("jury", 0, header.agent_id, header.first_nonce)
        return self._open(key, worth, lambda: challenge_shares(header, self.ledger), case, about)

    def _not_now(self, key: str, own: Case | None, other: int | None, about: dict[str, Any]) -> bool | None:
        """Whether it is brought already (True) or has to wait (False); None when nothing is in the way."""
        if own is not None:
            self.log.write("known", f"{key}: it is dispute {own.id} of this account", dispute=own.id, **about)
            return True
        if self._sending():
            self.log.write_once(key, "waits", f"{key} waits: a transaction of this account is not mined yet")
            return False
        if other is not None:
            self.log.write_once(key, "waits", f"{key} waits: dispute {other} judges it", **about)
            return False
        return None

    def _open(
        self, key: str, worth: Worth, send: Callable[[], Challenge], case: Case, about: dict[str, Any]
    ) -> bool:
        told = worth.explain(self.confidence, self.least)
        if not worth.pays(self.confidence, self.least):
            self.log.write_once(key, "unpaid", f"{key} {told}", **about)
            return False
        more = {} if case.step < 0 else {"step": case.step, "token": case.token}
        self.log.write("challenging", f"{key} {told}", **more, **about)
        opened = send()
        case.id, case.bond = opened.id, worth.bond
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

    def adopt(self) -> None:
        """See :meth:`Cases.adopt`."""
        self.cases.adopt()

    def tend(self) -> None:
        """See :meth:`Cases.tend`."""
        self.cases.tend()

    # -- what is known ---------------------------------------------------------------------------

    @property
    def _functions(self) -> Any:
        return self.ledger.contracts.disputes.functions

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

    def _shares_before_jury(self, header: BatchHeader) -> int | None:
        """A dispute that judges the batch's payouts, or judged them: they are judged once."""
        events = self.ledger.contracts.disputes.events.SharesDisputed
        for event in self.ledger.events(events, headerHash=header.hash()):
            state = STATES[int(self.ledger.call(self._functions.dispute(int(event["id"]))).state)]
            if state != "Voided":
                return int(event["id"])
        return None
