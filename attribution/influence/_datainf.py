"""DataInf: the inverse of a sum replaced by the sum of inverses (Kwon et al., 2024, https://arxiv.org/abs/2310.00902)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["datainf"]


def datainf(task: Task) -> NDArray[np.float32]:
    """For each weight, with λ a tenth of the mean square of its gradients g_i, query v and example k:
    Σ_i [v·g_k − (v·g_i)(g_i·g_k) / (λ + ‖g_i‖²)] / (nλ). The paper's influence is the negative of this."""
    import numpy as np

    found = np.zeros((len(task.queries), len(task.examples)), np.float32)
    for block in task.blocks:
        train, asked = task.of_examples[:, block.columns], task.of_queries[:, block.columns]
        squares = np.einsum("ij,ij->i", train, train)
        damping = float(squares.mean()) / train.shape[1] / 10
        if damping == 0:  # nothing of this weight was learnt
            continue
        dots = asked @ train.T
        found += (dots - (dots / (damping + squares)) @ (train @ train.T) / len(train)) / damping
    return found
