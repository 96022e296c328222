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
    Shares,
    SpanIndex,
    batch_payouts,
    by_account,
    claimable,
    divide_action,
)
from ..attribution import Payout as Division
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

__all__ = ["IndexFor", "Payouts", "Terms", "fetch_batch", "recompute_payouts"]

IndexFor = Callable[[Manifest], SpanIndex]
"""Gives the span index over a manifest's datanets, in its base model's tokens."""

OWNER_SLACK = 6 * 3600 + 60
"""Seconds before a batch was anchored in which an asset's owner may have been read: the largest maxAnchorLag and a
minute."""


@dataclass(frozen=True)
class Terms:
    """What divides the fees of an epoch's actions."""

    manifest: Manifest
    index: SpanIndex
    accounts: Accounts
    protocol_bps: int
    audit_bps: int
    owners: Owners

    @classmethod
    def of(
        cls,
        agent_id: int,
        epoch: int,
        at: int,
        *,
        store: ContentStore,
        ledger: Ledger,
        assets: Assets,
        index_for: IndexFor,
    ) -> Terms:
        """Those of an epoch, for actions anchored ``at`` (unix seconds). Raises as :func:`recompute_payouts`."""
        opened = ledger.epoch(agent_id, epoch)
        if opened is None:
            raise ChallengeError(
                f"agent {agent_id} never opened epoch {epoch}", fix="ask for a record of this chain"
            )
        manifest = Manifest.decode(opened.manifest, store.get)
        if manifest.rule != RULE_V1:
            raise ChallengeError(
                f"attribution rule {manifest.rule!r} is not known",
                fix="upgrade openledger; abstain until then",
            )
        accounts = Accounts(
            treasury=ledger.settlement.treasury,
            operator=opened.operator,
            stakers=ledger.contracts.address("DelegationPool"),
            fixed={share.account: share.bps for share in manifest.fixed},
            audits=ledger.contracts.address("Disputes"),
        )
        cut = ledger.settlement.cut(agent_id, epoch)
        return cls(manifest, index_for(manifest), accounts, *cut, Owners(assets, at))

    def divide(self, action: Action) -> tuple[Shares, list[Division]]:
        """The shares of an action and what its fee pays, by reason."""
        calls = [step for step in action.steps if isinstance(step, ModelCallStep)]
        declared = _declared(action.content.scores)
        return divide_action(
            self.index,
            [step.output_tokens for step in calls],
            [self.owners.use(step, declared) for step in calls],
            action.record.fee,
            self.manifest.split,
            self.accounts,
            protocol_bps=self.protocol_bps,
            audit_bps=self.audit_bps,
        )


@dataclass(frozen=True)
class Payouts:
    """What a batch had to pay, in the order of its payout tree."""

    payouts: tuple[Payout, ...]
    terms: Terms
    actions: tuple[Action, ...]

    @property
    def manifest(self) -> Manifest:
        return self.terms.manifest

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
    it in the hours before the batch was anchored counts. Raises ``ContentError`` when something cannot be had or is not what
    was anchored, ``ChallengeError`` for a rule this version does not know.
    """
    batch = fetch_batch(header, store)
    terms = Terms.of(
        header.agent_id,
        header.epoch,
        header.anchored_at,
        store=store,
        ledger=ledger,
        assets=assets,
        index_for=index_for,
    )
    totals: dict[str, int] = {}
    actions = tuple(_actions(batch, store))
    for action in actions:
        if not action.record.charge:
            continue
        _, payouts = terms.divide(action)
        for account, amount in by_account(claimable(payouts)).items():
            totals[account] = totals.get(account, 0) + amount
    net = ledger.settlement.net(header.agent_id, header.epoch, header.sum)
    paid = (
        batch_payouts(net, totals, treasury=terms.accounts.treasury, fixed=list(terms.accounts.fixed))
        if header.sum
        else []
    )
    return Payouts(tuple(Payout(*payout) for payout in paid), terms, actions)


def fetch_batch(header: BatchHeader, store: ContentStore) -> Batch:
    """The batch block behind a header. Raises ``ContentError`` when it cannot be had or holds other records than were
    anchored: what follows from it would say nothing."""
    cid = cid_from_digest(header.batch_digest)
    batch = Batch.decode(cid, store.get)
    anchored = (header.agent_id, header.first_nonce, header.count, (header.record_root, header.sum))
    if (batch.agent_id, batch.first_nonce, len(batch.entries), batch.record_tree.root) != anchored:
        raise ContentError(
            f"the batch block {cid} is not what was anchored",
            why="its records do not have the anchored root",
            fix="take its records for withheld",
            cid=cid,
        )
    return batch


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
