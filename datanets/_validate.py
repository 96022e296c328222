"""Checks between rows: near-duplicates and facts asked twice."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._model import Datanet, Row

__all__ = ["DUPLICATE_JACCARD", "Problem", "accepted", "similarity", "validate"]

DUPLICATE_JACCARD = 0.3
"""Rows whose sets of word 3-grams overlap by more than this share are duplicates."""

_WORD = re.compile(r"\w+")


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

    A near-duplicate is a row whose word 3-grams overlap those of an earlier accepted row by a Jaccard index
    above :data:`DUPLICATE_JACCARD`. The comparison goes through an inverted index of 3-grams, so its cost grows
    with shared 3-grams and not with the square of the rows.
    """
    problems: list[Problem] = []
    grams: list[frozenset[str]] = []
    holders: dict[str, list[int]] = {}
    asked: dict[str, str] = {}
    for index, row in enumerate(datanet.rows):
        mine = _grams(row.text)
        grams.append(mine)
        earlier = _closest(mine, grams, holders)
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
        else:
            for gram in mine:
                holders.setdefault(gram, []).append(index)
        problems.extend(_facts(row, asked))
    return problems


def accepted(datanet: Datanet) -> Datanet:
    """The datanet without its duplicates: of rows that repeat each other the first one stays."""
    rejected = {problem.row for problem in validate(datanet) if problem.code == "duplicate"}
    rows = tuple(row for row in datanet.rows if row.row not in rejected)
    return Datanet(datanet.name, datanet.topic, rows, datanet.schema)


def similarity(left: str, right: str) -> float:
    """Jaccard index of two texts' word 3-grams, 0 to 1; case and punctuation do not count."""
    a, b = _grams(left), _grams(right)
    return len(a & b) / len(a | b) if a or b else 0.0


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


def _grams(text: str) -> frozenset[str]:
    words = _WORD.findall(text.lower())
    if len(words) < 3:
        return frozenset((" ".join(words),)) if words else frozenset()
    return frozenset(" ".join(words[i : i + 3]) for i in range(len(words) - 2))


def _closest(
    mine: frozenset[str], grams: list[frozenset[str]], holders: dict[str, list[int]]
) -> tuple[int, float] | None:
    """The most similar earlier row above the bar, the earliest of equals."""
    shared: dict[int, int] = {}
    for gram in mine:
        for index in holders.get(gram, ()):
            shared[index] = shared.get(index, 0) + 1
    best: tuple[int, float] | None = None
    for index in sorted(shared):
        overlap = shared[index] / (len(mine) + len(grams[index]) - shared[index])
        if overlap > DUPLICATE_JACCARD and (best is None or overlap > best[1]):
            best = index, overlap
    return best
