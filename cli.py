"""The ``openledger`` command: what each folder's ``_cli.py`` offers, under one name."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from .errors import OpenLedgerError
from .staking import Trainer

if TYPE_CHECKING:
    from .attribution import NoInfluence
    from .attribution.influence import Division, Example
    from .datanets import Datanet
    from .registry import TrainingStep
    from .settings import Settings

__all__ = ["app", "main"]


def _retrain(step: TrainingStep, base: Path, datanets: Sequence[Datanet], draw: int | None) -> str:
    """A juror's way to repeat a training run, without loading torch before one is disputed."""
    from .modelfactory import retrain

    return retrain(step, base, datanets, draw)


def _divide(
    cache: Path, base: Path, adapter: Path, versions: Iterable[Datanet], outputs: Sequence[Example]
) -> tuple[Datanet, list[Division]] | NoInfluence:
    """The same for influence."""
    from .modelfactory import influence_on

    return influence_on(cache, base, adapter, versions, outputs)


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Who made an AI output, with which model and whose data, who is paid, who loses stake.",
    pretty_exceptions_enable=False,
    context_settings={"obj": Trainer(_retrain, _divide)},
)


# What the engine's libraries print while they load is not for the user of a command.
_QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TQDM_DISABLE": "1",
    "PYTHONWARNINGS": "ignore",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def _compose() -> None:
    for folder in ("contracts", "registry", "openlora", "runtime", "staking"):
        import_module(f".{folder}._cli", __package__).add_to(app)
    import_module(".runtime.gateway._cli", __package__).add_to(app, start_ray=_start_ray)
    import_module(".runtime.relayer._cli", __package__).add_to(app)
    agent = import_module(".registry._cli", __package__).agent
    import_module(".runtime._purse_cli", __package__).add_to(agent)
    import_module(".ray_cluster._cli", __package__).add_to(app, agent)


def _start_ray(settings: Settings) -> None:
    """Ray for a gateway's agents, without loading it before one is served."""
    from .ray_cluster import connect

    connect(settings)


_compose()


def main() -> None:
    """Run the command; an error of ours is printed as what, why and fix, and gives exit code 1."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        warnings.simplefilter("ignore")
        app()
    except OpenLedgerError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]{error.code}[/]: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
