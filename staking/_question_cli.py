"""``openledger payouts``: what a batch had to pay, and what a jury found it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..contracts import reviewed, show_open
from ..errors import ChallengeError, ContentError, UserError
from ..registry.commands import AgentId, As, DryRun, Json, acting, console

if TYPE_CHECKING:
    from ..registry import BatchHeader, Connection, Ledger
    from ._influence import Trainer
    from ._shares import Payouts

__all__ = ["add_to", "dispute_shares", "recomputed"]


def add_to(app: typer.Typer) -> None:
    """Offer the commands."""
    app.command()(payouts)


def payouts(
    context: typer.Context,
    agent_id: AgentId,
    nonce: Annotated[int, typer.Argument(min=0, help="of any action in the batch")],
    claim: Annotated[bool, typer.Option(help="show what the jury found, and pay what is left of it")] = False,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Recompute what a batch had to pay from its records; exit 4 when it was anchored with other payouts.

    After a jury found other payouts, --claim shows them and has them paid.
    """
    from ._batches import header_of
    from ._questions import claim_found

    with acting(account, dry_run) as (connection, signer):
        ledger = connection.as_(signer)
        header = header_of(agent_id, nonce, ledger)
        with console.status("recomputing"):
            found = recomputed(connection, ledger, header, context.obj)
        differ = found.differ_from(header)
        if claim:
            says = "Pays the payouts that a jury found a batch had to pay, after showing them. It costs you only gas."
            with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
                paid = claim_found(header, found, ledger)
                review.done(f"paid {show_open(paid)}", paid=str(paid))
            return
        state = ledger.settlement.claims_state(header)
        if as_json:
            lines = [[payout.account, str(payout.amount)] for payout in found.payouts]
            console.print_json(data={"differ": differ, "claims": state, "payouts": lines})
        else:
            table = Table("account", "OPEN")
            for payout in found.payouts:
                table.add_row(payout.account, f"{payout.amount / 1e18:.6f}")
            console.print(table)
            console.print(f"anchored payouts {'differ' if differ else 'are the same'}; claims: {state}")
    if differ:
        raise typer.Exit(4)


def recomputed(
    connection: Connection, ledger: Ledger, header: BatchHeader, trainer: Trainer | None
) -> Payouts:
    """The payouts of a batch, from the connection's chain and store."""
    from ._examine import recompute_for

    return recompute_for(connection, ledger, trainer)(header)


def dispute_shares(
    connection: Connection,
    ledger: Ledger,
    header: BatchHeader,
    trainer: Trainer | None,
    *,
    as_json: bool,
    dry_run: bool,
) -> str | None:
    """Bring a batch's payouts before a jury if they are not what its records make; else say why there is nothing to
    bring. What cannot be recomputed is not called right."""
    from ._devnet_jury import hold_jury
    from ._examine import examiners_for
    from ._questions import challenge_shares

    if header.payout_count == 0:
        return "its batch pays nothing"
    try:
        if not recomputed(connection, ledger, header, trainer).differ_from(header):
            return "its batch pays what its records make"
    except (ChallengeError, ContentError, UserError) as error:
        return f"what its batch pays could not be checked ({error})"
    says = (
        f"The payouts of the batch from nonce {header.first_nonce} are not what rule and manifest make of its records. "
        "Brings them before a jury; nothing of the batch can be claimed meanwhile. The bond is lost if the jury acquits."
    )
    with reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review:
        opened = challenge_shares(header, ledger)
    if dry_run:
        return None
    fields: dict[str, Any] = {"fault": "WrongShares", "dispute": opened.id}
    if connection.devnet is None:
        review.done(f"dispute {opened.id}: jurors vote with `openledger vote {opened.id}`", **fields)
        return None
    with console.status("the devnet's jurors recompute and vote"):
        outcome = hold_jury(opened, connection, _no_engine, examiners_for(connection, trainer=trainer))
    after = f"; pay what it found: `openledger payouts {header.agent_id} {header.first_nonce} --claim`"
    review.done(
        f"dispute {opened.id}: {outcome.state}, {show_open(outcome.slashed)} slashed"
        + (after if outcome.convicted else ""),
        **fields,
        state=outcome.state,
        slashed=str(outcome.slashed),
    )
    return None


def _no_engine(base: object) -> Any:
    raise ChallengeError(f"payouts need no engine, but one over {base} was asked for")
