"""What an action used, and what it costs by that."""

from __future__ import annotations

from collections.abc import Sequence

from ._manifest import Manifest
from ._steps import ModelCallStep, Step

__all__ = ["action_fee", "used_tokens"]


def used_tokens(steps: Sequence[Step]) -> tuple[int, int]:
    """Tokens that an action's model calls were given, and that they made."""
    calls = [step for step in steps if isinstance(step, ModelCallStep)]
    return sum(len(call.prompt_tokens) for call in calls), sum(len(call.output_tokens) for call in calls)


def action_fee(manifest: Manifest, steps: Sequence[Step], paid: int) -> int:
    """Wei that an action of these steps costs under its epoch's manifest, of the ``paid`` that its client authorised. Whoever
    has the record can compute it."""
    return paid if manifest.tariff is None else min(paid, manifest.tariff.of(*used_tokens(steps)))
