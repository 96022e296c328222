"""One action divided: the shares of its outputs and what its fee pays. What operators compute, and jurors again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ContentError
from ._rules import RULE_V1, RULE_V2
from ._shares import Influence, Shares, shares
from ._split import Accounts, ModelUse, Payout, split, with_shares
from ._stated import Stated, paid_by
from .spans import SpanIndex

if TYPE_CHECKING:
    from ..registry import Split

__all__ = ["add_influence", "divide_action", "scores_of", "shares_of"]


def shares_of(
    index: SpanIndex, outputs: Sequence[Sequence[int]], influences: Sequence[Influence] | None = None
) -> Shares:
    """The shares of an action's model outputs, in call order, as one: under ``RULE_V2`` with the ``influences`` on each,
    else under ``RULE_V1``."""
    rule = RULE_V1 if influences is None else RULE_V2
    each: Sequence[Influence | None] = [None] * len(outputs) if influences is None else influences
    made = [
        shares(tokens, index.find(tokens), rule, costs=index.costs(tokens), influence=influence)
        for tokens, influence in zip(outputs, each, strict=True)
    ]
    return Shares.joined(made, rule)


def divide_action(
    index: SpanIndex,
    outputs: Sequence[Sequence[int]],
    uses: Sequence[ModelUse],
    fee: int,
    split_bps: Split,
    accounts: Accounts,
    *,
    protocol_bps: int,
    audit_bps: int,
    influences: Sequence[Influence] | None = None,
) -> tuple[Shares, list[Payout]]:
    """The shares of an action and the payouts of its ``fee`` (wei), cut included; see :func:`split` and :func:`shares_of`.

    A pure function of its arguments, in integers: everybody who has them gets the same.
    """
    joined = shares_of(index, outputs, influences)
    payouts = split(fee, split_bps, uses, joined, accounts, protocol_bps=protocol_bps, audit_bps=audit_bps)
    return joined, payouts


def add_influence(
    index: SpanIndex,
    scores: Any,
    outputs: Sequence[Sequence[int]],
    stated: Sequence[Stated],
    split_bps: Split,
) -> tuple[Shares, list[Payout]]:
    """Shares and payouts under ``RULE_V2`` of an action whose record's ``scores`` divide it by spans alone, with what its
    batch states of each output: as :func:`divide_action` gives with that influence.

    Raises ``ContentError`` for malformed scores.
    """
    try:
        said = scores["payouts"] if isinstance(scores, Mapping) else []
        before = [Payout(str(to), int(wei), str(why), asset) for to, wei, why, asset in said]
    except (KeyError, TypeError, ValueError) as error:
        raise ContentError("The scores of the record are malformed", why=str(error)) from error
    influences = [paid_by(one, len(tokens)) for one, tokens in zip(stated, outputs, strict=True)]
    joined = shares_of(index, outputs, influences)
    # every fee has its cut, and what is nobody's goes where that does
    treasury = next((one.account for one in before if one.reason == "protocol"), "")
    return joined, with_shares(before, split_bps, joined, treasury)


def scores_of(joined: Shares, payouts: Sequence[Payout]) -> dict[str, Any]:
    """What a record's content says about its payouts, as dag-cbor values."""
    return {
        "shares": joined.to_block(),
        "payouts": [[p.account, str(p.amount), p.reason, p.asset_id] for p in payouts],
    }
