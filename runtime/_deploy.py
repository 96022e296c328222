"""Put an agent into service: identity, stake and epoch on-chain; workers, attribution and operator here."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import datanets, modelfactory
from ..agents import Agent, load_agent
from ..attribution import RULE_V1, ModelUse, Royalty, SpanIndex, rule_id
from ..contracts import Signer
from ..errors import UserError
from ..openlora import AdapterRef, Generator, fetch_base
from ..registry import (
    Asset,
    AssetRef,
    Assets,
    Connection,
    FixedShare,
    Manifest,
    ModelCallStep,
)
from ..staking import index_for, influence_for
from ._attribute import LateInfluence, SpanAttributor
from ._batcher import Batcher
from ._fleet import Scaling
from ._operator import Operator
from ._outbox import Outbox
from ._phases import Observe, ignore
from ._worker import RayRunner

__all__ = [
    "Lineage",
    "Registered",
    "Service",
    "declaration",
    "deploy_agent",
    "register_agent",
]


@dataclass(frozen=True)
class Registered:
    """An agent on-chain: what its epoch declares."""

    agent_id: int
    epoch: int
    manifest: Manifest
    base: AssetRef
    adapters: Mapping[str, AdapterRef]
    """Alias in the graph → the declared adapter."""
    owner: str


def register_agent(
    agent: Agent,
    connection: Connection,
    signer: Any,
    *,
    base: int,
    adapters: Mapping[str, int],
    datanet_ids: Sequence[int],
    stake: int,
    engine_class: str,
    rule: str = RULE_V1,
) -> Registered:
    """Register ``agent`` with ``stake`` wei behind it and open its first epoch.

    ``base``, ``adapters`` (alias → id) and ``datanet_ids`` are on-chain assets. ``rule`` divides its fees; under
    ``RULE_V2`` its operator takes gradients of what the adapters were trained on when it first anchors. Raises
    ``UserError`` for an alias without an adapter, an asset that may not be served or a rule that is not known,
    ``ChainError`` when the chain refuses.
    """
    rule_id(rule)
    ledger = connection.as_(signer)
    least = ledger.parameter("minSelfStake")
    if stake < least:
        raise UserError(
            f"a stake of {stake} wei is too little",
            why=f"an agent needs at least {least}",
            fix="stake more; nothing was registered",
        )
    manifest, base_ref, chosen = declaration(
        agent,
        connection,
        base=base,
        adapters=adapters,
        datanet_ids=datanet_ids,
        engine_class=engine_class,
        rule=rule,
    )
    vault = connection.contracts.vault
    ledger.approve(str(vault.address), stake)
    agent_id = connection.agents.register(signer, agent.name, agent.description or agent.name)
    ledger.send(vault.functions.deposit(agent_id, stake))
    ledger.send(connection.contracts.pool.functions.createEscrow(agent_id))
    epoch = connection.agents.open_epoch(signer, agent_id, connection.record_key(agent_id).address, manifest)
    return Registered(agent_id, epoch, manifest, base_ref, chosen, str(signer.address))


def declaration(
    agent: Agent,
    connection: Connection,
    *,
    base: int,
    adapters: Mapping[str, int],
    datanet_ids: Sequence[int],
    engine_class: str,
    rule: str = RULE_V1,
) -> tuple[Manifest, AssetRef, dict[str, AdapterRef]]:
    """What an epoch of ``agent`` declares with these assets: the manifest, and its base and adapters. Raises as
    ``register_agent``."""
    rule_id(rule)  # one that is known
    missing = sorted(set(agent.adapters) - set(adapters))
    if missing:
        raise UserError(
            f"agent {agent.name!r} declares adapters {missing} that have no asset",
            fix="pass adapters={alias: asset id} for each of them",
        )
    assets = connection.assets
    model = assets.require_servable(base)
    chosen = {alias: assets.require_servable(asset_id) for alias, asset_id in adapters.items()}
    nets = [assets.require_servable(asset_id) for asset_id in datanet_ids]
    manifest = Manifest(
        agent=agent.name,
        models=[AssetRef(model.asset_id, model.cid)],
        adapters=sorted({AssetRef(a.asset_id, a.cid) for a in chosen.values()}),
        datanets=[AssetRef(net.asset_id, net.cid) for net in nets],
        rule=rule,
        split=agent.split,
        engine_class=engine_class,
        graph_digest=_source_digest(agent),
        fixed=[FixedShare(*share) for share in agent.fixed.items()],
        tariff=agent.tariff,
    )
    return (
        manifest,
        AssetRef(model.asset_id, model.cid),
        {alias: AdapterRef(a.asset_id, a.cid) for alias, a in chosen.items()},
    )


def _source_digest(agent: Agent) -> bytes:
    try:
        source = inspect.getsource(inspect.getmodule(agent.build) or agent.build)
    except (OSError, TypeError):  # typed into a console: there is no file to commit to
        source = agent.build.__qualname__
    return hashlib.sha256(source.encode()).digest()


@dataclass(frozen=True)
class Service:
    """A running agent."""

    registered: Registered
    operator: Operator
    batcher: Batcher
    runner: RayRunner
    attributor: SpanAttributor
    outbox: Outbox

    def begin(self) -> None:
        """Wait for the workers, and continue whatever a crash interrupted. Raises ``ExecutionError`` when none comes up."""
        self.runner.ready()
        self.operator.recover()

    def close(self) -> None:
        self.runner.close()
        self.outbox.close()


def deploy_agent(
    agent: Agent | str,
    registered: Registered,
    connection: Connection,
    sender: Signer,
    generator: Generator | None,
    base_directory: Path,
    *,
    workers: int | Scaling = 1,
    observe: Observe = ignore,
    new_outbox: bool = False,
    begin: bool = True,
) -> Service:
    """Start workers and the operator of a registered agent, and continue whatever a crash interrupted; without ``begin`` the
    workers are starting, and nothing is run before ``Service.begin``.

    ``agent`` is ``FILE:NAME`` or the agent; ``sender`` pays the gas and must be the agent's owner, approved by
    it, or its record key; ``generator`` is the pool it generates on, None for one that calls no
    model; ``workers`` is their number, or how it is chosen.
    """
    declared = load_agent(agent) if isinstance(agent, str) else agent
    settings, agent_id = connection.settings, registered.agent_id
    domain = connection.ledger.domain
    url = (
        settings.database_url
        or settings.home_dir / "outbox" / f"{domain.chain_id}-{domain.verifying_contract}.db"
    )
    purse = None
    if declared.uses:
        from ._purse import Purse

        purse = Purse(declared, agent_id, connection, sender, url)
    scaling = Scaling(workers, workers) if isinstance(workers, int) else workers
    runner = RayRunner(
        agent, generator, str(base_directory), registered.adapters, scaling=scaling, purse=purse, wait=False
    )
    try:
        service = _service(
            declared, registered, connection, sender, base_directory, url, runner, observe, new_outbox
        )
    except BaseException:
        runner.close()
        raise
    if begin:
        try:
            service.begin()
        except BaseException:
            service.close()
            raise
    return service


def _service(
    declared: Agent,
    registered: Registered,
    connection: Connection,
    sender: Signer,
    base_directory: Path,
    url: str | Path,
    runner: RayRunner,
    observe: Observe,
    new_outbox: bool,
) -> Service:
    settings, agent_id = connection.settings, registered.agent_id
    key = connection.record_key(agent_id)
    nets = [ref.cid for ref in registered.manifest.datanets]
    index = datanets.span_index(nets, connection.store, base_directory, settings.cache_dir)
    owner = registered.owner
    attributor = SpanAttributor(
        index,
        registered.manifest.split,
        Lineage(connection.assets),
        treasury=connection.ledger.settlement.treasury,
        operator=owner,
        stakers=connection.contracts.address("DelegationPool"),
        fixed=registered.manifest.fixed,
        audits=connection.contracts.address("Disputes"),
        cut=lambda epoch: connection.ledger.settlement.cut(agent_id, epoch),
        rule=registered.manifest.rule,
    )
    outbox = Outbox(url)
    ledger = connection.as_(sender)
    operator = Operator(
        declared,
        agent_id=agent_id,
        epoch=registered.epoch,
        manifest=registered.manifest,
        record_key=key,
        ledger=ledger,
        store=connection.store,
        outbox=outbox,
        runner=runner,
        attributor=attributor,
        observe=observe,
        new_outbox=new_outbox,
    )
    batcher = Batcher(
        agent_id,
        ledger=ledger,
        store=connection.store,
        outbox=outbox,
        observe=observe,
        late=_late_influence(connection, registered, index, base_directory),
    )
    return Service(registered, operator, batcher, runner, attributor, outbox)


def _late_influence(
    connection: Connection, registered: Registered, index: SpanIndex, base_directory: Path
) -> LateInfluence:
    """Of the registered epoch by what is here already, of any other from the content store."""
    elsewhere = index_for(connection)
    return LateInfluence(
        connection.store,
        lambda manifest: index if manifest.cid == registered.manifest.cid else elsewhere(manifest),
        influence_for(
            connection,
            modelfactory.influence_on,
            lambda ref: base_directory if ref == registered.base else fetch_base(connection, ref),
        ),
    )


class Lineage:
    """The models of an action's calls, their owners, and the royalties above them, as registered; believed for ``ttl``
    seconds.

    One owner an asset for all of an action: the record names it, and jurors take it from there.
    """

    def __init__(self, assets: Assets, ttl: float = 60.0) -> None:
        self._assets, self._ttl = assets, ttl
        self._known: dict[int, tuple[float, list[Asset]]] = {}

    def __call__(self, steps: Sequence[ModelCallStep]) -> list[ModelUse]:
        owners: dict[int, str] = {}
        return [self._use(step, owners) for step in steps]

    def _use(self, step: ModelCallStep, owners: dict[int, str]) -> ModelUse:
        known = self._known.get(step.asset_id)
        if known is None or time.monotonic() - known[0] > self._ttl:
            known = self._known[step.asset_id] = (time.monotonic(), self._assets.lineage(step.asset_id))
        for asset in known[1]:
            owners.setdefault(asset.asset_id, asset.owner)
        model, *above = known[1]
        royalties = tuple(
            Royalty(asset.asset_id, owners[asset.asset_id], asset.royalty_bps)
            for asset in above
            if asset.royalty_bps
        )
        return ModelUse(model.asset_id, owners[model.asset_id], len(step.output_tokens), royalties)
