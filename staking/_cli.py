"""Verify, challenge, vote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..errors import ChallengeError, UserError
from ..registry import Connection
from ._delegate_cli import delegate
from ._stake_cli import jury, stake

__all__ = ["add_to"]

console = Console(highlight=False, soft_wrap=True)

Cid = Annotated[str, typer.Argument(help="CID of an action's record, as printed in its receipt")]
As = Annotated[
    int | None, typer.Option("--as", min=0, max=19, help="act as this account of the embedded devnet")
]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    for command in (verify, challenge, vote, resolve, appeal, actions, audit):
        app.command()(command)
    app.command("join")(join_dispute)
    app.add_typer(stake, name="stake")
    app.add_typer(jury, name="jury")
    app.add_typer(delegate, name="delegate")


@contextmanager
def connected(account: int | None = None) -> Iterator[tuple[Connection, Any]]:
    """A connection and the ledger of whoever acts."""
    with Connection.open() as connection:
        if account is None:
            yield connection, connection.ledger
            return
        if connection.devnet is None:
            raise UserError(
                "--as works on the embedded devnet only", fix="set OPENLEDGER_PRIVATE_KEY instead"
            )
        yield connection, connection.as_(connection.devnet.accounts[account])


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
    cid: Cid,
    anyway: Annotated[bool, typer.Option(help="challenge although replay found nothing wrong")] = False,
    step: Annotated[int, typer.Option(min=0, help="with --anyway: the step to open")] = 0,
    token: Annotated[int, typer.Option(min=0, help="with --anyway: the token to open")] = 0,
    account: As = None,
) -> None:
    """Replay an action and, if it is at fault, challenge it before the jury.

    On the embedded devnet its jurors vote at once, on one engine, and the clock is moved to the ruling.
    Elsewhere the dispute is opened; jurors vote in their own time, then `openledger resolve ID`.
    """
    from ..openlora import replayer_for
    from ._challenge import build_evidence, open_challenge
    from ._devnet_jury import hold_jury
    from ._verify import Verdict
    from ._verify import verify as check

    with connected(6 if account is None and _embedded() else account) as (connection, ledger):
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
        console.print(
            f"{outcome.state}: {outcome.slashed / 1e18:g} OPEN slashed; you: {change / 1e18:+g} OPEN"
        )
        if report.verdict is Verdict.VERIFIED and not outcome.convicted:
            console.print("the record was honest, and the bond is lost")


def _embedded() -> bool:
    from ..settings import get_settings

    settings = get_settings()
    return settings.rpc_url is None and settings.private_key is None


def join_dispute(
    dispute_id: Annotated[int, typer.Argument(min=1)],
    cid: Cid,
    step: Annotated[int, typer.Option(min=0, help="the step to open")],
    token: Annotated[int, typer.Option(min=0, help="the token to open")],
    account: As = None,
) -> None:
    """Accuse another leaf of an action that is before the jury, with a bond of your own, before the draw.

    The committee judges every leaf. Leaves that convict share the accuser's reward; the bonds of others are lost.
    """
    from ._challenge import Challenge, build_evidence

    with connected(account) as (connection, ledger):
        evidence = build_evidence(cid, step, token, store=connection.store, ledger=ledger)
        before = ledger.balance(ledger.address)
        Challenge(ledger, dispute_id).join(evidence)
        bond = before - ledger.balance(ledger.address)
        console.print(f"joined dispute {dispute_id}: step {step}, token {token}; bond {bond / 1e18:g} OPEN")


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
    """Draw the committee, rule, or make a ruling final and pay its jurors: whichever is due."""
    from ._challenge import Challenge

    with connected(account) as (_, ledger):
        dispute = Challenge(ledger, dispute_id)
        if dispute.state == "Open":
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


def appeal(dispute_id: Annotated[int, typer.Argument(min=1)], account: As = None) -> None:
    """Ask a larger committee about a ruling: 5 jurors, then 11, then 23."""
    from ._challenge import Challenge

    with connected(account) as (_, ledger):
        bond = Challenge(ledger, dispute_id).appeal()
        console.print(f"appealed; bond {bond / 1e18:g} OPEN, yours again if the outcome differs")


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
