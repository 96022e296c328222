"""Datanets: rows of text with their contributors, licences and facts; checked, versioned and published."""

from __future__ import annotations

from ._load import MAX_TEXT, load, shipped, shipped_names
from ._model import Datanet, Fact, Row
from ._publish import MAX_ROWS, assign, contribution_leaf, contribution_tree, fetch, publish, versions
from ._sources import source_rows, span_index
from ._validate import DUPLICATE_JACCARD, Problem, accepted, similarity, validate

__all__ = [
    "DUPLICATE_JACCARD",
    "MAX_ROWS",
    "MAX_TEXT",
    "Datanet",
    "Fact",
    "Problem",
    "Row",
    "accepted",
    "assign",
    "contribution_leaf",
    "contribution_tree",
    "fetch",
    "load",
    "publish",
    "shipped",
    "shipped_names",
    "similarity",
    "source_rows",
    "span_index",
    "validate",
    "versions",
]
