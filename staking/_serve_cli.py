"""``openledger audit serve`` and ``openledger jury serve``: auditor and juror, unattended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..contracts import parse_open, parse_span, reviewed, show_open
from ..errors import UserError
from ..registry.commands import As, DryRun, Json, acting, console

if TYPE_CHECKING:
    from ._daemon import DaemonLog, Entry
    from ._journal import Journal

__all__ = ["add_to"]

_DEVNET_AUDITOR = 6

Once = Annotated[bool, typer.Option("--once", help="one pass, then end: for cron")]
Every = Annotated[float, typer.Option(min=0.1, help="seconds between passes")]


def add_to(audit: typer.Typer, jury: typer.Typer) -> None:
    """Offer ``serve`` in both groups."""
    audit.command("serve")(serve_audit)
    jury.command("serve")(serve_jury)


def serve_audit(
    context: typer.Context,
    agent: Annotated[list[int] | None, typer.Option(help="only this agent; may be repeated")] = None,
    rate: Annotated[
        float, typer.Option(help="probability that an action is drawn, above 0, at most 1")
    ] = 0.1,
    tokens_per_pass: Annotated[int, typer.Option(min=1, help="output tokens to replay in a pass")] = 20_000,
    tokens_per_hour: Annotated[int, typer.Option(min=1, help="output tokens to replay in an hour")] = 200_000,
    payouts_per_pass: Annotated[
        int, typer.Option(min=0, help="actions whose payouts to recompute in a pass; 0 looks at no payouts")
    ] = 2_000,
    payouts_per_hour: Annotated[
        int, typer.Option(min=1, help="actions whose payouts to recompute in an hour")
    ] = 20_000,
    confidence: Annotated[
        float, typer.Option(help="percentage of challenges expected to convict, 0 to 100")
    ] = 95,
    least_profit: Annotated[str, typer.Option(help="OPEN a challenge must bring on average, e.g. 0.5")] = "0",
    demand_after: Annotated[
        str, typer.Option(help="how long content is missing before it is demanded")
    ] = "1h",
    random_audits: Annotated[
        bool, typer.Option(help="ask for random audits too, paid from the audit fund")
    ] = False,
    once: Once = False,
    every: Every = 15,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Audit unattended: draw newly anchored actions at random, check and replay them, recompute what their batches pay,
    challenge what is at fault where that pays, and see every dispute through.

    Stop and start it at any time: it never challenges an action twice and shows all evidence it committed to.
    """
    from ..openlora import replayer_for
    from ..settings import get_settings
    from ._auditor import Auditor, AuditPolicy
    from ._examine import recompute_for

    if not 0 < rate <= 1:
        raise UserError(f"rate {rate} was refused", why="it is a probability", fix="give e.g. 0.1")
    if not 0 <= confidence <= 100:
        raise UserError(f"confidence {confidence} was refused", why="it is a percentage", fix="give e.g. 95")
    policy = AuditPolicy(
        rate,
        None if not agent else frozenset(agent),
        tokens_per_pass,
        tokens_per_hour,
        payouts_per_pass,
        payouts_per_hour,
        round(confidence * 100),
        parse_open(least_profit, zero=True),
        parse_span(demand_after),
        random_audits,
    )
    settings = get_settings()
    if account is None and settings.rpc_url is None and settings.private_key is None:
        account = _DEVNET_AUDITOR
    says = (
        "Checks anchored actions drawn at random and challenges what is at fault, where that pays. A challenge takes a bond, "
        "which is lost if the jury acquits; if it convicts, it comes back with the challenger's share of the slash."
    )
    with acting(account, dry_run) as (connection, signer):

        def passes(ledger: Any, journal: Journal, log: DaemonLog) -> Callable[[], None]:
            replayer = _alive(replayer_for(connection))
            checker = recompute_for(connection, ledger, context.obj) if payouts_per_pass else None
            return Auditor(ledger, connection.store, replayer, journal, log, policy, recompute=checker).run

        _serve("audit", connection, signer, says, passes, once, every, as_json, dry_run)


def serve_jury(
    context: typer.Context,
    unavailable_after: Annotated[
        str | None,
        typer.Option(
            help="vote `unavailable` when content is missing so long after the draw; default: abstain"
        ),
    ] = None,
    patience: Annotated[str, typer.Option(help="how long to leave due steps to others")] = "10m",
    once: Once = False,
    every: Every = 15,
    account: As = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Be a juror unattended: replay, commit and reveal in every dispute that seats you, and move disputes on that nobody
    moves.

    Stop and start it at any time. It withdraws nothing; what needs a person's opinion it leaves to `openledger vote`.
    """
    from ..openlora import replayer_for
    from ._examine import examiners_for
    from ._juror import Juror
    from ._jury_service import JuryPolicy, JuryService

    policy = JuryPolicy(
        None if unavailable_after is None else parse_span(unavailable_after), parse_span(patience)
    )
    says = (
        "Votes with what replaying or recomputing gives in every dispute that seats you. Who ends far from the ruling loses "
        "juror stake; who is silent loses more."
    )
    with acting(account, dry_run) as (connection, signer):

        def passes(ledger: Any, journal: Journal, log: DaemonLog) -> Callable[[], None]:
            votes = log.folder / "votes" if dry_run else connection.settings.home_dir / "votes"
            juror = Juror(
                ledger,
                connection.store,
                _alive(replayer_for(connection)),
                votes,
                examiners_for(connection, trainer=context.obj),
            )
            return JuryService(ledger, juror, journal, log, policy).run

        _serve("jury", connection, signer, says, passes, once, every, as_json, dry_run)


def _serve(
    kind: str,
    connection: Any,
    signer: Any,
    says: str,
    passes: Callable[[Any, Journal, DaemonLog], Callable[[], None]],
    once: bool,
    every: float,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Run passes over the account's own journal, telling what happens; counters go into its metrics file."""
    from ._daemon import DaemonLog, MeteredLedger, folder_of, metrics_text, serve, write_metrics
    from ._journal import Journal

    if dry_run and not once:
        raise UserError("--dry-run tries one pass", fix="add --once")
    ledger = MeteredLedger(connection.contracts, signer)
    entries: list[Entry] = []
    with (
        _folder(folder_of(connection.settings.home_dir, kind, ledger), dry_run) as folder,
        reviewed(connection.contracts, says, dry_run=dry_run, as_json=as_json) as review,
    ):
        journal = Journal(folder / "journal.db")
        ledger.spent = lambda wei: journal.count("wei_gas", wei)
        with _shown(kind, journal, live=not (once or as_json)) as refresh:

            def tell(entry: Entry) -> None:
                if once:
                    entries.append(entry)
                if as_json and not once:
                    print(entry.to_json(), flush=True)
                elif not as_json:
                    print(f"{entry.event:12}{entry.what}", flush=True)
                refresh()

            log = DaemonLog(folder / "log.jsonl", tell)
            run = passes(ledger, journal, log)

            def one_pass() -> None:
                try:
                    run()
                finally:
                    labels = {"account": ledger.address, "chain": str(ledger.domain.chain_id)}
                    write_metrics(folder / "metrics.prom", metrics_text(kind, journal.counts(), labels))
                    refresh()
                    if not once:
                        review.calls.clear()  # they were told, and a daemon runs long

            if once:
                one_pass()
            else:
                with suppress(KeyboardInterrupt):
                    serve(one_pass, log, every=every)
        counts = journal.counts()
        journal.close()
        if once or not as_json:  # else there is a line for each thing that happened
            told = [{"event": entry.event, "what": entry.what, **entry.fields} for entry in entries]
            review.done(_summary(counts), counts={k: str(v) for k, v in counts.items()}, log=told)


def _alive(replayer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Ends the process where the engine has failed: only a new one can replay. Whoever runs it starts it again."""

    def get(base: Any) -> Any:
        engine = replayer(base)
        if engine.dead:
            raise SystemExit("the engine failed; start the daemon again")
        return engine

    return get


@contextmanager
def _folder(kept: Path, dry_run: bool) -> Iterator[Path]:
    """The daemon's folder, held for it alone; a copy that is thrown away for a dry run."""
    from ._daemon import occupied

    if not dry_run:
        with occupied(kept):
            yield kept
        return
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / "daemon"
        copy.mkdir()
        if kept.exists():
            shutil.copytree(kept, copy, dirs_exist_ok=True)
        yield copy


@contextmanager
def _shown(kind: str, journal: Journal, *, live: bool) -> Iterator[Callable[[], None]]:
    """The counters, kept current below what is told; only on a terminal."""
    if not live or not console.is_terminal:
        yield lambda: None
        return
    from rich.live import Live

    with Live(_table(kind, journal.counts()), console=console, auto_refresh=False) as view:
        yield lambda: view.update(_table(kind, journal.counts()), refresh=True)


def _table(kind: str, counts: Mapping[str, int]) -> Table:
    table = Table(kind, "count")
    for name, value in counts.items():
        table.add_row(name.replace("_", " "), _written(name, value))
    return table


def _written(name: str, value: int) -> str:
    return show_open(value) if name.startswith("wei_") else f"{value:,}"


def _summary(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {_written(name, value)}" for name, value in counts.items()
    ) or ("nothing to do")
