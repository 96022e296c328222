"""What a batch had to pay: its payouts recomputed from chain and content store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..attribution import (
    RULE_V1,
    RULE_V2,
    Accounts,
    Influence,
    NoInfluence,
    Shares,
    SpanIndex,
    Stated,
    batch_payouts,
    by_account,
    claimable,
    counted,
    decode_influence,
    divide_action,
    give_back,
    paid_by,
)
from ..attribution import Payout as Division
from ..errors import ChallengeError, ContentError
from ..registry import (
    Assets,
    Batch,
    BatchEntry,
    BatchHeader,
    ContentStore,
    Ledger,
    Manifest,
    ModelCallStep,
    Payout,
    action_fee,
    cid_from_digest,
    payout_tree,
    payouts_answer,
)
from ._influence import InfluenceFor
from ._owners import Owners, declared_owners
from ._verify import Action, fetch_action

__all__ = [
    "IndexFor",
    "Judged",
    "Payouts",
    "Terms",
    "fetch_batch",
    "model_calls",
    "recompute_payouts",
    "stated_of",
]

IndexFor = Callable[[Manifest], SpanIndex]
"""Gives the span index over a manifest's datanets, in its base model's tokens."""

NOT_YET = NoInfluence("its batch states it")


@dataclass(frozen=True)
class Judged:
    """The influence on an action's model outputs, in call order."""

    stated: tuple[Stated, ...] | None
    """What its batch states; None when it states nothing."""
    own: tuple[Stated, ...]
    """What one computes oneself."""

    @property
    def counted(self) -> list[Stated]:
        """What its fee is divided by."""
        stated = self.stated or (None,) * len(self.own)
        return [counted(theirs, mine) for theirs, mine in zip(stated, self.own, strict=True)]

    @property
    def refused(self) -> list[int]:
        """Outputs of which something else counts than what is stated."""
        stated = self.stated or (None,) * len(self.own)
        return [
            place
            for place, (said, found) in enumerate(zip(stated, self.counted, strict=True))
            if found != said and (isinstance(said, Influence) or isinstance(found, Influence))
        ]


@dataclass(frozen=True)
class Terms:
    """What divides the fees of an epoch's actions."""

    manifest: Manifest
    index: SpanIndex
    accounts: Accounts
    protocol_bps: int
    audit_bps: int
    owners: Owners
    influence_for: InfluenceFor | None = None
    """Under ``RULE_V2``."""

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
        influence_for: InfluenceFor | None = None,
    ) -> Terms:
        """Those of an epoch, for actions anchored ``at`` (unix seconds). Raises as :func:`recompute_payouts`."""
        opened = ledger.epoch(agent_id, epoch)
        if opened is None:
            raise ChallengeError(
                f"agent {agent_id} never opened epoch {epoch}", fix="ask for a record of this chain"
            )
        manifest = Manifest.decode(opened.manifest, store.get)
        if manifest.rule not in (RULE_V1, RULE_V2):
            raise ChallengeError(
                f"attribution rule {manifest.rule!r} is not known",
                fix="upgrade openledger; abstain until then",
            )
        if manifest.rule == RULE_V2 and influence_for is None:
            raise ChallengeError(
                f"what rule {manifest.rule} pays cannot be recomputed here",
                why="nothing was given that computes influence",
                fix="use the openledger command, or pass influence_for; abstain otherwise",
            )
        accounts = Accounts(
            treasury=ledger.settlement.treasury,
            operator=opened.operator,
            stakers=ledger.contracts.address("DelegationPool"),
            fixed={share.account: share.bps for share in manifest.fixed},
            audits=ledger.contracts.address("Disputes"),
        )
        cut = ledger.settlement.cut(agent_id, epoch)
        by_influence = influence_for if manifest.rule == RULE_V2 else None
        return cls(manifest, index_for(manifest), accounts, *cut, Owners(assets, at), by_influence)

    def judge(
        self, actions: Sequence[Action], entries: Sequence[BatchEntry], store: ContentStore
    ) -> list[Judged] | None:
        """What a batch states of its actions' influence, beside what one computes oneself of all of them in one go: so
        that everybody adds up the same numbers in the same order. None under a rule without influence."""
        if self.influence_for is None:
            return None
        calls = [model_calls(action) for action in actions]
        own = self.influence_for(self.manifest, [call for several in calls for call in several])
        judged = []
        for entry, several in zip(entries, calls, strict=True):
            stated = stated_of(entry, several, self.index, store)
            judged.append(Judged(stated, tuple(own[: len(several)])))
            own = own[len(several) :]
        return judged

    def divide(self, action: Action, judged: Judged | None = None) -> tuple[Shares, list[Division]]:
        """The shares of an action and what its fee pays, by reason; under a rule that pays by influence without any, as
        in an action's own record, when nothing is ``judged``. What was charged beyond its tariff is the client's."""
        calls = model_calls(action)
        influences = None
        if self.influence_for is not None:
            found: Sequence[Stated] = [NOT_YET] * len(calls) if judged is None else judged.counted
            influences = [
                paid_by(one, len(call.output_tokens)) for one, call in zip(found, calls, strict=True)
            ]
        declared = declared_owners(action.content.scores)
        charged = action.record.fee
        due = action_fee(self.manifest, action.steps, charged)
        shares, payouts = divide_action(
            self.index,
            [call.output_tokens for call in calls],
            [self.owners.use(call, declared) for call in calls],
            due,
            self.manifest.split,
            self.accounts,
            protocol_bps=self.protocol_bps,
            audit_bps=self.audit_bps,
            influences=influences,
        )
        cut = self.protocol_bps + self.audit_bps
        return shares, payouts + give_back(charged - due, action.record.client, self.accounts.treasury, cut)


@dataclass(frozen=True)
class Payouts:
    """What a batch had to pay, in the order of its payout tree."""

    payouts: tuple[Payout, ...]
    terms: Terms
    actions: tuple[Action, ...]
    judged: Mapping[int, Judged] = field(default_factory=dict)
    """Influence by the action's place in the batch, of those that are charged for."""

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
    header: BatchHeader,
    *,
    store: ContentStore,
    ledger: Ledger,
    assets: Assets,
    index_for: IndexFor,
    influence_for: InfluenceFor | None = None,
) -> Payouts:
    """The payouts that rule and manifest make of the batch's records, in exact integers. ``influence_for`` is needed under
    ``RULE_V2``.

    Which account owned a model may change while an action runs: the record says which it paid, and any that owned
    it in the hours before the batch was anchored counts. Raises ``ContentError`` when something cannot be had or is not what
    was anchored, ``ChallengeError`` for a rule that is not known here or cannot be recomputed.
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
        influence_for=influence_for,
    )
    totals: dict[str, int] = {}
    actions = tuple(_actions(batch, store))
    charged = [place for place, action in enumerate(actions) if action.record.charge]
    found = terms.judge([actions[one] for one in charged], [batch.entries[one] for one in charged], store)
    judged = {} if found is None else dict(zip(charged, found, strict=True))
    for place in charged:
        _, payouts = terms.divide(actions[place], judged.get(place))
        for account, amount in by_account(claimable(payouts)).items():
            totals[account] = totals.get(account, 0) + amount
    net = ledger.settlement.net(header.agent_id, header.epoch, header.sum)
    paid = (
        batch_payouts(net, totals, treasury=terms.accounts.treasury, fixed=list(terms.accounts.fixed))
        if header.sum
        else []
    )
    return Payouts(tuple(Payout(*payout) for payout in paid), terms, actions, judged)


def model_calls(action: Action) -> list[ModelCallStep]:
    """The model calls of an action, in order."""
    return [step for step in action.steps if isinstance(step, ModelCallStep)]


def stated_of(
    entry: BatchEntry, calls: Sequence[ModelCallStep], index: SpanIndex, store: ContentStore
) -> tuple[Stated, ...] | None:
    """What a batch states of the influence on an action's model calls; None when it states nothing. Raises ``ContentError``
    when it cannot be had."""
    if entry.influence is None:
        return None
    lengths = [len(call.output_tokens) for call in calls]
    return tuple(decode_influence(entry.influence, store.get, index.sources, lengths))


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
