"""The receipt a person reads: these words, from this row, by this contributor, for this much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ContentError, UserError
from ._retrieval import Retrieval
from ._shares import Shares
from ._split import Payout
from ._types import Source, checked_tokens

__all__ = ["Decoder", "Receipt", "ReceiptLine", "explain", "receipt_of"]


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
class Receipt:
    """Why a fee was divided as it was. ``lines`` and ``others`` together are the whole fee."""

    rule: str
    fee: int
    covered_bps: int
    """Share of the output's weight that a contributor is credited for, in 1/10,000."""
    lines: tuple[ReceiptLine, ...]
    others: tuple[Payout, ...]
    """Every payout that is not for words: protocol, operator, models, stakers, unattributed."""
    shares: Shares | None = None
    """The span score: what the lines follow from."""
    retrieval: Retrieval | None = None
    """The retrieval score, which this rule does not pay; None where it was not computed."""

    def __str__(self) -> str:
        head = f"{self.fee} wei under rule {self.rule}; {self.covered_bps / 100:.1f} % of the output has a source"
        rest = [f"{payout.reason} {payout.account}: {payout.amount} wei" for payout in self.others]
        seen = [
            f"retrieval: row {one.source.row} of {one.source.contributor}: {one.tokens} tokens in the prompts; "
            f"not paid by {self.rule}"
            for one in (self.retrieval.rows if self.retrieval else ())
        ]
        return "\n".join([head, *map(str, self.lines), *rest, *seen])


def explain(
    index: Decoder,
    output_tokens: Sequence[int],
    shares: Shares,
    payouts: Sequence[Payout],
    retrieval: Retrieval | None = None,
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
        shares,
        retrieval,
    )


def receipt_of(decoder: Decoder, scores: Any, outputs: Sequence[Sequence[int]]) -> Receipt | None:
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
            mine = tuple(
                c for c in joined.credits if reason == "contributor" and c.source.contributor == account
            )
            payouts.append(Payout(str(account), int(amount), str(reason), asset_id, mine))
        tokens = [token for output in outputs for token in output]
        if any(not 0 <= c.start < c.end <= len(tokens) for c in joined.credits):
            raise ValueError(f"a credit lies outside of {len(tokens)} output tokens")
        return explain(decoder, tokens, joined, payouts, retrieved)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, UserError) as error:
        raise ContentError("The scores of the record are malformed", why=str(error)) from error
