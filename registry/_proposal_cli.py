"""``openledger gov propose|vote|queue|execute|cancel|list|show``: proposals, from the idea to the effect."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contracts import parse_open, reviewed, show_open
from ..errors import UserError
from ._connect import Connection
from ._gov_cli import gov
from ._governance import Governance
from ._proposals import Call, parse_parameter
from ._votes import Proposal, ProposalState, Standing, Support
from .commands import As, DryRun, Json, acting, console, when

__all__ = ["gov"]

ProposalId = Annotated[str, typer.Argument(help="the proposal's id, or its number in `gov list`")]
Several = list[str] | None


@gov.command()
def propose(
    why: Annotated[str, typer.Argument(help="why: the description voters read, kept as content too")],
    set_: Annotated[
        Several, typer.Option("--set", help="PARAMETER=VALUE: 5d, 12h, 5%, OPEN or a number")
    ] = None,
    pay: Annotated[Several, typer.Option(help="ADDRESS=OPEN from the treasury")] = None,
    pay_agent: Annotated[Several, typer.Option(help="AGENT_ID=OPEN, to its owner at that time")] = None,
    pay_asset: Annotated[Several, typer.Option(help="ASSET_ID=OPEN, to its owner at that time")] = None,
    grant: Annotated[Several, typer.Option(help="ADDRESS=OPEN:DAYS, vesting evenly")] = None,
    stop: Annotated[list[int] | None, typer.Option(help="a grant's number: stop it")] = None,
    contract: Annotated[Several, typer.Option(help="NAME=ADDRESS: its next version in the directory")] = None,
    guardian: Annotated[str | None, typer.Option(help="ADDRESS; zero dismisses")] = None,
    resume_intake: Annotated[bool, typer.Option(help="end a pause of the guardian's")] = False,
    simulate: Annotated[bool, typer.Option(help="refuse what would fail if executed now")] = True,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Propose changes; all of one proposal happen together or not at all. Options may be repeated."""
    with acting(account, dry_run) as (connection, signer):
        governance = connection.governance
        cid = connection.store.put(why.encode(), "raw")
        calls = [_set(governance, given) for given in set_ or ()]
        calls += [governance.pay(to, parse_open(n), cid) for to, n in map(_pair, pay or ())]
        calls += [
            governance.pay_agent(_number(who), parse_open(n), cid) for who, n in map(_pair, pay_agent or ())
        ]
        calls += [
            governance.pay_asset(_number(who), parse_open(n), cid) for who, n in map(_pair, pay_asset or ())
        ]
        calls += [_grant(governance, given, cid) for given in grant or ()]
        calls += [governance.stop_grant(number, cid) for number in stop or ()]
        calls += [governance.set_contract(*_pair(given)) for given in contract or ()]
        calls += [governance.set_guardian(guardian)] if guardian is not None else []
        calls += [governance.resume_intake()] if resume_intake else []
        effects = governance.explain(calls)
        says = (
            f"Proposes, as {signer.address}, to {'; to '.join(effects)}. Moves nothing now: it takes a vote and the "
            "timelock, two weeks at least."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            made = governance.propose(signer, calls, why, simulate=simulate)
            review.done(f"proposal {made}", proposal=str(made), effects=effects, reason=cid)


@gov.command()
def vote(
    proposal: ProposalId,
    support: Annotated[str, typer.Argument(help="for, against or abstain")],
    reason: Annotated[str, typer.Option(help="why, for all to read")] = "",
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Vote on a proposal, once, with what was delegated to you when voting opened."""
    try:
        choice = Support[support.upper()]
    except KeyError:
        raise UserError(f"{support!r} is no vote", fix="vote for, against or abstain") from None
    with acting(account, dry_run) as (connection, signer):
        governance = connection.governance
        found = _find(governance, proposal)
        effects = "; to ".join(governance.explain(found))
        says = f"Votes {choice.name} the proposal to {effects}. A vote cannot be changed. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            counted = governance.vote(signer, found.id, choice, reason)
            review.done(
                f"{show_open(counted)} of votes {choice.name}", proposal=str(found.id), votes=str(counted)
            )


@gov.command()
def queue(proposal: ProposalId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Put a proposal that won into the timelock. Anyone may."""
    with acting(account, dry_run) as (connection, signer):
        found = _find(connection.governance, proposal)
        says = "Queues a proposal that was accepted; its delay begins. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            due = connection.governance.queue(signer, found.id)
            review.done(f"executable from {when(due)}", proposal=str(found.id), executable=due)


@gov.command()
def execute(proposal: ProposalId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Carry a proposal out once its delay is over. Anyone may."""
    with acting(account, dry_run) as (connection, signer):
        governance = connection.governance
        found = _find(governance, proposal)
        effects = governance.explain(found)
        says = f"Lets the timelock {'; then '.join(effects)}."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            governance.execute(signer, found.id)
            review.done("executed", proposal=str(found.id), effects=effects)


@gov.command()
def cancel(proposal: ProposalId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Take your own proposal back, before voting opens."""
    with acting(account, dry_run) as (connection, signer):
        found = _find(connection.governance, proposal)
        with reviewed(
            connection.contracts, "Cancels a proposal, for good.", dry_run=dry_run, as_json=as_json
        ) as review:
            connection.governance.cancel(signer, found.id)
            review.done("canceled", proposal=str(found.id))


@gov.command("list")
def list_proposals(as_json: Json = False) -> None:
    """List all proposals, oldest first."""
    with Connection.open() as connection:
        governance = connection.governance
        found = [(one, governance.standing(one.id)) for one in governance.proposals()]
        if as_json:
            print(json.dumps([_json(one, standing, governance) for one, standing in found], indent=1))
            return
        table = Table("no.", "state", "for", "against", "abstain", "quorum", "what")
        for number, (one, standing) in enumerate(found, 1):
            votes = (standing.in_favour, standing.against, standing.abstaining, standing.quorum)
            shown = [f"{wei / 1e18:,.0f}" for wei in votes]
            effects = "; ".join(governance.explain(one))
            table.add_row(str(number), standing.state.name.lower(), *shown, effects)
        console.print(table)


@gov.command()
def show(proposal: ProposalId, as_json: Json = False) -> None:
    """Show a proposal: what it does in plain words, why, and how the vote stands."""
    with Connection.open() as connection:
        governance = connection.governance
        found = _find(governance, proposal)
        standing = governance.standing(found.id)
        if as_json:
            print(json.dumps(_json(found, standing, governance), indent=1))
            return
        console.print(f"proposal {found.id}\nby {found.proposer}\n{found.description}\n")
        for number, effect in enumerate(governance.explain(found), 1):
            console.print(f"{number}. {effect}")
        console.print(
            f"\n{standing.state.name.lower()}: votes from {when(found.opens)} to {when(found.closes)}"
        )
        console.print(
            f"for {standing.in_favour / 1e18:,.0f}, against {standing.against / 1e18:,.0f}, abstaining "
            f"{standing.abstaining / 1e18:,.0f}; quorum {standing.quorum / 1e18:,.0f} OPEN"
        )
        if standing.state == ProposalState.QUEUED:
            console.print(f"executable from {when(standing.executable)}")


def _find(governance: Governance, text: str) -> Proposal:
    number = _number(text)
    found = governance.proposals()
    if 0 < number <= len(found):
        return found[number - 1]
    for one in found:
        if one.id == number:
            return one
    raise UserError(f"there is no proposal {text}", fix="`openledger gov list` names them")


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise UserError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def _number(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"{text!r} is no number")
    return int(text)


def _set(governance: Governance, text: str) -> Call:
    name, value = _pair(text)
    return governance.set_parameter(name, parse_parameter(governance.parameter(name), value))


def _grant(governance: Governance, text: str, cid: str) -> Call:
    account, terms = _pair(text)
    amount, _, days = terms.partition(":")
    return governance.grant(account, parse_open(amount), _number(days) * 86_400, cid)


def _json(one: Proposal, standing: Standing, governance: Governance) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "proposer": one.proposer,
        "description": one.description,
        "effects": governance.explain(one),
        "calls": [
            {"target": call.target, "value": str(call.value), "data": "0x" + call.data.hex()}
            for call in one.calls
        ],
        "state": standing.state.name.lower(),
        "votesFrom": one.opens,
        "votesTo": one.closes,
        "for": str(standing.in_favour),
        "against": str(standing.against),
        "abstaining": str(standing.abstaining),
        "quorum": str(standing.quorum),
        "executable": standing.executable,
    }
