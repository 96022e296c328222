"""Checks between rows: near-duplicates and facts asked twice."""

from __future__ import annotations

from dataclasses import dataclass

from ..attribution import DUPLICATE_JACCARD, repeats, similarity
from ._model import Datanet, Row

__all__ = ["DUPLICATE_JACCARD", "Problem", "accepted", "similarity", "validate"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: which row, what is wrong, and how to mend it."""

    row: str
    code: str
    """``duplicate``, ``question-twice`` or ``no-facts``."""
    what: str
    fix: str
    other: str | None = None
    """The earlier row a duplicate repeats."""

    def __str__(self) -> str:
        return f"{self.row}: {self.what}. {self.fix}."


def validate(datanet: Datanet) -> list[Problem]:
    """Everything wrong between rows, in row order; empty when the datanet can be published.

    A near-duplicate is a row that repeats an earlier accepted one, as :func:`openledger.attribution.repeats` says.
    """
    problems: list[Problem] = []
    asked: dict[str, str] = {}
    for row, earlier in zip(datanet.rows, repeats([row.text for row in datanet.rows]), strict=True):
        if earlier is not None:
            other, overlap = datanet.rows[earlier[0]], earlier[1]
            problems.append(
                Problem(
                    row.row,
                    "duplicate",
                    f"repeats row {other.row} of {other.contributor} (word 3-gram overlap {overlap:.2f})",
                    "remove it or write it in its own words",
                    other.row,
                )
            )
        problems.extend(_facts(row, asked))
    return problems


def accepted(datanet: Datanet) -> Datanet:
    """The datanet without its duplicates: of rows that repeat each other the first one stays."""
    rejected = {problem.row for problem in validate(datanet) if problem.code == "duplicate"}
    rows = tuple(row for row in datanet.rows if row.row not in rejected)
    return Datanet(datanet.name, datanet.topic, rows, datanet.schema)


def _facts(row: Row, asked: dict[str, str]) -> list[Problem]:
    if not row.facts:
        return [
            Problem(row.row, "no-facts", "has no questions", "give at least one question with its answer")
        ]
    problems = []
    for fact in row.facts:
        for wording in (fact.question, *fact.also):
            if wording in asked:
                what = f"asks {wording!r} again, after row {asked[wording]}"
                problems.append(Problem(row.row, "question-twice", what, "ask each question once"))
            asked.setdefault(wording, row.row)
    return problems
