"""Influence by the true Fisher information of each weight, solved exactly.

The influence of example k on query v is v·(F + λI)⁻¹·g_k, weight by weight (Koh and Liang, 2017,
https://arxiv.org/abs/1703.04730, with the Fisher information for the Hessian as in Grosse et al., 2023,
https://arxiv.org/abs/2308.03296). F is the second moment of gradients whose next tokens the model itself draws. It is
neither factored, as EK-FAC does, nor are gradients projected: the number of draws is what bounds F's rank, so a system
of that size is solved where the weight is larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._gradients import Block
from ._task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DAMPING", "DRAWS", "LABELS", "fisher", "labels_for", "precondition"]

DRAWS = 4096
"""Gradients with drawn next tokens that are aimed at: a weight's information is of no higher rank than there are."""
LABELS = 16
"""Most draws for each example."""
DAMPING = 0.3
"""λ as a share of F's mean eigenvalue."""


def labels_for(examples: int) -> int:
    """How often next tokens are drawn for each of so many examples."""
    return max(1, min(LABELS, -(-DRAWS // max(1, examples))))


def fisher(task: Task, labels: int | None = None, damping: float = DAMPING) -> NDArray[np.float32]:
    """Influence of each example on each query."""
    sampled = task.sampled(labels or labels_for(len(task.examples)))
    ready = precondition(task.of_examples, sampled, task.blocks, damping)
    found: NDArray[np.float32] = task.of_queries @ ready.T
    return found


def precondition(
    gradients: NDArray[np.float32],
    sampled: NDArray[np.float32],
    blocks: Sequence[Block],
    damping: float = DAMPING,
) -> NDArray[np.float32]:
    """(F + λI)⁻¹ g for each row g of ``gradients`` and each block, F being the second moment of ``sampled``.

    Of m draws in d dimensions: a d × d system if d ≤ m, else the m × m one of Woodbury's identity,
    (g − Sᵀ(SSᵀ + mλI)⁻¹Sg) / λ.
    """
    import numpy as np
    import torch

    found = np.zeros_like(gradients)
    draws = len(sampled)
    for block in blocks:
        part = torch.from_numpy(sampled[:, block.columns]).double()
        rows = torch.from_numpy(gradients[:, block.columns]).double()
        width = part.shape[1]
        ridge = damping * float(part.square().sum()) / draws / width
        if ridge == 0:  # no gradient reaches this weight
            continue
        if width <= draws:
            matrix = part.T @ part / draws
            matrix.diagonal().add_(ridge)
            solved = torch.cholesky_solve(rows.T, torch.linalg.cholesky(matrix)).T
        else:
            matrix = part @ part.T
            matrix.diagonal().add_(draws * ridge)
            inner = torch.cholesky_solve(part @ rows.T, torch.linalg.cholesky(matrix))
            solved = (rows - inner.T @ part) / ridge
        found[:, block.columns] = solved.numpy()
    return found
