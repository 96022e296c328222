"""Who is paid for an action: spans of its output found in the declared datanets, and the models' lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..agents import Outcome
from ..attribution import (
    AUDIT_BPS,
    PROTOCOL_BPS,
    RULE_ID,
    RULE_V1,
    Accounts,
    ModelUse,
    Payout,
    Shares,
    SpanIndex,
    by_account,
    claimable,
    shares,
    split,
)
from ..attribution import Receipt as Explanation
from ..attribution import explain as explain_spans
from ..registry import ActionContent, FixedShare, ModelCallStep, Split, Status, Step
from ._operator import Credit

__all__ = ["SpanAttributor", "explain_action"]

Lineage = Callable[[ModelCallStep], ModelUse]
"""A model call → the model used, its owner and the royalties above it."""


class SpanAttributor:
    """Attribution by rule v1-spans over one index of all datanets an agent declares.

    ``stakers`` maps accounts to stake in wei, ``cut`` gives the protocol's and the audits' part in
    an epoch, in 1/10,000. A failed
    action costs nothing: its payment goes back to its client whole.
    """

    rule = RULE_V1
    rule_id = RULE_ID

    def __init__(
        self,
        index: SpanIndex,
        shares_of_fee: Split,
        lineage: Lineage,
        *,
        treasury: str,
        operator: str,
        stakers: Callable[[], Mapping[str, int]],
        fixed: Sequence[FixedShare] = (),
        audits: str = "audits",
        cut: Callable[[int], tuple[int, int]] = lambda epoch: (PROTOCOL_BPS, AUDIT_BPS),
    ) -> None:
        self.index, self._split, self._lineage = index, shares_of_fee, lineage
        self._treasury, self._operator, self._stakers = treasury, operator, stakers
        self._fixed, self._audits, self._cut = dict(fixed), audits, cut

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        """Split ``fee`` wei; every wei is in exactly one payout or in the cut that the chain takes."""
        if outcome.status is Status.FAILED:
            return Credit((), {"refund": "the action failed"})
        calls = [step for step in outcome.steps if isinstance(step, ModelCallStep)]
        joined = Shares.joined([self._shares(step.output_tokens) for step in calls])
        accounts = Accounts(
            self._treasury, self._operator, dict(self._stakers()), fixed=self._fixed, audits=self._audits
        )
        uses = [self._lineage(step) for step in calls]
        protocol, audit = self._cut(epoch)
        payouts = split(fee, self._split, uses, joined, accounts, protocol_bps=protocol, audit_bps=audit)
        scores = {
            "shares": joined.to_block(),
            "payouts": [[p.account, str(p.amount), p.reason, p.asset_id] for p in payouts],
        }
        return Credit(tuple(by_account(claimable(payouts)).items()), scores)

    def _shares(self, tokens: Sequence[int]) -> Shares:
        return shares(tokens, self.index.find(tokens), costs=self.index.costs(tokens))


def explain_action(index: SpanIndex, content: ActionContent, steps: Sequence[Step]) -> Explanation | None:
    """The receipt a contributor reads: words → row → contributor → wei. None for a refunded action."""
    scores: Any = content.scores
    if not isinstance(scores, Mapping) or "shares" not in scores:
        return None
    joined = Shares.from_block(scores["shares"])
    payouts = []
    for account, amount, reason, asset_id in scores["payouts"]:
        mine = tuple(c for c in joined.credits if reason == "contributor" and c.source.contributor == account)
        payouts.append(Payout(account, int(amount), reason, asset_id, mine))
    tokens = [t for step in steps if isinstance(step, ModelCallStep) for t in step.output_tokens]
    return explain_spans(index, tokens, joined, payouts)
