"""The operator of one agent: takes paid requests, has them executed, records, signs, anchors and settles.

Every step is made durable in the outbox before the next one depends on it, and every step may be
repeated, so a process killed anywhere continues with ``recover()``: no action lost, none paid twice.
One operator an agent: it alone holds the record key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ..agents import Agent, Outcome
from ..errors import ChainError, UserError
from ..registry import (
    ActionContent,
    ActionRecord,
    ContentStore,
    Domain,
    HashSigner,
    Ledger,
    Manifest,
    Payment,
    ReplayClass,
    SeedSource,
    SignedRecord,
    Status,
    Ticket,
    digest_of,
    steps_tree,
)
from ._outbox import ActionRow, Outbox, State
from ._phases import Observe, ignore, phase
from ._requests import PaidRequest, Receipt, SignedTicket, check_request

__all__ = ["Attributor", "Credit", "Job", "Operator", "Runner", "paid_by"]


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
        """Raises ``UserError`` when the agent has anchored actions and ``outbox`` knows none of its: with a lost
        outbox it could sign a second record for a nonce, which is slashed. ``new_outbox`` says that everything
        that was ever signed has been anchored."""
        self.agent, self.agent_id, self.epoch, self.manifest = agent, agent_id, epoch, manifest
        self._key, self._ledger, self._store, self._outbox = record_key, ledger, store, outbox
        self._runner, self._attributor, self._observe = runner, attributor, observe
        self._domain: Domain = ledger.domain
        self._first_nonce = ledger.next_nonce(agent_id)
        if self._first_nonce and not new_outbox and not outbox.knows(agent_id):
            raise UserError(
                f"the outbox holds no action of agent {agent_id}, which has anchored {self._first_nonce}",
                why="records signed and not yet anchored may be lost; signing their nonces again would be slashed",
                fix=f"restore the outbox {outbox.url}, or pass new_outbox=True if all that was signed is anchored",
            )
        self._admitting = threading.RLock()
        self._locks: dict[str, tuple[threading.Lock, int]] = {}

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
                row = self._admit(paid, payment_id)
            if row.state is State.PAYING:
                row = self._collect(row)
        return _ticket(row)

    def finish(self, payment_id: bytes) -> Receipt:
        """Execute, record and sign an accepted action; asked again, the same receipt.

        Raises ``ExecutionError`` when no worker could run it: ask again.
        """
        key = "0x" + payment_id.hex()
        with self._locked(key):
            return self._receipt(self._advance(self._outbox.get(key)))

    def submit(self, paid: PaidRequest) -> Receipt:
        """:meth:`accept`, then :meth:`finish`."""
        self.accept(paid)
        return self.finish(paid.payment_id)

    def recover(self) -> int:
        """Continue everything a crash interrupted; returns how many actions were. Call once at start."""
        unfinished = self._outbox.in_state(self.agent_id, State.PAYING, State.ACCEPTED, State.EXECUTED)
        for row in unfinished:
            try:
                self._advance(row)
            except UserError:
                continue  # its payment was withdrawn: dropped, nothing was taken
            except ChainError as error:
                if error.revert is None:
                    raise  # the chain is away: nothing can be said about this payment yet
        return len(unfinished)

    def _advance(self, row: ActionRow) -> ActionRow:
        if row.state is State.PAYING:
            row = self._collect(row)
        if row.state is State.ACCEPTED:
            row = self._execute(row)
        if row.state is State.EXECUTED:
            row = self._sign(row)
        return row

    def _check(self, paid: PaidRequest) -> None:
        payment, price = paid.payment, self.agent.price
        check_request(paid.request)
        if paid.agent_id != self.agent_id:
            raise UserError(
                f"this request is for agent {paid.agent_id}",
                why=f"agent {self.agent_id} serves here",
                fix="send it to that agent's operator",
            )
        if payment.value < price:
            raise UserError(
                "the request is underpaid",
                why=f"it authorises {payment.value} wei and agent {self.agent_id} asks {price}",
                fix=f"authorise {price} wei; nothing was taken",
            )
        self._ledger.payments.check(payment, self.agent_id, paid.request_hash)

    def _admit(self, paid: PaidRequest, payment_id: str) -> ActionRow:
        """Note a request the stake can back; one at a time, so that two cannot use the same cover."""
        self._check(paid)
        with self._admitting:
            self._ledger.check_cover(
                self.agent_id, paid.payment.value, self._outbox.pending_fees(self.agent_id)
            )
            asked = {"request": paid.request, "payment": paid.payment.to_block(), "held": paid.held}
            return self._outbox.open(payment_id, self.agent_id, paid.payment.value, asked)

    def _collect(self, row: ActionRow) -> ActionRow:
        paid = paid_by(row)
        with phase(self._observe, "pay"):
            try:
                self._ledger.payments.collect(
                    paid.payment, paid.payment.nonce(self.agent_id, paid.request_hash)
                )
            except UserError:
                self._outbox.drop(row.payment_id)
                raise
            except ChainError as error:
                if error.revert is not None:  # refused, not merely unreachable: nothing was taken
                    self._outbox.drop(row.payment_id)
                raise
        with phase(self._observe, "accept"):
            ticket = Ticket(
                agent_id=self.agent_id,
                epoch=self.epoch,
                payment_id=paid.payment_id,
                request_hash=paid.request_hash,
                anchor_by=self._ledger.now() + self._ledger.max_anchor_lag,
            )
            signature = ticket.sign(self._key, self._domain)
            promise = {"epoch": ticket.epoch, "anchor_by": ticket.anchor_by, "signature": signature}
            self._outbox.accept(row.payment_id, {**row.accepted, "ticket": promise})
        return self._outbox.get(row.payment_id)

    def _execute(self, row: ActionRow) -> ActionRow:
        paid, ticket = paid_by(row), row.accepted["ticket"]
        request = paid.request
        with phase(self._observe, "execute"):
            outcome = self._runner.run(
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
        try:
            content, credit = self._content(row, outcome)
        except UserError as error:
            # What cannot be recorded cannot be answered for: the action fails and its fee goes back.
            refused = {"code": error.code, "error": str(error)}
            outcome = Outcome(Status.FAILED, refused, (), outcome.started, outcome.ended)
            content, credit = self._content(row, outcome)
        steps_root = steps_tree([step.leaf(i) for i, step in enumerate(outcome.steps)]).root

        def fix(nonce: int) -> tuple[str, dict[str, Any]]:
            record = ActionRecord(
                agent_id=self.agent_id,
                nonce=nonce,
                epoch=ticket["epoch"],
                client=paid.payment.client,
                payment_id=paid.payment_id,
                status=outcome.status,
                request_hash=paid.request_hash,
                output_hash=content.output_hash,
                steps_root=steps_root,
                rule_id=self._attributor.rule_id,
                fee=paid.payment.value,
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
            return self._outbox.execute(row.payment_id, self._first_nonce, fix)

    def _content(self, row: ActionRow, outcome: Outcome) -> tuple[ActionContent, Credit]:
        """Attribute the outcome and store its content. Raises ``UserError`` for what a record cannot hold."""
        paid = paid_by(row)
        with phase(self._observe, "attribute"):
            credit = self._attributor.credit(outcome, paid.payment.value, row.accepted["ticket"]["epoch"])
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
        return content, credit

    def _sign(self, row: ActionRow) -> ActionRow:
        assert row.executed is not None  # EXECUTED rows have it
        with phase(self._observe, "sign"):
            record = ActionRecord.from_block(row.executed["record"], None)
            signed = SignedRecord.make(record, self._key, self._domain, row.executed["content"])
            self._store.put(signed.encode())
        with phase(self._observe, "receipt"):
            self._outbox.signed(row.payment_id, signed.signature.hex(), signed.cid)
        return self._outbox.get(row.payment_id)

    def _receipt(self, row: ActionRow) -> Receipt:
        assert row.envelope is not None  # SIGNED rows and later ones have it
        signed = SignedRecord.decode(self._store.get(row.envelope), row.envelope)
        content = ActionContent.decode(signed.content, self._store.get)
        return Receipt(row.envelope, signed, content.output)

    @contextmanager
    def _locked(self, payment_id: str) -> Iterator[None]:
        """One thread at a time works on a payment; copies of a request wait and get the same answer."""
        with self._admitting:
            lock, waiting = self._locks.get(payment_id, (threading.Lock(), 0))
            self._locks[payment_id] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._admitting:
                lock, waiting = self._locks.pop(payment_id)
                if waiting > 1:
                    self._locks[payment_id] = lock, waiting - 1


def paid_by(row: ActionRow) -> PaidRequest:
    """The request of an action, and what paid for it."""
    payment = Payment.from_block(row.accepted["payment"], None)
    return PaidRequest(row.accepted["request"], payment, row.accepted.get("held", False))


def _ticket(row: ActionRow) -> SignedTicket:
    paid, promise = paid_by(row), row.accepted["ticket"]
    ticket = Ticket(
        agent_id=row.agent_id,
        epoch=promise["epoch"],
        payment_id=paid.payment_id,
        request_hash=paid.request_hash,
        anchor_by=promise["anchor_by"],
    )
    return SignedTicket(ticket, promise["signature"])
