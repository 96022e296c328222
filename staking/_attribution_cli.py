"""``openledger attribution``: who is paid for an action's words, and whether that is what the rule makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..registry import Connection
from ..registry.commands import Json, console, when

if TYPE_CHECKING:
    from ._influence import Trainer
    from ._recompute import Recomputed
    from ._verify import Action

__all__ = ["attribution"]

attribution = typer.Typer(no_args_is_help=True, help="Who is paid for an action's words, and is that right.")

Cid = Annotated[str, typer.Argument(help="CID of an action's record, as printed in its receipt")]


@attribution.command()
def show(cid: Cid, as_json: Json = False) -> None:
    """The receipt as the record has it: the answer with its words by contributor, every row that is paid, every wei.

    Needs the content store only; under a rule that pays by influence also the chain, for that is stated in the batch. It
    checks nothing: `openledger attribution recompute CID` does. Exit 4 when the record's own lines do not add up to its fee.
    """
    from ..openlora import fetch_tokenizer
    from ..registry import open_store
    from ..settings import get_settings
    from ._examine import index_for
    from ._receipt import read_receipt, stated_for
    from ._receipt_view import plain_receipt, print_receipt

    settings, store = get_settings(), open_store()

    def stated(action: Action) -> Any:
        with Connection.open() as connection:
            return stated_for(connection.ledger, store, index_for(connection))(action)

    with console.status("reading"):
        receipt = read_receipt(
            cid,
            store=store,
            tokenizer_for=lambda base: fetch_tokenizer(base, store, settings.cache_dir),
            stated=stated,
        )
    if as_json:
        console.print_json(data=plain_receipt(receipt))
    else:
        print_receipt(receipt)
    if not receipt.adds_up:
        raise typer.Exit(4)


@attribution.command()
def recompute(context: typer.Context, cid: Cid, as_json: Json = False) -> None:
    """Recompute shares and payouts of an action, and of its batch, from chain and content store alone: ok, differs (what, and
    the command that disputes it) or unverified. Where influence is paid, gradients of the adapter's rows are taken once, which
    may take minutes, and kept in the cache.

    Exit 0 ok, 4 differs, 3 unverified: something could not be had.
    """
    from ._examine import index_for
    from ._influence import influence_for
    from ._recompute import Found
    from ._recompute import recompute as again

    trainer: Trainer | None = context.obj

    with Connection.open() as connection:
        with console.status("recomputing"):
            result = again(
                cid,
                store=connection.store,
                ledger=connection.ledger,
                assets=connection.assets,
                index_for=index_for(connection),
                influence_for=None if trainer is None else influence_for(connection, trainer.divide),
            )
        if as_json:
            console.print_json(data=_found(result))
        else:
            _tell(result)
    if result.found is not Found.OK:
        raise typer.Exit(4 if result.found is Found.DIFFERS else 3)


# -- recompute ------------------------------------------------------------------------------------


def _tell(result: Recomputed) -> None:
    lines = Table("part", "found", "why")
    for line in result.lines:
        lines.add_row(line.name, str(line.found), escape(line.why))
    console.print(lines)
    if result.differences:
        wrong = Table("where", "account", "paid, wei", "due, wei")
        for one in result.differences:
            wrong.add_row(one.where, escape(one.account), f"{one.paid:,}", f"{one.due:,}")
        console.print(wrong)
    console.print(str(result.found))
    if (remedy := _remedy(result)) is not None:
        console.print(remedy)


def _remedy(result: Recomputed) -> str | None:
    """What to do about payouts that differ."""
    if result.disputable_until is not None:
        until = when(result.disputable_until)
        return f"dispute it until {until}: `openledger challenge {result.cid}`"
    if result.claims == "open":
        return "its window is over: what the batch pays can no longer be disputed"
    if result.claims:
        return f"a jury has what the batch pays: claims are {result.claims}"
    return None


def _found(result: Recomputed) -> dict[str, Any]:
    """As JSON; wei as text."""
    header, batch = result.header, result.batch
    return {
        "cid": result.cid,
        "found": str(result.found),
        "parts": [{"part": line.name, "found": str(line.found), "why": line.why} for line in result.lines],
        "payouts": [
            {"for": one.reason, "asset": one.asset_id, "account": one.account, "wei": str(one.amount)}
            for one in result.payouts
        ],
        "payoutRoot": {
            "anchored": None if header is None else "0x" + header.payout_root.hex(),
            "due": None if batch is None else "0x" + batch.root.hex(),
        },
        "differences": [
            {"where": one.where, "account": one.account, "paid": str(one.paid), "due": str(one.due)}
            for one in result.differences
        ],
        "dispute": None if result.disputable_until is None else f"openledger challenge {result.cid}",
        "claims": result.claims or None,
    }
