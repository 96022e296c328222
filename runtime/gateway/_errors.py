"""OpenLedger's errors over HTTP: one table from error to status, one body for all of them.

The body is OpenAI's error envelope, with ``what``, ``why`` and ``fix`` beside its own fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from x402.http.constants import PAYMENT_REQUIRED_HEADER
from x402.http.utils import encode_payment_required_header
from x402.schemas import PaymentRequired

from ...errors import (
    ChainError,
    ContentError,
    EngineError,
    ExecutionError,
    OpenLedgerError,
    OverloadedError,
    UserError,
)

__all__ = [
    "AgentFailed",
    "Json",
    "PaymentRefused",
    "body_of",
    "failure",
    "refuse_malformed",
    "respond",
    "status_of",
]

_BY_CODE = {
    "user.key": 401,
    "user.payment": 402,
    "user.payment.cap": 402,
    "user.model.unknown": 404,
    "user.agent.unknown": 404,
    "user.action.unknown": 404,
    "user.route": 404,
    "user.method": 405,
    "user.slow": 408,
    "user.size": 413,
    "user.agent.cover": 503,
    "chain.unreachable": 503,
    "outbox": 503,
    "gateway": 503,
    "timeout": 504,
}
_TYPES = {
    401: "authentication_error",
    402: "payment_required",
    404: "not_found_error",
    429: "rate_limit_error",
}
_RETRY = 5.0
"""Seconds after which what is away may be back."""

# What a server's own failure may tell a stranger: causes name hosts, paths and accounts.
_OURS = {
    "chain.unreachable": "The chain is not to be reached",
    "outbox": "The operator cannot write its outbox",
    "gateway": "The gateway cannot write its accounts",
    "user.agent.cover": "The agent has too many open actions for its stake",
    "execution": "No worker could run the action now",
}


class PaymentRefused(UserError):
    """What HTTP calls 402: there is no payment, or it was not taken. ``required`` is what would be, ``reason`` the short
    code that x402 has for it on A2A."""

    def __init__(
        self, what: str, *, required: PaymentRequired, reason: str = "SETTLEMENT_FAILED", **rest: Any
    ) -> None:
        super().__init__(what, code="user.payment", **rest)
        self.required, self.reason = required, reason


class AgentFailed(OpenLedgerError):
    """An action ended as failed; the record says why, and its payer may read it."""


class Json(JSONResponse):
    """JSON in ASCII: what a client sent is echoed even where it is no valid Unicode."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


_BY_KIND: list[tuple[type[OpenLedgerError], int]] = [
    (OverloadedError, 429),
    (UserError, 400),
    (ExecutionError, 503),
    (ChainError, 502),
    (ContentError, 502),
    (EngineError, 502),
]


def status_of(error: OpenLedgerError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, AgentFailed):  # whatever was away then: what is over is not to be sent again
        return 504 if error.code == "timeout" else 502
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    return next((status for kind, status in _BY_KIND if isinstance(error, kind)), 500)


def body_of(error: OpenLedgerError, status: int, **extension: Any) -> dict[str, Any]:
    """OpenAI's envelope. Of a failure of our own only what was lost, which is nothing, and what to do."""
    what, why, fix = error.what, error.why, error.fix
    if status >= 500 and not isinstance(error, AgentFailed):
        what = _OURS.get(error.code, "A part of this service failed")
        why = ""
        fix = "send the same request again, with the same payment or Idempotency-Key: it is paid once"
    message = " ".join(part.rstrip(".") + "." for part in (what, why, fix) if part)
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    told = {"message": message, "type": kind, "param": None, "code": error.code}
    return {"error": told | {"what": what, "why": why, "fix": fix}} | extension


def respond(error: OpenLedgerError, headers: Mapping[str, str] | None = None, **extension: Any) -> Json:
    """The response that tells of ``error``."""
    status = status_of(error)
    found = dict(headers or {})
    if isinstance(error, OverloadedError):
        found["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif status == 503:
        found["Retry-After"] = str(math.ceil(_RETRY))
    if status == 401:
        found["WWW-Authenticate"] = "Bearer"
    if isinstance(error, PaymentRefused):
        found[PAYMENT_REQUIRED_HEADER] = encode_payment_required_header(error.required)
        extension |= error.required.model_dump(
            by_alias=True, exclude_none=True, include={"x402_version", "accepts"}
        )
    return Json(body_of(error, status, **extension), status, found)


def failure(output: Any) -> OpenLedgerError:
    """The error that the output of a failed record tells of. Its code is the record's."""
    told = output if isinstance(output, dict) else {}
    code, why = str(told.get("code", "graph")), str(told.get("error", ""))
    back = "its fee goes back to the payer"
    if code.startswith("user"):
        return UserError("The agent refused the request", why=why, fix=f"mend the request; {back}", code=code)
    if code == OverloadedError.code:
        return OverloadedError("The agent's engine is overloaded", retry_after=_RETRY, why=why, fix=back)
    return AgentFailed("The agent failed", why=why, fix=back, code=code)


def refuse_malformed(app: FastAPI) -> None:
    """Have the application answer in this form also what its framework refuses."""
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)


async def _malformed(_: Request, error: Exception) -> Response:
    """Which fields are wrong and how, without what they hold."""
    wrong = cast(RequestValidationError, error).errors()
    told = [f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}" for one in wrong[:8]]
    return respond(
        UserError(
            "the request is malformed",
            why="; ".join(told)[:1000],
            fix="see /openapi.json for what it may hold",
        )
    )


async def _http(_: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    see = "see /openapi.json for what there is"
    if found.status_code == 404:
        return respond(UserError("there is nothing at this address", fix=see, code="user.route"))
    if found.status_code == 405:
        wrong = UserError("this address takes another method", fix=see, code="user.method")
        return respond(wrong, found.headers)
    return respond(UserError("the request is malformed", why=str(found.detail), fix=see))
