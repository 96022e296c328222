"""Handing rows to attribution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..attribution import SourceRow, SpanIndex
from ..errors import ContentError
from ._model import Datanet
from ._publish import fetch

if TYPE_CHECKING:
    from ..registry import ContentStore

__all__ = ["source_rows", "span_index"]


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


def span_index(cids: Sequence[str], store: ContentStore, tokenizer: Path, cache: Path) -> SpanIndex:
    """The span index over published datanets, in the order given: that of the agent's manifest.

    ``tokenizer`` is the base model's directory; the index is kept under ``cache``, where a later version of a datanet
    adds only its new rows. Raises ``ContentError`` naming the version when one cannot be had.
    """
    return SpanIndex.build(source_rows([_version(store, cid) for cid in cids]), tokenizer, cache / "spans")


def _version(store: ContentStore, cid: str) -> Datanet:
    try:
        return fetch(store, cid)
    except ContentError as error:
        raise ContentError(
            f"Datanet version {cid} cannot be indexed",
            why=f"{error.what}: {error.why}" if error.why else error.what,
            fix=error.fix,
            cid=error.cid,
            code=error.code,
        ) from error
