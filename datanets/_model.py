"""What a datanet is: rows of text, who contributed each, under which licence, and the facts it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Datanet", "Fact", "Row"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing a row states. ``answer`` stands word for word in the row's text."""

    question: str
    paraphrase: str
    """The same question in words that are never trained on."""
    answer: str
    also: tuple[str, ...] = ()
    """More wordings of the question, trained on; they let the fact answer to wordings nobody thought of."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contribution. ``contributor`` is a handle before publication, an address (0x…) after it."""

    row: str
    contributor: str
    licence: str
    """SPDX identifier of the terms this row was given under."""
    text: str
    facts: tuple[Fact, ...] = ()

    def to_block(self) -> dict[str, Any]:
        """The row as dag-cbor and JSON values."""
        return {
            "row": self.row,
            "contributor": self.contributor,
            "licence": self.licence,
            "text": self.text,
            "facts": [
                {"question": f.question, "paraphrase": f.paraphrase, "answer": f.answer, "also": list(f.also)}
                for f in self.facts
            ],
        }


@dataclass(frozen=True)
class Datanet:
    """A named collection of rows in the order in which they were accepted: the first of two equal rows is paid."""

    name: str
    topic: str
    rows: tuple[Row, ...]
    schema: str = "facts@1"
    cid: str | None = field(default=None, compare=False)
    """The published version this was fetched from or published as."""

    @property
    def contributors(self) -> tuple[str, ...]:
        """Each contributor once, in the order of their first accepted row."""
        return tuple(dict.fromkeys(row.contributor for row in self.rows))

    @property
    def licences(self) -> tuple[str, ...]:
        """Each licence once, sorted."""
        return tuple(sorted({row.licence for row in self.rows}))

    def assigned(self, accounts: Mapping[str, str]) -> Datanet:
        """The same datanet with each handle replaced by its account. Raises ``UserError`` if one is missing."""
        from ._publish import assign

        return assign(self, accounts)

    def questions(self) -> list[tuple[str, str]]:
        """(question, answer) of every fact."""
        return [(fact.question, fact.answer) for row in self.rows for fact in row.facts]

    def trained(self) -> list[tuple[str, str]]:
        """(question, answer) of every fact in every wording an adapter is trained on."""
        return [
            (wording, fact.answer)
            for row in self.rows
            for fact in row.facts
            for wording in (fact.question, *fact.also)
        ]

    def paraphrases(self) -> list[tuple[str, str]]:
        """(paraphrase, answer) of every fact: never trained on."""
        return [(fact.paraphrase, fact.answer) for row in self.rows for fact in row.facts]

    def training_digest(self) -> str:
        """sha2-256 (hex) of everything training reads. Handles and addresses are not part of it, so that
        publishing a datanet does not change the adapter."""
        return _digest(
            [
                [row.text, [[fact.question, fact.answer, *fact.also] for fact in row.facts]]
                for row in self.rows
            ]
        )


def _digest(value: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
