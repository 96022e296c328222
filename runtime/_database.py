"""One SQL database: durable commits, one writer at a time where it matters, its schema brought up to date.

SQLite in a file, or Postgres: the two whose rules for durability and locking are known and tested here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..errors import OpenLedgerError, UserError

if TYPE_CHECKING:
    from ..contracts import Contracts

__all__ = ["Database", "deployment_table"]

_WAIT = 30  # seconds for a connection, and for another process's lock
_LOCKS = 0x0B0C  # our class of Postgres's advisory locks
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(_LOCKS, sa.bindparam("lock", type_=sa.Integer)))


def deployment_table(schema: str, meta: sa.MetaData) -> sa.Table:
    """Of which deployment a schema's rows are; one row."""
    return sa.Table(
        f"{schema}_deployment",
        meta,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("directory", sa.String(42), nullable=False),
    )


class Database:
    """See the module. Methods are thread-safe; several processes may use one database."""

    def __init__(self, url: str | Path, schema: str) -> None:
        """Opens the file, which is made where it is missing, or connects. ``schema`` is ``outbox``, ``index``, ``gateway``, ``purse`` or ``relayer``; one
        database may hold all of them.

        Raises ``UserError`` for a URL that cannot be used and for a schema newer than this version, ``OpenLedgerError`` with
        code ``outbox`` when it cannot be reached.
        """
        self._schema = schema
        if isinstance(url, Path):
            url.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{url}"
        self._engine = _engine(url)
        self.url = self._engine.url.render_as_string(hide_password=True)
        self._writing = self._engine.execution_options(writes=True)
        self._threads = threading.Lock()
        self._upgrade()

    def close(self) -> None:
        self._engine.dispose()

    def claim(self, contracts: Contracts) -> None:
        """Note, the first time, that this is of that deployment. Raises ``UserError`` when it is of another: what it holds
        would be taken for what happened there."""
        table = deployment_table(self._schema, sa.MetaData())
        found = sa.select(table.c.chain_id, table.c.directory)
        mine = contracts.chain.chain_id, contracts.address("Directory")
        with self.read() as db:
            row = db.execute(found).first()
        if row is None:
            with self.write() as db:
                row = db.execute(found).first()
                if row is None:
                    db.execute(table.insert().values(id=1, chain_id=mine[0], directory=mine[1]))
                    return
        if tuple(row) != mine:
            raise UserError(
                f"the {self._schema} {self.url} is of another deployment",
                why=f"it was filled on chain {row[0]} with the directory {row[1]}; this is chain {mine[0]} with {mine[1]}",
                fix="set OPENLEDGER_DATABASE_URL or OPENLEDGER_HOME to the database of this one, or to a new one",
            )

    @contextmanager
    def write(self, *locks: int) -> Iterator[sa.Connection]:
        """A transaction that is on disk when this returns; of those with a lock in common (0 where none is given) one runs
        at a time, whatever process asks. Raises ``OpenLedgerError`` when it could not be made durable: nothing of it happened."""
        with self._threads, self._failing(), self._writing.begin() as db:
            if db.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE is a lock of the whole file
                for lock in sorted(locks) or (0,):
                    db.execute(_LOCK, {"lock": lock})
            yield db

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._failing(), self._engine.connect() as db:
            yield db

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DatabaseError as error:
            if type(error) not in (sa.exc.OperationalError, sa.exc.DatabaseError):
                raise  # a constraint or a statement: a bug, not the database's state
            raise OpenLedgerError(
                f"the {self._schema} could not be written or read",
                why=str(error.orig).strip(),
                fix=f"free disk space or repair {self.url}, then repeat the call: nothing was lost",
                code="outbox",
            ) from error

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        here = Path(__file__).parent / "migrations"
        config = Config()
        config.set_main_option("script_location", str(here).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", str(here / self._schema).replace("%", "%%"))
        config.attributes["version_table"] = f"{self._schema}_version"
        with self.write() as db:
            config.attributes["connection"] = db
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise UserError(
                    f"the {self._schema} {self.url} has another schema",
                    why=str(error),
                    fix="upgrade openledger: a newer version has written it",
                ) from error


def _engine(url: str) -> sa.Engine:
    wrong = "give sqlite:///path or postgresql+psycopg://user:password@host/database"
    try:
        parsed = sa.make_url(url)
        kind = parsed.get_backend_name()
        if kind not in ("sqlite", "postgresql"):
            raise UserError(f"nothing can be kept in {kind}", fix=wrong)
        waits = "timeout" if kind == "sqlite" else "connect_timeout"
        engine = sa.create_engine(parsed, pool_pre_ping=kind != "sqlite", connect_args={waits: _WAIT})
    except ModuleNotFoundError as error:
        raise UserError(
            f"{url.partition(':')[0]} needs {error.name}", fix="install openledger[postgres]"
        ) from error
    except sa.exc.ArgumentError as error:
        raise UserError(
            "the database's URL is malformed", why="it is not an SQLAlchemy URL", fix=wrong
        ) from error
    sa.event.listen(engine, "connect", _sqlite if kind == "sqlite" else _postgres)
    if kind == "sqlite":
        sa.event.listen(engine, "begin", _begin)
    return engine


def _sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = (
        None  # begin() says when: a read must not stand before its transaction's lock
    )
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")  # a commit is on disk before a signature depends on it
    cursor.close()


def _begin(db: sa.Connection) -> None:
    db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("writes") else "BEGIN")


def _postgres(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit TO on")  # a server may have it off
    cursor.execute(f"SET lock_timeout TO '{_WAIT}s'")
    cursor.execute("SET statement_timeout TO '60s'")
    cursor.close()
    connection.commit()
