"""Who is paid for an action: spans of its output found in the declared datanets, the models' lineage, and, when its batch is
fixed, the rows that taught the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..agents import Outcome
from ..attribution import (
    AUDIT_BPS,
    PROTOCOL_BPS,
    RULE_V1,
    RULE_V2,
    Accounts,
    Influence,
    ModelUse,
    NearSpan,
    SpanIndex,
    add_influence,
    by_account,
    claimable,
    divide_action,
    encode_influence,
    receipt_of,
    retrieval,
    rule_id,
    scores_of,
)
from ..attribution import Receipt as Explanation
from ..registry import (
    ActionContent,
    ContentStore,
    Encoded,
    FixedShare,
    Manifest,
    ModelCallStep,
    Split,
    Status,
    Step,
    decode_step,
)
from ..staking import IndexFor, InfluenceFor
from ._operator import Credit

__all__ = ["LateInfluence", "Settle", "Settled", "SpanAttributor", "explain_action"]

UsesOf = Callable[[Sequence[ModelCallStep]], list[ModelUse]]
"""An action's model calls → for each the model used, its owner and the royalties above it."""


class SpanAttributor:
    """Attribution by spans over one index of all datanets an agent declares. Under ``RULE_V2`` that is what a record says;
    what influence adds, its batch does.

    ``stakers`` is the account that shares among them, ``cut`` gives the protocol's and the audits' part in an
    epoch, in 1/10,000. A failed action costs nothing: its payment goes back to its client whole.
    """

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
        rule: str = RULE_V1,
    ) -> None:
        self.rule, self.rule_id = rule, rule_id(rule)
        self.index, self._split, self._lineage = index, shares_of_fee, lineage
        self._accounts = Accounts(treasury, operator, stakers, fixed=dict(fixed), audits=audits)
        self._cut, self._asking = cut, threading.Lock()

    def credit(self, outcome: Outcome, fee: int, epoch: int) -> Credit:
        """Split ``fee`` wei; every wei is in exactly one payout or in the cut that the chain takes."""
        if outcome.status is Status.FAILED:
            return Credit((), {"refund": "the action failed"})
        calls = [step for step in outcome.steps if isinstance(step, ModelCallStep)]
        outputs = [step.output_tokens for step in calls]
        with self._asking:  # what all of them need from the chain now and then, one asks for
            (protocol, audit), uses = self._cut(epoch), self._lineage(calls)
        joined, payouts = divide_action(
            self.index,
            outputs,
            uses,
            fee,
            self._split,
            self._accounts,
            protocol_bps=protocol,
            audit_bps=audit,
            influences=[Influence((0,) * len(one)) for one in outputs] if self.rule == RULE_V2 else None,
        )
        scores = scores_of(joined, payouts) | {"retrieval": retrieval(self.index, outcome.steps).to_block()}
        return Credit(tuple(by_account(claimable(payouts)).items()), scores)


@dataclass(frozen=True)
class Settled:
    """What an action pays once its influence is known: wei by account, the cut left out, and what its batch states of it."""

    payouts: dict[str, int]
    influence: Encoded


class Settle(Protocol):
    """Gives what actions pay under ``RULE_V2``, in their order; called when their batch is fixed, and again after a crash
    before that. Raises ``OpenLedgerError`` when it cannot be had now: nothing is fixed then."""

    def __call__(self, actions: Sequence[ActionContent]) -> list[Settled]: ...


class LateInfluence:
    """Settles by each action's own manifest, so that a batch of an earlier epoch is settled as that declared."""

    def __init__(self, store: ContentStore, index_for: IndexFor, influence_for: InfluenceFor) -> None:
        self._store, self._index_for, self._influence_for = store, index_for, influence_for

    def __call__(self, actions: Sequence[ActionContent]) -> list[Settled]:
        found: dict[int, Settled] = {}
        for cid in dict.fromkeys(action.manifest for action in actions):
            places = [place for place, action in enumerate(actions) if action.manifest == cid]
            manifest = Manifest.decode(cid, self._store.get)
            settled = self._of_epoch(manifest, [actions[place] for place in places])
            found |= dict(zip(places, settled, strict=True))
        return [found[place] for place in range(len(actions))]

    def _of_epoch(self, manifest: Manifest, actions: Sequence[ActionContent]) -> list[Settled]:
        """All of a batch in one go, as those do who recompute it."""
        index = self._index_for(manifest)
        calls = [
            [step for step in self._steps(action) if isinstance(step, ModelCallStep)] for action in actions
        ]
        stated = self._influence_for(manifest, [call for several in calls for call in several])
        made = []
        for action, several in zip(actions, calls, strict=True):
            mine, stated = stated[: len(several)], stated[len(several) :]
            outputs = [call.output_tokens for call in several]
            _, payouts = add_influence(index, action.scores, outputs, mine, manifest.split)
            made.append(Settled(by_account(claimable(payouts)), encode_influence(mine)))
        return made

    def _steps(self, action: ActionContent) -> list[Step]:
        return [decode_step(cid, self._store.get) for cid in action.steps]


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
