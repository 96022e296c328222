"""``openledger devnet up|down|status|advance``, ``openledger key …``, ``openledger genesis``."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UserError
from ..settings import get_settings
from . import _key_cli
from ._amounts import parse_span
from ._devnet import Devnet
from ._genesis import SHARES, share_allocations
from ._genesis import genesis as make_genesis

__all__ = ["add_to"]

_devnet = typer.Typer(no_args_is_help=True, help="The embedded chain of this folder.")


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.add_typer(_devnet, name="devnet")
    app.add_typer(_key_cli.app, name="key")
    app.command()(genesis)


def genesis(
    chain_id: Annotated[int, typer.Option(min=1, help="of the new chain")],
    holder: Annotated[list[str], typer.Option(help="SHARE=ADDRESS, once for each share")],
    deployer: Annotated[
        str | None,
        typer.Option(help="who deploys the contracts first: its Treasury holds the ecosystem's share"),
    ] = None,
    out: Annotated[Path, typer.Option(help="the file to write")] = Path("genesis.json"),
) -> None:
    """Write the genesis file of a chain with 1,000,000,000 OPEN, allocated by share.

    Shares: community 51.71 %, ecosystem 10 %, team 15 %, investors 18.29 %, liquidity 5 %.
    """
    from ._deploy import address_of

    holders = {}
    for given in holder:
        share, _, address = given.partition("=")
        if share in holders:
            raise UserError(f"the share {share} is given twice")
        holders[share] = address
    if deployer is not None:
        holders.setdefault("ecosystem", address_of("Treasury", deployer))
    table = share_allocations(holders)
    out.write_text(json.dumps(make_genesis(table, chain_id, timestamp=int(time.time())), indent=1) + "\n")
    for one in table:
        Console(highlight=False).print(
            f"{one.name:10} {SHARES[one.name] / 100:5.2f} %  {one.amount // 10**18:>13,} OPEN  {one.address}"
        )
    Console(highlight=False).print(f"written to {out}")


@_devnet.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="where it listens; default a free one")
    ] = None,
) -> None:
    """Start the chain, deploy the contracts once, and leave it running."""
    from ._deploy import deploy

    home = get_settings().home_dir
    devnet = Devnet.start(home, port=port)
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
def advance(
    span: Annotated[str, typer.Argument(help="e.g. 14d, 12h, 90m or 30s")],
) -> None:
    """Let time pass on the chain, at once: windows and delays of days end."""
    seconds = parse_span(span)
    devnet = Devnet.running(get_settings().home_dir)
    if devnet is None:
        raise UserError("no devnet is running here", fix="`openledger devnet up` starts it")
    now = datetime.fromtimestamp(devnet.connect().advance(seconds), UTC)
    Console(highlight=False).print(f"it is {now:%Y-%m-%d %H:%M:%S} UTC on the chain")


@_devnet.command()
def status() -> None:
    """Say whether the chain runs, and where."""
    devnet = Devnet.running(get_settings().home_dir)
    if devnet is None:
        Console().print("no devnet is running here")
        return
    for name, value in devnet.status().items():
        Console().print(f"{name}: {value}", highlight=False)
