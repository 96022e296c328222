"""``openledger asset register|version|tombstone|show|lineage|income``: datanets, models, adapters, apps."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contracts import parse_open, reviewed, show_open
from ..errors import UserError
from ._assets import Asset, AssetKind
from ._cid import normalise_cid
from ._connect import Connection
from .commands import As, AssetId, DryRun, Json, acting, console, when

__all__ = ["asset"]

asset = typer.Typer(no_args_is_help=True, help="Assets: datanets, models, adapters, apps, and their income.")

Cid = Annotated[str, typer.Argument(help="CID of the content, already in the content store")]


class Kind(StrEnum):
    """An asset's kind, as typed."""

    DATANET = "datanet"
    MODEL = "model"
    ADAPTER = "adapter"
    APP = "app"


@asset.command()
def register(
    kind: Annotated[Kind, typer.Argument(help="what it is")],
    cid: Cid,
    parent: Annotated[
        list[int] | None, typer.Option(min=1, help="id of an asset it was made from; may be repeated")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX expression, e.g. CC-BY-4.0")] = "",
    royalty: Annotated[
        int, typer.Option(min=0, max=10_000, help="basis points it asks of its children's income")
    ] = 0,
    uri: Annotated[str, typer.Option(help="where people read about it; default ipfs://CID")] = "",
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Register content as an asset: an ERC-721 token with versions and lineage."""
    cid = normalise_cid(cid)
    with acting(account, dry_run) as (connection, signer):
        made_from = f", made from {', '.join(map(str, parent))}" if parent else ""
        says = (
            f"Registers {cid} as a {kind} of {signer.address}{made_from}. Parents and royalty can never be changed. "
            "Costs gas and moves nothing else."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            asset_id = connection.assets.register(
                signer,
                AssetKind[kind.name],
                cid,
                parents=parent or (),
                licence=licence,
                royalty_bps=royalty,
                uri=uri,
            )
            review.done(f"asset {asset_id}", assetId=asset_id)


@asset.command()
def version(
    asset_id: AssetId, cid: Cid, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Make other content the latest version of an asset; earlier versions stay valid."""
    cid = normalise_cid(cid)
    with acting(account, dry_run) as (connection, signer):
        says = f"Makes {cid} the latest version of asset {asset_id}. Earlier versions stay. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            number = connection.assets.add_version(signer, asset_id, cid)
            review.done(f"version {number}", assetId=asset_id, version=number)


@asset.command()
def tombstone(asset_id: AssetId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Revoke an asset for good: it is never served or licensed again."""
    with acting(account, dry_run) as (connection, signer):
        says = (
            f"Revokes asset {asset_id} for good: nobody serves it from now on, no version or licence is added. "
            "This cannot be undone. Licences sold stay valid, income stays due."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            connection.assets.tombstone(signer, asset_id)
            review.done("revoked", assetId=asset_id)


@asset.command()
def show(asset_id: AssetId, as_json: Json = False) -> None:
    """Show an asset: owner, content, version, licence, royalty, parents, income."""
    with Connection.open() as connection:
        found = connection.assets.get(asset_id)
        revoked = connection.assets.tombstoned_at(asset_id)
        income = connection.income.due(asset_id)
        offers = connection.licences.offers(asset_id)
    if as_json:
        more = {
            "tombstonedAt": revoked,
            "income": str(income),
            "offers": [offer.offer_id for offer in offers],
        }
        print(json.dumps(_fields(found) | more, indent=1))
        return
    table = Table("field", "value", title=f"asset {asset_id}: {found.kind.name.lower()}")
    table.add_row("owner", found.owner)
    table.add_row("content", f"{found.cid} (version {found.version})")
    table.add_row("licence", found.licence or "none named")
    table.add_row("royalty", f"{found.royalty_bps / 100:g} % of its children's income")
    table.add_row("parents", ", ".join(map(str, found.parents)) or "none")
    table.add_row("URI", found.uri)
    table.add_row("in force", "yes" if revoked is None else f"revoked {when(revoked)}")
    table.add_row("income to distribute", show_open(income))
    table.add_row("licences offered", ", ".join(f"offer {o.offer_id}" for o in offers if o.open) or "none")
    console.print(table)


@asset.command()
def lineage(asset_id: AssetId, as_json: Json = False) -> None:
    """List an asset and everything it was made from, nearest first."""
    with Connection.open() as connection:
        found = connection.assets.lineage(asset_id)
    if as_json:
        print(json.dumps([_fields(one) for one in found], indent=1))
        return
    table = Table("asset", "kind", "owner", "parents", "royalty", "content", "")
    for one in found:
        table.add_row(
            str(one.asset_id),
            one.kind.name.lower(),
            one.owner,
            ", ".join(map(str, one.parents)),
            f"{one.royalty_bps / 100:g} %",
            one.cid,
            "revoked" if one.revoked else "",
        )
    console.print(table)


@asset.command()
def income(
    asset_id: AssetId,
    pay: Annotated[str | None, typer.Option(help="add this much OPEN of your own, e.g. 0.5")] = None,
    distribute: Annotated[
        bool, typer.Option(help="pay it on: to the owner, and along the lineage to every ancestor's owner")
    ] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Show what an asset earned and how it would be split; with options, pay it or distribute it."""
    if pay is not None and distribute:
        raise UserError("--pay and --distribute exclude each other", fix="pay first, then distribute")
    if pay is None and not distribute:
        _show_income(asset_id, as_json)
        return
    with acting(account, dry_run) as (connection, signer):
        contracts = connection.contracts
        connection.assets.get(asset_id)
        if pay is not None:
            amount = parse_open(pay)
            says = (
                f"Pays {show_open(amount)} of {signer.address} to the income of asset {asset_id}. "
                "It cannot be taken back."
            )
            with reviewed(contracts, says, dry_run=dry_run, as_json=as_json) as review:
                connection.income.pay(signer, asset_id, amount)
                review.done(f"paid {show_open(amount)}", assetId=asset_id, amount=str(amount))
            return
        says = (
            f"Pays the income of asset {asset_id} to its owner and along its lineage. Moves nothing of yours: "
            "anyone may send this."
        )
        with reviewed(contracts, says, dry_run=dry_run, as_json=as_json) as review:
            paid = connection.income.distribute(signer, asset_id)
            text = "\n".join(f"{owner}: {show_open(amount)}" for owner, amount in paid.items())
            fields = {owner: str(amount) for owner, amount in paid.items()}
            review.done(text or "nothing was due", assetId=asset_id, paid=fields)


def _show_income(asset_id: int, as_json: bool) -> None:
    with Connection.open() as connection:
        connection.assets.get(asset_id)
        due = connection.income.due(asset_id)
        to_owner, to_parents = connection.income.split(asset_id, due)
        history = connection.income.history(asset_id)
    if as_json:
        fields: dict[str, Any] = {
            "assetId": asset_id,
            "income": str(due),
            "toOwner": str(to_owner),
            "toParents": {str(parent): str(part) for parent, part in to_parents.items()},
            "history": [
                {"kind": line.kind, "amount": str(line.amount), "other": line.other, "block": line.block}
                for line in history
            ],
        }
        print(json.dumps(fields, indent=1))
        return
    table = Table("what", "amount", "with", "block", title=f"income of asset {asset_id}")
    for line in history:
        other = line.other if isinstance(line.other, str) else f"asset {line.other}"
        table.add_row(line.kind, show_open(line.amount), other, str(line.block))
    console.print(table)
    console.print(f"to distribute: {show_open(due)}")
    if due:
        console.print(f"  to the owner: {show_open(to_owner)}")
        for parent, part in to_parents.items():
            console.print(f"  to asset {parent}: {show_open(part)}")


def _fields(found: Asset) -> dict[str, Any]:
    return {
        "assetId": found.asset_id,
        "kind": found.kind.name.lower(),
        "owner": found.owner,
        "cid": found.cid,
        "version": found.version,
        "revoked": found.revoked,
        "licence": found.licence,
        "royaltyBps": found.royalty_bps,
        "parents": list(found.parents),
        "uri": found.uri,
    }
