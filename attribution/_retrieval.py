"""Retrieval: rows that stand in an action's prompts because a retriever put them there.

A score of its own: rule v1-spans pays nothing for it. What a retriever claims is believed only where it can be seen:
a document counts when its words are those of the row it names, in a datanet of the index, and stand whole in the prompt
of a later model call. White space does not count, case and punctuation do. Everything is an integer that follows from
the steps and the index, so anybody gets the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..registry import ModelCallStep, RetrievalStep, Step
from .spans import Source

if TYPE_CHECKING:
    from .spans import SpanIndex

__all__ = ["Refused", "Retrieval", "Retrieved", "retrieval"]

ABSENT = "it stands in no later prompt"
OTHER_WORDS = "no declared datanet has a row of this name with these words"
COUNTED = "its words are counted for another document"


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A row that stood in prompts. ``tokens``: its own, in the index's normal form, once for each time it stood there."""

    source: Source
    tokens: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A claimed document that is not credited: the ``document``-th of step ``step``, and why."""

    step: int
    document: int
    datanet: str
    row: str
    why: str


@dataclass(frozen=True, slots=True)
class Retrieval:
    """The retrieval score of an action."""

    prompt_tokens: int
    """Length of all its prompts."""
    rows: tuple[Retrieved, ...] = ()
    """In the order of acceptance, each once."""
    refused: tuple[Refused, ...] = ()
    unnamed: int = 0
    """Documents that name no row of a datanet."""

    def to_block(self) -> dict[str, Any]:
        """As dag-cbor and JSON values, for an action's ``scores``."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "rows": [
                [one.source.accepted, one.source.datanet, one.source.row, one.source.contributor, one.tokens]
                for one in self.rows
            ],
            "refused": [[one.step, one.document, one.datanet, one.row, one.why] for one in self.refused],
            "unnamed": self.unnamed,
        }

    @classmethod
    def from_block(cls, block: Any) -> Retrieval:
        """The inverse of :meth:`to_block`. Raises ``UserError`` when the block is malformed."""
        try:
            made = cls(
                int(block["prompt_tokens"]),
                tuple(
                    Retrieved(Source(int(a), str(d), str(r), str(who)), int(t))
                    for a, d, r, who, t in block["rows"]
                ),
                tuple(Refused(int(s), int(n), str(d), str(r), str(w)) for s, n, d, r, w in block["refused"]),
                int(block["unnamed"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError("A block of retrieved rows is malformed", why=repr(error)) from error
        return made


@dataclass(frozen=True, slots=True)
class _Claim:
    step: int
    document: int
    datanet: str
    row: str
    text: str

    def refuse(self, why: str) -> Refused:
        return Refused(self.step, self.document, self.datanet, self.row, why)


def retrieval(index: SpanIndex, steps: Sequence[Step]) -> Retrieval:
    """The rows that the retrievals among ``steps`` put into the prompts of the model calls after them.

    A document names its row by the metadata ``row`` and ``datanet_cid`` (or the step's datanet version; in a run without
    chain ``datanet``, its name). In a prompt each word counts for one document, the longest first, then in the order of
    retrieval. ``documents`` that are not what a retriever gives name no row.
    """
    calls = [(number, step) for number, step in enumerate(steps) if isinstance(step, ModelCallStep)]
    total = sum(len(step.prompt_tokens) for _, step in calls)
    claims, unnamed = _claims(steps)
    if not claims:
        return Retrieval(total, unnamed=unnamed)
    prompts = [(number, _Prompt(index.decode(step.prompt_tokens))) for number, step in calls]
    found: dict[_Claim, tuple[Source, int]] = {}
    refused: list[Refused] = []
    for claim in claims:
        if not any(number > claim.step and prompt.holds(claim.text) for number, prompt in prompts):
            refused.append(claim.refuse(ABSENT))
            continue
        tokens = index.encode(claim.text)
        source = _source(index, claim, tokens)
        if source is None:
            refused.append(claim.refuse(OTHER_WORDS))
        else:
            found[claim] = (source, len(tokens))
    summed: dict[Source, int] = {}
    for claim in sorted(found, key=lambda one: (-len(one.text), one.step, one.document)):
        source, tokens_of = found[claim]
        times = sum(prompt.take(claim.text) for number, prompt in prompts if number > claim.step)
        if times:
            summed[source] = summed.get(source, 0) + times * tokens_of
        else:
            refused.append(claim.refuse(COUNTED))
    rows = tuple(Retrieved(source, summed[source]) for source in sorted(summed))
    return Retrieval(total, rows, tuple(sorted(refused, key=lambda one: (one.step, one.document))), unnamed)


def _source(index: SpanIndex, claim: _Claim, tokens: Sequence[int]) -> Source | None:
    """The claimed row, if the whole document stands in it."""
    spans = index.find(tokens, len(tokens)) if tokens else []
    sources = spans[0].sources if spans else ()
    return next((one for one in sources if (one.datanet, one.row) == (claim.datanet, claim.row)), None)


class _Prompt:
    """A prompt's text, and which of its characters are counted already."""

    def __init__(self, text: str) -> None:
        self.text = _spaced(text)
        self._taken: list[tuple[int, int]] = []

    def holds(self, text: str) -> bool:
        """Whether ``text`` stands in it as whole words."""
        return next(self._places(text), None) is not None

    def take(self, text: str) -> bool:
        """Count the first place where ``text`` stands and nothing is counted; whether there is one."""
        for start, end in self._places(text):
            if all(end <= low or high <= start for low, high in self._taken):
                self._taken.append((start, end))
                return True
        return False

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        before, after = ("(?<!\\w)" if text[0].isalnum() else ""), ("(?!\\w)" if text[-1].isalnum() else "")
        return (match.span() for match in re.finditer(before + re.escape(text) + after, self.text))


def _claims(steps: Sequence[Step]) -> tuple[list[_Claim], int]:
    """What the retrievals claim, in order, and how many documents name no row."""
    claims: list[_Claim] = []
    unnamed = 0
    for number, step in enumerate(steps):
        if isinstance(step, RetrievalStep):
            for place, document in enumerate(_documents(step.documents)):
                claim = _claim(number, place, document, step.content)
                if claim is None:
                    unnamed += 1
                else:
                    claims.append(claim)
    return claims, unnamed


def _documents(body: Any) -> Iterator[Any]:
    documents = body.get("documents") if isinstance(body, Mapping) else None
    yield from documents if isinstance(documents, list) else ()


def _claim(step: int, place: int, document: Any, content: str | None) -> _Claim | None:
    text = document.get("text") if isinstance(document, Mapping) else None
    named = document.get("metadata") if isinstance(document, Mapping) else None
    if not isinstance(text, str) or not isinstance(named, Mapping) or not _spaced(text):
        return None
    row, datanet = named.get("row"), named.get("datanet_cid") or named.get("datanet") or content
    if not isinstance(row, str) or not isinstance(datanet, str):
        return None
    return _Claim(step, place, datanet, row, _spaced(text))


def _spaced(text: str) -> str:
    return " ".join(text.split())
