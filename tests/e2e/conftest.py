"""One real stack for all end-to-end tests: devnet, content store, Ray, a vLLM pool, an honest and a cheating agent. And a
court without an engine for tests of disputes.

The trained models come from the cache that ``make demo`` fills (``OPENLEDGER_CACHE``), or are trained once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import loop
import pytest
import world as demo
from court import Accused, Court

from openledger.contracts import Devnet
from openledger.openlora import EnginePool
from openledger.registry import Connection
from openledger.runtime import Client, Service
from openledger.settings import Settings


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = Path(__file__).resolve().parents[2]
    cache = Path(os.environ.get("OPENLEDGER_CACHE", root / ".openledger" / "cache"))
    return Settings(home=tmp_path_factory.mktemp("home"), cache=cache)


@pytest.fixture(scope="session")
def connection(settings: Settings) -> Iterator[Connection]:
    with Connection.open(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def people(connection: Connection) -> demo.People:
    assert connection.devnet is not None
    found = demo.People.of(connection.devnet, str(connection.contracts.treasury.address))
    demo.fund(connection, found)
    return found


@pytest.fixture(scope="session")
def world(connection: Connection, people: demo.People, settings: Settings) -> demo.World:
    return demo.publish(connection, people, demo.train(settings.cache_dir))


@pytest.fixture(scope="session")
def pool(world: demo.World, settings: Settings) -> Iterator[EnginePool]:
    import ray

    loop.start_ray(settings)
    started = loop.start_pool(world)
    yield started
    started.close()
    ray.shutdown()


@dataclass(frozen=True)
class Stack:
    """Both agents in service and a client with money."""

    world: demo.World
    pool: EnginePool
    honest: Service
    cheat: Service
    client: Client


@pytest.fixture(scope="module")
def stack(world: demo.World, pool: EnginePool) -> Iterator[Stack]:
    honest, cheat = loop.deploy(world, pool, "operator"), loop.deploy(world, pool, "cheat")
    client = Client(world.people.client, world.connection.as_(world.people.client))
    yield Stack(world, pool, honest, cheat, client)
    honest.close()
    cheat.close()


@pytest.fixture(scope="module")
def court(devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with Connection.open(Settings(home=devnet.home.parent)) as connection:
        yield Court.open(connection, tmp_path_factory.mktemp("votes"))


@pytest.fixture
def accused(court: Court) -> Iterator[Accused]:
    yield Accused.open(court)
    court.check_books()
