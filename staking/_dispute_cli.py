"""``openledger join|appeal|accuse|request-audit|open-leaves``: taking part in disputes that others may have begun."""

from __future__ import annotations

from typing import Annotated

import typer

from ..contracts import reviewed
from ..registry.commands import AgentId, As, DryRun, Json, acting

__all__ = ["add_to"]

DisputeId = Annotated[int, typer.Argument(min=1, help="the dispute's id")]
Nonce = Annotated[int, typer.Argument(min=0, help="of any action in the batch")]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.command()(join)
    app.command()(appeal)
    app.command()(accuse)
    app.command()(open_leaves)
    app.command("request-audit")(ask_for_audit)


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
        review.done(f"joined dispute {dispute_id}; bond {bond / 1e18:g} OPEN", bond=str(bond))


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
        review.done(f"appealed; bond {bond / 1e18:g} OPEN", bond=str(bond))


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
