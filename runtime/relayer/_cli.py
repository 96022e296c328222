"""``openledger relay serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...contracts import parse_open, show_open
from ...errors import UserError
from ...registry import Connection
from ...registry.commands import As, console
from ...settings import get_settings

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    relay = typer.Typer(no_args_is_help=True, help="Pay the gas of what others sign.")
    relay.command()(serve)
    relay.callback()(lambda: None)  # a group, although it has one command
    app.add_typer(relay, name="relay")


def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8403,
    certificate: Annotated[Path | None, typer.Option(help="TLS: the certificate chain, PEM")] = None,
    private_key: Annotated[Path | None, typer.Option(help="TLS: its private key, PEM")] = None,
    cap: Annotated[str, typer.Option(help="OPEN of gas for all accounts in a day")] = "5",
    account_cap: Annotated[str, typer.Option(help="of it for one account")] = "0.05",
    fee_cap: Annotated[int, typer.Option(min=1, help="wei for a unit of gas, at most")] = 10**11,
    window: Annotated[int, typer.Option(min=1, help="seconds that a deadline may be ahead")] = 3600,
    target: Annotated[
        list[str] | None,
        typer.Option(help="address of a contract to pay for beside the protocol's; repeatable"),
    ] = None,
    transfers: Annotated[bool, typer.Option(help="pay also for moving OPEN to anyone")] = False,
    account: As = None,
) -> None:
    """Pay the gas of what accounts sign, for calls of the protocol's contracts, until interrupted."""
    from filelock import FileLock, Timeout

    from ..gateway import listen
    from ._app import create_app
    from ._book import Book
    from ._relayer import Relayer
    from ._terms import Terms

    if (certificate is None) != (private_key is None):
        raise UserError(
            "TLS needs both a certificate and its key", fix="give --certificate and --private-key"
        )
    for address in target or []:
        if len(address) != 42 or not address.startswith("0x"):
            raise UserError(f"{address!r} is no address", fix="give 0x and 40 hexadecimal digits")
    terms = Terms(
        account_cap=parse_open(account_cap),
        cap=parse_open(cap),
        fee_cap=fee_cap,
        window=window,
        transfers=transfers,
        targets=frozenset(target or ()),
    )
    settings = get_settings()
    if settings.relayer is not None:
        raise UserError(
            "a relayer pays its own gas", why="OPENLEDGER_RELAYER is set", fix="unset it for this command"
        )
    with Connection.open(settings) as connection:
        signer = connection.signer_for(account)
        lock = FileLock(settings.home_dir / f"relayer-{signer.address}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"a relayer pays from {signer.address} already",
                why=f"it holds {lock.lock_file}",
                fix="stop it, or use another key",
            ) from None
        book = Book(settings.database_url or settings.home_dir / "relayer.db")
        try:
            relayer = Relayer(connection.contracts, signer, book, terms)
            held = show_open(connection.chain.balance(relayer.address))
            console.print(
                f"{relayer.address} pays, and holds {held}; http{'s' if certificate else ''}://{host}:{port}"
            )
            tls = None if certificate is None or private_key is None else (certificate, private_key)
            listen(create_app(relayer), host=host, port=port, tls=tls)
        finally:
            book.close()
            lock.release()
