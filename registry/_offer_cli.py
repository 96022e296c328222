"""``openledger license offer|change``: what an asset's owner sells."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..contracts import parse_open, parse_span, reviewed, show_open
from ..errors import UserError
from ._cid import cid_from_digest, digest_of
from ._licences import Offer
from .commands import As, AssetId, DryRun, Json, acting

__all__ = ["OfferId", "license", "offer_fields"]

license = typer.Typer(no_args_is_help=True, help="Licences of assets: offer, buy, renew, grant keys.")

OfferId = Annotated[int, typer.Argument(min=1, help="the offer's id")]


@license.command()
def offer(
    asset_id: AssetId,
    price: Annotated[str, typer.Argument(help="OPEN for a licence, e.g. 2.5; 0 gives them away")],
    terms: Annotated[Path, typer.Argument(help="file with the licence's text; it is published")],
    duration: Annotated[
        str | None, typer.Option(help="how long one lasts, e.g. 30d; default: for ever")
    ] = None,
    grant_within: Annotated[
        str | None, typer.Option(help="buyers need a key, which you will grant within e.g. 2d (at most 30d)")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="how many are sold; default: any number")] = None,
    transferable: Annotated[bool, typer.Option(help="holders may give theirs to others")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Offer licences of an asset of yours."""
    wei = parse_open(price, zero=True)
    lasts = None if duration is None else parse_span(duration)
    grant = None if grant_within is None else parse_span(grant_within)
    try:
        text = terms.read_bytes()
    except OSError as error:
        raise UserError(f"{terms} cannot be read", why=str(error)) from None
    with acting(account, dry_run) as (connection, signer):
        cid = connection.store.put(text, "raw")
        key = (
            "No key is needed."
            if grant is None
            else (
                f"You must grant each buyer's key within {grant_within}: until then its money waits, afterwards it goes back."
            )
        )
        says = (
            f"Offers {'any number of' if count is None else count} licences of asset {asset_id} for {show_open(wei)} each, "
            f"{'for ever' if duration is None else 'for ' + duration}, under the terms {cid}. {key} Moves nothing now; of "
            "each price the protocol takes its cut and the lineage its royalties."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            offer_id = connection.licences.offer(
                signer,
                asset_id,
                wei,
                terms=digest_of(cid),
                duration=lasts,
                grant_period=grant,
                max_count=count,
                transferable=transferable,
            )
            review.done(f"offer {offer_id}", offerId=offer_id, terms=cid)


@license.command()
def change(
    offer_id: OfferId,
    price: Annotated[str | None, typer.Option(help="the new price in OPEN")] = None,
    count: Annotated[int | None, typer.Option(min=0, help="how many are sold; 0: any number")] = None,
    is_open: Annotated[
        bool | None, typer.Option("--open/--close", help="sell and renew, or stop that")
    ] = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Change an offer's price or count, close or reopen it. Sold licences stay as they are."""
    wei = None if price is None else parse_open(price, zero=True)
    with acting(account, dry_run) as (connection, signer):
        says = f"Changes offer {offer_id}. Licences that are sold stay as they are. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            now = connection.licences.change(signer, offer_id, price=wei, max_count=count, open=is_open)
            review.done(
                f"{show_open(now.price)}, {'open' if now.open else 'closed'}",
                **offer_fields(now),
            )


def offer_fields(found: Offer) -> dict[str, Any]:
    return {
        "offerId": found.offer_id,
        "assetId": found.asset_id,
        "terms": cid_from_digest(found.terms, 0x55),
        "price": str(found.price),
        "duration": found.duration,
        "grantPeriod": found.grant_period,
        "maxCount": found.max_count,
        "sold": found.sold,
        "transferable": found.transferable,
        "open": found.open,
    }
