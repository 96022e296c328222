"""What is asked, apart from how it is answered: an adapter, what it was trained on, and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ._gradients import AdapterGradients, Block, Example, batches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Task"]


class Task:
    """How much each of ``examples`` made the adapter say each of ``queries``. A method takes a task and gives
    (queries, examples): larger means that the example made the query likelier.

    ``checkpoints`` are (learning rate, adapter directory) of the training run on its way, for the methods that look at
    them. Gradients are taken once.
    """

    def __init__(
        self,
        base: Path | str,
        adapter: Path | str,
        examples: Sequence[Example],
        queries: Sequence[Example],
        checkpoints: Sequence[tuple[float, Path]] = (),
    ) -> None:
        self.base, self.adapter = base, adapter
        self.examples, self.queries, self.checkpoints = examples, queries, checkpoints
        self._sampled: dict[tuple[int, int], NDArray[np.float32]] = {}

    @cached_property
    def model(self) -> AdapterGradients:
        return AdapterGradients(self.base, self.adapter)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.model.blocks

    @cached_property
    def of_examples(self) -> NDArray[np.float32]:
        """Gradients of the training examples, (examples, weights)."""
        return self.model.of(self.examples)

    @cached_property
    def of_queries(self) -> NDArray[np.float32]:
        """Gradients of the queries, (queries, weights)."""
        return self.model.of(self.queries)

    def sampled(self, labels: int, seed: int = 0) -> NDArray[np.float32]:
        """Gradients of the examples with labels drawn from the model, (labels × examples, weights)."""
        import numpy as np

        key = labels, seed
        if key not in self._sampled:
            parts = [
                part for batch in batches(self.examples) for part in self.model.sampled(batch, labels, seed)
            ]
            self._sampled[key] = np.concatenate(parts)
        return self._sampled[key]
