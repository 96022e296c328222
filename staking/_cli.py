"""Verify, challenge, vote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..errors import ChallengeError, UserError
from ..registry import Connection
from ..registry.commands import As, DryRun, Json, console
from . import _dispute_cli as dispute_cli
from ._delegate_cli import delegate
from ._finding import Demand, Finding
from ._stake_cli import jury, stake

__all__ = ["add_to"]

Cid = Annotated[str, typer.Argument(help="CID of an action's record, as printed in its receipt")]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    for command in (verify, challenge, respond, enforce, vote, resolve, actions, audit):
        app.command()(command)
    dispute_cli.add_to(app)
    app.add_typer(stake, name="stake")
    app.add_typer(jury, name="jury")
    app.add_typer(delegate, name="delegate")


@contextmanager
def connected(account: int | None = None) -> Iterator[tuple[Connection, Any]]:
    """A connection and the ledger of whoever acts."""
    with Connection.open() as connection:
        ledger = connection.ledger if account is None else connection.as_(connection.signer_for(account))
        yield connection, ledger


def verify(cid: Cid) -> None:
    """Verify an action from its CID: content, signature, anchor, manifest, seed, and every token by replay."""
    from ..openlora import replayer_for
    from ._verify import Verdict
    from ._verify import verify as check

    with connected() as (connection, ledger):
        with console.status("fetching and replaying"):
            report = check(cid, store=connection.store, ledger=ledger, replayer=replayer_for(connection))
        table = Table("check", "verdict", "found")
        for one in report.checks:
            table.add_row(one.name, str(one.verdict), one.found)
        console.print(table)
        console.print(report.summary)
    if report.verdict is not Verdict.VERIFIED:
        raise typer.Exit(4 if report.verdict is Verdict.MISMATCH else 3)


def challenge(
    cid: Annotated[
        str | None, typer.Argument(help="CID of an action's record, as printed in its receipt")
    ] = None,
    anyway: Annotated[bool, typer.Option(help="challenge although replay found nothing wrong")] = False,
    step: Annotated[int, typer.Option(min=0, help="with --anyway: the step to open")] = 0,
    token: Annotated[int, typer.Option(min=0, help="with --anyway: the token to open")] = 0,
    against: Annotated[
        str | None, typer.Option(help="CID of another record signed with the same nonce")
    ] = None,
    ticket: Annotated[
        Path | None, typer.Option(help="a ticket that was not kept, as a client's file", dir_okay=False)
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    account: As = None,
) -> None:
    """Find out what is wrong with an action, or with a broken ticket, and bring it before the Disputes contract.

    What can be proved is slashed at once; what the operator has to show is demanded; anything else is replayed and,
    if it is at fault, challenged before the jury.

    On the embedded devnet its jurors vote at once, on one engine, and the clock is moved to the ruling.
    Elsewhere the dispute is opened; jurors vote in their own time, then `openledger resolve ID`.
    """
    from ..registry import KeptTicket
    from ._search import find_fault

    if (cid is None) == (ticket is None):
        raise UserError("there is nothing to look at", fix="give the CID of a record, or --ticket FILE")
    with connected(6 if account is None and _embedded() else account) as (connection, ledger):
        subject = KeptTicket.load(ticket) if ticket is not None else cid or ""
        with console.status("looking for a fault"):
            found = find_fault(subject, store=connection.store, ledger=ledger, against=against)
        if found is not None:
            _bring(connection, ledger, found, as_json=as_json, dry_run=dry_run)
        elif cid is None:
            raise ChallengeError(
                "there is nothing to challenge", why="the ticket was kept, or refunded", fix="nothing"
            )
        elif dry_run or as_json:
            raise ChallengeError(
                "no proof and no demand applies",
                why="what is left to find is in the tokens",
                fix=f"replay them with `openledger verify {cid}`; challenge without --dry-run and --json",
            )
        else:
            _before_jury(connection, ledger, cid, anyway, step, token)


def _bring(connection: Connection, ledger: Any, found: Finding, *, as_json: bool, dry_run: bool) -> None:
    """A proof or a demand, explained before it is signed."""
    from ..contracts import reviewed

    bond = found.bond(ledger)
    says = f"{found.fault} by agent {found.agent_id}: {found.why}. "
    if found.is_demand:
        says += (
            f"Demands an answer; the bond of {bond / 1e18:g} OPEN pays whoever gives one, else it comes back."
        )
    else:
        says += (
            "Proves it: the stake is slashed at once, and you get the challenger's share. It takes no bond."
        )
    with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
        outcome = found.bring(ledger)
        fields: dict[str, Any] = {"fault": found.fault, "agentId": found.agent_id, "why": found.why}
        if not found.is_demand:
            review.done(f"slashed: {outcome / 1e18:g} OPEN", **fields, slashed=str(outcome))
            return
        wait = 0 if dry_run else Demand.read(ledger, outcome).answer_by - ledger.now()
        review.done(
            f"demand {outcome}: unless it is answered in {wait} s, `openledger enforce {outcome}` slashes",
            **fields,
            demand=outcome,
        )


def _before_jury(connection: Connection, ledger: Any, cid: str, anyway: bool, step: int, token: int) -> None:
    from ..openlora import replayer_for
    from ._challenge import build_evidence, open_challenge
    from ._devnet_jury import hold_jury
    from ._verify import Verdict
    from ._verify import verify as check

    replayer = replayer_for(connection)
    with console.status("replaying"):
        report = check(cid, store=connection.store, ledger=ledger, replayer=replayer)
    console.print(report.summary)
    if report.replay is not None and report.step is not None and report.replay.evidence is not None:
        step, token = report.step, report.replay.evidence
        if not report.replay.gross:
            console.print("the deviation is small: one leaf alone will not convict")
    elif not anyway:
        raise ChallengeError(
            "there is nothing to challenge",
            why=f"the record is {report.verdict}",
            fix="add --anyway to challenge all the same; on an honest record you lose the bond",
        )
    before = ledger.balance(ledger.address)
    evidence = build_evidence(cid, step, token, store=connection.store, ledger=ledger)
    opened = open_challenge(evidence, ledger)
    bond = before - ledger.balance(ledger.address)
    console.print(f"dispute {opened.id}: step {step}, token {token}; bond {bond / 1e18:g} OPEN")
    if connection.devnet is None:
        console.print(
            f"jurors vote with `openledger vote {opened.id}`; then `openledger resolve {opened.id}`"
        )
        return
    with console.status("the devnet's jurors replay and vote (they share one engine)"):
        outcome = hold_jury(opened, connection, replayer)
    change = ledger.balance(ledger.address) - before
    console.print(f"{outcome.state}: {outcome.slashed / 1e18:g} OPEN slashed; you: {change / 1e18:+g} OPEN")
    if report.verdict is Verdict.VERIFIED and not outcome.convicted:
        console.print("the record was honest, and the bond is lost")


def enforce(
    demand_id: Annotated[int, typer.Argument(min=1)],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Slash for a demand that nobody answered in time; who demanded gets the challenger's share."""
    from ..contracts import reviewed
    from ._finding import enforce as slash

    with connected(account) as (connection, ledger):
        demand = Demand.read(ledger, demand_id)
        says = (
            f"Slashes {demand.operator} for demand {demand_id} ({demand.fault}) of agent {demand.agent_id}."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            taken = slash(ledger, demand_id)
            review.done(f"slashed: {taken / 1e18:g} OPEN", demand=demand_id, slashed=str(taken))


def respond(
    agent_id: Annotated[
        list[int] | None, typer.Argument(help="agents; default those your stake answers for")
    ] = None,
    watch: Annotated[bool, typer.Option(help="go on until stopped")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Answer every open demand against your agents from the content store and the chain; you earn the bonds.

    Nothing is kept between runs: stop and start it at any time.
    """
    from ..contracts import reviewed
    from ._responder import Answer, Responder

    def tell(answer: Answer) -> None:
        what = f"demand {answer.demand.demand_id} ({answer.demand.fault}) of agent {answer.demand.agent_id}"
        console.print(f"{what}: {answer.problem or f'answered, {answer.earned / 1e18:g} OPEN earned'}")

    with connected(account) as (connection, ledger):
        responder = Responder(ledger, connection.store, agent_id or None)
        if watch:
            responder.watch(tell)
        says = (
            "Answers the open demands against your agents. Each answer costs gas and earns the demand's bond."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            answers = responder.respond()
            unmet = [one for one in answers if one.problem is not None]
            review.done(
                f"{len(answers) - len(unmet)} answered, {len(unmet)} without an answer",
                answered=[one.demand.demand_id for one in answers if one.problem is None],
                unanswered={one.demand.demand_id: one.problem for one in unmet},
            )
        for one in unmet:
            tell(one)
    if unmet:
        raise typer.Exit(1)


def _embedded() -> bool:
    from ..settings import get_settings

    settings = get_settings()
    return settings.rpc_url is None and settings.private_key is None


def vote(dispute_id: Annotated[int, typer.Argument(min=1)], account: As = None) -> None:
    """As a drawn juror: replay the opened leaves; commit the vote, or reveal it once all have committed."""
    from ..openlora import replayer_for
    from ._juror import Juror

    with connected(account) as (connection, ledger):
        journal = connection.settings.home_dir / "votes"
        juror = Juror(ledger, connection.store, replayer_for(connection), journal)
        if not juror.seated(dispute_id):
            raise ChallengeError(f"{juror.address} is not on the committee of dispute {dispute_id}")
        with console.status("replaying"):
            made, action = juror.act(dispute_id)
        leaves = ", ".join(f"{logprob / 1e4:.4f}" for logprob in made.token_logprobs)
        console.print(f"{action}: {leaves} nat, probe {made.probe_logprob / 1e4:.4f} nat")


def resolve(dispute_id: Annotated[int, typer.Argument(min=1)], account: As = None) -> None:
    """Fix a batch's leaves or close them, draw the committee, rule, or make a ruling final: whichever is due."""
    from ._batches import BatchDispute

    with connected(account) as (_, ledger):
        dispute = BatchDispute(ledger, dispute_id)
        if dispute.state == "Seeding":
            console.print(dispute.draw_leaves())
        elif dispute.state == "Opening":
            console.print(dispute.close_leaves())
        elif dispute.state == "Open":
            dispute.draw()
            console.print(f"drawn: {', '.join(dispute.committee)}")
        else:
            state = dispute.resolve().state
            console.print(state)
            if state == "Ruled":
                console.print(
                    f"final unless somebody appeals in {dispute.appeal_by - ledger.now()} s: "
                    f"`openledger appeal {dispute_id}`, then `openledger resolve {dispute_id}`"
                )


def actions(agent_id: Annotated[int | None, typer.Argument(help="one agent; default all")] = None) -> None:
    """List the anchored actions with the CIDs of their records."""
    from ._audit import actions as anchored

    with connected() as (connection, ledger):
        for agent, nonce, cid in anchored(ledger, connection.store, agent_id):
            console.print(f"agent {agent}  nonce {nonce}  {cid}")


def audit(
    agent_id: Annotated[int | None, typer.Argument(help="one agent; default all")] = None,
    sample: Annotated[int, typer.Option(min=1, help="actions to replay")] = 10,
) -> None:
    """Replay a random sample of the anchored actions that can still be challenged."""
    from ..openlora import replayer_for
    from ._audit import audit as look

    with connected() as (connection, ledger):
        table = Table("agent", "nonce", "verdict", "record")
        with console.status("replaying"):
            found = look(ledger, connection.store, replayer_for(connection), sample=sample, agent_id=agent_id)
        for header, nonce, report in found:
            table.add_row(str(header.agent_id), str(nonce), report.summary[:80], report.cid)
        console.print(table)
