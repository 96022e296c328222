"""``openledger vote|resolve|join|appeal|accuse|open-leaves|request-audit``: taking part in disputes that others may have
begun."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ..contracts import reviewed, show_open
from ..errors import ChallengeError
from ..registry.commands import AgentId, As, DryRun, Json, acting, console, when

__all__ = ["add_to"]

DisputeId = Annotated[int, typer.Argument(min=1, help="the dispute's id")]
Nonce = Annotated[int, typer.Argument(min=0, help="of any action in the batch")]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    for command in (vote, resolve, join, appeal, accuse, open_leaves):
        app.command()(command)
    app.command("request-audit")(ask_for_audit)


def vote(
    context: typer.Context,
    dispute_id: DisputeId,
    accept: Annotated[
        bool | None,
        typer.Option("--accept/--reject", help="of an appeal against curators: does the content belong?"),
    ] = None,
    unavailable: Annotated[
        bool, typer.Option(help="say that what is to be replayed cannot be had by anybody")
    ] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """As a drawn juror: replay the opened leaves, or recompute what is asked; commit the vote, or reveal it once all have
    committed."""
    from ..openlora import replayer_for
    from ._examine import examiners_for
    from ._juror import Juror

    with (
        acting(account, dry_run) as (connection, signer),
        _journal(connection.settings.home_dir / "votes", dry_run) as journal,
    ):
        examiners = examiners_for(connection, trainer=context.obj, accepted=accept)
        juror = Juror(connection.as_(signer), connection.store, replayer_for(connection), journal, examiners)
        if not juror.seated(dispute_id):
            raise ChallengeError(f"{juror.address} is not on the committee of dispute {dispute_id}")
        says = (
            f"Votes in dispute {dispute_id} with what replaying or recomputing gives: commits to it, or reveals what was "
            "committed. Who ends far from the ruling loses juror stake; who commits and does not reveal loses more."
        )
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            with console.status("replaying"):
                made, action = juror.act(dispute_id, unavailable=unavailable)
            review.done(
                f"{action}: {made}",
                dispute=dispute_id,
                round=made.round,
                action=action,
                **made.to_plain(),
            )


@contextmanager
def _journal(kept: Path, dry_run: bool) -> Iterator[Path]:
    """Where votes are kept before they are committed; a copy that is thrown away for a dry run."""
    if not dry_run:
        yield kept
        return
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / "votes"
        if kept.exists():
            shutil.copytree(kept, copy)
        yield copy


_DUE = {
    "Committed": "Ends dispute {} if its evidence was not shown in time: the bond is burned.",
    "Seeding": "Draws the leaves of dispute {} that are judged, or drops an audit that was not selected.",
    "Opening": "Ends the opening of dispute {}'s leaves; what nobody opened counts against the operator.",
    "Open": "Draws the committee of dispute {}, and with it the probe.",
    "Drawn": "Rules in dispute {} by the medians of the votes; too few votes are a new draw, then the end.",
    "Ruled": "Makes the ruling of dispute {} final: slashes or acquits, then pays and punishes the jurors.",
    "Convicted": "Pays and punishes the jurors of dispute {} that were not yet.",
    "Acquitted": "Pays and punishes the jurors of dispute {} that were not yet.",
}
"""What comes next, by the state of a dispute."""


def resolve(
    dispute_id: DisputeId, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Fix a batch's leaves or close them, draw the committee, rule, or make a ruling final: whichever is due."""
    from ._batches import BatchDispute

    with acting(account, dry_run) as (connection, signer):
        dispute = BatchDispute(connection.as_(signer), dispute_id)
        if (state := dispute.state) not in _DUE:
            why = "there is no such dispute" if state == "None" else f"it has ended: {state}"
            raise ChallengeError(f"nothing is due in dispute {dispute_id}", why=why, fix="check the id")
        says = _DUE[state].format(dispute_id)
        with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
            found = dispute.proceed()
            more: dict[str, object]
            if found == "Drawn":
                committee = dispute.committee
                told, more = f"drawn: {', '.join(committee)}", {"committee": committee}
            elif found == "Ruled":
                told = (
                    f"Ruled: final unless somebody appeals until {when(dispute.appeal_by)} by `openledger appeal {dispute_id}`; "
                    f"then `openledger resolve {dispute_id}`"
                )
                more = {"appealBy": dispute.appeal_by}
            else:
                outcome = dispute.outcome()
                told = found + (f": {show_open(outcome.slashed)} slashed" if outcome.convicted else "")
                more = {"slashed": str(outcome.slashed)}
            review.done(told, dispute=dispute_id, state=found, **more)


def join(
    dispute_id: DisputeId,
    cid: Annotated[str, typer.Argument(help="CID of the disputed action's record")],
    step: Annotated[int, typer.Option(min=0, help="the step to open")],
    token: Annotated[int, typer.Option(min=0, help="the token to open")],
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Accuse another leaf of an action that is before the jury, with a bond of your own, before the draw."""
    from ._challenge import Challenge, build_evidence

    says = (
        f"Accuses token {token} of step {step} in dispute {dispute_id}, with as much bond as the first accuser's. If "
        "that token convicts, you share the reward and have the bond back; otherwise the bond is lost."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        ledger = connection.as_(signer)
        evidence = build_evidence(cid, step, token, store=connection.store, ledger=ledger)
        bond = Challenge(ledger, dispute_id).join(evidence)
        review.done(f"joined dispute {dispute_id}; bond {show_open(bond)}", bond=str(bond))


def appeal(dispute_id: DisputeId, account: As = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Ask a larger committee about a ruling: 5 jurors, then 11, then 23."""
    from ._challenge import Challenge

    says = (
        f"Appeals from the ruling of dispute {dispute_id}. The bond comes back if the outcome differs from the ruling; "
        "otherwise it pays the larger committee and the other side."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        bond = Challenge(connection.as_(signer), dispute_id).appeal()
        review.done(f"appealed; bond {show_open(bond)}", bond=str(bond))


def accuse(
    agent_id: AgentId, nonce: Nonce, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Accuse the whole batch that holds an action: leaves are drawn across it and judged together."""
    from ._batches import challenge_batch, header_of

    says = (
        f"Accuses the batch with action {nonce} of agent {agent_id} of deviating more often than honest replay does. "
        "The bond is lost if the jury acquits."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        ledger = connection.as_(signer)
        dispute = challenge_batch(header_of(agent_id, nonce, ledger), ledger)
        review.done(
            f"dispute {dispute.id}; fix its leaves with `openledger resolve {dispute.id}`", dispute=dispute.id
        )


def ask_for_audit(
    agent_id: AgentId, nonce: Nonce, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Ask for a random audit of the batch that holds an action, paid from the audit fund."""
    from ._batches import header_of, request_audit

    says = (
        f"Asks for a random audit of the batch with action {nonce} of agent {agent_id}. It costs you only gas, pays you "
        "nothing, and takes place with the probability that the parameters set."
    )
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        ledger = connection.as_(signer)
        dispute = request_audit(header_of(agent_id, nonce, ledger), ledger)
        review.done(
            f"dispute {dispute.id}; see whether it takes place with `openledger resolve {dispute.id}`",
            dispute=dispute.id,
        )


def open_leaves(
    dispute_id: DisputeId, account: As = None, as_json: Json = False, dry_run: DryRun = False
) -> None:
    """Open the drawn leaves of a batch dispute from the content store; what nobody opens counts as deviating."""
    from ._batches import BatchDispute

    says = f"Opens every drawn leaf of dispute {dispute_id} that nobody has opened yet, one transaction each."
    with (
        acting(account, dry_run) as (connection, signer),
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        dispute = BatchDispute(connection.as_(signer), dispute_id)
        opened = dispute.open_leaves(dispute.header(), connection.store)
        review.done(f"opened {opened} leaves", opened=opened)
