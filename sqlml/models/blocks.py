"""Encoded rows in memory, block by block: for models and solvers that need rows rather than sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
        bags: the levels of the sets, counted through, when they were asked for; they are not in `dense` then.
    """

    dense: F64
    codes: tuple[I32, ...]
    extra: Mapping[str, F64]
    bags: Bags | None = None

    def __len__(self) -> int:
        return len(self.dense)


def dense_width(design: Design) -> int:
    """Number of columns of `Block.dense`."""
    return sum(f.width for f in design.features if not isinstance(f, Category))


def categories(design: Design) -> tuple[Category, ...]:
    """The category features, in order."""
    return tuple(f for f in design.features if isinstance(f, Category))


def sets(design: Design) -> tuple[Set, ...]:
    """The set features, in order."""
    return tuple(f for f in design.features if isinstance(f, Set))


def without_sets(design: Design) -> Design:
    """The other features."""
    return Design(tuple(f for f in design.features if not isinstance(f, Set)), design.columns)


def expressions(design: Design) -> dict[str, str]:
    """Name -> SQL of what `decode` needs of each feature: raw numbers, texts and arrays."""
    found = {}
    for i, f in enumerate(design.features):
        found[f"f{i}"] = f.scaled() if isinstance(f, Number) else f.sql
    return found


def decode(design: Design, columns: Mapping[str, pa.Array]) -> tuple[F64, tuple[I32, ...]]:
    """Arrow columns named as in `expressions` -> (dense, codes)."""
    rows = len(next(iter(columns.values()))) if columns else 0
    dense = np.zeros((rows, dense_width(design)))
    found: list[I32] = []
    at = 0
    for i, f in enumerate(design.features):
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


def decode_sets(design: Design, columns: Mapping[str, pa.Array]) -> Bags:
    """The levels of all sets of each row, counted through from the first set's first level."""
    rows, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    n, first = 0, 0
    for i, f in enumerate(design.features):
        if not isinstance(f, Set):
            continue
        n = len(columns[f"f{i}"])
        row, level = _set_pairs(f, columns[f"f{i}"])
        rows.append(row)
        codes.append(level + first)
        first += f.width
    return of_pairs(np.concatenate(rows), np.concatenate(codes), n, first)


def level_codes(levels: tuple[str | None, ...], column: pa.Array) -> I32:
    """Index of each value among the levels, -1 when it is none of them."""
    found = pc.index_in(column.cast(pa.string()), value_set=_known(levels), skip_nulls=False)
    return codes(found)


@lru_cache(maxsize=512)
def _known(levels: tuple[str | None, ...]) -> pa.Array:
    return texts(levels)


def _set_pairs(f: Set, column: pa.Array | pa.ChunkedArray) -> tuple[I64, I64]:
    """Rows and levels of a column of arrays; a pair comes as often as it is in the array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    rows = np.asarray(pc.list_parent_indices(column).to_numpy(), np.int64)
    level = level_codes(f.levels, column.flatten()).astype(np.int64)
    good = level >= 0
    rows, level = rows[good], level[good]
    if None in f.levels and column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        rows = np.concatenate([rows, missing])
        level = np.concatenate([level, np.full(len(missing), f.levels.index(None))])
    return rows, level


def _fill_set(f: Set, column: pa.Array, out: F64) -> None:
    out[_set_pairs(f, column)] = 1.0


def _fill_vector(column: pa.Array, out: F64) -> None:
    flat = pc.fill_null(column.flatten(), 0.0).to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(column).to_numpy()
    if len(rows) == 0:
        return
    starts = np.concatenate([[0], np.flatnonzero(np.diff(rows)) + 1])
    place = np.arange(len(rows)) - np.repeat(starts, np.diff(np.append(starts, len(rows))))
    good = place < out.shape[1]
    out[rows[good], place[good]] = flat[good]


def _fill_sparse(f: Sparse, column: pa.Array, out: F64) -> None:
    flat = column.flatten()
    rows = pc.list_parent_indices(column).to_numpy()
    index = pc.fill_null(pc.struct_field(flat, f.index_field), -1).to_numpy(zero_copy_only=False)
    value = pc.fill_null(pc.struct_field(flat, f.value_field).cast(pa.float64()), 0.0)
    good = (index >= 0) & (index < out.shape[1])
    np.add.at(out, (rows[good], index[good].astype(np.int64)), value.to_numpy(zero_copy_only=False)[good])


def decode_apart(design: Design, columns: Mapping[str, pa.Array]) -> tuple[F64, tuple[I32, ...], Bags]:
    """As `decode`, with the sets as bags instead of dense columns."""
    kept = [i for i, f in enumerate(design.features) if not isinstance(f, Set)]
    dense, found = decode(without_sets(design), {f"f{j}": columns[f"f{i}"] for j, i in enumerate(kept)})
    bags = decode_sets(design, columns)
    return (dense if kept else np.zeros((len(bags), 0))), found, bags


def read(
    relation: Relation,
    design: Design,
    extra: Mapping[str, str] | None = None,
    rows: int = 65_536,
    *,
    bags: bool = False,
) -> Iterator[Block]:
    """Encoded blocks of the rows; `extra` names further SQL expressions, `bags` keeps sets out of `dense`."""
    features = expressions(design)
    more = {f"e{i}": f"({sql})::DOUBLE" for i, sql in enumerate((extra or {}).values())}
    wanted = {**features, **more} or {"e": "1"}
    for batch in relation.batches(wanted, rows):
        columns = {name: batch.column(i) for i, name in enumerate(wanted)}
        own = {k: v for k, v in columns.items() if k in features}
        dense, codes, apart = decode_apart(design, own) if bags else (*decode(design, own), None)
        if not features:
            dense = np.zeros((batch.num_rows, 0))
        found = {}
        for i, name in enumerate(extra or {}):
            found[name] = numbers(columns[f"e{i}"])
        yield Block(dense, codes, found, apart)


def repeated(
    relation: Relation, design: Design, extra: Mapping[str, str], rows: int, limit: int = CACHE_BYTES
) -> Callable[[], Iterator[Block]]:
    """A callable that gives the blocks again and again; they stay in memory when they are small."""
    size = rows * (8 * dense_width(design) + 4 * len(categories(design)) + 8 * len(extra))
    if size > limit:
        return lambda: read(relation, design, extra)
    kept = list(read(relation, design, extra))
    return lambda: iter(kept)
