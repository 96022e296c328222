"""The gateway: clients and other agents call agents by what they already speak, and pay by x402 or a prepaid key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._app import announce, create_app
    from ._keys import Key, Keys
    from ._limits import Limits
    from ._model_agent import model_agent
    from ._open_scheme import OpenScheme, register_open
    from ._serve import listen
    from ._token_stream import TokenStreams

__all__ = [
    "Key",
    "Keys",
    "Limits",
    "OpenScheme",
    "TokenStreams",
    "announce",
    "create_app",
    "listen",
    "model_agent",
    "register_open",
]

_LAZY = {
    "Key": "_keys",
    "Keys": "_keys",
    "Limits": "_limits",
    "OpenScheme": "_open_scheme",
    "TokenStreams": "_token_stream",
    "announce": "_app",
    "create_app": "_app",
    "listen": "_serve",
    "model_agent": "_model_agent",
    "register_open": "_open_scheme",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
