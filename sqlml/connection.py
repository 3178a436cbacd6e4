"""PEP 249 over DuckDB: connections and cursors.

All cursors of a connection share its transaction. Threads may share a connection (`threadsafety` is 2):
statements run one after another, and a result that is still being read moves to memory when another
statement starts.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa

from sqlml import errors
from sqlml.database import Database, open_database
from sqlml.errors import Error, InterfaceError, ProgrammingError
from sqlml.execute import Executor, Result
from sqlml.grammar import parse
from sqlml.grammar.nodes import SqlStatement
from sqlml.plan import Session
from sqlml.plan.mounts import Scope, checked_path, checked_source
from sqlml.progress import Listener, Progress
from sqlml.rows import rows_of
from sqlml.script import is_script
from sqlml.script.host import run_script
from sqlml.transform import VALIDATE
from sqlml.translate.udfs import UDFS

if TYPE_CHECKING:
    import duckdb
    import pandas
    import polars

Parameters = Sequence[object] | Mapping[str, object] | None
Row = tuple[Any, ...]


def connect(
    path: str = ":memory:",
    read_only: bool = False,
    *,
    fidelity: Literal["best", "bigquery"] = "best",
    dialect: Literal["bigquery", "duckdb"] = "bigquery",
    config: Mapping[str, str] | None = None,
    mounts: Mapping[str, Any] | None = None,
    timesfm: str | os.PathLike[str] | None = None,
) -> Connection:
    """Open a DuckDB file, or ":memory:", with BigQuery ML in it.

    Args:
        path: the database file; it is made when it does not exist.
        read_only: open an existing file for reading; several processes may do so at once.
        fidelity: 'best' gives the best answer, 'bigquery' the service's habits.
        dialect: the language of queries, GoogleSQL or DuckDB's own.
        config: DuckDB settings, such as {"memory_limit": "1GB"}.
        mounts: BigQuery path -> file, table name or object that stands for it; see `Connection.mount`.
        timesfm: weights of TimesFM for AI.FORECAST, AI.EVALUATE and AI.DETECT_ANOMALIES: model.safetensors or its
            folder.
    """
    connection = Connection(open_database(str(path), read_only=read_only, config=config))
    try:
        connection._session.set("fidelity", fidelity, None)
        connection._session.set("dialect", dialect, None)
        if timesfm is not None:
            connection._session.set("timesfm", os.fspath(timesfm), None)
    except errors.Error:
        connection.close()
        raise
    for name, source in (mounts or {}).items():
        connection.mount(name, source)
    return connection


class Connection:
    """A database connection (PEP 249)."""

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, database: Database):
        self._database = database
        for udf in (*UDFS.values(), VALIDATE):
            database.function(udf.name, udf.function, udf.parameters, udf.returns)
        self._session = Session(database)
        self._listeners: list[Listener] = []
        self._temporary: list[str] = []
        self._closed = False

    # ------------------------------------------------------------ PEP 249

    def cursor(self) -> Cursor:
        """A new cursor."""
        self._check()
        return Cursor(self)

    def commit(self) -> None:
        """Commit the open transaction, if there is one (otherwise every statement commits itself)."""
        self._check()
        self._database.commit()

    def rollback(self) -> None:
        """Roll the open transaction back, if there is one."""
        self._check()
        self._database.rollback()

    def close(self) -> None:
        """Close the connection; its cursors become unusable."""
        if not self._closed:
            self._closed = True
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._closed:
            if kind is None:
                self.commit()
            else:
                self.rollback()
            self.close()

    # ------------------------------------------------------------ conveniences

    def execute(self, sql: str, parameters: Parameters = None) -> Cursor:
        """Run statements on a new cursor and return it."""
        return self.cursor().execute(sql, parameters)

    @property
    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection underneath."""
        self._check()
        self._database.settle()
        return self._database.raw

    def mount(self, path: str, source: Any) -> None:
        """Let a BigQuery path stand for a file, a table or an object; `sqlml.mount` does so for all connections.

        Args:
            path: such as "project.dataset.table"; it may end in * when the file name has a * too.
            source: a Parquet, CSV or JSON file (its name may hold *), the name of a DuckDB table, or an
                Arrow, pandas or polars table.
        """
        self._check()
        name = checked_path(path)
        self._session.mounts[name] = checked_source(source)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every `Progress`; returning False cancels. Returns how to stop listening."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def interrupt(self) -> bool:
        """Stop the running statement, from another thread. False, and nothing happens, when none is running."""
        return self._database.stop.ask()

    def _go_on(self, event: Progress) -> bool:
        """A listener: a training ends at its next report once `interrupt` was called."""
        return not self._database.stop.heard()

    def _check(self) -> None:
        if self._closed:
            raise ProgrammingError("the connection is closed.")

    def _run(self, sql: str, parameters: Parameters) -> tuple[Result, list[tuple[type, Exception]]]:
        """The result of the last statement of a script, and the warnings."""
        result = Result()
        with self._prepared(sql, _caller()) as collected:
            listeners = (self._go_on, *self._listeners)
            if is_script(sql):
                done = run_script(self._session, sql, parameters, listeners, self._temporary)
                result = done if isinstance(done, Result) else result
            else:
                executor = Executor(self._session, sql, parameters, listeners, self._temporary)
                for statement in parse(sql):
                    result = executor.run(statement)
        return result, [(errors.Warning, w) for w in collected]

    def _run_many(self, sql: str, sets: Sequence[Parameters]) -> tuple[int | None, list[tuple[type, Exception]]]:
        """How many rows one statement changed for all sets of parameters; None when they must run one by one."""
        changed = None
        with self._prepared(sql, _caller()) as collected:
            statements = [] if is_script(sql) else list(parse(sql))
            if len(statements) == 1 and isinstance(statements[0], SqlStatement):
                executor = Executor(self._session, sql, sets[0], (), self._temporary)
                changed = executor.many(statements[0].query, sets)
        return changed, [(errors.Warning, w) for w in collected]

    @contextlib.contextmanager
    def _prepared(self, sql: str, scope: Scope | None) -> Iterator[list[errors.Warning]]:
        """The connection for one text: nothing is left of the last one, notices are collected, errors know it."""
        self._check()
        collected: list[errors.Warning] = []
        token = errors.notices.set(collected)
        with self._database.lock, self._database.stop.statement():
            self._database.settle()
            for name in self._temporary:
                self._database.unregister(name)
            self._temporary.clear()
            self._session.give_back()
            self._session.scope = scope
            try:
                yield collected
            except Error as error:
                raise error.attach(sql) from None
            finally:
                errors.notices.reset(token)


def _caller() -> Scope | None:
    """The variables of the code outside this package that called it."""
    frame = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == "sqlml":
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else Scope(frame.f_locals, frame.f_globals)


class Cursor:
    """A cursor (PEP 249), with `.df()`, `.arrow()`, `.pl()` and `.fetchnumpy()`."""

    arraysize = 1

    def __init__(self, connection: Connection):
        self.connection = connection
        self.rowcount = -1
        self.messages: list[tuple[type, Exception]] = []
        self._result: Result | None = None
        self._given: Result | None = None
        self._schema: pa.Schema | None = None
        self._rows: Iterator[Row] | None = None
        self._taken: list[Row] = []
        self._closed = False

    # ------------------------------------------------------------ running

    def execute(self, sql: str, parameters: Parameters = None) -> Self:
        """Run one or more statements; the rows are those of the last.

        Args:
            sql: GoogleSQL (or DuckDB SQL, by the dialect), BigQuery ML statements among it.
            parameters: a sequence for `?`, a mapping for `@name`.
        """
        self._check()
        self._reset()
        result, self.messages = self.connection._run(sql, parameters)
        self.rowcount = -1 if result.changed is None else result.changed
        if result.stream is not None:
            self._result, self._schema = result, result.stream.schema
        elif result.table is not None:
            self._result, self._schema = result, result.table.schema
        return self

    def executemany(self, sql: str, seq_of_parameters: Sequence[Parameters]) -> Self:
        """Run a statement once for each set of parameters; `rowcount` is the sum.

        A single INSERT, UPDATE, DELETE or MERGE is planned once and takes effect for all sets or for none: in a
        transaction of its own when none is open. Other statements run one by one, and those that ran before an
        error stay. Errors name the set, from 1.
        """
        self._check()
        sets = list(seq_of_parameters)
        if len(sets) > 1:
            self._reset()
            changed, self.messages = self.connection._run_many(sql, sets)
            if changed is not None:
                self.rowcount = changed
                return self
        counts = []
        for number, parameters in enumerate(sets, 1):
            try:
                counts.append(self.execute(sql, parameters).rowcount)
            except Error as error:
                error.message = f"row {number}: {error.message}"
                raise
        self.rowcount = sum(counts) if counts and min(counts) >= 0 else -1
        return self

    # ------------------------------------------------------------ reading

    @property
    def description(self) -> list[tuple[Any, ...]] | None:
        """(name, type, None, None, None, None, None) of every column; None without a result."""
        if self._schema is None:
            return None
        return [(f.name, _type_code(f.type), None, None, None, None, None) for f in self._schema]

    def reader(self, rows: int = 100_000) -> pa.RecordBatchReader:
        """The remaining rows as a stream of Arrow batches."""
        result = self._need()
        schema = self._schema
        assert schema is not None

        def batches() -> Iterator[pa.RecordBatch]:
            if result.table is not None:
                yield from result.table.to_batches(rows)
                return
            assert result.stream is not None
            try:
                while (batch := result.stream.next()) is not None:
                    yield batch
            finally:  # a reader that is given up must not be read to its end by the next statement
                result.stream.close()

        self._result, self._given = Result(), result
        return pa.RecordBatchReader.from_batches(schema, _located(batches()))

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        self._need()
        return next(self._iterator(), None)

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next `size` rows (by default `arraysize`)."""
        self._need()
        found: list[Row] = []
        for _ in range(self.arraysize if size is None else size):
            row = next(self._iterator(), None)
            if row is None:
                break
            found.append(row)
        return found

    def fetchall(self) -> list[Row]:
        """All remaining rows."""
        self._need()
        return list(self._iterator())

    def __iter__(self) -> Iterator[Row]:
        self._need()
        return self._iterator()

    def __next__(self) -> Row:
        self._need()
        return next(self._iterator())

    def arrow(self) -> pa.Table:
        """All remaining rows as an Arrow table."""
        return self.reader().read_all()

    def df(self) -> pandas.DataFrame:
        """All remaining rows as a pandas DataFrame."""
        return self.arrow().to_pandas()

    def pl(self) -> polars.DataFrame:
        """All remaining rows as a polars DataFrame. Raises `NotSupportedError` without polars."""
        try:
            import polars
        except ImportError:
            raise errors.NotSupportedError("polars must be installed: pip install polars.") from None
        found = polars.from_arrow(self.arrow())
        assert isinstance(found, polars.DataFrame)
        return found

    def fetchnumpy(self) -> dict[str, Any]:
        """All remaining rows as numpy arrays by column."""
        table = self.arrow()
        return {n: table.column(n).to_numpy() for n in table.column_names}

    # ------------------------------------------------------------ the rest of PEP 249

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Does nothing, as PEP 249 allows."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""

    def close(self) -> None:
        """Close the cursor."""
        self._reset()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise ProgrammingError("the cursor is closed.")
        self.connection._check()

    def _need(self) -> Result:
        self._check()
        if self._result is None:
            raise ProgrammingError("the cursor has no rows: no query was executed.")
        return self._result

    def _reset(self) -> None:
        for result in (self._result, self._given):
            if result is not None and result.stream is not None and not self.connection._closed:
                result.stream.close()
        self._result = self._given = self._schema = self._rows = None

    def _iterator(self) -> Iterator[Row]:
        if self._rows is None:
            self._rows = _python_rows(self.reader())
        return self._rows


def _located(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def _python_rows(reader: pa.RecordBatchReader) -> Iterator[Row]:
    for batch in reader:
        yield from rows_of(batch)


def _type_code(kind: pa.DataType) -> TypeCode:
    for code in (STRING, BINARY, NUMBER, DATETIME):
        if code.test(kind):
            return code
    return STRING


class TypeCode:
    """A PEP 249 type object: it equals itself and the type codes of its columns."""

    def __init__(self, name: str, test: Callable[[pa.DataType], bool]):
        self.name, self.test = name, test

    def __repr__(self) -> str:
        return self.name


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


STRING = TypeCode("STRING", lambda k: bool(pa.types.is_string(k) or pa.types.is_large_string(k)))
BINARY = TypeCode("BINARY", lambda k: bool(pa.types.is_binary(k) or pa.types.is_large_binary(k)))
NUMBER = TypeCode("NUMBER", _is_number)
DATETIME = TypeCode("DATETIME", lambda k: bool(pa.types.is_temporal(k)))
ROWID = TypeCode("ROWID", lambda k: False)

__all__ = ["BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Connection", "Cursor", "InterfaceError", "connect"]
