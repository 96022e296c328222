"""A database is kept for the deployment it was first used with: what is in it is true of no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from openledger.contracts import deploy
from openledger.errors import UserError
from openledger.registry import Connection, open_store
from openledger.runtime import Index, Outbox
from openledger.runtime.gateway import Keys
from openledger.settings import Settings


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Connection]]:
    """One, another deployment on the same chain, and one on another chain at the same addresses."""
    homes = [tmp_path_factory.mktemp("home") for _ in range(3)]
    with ExitStack() as stack:
        this = stack.enter_context(Connection.open(Settings(home=homes[0])))
        elsewhere = stack.enter_context(Connection.open(Settings(home=homes[2], chain_id=31338)))
        settings, signer = Settings(home=homes[1]), this.signer
        contracts = deploy(this.chain, signer, homes[1])  # type: ignore[arg-type]
        beside = Connection(settings, contracts, open_store(settings), None, signer)
        directories = [one.contracts.address("Directory") for one in (this, beside, elsewhere)]
        assert directories[0] == directories[2] != directories[1]
        yield {"this": this, "another deployment": beside, "another chain": elsewhere}


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: str = request.getfixturevalue("postgres")() if request.param == "postgres" else ""
    return made or f"sqlite:///{tmp_path / 'all.db'}"


def outbox(connection: Connection, url: str) -> Any:
    opened = Outbox(url)
    with ExitStack() as stack:
        stack.callback(opened.close)
        opened.claim(connection.contracts)
        stack.pop_all()
    return opened


def index(connection: Connection, url: str) -> Any:
    return Index(connection.contracts, url)


def keys(connection: Connection, url: str) -> Any:
    connection.settings = connection.settings.model_copy(update={"database_url": url})
    return Keys.open(connection, connection.signer)  # type: ignore[arg-type]


@pytest.mark.parametrize("opens", [outbox, index, keys])
@pytest.mark.parametrize("other", ["another deployment", "another chain"])
def test_another_deployment_is_refused(
    connections: dict[str, Connection], url: str, opens: Any, other: str
) -> None:
    this = connections["this"]
    opens(this, url).close()
    with pytest.raises(UserError, match="is of another deployment") as refused:
        opens(connections[other], url)
    for one in (this, connections[other]):
        assert str(one.chain.chain_id) in refused.value.why
        assert one.contracts.address("Directory") in refused.value.why
    opens(this, url).close()  # and is as it was


def test_one_database_may_hold_all_of_a_deployment(connections: dict[str, Connection], url: str) -> None:
    for opens in (outbox, index, keys):
        with closing(opens(connections["another chain"], url)):
            pass
