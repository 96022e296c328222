"""``openledger gateway key create|list|fund|withdraw|revoke``: prepaid API keys."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ...contracts import parse_open, reviewed, show_open
from ...errors import UserError
from ...registry import Connection
from ...registry.commands import Amount, As, DryRun, Json, acting, console

if TYPE_CHECKING:
    from ._keys import Key, Keys

__all__ = ["key"]

key = typer.Typer(no_args_is_help=True, help="Prepaid API keys, for clients that cannot pay per call.")

KeyId = Annotated[int, typer.Argument(min=1, help="the key's number")]


@key.command()
def create(
    name: Annotated[str, typer.Argument(help="whose it is")],
    cap: Annotated[str, typer.Option(help="OPEN it may spend in all, e.g. 5")],
    account: As = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is shown once; its account pays for its calls, so send OPEN there."""
    wei = parse_open(cap)
    with Connection.open() as connection, _keys(connection, connection.signer_for(account)) as keys:
        secret, made = keys.create(name, wei)
    if as_json:
        print(json.dumps(_shown(made) | {"key": secret}))
        return
    console.print(f"key {made.id}: {secret}\nIt is not shown again. It may spend {show_open(made.cap)}.")
    console.print(f"Its account is {made.payer}; `openledger gateway key fund {made.id} AMOUNT` fills it.")


@key.command("list")
def list_keys(account: As = None, as_json: Json = False) -> None:
    """Every key, what it spent and what its account holds."""
    with Connection.open() as connection, _keys(connection, connection.signer_for(account)) as keys:
        found = [(one, connection.ledger.balance(one.payer)) for one in keys.all()]
    if as_json:
        print(json.dumps([_shown(one) | {"balance": str(held)} for one, held in found]))
        return
    table = Table("key", "name", "spent", "cap", "holds", "account", "")
    for one, held in found:
        amounts = (show_open(amount) for amount in (one.spent, one.cap, held))
        table.add_row(str(one.id), one.name, *amounts, one.payer, "revoked" if one.revoked else "")
    console.print(table)


@key.command()
def revoke(number: KeyId, account: As = None, as_json: Json = False) -> None:
    """Refuse a key from now on. What its account holds stays there until it is withdrawn."""
    with Connection.open() as connection, _keys(connection, connection.signer_for(account)) as keys:
        gone = keys.revoke(number)
    console.print(json.dumps(_shown(gone)) if as_json else f"key {gone.id} is revoked")


@key.command()
def fund(
    number: KeyId, amount: Amount, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Send OPEN to a key's account."""
    wei = parse_open(amount)
    with acting(account, dry_run) as (connection, signer), _keys(connection, signer) as keys:
        one, ledger = keys.get(number), connection.as_(signer)
        says = f"Sends {amount} OPEN to {one.payer}, which pays for the calls made with key {one.id} ({one.name})."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            missing = wei - ledger.balance(ledger.address)
            if missing > 0:
                ledger.wrap(missing)
            ledger.send(connection.contracts.token.functions.transfer(one.payer, wei))
            review.done(f"key {one.id} has {amount} OPEN more", account=one.payer)


@key.command()
def withdraw(number: KeyId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Take all that a key's account holds."""
    from ...contracts import sign_authorization

    with acting(account, dry_run) as (connection, signer), _keys(connection, signer) as keys:
        one, ledger = keys.get(number), connection.as_(signer)
        held = ledger.balance(one.payer)
        if held == 0:
            raise UserError(f"the account of key {number} holds nothing", fix="there is nothing to withdraw")
        signed = sign_authorization(
            connection.contracts.token_domain,
            keys.payer(one),
            to=ledger.address,
            value=held,
            nonce=secrets.token_bytes(32),
            valid_before=ledger.now() + 3600,
        )
        says = f"Sends the {show_open(held)} of key {one.id} ({one.name}) to {ledger.address}; its calls fail from then on."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            call = connection.contracts.token.functions.transferWithAuthorization(
                *signed.to_abi(), *signed.vrs
            )
            ledger.send(call)
            review.done(f"{show_open(held)} withdrawn", wei=str(held))


@contextmanager
def _keys(connection: Connection, signer: Any) -> Iterator[Keys]:
    from ._keys import Keys

    keys = Keys.open(connection, signer)
    try:
        yield keys
    finally:
        keys.close()


def _shown(one: Key) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "account": one.payer, "cap": str(one.cap), "spent": str(one.spent),
            "revoked": one.revoked}  # fmt: skip
