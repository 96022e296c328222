"""What a gateway takes, and how it refuses the rest: OpenAI's envelope with cause and fix, and nothing paid."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def filled(site: Any) -> Any:
    return site.house.key()


@pytest.fixture
def paid(site: Any, filled: Any) -> Any:
    """A key's header; its account must be untouched by whatever is refused."""
    headers, key = filled
    yield headers
    assert site.house.balance(key.payer) == 10**18
    assert site.house.keys.get(key.id).spent == 0


def refused(reply: Any, status: int, code: str) -> dict[str, Any]:
    """The error of a refusal, which says what, why and what to do, as OpenAI's clients read it."""
    assert reply.status_code == status, reply.text
    error: dict[str, Any] = reply.json()["error"]
    assert error["code"] == code
    assert error["what"]
    assert error["fix"]
    assert set(error) >= {"message", "type", "param"}
    assert error["what"].rstrip(".") in error["message"]
    return error


def test_an_unknown_model(site: Any, paid: Any) -> None:
    body = {"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]}
    error = refused(
        site.http.post("/v1/chat/completions", json=body, headers=paid), 404, "user.model.unknown"
    )
    assert "gpt-9" in error["message"]
    refused(site.http.get("/v1/models/agent:999999"), 404, "user.model.unknown")


def test_an_agent_that_is_not_served_here(site: Any, paid: Any) -> None:
    reply = site.http.post(f"/agents/{2**70}/invoke", json={"input": "hi"}, headers=paid)
    refused(reply, 404, "user.agent.unknown")


def test_a_receipt_nobody_here_gave(site: Any) -> None:
    cid = site.house.echo.registered.manifest.cid
    refused(site.http.get(f"/actions/{cid}"), 404, "user.action.unknown")
    refused(site.http.get("/actions/nonsense"), 400, "user.cid")


def test_an_address_without_a_route(site: Any) -> None:
    refused(site.http.get("/v1/embeddings"), 404, "user.route")
    refused(site.http.delete("/v1/models"), 405, "user.method")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"input": NaN}',
        b'{"input": 1e999}',
        b'{"input": 123456789012345678901234567890}',
        b'{"input": "\\ud800"}',
        b'{"input": {"\\ud800": 1}}',
        b'{"input": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"input": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"input": "hi", "thread": 7}',
        b'{"input": "hi", "parent": "bafynonsense"}',
        b'{"input": "hi", "surprise": 1}',
        b'{"thread": "a"}',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_no_request(site: Any, paid: Any, body: bytes) -> None:
    headers = paid | {"Content-Type": "application/json"}
    reply = site.http.post(site.invoke_url, content=body, headers=headers)
    assert reply.status_code == 400, reply.text
    assert reply.json()["error"]["code"].startswith("user")


def test_a_wrong_field_is_named_and_not_repeated(site: Any, paid: Any) -> None:
    body = {"model": "echo", "messages": [{"role": "user", "content": 7}], "max_tokens": "private words"}
    error = refused(site.http.post("/v1/chat/completions", json=body, headers=paid), 400, "user")
    assert "max_tokens" in error["why"]
    assert "messages.0.content" in error["why"]
    assert "private words" not in json.dumps(error)


@pytest.mark.parametrize(
    "field",
    [
        {"n": 2},
        {"logprobs": True},
        {"seed": 1},
        {"stop": ["."]},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"temperature": -1},
        {"temperature": 1e308},
        {"top_p": 0},
        {"max_tokens": 0},
    ],
    ids=str,
)
def test_what_cannot_be_had_is_refused_before_it_is_paid(site: Any, paid: Any, field: dict[str, Any]) -> None:
    body = {"model": "talk", "messages": [{"role": "user", "content": "hi"}]} | field
    error = refused(site.http.post("/v1/chat/completions", json=body, headers=paid), 400, "user")
    assert next(iter(field)) in error["what"]


@pytest.mark.parametrize(
    "value", [{"text of it": "hi"}, {"question": "hi", "text of it": 1}, {"__start__": 1}]
)
def test_an_input_with_keys_that_the_graph_does_not_take_is_not_paid_for(
    site: Any, paid: Any, value: dict[str, Any]
) -> None:
    error = refused(site.http.post(site.invoke_url, json={"input": value}, headers=paid), 400, "user")
    assert "'question'" in error["why"]
    assert str(sorted(set(value) - {"question"})) in error["why"]


@pytest.mark.parametrize("value", ["hi", None, 7, ["hi"]])
def test_an_agent_without_an_input_for_text_takes_its_state_alone(site: Any, paid: Any, value: Any) -> None:
    url = f"/agents/{site.house.talk.operator.agent_id}/invoke"
    error = refused(site.http.post(url, json={"input": value}, headers=paid), 400, "user")
    assert "'messages'" in error["why"]


def test_what_asks_for_nothing_is_taken(site: Any) -> None:
    headers, _ = site.house.key()
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "n": 1, "logprobs": False,
            "tools": [], "presence_penalty": 0, "user": "somebody", "max_tokens": 5}  # fmt: skip
    reply = site.http.post("/v1/chat/completions", json=body, headers=headers).json()
    assert reply["choices"][0]["message"]["content"] == "HI"
    assert reply["openledger"]["ignored"] == ["max_tokens", "user"]


def test_an_agent_of_one_question_takes_no_conversation(site: Any, paid: Any) -> None:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    reply = site.http.post("/v1/chat/completions", json={"model": "echo", "messages": messages}, headers=paid)
    assert "`messages`" in refused(reply, 400, "user")["why"]


def test_an_agent_with_messages_gets_all_of_them_and_what_its_state_has_room_for(site: Any) -> None:
    headers, _ = site.house.key()
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": parts}]
    body = {"model": "talk", "messages": messages, "temperature": 0.5, "top_p": 0.9}
    reply = site.http.post("/v1/chat/completions", json=body, headers=headers).json()
    said = json.loads(reply["choices"][0]["message"]["content"])
    assert said["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert said["temperature"] == 0.5
    assert reply["openledger"]["ignored"] == ["top_p"]


def test_a_stream_without_tokens_of_its_own_has_the_whole_answer(site: Any) -> None:
    headers, _ = site.house.key()
    body = {"model": "echo", "prompt": "one two  three", "stream": True}
    events = site.http.post("/v1/completions", json=body, headers=headers).text.split("\n\n")
    told = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    assert "".join(chunk["choices"][0]["text"] for chunk in told) == "ONE TWO  THREE"
    assert events[-2:] == ["data: [DONE]", ""]


def test_a_stream_ends_with_the_failure_and_its_receipt(site: Any) -> None:
    headers, key = site.house.key()
    body = {"model": "echo", "prompt": "fail", "stream": True}
    reply = site.http.post("/v1/completions", json=body, headers=headers)
    last = json.loads(reply.text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["code"] == "graph"
    assert "no answer to this" in last["error"]["why"]
    assert last["openledger"]["charged"] == "0"
    assert site.house.keys.get(key.id).spent == 0


def test_without_payment_it_says_what_would_be_taken(site: Any) -> None:
    reply = site.ask("hi")
    refused(reply, 402, "user.payment")
    [terms] = reply.json()["accepts"]
    contracts = site.house.connection.contracts
    assert terms["payTo"] == site.house.connection.ledger.payments.escrow_of(
        site.house.echo.operator.agent_id
    )
    assert terms["asset"] == contracts.token.address
    assert terms["network"] == f"eip155:{contracts.chain.chain_id}"
    assert (terms["scheme"], terms["amount"]) == ("exact", str(10**16))


_texts = st.text(max_size=20)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "x"]), "content": _texts | _values}),
    max_size=3,
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["echo", "talk", "agent:1", "adapter:1"]) | _texts,
        "messages": _messages | _values,
        "prompt": _texts | _values,
        "input": _values,
        "thread": _texts | _values,
        "parent": _texts | _values,
        "stream": st.booleans() | _values,
        "temperature": st.floats() | _values,
        "max_tokens": st.integers() | _values,
        "stop": _values,
    },
)


@pytest.fixture(scope="module")
def empty(site: Any) -> dict[str, str]:
    """A key whose account holds nothing: all is looked at, and nothing is ever run."""
    headers, _ = site.house.key(funds=0)
    return headers | {"Content-Type": "application/json"}


@settings(max_examples=80)
@given(
    path=st.sampled_from(
        ["/v1/chat/completions", "/v1/completions", "/agents/1/invoke", "/agents/2/stream", "/mcp/"]
    ),
    body=_bodies | _values,
)
def test_nothing_that_is_sent_breaks_it(site: Any, empty: dict[str, str], path: str, body: Any) -> None:
    reply = site.http.post(path, content=json.dumps(body), headers=empty)
    assert 400 <= reply.status_code < 500, reply.text


@settings(max_examples=40)
@given(
    path=st.sampled_from(["/v1/models/{}", "/actions/{}", "/agents/{}", "/agents/1/receipts?before={}"]),
    text=st.text(min_size=1, max_size=30) | st.integers().map(str),
)
def test_no_address_breaks_it(site: Any, path: str, text: str) -> None:
    reply = site.http.get(path.format(quote(text, safe="")))
    assert reply.status_code < 500, reply.text


def test_it_describes_itself(site: Any) -> None:
    assert site.http.get("/healthz").json()["status"] == "ok"
    paths = site.http.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/models", "/v1/models/{model}", "/v1/chat/completions", "/v1/completions", "/agents/{agent_id}",
        "/agents/{agent_id}/invoke", "/agents/{agent_id}/stream", "/agents/{agent_id}/receipts",
        "/actions/{cid}", "/healthz", "/a2a/{agent_id}/.well-known/agent-card.json",
        "/.well-known/agent-card.json", "/.well-known/agent-registration.json",
        "/agents/{agent_id}/registration.json",
    }  # fmt: skip
