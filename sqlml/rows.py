"""Rows of Arrow batches as Python values; without pyarrow itself, so that whoever imports this stays light."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlml.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Rows of a batch as Python values. Raises `DataError` for dates that Python does not have."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except OverflowError:  # DuckDB's dates go on where GoogleSQL's and Python's end
            text = f"the dates and times of the column {name} must be from the year 1 to 9999."
            raise DataError(text) from None
    return zip(*columns, strict=True)
