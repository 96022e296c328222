"""Joining the cluster that the settings name, or starting a small one on this machine."""

from __future__ import annotations

import os

from ..errors import ExecutionError
from ..settings import Settings, get_settings

__all__ = ["connect"]

_OBJECT_STORE = 100 * 2**20  # bytes: records are small, adapters travel through the content store


def connect(settings: Settings | None = None) -> None:
    """Make Ray ready in this process: the cluster at ``ray_address``, else a local one with every core.

    Does nothing when Ray is ready already. Raises ``ExecutionError`` when the cluster cannot be joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    settings = settings or get_settings()
    if ray.is_initialized():
        return
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if settings.ray_address:
            ray.init(address=settings.ray_address, **quiet)
        else:
            ray.init(include_dashboard=False, object_store_memory=_OBJECT_STORE, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ExecutionError(
            f"cannot join the Ray cluster {settings.ray_address or 'on this machine'}",
            why=str(error),
            fix="check OPENLEDGER_RAY_ADDRESS and RAY_AUTH_TOKEN, or unset the address to use this machine",
        ) from error
