"""The receipt a person reads: these words, from this row, by this contributor, for this much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ContentError, UserError
from ._retrieval import Retrieval
from ._shares import Credit, Portion, Shares
from ._split import Payout
from .spans import NearSpan, Source, checked_tokens

__all__ = ["Decoder", "InfluenceLine", "Receipt", "ReceiptLine", "explain", "receipt_of"]


class Decoder(Protocol):
    """Token ids → text, special tokens left out: an index, or a base model's tokenizer."""

    def decode(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """One stretch of output and what it earned."""

    text: str
    start: int
    end: int
    source: Source
    account: str
    weight: int
    """Thousandths of a bit."""
    wei: int

    def __str__(self) -> str:
        return f"“{self.text}” ← row {self.source.row} of {self.source.contributor}: {self.wei} wei"


@dataclass(frozen=True, slots=True)
class InfluenceLine:
    """What a row earned by its influence on the output as a whole."""

    source: Source
    account: str
    weight: int
    """Thousandths of a bit."""
    wei: int

    def __str__(self) -> str:
        return f"influence of row {self.source.row} of {self.source.contributor}: {self.wei} wei"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Why a fee was divided as it was. ``lines``, ``influenced`` and ``others`` together are the whole fee."""

    rule: str
    fee: int
    covered_bps: int
    """Share of the output's weight that a contributor is credited for, in 1/10,000."""
    lines: tuple[ReceiptLine, ...]
    others: tuple[Payout, ...]
    """Every payout that is not to contributors: protocol, operator, models, stakers, unattributed."""
    shares: Shares | None = None
    """The span score: what the lines follow from."""
    retrieval: Retrieval | None = None
    """The retrieval score, which this rule does not pay; None where it was not computed."""
    influenced: tuple[InfluenceLine, ...] = ()
    near: tuple[NearSpan, ...] = ()
    """Stretches that stand in a row but for edits: shown, paid nothing."""

    def __str__(self) -> str:
        head = f"{self.fee} wei under rule {self.rule}; {self.covered_bps / 100:.1f} % of the output has a source"
        rest = [f"{payout.reason} {payout.account}: {payout.amount} wei" for payout in self.others]
        seen = [
            f"retrieval: row {one.source.row} of {one.source.contributor}: {one.tokens} tokens in the prompts; "
            f"not paid by {self.rule}"
            for one in (self.retrieval.rows if self.retrieval else ())
        ]
        near = [
            f"tokens {span.start}–{span.end} near row {span.source.row} of {span.source.contributor}: "
            f"{span.matched} the same, {span.edits} edited, not paid"
            for span in self.near
        ]
        return "\n".join([head, *map(str, self.lines), *map(str, self.influenced), *rest, *seen, *near])


def explain(
    index: Decoder,
    output_tokens: Sequence[int],
    shares: Shares,
    payouts: Sequence[Payout],
    retrieval: Retrieval | None = None,
    near: Sequence[NearSpan] = (),
) -> Receipt:
    """Takes the contributors' payouts apart into the stretches of output, and the rows' influence, they are for.

    A contributor's wei are divided over them by weight, rounding down, and the last takes what is left, so the lines add
    up to the payout. ``near`` comes from :meth:`SpanIndex.near`; exact spans among them are left out.
    """
    tokens = checked_tokens(output_tokens)
    lines: list[ReceiptLine] = []
    influenced: list[InfluenceLine] = []
    for payout in payouts:
        parts: tuple[Credit | Portion, ...] = (*payout.credits, *payout.portions)
        weight, left = sum(part.weight for part in parts), payout.amount
        for number, part in enumerate(parts, 1):
            wei = left if number == len(parts) else payout.amount * part.weight // weight
            left -= wei
            if isinstance(part, Portion):
                influenced.append(InfluenceLine(part.source, payout.account, part.weight, wei))
                continue
            text = index.decode(tokens[part.start : part.end]).strip()
            lines.append(
                ReceiptLine(text, part.start, part.end, part.source, payout.account, part.weight, wei)
            )
    covered = shares.total - shares.unattributed
    return Receipt(
        shares.rule,
        sum(payout.amount for payout in payouts),
        covered * 10_000 // shares.total if shares.total else 0,
        tuple(sorted(lines, key=lambda line: line.start)),
        tuple(payout for payout in payouts if not payout.credits and not payout.portions),
        shares,
        retrieval,
        tuple(influenced),
        tuple(span for span in near if span.edits),
    )


def receipt_of(
    decoder: Decoder, scores: Any, outputs: Sequence[Sequence[int]], near: Sequence[NearSpan] = ()
) -> Receipt | None:
    """The receipt that a record's ``scores`` make of its model outputs (token ids, in call order): what it says, not what
    is right. None when it says nothing of payouts, as of a refunded action.

    Raises ``ContentError`` when the scores are malformed or name tokens that are not there.
    """
    if not isinstance(scores, Mapping) or "shares" not in scores:
        return None
    try:
        joined = Shares.from_block(scores["shares"])
        retrieved = Retrieval.from_block(scores["retrieval"]) if "retrieval" in scores else None
        payouts = []
        for account, amount, reason, asset_id in scores["payouts"]:
            mine = joined.of(account) if reason == "contributor" else ((), ())
            payouts.append(Payout(str(account), int(amount), str(reason), asset_id, *mine))
        tokens = [token for output in outputs for token in output]
        if any(not 0 <= c.start < c.end <= len(tokens) for c in joined.credits):
            raise ValueError(f"a credit lies outside of {len(tokens)} output tokens")
        return explain(decoder, tokens, joined, payouts, retrieved, near)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, UserError) as error:
        raise ContentError("The scores of the record are malformed", why=str(error)) from error
