"""Engines over a connection: adapters from the registry and the content store it names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..registry import Asset, Connection, ContentStore, child_cid, path_cid
from ..settings import Settings
from ._adapters import AdapterStore
from ._engine import Engine
from ._peft import inspect
from ._pool import EnginePool, PoolConfig
from ._types import AdapterRef, AssetRef

__all__ = [
    "fetch_adapter",
    "fetch_base",
    "fetch_tokenizer",
    "open_adapters",
    "pool_config",
    "replayer_for",
    "shared_pool",
]


def open_adapters(settings: Settings) -> AdapterStore:
    """The adapters of the chain and store that ``settings`` name; made inside each engine's process."""
    return _adapters(Connection.open(settings))


def _adapters(connection: Connection, *, revoked_too: bool = False) -> AdapterStore:
    assets = connection.assets

    def resolve(asset_id: int) -> Asset:
        asset = assets.get(asset_id)
        # What was served before a revocation must stay replayable, or revoking would destroy the evidence.
        return replace(asset, revoked=False) if revoked_too else asset

    root = connection.settings.cache_dir / "adapters"
    return AdapterStore(connection.store, resolve, root, version_of=assets.version_of)


def pool_config(connection: Connection, base: AssetRef, directory: Path, **more: Any) -> PoolConfig:
    """A pool over the base model in ``directory``, with adapters from the connection's registry and store; replicas and
    what each reserves as in the settings, unless ``more`` says otherwise."""
    settings = connection.settings.model_copy(
        update={"rpc_url": connection.chain.rpc_url, "chain_id": connection.chain.chain_id}
    )
    chosen: dict[str, Any] = {
        "engine": settings.engine,
        "replicas": settings.engine_replicas,
        "num_cpus": settings.engine_cpus,
        "num_gpus": settings.engine_gpus,
    }
    return PoolConfig(str(directory), base, partial(open_adapters, settings), **(chosen | more))


def shared_pool(connection: Connection, base: AssetRef, directory: Path) -> EnginePool:
    """The engines of a base model: those that run on the cluster, or new ones, which come up meanwhile and stay when this
    ends, so that a large model is not loaded again at every start. Engines on the embedded devnet end with it: its address
    changes."""
    if connection.devnet is not None:
        return EnginePool.begin(pool_config(connection, base, directory))
    name = f"{connection.chain.chain_id}-{base.cid}"
    config = pool_config(connection, base, directory, name=name)
    with suppress(UserError):
        return EnginePool.join(name, config.start_timeout)  # they may be loading
    try:
        return EnginePool.begin(config)
    except UserError:  # another process has begun them meanwhile
        return EnginePool.join(name, config.start_timeout)


def fetch_base(connection: Connection, base: AssetRef) -> Path:
    """The directory of a base model, fetched by digest from the content store and kept in the cache."""
    return _kept(connection, base.cid, "bases")


def fetch_adapter(connection: Connection, adapter: AdapterRef) -> Path:
    """The PEFT directory of an adapter, fetched by digest from the content store and kept in the cache; nothing in it is
    a pickle. The registry is not asked: what was served stays to be looked at when it is revoked.

    Raises ``ContentError`` when it cannot be had, ``UserError`` for what is no adapter.
    """
    directory = _kept(connection, adapter.cid, "published")
    inspect(adapter, directory)
    return directory


def _kept(connection: Connection, cid: str, folder: str) -> Path:
    directory = connection.settings.cache_dir / folder / cid
    if directory.is_dir() and path_cid(directory) != cid:
        shutil.rmtree(directory)
    return directory if directory.is_dir() else connection.store.fetch_path(cid, directory)


def fetch_tokenizer(base: str, store: ContentStore, cache: Path) -> Path:
    """The ``tokenizer.json`` of the base model with this CID, kept under ``cache``; nothing else of it is fetched.

    Raises ``ContentError`` when it cannot be had.
    """
    cid = child_cid(base, "tokenizer.json", store.get)
    path = cache / "tokenizers" / f"{cid}.json"
    if path.is_file() and path_cid(path) == cid:
        return path
    return store.fetch_path(cid, path)


def replayer_for(connection: Connection) -> Callable[[AssetRef], Engine]:
    """Gives an engine in this process for any base model, started when it is first asked for.

    It also replays adapters that were revoked since: only serving them is forbidden.
    """
    engines: dict[AssetRef, Engine] = {}

    def get(base: AssetRef) -> Engine:
        if base not in engines:
            engines[base] = Engine(
                str(fetch_base(connection, base)),
                base_asset=base,
                adapters=_adapters(connection, revoked_too=True),
                engine=connection.settings.engine,
            )
        return engines[base]

    return get
