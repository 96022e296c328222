"""The gateway: clients and other agents call agents by what they already speak, and pay by x402 or a prepaid key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._app import announce, create_app
    from ._errors import Json, refuse_malformed, respond
    from ._guard import Guard
    from ._keys import Key, Keys
    from ._limits import Limiter, Limits
    from ._listen import listen
    from ._model_agent import model_agent
    from ._open_scheme import OpenScheme, register_open
    from ._token_stream import TokenStreams

__all__ = [
    "Guard",
    "Json",
    "Key",
    "Keys",
    "Limiter",
    "Limits",
    "OpenScheme",
    "TokenStreams",
    "announce",
    "create_app",
    "listen",
    "model_agent",
    "refuse_malformed",
    "register_open",
    "respond",
]

_LAZY = {
    "Guard": "_guard",
    "Json": "_errors",
    "Key": "_keys",
    "Keys": "_keys",
    "Limiter": "_limits",
    "Limits": "_limits",
    "OpenScheme": "_open_scheme",
    "TokenStreams": "_token_stream",
    "announce": "_app",
    "create_app": "_app",
    "listen": "_listen",
    "model_agent": "_model_agent",
    "refuse_malformed": "_errors",
    "register_open": "_open_scheme",
    "respond": "_errors",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
