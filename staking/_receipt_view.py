"""A receipt as a person reads it, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..attribution import RULE_V2, InfluenceLine, NoInfluence, Receipt, ReceiptLine, Source, Stated
from ..registry.commands import console
from ._receipt import ActionReceipt

__all__ = ["plain_receipt", "print_receipt"]

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "red")
_EXCERPT = 30
"""Characters of a row that are shown on each side of its words."""


def print_receipt(receipt: ActionReceipt) -> None:
    """For a person: words, influence, the fee, the scores."""
    action, paid = receipt.action, receipt.paid
    record = action.record
    console.print(
        f"[bold]{escape(action.content.agent)}[/]: action {record.nonce} of agent {record.agent_id}"
    )
    if paid is None:
        console.print(f"nothing is paid: {escape(receipt.why)}")
        return
    colours = _colours(paid)
    if isinstance(action.content.output, str):
        console.print(_highlighted(action.content.output, paid.lines, colours))
    for output in receipt.outputs:
        console.print(f"\n[dim]step {output.step}, {escape(output.node)}, asset {output.asset_id}[/]")
        pieces = [
            escape(text) if line is None else f"[bold {colours[line.source.contributor]}]{escape(text)}[/]"
            for text, line in output.pieces
        ]
        console.print("  " + "".join(pieces).strip())
    console.print()
    if paid.lines:
        words = Table("words", "row", "contributor", "wei")
        words.columns[2].overflow = words.columns[3].overflow = "fold"
        words.columns[3].justify = "right"
        for line in paid.lines:
            colour = colours[line.source.contributor]
            excerpt = _around(line.text, receipt.text_of(line.source))
            words.add_row(
                f"[{colour}]{escape(line.text)}[/]",
                f"{escape(_place(receipt, line.source))}\n[dim]{escape(excerpt)}[/]",
                escape(line.account),
                f"{line.wei:,}",
            )
        console.print(words)
    if paid.influenced:
        taught = Table("influence", "row", "contributor", "wei")
        taught.columns[2].overflow = taught.columns[3].overflow = "fold"
        taught.columns[3].justify = "right"
        for one in paid.influenced:
            row = f"{escape(_place(receipt, one.source))}\n[dim]{escape(_around('', receipt.text_of(one.source)))}[/]"
            taught.add_row(_percent(one.weight, paid), row, escape(one.account), f"{one.wei:,}")
        console.print(taught)
    _print_fee(receipt, paid)
    _print_scores(receipt, paid)
    console.print(
        f"unverified: this is what the record says; `openledger attribution recompute {action.cid}` checks it"
    )


def _highlighted(answer: str, lines: Iterable[ReceiptLine], colours: Mapping[str, str]) -> Text:
    """The answer, with words that it has from the model's outputs in their contributors' colours."""
    text = Text(answer)
    for line in lines:
        for found in re.finditer(re.escape(line.text), answer, re.IGNORECASE) if line.text else ():
            text.stylize(f"bold {colours[line.source.contributor]}", *found.span())
    return text


def _print_fee(receipt: ActionReceipt, paid: Receipt) -> None:
    fee = Table("for", "to", "wei", title=f"the fee under rule {paid.rule}")
    fee.columns[2].justify = "right"
    earned: dict[str, int] = {}
    for line in paid.lines:
        earned[line.account] = earned.get(line.account, 0) + line.wei
    for account, wei in earned.items():
        fee.add_row("words", escape(account), f"{wei:,}")
    taught: dict[str, int] = {}
    for one in paid.influenced:
        taught[one.account] = taught.get(one.account, 0) + one.wei
    for account, wei in taught.items():
        fee.add_row("influence", escape(account), f"{wei:,}")
    for other in paid.others:
        what = other.reason if other.asset_id is None else f"{other.reason}, asset {other.asset_id}"
        fee.add_row(escape(what), escape(other.account), f"{other.amount:,}")
    fee.add_section()
    fee.add_row("fee", "" if receipt.adds_up else "DOES NOT ADD UP", f"{paid.fee:,}")
    console.print(fee)


def _print_scores(receipt: ActionReceipt, paid: Receipt) -> None:
    scores = Table("score", "found", "paid")
    rows = len({line.source for line in paid.lines})
    held = f"{rows} row" if rows == 1 else f"{rows} rows"
    scores.add_row("span", f"{_percent(_words(paid), paid)} of the output's weight stands in {held}", "yes")
    seen = paid.retrieval
    if seen is None:
        scores.add_row("retrieval", "not computed", "no")
    else:
        told = [f"{one.tokens} tokens of {one.source.row} by {one.source.contributor}" for one in seen.rows]
        told += [f"refused: {one.row}, {one.why}" for one in seen.refused]
        in_all = f"{sum(one.tokens for one in seen.rows)} of {seen.prompt_tokens} prompt tokens"
        scores.add_row("retrieval", escape("\n".join([in_all, *told])), "no")
    scores.add_row("influence", *_influence(receipt, paid))
    console.print(scores)


def _influence(receipt: ActionReceipt, paid: Receipt) -> tuple[str, str]:
    """What was found of it, and whether it is paid."""
    if receipt.influence is None:
        return ("stated when the action is anchored" if paid.rule == RULE_V2 else "not computed"), "no"
    rows = len(paid.influenced)
    weight = sum(one.weight for one in paid.influenced)
    told = [
        f"{_percent(weight, paid)} of the output's weight is of {rows} row{'' if rows == 1 else 's'} that taught it"
    ]
    for number, one in enumerate(receipt.influence):
        if isinstance(one, NoInfluence):
            told.append(f"output {number}: nobody's, {one.why}")
    return escape("\n".join(told)), "yes"


def _words(paid: Receipt) -> int:
    """Weight that spans cover."""
    return 0 if paid.shares is None else sum(credit.weight for credit in paid.shares.credits)


def _percent(weight: int, paid: Receipt) -> str:
    """Of the output's weight, rounded down."""
    return f"{_bps(weight, paid) / 100:.2f} %"


def _bps(weight: int, paid: Receipt) -> int:
    total = paid.shares.total if paid.shares is not None else 0
    return weight * 10_000 // total if total else 0


def _place(receipt: ActionReceipt, source: Source) -> str:
    return f"{source.row} of {receipt.names.get(source.datanet, source.datanet)}"


def _colours(paid: Receipt) -> dict[str, str]:
    people = dict.fromkeys(line.source.contributor for line in paid.lines)
    return {who: _COLOURS[number % len(_COLOURS)] for number, who in enumerate(people)}


def _around(words: str, row: str | None) -> str:
    """The row where the words stand in it."""
    if row is None:
        return "not to be had"
    start = max(row.find(words), 0)
    first, last = max(start - _EXCERPT, 0), min(start + len(words) + _EXCERPT, len(row))
    return f"{'…' if first else ''}{row[first:last].strip()}{'…' if last < len(row) else ''}"


def plain_receipt(receipt: ActionReceipt) -> dict[str, Any]:
    """As JSON; wei as text."""
    action, paid = receipt.action, receipt.paid
    record = action.record
    head = {
        "cid": action.cid,
        "agent": action.content.agent,
        "agentId": record.agent_id,
        "nonce": record.nonce,
        "output": action.content.output,
        "fee": str(record.fee),
        "found": "unverified",
    }
    if paid is None:
        return head | {"paid": False, "why": receipt.why}
    return head | {
        "paid": True,
        "rule": paid.rule,
        "addsUp": receipt.adds_up,
        "words": [
            {
                "text": line.text,
                "row": line.source.row,
                "datanet": line.source.datanet,
                "rowText": receipt.text_of(line.source),
                "contributor": line.source.contributor,
                "account": line.account,
                "weight": line.weight,
                "wei": str(line.wei),
            }
            for line in paid.lines
        ],
        "influence": [_taught(receipt, one) for one in paid.influenced],
        "others": [
            {"for": one.reason, "asset": one.asset_id, "account": one.account, "wei": str(one.amount)}
            for one in paid.others
        ],
        "scores": {
            "span": {"coveredBps": _bps(_words(paid), paid), "paid": True},
            "retrieval": None if paid.retrieval is None else paid.retrieval.to_block() | {"paid": False},
            "influence": None if receipt.influence is None else [_stated(one) for one in receipt.influence],
        },
    }


def _taught(receipt: ActionReceipt, one: InfluenceLine) -> dict[str, Any]:
    return {
        "row": one.source.row,
        "datanet": one.source.datanet,
        "rowText": receipt.text_of(one.source),
        "contributor": one.source.contributor,
        "account": one.account,
        "weight": one.weight,
        "wei": str(one.wei),
    }


def _stated(one: Stated) -> dict[str, Any]:
    """What a batch states of one output: millibits by token, parts of 10,000 by row; or why nothing."""
    if isinstance(one, NoInfluence):
        return {"why": one.why}
    parts = [[source.row, source.datanet, source.contributor, part] for source, part in one.parts]
    return {"saved": list(one.saved), "parts": parts}
