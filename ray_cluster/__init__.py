"""The Ray cluster that workers and engines run on: one machine by default, any cluster by its address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._connect import connect

if TYPE_CHECKING:
    from ._manifest import Group, grafana_dashboard, kuberay_manifest, ray_manifest
    from ._node import Node
    from ._status import ClusterStatus, cluster_status
    from ._wheel import slim_wheel

__all__ = [
    "ClusterStatus",
    "Group",
    "Node",
    "cluster_status",
    "connect",
    "grafana_dashboard",
    "kuberay_manifest",
    "ray_manifest",
    "slim_wheel",
]

_LAZY = {
    "ClusterStatus": "_status",
    "Group": "_manifest",
    "Node": "_node",
    "cluster_status": "_status",
    "grafana_dashboard": "_manifest",
    "kuberay_manifest": "_manifest",
    "ray_manifest": "_manifest",
    "slim_wheel": "_wheel",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
