"""The few functions that DuckDB cannot express: registered once per database, as Arrow functions.

Each takes one Arrow array (DuckDB passes a ChunkedArray of at most 2,048 rows) and returns one of
the same length. Their names begin with `sqlml_`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.kernels.hashing import fingerprint64


@dataclass(frozen=True, slots=True)
class UDF:
    """A scalar function: its name, DuckDB types, and what it does to a column."""

    name: str
    parameters: tuple[str, ...]
    returns: str
    function: Callable[..., Any]


def _flat(column: Any) -> Any:
    """One contiguous array of plain strings or bytes."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)
    plain = (pa.string(), pa.binary(), pa.large_string(), pa.large_binary())
    return column if column.type in plain else column.cast(pa.large_binary())


def farm_fingerprint(column: Any) -> Any:
    """FARM_FINGERPRINT of STRING or BYTES: INT64, NULL for NULL."""
    values = _flat(column)
    rows = len(values)
    wide = values.type in (pa.large_string(), pa.large_binary())
    _, starts, data = values.buffers()
    dtype = np.int64 if wide else np.int32
    if rows == 0 or starts is None:
        return pa.array([], type=pa.int64())
    offsets = np.frombuffer(starts, dtype=dtype, count=rows + 1, offset=values.offset * dtype().itemsize)
    begin, end = int(offsets[0]), int(offsets[-1])
    raw = np.frombuffer(data, dtype=np.uint8)[begin:end] if data is not None else np.empty(0, dtype=np.uint8)
    hashed = fingerprint64(raw, offsets.astype(np.int64) - begin).view(np.int64)
    mask = None
    if values.null_count:
        mask = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    return pa.array(hashed, mask=mask)


UDFS: dict[str, UDF] = {
    udf.name: udf
    for udf in (
        UDF("sqlml_farm_fingerprint", ("VARCHAR",), "BIGINT", farm_fingerprint),
        UDF("sqlml_farm_fingerprint_bytes", ("BLOB",), "BIGINT", farm_fingerprint),
    )
}
