"""``openledger gov parameters|delegate|pause|treasury|release|directory``: what governance governs, and who votes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from ..contracts import adopt, parse_open, reviewed, show_open, updates
from ._connect import Connection
from .commands import As, DryRun, Json, acting, console, when

__all__ = ["gov"]

gov = typer.Typer(no_args_is_help=True, help="Parameters, treasury and upgrades: propose, vote, execute.")


@gov.command("parameters")
def list_parameters(as_json: Json = False) -> None:
    """List every protocol parameter with its value and the bounds no vote can leave."""
    with Connection.open() as connection:
        found = connection.governance.parameters()
        until = connection.governance.paused_until()
    if as_json:
        rows = [
            {**asdict(one), "value": str(one.value), "least": str(one.least), "most": str(one.most)}
            for one in found
        ]
        print(json.dumps({"parameters": rows, "intakePausedUntil": until}, indent=1))
        return
    table = Table("parameter", "value", "least", "most")
    for one in found:
        table.add_row(one.name, one.show(one.value), one.show(one.least), one.show(one.most))
    console.print(table)
    if until is not None:
        console.print(f"the guardian has paused new intake until {when(until)}")


@gov.command()
def delegate(
    to: Annotated[str | None, typer.Option(help="who votes with your OPEN; default yourself")] = None,
    wrap: Annotated[str | None, typer.Option(help="OPEN to wrap first; only wrapped OPEN votes")] = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Give your wrapped OPEN a vote: yours, or someone else's. It stays yours and spendable."""
    with acting(account, dry_run) as (connection, signer):
        who = to or str(signer.address)
        says = f"Lets {who} vote with all wrapped OPEN of {signer.address}. The OPEN stays where it is."
        if wrap is not None:
            says = f"Wraps {wrap} native OPEN of {signer.address}, one to one. {says}"
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            if wrap is not None:
                connection.as_(signer).wrap(parse_open(wrap))
            voter = connection.governance.delegate(signer, to)
            review.done(
                f"{show_open(voter.wrapped)} now vote as {voter.delegate}",
                wrapped=str(voter.wrapped),
                votes=str(voter.votes),
                delegate=voter.delegate,
            )


@gov.command()
def pause(
    days: Annotated[int, typer.Argument(min=1, max=14)],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As the guardian: let nothing new in for some days. Exits, claims, anchors and disputes go on."""
    with acting(account, dry_run) as (connection, signer):
        says = (
            f"Refuses deposits, new jurors, first epochs and the like for {days} days. After that the guardian must "
            "rest as long again. Moves nothing."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            until = connection.governance.pause_intake(signer, days * 86_400)
            review.done(f"paused until {when(until)}", until=until)


@gov.command()
def treasury(as_json: Json = False) -> None:
    """Show what the treasury holds, and its grants."""
    with Connection.open() as connection:
        free, promised = connection.governance.treasury()
        found = connection.governance.grants()
    if as_json:
        kept = [{name: str(value) for name, value in asdict(one).items()} for one in found]
        print(json.dumps({"free": str(free), "promised": str(promised), "grants": kept}, indent=1))
        return
    console.print(f"free {show_open(free)}, promised to grants {show_open(promised)}")
    if found:
        table = Table("grant", "account", "amount", "vested", "paid", "until")
        for one in found:
            amounts = map(show_open, (one.total, one.vested, one.paid))
            until = when(one.start + one.duration) if one.duration else "stopped"
            table.add_row(str(one.id), one.account, *amounts, until)
        console.print(table)


@gov.command()
def release(
    grant: Annotated[int, typer.Argument(min=1, help="the grant's number")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Pay what has vested of a grant to its account. Anyone may."""
    with acting(account, dry_run) as (connection, signer):
        says = f"Pays what has vested of grant {grant} from the treasury to the grant's account."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            paid = connection.governance.release(signer, grant)
            review.done(f"{show_open(paid)} paid", grant=grant, amount=str(paid))


@gov.command()
def directory(
    adopt_: Annotated[bool, typer.Option("--adopt", help="use the newer versions from now on")] = False,
    as_json: Json = False,
) -> None:
    """Show contracts of which the directory names a newer version than the one in use here."""
    with Connection.open() as connection:
        found = updates(connection.contracts)
        if adopt_ and found:
            adopt(connection.contracts, connection.settings.home_dir)
        if as_json:
            print(json.dumps([asdict(one) for one in found], indent=1))
            return
        for one in found:
            console.print(
                f"{one.name}: {one.used} in use, version {one.version} is {one.offered}, since {when(one.since)}"
            )
        if not found:
            console.print("everything in use is the directory's newest version")
        elif adopt_:
            console.print("adopted; what you hold in the old contracts stays there until you move it")
