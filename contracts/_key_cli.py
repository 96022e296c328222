"""``openledger key new|import|show|remember``: the file that holds the key which signs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..settings import get_settings
from ._keystore import create_keystore, read_address, remember_password

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Key files: encrypted, as other wallets read them.")

console = Console(highlight=False, soft_wrap=True)

File = Annotated[Path, typer.Argument(help="the key file")]


@app.command()
def new(path: File) -> None:
    """Make a key and write it to a new file, encrypted with a password."""
    _made(path, create_keystore(path, _new_password()))


@app.command(name="import")
def import_(path: File) -> None:
    """Write a key you have to a new file, encrypted with a password. The key is asked for, and not shown."""
    key = typer.prompt("private key (0x…)", hide_input=True)
    _made(path, create_keystore(path, _new_password(), key))


@app.command()
def show(path: File) -> None:
    """Print the address whose key a file holds."""
    console.print(read_address(path))


@app.command()
def remember(path: File) -> None:
    """Keep the file's password in the operating system's keyring, so that nobody is asked for it again."""
    password = typer.prompt("password", hide_input=True)
    console.print(f"the keyring has the password of {remember_password(path, password)}")


def _new_password() -> str:
    given = get_settings().keystore_password
    if given is not None:
        return given.get_secret_value()
    password: str = typer.prompt("new password", hide_input=True, confirmation_prompt=True)
    return password


def _made(path: Path, address: str) -> None:
    console.print(f"{address} in {path}")
    console.print(f"  use it: export OPENLEDGER_KEYSTORE={path}")
    console.print("  keep a copy of file and password: nobody can restore them")
