"""A second reader beside the running statement: it sees what is committed, and nothing of the connection's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa


class Aside:
    """The rows of a query on a connection of its own to the same database, batch by batch.

    Args:
        connection: any connection to the database.
        sql: the query; its tables by full names, for the connection has no temporary tables and no settings.
        rows: upper bound on the rows of a batch.
    """

    def __init__(self, connection: Any, sql: str, rows: int):
        self._own: Any = connection.cursor()
        try:
            self._reader: pa.RecordBatchReader | None = self._own.sql(sql).to_arrow_reader(rows)
        except BaseException:
            self._own.close()
            raise
        self.schema: pa.Schema = self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (reader := self._reader) is not None:
            try:
                yield reader.read_next_batch()
            except StopIteration:
                return

    def close(self) -> None:
        """Give the connection back; what was not read is lost."""
        reader, own, self._reader, self._own = self._reader, self._own, None, None
        if reader is not None:
            with contextlib.suppress(pa.ArrowInvalid, OSError):
                reader.close()
            own.close()
