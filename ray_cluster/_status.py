"""What runs on the cluster: its nodes, the engines of its pools, the workers of its agents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..openlora import NAMESPACE

__all__ = ["ClusterStatus", "Engine", "RayNode", "Worker", "cluster_status"]

_PATIENCE = 5.0
"""Seconds for the answers of all actors together."""


@dataclass(frozen=True)
class RayNode:
    node_id: str
    host: str
    alive: bool
    resources: dict[str, float]
    """Such as ``CPU``, ``GPU``, ``memory`` (bytes)."""


@dataclass(frozen=True)
class Engine:
    pool: str
    place: int
    answers: bool
    """False while it starts, restarts, or is lost."""
    waiting: int = 0
    running: int = 0
    requests: int = 0
    output_tokens: int = 0
    adapters: int = 0


@dataclass(frozen=True)
class Worker:
    agent: str
    name: str
    answers: bool


@dataclass(frozen=True)
class ClusterStatus:
    address: str
    ray_version: str
    total: dict[str, float]
    available: dict[str, float]
    nodes: list[RayNode] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)


def cluster_status() -> ClusterStatus:
    """Of the cluster this process has joined."""
    import ray

    names = sorted(
        str(one["name"])
        for one in ray.util.list_named_actors(all_namespaces=True)
        if one["namespace"] == NAMESPACE
    )
    asked = {name: call for name in names if (call := _call(name)) is not None}
    ready, _ = (
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_PATIENCE) if asked else ([], [])
    )
    answers = {name: _answer(call) if call in ready else None for name, call in asked.items()}
    engines, workers = [], []
    for name in names:
        kind, _, rest = name.partition("/")
        found = answers.get(name)
        owner, _, last = rest.rpartition("/")
        if kind == "engine":
            engines.append(_engine(owner, int(last), found))
        elif kind == "worker":
            workers.append(Worker(owner, name, found is not None))
    context = ray.get_runtime_context()
    return ClusterStatus(
        address=str(context.gcs_address),
        ray_version=ray.__version__,
        total=_plain(ray.cluster_resources()),
        available=_plain(ray.available_resources()),
        nodes=[
            RayNode(
                str(node["NodeID"]),
                str(node["NodeManagerAddress"]),
                bool(node["Alive"]),
                _plain(node["Resources"]),
            )
            for node in ray.nodes()
        ],
        engines=engines,
        workers=workers,
    )


def _call(name: str) -> Any:
    import ray

    try:
        actor = ray.get_actor(name, NAMESPACE)
    except ValueError:  # it ended meanwhile
        return None
    return (actor.stats if name.startswith("engine/") else actor.ready).remote()


def _answer(call: Any) -> Any:
    import ray

    try:
        return ray.get(call)
    except ray.exceptions.RayError:
        return None


def _engine(pool: str, place: int, stats: Any) -> Engine:
    if stats is None:
        return Engine(pool, place, False)
    return Engine(
        pool,
        place,
        True,
        stats.waiting,
        stats.running,
        stats.requests,
        stats.output_tokens,
        len(stats.adapters),
    )


def _plain(resources: dict[str, float]) -> dict[str, float]:
    """Without those that only name a node."""
    return {
        name: float(much)
        for name, much in sorted(resources.items())
        if not name.startswith(("node:", "object_store"))
    }
