"""A call from its payment to its receipt.

An action that was begun is finished in a thread of its own, whoever still listens: a client that hangs up loses
nothing, and the same payment fetches the same receipt later.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from x402.schemas import SettleResponse

from ...errors import ChainError, ContentError, OpenLedgerError, UserError
from ...registry import (
    ActionContent,
    Connection,
    ModelCallStep,
    decode_step,
    used_tokens,
    value_hash,
)
from .._client import Client
from .._requests import PaidRequest, Receipt, SignedTicket, check_request, request_of
from ._agents import Agents, Served
from ._keys import Key, Keys
from ._limits import Limiter
from ._log import note
from ._rehearsal import Rehearsal
from ._token_stream import TokenStreams
from ._x402 import Till, metered

__all__ = ["Call", "Calls", "Payer", "Used", "wait"]

T = TypeVar("T")


@dataclass(frozen=True)
class Payer:
    """How a request pays, and who sent it."""

    client: str
    """Whom limits count it for."""
    url: str
    payment: str | None = None
    """The ``PAYMENT-SIGNATURE`` header."""
    key: Key | None = None
    once: str | None = None
    """The ``Idempotency-Key`` header: with the same one, the same request is paid once."""


@dataclass(frozen=True)
class Used:
    """Tokens of an action's model calls, and how the last of them ended: ``stop`` or ``length``."""

    prompt: int
    output: int
    finish: str

    def to_json(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.output,
            "total_tokens": self.prompt + self.output,
        }


@dataclass
class Call:
    """An action under way."""

    served: Served
    streams: TokenStreams | None = None
    """Where its tokens can be had as they are made."""
    paid: Future[PaidRequest] = field(default_factory=Future)
    """Known once its payment is signed."""
    ticket: Future[SignedTicket] = field(default_factory=Future)
    """Given once it is paid. Fails as ``Operator.accept``, or with ``PaymentRefused``."""
    receipt: Future[Receipt] = field(default_factory=Future)
    """Fails as ``Operator.finish``."""
    settled: SettleResponse | None = None
    """What became of the payment of a call paid by x402."""

    def __post_init__(self) -> None:
        for future in (self.paid, self.ticket, self.receipt):
            future.set_running_or_notify_cancel()  # whoever stops waiting cannot cancel it


async def wait(future: Future[T]) -> T:
    """The result. Giving up waiting cancels nothing."""
    return await asyncio.shield(asyncio.wrap_future(future))


class Calls:
    """Begins calls and sees them through."""

    def __init__(
        self,
        connection: Connection,
        agents: Agents,
        keys: Keys | None,
        limiter: Limiter,
        streams: TokenStreams | None,
    ) -> None:
        self.till = Till(connection)
        self._connection, self._agents, self._keys = connection, agents, keys
        self._limiter, self._streams = limiter, streams
        self._rehearsal = None if streams is None else Rehearsal(streams.pool)
        self._lock = threading.Lock()
        self._late: list[tuple[Served, PaidRequest]] = []
        self._threads = ThreadPoolExecutor(limiter.limits.running, thread_name_prefix="action")

    def close(self) -> None:
        """Wait for what runs."""
        self._threads.shutdown(wait=True)

    def begin(
        self,
        served: Served,
        value: Any,
        payer: Payer,
        *,
        thread: str | None = None,
        parent: str | None = None,
        stream: bool = False,
    ) -> Call:
        """Start a paid action; with ``stream`` its tokens are wanted where it has any to give.

        Raises ``UserError`` for a request that cannot be recorded, ``PaymentRefused`` when nobody pays,
        ``OverloadedError`` when too much runs; nothing was paid then.
        """
        request = request_of(served.agent_id, value, thread=thread, parent=parent)
        if parent is None:  # else it answers an interrupt
            served.check(value)
        try:
            check_request(request)
            value_hash(request)
        except (ValueError, RecursionError) as error:  # what JSON may hold and a record may not
            raise UserError("the request cannot be recorded", why=type(error).__name__) from None
        make = self._payment(served, request, payer)
        self._limiter.begin(payer.client)
        call = Call(served, self._streams if stream and served.is_model else None)
        # In the caller's context: the action belongs to the request's span.
        self._threads.submit(copy_context().run, self._run, call, make, request, payer)
        return call

    def _payment(self, served: Served, request: dict[str, Any], payer: Payer) -> Callable[[], PaidRequest]:
        if payer.payment is not None:
            paid = self.till.read(payer.payment, served, request, payer.url)
            return lambda: paid
        if payer.key is None:
            raise self.till.refusal(
                served,
                request,
                payer.url,
                "Payment is required",
                why="the request carries neither an x402 payment nor an API key",
                fix="pay what PAYMENT-REQUIRED asks, or send Authorization: Bearer <key>",
            )
        key, keys = payer.key, self._keys
        assert keys is not None  # there is no key without them

        def prepaid() -> PaidRequest:
            signer = keys.payer(key)
            client = Client(signer, self._connection.as_(signer))
            salt = None
            if payer.once is not None:
                salt = self._connection.as_(signer).secret("gateway-once", payer.once.encode())
            given = {"thread": request["thread"], "parent": request["parent"]}
            paid = client.prepare(served.agent_id, request["input"], served.price, salt=salt, **given)
            keys.reserve(key, _hex(paid), served.agent_id, served.price)
            return replace(paid, held=True)

        return prepaid

    def _run(
        self, call: Call, make: Callable[[], PaidRequest], request: dict[str, Any], payer: Payer
    ) -> None:
        operator = call.served.service.operator
        try:
            if self._rehearsal is not None and request["parent"] is None:
                self._rehearsal.check(call.served, request["input"])
            paid = make()
            call.paid.set_result(paid)
            ticket = self._accept(call, paid, request, payer)
            if not paid.held:
                call.settled = self.till.settled(paid)
            if call.streams is not None:
                call.streams.open(paid)
            call.ticket.set_result(ticket)
            receipt = operator.finish(paid.payment_id)
            self._close_spend(paid, receipt)
            if call.settled is not None and call.served.tariff is not None:
                call.settled = metered(call.settled, receipt.record)
            call.receipt.set_result(receipt)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            for future in (call.paid, call.ticket, call.receipt):
                if not future.done():
                    future.set_exception(error)
            if call.paid.exception() is None and not isinstance(error, UserError):
                with self._lock:
                    self._late.append((call.served, call.paid.result()))
        finally:
            self._limiter.end(payer.client)
            note("call", agent=call.served.agent_id, payment=_shown(call.paid), error=_code(call.receipt))

    def _accept(self, call: Call, paid: PaidRequest, request: dict[str, Any], payer: Payer) -> SignedTicket:
        try:
            return call.served.service.operator.accept(paid)
        except (UserError, ContentError, ChainError) as error:
            if isinstance(error, ChainError) and error.revert is None:
                raise  # it is away: whether the payment was taken, the same call will tell
            if paid.held and self._keys is not None:
                self._keys.settle(_hex(paid), 0)
            if error.code != UserError.code and isinstance(error, UserError):
                raise  # not about the payment
            what = "The payment was refused"
            fix = error.fix or "sign a payment for what PAYMENT-REQUIRED asks; nothing was taken"
            raise self.till.refusal(
                call.served, request, payer.url, what, why=_cause(error), fix=fix
            ) from error

    def finish_late(self) -> None:
        """Try again what was paid, or may have been, and could not be finished: its ticket promises a record in time.
        Whoever sends the same payment again gets the same receipt."""
        with self._lock:
            late, self._late = self._late, []
        for served, paid in late:
            try:
                self._close_spend(paid, served.service.operator.finish(paid.payment_id))
            except UserError:
                if paid.held and self._keys is not None:
                    self._keys.settle(_hex(paid), 0)  # never taken
            except Exception as error:  # noqa: BLE001 - it stays due, whatever kept it
                code = getattr(error, "code", type(error).__name__)
                note("late", agent=served.agent_id, payment=_hex(paid), error=code)
                with self._lock:
                    self._late.append((served, paid))

    def _close_spend(self, paid: PaidRequest, receipt: Receipt) -> None:
        if paid.held and self._keys is not None:
            self._keys.settle(_hex(paid), receipt.record.charge)

    def reconcile(self) -> int:
        """Settle what a crash left open of prepaid calls; returns how many payments were. Call once at start."""
        left = self._keys.open_spends() if self._keys is not None else []
        for payment_id, agent_id in left:
            assert self._keys is not None
            try:
                service = self._agents.get(agent_id).service
            except UserError:
                continue  # served elsewhere now
            try:
                charged = service.operator.finish(bytes.fromhex(payment_id[2:])).record.charge
            except UserError:
                charged = 0  # never taken
            except OpenLedgerError:
                continue  # not to be known yet
            self._keys.settle(payment_id, charged)
        return len(left)

    async def used(self, receipt: Receipt) -> Used:
        """What the action used, read from its steps."""
        return await asyncio.get_running_loop().run_in_executor(None, self._used, receipt)

    def _used(self, receipt: Receipt) -> Used:
        get = self._connection.store.get
        steps = [decode_step(cid, get) for cid in ActionContent.decode(receipt.signed.content, get).steps]
        calls = [step for step in steps if isinstance(step, ModelCallStep)]
        return Used(*used_tokens(steps), calls[-1].finish if calls else "stop")


def _hex(paid: PaidRequest) -> str:
    return "0x" + paid.payment_id.hex()


def _cause(error: OpenLedgerError) -> str:
    parts = (error.what, error.revert if isinstance(error, ChainError) else error.why)
    return ". ".join(part for part in parts if part)


def _shown(paid: Future[PaidRequest]) -> str | None:
    return _hex(paid.result()) if paid.done() and paid.exception() is None else None


def _code(future: Future[Any]) -> str | None:
    error = future.exception() if future.done() else None
    return None if error is None else getattr(error, "code", type(error).__name__)
