"""``openledger agent register|describe|show|wallet|consent``: identities (ERC-8004)."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contracts import reviewed, show_open
from ..errors import ContentError, UserError
from ._agents import WalletConsent
from ._connect import Connection
from .commands import AgentId, As, DryRun, Json, acting, console, document_at

__all__ = ["agent"]

agent = typer.Typer(no_args_is_help=True, help="Agents: identity, wallet, feedback, validations (ERC-8004).")

Name = Annotated[str, typer.Argument(help="what people call the agent")]
Description = Annotated[str, typer.Argument(help="what it does, for people")]
Service = Annotated[
    list[str] | None, typer.Option(help="NAME=ENDPOINT, e.g. web=https://agent.example; may be repeated")
]
Image = Annotated[str, typer.Option(help="URI of a picture")]
X402 = Annotated[bool, typer.Option(help="whether it takes x402 payments")]


def _services(given: list[str] | None) -> list[dict[str, str]]:
    services = []
    for one in given or []:
        name, _, endpoint = one.partition("=")
        if not name or not endpoint:
            raise UserError(
                f"{one!r} is no service", fix="write NAME=ENDPOINT, e.g. web=https://agent.example"
            )
        services.append({"name": name, "endpoint": endpoint})
    return services


@agent.command()
def register(
    name: Name,
    description: Description,
    service: Service = None,
    image: Image = "",
    x402: X402 = True,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Register an agent: an ERC-721 token, and a public registration file."""
    services = _services(service)
    with acting(account, dry_run) as (connection, signer):
        says = (
            f"Registers the agent {name!r}, owned by {signer.address}, and publishes its registration file. "
            "Two transactions; they cost gas and move nothing else."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            agent_id = connection.agents.register(
                signer, name, description, image=image, services=services, x402=x402
            )
            review.done(f"agent {agent_id}", agentId=agent_id)


@agent.command()
def describe(
    agent_id: AgentId,
    name: Name,
    description: Description,
    service: Service = None,
    image: Image = "",
    x402: X402 = True,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Replace an agent's registration file."""
    services = _services(service)
    with acting(account, dry_run) as (connection, signer):
        says = f"Replaces the public registration file of agent {agent_id}. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            cid = connection.agents.describe(
                signer, agent_id, name, description, image=image, services=services, x402=x402
            )
            review.done(f"registration file {cid}", agentId=agent_id, cid=cid)


@agent.command()
def show(agent_id: AgentId, as_json: Json = False) -> None:
    """Show an agent: owner, wallet, escrow, registration file, epoch, reputation."""
    with Connection.open() as connection:
        found = connection.agents.get(agent_id)
        feedback = connection.reputation.feedback(agent_id)
        validations = connection.validations.of_agent(agent_id)
        named = found.is_named_in_file(connection.agents.registry)
        epoch = tariff = None
        with suppress(UserError, ContentError):  # none was opened, or its manifest is not to be had
            epoch = connection.agents.current_epoch(agent_id)
            tariff = connection.agents.manifest(epoch).tariff
    verdicts = sum(one.verdict for one in validations)
    if as_json:
        fields = {
            "agentId": agent_id,
            "agentRegistry": connection.agents.registry,
            "owner": found.owner,
            "wallet": found.wallet,
            "escrow": found.escrow,
            "agentURI": found.uri,
            "registration": found.registration,
            "namedInFile": named,
            "epoch": None if epoch is None else epoch.number,
            "recordKey": None if epoch is None else epoch.record_key,
            "manifest": None if epoch is None else epoch.manifest,
            "tariff": None if tariff is None else tariff.to_json(),
            "feedback": len(feedback),
            "validations": len(validations) - verdicts,
            "verdicts": verdicts,
        }
        print(json.dumps(fields, indent=1))
        return
    file = found.registration
    table = Table("field", "value", title=f"agent {agent_id}" + (f": {file.get('name')}" if file else ""))
    table.add_row("owner", found.owner)
    table.add_row("wallet", found.wallet if int(found.wallet, 16) else "none")
    table.add_row("escrow", found.escrow)
    table.add_row("registration file", found.uri or "none")
    if file is None:
        table.add_row("", "not in the content store")
    else:
        table.add_row(
            "", "names this agent" if named else "does not name this agent: perhaps another's, copied"
        )
        table.add_row("description", str(file.get("description", "")))
        for one in file.get("services") or []:
            table.add_row("service", f"{one.get('name')}: {one.get('endpoint')}")
    table.add_row("epoch", "none opened" if epoch is None else f"{epoch.number}, manifest {epoch.manifest}")
    if tariff is not None:
        by = f"{show_open(tariff.prompt)} a prompt token, {show_open(tariff.output)} an output token"
        table.add_row("tariff", f"{show_open(tariff.base)} an action, {by}")
    table.add_row("feedback", str(len(feedback)))
    table.add_row("validations", f"{len(validations) - verdicts}, and {verdicts} verdicts of disputes")
    console.print(table)


@agent.command()
def wallet(
    agent_id: AgentId,
    consent: Annotated[
        Path | None, typer.Option(help="set the wallet that made this file by `openledger agent consent`")
    ] = None,
    unset: Annotated[bool, typer.Option(help="leave the agent without a wallet")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Show, set or unset the wallet an agent acts with."""
    with acting(account, dry_run) as (connection, signer):
        agents, contracts = connection.agents, connection.contracts
        if consent is None and not unset:
            found = agents.get(agent_id).wallet
            print(json.dumps({"agentId": agent_id, "wallet": found}) if as_json else found)
            return
        if consent is not None and unset:
            raise UserError("--consent and --unset exclude each other")
        if consent is None:
            says = f"Leaves agent {agent_id} without a wallet. Moves nothing."
            with reviewed(contracts, says, dry_run=dry_run, as_json=as_json) as review:
                agents.unset_wallet(signer, agent_id)
                review.done("no wallet", agentId=agent_id, wallet=None)
            return
        given, signature = _consent(document_at(consent), consent)
        if given.agent_id != agent_id:
            raise UserError(f"{consent} is for agent {given.agent_id}")
        says = f"Makes {given.new_wallet} the wallet of agent {agent_id}: payments may be sent to it. Moves nothing now."
        with reviewed(contracts, says, dry_run=dry_run, as_json=as_json) as review:
            agents.set_wallet(signer, given, signature)
            review.done(f"wallet {given.new_wallet}", agentId=agent_id, wallet=given.new_wallet)


def _consent(document: dict[str, Any], path: Path) -> tuple[WalletConsent, bytes]:
    try:
        given = WalletConsent(
            int(document["agentId"]),
            str(document["newWallet"]),
            str(document["owner"]),
            int(document["deadline"]),
        )
        return given, bytes.fromhex(str(document["signature"]).removeprefix("0x"))
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is no consent", why=str(error), fix="make it by `openledger agent consent`"
        ) from None


@agent.command()
def consent(agent_id: AgentId, account: As = None) -> None:
    """As the new wallet: sign the consent to act for an agent. Print it as JSON, for `agent wallet --consent`."""
    with Connection.open() as connection:
        signer = connection.signer_for(account)
        given, signature = connection.agents.wallet_consent(signer, agent_id)
        print(json.dumps(given.to_json() | {"signature": "0x" + signature.hex()}, indent=1))
