"""``openledger devnet up|down|status``."""

from __future__ import annotations

import typer
from rich.console import Console

from ..settings import get_settings
from ._devnet import Devnet

__all__ = ["add_to"]

_devnet = typer.Typer(no_args_is_help=True, help="The embedded chain of this folder.")


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.add_typer(_devnet, name="devnet")


@_devnet.command()
def up() -> None:
    """Start the chain, deploy the contracts once, and leave it running."""
    from ._deploy import deploy

    home = get_settings().home_dir
    devnet = Devnet.start(home)
    deploy(devnet.connect(), devnet.accounts[0], home)
    Console().print(f"chain {devnet.chain_id} at {devnet.rpc_url} (pid {devnet.pid}); state in {devnet.home}")


@_devnet.command()
def down() -> None:
    """Stop the chain; its state is kept."""
    devnet = Devnet.running(get_settings().home_dir)
    if devnet is None:
        Console().print("no devnet is running here")
        return
    devnet.stop(force=True)
    Console().print("stopped; its state is kept")


@_devnet.command()
def status() -> None:
    """Say whether the chain runs, and where."""
    devnet = Devnet.running(get_settings().home_dir)
    if devnet is None:
        Console().print("no devnet is running here")
        return
    for name, value in devnet.status().items():
        Console().print(f"{name}: {value}", highlight=False)
