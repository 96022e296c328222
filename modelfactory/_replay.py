"""Training runs that others can repeat: what a record says of one, and repeating it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..datanets import Datanet
from ..errors import UserError
from ..registry import AssetRef, TrainingStep, path_cid
from ._adapter import train_adapter
from ._recipe import AdapterRecipe

__all__ = ["retrain", "trainer_class", "training_step"]


def trainer_class() -> str:
    """Which machines give the same bits: build of torch, device, and the instructions its kernels use."""
    import torch

    version = torch.__version__.split("+")[0]
    return f"torch/{version}/cpu/{torch.backends.cpu.get_cpu_capability().lower()}"


def training_step(
    base: AssetRef, datanet: AssetRef, adapter: str, *, recipe: AdapterRecipe, seed: int
) -> TrainingStep:
    """What an action's record says of a run of :func:`train_adapter`, ``adapter`` being the CID of what came out."""
    how = {"recipe": asdict(recipe), "seed": seed}
    return TrainingStep(base.asset_id, base.cid, [datanet], how, adapter, trainer_class())


def retrain(step: TrainingStep, base: Path, datanets: Sequence[Datanet], draw: int | None = None) -> str:
    """Repeats a training run over the base model in a directory and gives the CID of the adapter; with ``draw``, of
    the adapter after 1 + ``draw`` mod steps optimiser steps of the same run.

    Raises ``UserError`` where this machine would not give the same bits, or for a recipe that is not known here.
    """
    if step.trainer_class != (mine := trainer_class()):
        raise UserError(
            f"the run was made on {step.trainer_class}, and this machine is {mine}",
            why="another build or processor may round otherwise",
            fix="repeat it on the same kind of machine; a juror without one abstains",
        )
    if len(datanets) != 1:
        raise UserError(f"a run over {len(datanets)} datanets is not known here", fix="upgrade openledger")
    try:
        recipe, seed = AdapterRecipe(**step.recipe["recipe"]), int(step.recipe["seed"])
        if recipe.steps < 1:
            raise ValueError(f"{recipe.steps} steps")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            "the run's recipe cannot be repeated here",
            why=repr(error),
            fix="upgrade openledger; a juror who is sure that nobody can repeat it votes --unavailable",
        ) from None
    steps = None if draw is None else 1 + draw % recipe.steps
    with tempfile.TemporaryDirectory() as scratch:
        made = train_adapter(base, datanets[0], Path(scratch) / "adapter", steps, seed, recipe=recipe)
        return path_cid(made)
