"""Arrays as rows of a table: raw bytes, large ones in pieces, each with a hash.

A row is (key, dtype, shape, data, sha256); the dtype of a piece is followed by its place, as in `<f8 0/12`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import blobs
from sqlml.errors import InternalError

#: Element types that arrays may have in a file.
DTYPES = frozenset("<f8 <f4 <i8 <i4 <i2 |i1 |u1 <u2 <u4 <u8 |b1".split())


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
