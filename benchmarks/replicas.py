"""A pool of one and of two replicas: tokens a second whole and streamed, and what a killed replica costs.

``python -m benchmarks.replicas``. On a machine of few cores two replicas share them: look at what is lost, not gained.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import ray

from benchmarks.openlora import make_adapter, make_base
from openledger.openlora import (
    AdapterRef,
    AdapterStore,
    AssetRef,
    EnginePool,
    GenerationRequest,
    LocalRegistry,
    PoolConfig,
    Sampling,
)
from openledger.ray_cluster import connect
from openledger.registry import LocalStore

TOKENS, BATCH, ADAPTERS = 64, 64, 8


def _store(content: Path, refs: tuple[AdapterRef, ...], base: AssetRef, root: Path) -> AdapterStore:
    return AdapterStore(LocalStore(content), LocalRegistry(refs, base), root)


def whole(pool: EnginePool, asked: list[GenerationRequest]) -> dict[str, float]:
    began = time.perf_counter()
    pool.generate_many(asked)
    return {"tokens/s, whole": len(asked) * TOKENS / (time.perf_counter() - began)}


def streamed(pool: EnginePool, asked: list[GenerationRequest]) -> dict[str, float]:
    async def read(request: GenerationRequest) -> tuple[float, int]:
        began, first, chunks = time.perf_counter(), 0.0, 0
        async for _ in pool.astream(request):
            first = first or time.perf_counter() - began
            chunks += 1
        return first, chunks

    async def everyone() -> list[tuple[float, int]]:
        return await asyncio.gather(*map(read, asked))

    began = time.perf_counter()
    found = asyncio.run(everyone())
    return {
        "tokens/s, streamed": len(asked) * TOKENS / (time.perf_counter() - began),
        "ms to the first chunk": 1000 * statistics.median(first for first, _ in found),
        "chunks a stream": statistics.mean(chunks for _, chunks in found),
    }


def killed(pool: EnginePool, asked: list[GenerationRequest]) -> dict[str, float]:
    """Kill a replica with requests on all; how long they and its return take, against none killed."""
    began = time.perf_counter()
    pool.generate_many(asked)
    without = time.perf_counter() - began
    process = ray.get(pool._replicas[0].__ray_call__.remote(lambda _: os.getpid()))
    began = time.perf_counter()
    calls = [pool.submit(request) for request in asked]
    time.sleep(without / 4)
    os.kill(process, signal.SIGKILL)
    failed = sum(call.exception() is not None for call in calls)
    took = time.perf_counter() - began
    while pool.states[0] != "serving":
        time.sleep(0.05)
    back = time.perf_counter() - began
    return {"failed": failed, "s, none killed": without, "s, one killed": took, "s until it is back": back}


def main() -> None:
    connect()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        base = make_base(root / "base", 192, 4)
        content, asset = LocalStore(root / "content"), AssetRef(1, "bafybase")
        refs = tuple(
            AdapterRef(at + 2, content.add_path(make_adapter(root / str(at), base, at, 8)))
            for at in range(ADAPTERS)
        )
        made = partial(_store, root / "content", refs, asset, root / "adapters")
        asked = [
            GenerationRequest(
                (3 + at, *range(3, 18)),
                (None, *refs)[at % (ADAPTERS + 1)],
                Sampling(max_tokens=TOKENS, stop_token_ids=()),
                bytes(32),
            )
            for at in range(BATCH)
        ]
        found: dict[int, dict[str, Any]] = {}
        for replicas in (1, 2):
            pool = EnginePool.start(PoolConfig(str(base), asset, made, replicas=replicas, num_cpus=0))
            whole(pool, asked * 2)  # adapters warm, operators compiled
            found[replicas] = whole(pool, asked * 4)
            for streams in (4, BATCH, 4 * BATCH):
                found[replicas][f"{streams} streams"] = streamed(pool, (asked * 4)[:streams])
            if replicas > 1:
                found[replicas] |= killed(pool, asked * 8)
            pool.close()
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
