"""Encoded rows in memory, block by block: for models and solvers that need rows rather than sums.

Features that are wide and mostly empty may be kept apart from the dense numbers: arrays of categories and
sparse vectors become bags of codes with values, which take no more room than they have entries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.arrow import codes, numbers, texts
from sqlml.encode import Category, Design, Number, Set, Sparse, Vector
from sqlml.kernels.bags import Bags, of_pairs
from sqlml.kernels.types import F64, I32, I64
from sqlml.relation import Relation

#: Blocks are kept in memory when the encoded rows are smaller than this.
CACHE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows.

    Args:
        dense: (n, p): all columns that are plain numbers, in the order of the design, categories left out.
        codes: per category feature, (n,): index into its levels, -1 for a value without a level.
        extra: further columns that were asked for, each (n,); NULL is NaN.
        bags: the features that were asked for apart, their columns counted through; they are not in `dense` then.
    """

    dense: F64
    codes: tuple[I32, ...]
    extra: Mapping[str, F64]
    bags: Bags | None = None

    def __len__(self) -> int:
        return len(self.dense)


def dense_width(design: Design, apart: Collection[int] = ()) -> int:
    """Number of columns of `Block.dense`; `apart` are the places of features that are not in it."""
    return sum(f.width for i, f in enumerate(design.features) if i not in apart and not isinstance(f, Category))


def categories(design: Design) -> tuple[Category, ...]:
    """The category features, in order."""
    return tuple(f for f in design.features if isinstance(f, Category))


def expressions(design: Design) -> dict[str, str]:
    """Name -> SQL of what `decode` needs of each feature: raw numbers, texts and arrays."""
    found = {}
    for i, f in enumerate(design.features):
        found[f"f{i}"] = f.scaled() if isinstance(f, Number) else f.sql
    return found


def decode(design: Design, columns: Mapping[str, pa.Array], apart: Collection[int] = ()) -> tuple[F64, tuple[I32, ...]]:
    """Arrow columns named as in `expressions` -> (dense, codes), but for the features `apart`."""
    rows = len(next(iter(columns.values()))) if columns else 0
    dense = np.zeros((rows, dense_width(design, apart)))
    found: list[I32] = []
    at = 0
    for i, f in enumerate(design.features):
        if i in apart:
            continue
        column = columns[f"f{i}"]
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if isinstance(f, Category):
            found.append(level_codes(f.levels, column))
            continue
        if isinstance(f, Number):
            dense[:, at] = numbers(column)
        elif isinstance(f, Set):
            _fill_set(f, column, dense[:, at : at + f.width])
        elif isinstance(f, Vector):
            _fill_vector(column, dense[:, at : at + f.width])
        elif isinstance(f, Sparse):
            _fill_sparse(f, column, dense[:, at : at + f.width])
        at += f.width
    return dense, tuple(found)


def decode_bags(design: Design, columns: Mapping[str, pa.Array], apart: Sequence[int]) -> Bags:
    """The columns of the features `apart` that are not 0 in each row, counted through from the first one's first.

    There are values unless all are sets.
    """
    rows, codes, values = [], [], []
    n, first = 0, 0
    for i in apart:
        f, column = design.features[i], columns[f"f{i}"]
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        n = len(column)
        if isinstance(f, Set):
            row, code = _set_pairs(f, column)
            value = np.ones(0)
            if len(apart) > 1:  # an array may have a level twice
                row, code = np.divmod(np.unique(row * f.width + code), f.width)
                value = np.ones(len(row))
        else:
            assert isinstance(f, (Vector, Sparse))
            row, code, value = _vector_entries(column) if isinstance(f, Vector) else _sparse_entries(f, column)
            inside = code < f.width
            row, code, value = row[inside], code[inside], value[inside]
        rows.append(row)
        codes.append(code + first)
        values.append(value)
        first += f.width
    plain = all(isinstance(design.features[i], Set) for i in apart)
    pairs = np.concatenate(rows), np.concatenate(codes)
    return of_pairs(*pairs, n, first, None if plain else np.concatenate(values))


def level_codes(levels: tuple[str | None, ...], column: pa.Array) -> I32:
    """Index of each value among the levels, -1 when it is none of them."""
    found = pc.index_in(column.cast(pa.string()), value_set=_known(levels), skip_nulls=False)
    return codes(found)


@lru_cache(maxsize=512)
def _known(levels: tuple[str | None, ...]) -> pa.Array:
    return texts(levels)


def _set_pairs(f: Set, column: pa.Array) -> tuple[I64, I64]:
    """Rows and levels of a column of arrays; a pair comes as often as it is in the array."""
    rows = np.asarray(pc.list_parent_indices(column).to_numpy(), np.int64)
    level = level_codes(f.levels, column.flatten()).astype(np.int64)
    good = level >= 0
    rows, level = rows[good], level[good]
    if None in f.levels and column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        rows = np.concatenate([rows, missing])
        level = np.concatenate([level, np.full(len(missing), f.levels.index(None))])
    return rows, level


def _vector_entries(column: pa.Array) -> tuple[I64, I64, F64]:
    """Rows, places and values of a column of dense arrays."""
    flat = pc.fill_null(column.flatten(), 0.0).to_numpy(zero_copy_only=False)
    rows = np.asarray(pc.list_parent_indices(column).to_numpy(), np.int64)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    return rows, place, flat


def _sparse_entries(f: Sparse, column: pa.Array) -> tuple[I64, I64, F64]:
    """Rows, indexes and values of a column of sparse arrays, as often as they are in the array."""
    flat = column.flatten()
    rows = np.asarray(pc.list_parent_indices(column).to_numpy(), np.int64)
    index = pc.fill_null(pc.struct_field(flat, f.index_field), -1).to_numpy(zero_copy_only=False)
    value = pc.fill_null(pc.struct_field(flat, f.value_field).cast(pa.float64()), 0.0)
    good = index >= 0
    return rows[good], index[good].astype(np.int64), value.to_numpy(zero_copy_only=False)[good]


def _fill_set(f: Set, column: pa.Array, out: F64) -> None:
    out[_set_pairs(f, column)] = 1.0


def _fill_vector(column: pa.Array, out: F64) -> None:
    rows, place, value = _vector_entries(column)
    good = place < out.shape[1]
    out[rows[good], place[good]] = value[good]


def _fill_sparse(f: Sparse, column: pa.Array, out: F64) -> None:
    rows, index, value = _sparse_entries(f, column)
    good = index < out.shape[1]
    np.add.at(out, (rows[good], index[good]), value[good])


def read(
    relation: Relation,
    design: Design,
    extra: Mapping[str, str] | None = None,
    rows: int = 65_536,
    *,
    apart: Sequence[int] = (),
) -> Iterator[Block]:
    """Encoded blocks of the rows; `extra` names further SQL expressions, `apart` keeps features out of `dense`."""
    features = expressions(design)
    more = {f"e{i}": f"({sql})::DOUBLE" for i, sql in enumerate((extra or {}).values())}
    wanted = {**features, **more} or {"e": "1"}
    for batch in relation.batches(wanted, rows):
        columns = {name: batch.column(i) for i, name in enumerate(wanted)}
        own = {k: v for k, v in columns.items() if k in features}
        dense, codes = decode(design, own, apart)
        bags = decode_bags(design, own, apart) if apart else None
        if not features:
            dense = np.zeros((batch.num_rows, 0))
        found = {}
        for i, name in enumerate(extra or {}):
            found[name] = numbers(columns[f"e{i}"])
        yield Block(dense, codes, found, bags)


def repeated(
    relation: Relation, design: Design, extra: Mapping[str, str], rows: int, limit: int = CACHE_BYTES
) -> Callable[[], Iterator[Block]]:
    """A callable that gives the blocks again and again; they stay in memory when they are small."""
    size = rows * (8 * dense_width(design) + 4 * len(categories(design)) + 8 * len(extra))
    if size > limit:
        return lambda: read(relation, design, extra)
    kept = list(read(relation, design, extra))
    return lambda: iter(kept)
