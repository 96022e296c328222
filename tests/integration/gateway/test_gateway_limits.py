"""What a gateway does with too much, too slow, too often; and that nothing is lost by it."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest

from openledger.runtime import Keeping, State
from openledger.runtime.gateway import _hasty, create_app

PRICE = 10**16


def until(true: Any) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + 600
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert true()


def test_a_request_that_is_too_large_is_refused_by_its_length_or_its_bytes(site: Any) -> None:
    headers, key = site.house.key()
    with site.house.serving(body_bytes=2000) as small:
        fits = small.ask("x" * 1500, headers)
        long = small.ask("x" * 2500, headers)
        chunked = small.http.post(small.invoke_url, content=(b" " * 500 for _ in range(6)), headers=headers)
    assert fits.status_code == 200
    assert (long.status_code, chunked.status_code) == (413, 413)
    assert long.json()["error"]["code"] == "user.size"
    assert site.house.keys.get(key.id).spent == PRICE


def test_a_request_that_never_ends_is_cut_off(site: Any) -> None:
    with site.house.serving(body_seconds=0.2) as hasty:
        at = urlsplit(hasty.url)
        with socket.create_connection((at.hostname, at.port), timeout=600) as slow:
            slow.sendall(
                f"POST {hasty.invoke_url} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
            reply = HTTPResponse(slow)
            reply.begin()
            assert (reply.version, reply.status) == (11, 408)
            assert b"user.slow" in reply.read()


@pytest.fixture
def strict(site: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], socket.socket]:
    """Connections to a gateway that has little patience with the head of a request."""
    monkeypatch.setattr(_hasty, "SECONDS", 0.5)
    at = urlsplit(site.url)
    return lambda: socket.create_connection((at.hostname, at.port), timeout=600)


def until_closed(connection: socket.socket, *, by: bytes = b"") -> None:
    """Wait for the other side to close it, while ``by`` goes there again and again."""
    connection.settimeout(0.1)
    with suppress(ConnectionError):
        while True:
            with suppress(TimeoutError):
                if by:
                    connection.sendall(by)
                if not connection.recv(65_536):
                    return


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ],
    ids=["silence", "a header now and then", "blank lines after an answer", "silence after an answer"],
)
def test_a_head_that_comes_slowly_is_cut_off(
    strict: Callable[[], socket.socket], first: bytes, then: bytes
) -> None:
    began = time.monotonic()
    with strict() as slow:
        slow.sendall(first)
        until_closed(slow, by=then)
    assert time.monotonic() - began > 0.3


def test_a_head_without_end_is_cut_off(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hasty, "SECONDS", 1e6)  # its size is what ends it
    at = urlsplit(site.url)
    with socket.create_connection((at.hostname, at.port), timeout=600) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        until_closed(endless, by=b"y" * 10_000)


def test_an_answer_may_take_longer_than_a_head(
    strict: Callable[[], socket.socket], site: Any, gate: Any
) -> None:
    headers, key = site.house.key()
    body = b'{"input": "wait for it"}'
    request = f"POST {site.invoke_url} HTTP/1.1\r\nHost: x\r\nAuthorization: {headers['Authorization']}\r\n"
    request += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"

    def begun(connection: socket.socket) -> bool:
        """Whether its head came in time, so that its answer is on its way."""
        with suppress(ConnectionError):
            connection.sendall(request.encode() + body)
            connection.settimeout(0.01)
            while not site.house.keys.get(key.id).spent:
                with suppress(TimeoutError):
                    return connection.recv(1, socket.MSG_PEEK) != b""
            return True
        return False

    while not begun(patient := strict()):
        patient.close()
    with patient:
        patient.settimeout(600)
        time.sleep(1.0)
        gate.set()
        assert patient.recv(65_536).startswith(b"HTTP/1.1 200")


def test_one_client_asks_too_often_and_others_do_not_notice(site: Any) -> None:
    (busy, _), (other, _) = site.house.key(), site.house.key()
    with site.house.serving(rate=0.001, burst=3) as strict:
        replies = [strict.http.get("/v1/models", headers=busy) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert int(replies[-1].headers["Retry-After"]) > 100
        assert replies[-1].json()["error"]["type"] == "rate_limit_error"
        assert strict.http.get("/v1/models", headers=other).status_code == 200
        assert strict.http.get("/v1/models").status_code == 200  # by its address
        assert [strict.http.get("/healthz").status_code for _ in range(5)] == [200] * 5


def test_guesses_of_keys_are_counted(site: Any) -> None:
    with site.house.serving(rate=0.001, burst=3) as strict:
        guesses = [{"Authorization": f"Bearer ol-guess-{number}"} for number in range(4)]
        replies = [strict.http.get("/v1/models", headers=guess) for guess in guesses]
    assert [reply.status_code for reply in replies] == [401, 401, 401, 429]
    assert replies[0].json()["error"]["code"] == "user.key"


def test_one_client_fills_its_places_and_others_still_get_theirs(site: Any, gate: Any) -> None:
    (busy, key), (other, _) = site.house.key(), site.house.key()
    with site.house.serving(running=3, running_each=2) as narrow, ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(narrow.ask, f"wait {number}", busy) for number in range(2)]
        until(lambda: site.house.keys.get(key.id).spent == 2 * PRICE)
        refused = narrow.ask("one more", busy)
        assert refused.status_code == 429
        assert refused.headers["Retry-After"]
        assert narrow.ask("me too", other).status_code == 200
        gate.set()
        assert [reply.result().status_code for reply in waiting] == [200, 200]
    assert site.house.keys.get(key.id).spent == 2 * PRICE  # what was refused was not paid


def test_stopping_waits_for_what_was_paid_though_its_client_has_gone(site: Any, gate: Any) -> None:
    house = site.house
    with house.serving() as leaving:
        headers = leaving.payment("wait for me")
        streaming = leaving.invoke_url.replace("invoke", "stream")
        with leaving.http.stream("POST", streaming, json={"input": "wait for me"}, headers=headers) as reply:
            assert next(reply.iter_lines()) == "event: ticket"
        threading.Timer(1, gate.set).start()  # while it stops
    [row] = house.echo.outbox.receipts(house.echo.operator.agent_id, limit=1)
    assert row.accepted["request"]["input"] == "wait for me"
    assert row.state is State.SIGNED
    assert site.ask("wait for me", headers).headers["X-OpenLedger-Receipt"] == row.envelope


def test_a_key_spends_no_more_than_its_cap(site: Any) -> None:
    headers, key = site.house.key(cap=2 * PRICE)
    taken = [site.ask(question, headers) for question in "ab"]
    assert [reply.status_code for reply in taken] == [200, 200]
    assert taken[0].json()["openledger"]["seed_source"] == "operator"  # who holds the key's account
    refused = site.ask("c", headers)
    assert refused.status_code == 402
    assert refused.json()["error"]["code"] == "user.payment.cap"
    assert site.house.balance(key.payer) == 10**18 - 2 * PRICE


def test_copies_at_once_pass_no_cap(site: Any) -> None:
    headers, key = site.house.key(cap=3 * PRICE)
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda number: site.ask(f"at once {number}", headers), range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] * 3 + [402] * 5
    assert site.house.balance(key.payer) == 10**18 - 3 * PRICE


def test_what_failed_counts_for_no_cap(site: Any) -> None:
    headers, _ = site.house.key(cap=PRICE)
    assert site.ask("fail", headers).status_code == 502
    assert site.ask("good", headers).status_code == 200


def test_a_key_without_money_is_told_so_and_keeps_its_cap(site: Any) -> None:
    headers, key = site.house.key(funds=0)
    refused = site.ask("poor", headers)
    assert refused.status_code == 402
    assert "cannot pay" in refused.json()["error"]["why"]
    assert site.house.keys.get(key.id).spent == 0


def test_an_idempotency_key_pays_once(site: Any) -> None:
    headers, key = site.house.key()
    once = headers | {"Idempotency-Key": "order 17"}
    cids = {site.ask("once", once).headers["X-OpenLedger-Receipt"] for _ in range(3)}
    assert len(cids) == 1
    assert site.house.balance(key.payer) == 10**18 - PRICE
    assert site.ask("something else", once).headers["X-OpenLedger-Receipt"] not in cids
    other, _ = site.house.key()
    assert (
        site.ask("once", other | {"Idempotency-Key": "order 17"}).headers["X-OpenLedger-Receipt"] not in cids
    )


def test_a_revoked_key_is_refused(site: Any) -> None:
    headers, key = site.house.key()
    assert site.ask("before", headers).status_code == 200
    site.house.keys.revoke(key.id)
    assert site.ask("after", headers).status_code == 401


def test_a_restart_gives_back_what_a_crash_reserved_and_never_paid(site: Any) -> None:
    house = site.house
    _, key = house.key()
    house.keys.reserve(key, "0x" + "ab" * 32, house.echo.operator.agent_id, PRICE)
    assert house.keys.get(key.id).spent == PRICE
    with house.serving():
        assert house.keys.get(key.id).spent == 0


def test_the_gateway_anchors_by_itself(site: Any) -> None:
    house = site.house
    headers, _ = house.key()
    reply = site.ask("anchored", headers)
    app = create_app([house.echo, house.talk], house.connection, keeping=Keeping(0.1, 0.1, 0.1))
    from listening import listening

    with listening(app):
        payment = reply.json()["openledger"]["payment_id"]
        until(lambda: house.echo.outbox.get(payment).state is State.ANCHORED)


def test_logs_say_how_and_never_what(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    headers, key = site.house.key()
    with caplog.at_level(logging.INFO, "openledger.gateway"):
        site.ask("my secret question", headers)
        site.ask("fail", headers)
        site.http.get("/no/such/secret/path")
        site.http.post(site.invoke_url, content=b'{"input": "my secret', headers=headers)
    ours = [record for record in caplog.records if record.name == "openledger.gateway"]
    told = "\n".join(record.getMessage() for record in ours)
    assert re.search(r'"route": "/agents/\{agent_id\}/invoke", "status": 200, "client": "key:\d+"', told)
    assert '"status": 502' in told
    assert f"key:{key.id}" in told
    assert "secret" not in told.lower()
    assert headers["Authorization"].split()[1] not in told
