"""The commands about identities and claims."""

from __future__ import annotations

import typer

from ._asset_cli import asset
from ._claim_cli import claim
from ._license_cli import license
from ._proposal_cli import gov
from ._trust_cli import agent

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.add_typer(agent, name="agent")
    app.add_typer(claim, name="claim")
    app.add_typer(asset, name="asset")
    app.add_typer(license, name="license")
    app.add_typer(gov, name="gov")
