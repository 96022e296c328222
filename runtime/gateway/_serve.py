"""From the command line to a running gateway: agents as the chain has them, the pool they share, the server."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...agents import Agent, load_agent
from ...contracts import Signer
from ...errors import UserError
from ...openlora import AdapterRef, EnginePool, fetch_base, pool_config
from ...registry import AssetRef, Connection
from ...registry.commands import console
from ...settings import Settings
from .._deploy import Registered, Service, deploy_agent
from .._keeper import Keeping
from ._keys import Keys
from ._limits import Limits
from ._log import logger
from ._token_stream import TokenStreams

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["StartRay", "Wanted", "listen", "running", "serve"]

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
def _started(connection: Connection, base: AssetRef, directory: Path) -> Iterator[EnginePool]:
    pool = EnginePool.start(pool_config(connection, base, directory))
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def running(
    wanted: Sequence[Wanted],
    connection: Connection,
    signer: Signer,
    start_ray: StartRay,
    *,
    workers: int = 1,
    pool_for: PoolFor = _started,
) -> Iterator[tuple[list[Service], TokenStreams]]:
    """The services of all agents, on one pool, and their streams; closed at the end. Raises ``UserError`` for agents
    over different base models, or with aliases that are open."""
    found = [(one, registered_as(one, load_agent(one.target), connection)) for one in wanted]
    bases = {registered.base for _, registered in found}
    if len(bases) != 1:
        raise UserError(
            "these agents cannot be served together",
            why=f"they run on the base models {sorted(base.asset_id for base in bases)}",
            fix="start a gateway for each base model",
        )
    base = bases.pop()
    directory = fetch_base(connection, base)
    start_ray(connection.settings)
    with ExitStack() as stack:
        pool = stack.enter_context(pool_for(connection, base, directory))
        streams = TokenStreams(pool)
        stack.callback(streams.close)
        services = []
        for one, registered in found:
            service = deploy_agent(
                one.target, registered, connection, signer, streams.generator, directory, workers=workers
            )
            stack.callback(service.close)
            services.append(service)
        yield services, streams


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
) -> None:
    """Serve until interrupted; what runs is then finished. ``tls`` is certificate chain and key, in PEM."""
    from ._app import create_app

    keys = Keys.open(connection, signer)
    try:
        with running(wanted, connection, signer, start_ray, workers=workers) as (services, streams):
            app = create_app(services, connection, keys=keys, streams=streams, limits=limits, keeping=keeping)
            console.print(f"serving {len(services)} agents on http{'s' if tls else ''}://{host}:{port}")
            listen(app, host=host, port=port, tls=tls, limits=limits)
    finally:
        keys.close()


def listen(
    app: FastAPI, *, host: str, port: int, tls: tuple[Path, Path] | None = None, limits: Limits | None = None
) -> None:
    """Answer requests to ``app`` until SIGINT or SIGTERM, then return, with one log line for each on standard error."""
    import uvicorn

    from ._hasty import HastyProtocol

    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises what ended it once more, for whoever was there before: Ray would exit with its number
        signal.signal(number, lambda *_: None)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    certificate, key = tls or (None, None)
    uvicorn.run(
        app,
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        access_log=False,  # a path may hold what no log should
        log_level="warning",
        server_header=False,
        http=HastyProtocol,
        timeout_keep_alive=20,
        limit_concurrency=16 * (limits or Limits()).running,
    )
