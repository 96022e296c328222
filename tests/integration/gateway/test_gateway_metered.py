"""An agent with a tariff at a gateway: a most is authorised, what the tariff says is charged, and the rest goes back."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from x402 import x402ClientSync
from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    encode_payment_signature_header,
)
from x402.schemas import PaymentRequired

from openledger.runtime.gateway import OpenScheme

PRICE = 10**16
FEE = PRICE // 5
"""No model is called here, so the base of the tariff is all that an action costs."""


def test_the_terms_say_how_it_is_charged(metered: Any) -> None:
    asked = metered.ask("how much")
    required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
    assert isinstance(required, PaymentRequired)
    [terms] = required.accepts
    assert (terms.scheme, terms.amount) == ("upto", str(PRICE))
    tariff = {"base": str(FEE), "prompt_token": "7", "output_token": "11"}
    assert terms.extra["tariff"] == tariff
    told = metered.http.get(f"/agents/{metered.asked.operator.agent_id}").json()["openledger"]
    assert (told["price"], told["tariff"]) == (str(PRICE), tariff)
    exact = metered.http.get(f"/agents/{metered.house.echo.operator.agent_id}").json()["openledger"]
    assert exact["tariff"] is None


def test_x402_pays_the_tariff_and_has_the_rest_back(metered: Any) -> None:
    house = metered.house
    metered.asked.batcher.anchor()
    before, headers = house.balance(house.client), metered.payment("pay")
    reply = metered.ask("pay", headers)
    assert reply.json()["output"] == "PAY"
    told = reply.json()["openledger"]
    assert (told["charged"], told["refund"]) == (str(FEE), str(PRICE - FEE))
    settled = decode_payment_response_header(reply.headers["PAYMENT-RESPONSE"])
    assert (settled.success, settled.amount) == (True, str(FEE))
    assert settled.extra is not None
    assert settled.extra["authorized"] == str(PRICE)
    assert house.balance(house.client) == before - PRICE
    metered.asked.batcher.anchor()
    assert house.balance(house.client) == before - FEE
    checks = metered.http.get(f"/actions/{told['receipt']}").json()["checks"]
    assert [check["verdict"] for check in checks if check["name"] == "fee"] == ["verified"]


def test_the_same_payment_again_is_told_the_same(metered: Any) -> None:
    headers = metered.payment("again")
    first, second = metered.ask("again", headers), metered.ask("again", headers)
    assert first.json()["openledger"] == second.json()["openledger"]
    assert [
        decode_payment_response_header(one.headers["PAYMENT-RESPONSE"]).amount for one in (first, second)
    ] == [str(FEE)] * 2


def test_a_failed_action_costs_nothing(metered: Any) -> None:
    house = metered.house
    metered.asked.batcher.anchor()
    before = house.balance(house.client)
    reply = metered.ask("fail please", metered.payment("fail please"))
    assert reply.status_code == 502
    assert reply.json()["openledger"]["charged"] == "0"
    assert decode_payment_response_header(reply.headers["PAYMENT-RESPONSE"]).amount == "0"
    metered.asked.batcher.anchor()
    assert house.balance(house.client) == before


@pytest.mark.parametrize("wei", [PRICE - 1, FEE, PRICE + 1])
def test_what_is_authorised_is_the_price(metered: Any, wei: int) -> None:
    def otherwise(terms: Any, _: Any) -> None:
        terms.amount = str(wei)

    reply = metered.ask("amount", metered.payment("amount", change=otherwise))
    assert reply.status_code == 402
    assert f"{PRICE} wei are authorised for an action, exactly" in reply.text


@pytest.mark.parametrize("name", ["gauge", "echo"])
def test_a_payment_by_the_other_scheme_is_refused(metered: Any, name: str) -> None:
    """So that nobody who means to pay a price exactly pays by a tariff, or the other way round."""
    body = {"model": name, "messages": [{"role": "user", "content": "scheme"}]}
    asked = metered.http.post("/v1/chat/completions", json=body)
    required = decode_payment_required_header(asked.headers["PAYMENT-REQUIRED"])
    assert isinstance(required, PaymentRequired)
    [terms] = required.accepts
    other: Any = {"upto": "exact", "exact": "upto"}[terms.scheme]
    terms.scheme = other
    client, house = x402ClientSync(), metered.house
    client.register("eip155:*", OpenScheme(house.client, other, now=house.connection.ledger.now))
    client.set_spend_controls(False)
    paid = encode_payment_signature_header(client.create_payment_payload(required))
    before = house.balance(house.client)
    reply = metered.http.post("/v1/chat/completions", json=body, headers={"PAYMENT-SIGNATURE": paid})
    assert reply.status_code == 402
    assert "by another scheme" in reply.json()["error"]["message"]
    assert house.balance(house.client) == before


def test_a_key_has_spent_what_was_charged(metered: Any) -> None:
    headers, key = metered.house.key(cap=PRICE)
    for question in ("one", "two"):
        before = metered.house.keys.get(key.id).spent
        reply = metered.ask(question, headers)
        if question == "one":
            assert reply.status_code == 200, reply.text
            assert metered.house.keys.get(key.id).spent - before == FEE
    assert reply.status_code == 402, "the most that a call may cost has no room any more"
    assert "has reached its cap" in reply.text
    metered.asked.batcher.anchor()
    assert metered.house.balance(key.payer) == 10**18 - FEE


def test_every_face_says_what_it_costs(metered: Any) -> None:
    words = f"Costs {FEE} wei of OPEN an action, 7 a prompt token and 11 an output token, {PRICE} at most"
    card = metered.http.get(f"/a2a/{metered.asked.operator.agent_id}/.well-known/agent-card.json").json()
    assert words in card["description"]
    assert words in card["skills"][0]["description"]
    payload = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    listed = metered.http.post(
        "/mcp/", json=payload, headers={"Accept": "application/json, text/event-stream"}
    )
    assert words in listed.text, listed.text[:500]


def test_what_is_signed_for_says_upto(metered: Any) -> None:
    payload = json.loads(b64decode(metered.payment("look")["PAYMENT-SIGNATURE"]))
    assert payload["accepted"]["scheme"] == "upto"
    assert payload["payload"]["authorization"]["value"] == str(PRICE)
