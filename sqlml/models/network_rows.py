"""The rows of a design as the kernel's `Rows`: for the neural model types.

Plain numbers lie side by side, and a category column is one code that counts through all levels of all
columns. Features that are wide and mostly empty are apart: arrays of categories, sparse vectors and, where
there is no room, dense ones become bags of codes with values, whose columns are counted behind the levels.
So memory goes with what is not 0, and the first layer costs as much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sqlml.encode import Design, Feature, Set, Sparse, Vector
from sqlml.kernels.bags import Bags, joined
from sqlml.kernels.mlp import Rows
from sqlml.kernels.types import F64
from sqlml.models.blocks import Block, categories, dense_width, read
from sqlml.relation import Relation

#: Training rows are kept in memory up to this size, or a quarter of the machine's memory if that is less.
MEMORY = 8 * 2**30
STREAM_ROWS = 262_144
#: Decoded numbers of a piece: wide vectors come in fewer rows.
STREAM_BYTES = 2**28
#: Dense columns that a network has at most: the widest vectors beyond are apart.
DENSE_COLUMNS = 20_000
#: Arrays of categories are dense columns while they have at most this many levels together, and so is a
#: sparse vector with at most so many columns.
DENSE_LEVELS = 128
#: A sparse vector with a larger share of entries is dense: a product of matrices does some 10 to 20 numbers
#: (a CPU, layers of 64, batches of 32 to 512) in the time of one entry.
SPARSE_SHARE = 0.05


def choose_apart(design: Design, rows: int) -> tuple[int, ...]:
    """Places of the features that become bags of codes, by their widths and the entries of their `rows` rows."""
    all_sets = places_of(design, Set)
    found = set(all_sets if sum(design.features[i].width for i in all_sets) > DENSE_LEVELS else ())
    for i in places_of(design, Sparse):
        f = design.features[i]
        assert isinstance(f, Sparse)
        if f.width > DENSE_LEVELS and f.entries <= SPARSE_SHARE * f.width * rows:
            found.add(i)
    left = [i for i in places_of(design, Set, Sparse, Vector) if i not in found]
    for i in sorted(left, key=lambda i: -design.features[i].width):
        if dense_width(design, found) > DENSE_COLUMNS:
            found.add(i)
    return tuple(sorted(found))


def places_of(design: Design, *kinds: type) -> tuple[int, ...]:
    """Places of the features of some kinds."""
    return tuple(i for i, f in enumerate(design.features) if isinstance(f, kinds))


def coded(design: Design, apart: Sequence[int]) -> tuple[Feature, ...]:
    """The features whose columns are rows of the network's table, in the order of their codes."""
    return (*categories(design), *(design.features[i] for i in apart))


def offsets(design: Design, apart: Sequence[int]) -> list[int]:
    """First code of each of the `coded` features, and the number of codes."""
    found = [0]
    for f in coded(design, apart):
        found.append(found[-1] + f.width)
    return found


@np.errstate(over="ignore")
def kernel_rows(
    design: Design, dense: F64, codes: Sequence[Any], apart: Sequence[int], bags: Bags | None = None
) -> Rows:
    """The kernel's rows of a decoded block: columns are counted through, R stands for none of them."""
    at = offsets(design, apart)
    out = np.full((len(dense), len(codes)), at[-1], np.int32)
    for j, code in enumerate(codes):
        known = code >= 0
        out[known, j] = code[known] + at[j]
    return Rows(dense.astype(np.float32), out, bags=None if bags is None else bags.behind(at[len(codes)]))


class TrainingRows:
    """The encoded rows of a relation, read anew in every pass: for rows that do not fit into memory."""

    def __init__(
        self, relation: Relation, design: Design, extra: Mapping[str, str], task: str, apart: Sequence[int] = ()
    ):
        self.relation, self.design, self.extra, self.task = relation, design, dict(extra), task
        self.apart = tuple(apart)

    def __iter__(self) -> Iterator[Rows]:
        width = 8 * max(1, dense_width(self.design, self.apart))
        rows = max(1024, min(STREAM_ROWS, STREAM_BYTES // width))
        for block in read(self.relation, self.design, self.extra, rows, apart=self.apart):
            found = self._rows(block)
            if len(found):
                yield found

    def _rows(self, block: Block) -> Rows:
        rows = kernel_rows(self.design, block.dense, block.codes, self.apart, block.bags)
        if "y" not in block.extra:
            return rows
        y, w = block.extra["y"], block.extra.get("w")
        good = np.isfinite(y)  # a held-out label that training did not have is NaN
        weight = None if w is None else w[good].astype(np.float32)
        target = y[good].astype(np.int32) if self.task == "multiclass" else y[good].astype(np.float32)
        if good.all():
            return Rows(rows.X, rows.codes, target, weight, rows.bags)
        bags = None if rows.bags is None else rows.bags.where(good)
        return Rows(rows.X[good], rows.codes[good], target, weight, bags)

    def packed(self) -> Rows:
        """All rows at once."""
        parts = list(self)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            p, C = dense_width(self.design, self.apart), len(categories(self.design))
            return Rows(np.zeros((0, p), np.float32), np.zeros((0, C), np.int32), np.zeros(0, np.float32))
        y = None if parts[0].y is None else np.concatenate([p.y for p in parts])
        w = None if parts[0].w is None else np.concatenate([p.w for p in parts])
        bags = joined([p.bags for p in parts if p.bags is not None]) if self.apart else None
        return Rows(np.concatenate([p.X for p in parts]), np.concatenate([p.codes for p in parts]), y, w, bags)


def entries(design: Design, rows: int, apart: Sequence[int]) -> int:
    """Number of codes in the bags of the training rows, or more."""
    found = 0
    for i in apart:
        f = design.features[i]
        if isinstance(f, Set):
            found += sum(f.counts)
        else:
            found += f.entries if isinstance(f, Sparse) else rows * f.width
    return found


def fits_in_memory(design: Design, rows: int, free: int | None, apart: Sequence[int]) -> bool:
    """Whether the packed rows, and one copy of them, stay within the budget, and within half of the `free` bytes
    of a GPU (None without one)."""
    places = [design.features[i] for i in apart]
    words = 1 if all(isinstance(f, Set) for f in places) else 2  # a code, and its value
    size = 2 * 4 * (rows * (dense_width(design, apart) + len(categories(design)) + 2))
    size += 2 * 4 * words * entries(design, rows, apart)
    total = MEMORY
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = min(total, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)
    return size <= (total if free is None else min(total, free // 2))
