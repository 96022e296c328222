"""A relayer's book counts what gas costs, by day and account, through restarts: in SQLite and in Postgres."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from openledger.errors import OverloadedError, UserError
from openledger.runtime.relayer import Book
from openledger.runtime.relayer._book import _meta

ANN, BEN = "0x" + "aA" * 20, "0x" + "bb" * 20
CAPS = {"account_cap": 100 * 2**64, "cap": 150 * 2**64}  # wider than SQL's integers
UNIT = 2**64


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'book.db'}"
    made: str = request.getfixturevalue("postgres")()
    return made


def test_what_is_spent_counts_once_by_day_and_account(url: str) -> None:
    now = [86_400.0 * 20_000 + 60]
    book = Book(url, lambda: now[0])
    book.begin("0x1", ANN, 0, 60 * UNIT, 7, **CAPS)
    with pytest.raises(UserError, match="another batch of this account"):
        book.begin("0x2", ANN.lower(), 0, UNIT, 7, **CAPS)
    book.signed("0x1", "0xt1", b"\x01\x02")
    book.close()
    book = Book(url, lambda: now[0])
    [entry] = book.open()
    assert (entry.id, entry.nonce, entry.wei, entry.since, entry.tx, entry.raw) == (
        "0x1",
        0,
        60 * UNIT,
        7,
        "0xt1",
        b"\x01\x02",
    )
    with pytest.raises(OverloadedError) as full:  # what may be spent counts
        book.begin("0x3", BEN, 0, 91 * UNIT, 7, **CAPS)
    assert full.value.code == "relay.cap"
    assert full.value.retry_after == 86_400 - 60
    book.done("0x1", "0xt1", 20 * UNIT)
    assert (book.spent(), book.spent(ANN), book.spent(BEN)) == (20 * UNIT, 20 * UNIT, 0)
    with pytest.raises(OverloadedError, match="this account"):
        book.begin("0x2", ANN, 1, 80 * UNIT + 1, 7, **CAPS)
    book.begin("0x2", ANN, 1, 80 * UNIT, 7, **CAPS)  # to the last wei
    book.failed("0x2", "stale", "0xt2", 30 * UNIT)
    book.begin("0x2", ANN, 1, 10 * UNIT, 8, **CAPS)  # the same again: what the first try cost stays spent
    assert book.spent(ANN) == 60 * UNIT
    book.drop("0x2")
    assert book.spent(ANN) == 50 * UNIT
    book.drop("0x1")  # only what was never sent
    assert book.spent(ANN) == 50 * UNIT
    now[0] += full.value.retry_after
    assert book.spent() == 0
    found = book.find("0x1")
    assert found is not None
    assert (found.state, found.tx, found.raw) == ("done", "0xt1", None)
    book.close()


def test_the_schema_is_what_the_migrations_make(url: str) -> None:
    book = Book(url)
    with book._db.read() as db:
        context = MigrationContext.configure(db, opts={"version_table": "relayer_version"})
        assert compare_metadata(context, _meta) == []
    book.close()
