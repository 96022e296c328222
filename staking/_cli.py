"""``openledger verify|actions|audit sample``, and the commands of this folder's other modules."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from ..registry import Connection
from ..registry.commands import console
from . import _challenge_cli as challenge_cli
from . import _dispute_cli as dispute_cli
from . import _question_cli as question_cli
from . import _serve_cli as serve_cli
from ._attribution_cli import attribution
from ._calibrate_cli import calibrate, tolerances_at
from ._delegate_cli import delegate
from ._stake_cli import jury, stake

__all__ = ["add_to"]


class _Defaulting(TyperGroup):
    """A group with a command that needs no name."""

    default = ""

    def complete(self, words: list[str]) -> list[str]:
        """``words`` with the name that was left out."""
        named = words and (words[0] in self.commands or words[0] == "--help")
        return words if named else [self.default, *words]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.complete(args))


class _Verify(_Defaulting):
    """``verify CID`` beside ``verify calibrate``."""

    default = "record"


class _Audit(_Defaulting):
    """``audit`` samples, beside ``audit serve``."""

    default = "sample"


verify = typer.Typer(cls=_Verify, help="Verify an action from its CID (`openledger verify CID`).")
audit = typer.Typer(cls=_Audit, help="Check anchored actions at random: once, or unattended.")


def add_to(app: typer.Typer) -> None:
    """Offer the commands; those that recompute find a :class:`Trainer` as the object of their context."""
    app.add_typer(verify, name="verify")
    challenge_cli.add_to(app)
    dispute_cli.add_to(app)
    question_cli.add_to(app)
    app.command()(actions)
    app.add_typer(attribution, name="attribution")
    serve_cli.add_to(audit, jury)
    app.add_typer(audit, name="audit")
    app.add_typer(stake, name="stake")
    app.add_typer(jury, name="jury")
    app.add_typer(delegate, name="delegate")


@verify.command()
def record(
    cid: Annotated[str, typer.Argument(help="CID of an action's record, as printed in its receipt")],
) -> None:
    """Verify an action from its CID: content, signature, anchor, manifest, seed, and every token by replay."""
    from ..openlora import Tolerances, replayer_for
    from ._verify import Verdict
    from ._verify import verify as check

    with Connection.open() as connection:
        with console.status("fetching and replaying"):
            report = check(
                cid,
                store=connection.store,
                ledger=connection.ledger,
                replayer=replayer_for(connection),
                tolerances=Tolerances(tolerances_at(connection.settings)),
            )
        table = Table("check", "verdict", "found")
        for one in report.checks:
            table.add_row(one.name, str(one.verdict), one.found)
        console.print(table)
        console.print(report.summary)
    if report.verdict is not Verdict.VERIFIED:
        raise typer.Exit(4 if report.verdict is Verdict.MISMATCH else 3)


verify.command()(calibrate)


def actions(agent_id: Annotated[int | None, typer.Argument(help="one agent; default all")] = None) -> None:
    """List the anchored actions with the CIDs of their records."""
    from ._audit import actions as anchored

    with Connection.open() as connection:
        for agent, nonce, cid in anchored(connection.ledger, connection.store, agent_id):
            console.print(f"agent {agent}  nonce {nonce}  {cid}")


@audit.command()
def sample(
    agent_id: Annotated[int | None, typer.Argument(help="one agent; default all")] = None,
    count: Annotated[int, typer.Option("--sample", min=1, help="actions to replay")] = 10,
) -> None:
    """Replay a random sample of the anchored actions that can still be challenged."""
    from ..openlora import Tolerances, replayer_for
    from ._audit import audit as look

    with Connection.open() as connection:
        table = Table("agent", "nonce", "verdict", "record")
        replayer = replayer_for(connection)
        with console.status("replaying"):
            found = look(
                connection.ledger,
                connection.store,
                replayer,
                sample=count,
                agent_id=agent_id,
                tolerances=Tolerances(tolerances_at(connection.settings)),
            )
        for header, nonce, report in found:
            table.add_row(str(header.agent_id), str(nonce), report.summary[:80], report.cid)
        console.print(table)
