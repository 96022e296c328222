"""The index says what the chain says, after whatever the chain did; in SQLite and in Postgres."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from openledger.contracts import Contracts, Devnet, deploy
from openledger.errors import ChainError, OpenLedgerError, UserError
from openledger.registry import Ledger
from openledger.runtime import Index
from openledger.runtime._index import _meta


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(devnet: Devnet) -> Contracts:
    return deploy(devnet.connect(), devnet.accounts[0], devnet.home.parent)


@pytest.fixture(params=["sqlite", "postgres"])
def index(request: pytest.FixtureRequest, contracts: Contracts, tmp_path: Path) -> Iterator[Index]:
    url = tmp_path / "index.db" if request.param == "sqlite" else request.getfixturevalue("postgres")()
    made = Index(contracts, url)
    yield made
    made.close()


def reorg(contracts: Contracts, depth: int) -> None:
    """Replace the newest blocks by empty ones."""
    contracts.chain._request("anvil_reorg", [depth, []])


def deposit(contracts: Contracts, devnet: Devnet, account: int, value: int) -> None:
    contracts.chain.send(contracts.token.functions.deposit(), devnet.accounts[account], value=value)


def agree(index: Index, contracts: Contracts) -> int:
    """The index and the chain give the same events, each with the same place and hashes; returns how many."""
    first, found = contracts.deployment.block, 0
    for contract in (contracts.token, contracts.agents, contracts.parameters):
        for event in contract.events:
            mine = list(index.logs(event, first))
            theirs = list(contracts.chain.logs(event, first))
            assert [dict(one) for one in mine] == [dict(one) for one in theirs]
            found += len(mine)
    return found


def test_it_holds_what_the_chain_emitted_since_the_deployment(
    index: Index, contracts: Contracts, devnet: Devnet
) -> None:
    assert index.head is None
    deposit(contracts, devnet, 1, 5)
    assert index.advance() > 0
    assert agree(index, contracts) > 20
    assert index.head == contracts.chain.block_number()
    assert index.advance() == 0


def test_events_are_found_by_their_indexed_arguments(
    index: Index, contracts: Contracts, devnet: Devnet
) -> None:
    for account in (2, 3, 2):
        deposit(contracts, devnet, account, account)
    index.advance()
    event, first = contracts.token.events.Deposit, contracts.deployment.block
    where = {"account": devnet.accounts[2].address}
    mine = list(index.logs(event, first, where=where))
    assert mine == list(contracts.chain.logs(event, first, where=where))
    assert {one["args"]["account"] for one in mine} == {devnet.accounts[2].address}
    assert len(mine) >= 2
    later = mine[-1]["blockNumber"]
    assert [one["blockNumber"] for one in index.logs(event, later, later, where=where)] == [later]
    with pytest.raises(UserError, match="is not indexed by 'amount'") as refused:
        list(index.logs(event, first, where={"amount": 2}))
    assert "account" in refused.value.fix


def test_it_follows_every_reorganisation(index: Index, contracts: Contracts, devnet: Devnet) -> None:
    draw, dropped = random.Random(7), 0
    for _ in range(12):
        for _ in range(draw.randint(0, 3)):
            deposit(contracts, devnet, draw.randint(1, 5), draw.randint(1, 9))
            if draw.random() < 0.5:
                index.advance()
        before = contracts.chain.block_number()
        reorg(contracts, draw.randint(1, 3))
        if draw.random() < 0.5:
            contracts.chain.mine(draw.randint(1, 3))
        dropped += contracts.chain.block_number() <= before
        index.advance()
        agree(index, contracts)
    assert dropped, "no re-organisation left the chain as short as it was"


def test_blocks_that_may_still_change_are_left_out(
    contracts: Contracts, devnet: Devnet, tmp_path: Path
) -> None:
    index = Index(contracts, tmp_path / "late.db", confirmations=3)
    deposit(contracts, devnet, 1, 5)
    index.advance()
    at = contracts.chain.block_number()
    assert index.head == at - 3
    event = contracts.token.events.Deposit
    assert list(index.logs(event, at)) == []
    contracts.chain.mine(3)
    index.advance()
    assert len(list(index.logs(event, at))) == 1
    index.close()


def test_passes_at_the_same_time_keep_each_log_once(
    contracts: Contracts, devnet: Devnet, tmp_path: Path
) -> None:
    many = [Index(contracts, tmp_path / "shared.db") for _ in range(4)]
    deposit(contracts, devnet, 1, 5)
    with ThreadPoolExecutor(4) as threads:
        added = list(threads.map(lambda one: one.advance(), many))
    assert sum(added) == many[0].advance() + max(added), "one of them added all"
    agree(many[1], contracts)
    for one in many:
        one.close()


def test_a_ledger_reads_from_it(contracts: Contracts, devnet: Devnet, tmp_path: Path) -> None:
    index = Index(contracts, tmp_path / "ledger.db")
    deposit(contracts, devnet, 4, 44)
    reading = Ledger(contracts, logs=index.logs)
    event, account = contracts.token.events.Deposit, devnet.accounts[4].address
    assert list(reading.events(event, account=account)) == []
    index.advance()
    assert list(reading.events(event, account=account)) == list(
        Ledger(contracts).events(event, account=account)
    )
    index.close()


def test_another_chain_in_its_place_has_everything_read_again(
    index: Index, contracts: Contracts, devnet: Devnet, tmp_path: Path
) -> None:
    index.advance()
    with Devnet.start(tmp_path / "other") as other:
        fresh = deploy(other.connect(), other.accounts[0], other.home.parent)
        index._contracts, index._chain = fresh, fresh.chain
        index.advance()
        agree(index, fresh)
    with pytest.raises(ChainError):
        index.advance()


def test_the_schema_is_what_the_migrations_make(index: Index) -> None:
    with index._db.read() as db:
        context = MigrationContext.configure(db, opts={"version_table": "index_version"})
        assert compare_metadata(context, _meta) == []


def test_a_file_that_is_no_database_is_named(contracts: Contracts, tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OpenLedgerError, match="index") as failed:
        Index(contracts, tmp_path / "index.db")
    assert failed.value.code == "outbox"
