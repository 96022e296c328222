"""The relayer: pays the gas of what accounts sign (EIP-7702), for chosen calls, within caps, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._app import create_app
    from ._book import Book, Entry
    from ._relayer import Relayed, Relayer
    from ._terms import Terms

__all__ = ["Book", "Entry", "Relayed", "Relayer", "Terms", "create_app"]

_LAZY = {
    "Book": "_book",
    "Entry": "_book",
    "Relayed": "_relayer",
    "Relayer": "_relayer",
    "Terms": "_terms",
    "create_app": "_app",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
