"""The receipt a person reads: these words, from this row, by this contributor, for this much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._shares import Shares
from ._split import Payout
from .spans import NearSpan, Source, SpanIndex, checked_tokens

__all__ = ["Receipt", "ReceiptLine", "explain"]


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
class Receipt:
    """Why a fee was divided as it was. ``lines`` and ``others`` together are the whole fee."""

    rule: str
    fee: int
    covered_bps: int
    """Share of the output's weight that a contributor is credited for, in 1/10,000."""
    lines: tuple[ReceiptLine, ...]
    others: tuple[Payout, ...]
    """Every payout that is not for words: protocol, operator, models, stakers, unattributed."""
    near: tuple[NearSpan, ...] = ()
    """Stretches that stand in a row but for edits: shown, paid nothing."""

    def __str__(self) -> str:
        head = f"{self.fee} wei under rule {self.rule}; {self.covered_bps / 100:.1f} % of the output has a source"
        rest = [f"{payout.reason} {payout.account}: {payout.amount} wei" for payout in self.others]
        near = [
            f"tokens {span.start}–{span.end} near row {span.source.row} of {span.source.contributor}: "
            f"{span.matched} the same, {span.edits} edited, not paid"
            for span in self.near
        ]
        return "\n".join([head, *map(str, self.lines), *rest, *near])


def explain(
    index: SpanIndex, output_tokens: Sequence[int], shares: Shares, payouts: Sequence[Payout]
) -> Receipt:
    """Takes the contributors' payouts apart into the stretches of output they are for.

    A contributor's wei are divided over the stretches by weight, rounding down, and the last stretch takes what
    is left, so the lines add up to the payout.
    """
    tokens = checked_tokens(output_tokens)
    lines: list[ReceiptLine] = []
    for payout in payouts:
        weight, left = sum(credit.weight for credit in payout.credits), payout.amount
        for number, credit in enumerate(payout.credits, 1):
            last = number == len(payout.credits)
            wei = left if last else payout.amount * credit.weight // weight
            left -= wei
            text = index.decode(tokens[credit.start : credit.end]).strip()
            lines.append(
                ReceiptLine(text, credit.start, credit.end, credit.source, payout.account, credit.weight, wei)
            )
    covered = shares.total - shares.unattributed
    return Receipt(
        shares.rule,
        sum(payout.amount for payout in payouts),
        covered * 10_000 // shares.total if shares.total else 0,
        tuple(sorted(lines, key=lambda line: line.start)),
        tuple(payout for payout in payouts if not payout.credits),
        tuple(span for span in index.near(tokens) if span.edits),
    )
