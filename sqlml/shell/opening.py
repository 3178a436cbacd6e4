"""Open the database while the user reads the first prompt.

Loading the engine takes longer than drawing a prompt. So the prompt comes first, and a thread loads and
connects meanwhile; whoever needs the connection waits for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlml


class Opening:
    """A connection that is being opened. Calling it gives the connection, or raises why there is none."""

    def __init__(self, connect: Callable[[], sqlml.Connection]) -> None:
        self._connect = connect
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._connection: sqlml.Connection | None = None
        self._failure: BaseException | None = None

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin in the background, once; `failed` is called from there when it does not succeed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(failed,), name="sqlml-open", daemon=True)
            self._thread.start()

    def __call__(self) -> sqlml.Connection:
        """The connection."""
        with self._lock:
            if self._connection is None and self._failure is None:
                try:
                    self._connection = self._connect()
                except BaseException as error:
                    self._failure = error
                    raise
            if self._failure is not None:
                raise self._failure
            assert self._connection is not None
            return self._connection

    def close(self) -> None:
        """Close the connection, if it was opened."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _run(self, failed: Callable[[BaseException], None]) -> None:
        try:
            self()
        except Exception as error:  # noqa: BLE001 - told by `failed`, and raised again to whoever asks
            failed(error)
