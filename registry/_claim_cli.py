"""``openledger claim show|pay``: what anchored batches and credits owe."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ..contracts import reviewed, show_open
from ._claims import claim_due, dues
from ._connect import Connection
from .commands import As, DryRun, Json, acting, console, when

__all__ = ["claim"]

claim = typer.Typer(no_args_is_help=True, help="Payouts of anchored batches, and credits.")

Account = Annotated[str, typer.Argument(help="address that is owed")]
Agent = Annotated[int | None, typer.Option("--agent", min=1, help="payouts of this agent only")]


@claim.command()
def show(account: Account, agent: Agent = None, as_json: Json = False) -> None:
    """List what an account is owed: payouts by batch, and its credit."""
    with Connection.open() as connection:
        ledger = connection.ledger
        found = list(dues(ledger, connection.store, account, agent))
        credit, now = ledger.settlement.credit_of(account), ledger.now()
    if as_json:
        payouts = [
            {"agentId": one.header.agent_id, "firstNonce": one.header.first_nonce, "index": one.index,
             "wei": str(one.amount), "readyAt": one.ready_at}
            for one in found
        ]  # fmt: skip
        console.print_json(data={"account": account, "credit": str(credit), "payouts": payouts})
        return
    table = Table("agent", "nonces", "amount", "ready", title=f"owed to {account}")
    for one in found:
        header = one.header
        last = header.first_nonce + header.count - 1
        ready = "now" if one.ready_at <= now else when(one.ready_at)
        table.add_row(str(header.agent_id), f"{header.first_nonce}-{last}", show_open(one.amount), ready)
    table.add_section()
    table.add_row("credit", "", show_open(credit), "now" if credit else "")
    console.print(table)


@claim.command()
def pay(
    account: Account,
    agent: Agent = None,
    by: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Pay an account everything that is ready. Anyone may; the money goes to the account only."""
    says = (
        f"Claims every payout to {account} whose challenge window is over, and pays its credit out. One transaction a "
        "batch; they cost you gas and pay nobody else."
    )
    with (
        acting(by, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        ledger = connection.as_(signer)
        claimed = claim_due(ledger, list(dues(ledger, connection.store, account, agent)))
        credit = ledger.settlement.credit_of(account)
        if credit:
            ledger.settlement.withdraw_credit(account)
        review.done(
            f"claimed {show_open(claimed)}, paid {show_open(credit)} of credit",
            claimed=str(claimed),
            credit=str(credit),
        )
