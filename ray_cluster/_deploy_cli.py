"""``openledger agent deploy`` and ``openledger agent health``."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from ..attribution import RULE_V1
from ..contracts import parse_open, reviewed
from ..errors import UserError
from ..registry.commands import As, Json, acting, console
from ..settings import get_settings

if TYPE_CHECKING:
    from ..agents import Agent
    from ..openlora import AssetRef
    from ..registry import Connection
    from ..runtime import Deployment, Service, Uses
    from ..runtime.gateway import TokenStreams
    from ..staking import Entry

__all__ = ["add_to", "parse_bytes"]

_DEVNET_OPERATOR = 3
_STALE = 120.0
"""Seconds after which an operator that told nothing is taken for stuck."""


def add_to(agent: typer.Typer) -> None:
    """Offer the commands in the group ``agent``."""
    agent.command()(deploy)
    agent.command()(health)


def parse_bytes(text: str) -> int:
    """An amount of memory as a person writes it, such as ``512MiB`` or ``16GB``. Raises ``UserError``."""
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UserError(f"{text!r} is no amount of memory", fix="write e.g. 512MiB or 16GiB") from None


def deploy(
    target: Annotated[
        str, typer.Argument(metavar="FILE:NAME", help="the agent, e.g. desk.py:desk; or MODULE:NAME")
    ],
    base: Annotated[int | None, typer.Option(help="asset id of the base model")] = None,
    adapter: Annotated[list[str] | None, typer.Option(help="ALIAS=ASSET_ID; once for each alias")] = None,
    datanet: Annotated[
        list[int] | None, typer.Option(help="asset id of a datanet whose contributors are paid")
    ] = None,
    stake: Annotated[str, typer.Option(help="OPEN behind a new agent; default the least there may be")] = "",
    rule: Annotated[
        str, typer.Option(help="of attribution; v2-spans-influence pays influence too")
    ] = RULE_V1,
    min_workers: Annotated[int, typer.Option(min=1, help="workers when there is little to do")] = 1,
    max_workers: Annotated[int, typer.Option(min=1, help="workers when there is much")] = 4,
    target_ongoing_requests: Annotated[
        float, typer.Option(help="actions per worker above which there are more of them")
    ] = 8,
    worker_cpus: Annotated[float, typer.Option(min=0, help="CPUs reserved for each worker")] = 0.25,
    worker_memory: Annotated[
        str,
        typer.Option(help="memory that a worker's actions may take together, e.g. 2GiB; default no limit"),
    ] = "",
    anchor_after: Annotated[
        float, typer.Option(min=0, help="seconds an action waits for others to be anchored with")
    ] = 60,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="answer HTTP there: OpenAI's /v1, MCP, A2A, x402, prepaid keys"),
    ] = None,
    host: Annotated[str, typer.Option(help="address to answer HTTP on")] = "127.0.0.1",
    url: Annotated[
        str | None,
        typer.Option(help="where the world finds that; the agent's registration file then says so"),
    ] = None,
    new_outbox: Annotated[
        bool, typer.Option("--new-outbox", help="the outbox is lost and all that was ever signed is anchored")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="deploy, one pass, then end")] = False,
    account: As = None,
    as_json: Json = False,
) -> None:
    """Put an agent into service on the Ray cluster, and keep it there until this is stopped.

    The first time it is registered with its stake; later it resumes, in a new epoch where the agent or its assets have
    changed. Actions are anchored and settled in the background, before each deadline. Stop and start it at any time: no
    action is lost and none is paid twice. Run it once for each agent, under whatever starts it again when it ends.
    """
    from ..agents import load_agent
    from ..openlora import shared_pool
    from ..runtime import Deployment, Keeper, Keeping, Scaling, deploy_agent
    from ..runtime.gateway import TokenStreams
    from ..staking import DaemonLog
    from ._connect import connect

    # Ray logs an error for handles among a restartable actor's arguments; that such workers do come back is tested.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    memory = parse_bytes(worker_memory) if worker_memory else 0
    scaling = Scaling(
        min_workers,
        max(min_workers, max_workers),
        target_ongoing_requests,
        max(16, round(2 * target_ongoing_requests)),
        num_cpus=worker_cpus,
        memory=memory,
    )
    target = _absolute(target)
    declared = load_agent(target)
    settings = get_settings()
    if account is None and settings.rpc_url is None and not settings.names_a_key:
        account = _DEVNET_OPERATOR
    says = (
        f"Puts the agent {declared.name!r} into service. When it is new, it is registered and its stake deposited: that can be "
        "slashed for output it did not make as it says. Afterwards only batches are anchored and paid out."
    )
    with acting(account, False) as (connection, signer), Deployment(declared, connection) as deployment:
        connect(settings)
        with reviewed(connection.contracts, says, as_json=as_json) as review:
            uses = _uses(declared, connection, signer, deployment, base, adapter, datanet)
            pool = shared_pool(connection, _base(connection, uses.base), uses.directory).ready()
            wei = parse_open(stake) if stake else connection.ledger.parameter("minSelfStake")
            if deployment.agent_id is None and connection.devnet is not None:
                _wrap(connection, signer, wei)
            registered = deployment.registered(
                signer, uses, stake=wei, engine_class=pool.engine_class, rule=rule
            )
            said = f"agent {registered.agent_id} {declared.name!r} is in service, epoch {registered.epoch}"
            review.done(
                said, agentId=registered.agent_id, epoch=registered.epoch, manifest=registered.manifest.cid
            )
        streams = None if port is None else TokenStreams(pool)
        service = deploy_agent(
            target,
            registered,
            connection,
            signer,
            pool if streams is None else streams.generator,
            uses.directory,
            workers=scaling,
            new_outbox=new_outbox,
        )

        def tell(entry: Entry) -> None:
            print(entry.to_json() if as_json else f"{entry.event:12}{entry.what}", flush=True)

        log = DaemonLog(deployment.folder / "log.jsonl", tell)
        keeper = Keeper(
            service,
            connection.as_(signer),
            log,
            Keeping(anchor_after=anchor_after),
            health=deployment.folder / "health.json",
        )
        try:
            if once:
                keeper.run()
            else:
                keeper.start()
                if port is None:
                    _wait()
                else:
                    console.print(f"answering on http://{host}:{port}")
                    _answer(service, connection, signer, streams, host, port, url)
        finally:
            try:
                keeper.close()
            finally:
                service.close()
                if streams is not None:
                    streams.close()
                (deployment.folder / "health.json").unlink(missing_ok=True)
                if connection.devnet is not None:
                    pool.close()


def health(as_json: Json = False) -> None:
    """Say whether the operators of this home work and keep their deadlines; exit 1 when one does not. For probes."""
    told = {}
    for path in sorted(get_settings().home_dir.glob("agents/*/*/health.json")):
        try:
            found = json.loads(path.read_text())
            fine = (
                time.time() - float(found["at"]) < max(_STALE, float(found["retryIn"]) + _STALE)
                and not found["alarms"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            found, fine = {}, False
        told[path.parent.name] = {**found, "healthy": fine}
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        for name, one in told.items():
            console.print(f"{name}: {'healthy' if one['healthy'] else 'stuck, or late to anchor'}")
        if not told:
            console.print("no agent is in service from here")
    if not told or not all(one["healthy"] for one in told.values()):
        raise typer.Exit(1)


def _absolute(target: str) -> str:
    """Workers, wherever they run, load the file by the same path."""
    where, _, name = target.rpartition(":")
    return f"{Path(where).absolute()}:{name}" if where.endswith(".py") else target


def _uses(
    agent: Agent,
    connection: Connection,
    signer: Any,
    deployment: Deployment,
    base: int | None,
    given: list[str] | None,
    datanet_ids: list[int] | None,
) -> Uses:
    from ..openlora import fetch_base
    from ..runtime import Uses

    if base is None:
        if given or datanet_ids:
            raise UserError("assets were given without a base model", fix="add --base ID")
        return deployment.published(signer)
    adapters = {alias: spec for alias, spec in agent.adapters.items() if isinstance(spec, int)}
    adapters |= dict(_adapter(one) for one in given or [])
    unknown = sorted(set(adapters) - set(agent.adapters))
    if unknown:
        raise UserError(
            f"agent {agent.name!r} has no adapter {unknown}", fix=f"it has {sorted(agent.adapters)}"
        )
    nets = datanet_ids or [one for one in agent.datanets if isinstance(one, int)]
    return Uses(base, adapters, nets, fetch_base(connection, _base(connection, base)))


def _base(connection: Connection, asset_id: int) -> AssetRef:
    from ..openlora import AssetRef

    asset = connection.assets.require_servable(asset_id)
    return AssetRef(asset.asset_id, asset.cid)


def _adapter(text: str) -> tuple[str, int]:
    alias, _, number = text.partition("=")
    if not alias or not number.isdecimal():
        raise UserError(f"{text!r} names no adapter", fix="write ALIAS=ASSET_ID")
    return alias, int(number)


def _wrap(connection: Connection, signer: Any, wei: int) -> None:
    """On the devnet, where accounts begin with native OPEN only."""
    ledger = connection.as_(signer)
    missing = wei - ledger.balance(str(signer.address))
    if missing > 0:
        ledger.wrap(missing)


def _answer(
    service: Service,
    connection: Connection,
    signer: Any,
    streams: TokenStreams | None,
    host: str,
    port: int,
    url: str | None,
) -> None:
    from ..runtime.gateway import Keys, announce, create_app, listen

    keys = Keys.open(connection, signer)
    try:
        app = create_app([service], connection, keys=keys, streams=streams, url=url)
        for line in announce(app, signer):
            console.print(line)
        listen(app, host=host, port=port)
    finally:
        keys.close()


def _wait() -> None:
    """Until this process is asked to end."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    while not asked.wait(3600):
        pass
