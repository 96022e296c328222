"""What a batch had to pay: its payouts recomputed from chain and content store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..attribution import (
    RULE_V1,
    Accounts,
    ModelUse,
    Royalty,
    SpanIndex,
    batch_payouts,
    by_account,
    claimable,
    divide_action,
)
from ..errors import ChallengeError, ContentError
from ..registry import (
    Assets,
    Batch,
    BatchHeader,
    ContentStore,
    Ledger,
    Manifest,
    ModelCallStep,
    Payout,
    cid_from_digest,
    payout_tree,
    payouts_answer,
)
from ._verify import Action, fetch_action

__all__ = ["IndexFor", "Payouts", "recompute_payouts"]

IndexFor = Callable[[Manifest], SpanIndex]
"""Gives the span index over a manifest's datanets, in its base model's tokens."""

OWNER_SLACK = 6 * 3600 + 60
"""Seconds before a batch was anchored in which an asset's owner may have been read: the largest maxAnchorLag and a
minute."""


@dataclass(frozen=True)
class Payouts:
    """What a batch had to pay, in the order of its payout tree."""

    payouts: tuple[Payout, ...]
    manifest: Manifest
    actions: tuple[Action, ...]

    @property
    def root(self) -> bytes:
        """Hash part of the payout tree's root."""
        return payout_tree(self.payouts).root[0]

    @property
    def answer(self) -> bytes:
        """What a juror answers."""
        return payouts_answer(self.root, len(self.payouts))

    def differ_from(self, header: BatchHeader) -> bool:
        """Whether the batch was anchored with other payouts."""
        return self.answer != payouts_answer(header.payout_root, header.payout_count)


def recompute_payouts(
    header: BatchHeader, *, store: ContentStore, ledger: Ledger, assets: Assets, index_for: IndexFor
) -> Payouts:
    """The payouts that rule and manifest make of the batch's records, in exact integers.

    Which account owned a model may change while an action runs: the record says which it paid, and any that owned
    it in the hours before the batch was anchored counts. Raises ``ContentError`` when something cannot be had,
    ``ChallengeError`` for a rule this version does not know.
    """
    epoch = ledger.epoch(header.agent_id, header.epoch)
    assert epoch is not None  # it was anchored
    manifest = Manifest.decode(epoch.manifest, store.get)
    if manifest.rule != RULE_V1:
        raise ChallengeError(
            f"attribution rule {manifest.rule!r} is not known", fix="upgrade openledger; abstain until then"
        )
    batch = Batch.decode(cid_from_digest(header.batch_digest), store.get)
    index = index_for(manifest)
    fixed = {share.account: share.bps for share in manifest.fixed}
    accounts = Accounts(
        treasury=ledger.settlement.treasury,
        operator=epoch.operator,
        stakers=ledger.contracts.address("DelegationPool"),
        fixed=fixed,
        audits=ledger.contracts.address("Disputes"),
    )
    protocol, audit = ledger.settlement.cut(header.agent_id, header.epoch)
    owners = _Owners(assets, header)
    totals: dict[str, int] = {}
    actions = tuple(_actions(batch, store))
    for action in actions:
        if not action.record.charge:
            continue
        calls = [step for step in action.steps if isinstance(step, ModelCallStep)]
        declared = _declared(action.content.scores)
        _, payouts = divide_action(
            index,
            [step.output_tokens for step in calls],
            [owners.use(step, declared) for step in calls],
            action.record.fee,
            manifest.split,
            accounts,
            protocol_bps=protocol,
            audit_bps=audit,
        )
        for account, amount in by_account(claimable(payouts)).items():
            totals[account] = totals.get(account, 0) + amount
    net = ledger.settlement.net(header.agent_id, header.epoch, header.sum)
    paid = (
        batch_payouts(net, totals, treasury=ledger.settlement.treasury, fixed=list(fixed))
        if header.sum
        else []
    )
    return Payouts(tuple(Payout(*payout) for payout in paid), manifest, actions)


def _actions(batch: Batch, store: ContentStore) -> list[Action]:
    actions = []
    for entry in batch.entries:
        action = fetch_action(entry.envelope, store)
        if action.record.struct_hash() != entry.struct_hash:
            raise ContentError(
                f"{entry.envelope} is not the record that was anchored",
                why="the batch names another envelope than its leaf commits to",
                fix="a mismatch of what was signed and anchored is a proof of its own",
                cid=entry.envelope,
            )
        actions.append(action)
    return actions


def _declared(scores: Any) -> dict[int, str]:
    """Asset id → the account that the record says it paid for it."""
    found: dict[int, str] = {}
    payouts = scores.get("payouts") if isinstance(scores, Mapping) else None
    for line in payouts if isinstance(payouts, list) else []:
        if isinstance(line, list) and len(line) == 4 and line[2] in ("model", "royalty"):
            found[line[3]] = str(line[0])
    return found


class _Owners:
    """Whom models are paid to: whom the record names, if it owned the asset; else who did at the anchoring."""

    def __init__(self, assets: Assets, header: BatchHeader) -> None:
        self._assets = assets
        self._since, self._until = header.anchored_at - OWNER_SLACK, header.anchored_at
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
