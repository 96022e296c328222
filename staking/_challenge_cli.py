"""``openledger challenge|enforce|respond``: find a fault and bring it, slash for silence, answer what is demanded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..contracts import reviewed, show_open
from ..errors import ChallengeError, UserError
from ..registry import Connection, Ledger
from ..registry.commands import As, DryRun, Json, acting, console
from ._calibrate_cli import tolerances_at
from ._finding import Demand, Finding
from ._question_cli import dispute_shares
from ._responder import Answer

if TYPE_CHECKING:
    from ._influence import Trainer

__all__ = ["add_to"]

_DEVNET_CHALLENGER = 6


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    for command in (challenge, enforce, respond):
        app.command()(command)


def challenge(
    context: typer.Context,
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
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Find out what is wrong with an action, or with a broken ticket, and bring it before the Disputes contract.

    What can be proved is slashed at once; what the operator has to show is demanded; anything else is replayed and,
    if it is at fault, challenged before the jury.

    On the embedded devnet its jurors vote at once, on one engine, and the clock is moved to the ruling.
    Elsewhere the dispute is opened; jurors vote in their own time, then `openledger resolve ID`.
    """
    from ..registry import KeptTicket
    from ._demands import require_store
    from ._search import find_fault

    if (cid is None) == (ticket is None):
        raise UserError("there is nothing to look at", fix="give the CID of a record, or --ticket FILE")
    if account is None and _embedded():
        account = _DEVNET_CHALLENGER
    with acting(account, dry_run) as (connection, signer):
        ledger = connection.as_(signer)
        subject = KeptTicket.load(ticket) if ticket is not None else cid or ""
        with console.status("looking for a fault"):
            found = find_fault(subject, store=connection.store, ledger=ledger, against=against)
            if found is not None and found.fault == "DataWithheld":
                require_store(connection.store)
        if found is not None:
            _bring(connection, ledger, found, as_json=as_json, dry_run=dry_run)
        elif cid is not None:
            leaf = (step, token) if anyway else None
            _before_jury(connection, ledger, cid, leaf, context.obj, as_json=as_json, dry_run=dry_run)
        else:
            raise ChallengeError(
                "there is nothing to challenge", why="the ticket was kept, or refunded", fix="nothing"
            )


def _bring(connection: Connection, ledger: Ledger, found: Finding, *, as_json: bool, dry_run: bool) -> None:
    """A proof or a demand, explained before it is signed."""
    bond = found.bond(ledger)
    says = f"{found.fault} by agent {found.agent_id}: {found.why}. "
    if found.is_demand:
        says += (
            f"Demands an answer; the bond of {show_open(bond)} pays whoever gives one, else it comes back."
        )
    else:
        says += (
            "Proves it: the stake is slashed at once, and you get the challenger's share. It takes no bond."
        )
    with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
        outcome = found.bring(ledger)
        fields: dict[str, Any] = {"fault": found.fault, "agentId": found.agent_id, "why": found.why}
        if not found.is_demand:
            review.done(f"slashed: {show_open(outcome)}", **fields, slashed=str(outcome))
            return
        wait = 0 if dry_run else Demand.read(ledger, outcome).answer_by - ledger.now()
        review.done(
            f"demand {outcome}: unless it is answered in {wait} s, `openledger enforce {outcome}` slashes",
            **fields,
            demand=outcome,
        )


def _before_jury(
    connection: Connection,
    ledger: Ledger,
    cid: str,
    anyway: tuple[int, int] | None,
    trainer: Trainer | None,
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Replay, and accuse the token that deviates most; ``anyway`` is what to accuse when none does."""
    from ..openlora import Tolerances, replayer_for
    from ._challenge import build_evidence, open_challenge
    from ._devnet_jury import hold_jury
    from ._verify import Verdict
    from ._verify import verify as check

    replayer = replayer_for(connection)
    with console.status("replaying"):
        known = Tolerances(tolerances_at(connection.settings))
        report = check(cid, store=connection.store, ledger=ledger, replayer=replayer, tolerances=known)
    replay, small = report.replay, ""
    if replay is not None and report.step is not None and replay.evidence is not None:
        step, token = report.step, replay.evidence
        small = "" if replay.gross else " The deviation is small: one leaf alone will not convict."
    elif anyway is not None:
        step, token = anyway
    else:
        found = "what its batch pays was not checked: it is not anchored"
        if report.header is not None:
            told = dispute_shares(
                connection, ledger, report.header, trainer, as_json=as_json, dry_run=dry_run
            )
            if told is None:
                return
            found = told
        raise ChallengeError(
            "there is nothing to challenge",
            why=f"the record is {report.verdict}, and {found}",
            fix="add --anyway to challenge all the same; on an honest record you lose the bond",
        )
    evidence = build_evidence(cid, step, token, store=connection.store, ledger=ledger)
    _, bond = ledger.call(ledger.contracts.disputes.functions.bondFor(evidence.action.record.fee))
    says = (
        f"{report.summary}. Accuses token {token} of step {step} before a jury.{small} The bond of {show_open(bond)} is lost "
        "if the jury acquits; if it convicts, it comes back with the challenger's share of the slash."
    )
    with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
        opened = open_challenge(evidence, ledger)
    if dry_run:
        return
    fields = {"dispute": opened.id, "step": step, "token": token, "bond": str(bond)}
    if connection.devnet is None:
        review.done(
            f"dispute {opened.id}: jurors vote with `openledger vote {opened.id}`; then `openledger resolve {opened.id}`",
            **fields,
        )
        return
    paid_in = ledger.balance(ledger.address)
    with console.status("the devnet's jurors replay and vote (they share one engine)"):
        outcome = hold_jury(opened, connection, replayer)
    change = ledger.balance(ledger.address) - paid_in - int(bond)
    lost = report.verdict is Verdict.VERIFIED and not outcome.convicted
    review.done(
        f"dispute {opened.id}: {outcome.state}, {show_open(outcome.slashed)} slashed; you: {'+' if change > 0 else ''}{show_open(change)}"
        + ("\nthe record was honest, and the bond is lost" if lost else ""),
        **fields,
        state=outcome.state,
        slashed=str(outcome.slashed),
        change=str(change),
    )


def enforce(
    demand_id: Annotated[int, typer.Argument(min=1, help="the demand's number")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Slash for a demand that nobody answered in time; who demanded gets the challenger's share."""
    from ._finding import enforce as slash

    with acting(account, dry_run) as (connection, signer):
        ledger = connection.as_(signer)
        demand = Demand.read(ledger, demand_id)
        if demand.state == "None":
            raise ChallengeError(f"there is no demand {demand_id}", fix="check the number and the chain")
        says = (
            f"Slashes {demand.operator} for demand {demand_id} ({demand.fault}) of agent {demand.agent_id}."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            taken = slash(ledger, demand_id)
            review.done(f"slashed: {show_open(taken)}", demand=demand_id, slashed=str(taken))


def respond(
    agent_id: Annotated[
        list[int] | None, typer.Argument(help="agents; default those your stake answers for")
    ] = None,
    watch: Annotated[bool, typer.Option(help="go on until stopped; with --json, a line for each")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Answer every open demand against your agents from the content store and the chain; you earn the bonds.

    Nothing is kept between runs: stop and start it at any time.
    """
    from ._responder import Responder

    if watch and dry_run:
        raise UserError("--watch and --dry-run exclude each other", fix="try one round without --watch")
    says = "Answers the open demands against your agents. Each answer costs gas and earns the demand's bond."
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        responder = Responder(connection.as_(signer), connection.store, agent_id or None)
        if watch:
            responder.watch(_tell_json if as_json else _tell)
        answers = responder.respond()
        unmet = [one for one in answers if one.problem is not None]
        review.done(
            f"{len(answers) - len(unmet)} answered, {len(unmet)} without an answer",
            answered=[one.demand.demand_id for one in answers if one.problem is None],
            unanswered={one.demand.demand_id: one.problem for one in unmet},
        )
    if unmet:
        for one in () if as_json else unmet:
            _tell(one)
        raise typer.Exit(1)


def _told(answer: Answer) -> str:
    demand = answer.demand
    what = f"demand {demand.demand_id} ({demand.fault}) of agent {demand.agent_id}"
    return f"{what}: {answer.problem or f'answered, {show_open(answer.earned)} earned'}"


def _tell(answer: Answer) -> None:
    print(_told(answer), flush=True)


def _tell_json(answer: Answer) -> None:
    fields = {"demand": answer.demand.demand_id, "earned": str(answer.earned), "problem": answer.problem}
    print(json.dumps(fields), flush=True)


def _embedded() -> bool:
    from ..settings import get_settings

    settings = get_settings()
    return settings.rpc_url is None and settings.private_key is None
