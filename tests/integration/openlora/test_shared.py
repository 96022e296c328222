"""Processes that serve one base model on one cluster share its engines, whoever starts them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray

from openledger.contracts import Devnet
from openledger.openlora import EnginePool, GenerationRequest, Sampling, shared_pool
from openledger.registry import Connection
from openledger.settings import Settings

from .conftest import Tiny


def process(pool: EnginePool) -> int:
    return int(ray.get(pool._replicas[0].__ray_call__.remote(lambda _: os.getpid()), timeout=600))


@pytest.mark.usefixtures("running_ray")
def test_two_that_start_at_once_share_one_engine_which_outlives_both(
    devnet: Devnet, tiny: Tiny, tmp_path: Path
) -> None:
    with Connection.open(Settings(home=devnet.home.parent)):
        shutil.copytree(devnet.home.parent / "deployments", tmp_path / "deployments")
    settings = Settings(
        home=tmp_path, rpc_url=devnet.rpc_url, engine={"max_loras": 2}, engine_replicas=1, engine_cpus=0
    )
    request = GenerationRequest((5, 7, 9), None, Sampling(0.0, 1.0, 0, 8, ()), bytes(32))

    def serve(_: int) -> tuple[EnginePool, tuple[int, ...]]:
        with Connection.open(settings) as connection:
            found = shared_pool(connection, tiny.base_asset, tiny.base)
            return found, found.ready().generate(request).tokens

    with ThreadPoolExecutor(2) as gateways:
        (one, said), (other, repeated) = gateways.map(serve, range(2))
    try:
        assert said == repeated
        assert (one.name, process(one)) == (other.name, process(other))
        del one, other
        assert serve(2)[1] == said
    finally:
        EnginePool.join(f"{devnet.chain_id}-{tiny.base_asset.cid}").close()
