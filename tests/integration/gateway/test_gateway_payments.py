"""x402 payments at a gateway: each is taken once, for the request it was signed for, or not at all."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from eth_account import Account

from openledger.contracts import sign_authorization
from openledger.registry import ActionRecord, SeedSource, authorization_nonce

SALT = bytes(range(32))


@pytest.fixture
def purse(site: Any) -> Iterator[Any]:
    """The client, whose balance must be the same afterwards."""
    before = site.house.balance(site.house.client)
    yield site.house.client
    assert site.house.balance(site.house.client) == before


def refused(reply: httpx.Response, what: str) -> None:
    """A 402 with new terms, that says ``what``."""
    assert reply.status_code == 402, reply.text
    error = reply.json()["error"]
    assert error["code"] == "user.payment"
    assert what in f"{error['what']} {error['why']}", error
    assert reply.headers["PAYMENT-REQUIRED"]


def altered(headers: dict[str, str], change: Callable[[dict[str, Any]], None]) -> dict[str, str]:
    """A signed payment with something in it changed afterwards."""
    payload = json.loads(b64decode(headers["PAYMENT-SIGNATURE"]))
    change(payload)
    return {"PAYMENT-SIGNATURE": b64encode(json.dumps(payload).encode()).decode()}


def test_a_payment_pays_for_one_action_however_often_it_is_sent(site: Any) -> None:
    house = site.house
    before, headers = house.balance(house.client), site.payment("wait a little")
    with ThreadPoolExecutor(8) as threads:
        copies = list(threads.map(lambda _: site.ask("wait a little", headers), range(8)))
    copies.append(site.ask("wait a little", headers))
    assert {reply.status_code for reply in copies} == {200}
    [cid] = {reply.headers["X-OpenLedger-Receipt"] for reply in copies}
    [payment_id] = {reply.json()["openledger"]["payment_id"] for reply in copies}
    assert before - house.balance(house.client) == 10**16
    row = house.echo.outbox.get(payment_id)
    record = ActionRecord.from_block(row.executed["record"], None)
    assert (row.envelope, record.client) == (cid, house.client.address)
    assert record.seed_source is SeedSource.CLIENT


def test_another_face_of_the_same_request_gives_the_same_receipt(site: Any) -> None:
    headers = site.payment("twice")
    first = site.ask("twice", headers)
    body = {"model": "echo", "messages": [{"role": "user", "content": "twice"}]}
    second = site.http.post("/v1/chat/completions", json=body, headers=headers)
    assert second.json()["choices"][0]["message"]["content"] == "TWICE"
    assert second.headers["X-OpenLedger-Receipt"] == first.headers["X-OpenLedger-Receipt"]


def test_a_payment_pays_for_no_other_request(site: Any, purse: Any) -> None:
    headers = site.payment("one")
    refused(site.ask("another", headers), "does not bind this request")
    talk = f"/agents/{site.house.talk.operator.agent_id}/invoke"
    refused(
        site.http.post(talk, json={"input": {"text": "one"}}, headers=headers), "does not bind this request"
    )


def test_a_payment_that_was_used_pays_for_no_other_request_either(site: Any) -> None:
    headers = site.payment("used")
    assert site.ask("used", headers).status_code == 200
    before = site.house.balance(site.house.client)
    refused(site.ask("used again", headers), "does not bind this request")
    assert site.house.balance(site.house.client) == before


def test_a_forged_payment(site: Any, purse: Any, stranger: Any) -> None:
    """A stranger signs, in the client's name."""
    headers = site.payment("forged", stranger)
    forged = altered(headers, lambda p: p["payload"]["authorization"].update({"from": purse.address}))
    refused(site.ask("forged", forged), "signature is not the client's")


@pytest.mark.parametrize("field", ["validAfter", "validBefore", "to"])
def test_a_payment_that_was_altered(site: Any, purse: Any, field: str) -> None:
    value = {"validAfter": "1", "validBefore": str(2**40), "to": "0x" + "11" * 20}[field]
    changed = altered(site.payment("altered"), lambda p: p["payload"]["authorization"].update({field: value}))
    refused(site.ask("altered", changed), "payment goes to" if field == "to" else "signature is not")


def test_a_payment_on_another_chain(site: Any, purse: Any) -> None:
    def elsewhere(terms: Any, _: Any) -> None:
        terms.network = "eip155:1"

    refused(site.ask("chain", site.payment("chain", change=elsewhere)), "another chain")


def test_a_signature_for_another_chain(site: Any, purse: Any) -> None:
    """It says that it is for this one."""

    def elsewhere(terms: Any, _: Any) -> None:
        terms.network = "eip155:1"

    here = site.ask("chain").json()["accepts"][0]["network"]
    headers = altered(
        site.payment("chain", change=elsewhere), lambda p: p["accepted"].update({"network": here})
    )
    refused(site.ask("chain", headers), "signature is not the client's")


@pytest.mark.parametrize("wei", [10**16 - 1, 10**16 + 1, 0])
def test_a_payment_of_another_amount(site: Any, purse: Any, wei: int) -> None:
    def other(terms: Any, _: Any) -> None:
        terms.amount = str(wei)

    refused(site.ask("amount", site.payment("amount", change=other)), "another amount")


def test_a_payment_to_another_agent(site: Any, purse: Any) -> None:
    escrow = site.house.connection.ledger.payments.escrow_of(site.house.talk.operator.agent_id)

    def other(terms: Any, _: Any) -> None:
        terms.pay_to = escrow

    refused(site.ask("escrow", site.payment("escrow", change=other)), "the payment goes to")


def test_a_payment_in_another_token(site: Any, purse: Any) -> None:
    def other(terms: Any, client: Any) -> None:
        terms.asset = str(site.house.connection.contracts.pool.address)
        client.set_spend_controls(False)

    refused(site.ask("token", site.payment("token", change=other)), "another token")


def test_a_payment_that_is_over_or_has_not_begun(site: Any, purse: Any) -> None:
    def short(terms: Any, _: Any) -> None:
        terms.max_timeout_seconds = -10

    refused(site.ask("late", site.payment("late", change=short)), "not valid now")


def test_a_payer_without_money(site: Any, stranger: Any) -> None:
    refused(site.ask("poor", site.payment("poor", stranger)), "cannot pay")


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "====",
        b64encode(b"\xff").decode(),
        b64encode(b"[]").decode(),
        b64encode(b"{}").decode(),
        b64encode(b'{"x402Version": 1}').decode(),
        b64encode(b'{"a":' * 9_000).decode(),
        b64encode(b"[" * 40_000 + b"]" * 7_000).decode(),
    ],
)
def test_a_malformed_payment(site: Any, purse: Any, payload: str) -> None:
    reply = site.ask("malformed", {"PAYMENT-SIGNATURE": payload})
    assert reply.status_code == 402, reply.text
    assert reply.headers["PAYMENT-REQUIRED"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("value", "-1"),
        ("value", "1e16"),
        ("value", str(2**256)),
        ("validBefore", "9" * 400),
        ("from", "0x12"),
        ("from", None),
        ("nonce", "0x12"),
        ("nonce", 7),
    ],
)
def test_a_payment_with_a_malformed_field(site: Any, purse: Any, field: str, value: Any) -> None:
    headers = altered(site.payment("field"), lambda p: p["payload"]["authorization"].update({field: value}))
    refused(site.ask("field", headers), "malformed")


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_client_whose_clock_is_wrong_is_told_so(site: Any, purse: Any, hours: int) -> None:
    """As a wallet that also says from when its payment holds would sign."""
    now = site.house.connection.ledger.now() + 3600 * hours
    contracts = site.house.connection.contracts

    def wrong(terms: Any, client: Any) -> None:
        signed = sign_authorization(
            contracts.token_domain,
            site.house.client,
            to=terms.pay_to,
            value=int(terms.amount),
            nonce=authorization_nonce(
                int(terms.extra["agentId"]), bytes.fromhex(terms.extra["requestHash"][2:]), SALT
            ),
            valid_after=now - 600,
            valid_before=now + 600,
        )
        made.update(
            signature="0x" + signed.signature.hex(),
            salt="0x" + SALT.hex(),
            authorization={
                "from": signed.client,
                "to": signed.to,
                "value": str(signed.value),
                "validAfter": str(signed.valid_after),
                "validBefore": str(signed.valid_before),
                "nonce": "0x" + signed.nonce.hex(),
            },
        )

    made: dict[str, Any] = {}
    headers = altered(site.payment("clock", change=wrong), lambda paid: paid.update(payload=made))
    reply = site.ask("clock", headers)
    refused(reply, "not valid now")
    error = reply.json()["error"]
    assert f"from {now - 600} to {now + 600} and the chain's clock is at" in error["why"]
    assert "set the clock" in error["fix"]


def test_a_failed_action_is_paid_back(site: Any) -> None:
    house, payer = site.house, Account.create()
    house.give(payer.address, 10**16)
    reply = site.ask("fail", site.payment("fail", payer))
    assert reply.status_code == 502
    assert reply.json()["error"]["code"] == "graph"
    assert reply.headers["X-Should-Retry"] == "false"
    assert reply.headers["X-OpenLedger-Receipt"]
    house.echo.batcher.anchor()
    assert house.balance(payer) == 10**16
    shown = site.http.get(f"/actions/{reply.headers['X-OpenLedger-Receipt']}").json()
    assert (shown["status"], shown["state"], shown["charged"]) == ("failed", "anchored", "0")


def test_an_action_is_verified_only_once_all_of_it_was_checked(site: Any) -> None:
    """This one called no model, so there is nothing that another would have to replay."""
    reply = site.ask("shown", site.payment("shown"))
    path = f"/actions/{reply.headers['X-OpenLedger-Receipt']}"
    before = site.http.get(path).json()
    assert (before["state"], before["verification"]) == ("signed", "unverified")
    assert before["anchor"] is None
    assert "not anchored yet" in before["summary"]
    site.house.echo.batcher.anchor()
    after = site.http.get(path).json()
    assert after["anchor"]["final"] is False
    assert {check["name"] for check in after["checks"]} >= {"signature", "payment", "payer", "anchor"}
    assert after["verification"] == "verified"
    assert "SHOWN" not in json.dumps(after)


def test_receipts_come_latest_first_and_in_pages(site: Any) -> None:
    for question in ("a", "b", "c"):
        assert site.ask(question, site.payment(question)).status_code == 200
    path = f"/agents/{site.house.echo.operator.agent_id}/receipts"
    first = site.http.get(path, params={"limit": 2}).json()
    last = first["data"][-1]["nonce"]
    second = site.http.get(path, params={"limit": 2, "before": last}).json()
    nonces = [one["nonce"] for one in first["data"] + second["data"]]
    assert nonces == list(range(nonces[0], nonces[0] - 4, -1))
    assert first["has_more"] is True
    assert site.http.get(path, params={"limit": 0}).status_code == 400
