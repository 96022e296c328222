"""Handing rows to attribution."""

from __future__ import annotations

from collections.abc import Sequence

from ..attribution import SourceRow
from ._model import Datanet

__all__ = ["source_rows"]


def source_rows(datanets: Sequence[Datanet]) -> list[SourceRow]:
    """The rows of several datanets as attribution takes them in.

    Rows keep their datanet's order of acceptance, and datanets the order given: pass them as the agent's manifest
    lists them, so that everyone numbers them alike. A datanet is named by its CID, or by its name before it has one.
    """
    rows: list[SourceRow] = []
    for datanet in datanets:
        for row in datanet.rows:
            rows.append(SourceRow(row.row, row.contributor, row.text, len(rows), datanet.cid or datanet.name))
    return rows
