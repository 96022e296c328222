"""The gateway's parts that need nothing else: errors as HTTP, the binding payment, the pieces of a stream, its limits."""

from __future__ import annotations

import json

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st
from x402.schemas import PaymentRequirements

from openledger.errors import (
    ChainError,
    ContentError,
    EngineError,
    ExecutionError,
    OpenLedgerError,
    OverloadedError,
    UserError,
)
from openledger.registry import authorization_nonce
from openledger.runtime.gateway import Limits, OpenScheme
from openledger.runtime.gateway._errors import failure, respond, status_of
from openledger.runtime.gateway._limits import Limiter
from openledger.runtime.gateway._openai import pieces


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("x"), 400),
        (UserError("x", code="user.cid"), 400),
        (UserError("x", code="user.agent.unknown"), 404),
        (UserError("x", code="user.agent.cover"), 503),
        (OverloadedError("x", retry_after=2.5), 429),
        (ChainError("x", code="chain.unreachable"), 503),
        (ChainError("x", revert="NonceGap()"), 502),
        (ContentError("x"), 502),
        (EngineError("x"), 502),
        (ExecutionError("x"), 503),
        (OpenLedgerError("x", code="outbox"), 503),
        (OpenLedgerError("x"), 500),
    ],
    ids=repr,
)
def test_each_error_has_its_status(error: OpenLedgerError, status: int) -> None:
    assert status_of(error) == status
    reply = respond(error)
    assert reply.status_code == status
    assert ("Retry-After" in reply.headers) == (status in (429, 503))
    assert json.loads(bytes(reply.body))["error"]["code"] == error.code


@pytest.mark.parametrize("code", ["chain", "chain.unreachable", "outbox", "internal"])
def test_a_stranger_is_not_told_where_our_parts_are(code: str) -> None:
    error = ChainError("no answer from http://10.0.0.7", why="key 0xabc", fix="edit /etc/secret", code=code)
    told = bytes(respond(error).body).decode()
    assert not any(private in told for private in ("10.0.0.7", "0xabc", "/etc/secret"))
    assert "same payment" in told


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("user", 400),
        ("overloaded", 429),
        ("timeout", 504),
        ("graph", 502),
        ("engine", 502),
        ("chain.unreachable", 502),
        ("outbox", 502),
        ("user.cid", 400),
    ],
)
def test_a_failed_record_tells_its_payer_why_and_not_to_send_it_again(code: str, status: int) -> None:
    error = failure({"code": code, "error": "ValueError: because"})
    assert status_of(error) == status
    reply = respond(error)
    assert "because" in bytes(reply.body).decode()
    assert ("Retry-After" in reply.headers) == (status == 429)


def requirements(**extra: str) -> PaymentRequirements:
    bound = {"name": "OPEN", "version": "1", "agentId": "7", "requestHash": "0x" + "ab" * 32}
    return PaymentRequirements(
        scheme="exact",
        network="eip155:31337",
        asset="0x" + "11" * 20,
        amount="5",
        pay_to="0x" + "22" * 20,
        max_timeout_seconds=60,
        extra=bound | extra,
    )


def test_a_payment_binds_agent_and_request_and_no_two_are_alike() -> None:
    account = Account.create()
    scheme = OpenScheme(account, now=lambda: 1000.0)
    one, two = (scheme.create_payment_payload(requirements()) for _ in range(2))
    authorization, salt = one["authorization"], bytes.fromhex(one["salt"][2:])
    assert authorization["nonce"] == "0x" + authorization_nonce(7, bytes.fromhex("ab" * 32), salt).hex()
    assert (authorization["from"], authorization["value"]) == (account.address, "5")
    assert authorization["validBefore"] == "1060"
    assert two["authorization"]["nonce"] != authorization["nonce"]


def test_other_servers_are_not_paid() -> None:
    with pytest.raises(UserError, match="no payment to an OpenLedger agent"):
        OpenScheme(Account.create()).create_payment_payload(requirements(agentId="somebody"))


@given(st.text())
def test_pieces_make_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_places_are_given_back() -> None:
    limiter = Limiter(Limits(running=3, running_each=2))
    limiter.begin("a")
    limiter.begin("a")
    with pytest.raises(OverloadedError, match="Too many actions"):
        limiter.begin("a")
    limiter.begin("b")
    with pytest.raises(OverloadedError):
        limiter.begin("b")  # two of its own, and none is left
    limiter.end("a")
    limiter.begin("b")


@pytest.mark.parametrize("limits", [{"rate": 0}, {"running": 0}, {"burst": 0}, {"body_bytes": 0}])
def test_limits_leave_something(limits: dict[str, int]) -> None:
    with pytest.raises(UserError):
        Limits(**limits)  # type: ignore[arg-type]
