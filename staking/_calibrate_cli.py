"""``openledger verify calibrate``: what honest replays differ by between two kinds of engine."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from ..errors import UserError
from ..registry import AssetKind, AssetRef, Connection, ModelCallStep
from ..registry.commands import Json, console
from ..settings import Settings

if TYPE_CHECKING:
    from ..openlora import Generation, Observation

__all__ = ["calibrate", "tolerances_at"]

Chosen = Annotated[
    list[str] | None,
    typer.Argument(
        help="CIDs of records that you know to be honest, such as your own; default: outputs made here"
    ),
]


def calibrate(
    records: Chosen = None,
    base: Annotated[
        int | None, typer.Option(min=1, help="without records: asset id of the base model")
    ] = None,
    adapter: Annotated[
        list[int] | None,
        typer.Option(min=1, help="without records: asset ids of adapters to mix; give several"),
    ] = None,
    tokens: Annotated[
        int, typer.Option(min=2, help="without records: output tokens to make and replay")
    ] = 100_000,
    choices: Annotated[int, typer.Option(min=1, help="sampling decisions to replay in each output")] = 8,
    as_json: Json = False,
) -> None:
    """Replay honest outputs on this machine's engine, and keep by how much they may differ with the share of honest
    tokens that this would accuse.

    Half of the outputs choose the tolerance, the other half try it. What is agreed between all is only tried.
    """
    from ..openlora import Tolerances, fit, tolerance_for

    with Connection.open() as connection:
        known = Tolerances(tolerances_at(connection.settings))
        if records:
            observed, verifier = _replayed(connection, _recorded(connection, records), choices)
        else:
            made = _made(connection, base, adapter or [], tokens)
            observed, verifier = _replayed(connection, made, choices)
        found = fit(observed, verifier, tolerance_for(observed[0].prover, verifier))
        known.keep(found)
    share, bound = found.false_positives
    if as_json:
        typer.echo(
            json.dumps(asdict(found) | {"false_positives": share, "false_positives_95": bound}, indent=2)
        )
        return
    table = Table("what", "figure")
    for what, figure in (
        ("made by", found.prover),
        ("replayed on", found.verifier),
        ("tolerance of a logprob", f"{found.logprob / 1e4:.4f} nat"),
        ("tolerance of a choice", f"{found.choice:.4f} nat"),
        (
            "largest difference seen",
            f"{found.max_delta / 1e4:.4f} nat; of a choice {found.max_deficit:.4f} nat",
        ),
        ("tried on", f"{found.tokens:,} tokens of {found.outputs:,} outputs"),
        ("honest tokens accused", f"{share:.2%}, below {bound:.2e} with 95 % confidence"),
    ):
        table.add_row(what, figure)
    console.print(table)


def tolerances_at(settings: Settings) -> Path:
    """Where the tolerances calibrated on this machine are kept."""
    return settings.home_dir / "tolerances.json"


def _recorded(connection: Connection, records: Sequence[str]) -> list[Generation]:
    from ._verify import fetch_action, generation_of

    steps = [step for cid in records for step in fetch_action(cid, connection.store).steps]
    calls = [generation_of(step) for step in steps if isinstance(step, ModelCallStep)]
    if not calls:
        raise UserError("these records hold no model call", fix="give records of actions that asked a model")
    return calls


def _made(connection: Connection, base: int | None, adapters: Sequence[int], tokens: int) -> list[Generation]:
    """Outputs of an engine of this machine, which ends before another replays them."""
    from ..openlora import honest_requests, replayer_for

    if base is None:
        raise UserError(
            "there is nothing to replay",
            fix="give CIDs of honest records, or --base ASSET_ID and --adapter ASSET_ID",
        )
    model = _asset(connection, base, AssetKind.MODEL)
    mixed = [None, *(_asset(connection, one, AssetKind.ADAPTER) for one in adapters)]
    engine = replayer_for(connection)(model)
    made: list[Generation] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("generating", total=tokens)
        for batch in honest_requests(mixed, engine.vocab_size):
            made += engine.generate_many(batch)
            count = sum(len(one.tokens) for one in made)
            progress.update(task, completed=count)
            if count >= tokens:
                break
    engine.close()
    return made


def _asset(connection: Connection, asset_id: int, kind: AssetKind) -> AssetRef:
    found = connection.assets.get(asset_id)
    if found.kind != kind:
        raise UserError(
            f"asset {asset_id} is no {kind.name.lower()}",
            why=f"it is registered as {AssetKind(found.kind).name.lower()}",
            fix="look for its id with `openledger asset show`",
        )
    return AssetRef(asset_id, found.cid)


def _replayed(
    connection: Connection, generations: Sequence[Generation], choices: int
) -> tuple[list[Observation], str]:
    from ..openlora import observe, replayer_for

    engines, draw, classes = replayer_for(connection), random.Random(0), set()
    observed = []
    with Progress(console=console, transient=True) as progress:
        for one in progress.track(_shuffled(generations), description="replaying", total=len(generations)):
            assert one.base is not None  # both sources name it
            engine = engines(one.base)
            classes.add(engine.engine_class)
            observed.append(observe(one, engine, choices, draw))
    return observed, classes.pop()


def _shuffled(generations: Sequence[Generation]) -> Iterator[Generation]:
    """In an order in which either half holds every kind of output."""
    yield from random.Random(1).sample(list(generations), len(generations))
