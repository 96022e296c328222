"""From influence to parts: what each row has of an output, above what it has of random text, in integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UserError
from .._rules import GRID_PARTS, GRID_SAVED, PARTS
from ._gradients import Example
from ._store import RowGradients

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NULL_DEVIATIONS", "Division", "divide"]

NULL_DEVIATIONS = 2.0
"""How far above its mean on random text a row's influence must be, in standard deviations, before it counts."""


@dataclass(frozen=True, slots=True)
class Division:
    """One output."""

    saved: tuple[int, ...]
    """For each learnt token, thousandths of a bit by which the adapter made it likelier than the base did, at least
    0."""
    parts: tuple[int, ...]
    """Of ``PARTS``, each row's; together at most ``PARTS``, as a part as large as random text would get is nobody's."""


def divide(stores: Sequence[RowGradients], outputs: Sequence[Example]) -> list[Division]:
    """Divides each output among the rows of ``stores``: one adapter, or several of the same rows trained with other seeds,
    whose influence is averaged. What an adapter saved is that of the first, which made the outputs.

    Everything is rounded to a grid, because another machine's sums differ in their last bits. Raises ``UserError``
    without stores, or for stores of different numbers of rows.
    """
    import numpy as np

    if len({store.rows for store in stores}) != 1:
        raise UserError(
            f"{len(stores)} adapters do not have the gradients of the same rows",
            fix="give one adapter at least, and others that were trained on the same datanet",
        )
    excess = np.zeros((len(outputs), stores[0].rows))
    nobodys = 0.0
    for store in stores:
        bar = store.null.mean(0) + NULL_DEVIATIONS * store.null.std(0)
        unit = float(np.sqrt(np.mean(store.null.astype(np.float64) ** 2))) or 1.0
        excess += np.maximum(store.influence(outputs) - bar, 0) / unit
        nobodys += float(np.maximum(store.null - bar, 0).sum(1).mean()) / unit
    shares = excess / np.maximum(excess.sum(1, keepdims=True) + nobodys, 1e-30)
    parts = (np.floor(shares * PARTS / GRID_PARTS) * GRID_PARTS).astype(np.int64)
    return [
        Division(_millibits(bits), tuple(row.tolist()))
        for bits, row in zip(stores[0].saved(outputs), parts, strict=True)
    ]


def _millibits(bits: NDArray[np.float32]) -> tuple[int, ...]:
    import numpy as np

    steps = np.floor(np.maximum(bits.astype(np.float64), 0) * 1000 / GRID_SAVED)
    return tuple((steps * GRID_SAVED).astype(np.int64).tolist())
