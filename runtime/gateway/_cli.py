"""``openledger gateway serve`` and ``openledger gateway key …``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import UserError
from ...registry import Connection
from ...registry.commands import As
from ._key_cli import key
from ._limits import Limits

if TYPE_CHECKING:
    from ._serve import StartRay

__all__ = ["add_to"]


def add_to(app: typer.Typer, start_ray: StartRay) -> None:
    """Offer the commands; ``start_ray`` makes Ray ready for ``serve``."""
    gateway = typer.Typer(
        no_args_is_help=True, help="Agents over HTTP: OpenAI's /v1, MCP, A2A, x402, prepaid keys."
    )

    @gateway.command()
    def serve(
        agent: Annotated[list[str], typer.Argument(help="FILE:NAME=AGENT_ID[,alias=ASSET_ID]; one or more")],
        host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=1, max=65535)] = 8402,
        url: Annotated[
            str | None,
            typer.Option(help="where the world finds it; the agents' registration files then say so"),
        ] = None,
        certificate: Annotated[Path | None, typer.Option(help="TLS: the certificate chain, PEM")] = None,
        private_key: Annotated[Path | None, typer.Option(help="TLS: its private key, PEM")] = None,
        workers: Annotated[int, typer.Option(min=1, help="Ray workers of each agent")] = 1,
        running: Annotated[int, typer.Option(min=1, help="actions at once")] = Limits.running,
        running_each: Annotated[
            int, typer.Option(min=1, help="of them for one client")
        ] = Limits.running_each,
        rate: Annotated[float, typer.Option(min=0.01, help="requests a second of one client")] = Limits.rate,
        body_bytes: Annotated[int, typer.Option(min=1024, help="bytes of a request")] = Limits.body_bytes,
        anchor_after: Annotated[
            float, typer.Option(min=1, help="seconds an action waits for others to be anchored with")
        ] = 60.0,
        settle_every: Annotated[
            float, typer.Option(min=1, help="seconds between looks at what is final")
        ] = 300.0,
        account: As = None,
    ) -> None:
        """Serve registered agents over HTTP until interrupted. It pays the gas of what it collects and anchors."""
        from .._keeper import Keeping
        from . import _serve

        if (certificate is None) != (private_key is None):
            raise UserError(
                "TLS needs both a certificate and its key", fix="give --certificate and --private-key"
            )
        tls = None if certificate is None or private_key is None else (certificate, private_key)
        wanted = [_serve.Wanted.parse(one) for one in agent]
        limits = Limits(body_bytes=body_bytes, rate=rate, running=running, running_each=running_each)
        with Connection.open() as connection:
            signer = connection.signer_for(account)
            _serve.serve(
                wanted,
                connection,
                signer,
                start_ray,
                host=host,
                port=port,
                tls=tls,
                limits=limits,
                keeping=Keeping(min(15.0, anchor_after, settle_every), anchor_after, settle_every),
                workers=workers,
                url=url,
            )

    gateway.add_typer(key, name="key")
    app.add_typer(gateway, name="gateway")
