"""``openledger license buy|renew|show|transfer|grant|refund``: licences of assets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contracts import parse_open, reviewed, show_open
from ..errors import UserError
from ._cid import cid_from_digest
from ._connect import Connection
from ._licences import Licence
from ._offer_cli import OfferId, license, offer_fields
from .commands import As, AssetId, DryRun, Json, account_at, acting, console, when

__all__ = ["license"]

LicenceId = Annotated[int, typer.Argument(min=1, help="the licence's id")]
MaxPrice = Annotated[
    str | None, typer.Option(help="refuse to pay more OPEN than this; default: the price of now")
]


@license.command()
def buy(
    offer_id: OfferId,
    holder: Annotated[str | None, typer.Option("--for", help="the account it is for; default: yours")] = None,
    max_price: MaxPrice = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Buy a licence of an asset."""
    limit = None if max_price is None else parse_open(max_price, zero=True)
    for_whom = None if holder is None else account_at(holder)
    with acting(account, dry_run) as (connection, signer):
        licences = connection.licences
        found = licences.get_offer(offer_id)
        lasts = "for ever" if found.duration is None else f"for {found.duration} s"
        key = (
            ""
            if found.grant_period is None
            else (
                f" The money waits in the market until the owner grants the key; after {found.grant_period} s without a key "
                "you can take it back."
            )
        )
        says = (
            f"Pays {show_open(found.price)} of {signer.address} for a licence of asset {found.asset_id} held by "
            f"{for_whom or signer.address}, {lasts}, under the terms {cid_from_digest(found.terms, 0x55)}.{key}"
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            licence_id = licences.buy(signer, offer_id, holder=for_whom, max_price=limit)
            if not dry_run:
                bought = licences.get(licence_id)
                review.done(
                    f"licence {licence_id}: {_state(bought, licences.chain.now())}", **_fields(bought)
                )


@license.command()
def renew(
    licence_id: LicenceId,
    max_price: MaxPrice = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Pay for another term of a licence; anyone may."""
    limit = None if max_price is None else parse_open(max_price, zero=True)
    with acting(account, dry_run) as (connection, signer):
        licences = connection.licences
        price = licences.get_offer(licences.get(licence_id).offer_id).price
        says = f"Pays {show_open(price)} of {signer.address} for another term of licence {licence_id}."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            expires = licences.renew(signer, licence_id, max_price=limit)
            review.done(f"valid until {when(expires)}", licenceId=licence_id, expiresAt=expires)


@license.command()
def show(
    asset_id: AssetId,
    holder: Annotated[str | None, typer.Option(help="only say whether this account is licensed now")] = None,
    as_json: Json = False,
) -> None:
    """List the offers and licences of an asset; with --holder, say whether an account is licensed (exit 1: it is not)."""
    with Connection.open() as connection:
        connection.assets.get(asset_id)
        licences = connection.licences
        if holder is not None:
            licensed = licences.is_licensed(asset_id, account_at(holder))
            fields = {"assetId": asset_id, "holder": holder, "licensed": licensed}
            print(json.dumps(fields) if as_json else "licensed" if licensed else "not licensed")
            if not licensed:
                raise typer.Exit(1)
            return
        offers = licences.offers(asset_id)
        sold = [
            (licence, licences.keys(licence.licence_id))
            for one in offers
            for licence in licences.sold(one.offer_id)
        ]
        now = licences.chain.now()
    if as_json:
        listed = {
            "offers": [offer_fields(one) for one in offers],
            "licences": [
                _fields(licence)
                | {"inForce": licence.in_force(now), "keys": ["0x" + key.hex() for key in keys]}
                for licence, keys in sold
            ],
        }
        print(json.dumps(listed, indent=1))
        return
    table = Table("offer", "price", "lasts", "key within", "sold", "", title=f"licences of asset {asset_id}")
    for one in offers:
        table.add_row(
            str(one.offer_id),
            show_open(one.price),
            "for ever" if one.duration is None else f"{one.duration} s",
            "no key" if one.grant_period is None else f"{one.grant_period} s",
            str(one.sold) if one.max_count is None else f"{one.sold} of {one.max_count}",
            "open" if one.open else "closed",
        )
    console.print(table)
    table = Table("licence", "offer", "holder", "state", "keys")
    for licence, keys in sold:
        table.add_row(
            str(licence.licence_id),
            str(licence.offer_id),
            licence.holder,
            _state(licence, now),
            str(len(keys)),
        )
    console.print(table)


@license.command()
def transfer(
    licence_id: LicenceId,
    to: Annotated[str, typer.Argument(help="address of the new holder")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Give a licence of yours to another account, where its offer allows that."""
    to = account_at(to)
    with acting(account, dry_run) as (connection, signer):
        says = f"Gives licence {licence_id} of {signer.address} to {to}, for nothing. You lose it."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            connection.licences.transfer(signer, licence_id, to)
            review.done(f"held by {to}", licenceId=licence_id, holder=to)


@license.command()
def grant(
    licence_id: LicenceId,
    key: Annotated[
        Path, typer.Argument(help="file with the content key, wrapped for the holder; ≤ 1,024 bytes")
    ],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As the asset's owner: publish the key of a licence. The first time, its price becomes income."""
    try:
        wrapped = key.read_bytes()
    except OSError as error:
        raise UserError(f"{key} cannot be read", why=str(error)) from None
    with acting(account, dry_run) as (connection, signer):
        found = connection.licences.get(licence_id)
        says = (
            f"Publishes {len(wrapped)} bytes for good as the key of licence {licence_id}, readable by {found.holder} only if "
            f"they are wrapped for it. {show_open(found.held)} become income of asset {found.asset_id}."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            connection.licences.grant_key(signer, licence_id, wrapped)
            review.done("granted", licenceId=licence_id, released=str(found.held))


@license.command()
def refund(licence_id: LicenceId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Give back what waits for a key that was not granted in time; the asset's owner may at any time."""
    with acting(account, dry_run) as (connection, signer):
        found = connection.licences.get(licence_id)
        says = f"Gives {show_open(found.held)} back to {found.payer} and ends licence {licence_id}."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            amount = connection.licences.refund(signer, licence_id)
            review.done(
                f"{show_open(amount)} back to {found.payer}",
                licenceId=licence_id,
                payer=found.payer,
                amount=str(amount),
            )


def _state(found: Licence, now: int) -> str:
    if found.grant_by is not None:
        return (
            f"key awaited until {when(found.grant_by)}" if now <= found.grant_by else "no key came: refund it"
        )
    if found.expires_at is None:
        return "in force, for ever"
    return f"{'in force until' if found.in_force(now) else 'expired'} {when(found.expires_at)}"


def _fields(found: Licence) -> dict[str, Any]:
    return {
        "licenceId": found.licence_id,
        "offerId": found.offer_id,
        "assetId": found.asset_id,
        "holder": found.holder,
        "expiresAt": found.expires_at,
        "grantBy": found.grant_by,
        "held": str(found.held),
    }
