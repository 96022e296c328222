"""The span of a request over HTTP, by OpenTelemetry's conventions. Neither address nor query: they may hold anything.

Source: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ...telemetry import Span, span
from ._answers import PAYMENT_HEADER, RECEIPT_HEADER

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["answered", "http_span", "routed"]

_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


def http_span(method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
    """Around a request, until all of its answer is sent; within the client's trace where ``traceparent`` names one."""
    known = _known(method)
    return span(known or "HTTP", {"http.request.method": known or "_OTHER"}, kind="server", parent=headers)


def answered(span: Span, start: Message) -> None:
    """Tell of the answer, given the message that begins it."""
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]}
    span.set(
        {
            "http.response.status_code": start["status"],
            "openledger.payment_id": found.get(PAYMENT_HEADER.lower()),
            "openledger.receipt": found.get(RECEIPT_HEADER.lower()),
        }
    )
    if start["status"] >= 500:
        span.fail(str(start["status"]))


def routed(span: Span, method: str, route: str | None) -> None:
    """Tell where it went."""
    if route is not None:
        span.rename(f"{_known(method) or 'HTTP'} {route}")
        span.set({"http.route": route})


def _known(method: str) -> str | None:
    return method if method in _METHODS else None
