"""TracIn at checkpoints: inner products summed over the training run (Pruthi et al., 2020,
https://arxiv.org/abs/2002.08484)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UserError
from ._gradients import AdapterGradients
from ._task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["tracin"]


def tracin(task: Task) -> NDArray[np.float32]:
    """Inner products at each checkpoint, weighted by its learning rate. Raises ``UserError`` without checkpoints."""
    import numpy as np

    if not task.checkpoints:
        raise UserError("TracIn needs checkpoints", fix="give the task adapters saved during training")
    found = np.zeros((len(task.queries), len(task.examples)), np.float32)
    for rate, adapter in task.checkpoints:
        model = AdapterGradients(task.base, adapter)
        found += rate * (model.of(task.queries) @ model.of(task.examples).T)
    return found
