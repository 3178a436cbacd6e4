"""The only module that talks to DuckDB: queries, streams, descriptions, functions, transactions.

All statements of a connection run on one DuckDB connection, so that they share its transaction
and its temporary tables. DuckDB allows one open result on a connection; an unread stream is
therefore read into memory when the next statement comes (`settle`). Errors leave as sqlml's own.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlml import errors
from sqlml.database.aside import Aside as Aside
from sqlml.database.faults import translated
from sqlml.database.many import alike, one_row, together
from sqlml.database.plans import first_expensive
from sqlml.database.stop import Stop
from sqlml.database.stream import Stream as Stream
from sqlml.schema import Column, quote_name

Parameters = Sequence[object] | Mapping[str, object] | None

#: Closed at exit: DuckDB's binding complains on stderr about Python functions that are still registered then.
_OPEN: weakref.WeakSet[Database] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for database in list(_OPEN):
        database.close()


#: Bytes of cached blocks that are left alone.
_WORTH_RELEASING = 32 * 2**20
#: Bytes of them that stay: while they are given back, nothing else runs that needs room.
_LEFT = 4 * 2**20


class Database:
    """One DuckDB connection."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, read_only: bool = False, instance: Instance | None = None
    ):
        self.raw = connection
        self._instance = instance or Instance()
        self._instance.users += 1
        self._leave = weakref.finalize(self, self._instance.leave, connection)
        self.read_only = read_only
        self.lock = threading.RLock()
        self.stop = Stop(connection)
        self._stream: weakref.ref[Stream] | None = None
        self._names = itertools.count()
        self._kept: set[str] = set()
        self.snapshots: set[str] = set()
        self._volatile: frozenset[str] | None = None
        self._asides: weakref.WeakSet[Aside] = weakref.WeakSet()
        _OPEN.add(self)

    # ------------------------------------------------------------ statements

    def settle(self) -> None:
        """Make the connection free for the next statement."""
        stream = self._stream() if self._stream is not None else None
        self._stream = None
        if stream is not None:
            stream.settle()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """The connection for one statement, whose errors leave as ours."""
        with self.lock, translated(), self.stop.hearing():
            self.settle()
            yield

    def execute(self, sql: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows as Python values."""
        with self._turn():
            return self.raw.execute(sql, self._used(sql, parameters)).fetchall()

    def may_read(self, path: str, inside: str = "") -> bool:
        """Whether the settings let statements read a file, or the file `inside` a folder.

        Where files are shut off, DuckDB itself decides: some folders may be left open.
        """
        if self.execute("SELECT current_setting('enable_external_access')")[0][0]:
            return True
        full = Path(path).expanduser().absolute()
        with self.lock, self.stop.hearing():
            self.settle()
            try:
                self.raw.execute("SELECT count(*) FROM glob(?)", [str(full / inside if full.is_dir() else full)])
            except duckdb.PermissionException:
                return False
        return True

    def many(self, sql: str, rows: Sequence[Mapping[str, object]], alone: int | None = None) -> int:
        """Run a statement with each set of parameters, by name; how many rows it changed in all, or -1.

        Rows for `INSERT ... VALUES ($1, $2)` go in by hundreds where their types are alike. All or nothing is the
        caller's transaction. Errors say their rows; those from number `alone` on, from 0, go in one by one.
        """
        with self._turn():
            [statement] = self.raw.extract_statements(sql)
        insert = one_row(sql)
        changed = 0
        at = 0
        while at < len(rows):
            self.stop.check()
            size = 1 if insert is None or (alone is not None and at >= alone) else alike(insert, rows, at)
            try:
                with self._turn():
                    if insert is not None and size > 1:
                        self.raw.execute(*together(insert, rows[at : at + size]))
                    else:
                        used = {k: v for k, v in rows[at].items() if k in statement.named_parameters}
                        self.raw.execute(statement, used or None)
                    found = self.raw.fetchone()
            except errors.Error as error:
                error.rows = (at, at + size)
                raise
            count = found[0] if found and type(found[0]) is int else -1
            changed = -1 if count < 0 or changed < 0 else changed + count
            at += size
        return changed

    def table(self, sql: str, parameters: Parameters = None) -> pa.Table:
        """Run a query and return all rows as Arrow."""
        with self._turn():
            self.stop.check()
            return self._relation(sql, parameters).to_arrow_table()

    def stream(self, sql: str, parameters: Parameters = None, rows: int = 100_000) -> Stream | None:
        """Run a statement; its rows as a stream, None for a statement without rows."""
        with self._turn():
            self.stop.check()
            relation = self.raw.sql(sql, params=self._used(sql, parameters))
            if relation is None:
                return None
            stream = Stream(relation.to_arrow_reader(rows), self.lock, self.stop)
            self._stream = weakref.ref(stream)
            return stream

    def is_query(self, sql: str) -> bool:
        """Whether the last statement of a text gives rows and changes nothing."""
        with translated():
            kinds = self.raw.extract_statements(sql)[-1].expected_result_type
        return list(kinds) == [duckdb.ExpectedResultType.QUERY_RESULT]

    def batches(self, sql: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        """The rows of a query in batches of at most `rows`."""
        stream = self.stream(sql, rows=rows)
        assert stream is not None
        try:
            while (batch := stream.next()) is not None:
                if batch.num_rows:
                    yield batch
        finally:
            stream.close()

    def aside(self, sql: str, rows: int) -> Aside:
        """The rows of a query beside the running statement, on a connection of its own."""
        with translated():
            found = Aside(self.raw, sql, rows)
        self._asides.add(found)
        return found

    def _relation(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyRelation:
        relation = self.raw.sql(sql, params=self._used(sql, parameters))
        if relation is None:
            raise errors.InternalError("the statement gives no rows")
        return relation

    def _used(self, sql: str, parameters: Parameters) -> Any:
        """The parameters that the statement names: DuckDB refuses others."""
        if not parameters:
            return None
        if not isinstance(parameters, Mapping):
            return list(parameters)
        names = {n for s in self.raw.extract_statements(sql) for n in s.named_parameters}
        return {k: v for k, v in parameters.items() if k in names} or None

    # ------------------------------------------------------------ looking

    def describe(self, sql: str, parameters: Parameters = None) -> tuple[Column, ...]:
        """Names and DuckDB types of the columns of a query, without running it."""
        rows = self.execute(f"DESCRIBE {sql}", parameters)
        return tuple(Column(row[0], row[1]) for row in rows)

    def plan(self, sql: str) -> list[dict[str, Any]]:
        """DuckDB's plan of a query as nested dictionaries (name, children, extra_info)."""
        rows = self.execute(f"EXPLAIN (FORMAT json) {sql}")
        found: list[dict[str, Any]] = json.loads(rows[-1][1])
        return found

    def expensive_operator(self, sql: str) -> str | None:
        """The first operator of the plan that should not run twice, or None."""
        return first_expensive(self.plan(sql))

    def volatile_functions(self) -> frozenset[str]:
        """Lower-case names of DuckDB's functions that give another value at each call."""
        if self._volatile is None:
            rows = self.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'")
            self._volatile = frozenset(str(r[0]).lower() for r in rows)
        return self._volatile

    def exists(self, schema: str | None, name: str, catalog: str | None = None) -> bool:
        """Whether a table or view of this name exists."""
        rows = self.execute(
            "SELECT 1 FROM information_schema.tables WHERE lower(table_name) = lower(?)"
            " AND lower(table_schema) = lower(coalesce(?, current_schema()))"
            " AND lower(table_catalog) = lower(coalesce(?, current_database()))",
            [name, schema, catalog],
        )
        return bool(rows)

    def has_table(self, catalog: str, schema: str, name: str) -> bool:
        """Whether a table of exactly this name exists (no views; cheaper than `exists`)."""
        rows = self.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = ? AND table_name = ?",
            [catalog, schema, name],
        )
        return bool(rows)

    def schemas(self) -> tuple[tuple[str, str], ...]:
        """(catalog, schema) of all attached databases."""
        rows = self.execute(
            "SELECT database_name, schema_name FROM duckdb_schemas() WHERE NOT internal OR schema_name = 'main'"
        )
        return tuple((r[0], r[1]) for r in rows)

    def tables(self) -> tuple[tuple[str, str, str], ...]:
        """(catalog, schema, name) of all tables and views, sqlml's own left out."""
        rows = self.execute(
            "SELECT table_catalog, table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema <> 'sqlml'"
        )
        return tuple((r[0], r[1], r[2]) for r in rows)

    # ------------------------------------------------------------ making

    def fresh_name(self, stem: str) -> str:
        """A name that nothing else on this connection has."""
        return f"__sqlml_{stem}_{next(self._names)}"

    def snapshot(self, sql: str, parameters: Parameters = None) -> str:
        """Keep the rows of a query in a temporary table (it spills to disk); its quoted name."""
        name = quote_name(self.fresh_name("rows"))
        self.execute(f"CREATE TEMP TABLE {name} AS {sql}", parameters)
        self.snapshots.add(name)
        return name

    def drop_snapshot(self, name: str) -> None:
        """Drop a table made by `snapshot`."""
        self.snapshots.discard(name)
        self.execute(f"DROP TABLE IF EXISTS {name}")

    def insert(self, table: str, rows: Sequence[Sequence[object]]) -> None:
        """Add rows to a table (its quoted name)."""
        if rows:
            places = ", ".join("?" * len(rows[0]))
            with self._turn():
                self.raw.executemany(f"INSERT INTO {table} VALUES ({places})", [list(r) for r in rows])

    def register(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name."""
        with self._turn():
            self.raw.register(name, table)

    def keep(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table readable under a name until the connection ends."""
        if name not in self._kept:
            self.register(name, table)
            if not self.inside:  # a rollback takes it away again
                self._kept.add(name)

    def unregister(self, name: str) -> None:
        """Forget a registered table."""
        with self._turn():
            self.raw.unregister(name)

    def function(
        self, name: str, call: Callable[..., Any], arguments: Sequence[str] | None, result: str, key: object = None
    ) -> str:
        """Register a vectorised function (Arrow arrays in, Arrow array out) once per name.

        Gives the name to call it by. Inside a transaction that is another one, for a rollback takes the function
        away and DuckDB never lets its name be used again.

        Args:
            name: its SQL name.
            call: takes `pa.ChunkedArray` or `pa.Array` arguments of equal length.
            arguments: DuckDB types; None for any number of any type.
            result: DuckDB type of the result.
            key: kept alive beside the function.
        """
        if name in self._instance.functions:
            return name
        with self._turn():
            if self.inside:
                name = f"{name}_{self.fresh_name('in')}"
            types = None if arguments is None else [self.raw.type(a) for a in arguments]
            kind = self.raw.type(result)
            try:
                self.raw.create_function(
                    name, call, types, kind, type="arrow", null_handling="special", side_effects=False
                )
            except (duckdb.NotImplementedException, duckdb.CatalogException) as error:  # made in a transaction
                if "already" not in str(error):
                    raise
            if not self.inside:
                self._instance.functions[name] = key
        return name

    def release(self) -> None:
        """Drop DuckDB's copies of blocks of the files, as a rule most of its memory; they are read again when needed.

        Nothing happens while others use the database: for a moment the memory limit is what is in use.
        """
        if self._instance.users > 1:
            return
        [(used, blocks, limit)] = self.execute(
            "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT, coalesce(sum(memory_usage_bytes)"
            " FILTER (tag = 'BASE_TABLE'), 0)::BIGINT, current_setting('memory_limit') FROM duckdb_memory()"
        )
        if blocks < _WORTH_RELEASING:
            return
        try:
            with contextlib.suppress(errors.Error):  # a result that is being read holds them
                self.execute(f"SET memory_limit = '{used - blocks + _LEFT}B'")
        finally:
            self.execute(f"SET memory_limit = '{limit}'")
            if self.execute("SELECT current_setting('memory_limit')")[0][0] != limit:  # the text cuts digits off
                number, unit = limit.split()
                self.execute(f"SET memory_limit = '{number}5 {unit}'")

    def wait(self, jobs: Sequence[Future[Any]]) -> None:
        """Wait for work in other threads, and let them use the connection meanwhile."""
        turn = threading.Condition(self.lock)
        left = len(jobs)

        def done(job: Future[Any]) -> None:
            nonlocal left
            with turn:
                left -= 1
                turn.notify_all()

        for job in jobs:
            job.add_done_callback(done)
        with turn:
            # A job is done before this is called, and its thread cannot end before it has had the lock.
            turn.wait_for(lambda: left == 0)

    # ------------------------------------------------------------ transactions

    @property
    def in_transaction(self) -> bool:
        """Whether the user has opened a transaction."""
        return self._transaction

    _transaction = False
    _reading = False

    @property
    def inside(self) -> bool:
        """Whether a transaction is open, the user's or our own."""
        return self._transaction or self._reading

    @contextlib.contextmanager
    def same_state(self) -> Iterator[None]:
        """All queries inside see one state of the database (they may make temporary tables)."""
        if self.inside:
            yield
            return
        self.execute("BEGIN TRANSACTION")
        self._reading = True
        try:
            yield
        finally:
            self._reading = False
            self._undo()

    def begin(self) -> None:
        """Open the user's transaction."""
        self.execute("BEGIN TRANSACTION")
        self._transaction = True

    def commit(self) -> None:
        """Commit the user's transaction, if there is one."""
        if self._transaction:
            self._transaction = False
            self.execute("COMMIT")

    def rollback(self) -> None:
        """Roll the user's transaction back, if there is one."""
        if self._transaction:
            self._transaction = False
            if self._leave.alive:  # else closed at the end of the process, which rolled back
                self._undo()

    def _undo(self) -> None:
        """Roll back, though an interrupt may be heard meanwhile: left open, all later statements would be refused."""
        for _ in range(10):
            try:
                self.execute("ROLLBACK")
                return
            except errors.Error as error:
                if "no transaction is active" in error.message:
                    return

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside the user's transaction, a part of it."""
        if self.inside:
            yield
            return
        self.execute("BEGIN TRANSACTION")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self._undo()
            raise

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            stream = self._stream() if self._stream is not None else None
            if stream is not None:
                stream.close()
            for aside in list(self._asides):
                aside.close()
            self.stop.close()
            self._leave()


@dataclass(slots=True, weakref_slot=True)
class Instance:
    """What the connections of this process to one database share.

    DuckDB shares Python functions among them, yet frees a function's code with the connection that
    made it, and a later call through another connection crashes. So connections are closed together:
    with the last one.
    """

    users: int = 0
    functions: dict[str, object] = field(default_factory=dict)
    waiting: list[duckdb.DuckDBPyConnection] = field(default_factory=list)

    def leave(self, raw: duckdb.DuckDBPyConnection) -> None:
        """A connection is not needed any more."""
        self.users -= 1
        with contextlib.suppress(duckdb.Error):
            raw.rollback()
        self.waiting.append(raw)
        if self.users > 0:
            return
        for connection in self.waiting:
            connection.close()
        self.waiting.clear()
        self.functions.clear()


_INSTANCES: weakref.WeakValueDictionary[str, Instance] = weakref.WeakValueDictionary()


def open_database(path: str, *, read_only: bool = False, config: Mapping[str, str] | None = None) -> Database:
    """Connect to a DuckDB file or ":memory:". Raises `OperationalError` with what to do."""
    if read_only and not path.startswith(":memory:") and "://" not in path and not os.path.exists(path):
        hint = "check the path; without read_only=True the file is made."
        raise errors.OperationalError(f"the database file {path} does not exist.", hint=hint)
    with translated():
        connection = duckdb.connect(path, read_only=read_only, config=dict(config or {}))
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET python_enable_replacements = false")
        if connection.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
            connection.execute("SET enable_progress_bar = false")  # it would be drawn on stdout
    if path.startswith(":memory:"):
        return Database(connection, read_only=read_only)
    instance = _INSTANCES.setdefault(os.path.realpath(path), Instance())
    return Database(connection, read_only=read_only, instance=instance)


# ---------------------------------------------------------------- errors
