"""A result that is read batch by batch."""

from __future__ import annotations

import threading

import pyarrow as pa

from sqlml.database.faults import translated
from sqlml.database.stop import Stop


class Stream:
    """A result that is read batch by batch, or from memory once another statement needed the connection."""

    def __init__(self, reader: pa.RecordBatchReader, lock: threading.RLock, stop: Stop):
        self.schema: pa.Schema = reader.schema
        self._reader: pa.RecordBatchReader | None = reader
        self._kept: list[pa.RecordBatch] = []
        self._lock = lock
        self._stop = stop

    def next(self) -> pa.RecordBatch | None:
        """The next batch, or None at the end."""
        with self._lock:
            if self._kept:
                return self._kept.pop(0)
            if self._reader is None:
                return None
            try:
                with translated(), self._stop.hearing():
                    return self._reader.read_next_batch()
            except StopIteration:
                self.close()
                return None

    def settle(self) -> None:
        """Read the rest into memory and free the connection."""
        with self._lock:
            if self._reader is not None:
                with translated(), self._stop.hearing():
                    self._kept.extend(self._reader)
                self.close()

    def close(self) -> None:
        """Free the connection; what was not read is lost."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.close()
