"""OpenLedger: who made an AI output, with which model and whose data, who is paid, and who loses stake.

The verbs of the agent SDK, loaded on first use: ``agent`` and ``chat`` declare, ``run`` tries locally,
``connect``, ``register`` and ``deploy`` put into service, ``verify`` and ``challenge`` hold to account.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openledger.agents import agent, chat
    from openledger.registry import Connection
    from openledger.runtime import Client, run
    from openledger.runtime import deploy_agent as deploy
    from openledger.runtime import register_agent as register
    from openledger.staking import actions, verify
    from openledger.staking import open_challenge as challenge

    connect = Connection.open

__version__ = "0.1.0"

__all__ = [
    "Client",
    "__version__",
    "actions",
    "agent",
    "challenge",
    "chat",
    "connect",
    "deploy",
    "register",
    "run",
    "verify",
]

_VERBS = {
    "Client": "runtime:Client",
    "actions": "staking:actions",
    "agent": "agents:agent",
    "challenge": "staking:open_challenge",
    "chat": "agents:chat",
    "connect": "registry:Connection.open",
    "deploy": "runtime:deploy_agent",
    "register": "runtime:register_agent",
    "run": "runtime:run",
    "verify": "staking:verify",
}


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'openledger' has no attribute {name!r}")
    folder, _, path = _VERBS[name].partition(":")
    found: Any = import_module(f"openledger.{folder}")
    for part in path.split("."):
        found = getattr(found, part)
    return found
