"""Which account owns an asset that a record pays: that may change while an action runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..attribution import ModelUse, Royalty
from ..registry import Assets, ModelCallStep

__all__ = ["OWNER_SLACK", "Owners", "declared_owners"]

OWNER_SLACK = 6 * 3600 + 60
"""Seconds before a batch was anchored in which an asset's owner may have been read: the largest maxAnchorLag and a
minute."""


def declared_owners(scores: Any) -> dict[int, str]:
    """Asset id → the account that the record says it paid for it."""
    found: dict[int, str] = {}
    payouts = scores.get("payouts") if isinstance(scores, Mapping) else None
    for line in payouts if isinstance(payouts, list) else []:
        if isinstance(line, list) and len(line) == 4 and line[2] in ("model", "royalty"):
            found[line[3]] = str(line[0])
    return found


class Owners:
    """Whom models are paid to: whom the record names, if it owned the asset; else who did at the anchoring."""

    def __init__(self, assets: Assets, anchored_at: int) -> None:
        self._assets = assets
        self._since, self._until = anchored_at - OWNER_SLACK, anchored_at
        self._known: dict[int, tuple[set[str], str]] = {}

    def use(self, step: ModelCallStep, declared: Mapping[int, str]) -> ModelUse:
        model, *above = self._assets.lineage(step.asset_id)
        royalties = tuple(
            Royalty(asset.asset_id, self._account(asset.asset_id, declared), asset.royalty_bps)
            for asset in above
            if asset.royalty_bps
        )
        return ModelUse(
            step.asset_id, self._account(model.asset_id, declared), len(step.output_tokens), royalties
        )

    def _account(self, asset_id: int, declared: Mapping[int, str]) -> str:
        if asset_id not in self._known:
            at_anchor = self._assets.owners_between(asset_id, self._until, self._until)
            self._known[asset_id] = (
                self._assets.owners_between(asset_id, self._since, self._until),
                min(at_anchor),
            )
        allowed, at_anchoring = self._known[asset_id]
        said = declared.get(asset_id)
        return said if said in allowed else at_anchoring
