"""The wish of another thread that the running statement should end.

DuckDB forgets an interrupt that comes before its query begins, so one that falls between two queries of a
statement (while it is planned, or between two passes of a training) would be lost. Here it is kept until
the statement has heard it: by DuckDB's own exception, before the next query, or at a report of a training.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import duckdb

from sqlml.errors import Cancelled

#: Seconds between two interrupts of a query that may have begun just after the last one.
_AGAIN = 0.1


class Stop:
    """Whether the running statement of one DuckDB connection is to end. It is asked for, and heard once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = connection
        self._running = 0
        self._asked = False
        self._lock = threading.Lock()
        self._changed = threading.Event()

    @contextlib.contextmanager
    def statement(self) -> Iterator[None]:
        """A statement runs in here; what was asked before and after it does not count."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._asked = False
                self._changed.set()

    def ask(self) -> bool:
        """From another thread: end the running statement, or the query whose rows are being read.

        False when no statement is running.
        """
        with self._lock:
            self._interrupt()
            if not self._running:
                return False
            if self._asked:
                return True
            self._asked = True
            self._changed = threading.Event()
        threading.Thread(target=self._insist, args=(self._changed,), name="sqlml-stop", daemon=True).start()
        return True

    def _insist(self, heard: threading.Event) -> None:
        while not heard.wait(_AGAIN):
            with self._lock:
                if not heard.is_set():
                    self._interrupt()

    def _interrupt(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()

    def close(self) -> None:
        """Let go of the connection: a stream that was not read to its end may live as long as the process."""
        with self._lock:
            self._connection = None

    def heard(self) -> bool:
        """Whether the statement is to end. It is told once, so that what cleans up is left in peace."""
        with self._lock:
            asked, self._asked = self._asked, False
            self._changed.set()
        return asked

    def check(self) -> None:
        """Raise `Cancelled` when the statement is to end."""
        if self.heard():
            raise Cancelled("the statement was cancelled.")

    @contextlib.contextmanager
    def hearing(self) -> Iterator[None]:
        """A query of DuckDB in here hears it by itself."""
        try:
            yield
        except (duckdb.InterruptException, OSError):  # a stream says so by an OSError
            self.heard()
            raise
