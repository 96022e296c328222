"""``openledger agent feedback|rate|revoke|reply|validations|validate|answer``: what others say (ERC-8004)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..contracts import reviewed, show_open
from ..errors import UserError
from ._agent_cli import agent
from ._connect import Connection
from ._reputation import Feedback, summarise
from ._validations import Validation
from .commands import AgentId, As, DryRun, Json, acting, console, document_at

__all__ = ["agent"]


@agent.command()
def feedback(
    agent_id: AgentId,
    client: Annotated[list[str] | None, typer.Option(help="only of this client; may be repeated")] = None,
    tag: Annotated[str, typer.Option(help="only with this first tag")] = "",
    revoked: Annotated[bool, typer.Option(help="also what was taken back")] = False,
    as_json: Json = False,
) -> None:
    """List feedback about an agent, and how much each client ever paid it."""
    with Connection.open() as connection:
        connection.agents.get(agent_id)
        found = connection.reputation.feedback(agent_id, clients=client or (), tag1=tag, revoked=revoked)
        paid = connection.reputation.paid(agent_id)
    if as_json:
        print(json.dumps([_feedback_json(one, paid.get(one.client, 0)) for one in found], indent=1))
        return
    table = Table("client", "no.", "value", "tags", "paid", "answers", "")
    for one in found:
        tags = ", ".join(filter(None, (one.tag1, one.tag2)))
        money = show_open(paid.get(one.client, 0))
        state = "revoked" if one.revoked else ""
        table.add_row(
            one.client, str(one.index), f"{one.number:f}", tags, money, str(len(one.responses)), state
        )
    console.print(table)
    payers = [one for one in found if paid.get(one.client)]
    for who, among in (("everybody, strangers included", found), ("clients who paid", payers)):
        summary = summarise(among)
        if summary.count and len({one.tag1 for one in among}) == 1:
            console.print(f"average over {who}: {summary.number:f} of {summary.count}")


def _feedback_json(one: Feedback, paid: int) -> dict[str, Any]:
    return {
        "client": one.client,
        "index": one.index,
        "value": str(one.value),
        "valueDecimals": one.decimals,
        "tag1": one.tag1,
        "tag2": one.tag2,
        "endpoint": one.endpoint,
        "feedbackURI": one.uri,
        "feedbackHash": "0x" + one.hash.hex(),
        "revoked": one.revoked,
        "responses": [
            {"responder": given.responder, "responseURI": given.uri, "responseHash": "0x" + given.hash.hex()}
            for given in one.responses
        ],
        "paid": str(paid),
        "block": one.block,
    }


@agent.command(context_settings={"ignore_unknown_options": True})
def rate(
    agent_id: AgentId,
    value: Annotated[str, typer.Argument(help="e.g. 87, 99.77 or -3.2; kept with the decimals as written")],
    tag1: Annotated[str, typer.Option(help="what is measured, e.g. starred, uptime")] = "",
    tag2: Annotated[str, typer.Option(help="a second tag")] = "",
    endpoint: Annotated[str, typer.Option(help="which endpoint it is about")] = "",
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Give feedback about an agent."""
    with acting(account, dry_run) as (connection, signer):
        says = (
            f"Publishes the feedback {value} about agent {agent_id}, given by {signer.address}. "
            "It can be revoked, never erased. Moves nothing."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            index = connection.reputation.give(
                signer, agent_id, value, tag1=tag1, tag2=tag2, endpoint=endpoint
            )
            review.done(f"feedback {index}", agentId=agent_id, client=str(signer.address), index=index)


@agent.command()
def revoke(
    agent_id: AgentId,
    index: Annotated[int, typer.Argument(min=1, help="the feedback's number")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Take your own feedback back; it stays readable."""
    with acting(account, dry_run) as (connection, signer):
        says = (
            f"Revokes feedback {index} of {signer.address} about agent {agent_id}, for good. Moves nothing."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            connection.reputation.revoke(signer, agent_id, index)
            review.done("revoked", agentId=agent_id, index=index)


@agent.command()
def reply(
    agent_id: AgentId,
    client: Annotated[str, typer.Argument(help="who gave the feedback")],
    index: Annotated[int, typer.Argument(min=1, help="the feedback's number")],
    text: Annotated[str, typer.Argument(help="the answer, for people")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Answer feedback, e.g. with a refund's transaction."""
    with acting(account, dry_run) as (connection, signer):
        says = f"Publishes an answer of {signer.address} to feedback {index} of {client}, for good. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            uri = connection.reputation.respond(signer, agent_id, client, index, {"text": text})
            review.done(f"answered: {uri}", agentId=agent_id, responseURI=uri)


# -- validations ----------------------------------------------------------------------------------


@agent.command()
def validations(agent_id: AgentId, as_json: Json = False) -> None:
    """List an agent's validations and the verdicts of disputes about it."""
    with Connection.open() as connection:
        connection.agents.get(agent_id)
        found = connection.validations.of_agent(agent_id)
    if as_json:
        print(json.dumps([_validation_json(one) for one in found], indent=1))
        return
    table = Table("validator", "request", "response", "tag", "evidence")
    for one in found:
        by = "Disputes" if one.verdict else one.validator
        response = "waiting" if one.response is None else str(one.response)
        evidence = one.response_uri if one.dispute is None else f"dispute {one.dispute}"
        table.add_row(by, "0x" + one.request_hash.hex(), response, one.tag, evidence)
    console.print(table)


def _validation_json(one: Validation) -> dict[str, Any]:
    return {
        "validator": one.validator,
        "agentId": one.agent_id,
        "requestHash": "0x" + one.request_hash.hex(),
        "key": "0x" + one.key.hex(),
        "requestURI": one.request_uri,
        "response": one.response,
        "responseURI": one.response_uri,
        "responseHash": "0x" + one.response_hash.hex(),
        "tag": one.tag,
        "verdict": one.verdict,
        "dispute": one.dispute,
        "block": one.block,
    }


@agent.command()
def validate(
    agent_id: AgentId,
    validator: Annotated[str, typer.Argument(help="address of the validator")],
    work: Annotated[
        Path, typer.Argument(help="JSON file with all that it needs, inputs and outputs included")
    ],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Ask a validator to check work of your agent."""
    document = document_at(work)
    with acting(account, dry_run) as (connection, signer):
        says = f"Asks {validator} to check work of agent {agent_id} and publishes {work.name}, for good. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            asked = connection.validations.request(signer, agent_id, validator, document)
            review.done(f"request 0x{asked.request_hash.hex()}", **_validation_json(asked))


@agent.command()
def answer(
    agent_id: AgentId,
    request_hash: Annotated[str, typer.Argument(help="as `openledger agent validations` lists it")],
    response: Annotated[int, typer.Argument(min=0, max=100, help="0 failed … 100 passed")],
    tag: Annotated[str, typer.Option(help="what kind of answer")] = "",
    report: Annotated[Path | None, typer.Option(help="JSON file with the evidence")] = None,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As a validator: answer a request. What was asked is checked against its hash first."""
    evidence = None if report is None else document_at(report)
    with acting(account, dry_run) as (connection, signer):
        asked = _hash(request_hash)
        connection.validations.work(connection.validations.get(str(signer.address), agent_id, asked))
        says = f"Publishes the validator {signer.address}'s answer {response} about agent {agent_id}. Moves nothing."
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            given = connection.validations.answer(signer, agent_id, asked, response, tag=tag, report=evidence)
            review.done(f"answered {response}", **_validation_json(given))


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 32:
        raise UserError(f"{text!r} is no hash", fix="write 0x and 64 hexadecimal digits")
    return found
