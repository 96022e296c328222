"""GradDot and GradCos: gradients compared as they are (Charpiat et al., 2019, https://arxiv.org/abs/2102.05262)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["grad_cos", "grad_dot"]


def grad_dot(task: Task) -> NDArray[np.float32]:
    """Inner products."""
    found: NDArray[np.float32] = task.of_queries @ task.of_examples.T
    return found


def grad_cos(task: Task) -> NDArray[np.float32]:
    """Cosines of the angles; 0 where a gradient is."""
    import numpy as np

    def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes = np.linalg.norm(rows, axis=1, keepdims=True)
        scaled: NDArray[np.float32] = rows / np.where(sizes > 0, sizes, 1)
        return scaled

    found: NDArray[np.float32] = unit(task.of_queries) @ unit(task.of_examples).T
    return found
