"""One sitting: a connection, its settings, and how a statement is run and shown."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlml import errors
from sqlml.console.live import LiveLine
from sqlml.console.script import Piece, line_of, split
from sqlml.console.supervise import supervise
from sqlml.shell.opening import Opening
from sqlml.shell.output import Output, ReaderGone, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    import sqlml

OK, SQL_ERROR, USAGE, CANCELLED = 0, 1, 2, 130
BATCH_ROWS = 100_000
KEPT_ROWS = 100_000
RED, RESET = "\x1b[31m", "\x1b[0m"


@dataclass(slots=True)
class Session:
    """Runs statements and commands and reports on stderr.

    Args:
        opening: gives the connection where statements run.
        output: where results go.
        timer: whether the seconds of each statement are told.
        color: whether stderr may be coloured.
        interactive: whether row counts are told.
        database: its name, for the greeting.
        command: runs a dot command; returns an exit code, or None when all went well.
        reading: how many `.read` are open.
    """

    opening: Opening
    output: Output
    timer: bool = False
    color: bool = False
    interactive: bool = False
    database: str = ":memory:"
    command: Callable[[Session, str], int | None] | None = None
    reading: int = 0
    last: Kept | None = None
    ended: bool = False
    changed: bool = True
    _live: LiveLine = field(init=False)
    _listening: bool = False

    def __post_init__(self) -> None:
        self._live = LiveLine(sys.stderr, shutil.get_terminal_size().columns)

    @property
    def connection(self) -> sqlml.Connection:
        """Where statements run. Raises `sqlml.Error` when the database cannot be opened."""
        connection = self.opening()
        if not self._listening:
            self._listening = True
            connection.listen(self._live)
        return connection

    # ------------------------------------------------------------ scripts

    def script(self, text: str, origin: str | None = None, keep_going: bool = False) -> int:
        """Run every statement and command of a text; returns an exit code.

        Args:
            origin: name of the file, told with line numbers before errors.
            keep_going: run the rest after an error.
        """
        pieces, rest = split(text)
        worst = OK
        for piece in [*pieces, *([rest] if rest is not None else [])]:
            code = self.piece(piece, text, origin)
            worst = worst or code
            if self.ended or code == CANCELLED or (code != OK and not keep_going):
                break
        return worst

    def piece(self, piece: Piece, text: str, origin: str | None = None) -> int:
        """Run one statement or command; errors are told on stderr."""
        try:
            if piece.command:
                return self.dot(piece.text)
            self.statement(piece.text)
        except errors.Cancelled as error:
            self.complain(error.message.rstrip(".") + ".", plain=True)
            return CANCELLED
        except errors.Error as error:
            self._locate(error, piece, text)
            where = f"{origin}, line {_line(error, piece, text)}: " if origin else ""
            self.complain(where + str(error))
            return SQL_ERROR
        except UsageError as error:
            where = f"{origin}, line {line_of(text, piece.start)}: " if origin else ""
            self.complain(where + str(error))
            return USAGE
        except ReaderGone:
            self.ended = not self.interactive
        return OK

    @staticmethod
    def _locate(error: errors.Error, piece: Piece, text: str) -> None:
        """Let the caret point into the whole script instead of the statement."""
        if error.span is not None and error.source == piece.text:
            shift = piece.start
            error.span = errors.Span(error.span.start + shift, error.span.end + shift)
            error.source = text

    # ------------------------------------------------------------ statements

    def statement(self, sql: str) -> None:
        """Run one statement and show its result."""
        start = time.perf_counter()
        connection = self.connection
        self._live.start()
        self.changed = True
        try:
            told = supervise(lambda: self._run(connection, sql), self._stop)
        finally:
            self._live.clear()
        seconds = time.perf_counter() - start
        if self.interactive and told is not None:
            rows, more = told
            left = " shown, more are left (.rows N shows N, .rows all shows all)" if more else ""
            self.tell(f"({rows:,} row{'' if rows == 1 else 's'}{left}, {seconds:.2f} s)")
        elif self.interactive or self.timer:
            self.tell(f"(done, {seconds:.2f} s)" if self.interactive else f"Time: {seconds:.3f} s")

    def _run(self, connection: sqlml.Connection, sql: str) -> tuple[int, bool] | None:
        cursor = connection.execute(sql)
        for _, warning in cursor.messages:
            self._live.clear()
            self.tell(f"Warning: {warning}")
        try:
            if cursor.description is None:
                return None
            reader = cursor.reader(BATCH_ROWS)
            self._live.clear()
            self.last = Kept(sql)
            return self.output.show(self.last.tee(reader))
        finally:
            cursor.close()

    def fetch(self, sql: str) -> Kept:
        """Run one query and keep its rows without showing them."""
        connection = self.connection
        self._live.start()

        def work() -> Kept:
            kept = Kept(sql)
            for _ in kept.tee(connection.execute(sql).reader(BATCH_ROWS)):
                continue
            return kept

        try:
            self.last = supervise(work, self._stop)
        finally:
            self._live.clear()
        return self.last

    def _stop(self) -> bool:
        self._live.cancel()
        return self.connection.interrupt()

    def dot(self, line: str) -> int:
        """Run a command such as `.tables`; returns an exit code."""
        if self.command is None:
            raise UsageError(f"{line.split()[0]} is a command of the shell.")
        return self.command(self, line) or OK

    # ------------------------------------------------------------ messages

    def tell(self, text: str) -> None:
        """A remark on stderr."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def complain(self, text: str, plain: bool = False) -> None:
        """An error on stderr; the first line is red where colour is allowed."""
        head, _, rest = text.partition("\n")
        if self.color and not plain:
            head = f"{RED}{head}{RESET}"
        self.tell(head + ("\n" + rest if rest else ""))


def _line(error: errors.Error, piece: Piece, text: str) -> int:
    if error.span is not None and error.source == text:
        return line_of(text, error.span.start)
    return line_of(text, piece.start)


@dataclass(slots=True)
class Kept:
    """The statement shown last and, while it is small, its rows: what `.plot` draws."""

    sql: str
    batches: list[pa.RecordBatch] = field(default_factory=list)
    schema: pa.Schema | None = None
    whole: bool = False

    def tee(self, reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
        """The reader, whose batches are kept as they pass."""
        import pyarrow as pa

        self.schema = reader.schema

        def passing() -> Iterator[pa.RecordBatch]:
            rows = 0
            for batch in reader:
                rows += batch.num_rows
                if rows <= KEPT_ROWS:
                    self.batches.append(batch)
                else:
                    self.batches.clear()
                yield batch
            self.whole = rows <= KEPT_ROWS

        return pa.RecordBatchReader.from_batches(reader.schema, passing())

    def table(self) -> pa.Table | None:
        """The rows, or None when they were too many."""
        import pyarrow as pa

        return pa.Table.from_batches(self.batches, self.schema) if self.whole else None
