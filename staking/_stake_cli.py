"""``openledger stake add|exit|withdraw|show`` and ``openledger jury join|leave|withdraw``."""

from __future__ import annotations

import typer
from rich.table import Table

from ..contracts import parse_open, reviewed, show_open
from ..registry import Connection
from ..registry.commands import AgentId, Amount, As, DryRun, Json, acting, console, when

__all__ = ["jury", "stake"]

stake = typer.Typer(no_args_is_help=True, help="Self-stake of agents: what answers for their records.")
jury = typer.Typer(no_args_is_help=True, help="Join or leave the jury pool.")


@stake.command()
def add(
    agent_id: AgentId, amount: Amount, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Add OPEN to an agent's stake."""
    from ._stake import stake as deposit

    says = (
        f"Stakes {amount} OPEN behind agent {agent_id}, for its owner. It can be asked back at any time, is paid after "
        "the withdrawal delay, and is lost as far as the agent's records are proved false until then."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        after = deposit(connection.as_(signer), agent_id, parse_open(amount))
        review.done(f"stake of agent {agent_id}: {show_open(after)}", stake=str(after))


@stake.command("exit")
def ask_back(
    agent_id: AgentId, amount: Amount, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Ask stake back; it stays slashable until it is withdrawn."""
    from ._stake import unstake

    says = (
        f"Asks {amount} OPEN of the stake behind agent {agent_id} back. From now on it backs no new action; it stays "
        "slashable until it is withdrawn."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        ready = unstake(connection.as_(signer), agent_id, parse_open(amount))
        review.done(
            f"withdraw it from {when(ready)} with `openledger stake withdraw {agent_id}`", readyAt=ready
        )


@stake.command()
def withdraw(agent_id: AgentId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Pay out the stake that is ready."""
    from ._stake import withdraw as pay

    says = f"Pays out what you asked back of the stake behind agent {agent_id} and is ready."
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        paid = pay(connection.as_(signer), agent_id)
        review.done(f"withdrawn: {show_open(paid)}", paid=str(paid))


@stake.command()
def show(agent_id: AgentId, as_json: Json = False) -> None:
    """Show what backs an agent, what leaves, what disputes claim, and what may still be anchored."""
    from ._stake import position

    with Connection.open() as connection:
        found = position(connection.ledger, agent_id)
    if as_json:
        console.print_json(data=found.to_json())
        return
    table = Table("stake", "amount", title=f"agent {agent_id}, operator {found.operator}")
    for name, amount in found.amounts().items():
        table.add_row(name, show_open(amount))
    for exit_ in found.exits:
        table.add_row(f"exit ready {when(exit_.ready_at)}", show_open(exit_.amount))
    console.print(table)


@jury.command()
def join(amount: Amount, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Stake OPEN as a juror."""
    from ._stake import join_jury

    says = (
        f"Stakes {amount} OPEN as a juror. Drawn jurors that vote wrongly or keep silent lose part of it; who votes "
        "with the final ruling is paid."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        after = join_jury(connection.as_(signer), parse_open(amount))
        review.done(f"juror stake: {show_open(after)}", stake=str(after))


@jury.command()
def leave(account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Leave the jury pool; the stake is paid after the delay."""
    from ._stake import leave_jury

    says = (
        "Leaves the jury pool: no more draws from now on; the stake stays liable and is paid after the delay."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        leave_jury(connection.as_(signer))
        review.done("left; the stake stays liable until the delay is over")


@jury.command("withdraw")
def withdraw_juror(account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Pay out the stake of a juror who has left, once the delay is over."""
    from ._stake import withdraw_jury

    says = "Pays out your stake as a juror who has left."
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        paid = withdraw_jury(connection.as_(signer))
        review.done(f"withdrawn: {show_open(paid)}", paid=str(paid))
