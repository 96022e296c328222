"""What commands share: options, who acts, and how amounts, accounts and times are written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from ...contracts import Signer
from ...errors import UserError
from .._connect import Connection
from ..store import ContentStore, LocalStore

__all__ = [
    "AgentId",
    "Amount",
    "As",
    "AssetId",
    "DryRun",
    "Json",
    "account_at",
    "acting",
    "console",
    "document_at",
    "when",
]

console = Console(highlight=False, soft_wrap=True)

AgentId = Annotated[int, typer.Argument(min=1, help="the agent's id")]
Amount = Annotated[str, typer.Argument(help="OPEN, e.g. 100 or 0.5")]
AssetId = Annotated[int, typer.Argument(min=1, help="the asset's id")]
As = Annotated[
    int | None, typer.Option("--as", min=0, max=19, help="act as this account of the embedded devnet")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
DryRun = Annotated[bool, typer.Option(help="explain and simulate; sign and send nothing")]


@contextmanager
def acting(account: int | None, dry_run: bool) -> Iterator[tuple[Connection, Signer]]:
    """A connection and whoever acts. What a dry run would publish goes to a folder that is thrown away."""
    with Connection.open() as connection, TemporaryDirectory() as scratch:
        signer = connection.signer_for(account)
        if dry_run:
            trial = _Overlay(Path(scratch), connection.store)
            connection = Connection(
                connection.settings, connection.contracts, trial, connection.devnet, signer
            )
        yield connection, signer


class _Overlay(LocalStore):
    """Reads through to a store, and writes nothing to it."""

    def __init__(self, root: Path, under: ContentStore) -> None:
        super().__init__(root)
        self._under = under

    def _read(self, cid: str) -> bytes | None:
        found = super()._read(cid)
        if found is None and self._under.has(cid):
            return self._under.get(cid)
        return found

    def _exists(self, cid: str) -> bool:
        return super()._exists(cid) or self._under.has(cid)


def when(time: int) -> str:
    """Unix seconds as UTC."""
    if time > 253_402_300_799:
        return "the year 9999"
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def account_at(text: str) -> str:
    """An address as typed, with its checksum. Raises ``UserError`` for anything else."""
    from eth_utils.address import is_address, to_checksum_address

    if not is_address(text) or int(text, 16) == 0:
        raise UserError(f"{text!r} is no account", fix="write 0x and 40 hexadecimal digits")
    return str(to_checksum_address(text))


def document_at(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path} cannot be read", why=str(error)) from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON", why=str(error)) from None
    if not isinstance(document, dict):
        raise UserError(f"{path} holds no JSON object")
    return document
