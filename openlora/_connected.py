"""Engines over a connection: adapters from the registry and the content store it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..registry import Connection
from ..settings import Settings
from ._adapters import AdapterStore
from ._engine import Engine
from ._pool import PoolConfig
from ._types import AssetRef, Replayer

__all__ = ["fetch_base", "open_adapters", "pool_config", "replayer_for"]


def open_adapters(settings: Settings) -> AdapterStore:
    """The adapters of the chain and store that ``settings`` name; made inside each engine's process."""
    connection = Connection.open(settings)
    assets = connection.assets
    root = settings.cache_dir / "adapters"
    return AdapterStore(connection.store, assets.get, root, version_of=assets.version_of)


def pool_config(connection: Connection, base: AssetRef, directory: Path, **more: Any) -> PoolConfig:
    """A pool over the base model in ``directory``, with adapters from the connection's registry and store."""
    settings = connection.settings.model_copy(
        update={"rpc_url": connection.chain.rpc_url, "chain_id": connection.chain.chain_id}
    )
    return PoolConfig(
        base=str(directory),
        base_asset=base,
        adapters=partial(open_adapters, settings),
        engine=settings.engine,
        replicas=settings.engine_replicas,
        **more,
    )


def fetch_base(connection: Connection, base: AssetRef) -> Path:
    """The directory of a base model, fetched by digest from the content store and kept in the cache."""
    directory = connection.settings.cache_dir / "bases" / base.cid
    return directory if directory.is_dir() else connection.store.fetch_path(base.cid, directory)


def replayer_for(connection: Connection) -> Callable[[AssetRef], Replayer]:
    """Gives an engine in this process for any base model, started when it is first asked for."""
    engines: dict[AssetRef, Engine] = {}

    def get(base: AssetRef) -> Replayer:
        if base not in engines:
            engines[base] = Engine(
                str(fetch_base(connection, base)),
                base_asset=base,
                adapters=open_adapters(connection.settings),
                engine=connection.settings.engine,
            )
        return engines[base]

    return get
