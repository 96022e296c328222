"""``openledger agent purse``: the account that an agent pays other agents from."""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

import typer

from ..contracts import parse_open, reviewed, show_open, sign_authorization
from ..errors import UserError
from ..registry.commands import AgentId, As, DryRun, Json, acting, console

__all__ = ["add_to"]


def add_to(agent: typer.Typer) -> None:
    """Offer the command in the group ``agent``."""
    agent.command()(purse)


def purse(
    agent_id: AgentId,
    fund: Annotated[str, typer.Option(help="OPEN to send there")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="take all that it holds")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Show, fill or empty the account that an agent pays other agents from."""
    from ._purse import purse_account

    if fund and withdraw:
        raise UserError("--fund and --withdraw exclude each other")
    with acting(account, dry_run) as (connection, signer):
        ledger, token = connection.as_(signer), connection.contracts.token.functions
        paying: Any = purse_account(ledger, agent_id)
        held = ledger.balance(str(paying.address))
        if fund:
            wei = parse_open(fund)
            connection.agents.get(agent_id)  # that there is one
            says = f"Sends {fund} OPEN to {paying.address}, from which agent {agent_id} pays other agents."
            with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
                missing = wei - ledger.balance(ledger.address)
                if missing > 0:
                    ledger.wrap(missing)
                ledger.send(token.transfer(paying.address, wei))
                review.done(f"agent {agent_id} may spend {fund} OPEN more", account=str(paying.address))
        elif withdraw:
            if held == 0:
                raise UserError(f"the purse of agent {agent_id} is empty", fix="there is nothing to withdraw")
            signed = sign_authorization(
                connection.contracts.token_domain,
                paying,
                to=ledger.address,
                value=held,
                nonce=secrets.token_bytes(32),
                valid_before=ledger.now() + 3600,
            )
            says = f"Sends the {show_open(held)} of agent {agent_id}'s purse to {ledger.address}; it can call no others then."
            with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
                ledger.send(token.transferWithAuthorization(*signed.to_abi(), *signed.vrs))
                review.done(f"{show_open(held)} withdrawn", wei=str(held))
        elif as_json:
            print(json.dumps({"agentId": agent_id, "account": str(paying.address), "balance": str(held)}))
        else:
            console.print(f"{paying.address} holds {show_open(held)}")
