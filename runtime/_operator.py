"""The operator of one agent: takes paid requests, has them executed, records, signs, anchors and settles.

Every step is made durable in the outbox before the next one depends on it, and every step may be
repeated, so a process killed anywhere continues with ``recover()``: no action lost, none paid twice.
One operator an agent: it alone holds the record key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..agents import Agent, Outcome, abandoned
from ..errors import ChainError, UserError
from ..registry import (
    ActionContent,
    ActionRecord,
    ContentStore,
    Domain,
    HashSigner,
    Ledger,
    Manifest,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Status,
    action_fee,
    digest_of,
    steps_tree,
)
from ..telemetry import Span
from ._intake import Intake, paid_of, ticket_of
from ._outbox import ActionRow, Outbox, State
from ._phases import Observe, ignore, phase
from ._requests import PaidRequest, Receipt, SignedTicket
from ._spans import action_span, executed, recorded

__all__ = ["Attributor", "Credit", "Job", "Operator", "Runner"]

_UNFINISHED = (State.PAYING, State.ACCEPTED, State.EXECUTED)


@dataclass(frozen=True)
class Job:
    """One execution: the graph's input and what fixes its seeds."""

    value: Any
    signature: bytes
    """The client's 65-byte payment signature."""
    request_hash: bytes
    thread: str
    payment_id: str = ""
    """Of the payment (0x…), where there is one."""
    resume: bool = False
    """Whether ``value`` answers the interrupt that ended the action before it on this thread."""


class Runner(Protocol):
    """Executes a job on some worker. Raises ``ExecutionError`` only if no worker could run it at all."""

    def run(self, job: Job) -> Outcome: ...


@dataclass(frozen=True)
class Credit:
    """Who is paid for one action: ``payouts`` as (account, wei) come to the fee less the cut, rounded up;
    ``scores`` say why. A failed action pays nobody."""

    payouts: tuple[tuple[str, int], ...]
    scores: Any


class Attributor(Protocol):
    """Splits the fee of an action along the lineage of its outcome."""

    @property
    def rule(self) -> str: ...

    @property
    def rule_id(self) -> bytes: ...

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit: ...


class Operator:
    """See the module. All methods are thread-safe; ``submit`` may run in many threads at once."""

    def __init__(
        self,
        agent: Agent,
        *,
        agent_id: int,
        epoch: int,
        manifest: Manifest,
        record_key: HashSigner,
        ledger: Ledger,
        store: ContentStore,
        outbox: Outbox,
        runner: Runner,
        attributor: Attributor,
        observe: Observe = ignore,
        new_outbox: bool = False,
    ) -> None:
        """Raises ``UserError`` when ``outbox`` is of another deployment, or when the agent has anchored actions and
        ``outbox`` knows none of its: with a lost outbox it could sign a second record for a nonce, which is slashed. ``new_outbox`` says that everything
        that was ever signed has been anchored."""
        self.agent, self.agent_id, self.epoch, self.manifest = agent, agent_id, epoch, manifest
        self._key, self._ledger, self._store, self._outbox = record_key, ledger, store, outbox
        self._runner, self._attributor, self._observe = runner, attributor, observe
        self._domain: Domain = ledger.domain
        outbox.claim(ledger.contracts)
        self._first_nonce = ledger.next_nonce(agent_id)
        if self._first_nonce and not new_outbox and not outbox.knows(agent_id):
            raise UserError(
                f"the outbox holds no action of agent {agent_id}, which has anchored {self._first_nonce}",
                why="records signed and not yet anchored may be lost; signing their nonces again would be slashed",
                fix=f"restore the outbox {outbox.url}, or pass new_outbox=True if all that was signed is anchored",
            )
        self._intake = Intake(agent.price, agent_id, epoch, record_key, ledger, outbox, observe)
        self._counting = threading.Lock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}
        self._outcomes: dict[
            str, Outcome
        ] = {}  # that could not be recorded yet: what they did is not done again

    # -- one action ------------------------------------------------------------------------------

    def accept(self, paid: PaidRequest) -> SignedTicket:
        """Collect the payment and promise an action for it. The same payment again gives the same ticket.

        Raises ``UserError`` for a request that is not acceptable and ``ChainError`` when the payment is refused
        (nothing is taken), or when the chain is unreachable (send it again: it continues).
        """
        payment_id = "0x" + paid.payment_id.hex()
        with self._locked(payment_id):
            try:
                row = self._outbox.get(payment_id)
            except UserError:
                row = self._intake.admit(paid)
            if row.state is State.PAYING:
                row = self._intake.collect(row)
        return ticket_of(row)

    def finish(self, payment_id: bytes) -> Receipt:
        """Execute, record and sign an accepted action; asked again, the same receipt.

        Raises ``ExecutionError`` when no worker could run it: ask again.
        """
        key = "0x" + payment_id.hex()
        with self._locked(key):
            return self._advance(self._outbox.get(key))

    def give_up(self, payment_id: bytes, why: str) -> Receipt:
        """Record an accepted action as failed without executing it, so that its payment goes back in time. One that was
        executed keeps its outcome, recorded or not."""
        key = "0x" + payment_id.hex()
        with self._locked(key):
            return self._advance(self._outbox.get(key), abandoned(int(time.time()), why))

    def submit(self, paid: PaidRequest) -> Receipt:
        """:meth:`accept`, then :meth:`finish`."""
        self.accept(paid)
        return self.finish(paid.payment_id)

    def recover(self) -> int:
        """Continue everything a crash interrupted; returns how many actions were. Call once at start."""
        unfinished = self._outbox.in_state(self.agent_id, *_UNFINISHED)
        for row in unfinished:
            try:
                self._advance(row)
            except UserError:
                continue  # its payment was withdrawn: dropped, nothing was taken
            except ChainError as error:
                if error.revert is None:
                    raise  # the chain is away: nothing can be said about this payment yet
        return len(unfinished)

    def _advance(self, row: ActionRow, outcome: Outcome | None = None) -> Receipt:
        """To the receipt; with ``outcome``, without executing what was not."""
        content, signed = None, None
        if row.state not in _UNFINISHED:
            return self._receipt(row, None, None)
        with action_span(self.agent.name, self.agent_id, row.payment_id) as span:
            if row.state is State.PAYING:
                row = self._intake.collect(row)
            if row.state is State.ACCEPTED:
                epoch, key = self._epoch_of(row), row.payment_id
                if epoch != row.accepted["ticket"]["epoch"]:
                    outcome = abandoned(int(time.time()), "the agent was renewed before it ran")
                else:
                    outcome = self._outcomes.get(key) or outcome or self._execute(row)
                self._outcomes[key] = outcome
                row, content = self._record(row, outcome, epoch, span)
                del self._outcomes[key]
            if row.state is State.EXECUTED:
                row, signed = self._sign(row)
                recorded(span, signed.record, signed.cid)
        return self._receipt(row, signed, content)

    def _epoch_of(self, row: ActionRow) -> int:
        """The epoch of an action's record: its ticket's, unless what runs here is not what that declares. Then nothing is run
        for it: a record must not say that it was done by what it was not."""
        number = int(row.accepted["ticket"]["epoch"])
        if number != self.epoch:
            epoch = self._ledger.epoch(self.agent_id, number)
            here = self.manifest.cid, str(self._key.address)
            if epoch is None or (epoch.manifest, epoch.record_key) != here:
                return self.epoch
        return number

    def _execute(self, row: ActionRow) -> Outcome:
        paid = paid_of(row)
        request = paid.request
        with phase(self._observe, "execute"):
            return self._runner.run(
                Job(
                    value=request["input"],
                    signature=paid.payment.signature,
                    request_hash=paid.request_hash,
                    # Within the client's own name: nobody continues another client's thread.
                    thread=f"{paid.payment.client}/{request['thread'] or row.payment_id}",
                    payment_id=row.payment_id,
                    resume=request["parent"] is not None,
                )
            )

    def _record(
        self, row: ActionRow, outcome: Outcome, epoch: int, span: Span
    ) -> tuple[ActionRow, ActionContent]:
        paid, ticket = paid_of(row), row.accepted["ticket"]
        try:
            content, credit, fee = self._content(row, outcome, epoch)
        except UserError as error:
            # What cannot be recorded cannot be answered for: the action fails and its fee goes back.
            refused = {"code": error.code, "error": str(error)}
            outcome = Outcome(Status.FAILED, refused, (), outcome.started, outcome.ended)
            content, credit, fee = self._content(row, outcome, epoch)
        executed(span, outcome)
        steps_root = steps_tree([step.leaf(i) for i, step in enumerate(outcome.steps)]).root

        def fix(nonce: int) -> tuple[str, dict[str, Any]]:
            record = ActionRecord(
                agent_id=self.agent_id,
                nonce=nonce,
                epoch=epoch,
                client=paid.payment.client,
                payment_id=paid.payment_id,
                status=outcome.status,
                request_hash=paid.request_hash,
                output_hash=content.output_hash,
                steps_root=steps_root,
                rule_id=self._attributor.rule_id,
                fee=fee,
                replay_class=ReplayClass.EXACT_TOLERANCE,
                seed_source=SeedSource.OPERATOR if paid.held else SeedSource.CLIENT,
                anchor_by=ticket["anchor_by"],
                content_digest=digest_of(content.cid),
            )
            payouts = [[account, str(amount)] for account, amount in credit.payouts]
            return "0x" + record.struct_hash().hex(), {
                "record": record.to_block(),
                "content": content.cid,
                "payouts": payouts,
                "fixed": [account for account, _ in self.manifest.fixed],
            }

        with phase(self._observe, "record"):
            return self._outbox.execute(row, self._first_nonce, fix), content

    def _content(self, row: ActionRow, outcome: Outcome, epoch: int) -> tuple[ActionContent, Credit, int]:
        """Attribute the outcome and store its content; with its fee. Raises ``UserError`` for what a record cannot hold."""
        paid = paid_of(row)
        fee = action_fee(self.manifest, outcome.steps, paid.payment.value)
        with phase(self._observe, "attribute"):
            credit = self._attributor.credit(outcome, fee, epoch)
        with phase(self._observe, "store"):
            content = ActionContent(
                manifest=self.manifest.cid,
                agent=self.agent.name,
                request=paid.request,
                output=outcome.output,
                payment=paid.payment,
                steps=[step.cid for step in outcome.steps],
                rule=self._attributor.rule,
                scores=credit.scores,
                parent=paid.request["parent"],
                started=outcome.started,
                ended=outcome.ended,
            )
            blocks = {
                cid: data for part in (*outcome.steps, content) for cid, data in part.encoded.blocks.items()
            }
            self._store.put_blocks(blocks)  # one flush for all of them
        return content, credit, fee

    def _sign(self, row: ActionRow) -> tuple[ActionRow, SignedRecord]:
        assert row.executed is not None  # EXECUTED rows have it
        with phase(self._observe, "sign"):
            record = ActionRecord.from_block(row.executed["record"], None)
            signed = SignedRecord.make(record, self._key, self._domain, row.executed["content"])
            envelope = self._store.put(signed.encode())
        with phase(self._observe, "receipt"):
            return self._outbox.signed(row, signed.signature.hex(), envelope), signed

    def _receipt(self, row: ActionRow, signed: SignedRecord | None, content: ActionContent | None) -> Receipt:
        """What was made just now, if it was, is not read again."""
        assert row.envelope is not None  # SIGNED rows and later ones have it
        if signed is None or signed.cid != row.envelope:  # another process may have signed it first
            signed = SignedRecord.decode(self._store.get(row.envelope), row.envelope)
        if content is None or content.cid != signed.content:  # another process may have recorded it first
            content = ActionContent.decode(signed.content, self._store.get)
        return Receipt(row.envelope, signed, content.output)

    @contextmanager
    def _locked(self, payment_id: str) -> Iterator[None]:
        """One thread at a time works on a payment; copies of a request wait and get the same answer."""
        with self._counting:
            lock, waiting = self._locks.get(payment_id, (threading.Lock(), 0))
            self._locks[payment_id] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._counting:
                lock, waiting = self._locks.pop(payment_id)
                if waiting > 1:
                    self._locks[payment_id] = lock, waiting - 1
