"""``openledger delegate add|cancel|exit|withdraw|show|reward|commission|income``: stake behind somebody else's agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Table

from ..contracts import Review, parse_open, reviewed, show_open
from ..registry import Connection, Ledger
from ..registry.commands import AgentId, Amount, As, DryRun, Json, account_at, acting, console, when
from . import _delegation as pools

__all__ = ["delegate"]

delegate = typer.Typer(no_args_is_help=True, help="Put OPEN behind somebody else's agent, and take it back.")

Operator = Annotated[
    str | None, typer.Option(help="whose pool; default the agent's owner, a former one after a sale")
]


@contextmanager
def _reviewed(
    account: int | None, says: str, dry_run: bool, as_json: bool
) -> Iterator[tuple[Ledger, Review]]:
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        yield connection.as_(signer), review


@delegate.command()
def add(
    agent_id: AgentId,
    amount: Amount,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Delegate OPEN to the agent's operator."""
    wei = parse_open(amount)
    says = (
        f"Puts {show_open(wei)} behind agent {agent_id}. From the next boundary it shares the agent's rewards, and "
        "part of it can be slashed for the operator's faults, after the operator's own stake. "
        "To have it back you ask, then wait for the withdrawal delay."
    )
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        active = pools.delegate(ledger, agent_id, wei)
        review.done(f"delegated; active from {when(active)}", amount=str(wei), activeAt=active)


@delegate.command()
def cancel(
    agent_id: AgentId,
    operator: Operator = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Take back at once what you delegated and is not active yet."""
    says = f"Takes back what you delegated to agent {agent_id} and is not active yet. Costs gas only."
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        paid = pools.cancel_delegation(ledger, agent_id, _account(operator))
        review.done(f"given back: {show_open(paid)}", paid=str(paid))


@delegate.command("exit")
def leave(
    agent_id: AgentId,
    amount: Annotated[str | None, typer.Argument(help="OPEN, e.g. 0.5; default all that is active")] = None,
    operator: Operator = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Ask back what you delegated; it is paid by `openledger delegate withdraw` after the withdrawal delay."""
    wei = None if amount is None else parse_open(amount)
    what = "everything active that" if wei is None else f"{show_open(wei)} of what"
    says = (
        f"Asks back {what} you delegated to agent {agent_id}. It earns nothing from now on, and can be slashed until it is "
        "paid."
    )
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        asked, ready = pools.undelegate(ledger, agent_id, wei, _account(operator))
        told = f"{show_open(asked)} asked back; `openledger delegate withdraw {agent_id}` from {when(ready)}"
        review.done(told, amount=str(asked), readyAt=ready)


@delegate.command()
def withdraw(
    agent_id: AgentId,
    operator: Operator = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Pay out what you asked back, where its delay is over."""
    says = (
        f"Pays you what you asked back from agent {agent_id} and is ready, less what slashes took meanwhile."
    )
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        paid = pools.withdraw_delegation(ledger, agent_id, _account(operator))
        review.done(f"withdrawn: {show_open(paid)}", paid=str(paid))


@delegate.command()
def reward(
    agent_id: AgentId,
    amount: Amount,
    operator: Operator = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Share OPEN among those who delegate to the agent."""
    wei = parse_open(amount)
    says = (
        f"Gives {show_open(wei)} away: the commission to the operator of agent {agent_id}, the rest to active delegations, "
        "all of it to the operator where there are none."
    )
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        shared, kept = pools.add_reward(ledger, agent_id, wei, _account(operator))
        told = f"{show_open(shared)} to delegators, {show_open(kept)} to the operator"
        review.done(told, toDelegators=str(shared), toOperator=str(kept))


@delegate.command()
def commission(
    agent_id: AgentId,
    bps: Annotated[int, typer.Argument(min=0, max=10_000, help="basis points of rewards")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As the operator: set your part of the rewards. An increase waits for the withdrawal delay."""
    says = (
        f"Sets your commission of rewards to delegators of agent {agent_id} to {bps / 100:g} %. A decrease holds at once, an "
        "increase after the withdrawal delay, unless nobody delegates. Moves nothing."
    )
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        at = pools.set_commission(ledger, agent_id, bps)
        review.done(f"{bps / 100:g} % from {when(at)}", commission=bps, effectiveAt=at)


@delegate.command()
def income(agent_id: AgentId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """As the operator: pay out your commissions."""
    says = f"Pays you your commissions of agent {agent_id}. Costs gas only."
    with _reviewed(account, says, dry_run, as_json) as (ledger, review):
        paid = pools.claim_income(ledger, agent_id)
        review.done(f"paid: {show_open(paid)}", paid=str(paid))


@delegate.command()
def show(agent_id: AgentId, operator: Operator = None, account: As = None, as_json: Json = False) -> None:
    """Show the pool of delegations to an agent, and your part of it."""
    with Connection.open() as connection:
        who = str(connection.signer_for(account).address)
        pool = pools.delegation_pool(connection.ledger, agent_id, _account(operator))
        mine = pools.delegation(connection.ledger, agent_id, who, pool.operator)
    if as_json:
        fields = {
            "operator": pool.operator,
            "active": str(pool.active),
            "exiting": str(pool.exiting),
            "pending": str(pool.pending),
            "activatesAt": pool.activates_at,
            "commission": pool.commission,
            "nextCommission": pool.next_commission,
            "commissionAt": pool.commission_at,
            "income": str(pool.income),
            "delegator": mine.delegator,
            "worth": str(mine.worth),
            "shares": str(mine.shares),
            "yourPending": str(mine.pending),
            "exits": [{"worth": str(one.worth), "readyAt": one.ready_at} for one in mine.exits],
        }
        print(json.dumps(fields, indent=1))
        return
    table = Table("", "all", "you", title=f"delegations to agent {agent_id} of {pool.operator}")
    table.add_row("active", show_open(pool.active), show_open(mine.worth))
    since = f", active from {when(pool.activates_at)}" if pool.pending else ""
    table.add_row("pending", show_open(pool.pending) + since, show_open(mine.pending))
    asked = "; ".join(f"{show_open(one.worth)} from {when(one.ready_at)}" for one in mine.exits)
    table.add_row("asked back", show_open(pool.exiting), asked or "none")
    later = (
        f", {pool.next_commission / 100:g} % from {when(pool.commission_at)}" if pool.commission_at else ""
    )
    table.add_row("commission", f"{pool.commission / 100:g} %{later}", "")
    table.add_row("unclaimed commissions", show_open(pool.income), "")
    console.print(table)


def _account(operator: str | None) -> str | None:
    return None if operator is None else account_at(operator)
