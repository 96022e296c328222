"""The outbox keeps every action through crashes, and never gives one nonce to two records: in SQLite and in Postgres."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from openledger.errors import OpenLedgerError, UserError
from openledger.runtime import Outbox, State, _group
from openledger.runtime._outbox_rows import meta

AGENT = 7
LONG = 600.0


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'outbox.db'}"
    made: str = request.getfixturevalue("postgres")()
    return made


@pytest.fixture
def outbox(url: str) -> Iterator[Outbox]:
    made = Outbox(url)
    yield made
    made.close()


def accepted(outbox: Outbox, payment_id: str) -> None:
    outbox.open(payment_id, AGENT, 1, {"request": payment_id})
    outbox.accept(payment_id, {"request": payment_id, "ticket": {"epoch": 1}})


def fix(nonce: int) -> tuple[str, dict[str, Any]]:
    return f"hash of {nonce}", {"nonce": nonce}


def signed(outbox: Outbox, payment_id: str) -> None:
    accepted(outbox, payment_id)
    outbox.execute(outbox.get(payment_id), 0, fix)
    outbox.signed(outbox.get(payment_id), "signature", "cid")


def test_the_same_payment_opens_one_action(outbox: Outbox) -> None:
    first = outbox.open("p", AGENT, 1, {"request": 1})
    again = outbox.open("p", AGENT, 1, {"request": 2})
    assert first == again
    assert again.accepted == {"request": 1}


def test_nonces_are_given_in_order_of_completion(outbox: Outbox) -> None:
    for payment in "abc":
        accepted(outbox, payment)
    assert [outbox.execute(outbox.get(p), 5, fix).nonce for p in "bca"] == [5, 6, 7]


def test_executing_twice_keeps_the_first_nonce_and_record(outbox: Outbox) -> None:
    accepted(outbox, "p")
    first = outbox.execute(outbox.get("p"), 0, fix)
    again = outbox.execute(outbox.get("p"), 0, lambda nonce: ("another hash", {"other": nonce}))
    assert again == first


def test_concurrent_completions_never_share_a_nonce(outbox: Outbox) -> None:
    payments = [f"p{i}" for i in range(40)]
    for payment in payments:
        accepted(outbox, payment)
    with ThreadPoolExecutor(8) as threads:
        nonces = list(threads.map(lambda p: outbox.execute(outbox.get(p), 0, fix).nonce, payments))
    assert sorted(nonces) == list(range(40))


def test_a_record_that_cannot_be_built_takes_no_nonce(outbox: Outbox) -> None:
    accepted(outbox, "p")

    def broken(nonce: int) -> tuple[str, dict[str, Any]]:
        raise ValueError("no such manifest")

    with pytest.raises(ValueError, match="no such manifest"):
        outbox.execute(outbox.get("p"), 0, broken)
    assert outbox.get("p").state is State.ACCEPTED
    assert outbox.execute(outbox.get("p"), 0, fix).nonce == 0


def test_what_comes_at_once_is_one_commit_and_each_has_its_own_outcome(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_group, "PATIENCE", LONG)
    payments = [f"p{i}" for i in range(6)]
    for payment in ("first", *payments):
        accepted(outbox, payment)
    commits: list[int] = []
    sa.event.listen(outbox._db._engine, "commit", lambda db: commits.append(1))
    begun, others_wait = threading.Event(), threading.Event()

    def slow(nonce: int) -> tuple[str, dict[str, Any]]:
        begun.set()
        assert others_wait.wait(LONG)
        return fix(nonce)

    def broken(nonce: int) -> tuple[str, dict[str, Any]]:
        raise ValueError("no such manifest")

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(outbox.execute, outbox.get("first"), 0, slow)
        assert begun.wait(LONG)
        fixes = [broken if payment == "p3" else fix for payment in payments]
        several = [
            threads.submit(outbox.execute, row, 0, its)
            for row, its in zip(map(outbox.get, payments), fixes, strict=True)
        ]
        while len(outbox._write._waiting) < len(several):
            time.sleep(0.001)
        others_wait.set()
    assert first.result().nonce == 0
    with pytest.raises(ValueError, match="no such manifest"):
        several.pop(3).result()
    assert sorted(one.result().nonce or 0 for one in several) == [1, 2, 3, 4, 5]
    assert len(commits) < len(payments)
    assert outbox.get("p3").state is State.ACCEPTED


def test_a_state_is_never_skipped(outbox: Outbox) -> None:
    outbox.open("p", AGENT, 1, {})
    with pytest.raises(OpenLedgerError, match="cannot become SIGNED"):
        outbox.signed(outbox.get("p"), "signature", "cid")
    assert outbox.get("p").state is State.PAYING


def test_a_repeated_transition_is_no_error(outbox: Outbox) -> None:
    signed(outbox, "p")
    outbox.signed(outbox.get("p"), "signature", "cid")
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


def test_everything_is_there_after_a_restart(url: str) -> None:
    first = Outbox(url)
    signed(first, "p")
    first.close()
    again = Outbox(url)
    assert again.get("p").signature == "signature"
    again.close()


def test_processes_that_share_an_outbox_agree_on_every_nonce_and_record(url: str, outbox: Outbox) -> None:
    """Four of them finish the same twenty actions at once, in orders and with records of their own: what one was given,
    and might have signed, is what all were given."""
    for number in range(20):
        accepted(outbox, f"p{number}")
    script = textwrap.dedent("""
        import os, random, sys, time
        from openledger.runtime import Outbox

        def fix(nonce):
            time.sleep(0.002)  # while others want to write
            return f"{os.getpid()}", {"by": os.getpid()}

        outbox, payments = Outbox(sys.argv[1]), [f"p{number}" for number in range(20)]
        random.Random(int(sys.argv[2])).shuffle(payments)
        print("ready", flush=True)
        sys.stdin.readline()
        for payment in payments:
            row = outbox.execute(outbox.get(payment), 0, fix)
            print(payment, row.nonce, row.struct_hash)
    """)
    many = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for one in many:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in many:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    given = [sorted(one.communicate(timeout=600)[0].splitlines()) for one in many]
    assert [one.returncode for one in many] == [0] * 4
    rows = outbox.in_state(AGENT, State.EXECUTED)
    assert [row.nonce for row in rows] == list(range(20))
    fixed = sorted(f"{row.payment_id} {row.nonce} {row.struct_hash}" for row in rows)
    assert given == [fixed] * 4


def test_a_process_killed_while_it_fixes_a_record_leaves_no_nonce_taken(url: str, outbox: Outbox) -> None:
    """Killed inside the transaction, after the record was made: another record may take the nonce, nothing was signed."""
    accepted(outbox, "p")
    script = textwrap.dedent("""
        import os, signal, sys
        from openledger.runtime import Outbox
        outbox = Outbox(sys.argv[1])
        outbox.execute(outbox.get("p"), 0, lambda nonce: os.kill(os.getpid(), signal.SIGKILL))
    """)
    done = subprocess.run([sys.executable, "-c", script, url], timeout=600, check=False)
    assert done.returncode == -signal.SIGKILL
    assert outbox.get("p").state is State.ACCEPTED
    assert outbox.execute(outbox.get("p"), 0, fix).nonce == 0


def test_a_batch_that_begins_at_the_same_nonce_stands(outbox: Outbox) -> None:
    signed(outbox, "a")
    rows = outbox.in_state(AGENT, State.SIGNED)
    first = outbox.open_batch(AGENT, rows, {"batch": "cid"})
    signed(outbox, "b")
    again = outbox.open_batch(AGENT, [*rows, *outbox.in_state(AGENT, State.SIGNED)][:2], {"batch": "another"})
    assert again == first
    assert [row.first_nonce for row in outbox.in_state(AGENT, State.SIGNED)] == [0, None]


def test_the_schema_is_what_the_migrations_make(outbox: Outbox) -> None:
    with outbox._db.read() as db:
        context = MigrationContext.configure(db, opts={"version_table": "outbox_version"})
        assert compare_metadata(context, meta) == []


def test_an_outbox_from_before_schemas_had_versions_is_taken_over(tmp_path: Path) -> None:
    old = sa.create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    meta.create_all(old)
    old.dispose()
    signed(Outbox(tmp_path / "old.db"), "p")
    assert Outbox(tmp_path / "old.db").get("p").state is State.SIGNED


def test_an_outbox_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Outbox(tmp_path / "new.db").close()
    with sqlite3.connect(tmp_path / "new.db") as db:
        db.execute("UPDATE outbox_version SET version_num = '9999'")
    with pytest.raises(UserError, match="upgrade openledger"):
        Outbox(tmp_path / "new.db")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://user@host/db", "be kept in mysql"),
        ("no url", "malformed"),
        ("postgresql+psycopg2://user@host/db", "openledger\\[postgres\\]"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(url: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Outbox(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(OpenLedgerError, match="could not be written") as failed:
        Outbox("postgresql+psycopg://user:secret@127.0.0.1:1/db")
    assert "secret" not in str(failed.value)
    assert failed.value.code == "outbox"


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    """The limit on file size stands for the full disk: both make the same writes fail."""
    script = textwrap.dedent(f"""
        import resource, signal
        from openledger.errors import OpenLedgerError
        from openledger.runtime import Outbox, State, _group
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
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.stdout.strip() == "ok", done.stderr


def test_several_payments_are_noted_and_accepted_at_once_and_none_twice(outbox: Outbox) -> None:
    accepted(outbox, "a")
    before = outbox.get("a")
    rows = outbox.open_all(AGENT, [("a", 1, {"request": "other"}), ("b", 2, {}), ("c", 3, {})])
    assert [(row.payment_id, row.state) for row in rows] == [
        ("a", State.ACCEPTED),
        ("b", State.PAYING),
        ("c", State.PAYING),
    ]
    rows = outbox.accept_all([(name, {"ticket": name}) for name in "abc"])
    assert rows[0] == before == outbox.get("a")  # what was promised first stands
    assert [row.accepted for row in rows[1:]] == [{"ticket": "b"}, {"ticket": "c"}]
    assert [outbox.get(name).state for name in "abc"] == [State.ACCEPTED] * 3


def test_a_payment_that_is_gone_is_not_accepted_and_says_so(outbox: Outbox) -> None:
    outbox.open("p", AGENT, 1, {})
    with pytest.raises(OpenLedgerError, match="q cannot become ACCEPTED"):
        outbox.accept_all([("p", {"ticket": 1}), ("q", {"ticket": 1})])
    assert outbox.get("p").state is State.PAYING  # all of them or none
