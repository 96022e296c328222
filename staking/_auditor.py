"""Draws anchored actions at random, checks them, and has the prosecutor bring what is wrong. One pass at a time, so that it
may be stopped anywhere: what was drawn, checked and brought is in the journal, and what was committed on the chain."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from ..errors import ContentError
from ..registry import Batch, BatchHeader, ContentStore, Ledger, ModelCallStep, cid_from_digest
from ._cases import OVERLAP
from ._charges import Charges
from ._daemon import DaemonLog
from ._demands import require_store, withheld_batch
from ._docket import Docket
from ._due import clock
from ._finding import Finding
from ._journal import Draw, Journal
from ._payout_auditor import PayoutAuditor, Recompute
from ._prosecutor import Prosecutor
from ._retry import Budget
from ._search import find_fault
from ._verify import ReplayerFor, Report, Verdict, fetch_action, verify

__all__ = ["AuditPolicy", "Auditor"]

COUNTERS = ("actions_seen", "actions_sampled", "actions_verified", "actions_mismatch", "actions_unverified",
            "payouts_verified", "payouts_mismatch", "payouts_unverified", "actions_recomputed", "tokens_replayed",
            "challenged", "proved", "demanded", "won", "lost", "wei_earned", "wei_lost", "wei_gas")  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditPolicy:
    """What an auditor looks at and what it spends."""

    rate: float = 0.1
    """Probability that an anchored action is drawn, above 0 and at most 1."""
    agents: Collection[int] | None = None
    """Ids; None for all."""
    tokens_per_pass: int = 20_000
    """Output tokens that may be replayed."""
    tokens_per_hour: int = 200_000
    payouts_per_pass: int = 2_000
    """Actions whose payouts may be recomputed; batches with a drawn action are, as a whole."""
    payouts_per_hour: int = 20_000
    confidence: int = 9_500
    """Of 10,000 challenges, how many it expects to convict."""
    least_profit: int = 0
    """Wei a challenge has to bring on average."""
    demand_after: int = 3_600
    """Seconds for which content must be missing before it is demanded."""
    random_audits: bool = False
    """Ask for random audits, paid from the audit fund, of as many batches as ``rate`` draws."""


@dataclass
class Auditor:
    """See the module. ``rng`` draws; an operator must not be able to foresee it. Without ``recompute`` payouts are not looked
    at."""

    ledger: Ledger
    store: ContentStore
    replayer: ReplayerFor
    journal: Journal
    log: DaemonLog
    policy: AuditPolicy = field(default_factory=AuditPolicy)
    rng: random.Random = field(default_factory=random.SystemRandom)
    now: Callable[[], float] = time.time
    recompute: Recompute | None = None

    def __post_init__(self) -> None:
        self.journal.expect(COUNTERS)
        self.charges = Charges(self.ledger, self.store)
        self.prosecutor = Prosecutor(
            self.ledger, self.store, self.journal, self.log, self.policy.confidence, self.policy.least_profit
        )
        self.payouts = None if self.recompute is None else self._payouts(self.recompute)
        self.docket: Docket[Draw] = Docket(
            self.ledger,
            self.journal,
            self.log,
            lambda: self.now(),
            self._tell,
            lambda draw: (f"nonce {draw.nonce} of batch {draw.batch[:8]}", {"cid": draw.cid}),
            "it could be checked",
        )

    def _payouts(self, recompute: Recompute) -> PayoutAuditor:
        return PayoutAuditor(
            self.ledger,
            self.store,
            self.journal,
            self.log,
            self.prosecutor,
            recompute,
            self.policy.payouts_per_pass,
            self.policy.payouts_per_hour,
            lambda: self.now(),
        )

    def run(self) -> None:
        """One pass: own disputes first, for they have deadlines; then new batches, checks and challenges.

        Raises ``ChainError`` when the chain is away; everything else is logged and tried again.
        """
        self.prosecutor.adopt()
        self.prosecutor.tend()
        for draw in self.journal.draws("found"):
            self.docket.guarded(draw, self._reconsider)
        self.look_for_batches()
        hour = self.journal.spent_since(int(self.now()) - 3_600)
        budget = Budget(self.policy.tokens_per_pass, self.policy.tokens_per_hour, spent_hour=hour)
        for draw in self.journal.draws("drawn"):
            if draw.next_at <= self.now():
                self.docket.guarded(draw, lambda one: self._check(one, budget))
        if self.payouts is not None:
            self.payouts.run()
        self.prosecutor.tend()

    def look_for_batches(self) -> None:
        """Draw from the batches anchored since the last pass. Drawn is drawn: a restart does not draw again."""
        head = self.ledger.chain.block_number()
        since = int(self.journal.noted("batches-read") or 0) - OVERLAP
        for header in self.ledger.batches(since=since):
            if self.policy.agents is not None and header.agent_id not in self.policy.agents:
                continue
            if self.journal.knows(header):
                continue
            over = clock(self.ledger) > self.ledger.challengeable_until(header)
            nonces = range(header.first_nonce, header.first_nonce + header.count)
            drawn = [] if over else [nonce for nonce in nonces if self.rng.random() < self.policy.rate]
            batch = f"batch of agent {header.agent_id} from nonce {header.first_nonce}"
            more = "its window is over" if over else f"{len(drawn)} drawn"
            about = {"agentId": header.agent_id, "nonce": header.first_nonce, "count": header.count}
            with self.journal.together():
                pays = self.payouts is not None and bool(drawn) and header.payout_count > 0
                self.journal.add_batch(header, drawn, payouts=pays)
                self.journal.count("actions_seen", header.count)
                self.journal.count("actions_sampled", len(drawn))
            # not which ones: whoever reads the log must not know what will not be looked at
            self.log.write("seen", f"{batch}: {header.count} actions, {more}", drawn=len(drawn), **about)
            if self.policy.random_audits and not over and self.rng.random() < self.policy.rate:
                self.prosecutor.ask_for_audit(header)
        if not self.ledger.chain.is_dry_run:
            self.journal.note("batches-read", str(head))

    # -- checking --------------------------------------------------------------------------------

    def _check(self, draw: Draw, budget: Budget) -> None:
        header = self.docket.open(draw)
        if header is None:
            return None
        try:
            batch = Batch.decode(cid_from_digest(header.batch_digest), self.store.get)
        except ContentError as error:
            require_store(self.store)
            found = withheld_batch(header, self.ledger, self.store)
            return self._withheld(draw, header, found, str(error))
        draw.cid = batch.entries[draw.nonce - header.first_nonce].envelope
        try:
            fault = self._find(draw, header)
            if fault is not None:
                return self._fault(draw, header, fault)
            steps = fetch_action(draw.cid, self.store).steps
        except ContentError as error:
            require_store(self.store)
            return self.docket.retry(draw, header, str(error))
        draw.missing_since = 0
        tokens = sum(len(step.output_tokens) for step in steps if isinstance(step, ModelCallStep))
        if not budget.allows(tokens):
            self.log.write_once("budget", "budget", "the replay budget is spent; the rest waits")
            return self.journal.save_draw(draw)
        report = verify(draw.cid, store=self.store, ledger=self.ledger, replayer=self.replayer)
        budget.spend(report.tokens_replayed)
        draw.tokens += report.tokens_replayed
        self.journal.spend(int(self.now()), report.tokens_replayed)
        self.journal.count("tokens_replayed", report.tokens_replayed)
        return self._judge(draw, header, report)

    def _judge(self, draw: Draw, header: BatchHeader, report: Report) -> None:
        if report.verdict is Verdict.VERIFIED:
            return self.docket.finish(draw, header, "verified", "")
        if report.verdict is Verdict.UNVERIFIED:
            replayed = [check.verdict for check in report.checks if check.name == "replay"]
            if replayed and Verdict.UNVERIFIED not in replayed:  # what is missing is not a matter of time
                return self.docket.finish(draw, header, "unverified", report.summary)
            return self.docket.retry(draw, header, report.summary)
        replay = report.replay
        if replay is None or report.step is None or replay.evidence is None:
            return self.docket.finish(draw, header, "mismatch", f"{report.summary}; no dispute is about this")
        draw.step = report.step if replay.gross else -2
        draw.token = replay.evidence
        self.docket.found(draw, header, report.summary)
        return self._reconsider(draw)

    def _fault(self, draw: Draw, header: BatchHeader, fault: Finding) -> None:
        if fault.fault == "DataWithheld":
            return self._withheld(draw, header, fault, fault.why)
        draw.step = -1
        self.docket.found(draw, header, f"{fault.fault}: {fault.why}")
        return self._reconsider(draw)

    def _find(self, draw: Draw, header: BatchHeader) -> Finding | None:
        at = header, draw.nonce
        return find_fault(draw.cid, store=self.store, ledger=self.ledger, at=at, charges=self.charges)

    def _reconsider(self, draw: Draw) -> None:
        """Bring what was found, if it pays now."""
        header = self.docket.open(draw)
        if header is None:
            return
        if draw.step == -1:
            fault = self._find(draw, header)
            over = fault is None or self.prosecutor.bring(draw, header, fault)
        else:
            over = self.prosecutor.challenge(draw, header)
        if over:
            self.docket.brought(draw)

    def _withheld(self, draw: Draw, header: BatchHeader, found: Finding | None, why: str) -> None:
        """Content is missing: perhaps it only travels slowly, so it is demanded after a while only."""
        require_store(self.store)
        now = clock(self.ledger)
        draw.missing_since = draw.missing_since or now
        if found is not None and now - draw.missing_since >= self.policy.demand_after:
            self.prosecutor.bring(draw, header, found)
        self.docket.retry(draw, header, why, limited=False)

    def _tell(self, draw: Draw, header: BatchHeader, again: int | None) -> None:
        """A line for everything that was looked at, before it is noted as looked at."""
        what = f"agent {header.agent_id} nonce {draw.nonce}: {draw.verdict}"
        if draw.why:
            what += f", {draw.why.removeprefix(f'{draw.verdict}: ')}"
        more = {} if again is None else {"retryIn": again}
        self.log.write(
            "checked",
            what,
            agentId=header.agent_id,
            nonce=draw.nonce,
            cid=draw.cid,
            verdict=draw.verdict,
            why=draw.why,
            tokens=draw.tokens,
            **more,
        )
