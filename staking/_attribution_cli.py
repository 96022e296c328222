"""``openledger attribution``: who is paid for an action's words, and whether that is what the rule makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..registry import Connection
from ..registry.commands import Json, console, when

if TYPE_CHECKING:
    from ..attribution import Receipt, ReceiptLine
    from ._receipt import ActionReceipt
    from ._recompute import Recomputed

__all__ = ["attribution"]

attribution = typer.Typer(no_args_is_help=True, help="Who is paid for an action's words, and is that right.")

Cid = Annotated[str, typer.Argument(help="CID of an action's record, as printed in its receipt")]

_COLOURS = ("green", "cyan", "magenta", "yellow", "blue", "red")
_EXCERPT = 30
"""Characters of a row that are shown on each side of its words."""


@attribution.command()
def show(cid: Cid, as_json: Json = False) -> None:
    """The receipt as the record has it: the answer with its words by contributor, every row that is paid, every wei.

    Needs the content store only. It checks nothing: `openledger attribution recompute CID` does. Exit 4 when the record's
    own lines do not add up to its fee.
    """
    from ..openlora import fetch_tokenizer
    from ..registry import open_store
    from ..settings import get_settings
    from ._receipt import read_receipt

    settings, store = get_settings(), open_store()
    with console.status("reading"):
        receipt = read_receipt(
            cid, store=store, tokenizer_for=lambda base: fetch_tokenizer(base, store, settings.cache_dir)
        )
    if as_json:
        console.print_json(data=_plain(receipt))
    else:
        _print(receipt)
    if not receipt.adds_up:
        raise typer.Exit(4)


@attribution.command()
def recompute(cid: Cid, as_json: Json = False) -> None:
    """Recompute shares and payouts of an action, and of its batch, from chain and content store alone: ok, differs (what, and
    the command that disputes it) or unverified.

    Exit 0 ok, 4 differs, 3 unverified: something could not be had.
    """
    from ._examine import index_for
    from ._recompute import Found
    from ._recompute import recompute as again

    with Connection.open() as connection:
        with console.status("recomputing"):
            result = again(
                cid,
                store=connection.store,
                ledger=connection.ledger,
                assets=connection.assets,
                index_for=index_for(connection),
            )
        if as_json:
            console.print_json(data=_found(result))
        else:
            _tell(result)
    if result.found is not Found.OK:
        raise typer.Exit(4 if result.found is Found.DIFFERS else 3)


# -- show -----------------------------------------------------------------------------------------


def _print(receipt: ActionReceipt) -> None:
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
            where = f"{line.source.row} of {receipt.names.get(line.source.datanet, line.source.datanet)}"
            excerpt = _around(line.text, receipt.text_of(line.source))
            words.add_row(
                f"[{colour}]{escape(line.text)}[/]",
                f"{escape(where)}\n[dim]{escape(excerpt)}[/]",
                escape(line.account),
                f"{line.wei:,}",
            )
        console.print(words)
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
    scores.add_row("span", f"{paid.covered_bps / 100:.2f} % of the output's weight stands in {held}", "yes")
    seen = paid.retrieval
    if seen is None:
        scores.add_row("retrieval", "not computed", "no")
    else:
        told = [f"{one.tokens} tokens of {one.source.row} by {one.source.contributor}" for one in seen.rows]
        told += [f"refused: {one.row}, {one.why}" for one in seen.refused]
        in_all = f"{sum(one.tokens for one in seen.rows)} of {seen.prompt_tokens} prompt tokens"
        scores.add_row("retrieval", escape("\n".join([in_all, *told])), "no")
    influence = "not computed" if receipt.influence is None else "in the record; see --json"
    scores.add_row("influence", influence, "no")
    console.print(scores)


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


def _plain(receipt: ActionReceipt) -> dict[str, Any]:
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
        "others": [
            {"for": one.reason, "asset": one.asset_id, "account": one.account, "wei": str(one.amount)}
            for one in paid.others
        ],
        "scores": {
            "span": {"coveredBps": paid.covered_bps, "paid": True},
            "retrieval": None if paid.retrieval is None else paid.retrieval.to_block() | {"paid": False},
            "influence": receipt.influence,
        },
    }


# -- recompute ------------------------------------------------------------------------------------


def _tell(result: Recomputed) -> None:
    lines = Table("part", "found", "why")
    for line in result.lines:
        lines.add_row(line.name, str(line.found), escape(line.why))
    console.print(lines)
    if result.differences:
        wrong = Table("where", "account", "paid, wei", "due, wei")
        for one in result.differences:
            wrong.add_row(one.where, escape(one.account), f"{one.paid:,}", f"{one.due:,}")
        console.print(wrong)
    console.print(str(result.found))
    if (remedy := _remedy(result)) is not None:
        console.print(remedy)


def _remedy(result: Recomputed) -> str | None:
    """What to do about payouts that differ."""
    if result.disputable_until is not None:
        until = when(result.disputable_until)
        return f"dispute it until {until}: `openledger challenge {result.cid}`"
    if result.claims == "open":
        return "its window is over: what the batch pays can no longer be disputed"
    if result.claims:
        return f"a jury has what the batch pays: claims are {result.claims}"
    return None


def _found(result: Recomputed) -> dict[str, Any]:
    """As JSON; wei as text."""
    header, batch = result.header, result.batch
    return {
        "cid": result.cid,
        "found": str(result.found),
        "parts": [{"part": line.name, "found": str(line.found), "why": line.why} for line in result.lines],
        "payouts": [
            {"for": one.reason, "asset": one.asset_id, "account": one.account, "wei": str(one.amount)}
            for one in result.payouts
        ],
        "payoutRoot": {
            "anchored": None if header is None else "0x" + header.payout_root.hex(),
            "due": None if batch is None else "0x" + batch.root.hex(),
        },
        "differences": [
            {"where": one.where, "account": one.account, "paid": str(one.paid), "due": str(one.due)}
            for one in result.differences
        ],
        "dispute": None if result.disputable_until is None else f"openledger challenge {result.cid}",
        "claims": result.claims or None,
    }
