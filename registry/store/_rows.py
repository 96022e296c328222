"""Small blocks as rows of one SQLite file: a record's blocks are made durable by one flush, not by one a block."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from weakref import WeakSet

__all__ = ["Rows"]

_WAIT = 30.0  # seconds for another process's write
_TABLE = "CREATE TABLE IF NOT EXISTS blocks (cid BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID"
_KEEP = "INSERT INTO blocks VALUES (?, ?) ON CONFLICT DO UPDATE SET data = excluded.data WHERE data IS NOT excluded.data"
_READ = "SELECT data FROM blocks WHERE cid = ?"


class Rows:
    """Blocks by the bytes of their CID, in the file ``path``, which the first write makes.

    Thread-safe; several processes may use one file. What is not there is None. Raises ``sqlite3.Error`` and ``OSError``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer, self._reader = _Connection(path), _Connection(path)  # WAL: who reads waits for no flush

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.path,)

    def read(self, cid: bytes) -> bytes | None:
        if not self.path.exists():
            return None
        with self._reader.use() as db:
            row = db.execute(_READ, (cid,)).fetchone()
        return None if row is None else bytes(row[0])

    def write(self, blocks: Iterable[tuple[bytes, bytes]]) -> None:
        """All of them or none, on disk when this returns. A row that holds something else is replaced."""
        with self._writer.use() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                db.executemany(_KEEP, blocks)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


class _Connection:
    """One connection, for one thread at a time, opened when it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.forget()
        _CONNECTIONS.add(self)

    def forget(self) -> None:
        self._lock, self.db, self._inode = threading.Lock(), cast("sqlite3.Connection | None", None), 0

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                there = os.stat(self._path).st_ino
            except FileNotFoundError:
                there = _make(self._path)
            if (
                self.db is None or there != self._inode
            ):  # who deleted the file must not lose what is written after
                db = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
                db.execute("PRAGMA synchronous=FULL")
                self.db, self._inode = db, there
            yield self.db


def _make(path: Path) -> int:
    """The file's inode. Others see it with its table or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".new-{os.urandom(8).hex()}")
    try:
        db = sqlite3.connect(scratch, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(_TABLE)
        db.close()
        with suppress(FileExistsError):  # another process was first
            os.link(scratch, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # so that its name is on disk too
        finally:
            os.close(folder)
    finally:
        scratch.unlink(missing_ok=True)
    return os.stat(path).st_ino


_CONNECTIONS: WeakSet[_Connection] = WeakSet()
_PARENTS: list[sqlite3.Connection | None] = []
"""Connections of the process that this one was forked from. Neither to be used nor, which dropping them would do, to be
closed here (https://sqlite.org/howtocorrupt.html)."""


def _forked() -> None:
    for connection in _CONNECTIONS:
        _PARENTS.append(connection.db)
        connection.forget()


os.register_at_fork(after_in_child=_forked)
