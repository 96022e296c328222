"""The commands about identities."""

from __future__ import annotations

import typer

from ._trust_cli import agent

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.add_typer(agent, name="agent")
