"""Spans of what is done here, as OpenTelemetry has them, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` names a collector; else
nothing is loaded and nothing happens. They never hold what was asked or answered, nor the text of an error.

Names and attributes are those of the GenAI conventions; what those lack begins with ``openledger.``. OpenTelemetry's own
environment variables set everything. The provider is this module's alone: what others in the process trace is theirs.

Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import OpenLedgerError, UserError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Span", "begun", "carrier", "continued", "environment", "span", "start", "stop"]

Attributes = Mapping[str, Any]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SOON = 1000.0
"""Milliseconds until a span is sent, where the environment does not say: a worker that is killed loses as much."""


class Span:
    """A span, or nothing where nothing is traced."""

    def __init__(self, of: trace.Span | None = None) -> None:
        self._of = of

    def set(self, attributes: Attributes) -> None:
        """Those that are None are left out."""
        if self._of is not None:
            self._of.set_attributes({name: value for name, value in attributes.items() if value is not None})

    def rename(self, name: str) -> None:
        if self._of is not None:
            self._of.update_name(name)

    def fail(self, error: BaseException | str) -> None:
        """It ended in this error, or in one with this code."""
        if self._of is not None:
            from opentelemetry.trace import StatusCode

            code = error.code if isinstance(error, OpenLedgerError) else error
            self._of.set_attribute("error.type", code if isinstance(code, str) else type(code).__name__)
            self._of.set_status(StatusCode.ERROR)  # without the message, which may say what was asked

    def end(self) -> None:
        if self._of is not None:
            self._of.end()


@dataclass(frozen=True)
class _State:
    """What the environment said when it was first asked."""

    provider: TracerProvider | None = None
    tracer: trace.Tracer | None = None


_state: _State | None = None
_starting = threading.Lock()
_NOTHING = Span()


def start(environment: Mapping[str, str] | None = None) -> bool:
    """Read the environment, with what a parent process gave of its own; whether anything is traced. Raises
    ``UserError`` when it cannot be. Without it the first span does the same."""
    if environment:
        os.environ.update(environment)
    return _tracer() is not None


def stop() -> None:
    """Send what was not sent. The environment is read again after it."""
    global _state
    with _starting:
        state, _state = _state, None
    if state is not None and state.provider is not None:
        state.provider.shutdown()


@contextmanager
def span(
    name: str, attributes: Attributes, *, kind: str = "internal", parent: Mapping[str, str] | None = None
) -> Iterator[Span]:
    """A span around a block: of the one it stands in, or of the one that the headers ``parent`` name. What is raised
    there ends it as an error, by its code or its class."""
    found = begun(name, attributes, kind=kind, parent=parent)
    if found is _NOTHING:
        yield found
        return
    from opentelemetry import trace

    try:
        assert found._of is not None  # it is not _NOTHING
        with trace.use_span(found._of, record_exception=False, set_status_on_exception=False):
            yield found
    except BaseException as error:
        found.fail(error)
        raise
    finally:
        found.end()


def begun(
    name: str, attributes: Attributes, *, kind: str = "internal", parent: Mapping[str, str] | None = None
) -> Span:
    """A span that whoever began it has to end; what is done meanwhile is not within it."""
    tracer = _tracer()
    if tracer is None:
        return _NOTHING
    from opentelemetry.trace import SpanKind

    given = {name: value for name, value in attributes.items() if value is not None}
    context = None if parent is None else _context(parent)
    return Span(tracer.start_span(name, context, SpanKind[kind.upper()], given))


def carrier() -> dict[str, str]:
    """The headers by which another process continues the span that this stands in."""
    if _tracer() is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers


@contextmanager
def continued(headers: Mapping[str, str]) -> Iterator[None]:
    """Within it spans belong to the one that :func:`carrier` told of."""
    if not headers or _tracer() is None:
        yield
        return
    from opentelemetry import context

    token = context.attach(_context(headers))
    try:
        yield
    finally:
        context.detach(token)


def environment() -> dict[str, str]:
    """What a process elsewhere has to :func:`start` with to send its spans to the same collector."""
    if _tracer() is None:
        return {}
    return {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}


def _context(headers: Mapping[str, str]) -> Any:
    """W3C's trace context alone: a stranger's baggage is not carried on."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(headers)


def _tracer() -> trace.Tracer | None:
    global _state
    if _state is None:
        with _starting:
            if _state is None:
                _state = _started()
    return _state.tracer


def _started() -> _State:
    said = os.environ.get
    disabled = said("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or said("OTEL_TRACES_EXPORTER", "otlp") != "otlp" or not any(map(said, _ENDPOINTS)):
        return _State()
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(
            said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or said("OTEL_EXPORTER_OTLP_PROTOCOL")
        )
    except ImportError as error:
        raise UserError(
            "spans cannot be sent",
            why=f"{error.name} is not installed",
            fix="pip install opentelemetry-exporter-otlp",
        ) from error
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "openledger"}))
    provider = TracerProvider(resource=resource)
    delay = None if said("OTEL_BSP_SCHEDULE_DELAY") else _SOON
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
    return _State(provider, provider.get_tracer("openledger"))


def _exporter(protocol: str | None) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http()
