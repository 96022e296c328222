"""Prepaid keys in SQLite and in Postgres: kept without their secret, and never spent beyond their cap by however many at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from eth_account import Account

from openledger.errors import UserError
from openledger.runtime.gateway import Key, Keys
from openledger.runtime.gateway._keys import _meta


def payer(number: int) -> object:
    return Account.from_key(number.to_bytes(32, "big"))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: str = request.getfixturevalue("postgres")() if request.param == "postgres" else ""
    return made or f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture
def keys(url: str) -> Iterator[Keys]:
    made = Keys(url, payer)  # type: ignore[arg-type]
    yield made
    made.close()


def test_a_key_is_found_by_its_secret_until_it_is_revoked(keys: Keys) -> None:
    secret, key = keys.create("alice", 10**30)  # wider than SQL's integers
    other, _ = keys.create("bob", 1)
    assert keys.find(secret) == key == Key(key.id, "alice", payer(key.id).address, 10**30, 0, False)  # type: ignore[attr-defined]
    assert keys.find(other) != key
    assert keys.find(secret + "x") is keys.find("") is None
    assert [one.name for one in keys.all()] == ["alice", "bob"]
    keys.revoke(key.id)
    keys.revoke(key.id)
    assert keys.find(secret) is None
    assert keys.get(key.id).revoked
    with pytest.raises(UserError, match="no key 99"):
        keys.get(99)


def test_the_secret_is_not_kept(keys: Keys) -> None:
    secret, _ = keys.create("alice", 1)
    with keys._db.read() as db:
        kept = str(db.execute(sa.text("SELECT * FROM gateway_keys")).all())
    assert "alice" in kept
    assert secret not in kept
    assert secret.removeprefix("ol-") not in kept


def test_the_signer_of_another_gateway_pays_for_no_key(keys: Keys, url: str) -> None:
    _, key = keys.create("alice", 1)
    other = Keys(url, lambda number: Account.from_key((number + 1000).to_bytes(32, "big")))  # type: ignore[arg-type,return-value]
    with pytest.raises(UserError, match="cannot be had"):
        other.payer(key)
    other.close()


def test_a_payment_counts_once_and_comes_off_once(keys: Keys) -> None:
    _, key = keys.create("alice", 30)
    for _ in range(2):
        keys.reserve(key, "a", 7, 10)
    keys.reserve(key, "b", 7, 20)
    with pytest.raises(UserError) as capped:
        keys.reserve(key, "c", 7, 1)
    assert capped.value.code == "user.payment.cap"
    assert sorted(keys.open_spends()) == [("a", 7), ("b", 7)]
    for _ in range(2):
        keys.settle("a", 0)
    keys.settle("never there", 5)
    assert keys.get(key.id).spent == 20
    keys.settle("b", 20)
    keys.settle("b", 0)  # it was earned
    assert keys.get(key.id).spent == 20
    assert keys.open_spends() == []


def test_of_a_metered_payment_what_is_charged_stays_spent(keys: Keys) -> None:
    _, key = keys.create("alice", 30)
    keys.reserve(key, "a", 7, 30)
    for _ in range(2):
        keys.settle("a", 12)
    assert keys.get(key.id).spent == 12
    keys.reserve(key, "b", 7, 18)
    with pytest.raises(UserError, match="cap"):
        keys.reserve(key, "c", 7, 1)


def test_many_at_once_spend_no_more_than_the_cap(keys: Keys) -> None:
    _, key = keys.create("alice", 10)

    def spend(number: int) -> int:
        try:
            keys.reserve(key, f"p{number}", 7, 1)
        except UserError:
            return 0
        return 1

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(spend, range(40))) == 10
    assert keys.get(key.id).spent == 10
    assert len(keys.open_spends()) == 10


def test_processes_that_share_the_keys_spend_no_more_than_the_cap(keys: Keys, url: str) -> None:
    _, key = keys.create("alice", 10)
    script = """
import sys
from openledger.errors import UserError
from openledger.runtime.gateway import Keys
keys, made = Keys(sys.argv[1], lambda number: None), 0
for number in range(20):
    try:
        keys.reserve(keys.get(int(sys.argv[2])), f"{sys.argv[3]}-{number}", 7, 1)
        made += 1
    except UserError:
        pass
print(made)
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, url, str(key.id), name], stdout=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    assert sum(int(one.communicate(timeout=600)[0]) for one in started) == 10
    assert keys.get(key.id).spent == 10


def test_the_schema_is_what_the_migrations_make(keys: Keys) -> None:
    with keys._db.read() as db:
        context = MigrationContext.configure(db, opts={"version_table": "gateway_version"})
        assert compare_metadata(context, _meta) == []
