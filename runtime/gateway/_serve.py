"""From the command line to a running gateway: agents as the chain has them, the pool they share, the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...agents import Agent, load_agent
from ...contracts import Signer
from ...errors import UserError
from ...openlora import AdapterRef, EnginePool, fetch_base, shared_pool
from ...registry import AssetRef, Connection
from ...registry.commands import console
from ...settings import Settings
from .._deploy import Registered, Service, deploy_agent
from .._keeper import Keeping
from ._keys import Keys
from ._limits import Limits
from ._listen import Door, log_requests
from ._token_stream import TokenStreams

__all__ = ["StartRay", "Wanted", "serve", "starting"]

StartRay = Callable[[Settings], None]
"""Makes Ray ready; from a higher floor."""

PoolFor = Callable[[Connection, AssetRef, Path], AbstractContextManager[EnginePool]]
"""The engines for a base model, which is in that directory."""


@dataclass(frozen=True)
class Wanted:
    """An agent to serve: the graph's target, its id on-chain, and which asset each alias is where that is open."""

    target: str
    agent_id: int
    adapters: Mapping[str, int]

    @classmethod
    def parse(cls, text: str) -> Wanted:
        """``FILE:NAME=ID`` or ``FILE:NAME=ID,alias=ASSET_ID,…``. Raises ``UserError``."""
        head, *rest = text.split(",")
        target, _, number = head.rpartition("=")
        pairs = [pair.partition("=") for pair in rest]
        if not target or not _is_id(number) or not all(alias and _is_id(asset) for alias, _, asset in pairs):
            raise UserError(
                f"{text!r} names no agent to serve",
                fix="write FILE:NAME=AGENT_ID, e.g. desk.py:desk=3, or desk.py:desk=3,alias=ASSET_ID",
            )
        if ":" in target and target.rpartition(":")[0].endswith(".py"):  # workers run in other folders
            file, _, name = target.rpartition(":")
            target = f"{Path(file).resolve()}:{name}"
        return cls(target, int(number), {alias: int(asset) for alias, _, asset in pairs})


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < len(text) < 20 and int(text) > 0


def registered_as(wanted: Wanted, agent: Agent, connection: Connection) -> Registered:
    """What the agent's current epoch declares. Raises ``UserError`` where an alias cannot be told from it."""
    epoch = connection.agents.current_epoch(wanted.agent_id)
    manifest = connection.agents.manifest(epoch)
    owner = connection.agents.get(wanted.agent_id).owner
    declared = {ref.asset_id: ref for ref in manifest.adapters}
    chosen = {alias: wanted.adapters.get(alias, spec) for alias, spec in agent.adapters.items()}
    if len(chosen) == len(declared) == 1:
        chosen = dict.fromkeys(chosen, next(iter(declared)))
    adapters: dict[str, AdapterRef] = {}
    for alias, asset in chosen.items():
        if asset not in declared:
            raise UserError(
                f"it is open which adapter {alias!r} of agent {wanted.agent_id} is",
                why=f"its manifest declares assets {sorted(declared)}",
                fix=f"write {wanted.target}={wanted.agent_id},{alias}=ASSET_ID",
            )
        adapters[alias] = declared[int(asset)]
    return Registered(wanted.agent_id, epoch.number, manifest, manifest.models[0], adapters, owner)


@contextmanager
def _shared(connection: Connection, base: AssetRef, directory: Path) -> Iterator[EnginePool]:
    pool = shared_pool(connection, base, directory)
    try:
        yield pool
    finally:
        if connection.devnet is not None:
            pool.close()


@contextmanager
def starting(
    wanted: Sequence[Wanted],
    connection: Connection,
    signer: Signer,
    start_ray: StartRay,
    *,
    workers: int = 1,
    pool_for: PoolFor = _shared,
) -> Iterator[tuple[list[Service], TokenStreams]]:
    """The services of all agents, on one pool, and their streams; closed at the end. Engines and workers come up side by
    side; nothing may be asked of them before the pool is ready and the services have begun. Raises ``UserError`` for agents
    over different base models, or with aliases that are open."""
    with ThreadPoolExecutor(1) as beside:
        looking = beside.submit(_found, wanted, connection)
        start_ray(connection.settings)
        found, base, directory = looking.result()
    with ExitStack() as stack:
        pool = stack.enter_context(pool_for(connection, base, directory))
        streams = TokenStreams(pool)
        stack.callback(streams.close)
        services = []
        for one, registered in found:
            service = deploy_agent(
                one.target,
                registered,
                connection,
                signer,
                streams.generator,
                directory,
                workers=workers,
                begin=False,
            )
            stack.callback(service.close)
            services.append(service)
        yield services, streams


def _found(
    wanted: Sequence[Wanted], connection: Connection
) -> tuple[list[tuple[Wanted, Registered]], AssetRef, Path]:
    """What the chain has of the agents, and their base model."""
    found = [(one, registered_as(one, load_agent(one.target), connection)) for one in wanted]
    bases = {registered.base for _, registered in found}
    if len(bases) != 1:
        raise UserError(
            "these agents cannot be served together",
            why=f"they run on the base models {sorted(base.asset_id for base in bases)}",
            fix="start a gateway for each base model",
        )
    base = bases.pop()
    return found, base, fetch_base(connection, base)


def serve(
    wanted: Sequence[Wanted],
    connection: Connection,
    signer: Signer,
    start_ray: StartRay,
    *,
    host: str,
    port: int,
    tls: tuple[Path, Path] | None,
    limits: Limits,
    keeping: Keeping,
    workers: int,
    url: str | None = None,
) -> None:
    """Serve until interrupted; what runs is then finished. ``tls`` is certificate chain and key, in PEM. With ``url``, where
    the world finds it, the agents are registered there."""
    log_requests()
    keys = Keys.open(connection, signer)
    try:
        with Door(host=host, port=port, tls=tls, limits=limits) as door, ExitStack() as stack:
            console.print(f"starting {len(wanted)} agents on http{'s' if tls else ''}://{host}:{port}")
            services, streams = stack.enter_context(
                starting(wanted, connection, signer, start_ray, workers=workers)
            )
            from ._app import announce, create_app  # late: Ray is starting meanwhile

            app = create_app(
                services, connection, keys=keys, streams=streams, limits=limits, keeping=keeping, url=url
            )
            door.show(app)
            _ = (
                streams.pool.tokenizer
            )  # what the first calls would have to import, while engine and workers start
            for service in services:
                service.operator.agent.graph()
            streams.pool.ready()
            for service in services:
                service.begin()
            for line in announce(app, signer):
                console.print(line)
            door.open(app)
            console.print(f"serving {len(services)} agents")
            door.wait()
            door.close()
    finally:
        keys.close()
