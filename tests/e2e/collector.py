"""A collector for OpenTelemetry's spans, as `OTEL_EXPORTER_OTLP_ENDPOINT` names one: OTLP by HTTP."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from unittest.mock import patch

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from openledger import telemetry


@dataclass(frozen=True)
class Seen:
    """A span that arrived."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    raw: str
    """All of it, as text."""


@dataclass
class Collector:
    url: str
    spans: list[Seen] = field(default_factory=list)

    def take(self, data: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            for scope in resource.scope_spans:
                self.spans += [_seen(span, str(resource)) for span in scope.spans]

    def within(self, trace: str, *names: str, seconds: float = 600) -> dict[str, Seen]:
        """The spans of a trace by name, once those with ``names`` are there."""
        ends = time.monotonic() + seconds
        while True:
            found = {span.name: span for span in list(self.spans) if span.trace == trace}
            if set(names) <= set(found):
                return found
            assert time.monotonic() < ends, f"of {names} came {sorted(found)}"
            time.sleep(0.05)


@contextmanager
def collecting(**environment: str) -> Iterator[Collector]:
    """A collector, and this process sending to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, name="collector")
    thread.start()
    said = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "600",  # a batch that took longer would be dropped
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    } | environment
    telemetry.stop()
    try:
        with patch.dict(os.environ, said):
            yield collector
            telemetry.stop()
    finally:
        telemetry.stop()
        server.shutdown()
        thread.join(30)
        server.server_close()


def _seen(span: Any, resource: str) -> Seen:
    return Seen(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {one.key: _value(one.value) for one in span.attributes},
        span.status.code == 2,
        resource + str(span),
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
