"""The receipt of an action as its record and its batch have it: its words by contributor, the rows behind them, every wei of
its fee.

It shows what they say; whether that is right, ``recompute`` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..attribution import (
    RULE_V2,
    Decoder,
    Receipt,
    ReceiptLine,
    Source,
    SpanIndex,
    Stated,
    add_influence,
    receipt_of,
    scores_of,
)
from ..datanets import Datanet, fetch, shipped, shipped_names
from ..errors import ContentError, OpenLedgerError
from ..registry import ContentStore, Ledger, Manifest, ModelCallStep
from ._shares import IndexFor, fetch_batch, model_calls, stated_of
from ._verify import Action, fetch_action

__all__ = ["ActionReceipt", "OutputText", "StatedFor", "read_receipt", "stated_for"]

TokenizerFor = Callable[[str], Path]
"""Gives the ``tokenizer.json`` of the base model with this CID. Raises ``ContentError``."""

StatedFor = Callable[[Action], tuple[SpanIndex, Sequence[Stated]] | None]
"""Gives what the batch of an action states of the influence on its model outputs, and the index whose rows that names; None
before it is anchored. Raises ``ContentError``."""


@dataclass(frozen=True)
class OutputText:
    """One model call's output: its text in pieces, each with the line of the receipt that it is paid by."""

    step: int
    node: str
    asset_id: int
    pieces: tuple[tuple[str, ReceiptLine | None], ...]


@dataclass(frozen=True)
class ActionReceipt:
    """An action and what its record says of its attribution."""

    action: Action
    paid: Receipt | None
    """None when nothing is divided: ``why`` says so."""
    why: str = ""
    outputs: tuple[OutputText, ...] = ()
    rows: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Text of a row by (datanet, row); of those that could be had."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of a datanet by its CID."""
    influence: tuple[Stated, ...] | None = None
    """What its batch states of each model output; None under a rule without influence, and before it is anchored."""

    @property
    def adds_up(self) -> bool:
        """Whether lines and other payouts come to the fee, to the wei."""
        paid = self.paid
        if paid is None:
            return True
        lines = sum(line.wei for line in paid.lines) + sum(line.wei for line in paid.influenced)
        lines += sum(other.amount for other in paid.others)
        # a run without chain divides the agent's price, though nobody paid it
        return lines == paid.fee and (paid.fee == self.action.record.fee or self.action.record.agent_id == 0)

    def text_of(self, source: Source) -> str | None:
        """The row's text, or None where the datanet cannot be had."""
        return self.rows.get((source.datanet, source.row))


def stated_for(ledger: Ledger, store: ContentStore, index_for: IndexFor) -> StatedFor:
    """By the batches anchored on ``ledger``'s chain."""

    def get(action: Action) -> tuple[SpanIndex, Sequence[Stated]] | None:
        record = action.record
        header = ledger.batch_of(record.agent_id, record.nonce)
        if header is None:
            return None
        entry = fetch_batch(header, store).entries[record.nonce - header.first_nonce]
        if entry.struct_hash != record.struct_hash():
            return None
        index = index_for(Manifest.decode(action.content.manifest, store.get))
        stated = stated_of(entry, model_calls(action), index, store)
        return None if stated is None else (index, stated)

    return get


def read_receipt(
    cid: str, *, store: ContentStore, tokenizer_for: TokenizerFor, stated: StatedFor | None = None
) -> ActionReceipt:
    """The receipt of the action whose record is at ``cid``; with what its batch adds by influence, where its rule pays by
    that and ``stated`` gives it.

    Raises ``UserError`` for a malformed CID and ``ContentError`` when record, manifest or tokenizer cannot be had, or the
    scores are malformed. A datanet that cannot be had only leaves its rows without text.
    """
    action = fetch_action(cid, store)
    scores = action.content.scores
    if not isinstance(scores, Mapping) or "shares" not in scores:
        refund = scores.get("refund") if isinstance(scores, Mapping) else None
        why = f"{refund}: the fee goes back to its client" if refund else "its record divides nothing"
        return ActionReceipt(action, None, why)
    outputs = [step.output_tokens for step in action.steps if isinstance(step, ModelCallStep)]
    manifest = Manifest.decode(action.content.manifest, store.get)
    decoder = _Tokenizer(tokenizer_for(manifest.models[0].cid)) if manifest.models else _NoTokens()
    found = stated(action) if stated is not None and manifest.rule == RULE_V2 else None
    if found is not None:
        index, said = found
        scores = {**scores, **scores_of(*add_influence(index, scores, outputs, said, manifest.split))}
    paid = receipt_of(decoder, scores, outputs)
    assert paid is not None  # there are shares
    texts = _texts(action, paid.lines, decoder)
    sources = [line.source for line in paid.lines] + [line.source for line in paid.influenced]
    sources += [one.source for one in (paid.retrieval.rows if paid.retrieval else ())]
    nets = _datanets(sources, store)
    rows = {(cid, row.row): row.text for cid, net in nets.items() for row in net.rows}
    names = {cid: net.name for cid, net in nets.items()}
    return ActionReceipt(action, paid, "", texts, rows, names, None if found is None else tuple(found[1]))


def _texts(action: Action, lines: Sequence[ReceiptLine], decoder: Decoder) -> tuple[OutputText, ...]:
    """Every model call's output, cut where a line begins or ends."""
    made, offset = [], 0
    for number, step in enumerate(action.steps):
        if not isinstance(step, ModelCallStep):
            continue
        tokens, pieces, place = list(step.output_tokens), [], 0
        for line in lines:  # in the order of their starts
            start, end = max(line.start - offset, place), min(line.end - offset, len(tokens))
            if start < end:
                pieces += [(tokens[place:start], None), (tokens[start:end], line)]
                place = end
        pieces.append((tokens[place:], None))
        read = tuple((decoder.decode(part), line) for part, line in pieces if part)
        made.append(OutputText(number, step.node, step.asset_id, read))
        offset += len(tokens)
    return tuple(made)


def _datanets(sources: Sequence[Source], store: ContentStore) -> dict[str, Datanet]:
    found = {}
    for cid in {source.datanet for source in sources}:
        with suppress(OpenLedgerError):
            # a run without chain names its datanets, which nobody published
            found[cid] = shipped(cid) if cid in shipped_names() else fetch(store, cid)
    return found


class _NoTokens:
    def decode(self, tokens: Sequence[int]) -> str:
        if tokens:
            raise ContentError("the manifest names no base model", why="its tokens cannot be read")
        return ""


class _Tokenizer(Decoder):
    """Token ids → text by a ``tokenizer.json``."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the Rust side raises a bare Exception for bad JSON
            raise ContentError(f"the tokenizer {path} cannot be read", why=str(error)) from error

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
