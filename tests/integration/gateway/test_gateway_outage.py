"""A gateway whose chain goes away: it says so, takes nothing, and tells strangers no more than that."""

from __future__ import annotations

from typing import Any


def test_without_its_chain_a_gateway_says_so_and_takes_nothing(another_house: Any) -> None:
    house = another_house
    headers, key = house.key()
    with house.serving() as site:
        paid = site.payment("later")
        node = house.connection.devnet
        rpc = node.rpc_url
        node.stop(force=True)
        replies = [site.ask("now", headers), site.ask("later", paid)]
        assert site.http.get("/healthz").status_code == 503
        listed = site.http.get("/v1/models", headers=headers)
    for reply in replies:
        assert reply.status_code == 503, reply.text
        assert reply.json()["error"]["code"] == "chain.unreachable"
        assert reply.headers["Retry-After"]
        assert rpc.removeprefix("http://") not in reply.text
    assert replies[0].headers["X-Should-Retry"] == "false"  # with a key, again would be another payment
    assert "X-Should-Retry" not in replies[1].headers
    assert house.keys.get(key.id).spent == 0
    assert listed.status_code == 200
