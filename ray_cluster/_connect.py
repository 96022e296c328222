"""Joining the cluster that the settings name, or the one started here, or a small one of this process's own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ExecutionError, UserError
from ..settings import Settings, get_settings
from ._node import ATTEMPTS, BUSY, LOOPBACK, Node, token_path
from ._wheel import slim_wheel

__all__ = ["connect"]

_OBJECT_STORE = 100 * 2**20  # bytes: records are small, adapters travel through the content store


def connect(settings: Settings | None = None) -> None:
    """Make Ray ready in this process: the cluster at ``ray_address``, else the one that ``openledger cluster up`` started
    here, else a local one with every core, for this process alone.

    To another cluster the wheel ``ray_wheel`` is shipped, as a ``py_modules`` entry, where the settings name one. Does
    nothing when Ray is ready already. Raises ``ExecutionError`` when the cluster cannot be joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    settings = settings or get_settings()
    node = Node.running(settings) if settings.ray_address is None else None
    address = settings.ray_address or (node.address if node is not None else None)
    if address is not None:
        use_token(settings)
    if node is not None and node.local:
        for name, value in LOOPBACK.items():
            os.environ.setdefault(name, value)
    imported = "ray" in sys.modules
    import ray

    if ray.is_initialized():
        return
    if imported and address is not None:
        _read_again(node is not None and node.local)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is None:
            _start_local(quiet)
        else:
            ray.init(address=address, runtime_env=_shipped(settings), **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise refused(address or "on this machine", str(error)) from error


def _start_local(quiet: dict[str, Any]) -> None:
    """Ray raises a bare ``Exception`` where its processes took too long; it is tried again."""
    import psutil
    import ray

    me = psutil.Process()
    before = set(me.children())
    for _ in range(ATTEMPTS):
        try:
            ray.init("local", include_dashboard=False, object_store_memory=_OBJECT_STORE, **quiet)
            return
        except Exception as error:
            if BUSY not in str(error):
                raise
            cause = error
        left = [one for one in me.children() if one not in before]  # nobody else ends them
        for process in left:
            process.kill()
        psutil.wait_procs(left, 10)
    raise ConnectionError(f"Ray's processes did not start within {ATTEMPTS} times 30 s") from cause


def _read_again(local: bool) -> None:
    """Ray reads its environment when it is first imported, which a program may have done before it got here: without this
    it would ask without the token, and for a local head at another address, for half a minute in vain.

    By the same private calls as Ray's own ``ray start``. To be dropped when ``ray.init()`` takes a token.
    """
    from ray._private import ray_constants

    raylet: Any = import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    if local:
        ray_constants.ENABLE_RAY_CLUSTER = False


def use_token(settings: Settings) -> None:
    """Have Ray authenticate with the environment's token, else with the one kept under ``home``."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    elif token_path(settings).is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token_path(settings))


def refused(address: str, said: str) -> ExecutionError:
    """Why Ray did not join the cluster, and what to do."""
    said = " ".join(said.split())
    if "ersion mismatch" in said:
        fix = "install the cluster's versions of Ray and Python here, or this machine's there"
    elif "No node info" in said:
        fix = (
            f"a driver has to be on a node of its cluster: openledger cluster up --address {address} --cpus 0"
        )
    elif "uthentication" in said or "token" in said:
        fix = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"
    elif "did not start" in said:
        fix = "see what keeps the machine busy (or its memory full), or start Ray once: openledger cluster up"
    else:
        fix = (
            "check OPENLEDGER_RAY_ADDRESS and the token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH (a wrong token reads like a "
            "lost connection), or unset the address to use this machine"
        )
    return ExecutionError(f"cannot join the Ray cluster {address}", why=said[:600], fix=fix)


def _shipped(settings: Settings) -> dict[str, Any] | None:
    wheel = settings.ray_wheel
    if wheel is None:
        return None
    if "://" in wheel:
        return {"py_modules": [wheel]}
    path = Path(wheel)
    if not path.is_file() or path.suffix != ".whl":
        raise UserError(
            f"OPENLEDGER_RAY_WHEEL names {wheel}, which is no wheel",
            fix="build one: python -m build --wheel; or unset it where the nodes have openledger installed",
        )
    return {"py_modules": [str(slim_wheel(path, settings.cache_dir / "wheels"))]}
