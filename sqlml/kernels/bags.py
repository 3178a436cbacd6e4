"""Sets of codes, one per row, laid end to end: what arrays of categories are to a network.

A vocabulary of tags may have any size: a row costs as many numbers as it has tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlml.kernels.types import F32, I32, I64


@dataclass(frozen=True, slots=True)
class Bags:
    """The sets of n rows.

    Args:
        codes: int32 (m,); those of a row are distinct.
        starts: int64 (n + 1,), from 0 to m: row i has codes[starts[i]:starts[i + 1]].
    """

    codes: I32
    starts: I64

    def __len__(self) -> int:
        return len(self.starts) - 1

    def owners(self) -> I64:
        """The row of every code (m,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def sums(self, table: F32) -> F32:
        """Sum of the rows of `table` (R, h) that each set names: (n, h)."""
        from scipy.sparse import csr_matrix

        ones = np.ones(len(self.codes), table.dtype)
        made = csr_matrix((ones, self.codes, self.starts), shape=(len(self), len(table))) @ table
        return np.asarray(made, table.dtype)

    def piece(self, rows: slice) -> Bags:
        """Those of consecutive rows."""
        start, stop, _ = rows.indices(len(self))
        starts = self.starts[start : stop + 1]
        return Bags(self.codes[starts[0] : starts[-1]], starts - starts[0])

    def where(self, keep: NDArray[np.bool_]) -> Bags:
        """Those of the rows that are kept (n,)."""
        lengths = np.diff(self.starts)
        return of_lengths(self.codes[np.repeat(keep, lengths)], lengths[keep])


def of_lengths(codes: I32, lengths: I64) -> Bags:
    """Sets from codes end to end (m,) and the number of codes of every row (n,)."""
    return Bags(codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def of_pairs(rows: I64, codes: I64, n: int, width: int) -> Bags:
    """Sets of n rows from pairs of a row and a code below `width`, in any order and with repeats."""
    pairs = np.unique(rows.astype(np.int64) * width + codes)
    owners, found = np.divmod(pairs, max(1, width))
    return of_lengths(found.astype(np.int32), np.bincount(owners, minlength=n).astype(np.int64))


def joined(parts: Sequence[Bags]) -> Bags:
    """Rows of several pieces, one after the other."""
    lengths = np.concatenate([np.diff(p.starts) for p in parts])
    return of_lengths(np.concatenate([p.codes for p in parts]), lengths)
