"""Arrays as rows of a table: raw bytes, large ones in pieces, each with a hash.

A row is (key, dtype, shape, data, sha256); the dtype of a piece is followed by its place, as in `<f8 0/12`.
Memory holds an array once on its way out and in: pieces are views, and an array that is written is let go.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import blobs, integers, texts
from sqlml.errors import InternalError

#: Element types that arrays may have in a file.
DTYPES = frozenset("<f8 <f4 <i8 <i4 <i2 |i1 |u1 <u2 <u4 <u8 |b1".split())

#: Bytes from which an array is stored in pieces, and bytes of a piece. Pieces are small because a commit holds
#: two copies of 2,048 rows in memory.
LARGE, PIECE = 1 << 20, 1 << 13
#: Pieces that are handed over together.
_TOGETHER = 512
_SHAPE = pa.list_(pa.int64())
#: Columns of the rows of an array.
ROW = pa.schema(
    [
        ("key", pa.string()),
        ("dtype", pa.string()),
        ("shape", _SHAPE),
        ("data", pa.large_binary()),
        ("sha256", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An array or a string of bytes that is to be stored."""

    key: str
    dtype: str
    shape: list[int]
    data: memoryview

    @property
    def digest(self) -> str:
        """Its hash."""
        return hashlib.sha256(self.data).hexdigest()


def raw(value: Any) -> tuple[memoryview, str, list[int]]:
    """The bytes of a value without a copy where its layout allows it, its type and its shape."""
    if isinstance(value, bytes):
        return memoryview(value), "bytes", [len(value)]
    array = np.ascontiguousarray(value)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    if array.dtype.str not in DTYPES:
        raise InternalError(f"an array of type {array.dtype} cannot be stored")
    return array.reshape(-1).view(np.uint8).data, array.dtype.str, list(array.shape)


def pieces(waiting: deque[Outgoing]) -> Iterator[pa.RecordBatch]:
    """The rows of large arrays, first come first served. Each array is taken out when its turn comes, and let go."""
    while waiting:
        array = waiting.popleft()
        count = -(-len(array.data) // PIECE)
        for first in range(0, count, _TOGETHER):
            rows = range(first, min(first + _TOGETHER, count))
            part = array.data[first * PIECE : rows.stop * PIECE]
            ends = np.append(np.arange(len(rows), dtype=np.int64) * PIECE, len(part))
            width = len(array.shape)
            bounds = np.arange(len(rows) + 1, dtype=np.int32) * width
            shape = integers(np.tile(np.array(array.shape, dtype=np.int64), len(rows)))
            yield pa.RecordBatch.from_arrays(
                [
                    texts([array.key] * len(rows)),
                    texts([f"{array.dtype} {i}/{count}" for i in rows]),
                    pa.Array.from_buffers(_SHAPE, len(rows), [None, pa.py_buffer(bounds)], children=[shape]),
                    pa.Array.from_buffers(pa.large_binary(), len(rows), [None, pa.py_buffer(ends), pa.py_buffer(part)]),
                    texts([hashlib.sha256(part[a:b]).hexdigest() for a, b in itertools.pairwise(ends.tolist())]),
                ],
                schema=ROW,
            )


class Damaged(Exception):
    """What is wrong with the rows of an array."""


class Incoming:
    """An array or a string of bytes that arrives in pieces, in any order; all but the last are of one size."""

    def __init__(self, key: str, dtype: str, shape: Sequence[int], count: int):
        self.key, self.dtype, self.shape, self.count = key, dtype, shape, count
        self._seen: set[int] = set()
        self._size: int | None = None
        self._filled = 0
        if dtype not in DTYPES and dtype != "bytes":
            raise self._unfit()
        try:
            self._memory = np.empty(math.prod(shape) * (1 if dtype == "bytes" else np.dtype(dtype).itemsize), np.uint8)
        except (TypeError, ValueError, MemoryError, OverflowError):
            raise self._unfit() from None

    def put(self, number: int, data: memoryview) -> None:
        """Take one piece."""
        size, total = len(data), len(self._memory)
        last = number == self.count - 1
        at = total - size if last else number * size
        if not last:
            self._size = self._size or size
        fits = 0 <= number < self.count and 0 <= at <= total - size and (last or size == self._size)
        if not fits or number in self._seen:
            raise self._unfit()
        self._memory[at : at + size] = data
        self._seen.add(number)
        self._filled += size

    def value(self) -> Any:
        """The bytes, or the array."""
        if len(self._seen) < self.count:
            raise Damaged(f"pieces of the array {self.key} are missing")
        if self._filled != len(self._memory):
            raise self._unfit()
        return self._memory.tobytes() if self.dtype == "bytes" else self._memory.view(self.dtype).reshape(self.shape)

    def _unfit(self) -> Damaged:
        return Damaged(f"the array {self.key} has a wrong type or shape")


def take(batch: pa.RecordBatch, arrays: dict[str, Incoming]) -> None:
    """Put the rows of a batch (key, dtype, shape, data, sha256) into their arrays."""
    keys, kinds, digests = (batch.column(i).to_pylist() for i in (0, 1, 4))
    for row, data in enumerate(blobs(batch.column(3))):
        key = keys[row]
        if hashlib.sha256(data).hexdigest() != digests[row]:
            raise Damaged(f"the array {key} does not match its hash")
        dtype, _, place = kinds[row].partition(" ")
        number, _, count = (place or "0/1").partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise Damaged(f"the array {key} has a wrong type or shape")
        if key not in arrays:
            arrays[key] = Incoming(key, dtype, batch.column(2)[row].as_py(), int(count))
        arrays[key].put(int(number), data)
