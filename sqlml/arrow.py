"""Arrow arrays from Python and numpy values, without pyarrow's detour: `pa.array` imports pandas (0.2 s)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def floats(values: npt.ArrayLike) -> pa.Array:
    """A DOUBLE array of shape (n,); NaN stays NaN."""
    return _primitive(np.ascontiguousarray(values, dtype=np.float64), pa.float64())


def singles(values: npt.ArrayLike) -> pa.Array:
    """A FLOAT array of shape (n,)."""
    return _primitive(np.ascontiguousarray(values, dtype=np.float32), pa.float32())


def integers(values: npt.ArrayLike) -> pa.Array:
    """A BIGINT array of shape (n,)."""
    return _primitive(np.ascontiguousarray(values, dtype=np.int64), pa.int64())


def _primitive(values: npt.NDArray[np.generic], kind: pa.DataType) -> pa.Array:
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def texts(values: Iterable[str | None]) -> pa.Array:
    """A VARCHAR array."""
    items = list(values)
    raw = [b"" if v is None else v.encode() for v in items]
    offsets = np.zeros(len(raw) + 1, dtype=np.int64)
    np.cumsum([len(r) for r in raw], out=offsets[1:])
    valid = np.array([v is not None for v in items], dtype=np.bool_)
    nulls = int(len(items) - valid.sum())
    bitmap = pa.py_buffer(np.packbits(valid, bitorder="little").tobytes()) if nulls else None
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(b"".join(raw))]
    large = pa.Array.from_buffers(pa.large_string(), len(items), buffers, nulls)
    return large.cast(pa.string())


def numbers(array: pa.Array) -> npt.NDArray[np.float64]:
    """The values of a DOUBLE array of shape (n,); NULL becomes NaN. Read-only when there are no NULLs."""
    found = np.frombuffer(array.buffers()[1], dtype=np.float64, count=array.offset + len(array))[array.offset :]
    return np.where(_valid(array), found, np.nan) if array.null_count else found


def bigints(array: pa.Array) -> npt.NDArray[np.int64]:
    """The values of a BIGINT array of shape (n,) without NULLs. Read-only."""
    if not len(array):
        return np.zeros(0, dtype=np.int64)
    return np.frombuffer(array.buffers()[1], dtype=np.int64, count=array.offset + len(array))[array.offset :]


def codes(array: pa.Array) -> npt.NDArray[np.int32]:
    """The values of an int32 array of shape (n,); NULL becomes -1."""
    found = np.frombuffer(array.buffers()[1], dtype=np.int32, count=array.offset + len(array))[array.offset :]
    return np.where(_valid(array), found, -1).astype(np.int32) if array.null_count else found.astype(np.int32)


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], dtype=np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(np.bool_)


def blobs(array: pa.Array) -> list[memoryview]:
    """The values of a BLOB array without a copy; NULL is empty."""
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, dtype=width)[array.offset : array.offset + len(array) + 1].tolist()
    view = memoryview(b"" if data is None else data)
    return [view[a:b] for a, b in itertools.pairwise(ends)]
