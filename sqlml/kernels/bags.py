"""Sets of codes, one per row, laid end to end: what arrays of categories and sparse vectors are to a network.

A vocabulary may have any size: a row costs as many numbers as it has codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlml.kernels.types import F32, F64, I32, I64


@dataclass(frozen=True, slots=True)
class Bags:
    """The sets of n rows.

    Args:
        codes: int32 (m,); those of a row are distinct.
        starts: int64 (n + 1,), from 0 to m: row i has codes[starts[i]:starts[i + 1]].
        values: the number that comes with each code, float32 (m,); None for all 1.
    """

    codes: I32
    starts: I64
    values: F32 | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def owners(self) -> I64:
        """The row of every code (m,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def amounts(self, dtype: type[np.floating] = np.float32) -> NDArray[np.floating]:
        """The values (m,), written out."""
        return np.ones(len(self.codes), dtype) if self.values is None else self.values.astype(dtype, copy=False)

    def sums(self, table: F32) -> F32:
        """Sum of the rows of `table` (R, h) that each set names, times the values: (n, h)."""
        from scipy.sparse import csr_matrix

        made = csr_matrix((self.amounts(table.dtype.type), self.codes, self.starts), shape=(len(self), len(table)))
        return np.asarray(made @ table, table.dtype)

    def piece(self, rows: slice) -> Bags:
        """Those of consecutive rows."""
        start, stop, _ = rows.indices(len(self))
        starts = self.starts[start : stop + 1]
        inside = slice(starts[0], starts[-1])
        return Bags(self.codes[inside], starts - starts[0], None if self.values is None else self.values[inside])

    def where(self, keep: NDArray[np.bool_]) -> Bags:
        """Those of the rows that are kept (n,)."""
        lengths = np.diff(self.starts)
        inside = np.repeat(keep, lengths)
        return of_lengths(self.codes[inside], lengths[keep], None if self.values is None else self.values[inside])

    def behind(self, first: int) -> Bags:
        """The same sets with codes that count from `first`."""
        return Bags(self.codes + np.int32(first), self.starts, self.values)


def of_lengths(codes: I32, lengths: I64, values: F32 | None = None) -> Bags:
    """Sets from codes end to end (m,) and the number of codes of every row (n,)."""
    return Bags(codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), values)


def of_pairs(rows: I64, codes: I64, n: int, width: int, values: F64 | None = None) -> Bags:
    """Sets of n rows from pairs of a row and a code below `width`, in any order and with repeats.

    Values of equal pairs are added up, and zeros are left out.
    """
    pairs = rows.astype(np.int64) * width + codes
    if not (pairs[1:] > pairs[:-1]).all():
        if values is None:
            pairs = np.unique(pairs)
        else:
            pairs, place = np.unique(pairs, return_inverse=True)
            values = np.bincount(place.ravel(), values, minlength=len(pairs)).astype(np.float64)
    if values is not None:
        kept = values != 0  # NaN is kept
        pairs, values = pairs[kept], values[kept]
    owners, found = np.divmod(pairs, max(1, width))
    lengths = np.bincount(owners, minlength=n).astype(np.int64)
    return of_lengths(found.astype(np.int32), lengths, None if values is None else values.astype(np.float32))


def joined(parts: Sequence[Bags]) -> Bags:
    """Rows of several pieces, one after the other."""
    lengths = np.concatenate([np.diff(p.starts) for p in parts])
    codes = np.concatenate([p.codes for p in parts])
    if all(p.values is None for p in parts):
        return of_lengths(codes, lengths)
    return of_lengths(codes, lengths, np.concatenate([p.amounts() for p in parts]).astype(np.float32))
