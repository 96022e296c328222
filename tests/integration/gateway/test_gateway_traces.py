"""Spans of a gateway's calls, at a collector: whose they are, what they say, and what they never say."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from collector import Collector, collecting

from openledger import telemetry

PRICE = 10**16
SERVER, INTERNAL = 2, 1
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting(OTEL_SERVICE_NAME="the-gateway") as collector:
        yield collector


def traced() -> tuple[str, dict[str, str]]:
    """A trace of the client's own, and the header that continues it."""
    trace = f"{next(numbers):032x}"
    return trace, {"traceparent": f"00-{trace}-00000000000000aa-01"}


def test_a_call_is_traced_from_http_to_its_receipt_within_the_clients_trace(
    site: Any, house: Any, collector: Collector
) -> None:
    trace, header = traced()
    key, _ = house.key()
    reply = site.ask("a question", key | header)
    assert reply.status_code == 200, reply.text
    told = reply.json()["openledger"]
    spans = collector.within(trace, "POST /agents/{agent_id}/invoke", "invoke_agent echo")
    http, action = spans["POST /agents/{agent_id}/invoke"], spans["invoke_agent echo"]
    assert (http.parent, action.parent) == ("00000000000000aa", http.id)
    assert (http.kind, action.kind) == (SERVER, INTERNAL)
    assert (http.failed, action.failed) == (False, False)
    assert 'string_value: "the-gateway"' in http.raw
    known = {"openledger.payment_id": told["payment_id"], "openledger.receipt": told["receipt"]}
    assert http.attributes == known | {
        "http.request.method": "POST",
        "http.route": "/agents/{agent_id}/invoke",
        "http.response.status_code": 200,
    }
    assert action.attributes == known | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "openledger",
        "gen_ai.agent.id": str(house.echo.operator.agent_id),
        "gen_ai.agent.name": "echo",
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.output_tokens": 0,
        "openledger.status": "ok",
        "openledger.steps": 0,
        "openledger.nonce": told["nonce"],
        "openledger.epoch": 1,
        "openledger.charged": str(PRICE),
    }


def test_a_failed_action_is_told_by_its_code_alone(site: Any, house: Any, collector: Collector) -> None:
    trace, header = traced()
    key, _ = house.key()
    assert site.ask("fail", key | header).status_code == 502
    spans = collector.within(trace, "POST /agents/{agent_id}/invoke", "invoke_agent echo")
    assert {name: span.attributes["error.type"] for name, span in spans.items()} == {
        "POST /agents/{agent_id}/invoke": "502",
        "invoke_agent echo": "graph",
    }
    assert all(span.failed for span in spans.values())
    assert spans["invoke_agent echo"].attributes["openledger.charged"] == "0"
    assert not any("no answer to this" in span.raw for span in spans.values())


def test_mcp_and_openai_are_traced_alike(site: Any, house: Any, collector: Collector) -> None:
    key, _ = house.key()
    calls = {
        "/mcp/": {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "echo", "arguments": {"input": "hi"}},
        },
        "/v1/chat/completions": {"model": "echo", "messages": [{"role": "user", "content": "hi"}]},
    }
    for path, body in calls.items():
        trace, header = traced()
        accepts = {"Accept": "application/json, text/event-stream"}
        assert site.http.post(path, json=body, headers=key | header | accepts).status_code == 200
        spans = collector.within(trace, f"POST {path}", "invoke_agent echo")
        assert spans["invoke_agent echo"].parent == spans[f"POST {path}"].id


def test_no_span_holds_what_was_asked_or_answered_nor_a_key(
    site: Any, house: Any, collector: Collector
) -> None:
    private = "zq98"  # in no CID by chance (base32 has no 8 and 9), nor in a hash
    key, _ = house.key()
    trace, header = traced()
    asked = {"X-Private": private, "User-Agent": private} | header
    echo, url = house.echo.operator.agent_id, site.invoke_url
    replies = [
        site.ask(f"tell {private}", key | asked),
        site.ask(f"tell {private}", asked),  # 402
        site.ask(f"fail {private}", key | asked),
        site.http.post(url, json={"input": {private: private}}, headers=key | asked),  # not its input
        site.http.post(url, json={"input": private, "thread": private}, headers=key | asked),
        site.http.post(url, json={private: private}, headers=key | asked),  # malformed
        site.http.post(f"/agents/{echo}/stream", json={"input": private}, headers=key | asked),
        site.http.post(
            "/v1/chat/completions",
            json={"model": private, "messages": [{"role": "user", "content": private}]},
            headers=key | asked,
        ),
        site.http.post(
            "/v1/chat/completions",
            json={
                "model": "talk",
                "temperature": 1,
                "messages": [{"role": "user", "content": private}],
                "user": private,
            },
            headers=key | asked,
        ),
        site.http.get(f"/{private}?{private}={private}", headers=asked),
        site.http.get(f"/v1/models/{private}", headers=asked),
        site.http.get(f"/actions/{private}", headers=asked),
        site.http.patch(f"/agents/{echo}", json=private, headers=asked),
        site.http.get("/v1/models", headers={"Authorization": f"Bearer {private}"} | asked),
    ]
    assert {reply.status_code for reply in replies} == {200, 400, 401, 402, 404, 405, 502}
    collector.within(trace, "invoke_agent echo", "invoke_agent talk")
    ends = time.monotonic() + 600
    while len([one for one in collector.spans if one.trace == trace and one.kind == SERVER]) < len(replies):
        assert time.monotonic() < ends
        time.sleep(0.05)
    secret = key["Authorization"].removeprefix("Bearer ")
    for span in collector.spans:
        assert private not in span.raw.lower(), span.raw
        assert secret not in span.raw


@pytest.mark.parametrize(
    "header", ["00-00000000000000000000000000000000-0000000000000000-01", "nonsense", "\xff" * 60]
)
def test_a_call_within_no_trace_begins_its_own(
    site: Any, house: Any, collector: Collector, header: str
) -> None:
    key, _ = house.key()
    sent: Any = key | {"traceparent": header.encode("latin-1")}
    told = site.ask("hi", sent).json()["openledger"]
    ends = time.monotonic() + 600
    while True:
        spans = [one for one in list(collector.spans) if told["receipt"] in one.raw]
        if len(spans) == 2:
            break
        assert time.monotonic() < ends
        time.sleep(0.05)
    http, action = sorted(spans, key=lambda span: span.parent)
    assert (http.kind, http.parent, action.parent) == (SERVER, "", http.id)


def test_calls_are_answered_while_the_collector_is_away(house: Any) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        key, _ = house.key()
        with pytest.MonkeyPatch.context() as patch:
            telemetry.stop()
            patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
            patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
            with house.serving(rate=1000) as site:
                assert all(site.ask(f"question {i}", key).status_code == 200 for i in range(3))
            telemetry.stop()
