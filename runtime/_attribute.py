"""Who is paid for an action: spans of its output found in the declared datanets, and the models' lineage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..agents import Outcome
from ..attribution import (
    AUDIT_BPS,
    PROTOCOL_BPS,
    RULE_ID,
    RULE_V1,
    Accounts,
    ModelUse,
    NearSpan,
    SpanIndex,
    by_account,
    claimable,
    divide_action,
    receipt_of,
    retrieval,
    scores_of,
)
from ..attribution import Receipt as Explanation
from ..registry import ActionContent, FixedShare, ModelCallStep, Split, Status, Step
from ._operator import Credit

__all__ = ["SpanAttributor", "explain_action"]

UsesOf = Callable[[Sequence[ModelCallStep]], list[ModelUse]]
"""An action's model calls → for each the model used, its owner and the royalties above it."""


class SpanAttributor:
    """Attribution by rule v1-spans over one index of all datanets an agent declares.

    ``stakers`` is the account that shares among them, ``cut`` gives the protocol's and the audits' part in an
    epoch, in 1/10,000. A failed action costs nothing: its payment goes back to its client whole.
    """

    rule = RULE_V1
    rule_id = RULE_ID

    def __init__(
        self,
        index: SpanIndex,
        shares_of_fee: Split,
        lineage: UsesOf,
        *,
        treasury: str,
        operator: str,
        stakers: str | None = None,
        fixed: Sequence[FixedShare] = (),
        audits: str = "audits",
        cut: Callable[[int], tuple[int, int]] = lambda epoch: (PROTOCOL_BPS, AUDIT_BPS),
    ) -> None:
        self.index, self._split, self._lineage = index, shares_of_fee, lineage
        self._accounts = Accounts(treasury, operator, stakers, fixed=dict(fixed), audits=audits)
        self._cut = cut

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        """Split ``fee`` wei; every wei is in exactly one payout or in the cut that the chain takes."""
        if outcome.status is Status.FAILED:
            return Credit((), {"refund": "the action failed"})
        calls = [step for step in outcome.steps if isinstance(step, ModelCallStep)]
        protocol, audit = self._cut(epoch)
        joined, payouts = divide_action(
            self.index,
            [step.output_tokens for step in calls],
            self._lineage(calls),
            fee,
            self._split,
            self._accounts,
            protocol_bps=protocol,
            audit_bps=audit,
        )
        scores = scores_of(joined, payouts) | {"retrieval": retrieval(self.index, outcome.steps).to_block()}
        return Credit(tuple(by_account(claimable(payouts)).items()), scores)


def explain_action(index: SpanIndex, content: ActionContent, steps: Sequence[Step]) -> Explanation | None:
    """The receipt a contributor reads: words → row → contributor → wei, and what is near a row but not paid. None for a
    refunded action."""
    outputs = [step.output_tokens for step in steps if isinstance(step, ModelCallStep)]
    near: list[NearSpan] = []
    offset = 0
    for output in outputs:
        near += [
            replace(span, start=span.start + offset, end=span.end + offset) for span in index.near(output)
        ]
        offset += len(output)
    return receipt_of(index, content.scores, outputs, near)
