"""The outbox keeps every action through crashes, and never gives one nonce to two records."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from openledger.errors import OpenLedgerError, UserError
from openledger.runtime import Outbox, State

AGENT = 7


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db")


def accepted(outbox: Outbox, payment_id: str) -> None:
    outbox.open(payment_id, AGENT, 1, {"request": payment_id})
    outbox.accept(payment_id, {"request": payment_id, "ticket": {"epoch": 1}})


def fix(nonce: int) -> tuple[str, dict[str, Any]]:
    return f"hash of {nonce}", {"nonce": nonce}


def signed(outbox: Outbox, payment_id: str) -> None:
    accepted(outbox, payment_id)
    outbox.execute(payment_id, 0, fix)
    outbox.signed(payment_id, "signature", "cid")


def test_the_same_payment_opens_one_action(outbox: Outbox) -> None:
    first = outbox.open("p", AGENT, 1, {"request": 1})
    again = outbox.open("p", AGENT, 1, {"request": 2})
    assert first == again
    assert again.accepted == {"request": 1}


def test_nonces_are_given_in_order_of_completion(outbox: Outbox) -> None:
    for payment in "abc":
        accepted(outbox, payment)
    assert [outbox.execute(p, 5, fix).nonce for p in "bca"] == [5, 6, 7]


def test_executing_twice_keeps_the_first_nonce_and_record(outbox: Outbox) -> None:
    accepted(outbox, "p")
    first = outbox.execute("p", 0, fix)
    again = outbox.execute("p", 0, lambda nonce: ("another hash", {"other": nonce}))
    assert again == first


def test_concurrent_completions_never_share_a_nonce(outbox: Outbox) -> None:
    payments = [f"p{i}" for i in range(40)]
    for payment in payments:
        accepted(outbox, payment)
    with ThreadPoolExecutor(8) as threads:
        nonces = list(threads.map(lambda p: outbox.execute(p, 0, fix).nonce, payments))
    assert sorted(nonces) == list(range(40))


def test_a_record_that_cannot_be_built_takes_no_nonce(outbox: Outbox) -> None:
    accepted(outbox, "p")

    def broken(nonce: int) -> tuple[str, dict[str, Any]]:
        raise ValueError("no such manifest")

    with pytest.raises(ValueError, match="no such manifest"):
        outbox.execute("p", 0, broken)
    assert outbox.get("p").state is State.ACCEPTED
    assert outbox.execute("p", 0, fix).nonce == 0


def test_a_state_is_never_skipped(outbox: Outbox) -> None:
    outbox.open("p", AGENT, 1, {})
    with pytest.raises(OpenLedgerError, match="cannot become SIGNED"):
        outbox.signed("p", "signature", "cid")
    assert outbox.get("p").state is State.PAYING


def test_a_repeated_transition_is_no_error(outbox: Outbox) -> None:
    signed(outbox, "p")
    outbox.signed("p", "signature", "cid")
    assert outbox.get("p").state is State.SIGNED


def test_batches_carry_their_actions_through_anchoring_and_settlement(outbox: Outbox) -> None:
    for payment in "ab":
        signed(outbox, payment)
    batch = outbox.open_batch(AGENT, outbox.in_state(AGENT, State.SIGNED), {"batch": "cid", "epoch": 1})
    assert (batch.first_nonce, batch.count) == (0, 2)
    outbox.anchored(batch, {"fields": []})
    assert [row.state for row in outbox.in_state(AGENT, State.ANCHORED)] == [State.ANCHORED] * 2
    outbox.settled(batch)
    assert outbox.batches(AGENT, State.ANCHORED) == []
    assert len(outbox.in_state(AGENT, State.SETTLED)) == 2


def test_a_refused_payment_is_forgotten_but_an_accepted_one_is_not(outbox: Outbox) -> None:
    outbox.open("p", AGENT, 1, {})
    outbox.drop("p")
    with pytest.raises(UserError, match="no action was paid by p"):
        outbox.get("p")
    accepted(outbox, "q")
    outbox.drop("q")
    assert outbox.get("q").state is State.ACCEPTED


def test_fees_are_pending_until_they_are_anchored(outbox: Outbox) -> None:
    signed(outbox, "a")
    outbox.open("b", AGENT, 10**30, {})
    assert outbox.pending_fees(AGENT) == 10**30 + 1
    outbox.anchored(outbox.open_batch(AGENT, outbox.in_state(AGENT, State.SIGNED), {}), {})
    assert outbox.pending_fees(AGENT) == 10**30


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox.db")
    signed(first, "p")
    first.close()
    assert Outbox(tmp_path / "outbox.db").get("p").signature == "signature"


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    """The limit on file size stands for the full disk: both make the same writes fail."""
    script = textwrap.dedent(f"""
        import resource, signal
        from openledger.errors import OpenLedgerError
        from openledger.runtime import Outbox, State
        from pathlib import Path
        outbox = Outbox(Path({str(tmp_path / "outbox.db")!r}))
        outbox.open("kept", 1, 1, {{}})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            outbox.open("lost", 1, 1, {{"request": "x" * 100_000}})
        except OpenLedgerError as error:
            assert error.code == "outbox" and "free disk space" in str(error), error
        else:
            raise SystemExit("the write went through")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        outbox.open("lost", 1, 1, {{}})
        assert {{row.payment_id for row in outbox.in_state(1, State.PAYING)}} == {{"kept", "lost"}}
        print("ok")
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "ok", done.stderr
