"""The demo's people and assets: trained, published and registered through the same calls a user makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from openledger import datanets, modelfactory
from openledger.contracts import Devnet
from openledger.openlora import AdapterRef, AssetRef
from openledger.registry import Connection
from openledger.staking import join_jury

OPEN = 10**18
NETS = {"findings": "audit_findings", "sensors": "environmental_sensing"}
JURORS = 7
JUROR_STAKE = 20_000 * OPEN


def contributor(handle: str) -> Any:
    """A contributor's account. It needs no gas: payouts are pushed to it."""
    return Account.from_key(keccak(text=f"openledger demo contributor {handle}"))


@dataclass(frozen=True)
class People:
    """Who is who among the devnet's funded accounts."""

    treasury: str
    model_maker: Any
    curator: Any
    operator: Any
    cheat: Any
    client: Any
    auditor: Any
    jurors: list[Any]
    contributors: dict[str, Any] = field(default_factory=dict)
    """By handle."""

    @classmethod
    def of(cls, devnet: Devnet, treasury: str) -> People:
        accounts = devnet.accounts  # the first one deployed the contracts
        handles = {handle for name in NETS.values() for handle in datanets.shipped(name).contributors}
        return cls(
            treasury,
            *accounts[1:7],
            accounts[7 : 7 + JURORS],
            {handle: contributor(handle) for handle in sorted(handles)},
        )

    def named(self) -> dict[str, str]:
        """Address → what to call it."""
        names = {
            "model maker": self.model_maker,
            "curator": self.curator,
            "honest operator": self.operator,
            "cheating operator": self.cheat,
            "client": self.client,
            "auditor": self.auditor,
        }
        found = {self.treasury: "treasury"}
        found |= {str(account.address): name for name, account in names.items()}
        found |= {str(juror.address): f"juror {i}" for i, juror in enumerate(self.jurors, 1)}
        return found | {str(account.address): handle for handle, account in self.contributors.items()}


@dataclass(frozen=True)
class Trained:
    """The base model and an adapter per datanet, on disk."""

    base: Path
    adapters: dict[str, Path]
    """By alias."""


@dataclass(frozen=True)
class World:
    """Everything registered on-chain."""

    connection: Connection
    people: People
    trained: Trained
    base: AssetRef
    adapters: Mapping[str, AdapterRef]
    datanets: Mapping[str, AssetRef]


def bars() -> Progress:
    """Progress bars for long work."""
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def train(cache: Path) -> Trained:
    """The base and the adapters, from the cache or trained now with a bar each."""
    with bars() as progress:

        def bar(what: str) -> Any:
            task = progress.add_task(what, total=None, visible=False)

            def step(done: int, total: int, *_: Any) -> None:
                progress.update(task, completed=done, total=total, visible=True)

            return step

        base = modelfactory.ensure_base(cache, bar("base model"))
        nets = [datanets.shipped(name) for name in NETS.values()]
        paths = modelfactory.ensure_adapters(cache, base, nets, progress=lambda name: bar(f"adapter {name}"))
        adapters = dict(zip(NETS, paths, strict=True))
    return Trained(base, adapters)


def publish(connection: Connection, people: People, trained: Trained) -> World:
    """Publish datanets, base and adapters to the content store and register each on-chain."""
    store, assets = connection.store, connection.assets
    accounts = {handle: str(account.address) for handle, account in people.contributors.items()}
    nets: dict[str, AssetRef] = {}
    for alias, name in NETS.items():
        net = datanets.shipped(name)
        cid = datanets.publish(net, store, accounts=accounts)
        licence = " AND ".join(net.licences)
        nets[alias] = AssetRef(
            assets.register_datanet(people.curator, cid, licence=licence, royalty_bps=500), cid
        )
    base_cid = store.add_path(trained.base)
    base_id = assets.register_model(people.model_maker, base_cid, licence="Apache-2.0", royalty_bps=2000)
    adapters = {}
    for alias, path in trained.adapters.items():
        cid = store.add_path(path)
        parents = [base_id, nets[alias].asset_id]
        asset_id = assets.register_adapter(people.model_maker, cid, parents=parents, licence="Apache-2.0")
        adapters[alias] = AdapterRef(asset_id, cid)
    return World(connection, people, trained, AssetRef(base_id, base_cid), adapters, nets)


def fund(connection: Connection, people: People, amount: int = 100_000 * OPEN) -> None:
    """Wrap native OPEN for everyone who pays, stakes or bonds, and seat the jurors."""
    for person in (people.operator, people.cheat, people.client, people.auditor, *people.jurors):
        ledger = connection.as_(person)
        missing = amount - ledger.balance(str(person.address))
        if missing > 0:
            ledger.wrap(missing)
    for juror in people.jurors:
        ledger = connection.as_(juror)
        stake = int(ledger.call(connection.contracts.vault.functions.jurorStake(juror.address)))
        if stake < JUROR_STAKE:
            join_jury(ledger, JUROR_STAKE - stake)
