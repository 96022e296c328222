"""What every face of a gateway tells of a finished action, and how it streams while one runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from x402.http.constants import PAYMENT_RESPONSE_HEADER, PAYMENT_SIGNATURE_HEADER
from x402.http.utils import encode_payment_response_header

from ...errors import OpenLedgerError, OverloadedError
from ...registry import Status
from .._requests import PaidRequest, Receipt
from ._calls import Call, Payer, wait
from ._errors import Json, body_of, failure, respond, status_of

__all__ = [
    "PAYMENT_HEADER",
    "RECEIPT_HEADER",
    "Sse",
    "begun",
    "ended",
    "failed",
    "headers_of",
    "payer_of",
    "told",
]

RECEIPT_HEADER = "X-OpenLedger-Receipt"
PAYMENT_HEADER = "X-OpenLedger-Payment"
_ALIVE = 10.0
"""Seconds after which a silent stream says that it lives."""


def payer_of(request: Request) -> Payer:
    """How a request pays."""
    once = request.headers.get("Idempotency-Key")
    return Payer(
        client=request.state.client,
        url=str(request.url.replace(query="")),
        payment=request.headers.get(PAYMENT_SIGNATURE_HEADER),
        key=request.state.key,
        once=once,
    )


async def begun(call: Call) -> dict[str, Any]:
    """What is told of a call once it is paid. Raises when it was not."""
    ticket = (await wait(call.ticket)).ticket
    return {
        "agent": call.served.agent_id,
        "payment_id": "0x" + ticket.payment_id.hex(),
        "anchor_by": ticket.anchor_by,
    }


async def ended(call: Call) -> tuple[Receipt, dict[str, Any]]:
    """The receipt of a call, and what is told of it."""
    paid, receipt = await wait(call.paid), await wait(call.receipt)
    return receipt, told(paid, receipt)


def told(paid: PaidRequest, receipt: Receipt) -> dict[str, Any]:
    """The ``openledger`` field of an answer. Nobody has verified an answer that was just made."""
    record = receipt.record
    return {
        "agent": record.agent_id,
        "payment_id": "0x" + record.payment_id.hex(),
        "receipt": receipt.cid,
        "status": record.status.name.lower(),
        "charged": str(record.charge),
        "refund": str(paid.payment.value - record.charge),
        "nonce": record.nonce,
        "anchor_by": record.anchor_by,
        "thread": paid.request["thread"] or "0x" + record.payment_id.hex(),
        "seed_source": record.seed_source.name.lower(),
        "verification": "unverified",
    }


def headers_of(call: Call, receipt: Receipt | None = None) -> dict[str, str]:
    """The headers of an answer to a paid call."""
    found = {PAYMENT_HEADER: "0x" + call.paid.result().payment_id.hex()}
    if receipt is not None:
        found[RECEIPT_HEADER] = receipt.cid
    if call.settled is not None:
        found[PAYMENT_RESPONSE_HEADER] = encode_payment_response_header(call.settled)
    return found


def failed(call: Call, receipt: Receipt, extension: Mapping[str, Any]) -> Json | None:
    """The response to an action that failed, None for one that did not."""
    if receipt.record.status is not Status.FAILED:
        return None
    error = failure(receipt.output)
    headers = headers_of(call, receipt)
    if not isinstance(error, OverloadedError):
        headers["X-Should-Retry"] = "false"  # OpenAI's clients repeat what failed, as a new call
    return respond(error, headers, openledger=dict(extension))


class Sse:
    """Server-sent events of one call."""

    comment = ": running\n\n"
    """Says nothing but that the stream lives."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._told = 0
        self._cuts = self._left = False

    def respond(self, events: AsyncIterator[str]) -> StreamingResponse:
        """The response; the call must have been paid. What goes wrong later is the stream's last event. A metered answer whose
        client hangs up ends there: it pays for what it was given."""
        self._cuts = self._call.served.tariff is not None
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"} | headers_of(self._call)
        return _Stream(self, self._guarded(events), media_type="text/event-stream", headers=headers)

    def leave(self) -> None:
        """The client listens no more: it has all, or hung up."""
        if not self._left and self._call.streams is not None:
            self._left = True
            paid, receipt = self._call.paid.result(), self._call.receipt
            self._call.streams.leave(paid, receipt, self._told if self._cuts else None)

    async def text(self, *, stripped: bool) -> AsyncIterator[str]:
        """The answer as far as it is made before its end; nothing now and then, while nothing is made. It may end before the
        action: whoever asked listens until it says :meth:`leave`."""
        streams = self._call.streams
        if streams is None:
            async for _ in self.alive():
                yield ""
            return
        paid = await wait(self._call.paid)
        made = streams.text(paid, self._call.receipt, stripped=stripped, silence=_ALIVE)
        async for piece, tokens in made:
            yield piece
            self._told = tokens

    async def alive(self) -> AsyncIterator[str]:
        """Comments while the action runs; ends with it."""
        receipt = asyncio.wrap_future(self._call.receipt)
        while not (await asyncio.wait({receipt}, timeout=_ALIVE))[0]:
            yield self.comment

    @staticmethod
    def event(data: Any, name: str | None = None) -> str:
        head = "" if name is None else f"event: {name}\n"
        return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"

    async def _guarded(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        try:
            async for event in events:
                yield event
        except OpenLedgerError as error:
            yield self.event(body_of(error, status_of(error)), None)


class _Stream(StreamingResponse):
    """Notices that its client has gone even before its first event."""

    def __init__(self, sse: Sse, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sse = sse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._sse.leave()
