"""``openledger run`` and ``openledger show``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

__all__ = ["add_to"]

console = Console(highlight=False)


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.command()(run)
    app.command()(show)


def run(
    agent: Annotated[str, typer.Argument(help="FILE.py:NAME or package.module:NAME")],
    value: Annotated[str, typer.Argument(help="the input: text, or JSON if it begins with { or [")],
) -> None:
    """Run an agent here, without a chain, and record the action."""
    from ..agents import load_agent
    from ..errors import ExecutionError, UserError
    from ..registry import ModelCallStep, Status
    from ._local import run as run_local

    given: Any = value
    if value.lstrip().startswith(("{", "[")):
        try:
            given = json.loads(value)
        except ValueError as error:
            raise UserError(
                "the input is not JSON", why=str(error), fix="quote it, or give plain text"
            ) from error
    with Progress(transient=True) as progress:

        def bar(what: str) -> Any:
            task = progress.add_task(what, total=None, visible=False)
            return lambda done, total, _loss: progress.update(task, completed=done, total=total, visible=True)

        done = run_local(load_agent(agent), given, progress=bar)
    table = Table("step", "node", "what", "tokens")
    for number, step in enumerate(done.outcome.steps):
        if isinstance(step, ModelCallStep):
            table.add_row(
                str(number), step.node, f"model call on {step.content}", str(len(step.output_tokens))
            )
        else:
            table.add_row(str(number), "", getattr(step, "name", type(step).__name__), "")
    console.print(table)
    if done.explanation is not None:
        for line in done.explanation.lines:
            console.print(f"  “{line.text}” ← {line.source.row} by {line.source.contributor}")
    console.print(f"record {done.cid} (local: bound to no chain)")
    if done.outcome.status is Status.FAILED:
        raise ExecutionError("the agent's graph failed", why=str(done.output["error"]), record=done.cid)
    console.print(
        done.output if isinstance(done.output, str) else json.dumps(done.output, indent=1, default=str)
    )


def show(cid: Annotated[str, typer.Argument(help="CID of an action's record")]) -> None:
    """Show what is behind a record: request, steps, answer, and who was paid for it."""
    from ..registry import (
        ActionContent,
        ModelCallStep,
        SignedRecord,
        SubActionStep,
        decode_step,
        normalise_cid,
        open_store,
    )

    store = open_store()
    cid = normalise_cid(cid)
    signed = SignedRecord.decode(store.get(cid), cid)
    content = ActionContent.decode(signed.content, store.get)
    record = signed.record
    table = Table(
        "field", "value", title=f"{content.agent}: action {record.nonce} of agent {record.agent_id}"
    )
    table.add_row("status", record.status.name)
    table.add_row("request", json.dumps(content.request, default=str))
    table.add_row("output", json.dumps(content.output, default=str))
    table.add_row("client", record.client)
    table.add_row("fee", f"{record.fee} wei")
    table.add_row("manifest", content.manifest)
    for number, cid_of_step in enumerate(content.steps):
        step = decode_step(cid_of_step, store.get)
        what = ""
        if isinstance(step, ModelCallStep):
            what = f"asset {step.asset_id}, {len(step.output_tokens)} tokens"
        elif isinstance(step, SubActionStep):
            what = f"receipt {step.receipt}"
        table.add_row(f"step {number}", f"{type(step).__name__} {what} {cid_of_step}")
    if isinstance(content.scores, dict):
        for account, amount, reason, _ in content.scores.get("payouts", []):
            table.add_row(reason, f"{amount} wei to {account}")
    console.print(table)
