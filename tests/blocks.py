"""What befalls a content store on disk: a block is lost, or is another than it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from openledger.registry import ContentStore, LocalStore, cid_bytes, cid_from_bytes

__all__ = ["file_of", "held", "lose", "tamper"]


def file_of(store: ContentStore, cid: str) -> Path:
    """Where a block of more than 4 KiB is."""
    assert isinstance(store, LocalStore)
    return store.root / cid[-2:] / cid


def held(store: LocalStore) -> set[str]:
    """The CIDs of all its blocks."""
    rows = {cid_from_bytes(cid) for (cid,) in _do(store, "SELECT cid FROM blocks")}
    return rows | {file.name for file in store.root.glob("*/*")}


def lose(store: ContentStore, cid: str) -> bytes:
    """Take a block out of the store; these were its bytes."""
    data = store.get(cid)
    file_of(store, cid).unlink(missing_ok=True)
    _do(store, "DELETE FROM blocks WHERE cid = ?", cid_bytes(cid))
    assert not store.has(cid)
    return data


def tamper(store: ContentStore, cid: str, data: bytes) -> None:
    """Put other bytes in a block's place."""
    if (file := file_of(store, cid)).is_file():
        file.write_bytes(data)
    else:
        _do(store, "UPDATE blocks SET data = ? WHERE cid = ?", data, cid_bytes(cid))


def _do(store: ContentStore, statement: str, *values: bytes) -> list[Any]:
    assert isinstance(store, LocalStore)
    rows = store.root / "blocks.sqlite"
    if not rows.is_file():
        return []
    with closing(sqlite3.connect(rows, timeout=30)) as db, db:
        return db.execute(statement, values).fetchall()
