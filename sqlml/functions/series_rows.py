"""Rows of many series, made while they are read: of the series and with the columns that a query asks for.

DuckDB hands a query's columns and filters to the `scanner` of an Arrow dataset. Ten rows then cost one group of
series, and a filter on the ids costs the series that pass it. Which ones cannot pass is told by Arrow, from what is
known of each group and each series as it is of the files of a partitioned data set.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.kernels.types import I64
from sqlml.models.time_series import ForecastState, read_ids
from sqlml.schema import Column

#: Makes the rows of some series, one after the other: how many each has, and the columns of the given names (more
#: do no harm), without those of the ids.
Make = Callable[[list[int], frozenset[str]], tuple[list[int], dict[str, pa.Array]]]

#: Answers of fewer points are made at once; as many points are made together.
LAZY_POINTS, TOGETHER = 50_000, 20_000
#: Series that are tested together against a filter.
GROUP = 100
STAMP = pa.timestamp("us", tz="UTC")
KINDS = {
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
    "TIMESTAMP WITH TIME ZONE": STAMP,
}


def series_rows(state: ForecastState, columns: Sequence[Column], which: Sequence[int], make: Make) -> Any:
    """The rows of the series numbers in `which`: a table, or a data set that may be read any number of times."""
    ids = read_ids(state.ids) if state.id_columns else pa.table({})
    kinds = [ids.schema.field(c.name).type for c in state.id_columns]
    kinds += [KINDS[c.sql_type] for c in columns[len(kinds) :]]
    schema = pa.schema([pa.field(c.name, kind) for c, kind in zip(columns, kinds, strict=True)])
    rows = _Rows(schema, ids, np.asarray(state.series.length, np.int64), make)
    unique = len({c.name.casefold() for c in columns}) == len(columns)
    if not unique or rows.lengths[list(which)].sum() < LAZY_POINTS:
        return pa.Table.from_batches([rows.batch(list(which), range(len(columns)))], schema)
    return _dataset()(rows, list(which))


class _Rows:
    """Makes batches."""

    def __init__(self, schema: pa.Schema, ids: pa.Table, lengths: I64, make: Make):
        self.schema, self.ids, self.lengths, self.make = schema, ids, lengths, make

    def batch(self, which: list[int], places: Sequence[int]) -> pa.RecordBatch:
        """Some columns of some series."""
        width = self.ids.num_columns
        # An id may have the name of another column.
        counts, made = self.make(which, frozenset(self.schema.names[k] for k in places if k >= width))
        rows = pa.array(np.repeat(np.array(which, np.int64), counts), pa.int64())
        arrays = [
            self.ids.column(k).take(rows).combine_chunks() if k < width else made[self.schema.names[k]] for k in places
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self.schema.field(k) for k in places]))

    def batches(self, which: list[int], places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """The same, piece by piece."""
        first, points = 0, 0
        for end, i in enumerate(which, 1):
            points += int(self.lengths[i])
            if points >= TOGETHER or end == len(which):
                yield self.batch(which[first:end], places)
                first, points = end, 0

    def passing(self, which: list[int], condition: Any) -> list[int]:
        """The series that may have rows for which an expression holds; more may be among them."""
        text = str(condition)
        named = [name for name in self.ids.column_names if name in text]
        tested = [name for name in named if _is_plain(self.ids.schema.field(name).type)]
        if not tested:
            return which
        table = self.ids.select(tested).take(pa.array(which, pa.int64())).combine_chunks()
        groups = [range(a, min(a + GROUP, len(which))) for a in range(0, len(which), GROUP)]
        known = [_bounds(table.slice(g.start, len(g))) for g in groups]
        left = [k for g in _satisfiable(known, self.schema, condition) for k in groups[g]]
        rows = table.take(pa.array(left, pa.int64())).to_pylist()
        return [which[left[k]] for k in _satisfiable([_values(row) for row in rows], self.schema, condition)]


@functools.cache
def _dataset() -> type:
    """The class of data sets, made when one is needed: the module takes long to import."""
    from pyarrow import dataset

    class SeriesRows(dataset.Dataset):  # type: ignore[misc]
        """What DuckDB asks of a data set: its schema and a scanner."""

        def __init__(self, rows: _Rows, which: list[int]):
            self._rows, self._which = rows, which

        @property
        def schema(self) -> pa.Schema:
            return self._rows.schema

        def scanner(self, columns: list[str] | None = None, filter: Any = None, **_: Any) -> Any:  # noqa: A002 - as it is called
            rows, which, names = self._rows, self._which, self._rows.schema.names
            wanted = set(names if columns is None else columns)
            if filter is not None:
                wanted |= {name for name in names if name in str(filter)}
                which = rows.passing(which, filter)
            places = [k for k, name in enumerate(names) if name in wanted] or [0]
            try:
                return self._scan(which, places, columns, filter)
            except pa.ArrowInvalid:  # the filter names a column in another spelling
                return self._scan(which, list(range(len(names))), columns, filter)

        def _scan(self, which: list[int], places: list[int], columns: list[str] | None, condition: Any) -> Any:
            schema = pa.schema([self.schema.field(k) for k in places])
            made = self._rows.batches(which, places)
            return dataset.Scanner.from_batches(made, schema=schema, columns=columns, filter=condition)

    return SeriesRows


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _bounds(table: pa.Table) -> Any:
    """What holds for every row of a table."""
    known = pc.scalar(True)
    for name in table.column_names:
        column = table.column(name)
        if not column.null_count:
            ends = pc.min_max(column)
            known &= (pc.field(name) >= ends["min"]) & (pc.field(name) <= ends["max"])
    return known


def _values(row: dict[str, Any]) -> Any:
    known = pc.scalar(True)
    for name, value in row.items():
        known &= pc.field(name).is_null() if value is None else pc.field(name) == value
    return known


def _satisfiable(known: Sequence[Any], schema: pa.Schema, condition: Any) -> list[int]:
    """Numbers of the facts under which a condition may hold.

    Arrow answers this for the files of a data set; these files are not there, and nothing opens them.
    """
    from pyarrow import dataset, fs

    form, files = dataset.IpcFileFormat(), fs.LocalFileSystem()
    parts = [form.make_fragment(str(i), filesystem=files, partition_expression=k) for i, k in enumerate(known)]
    found = dataset.FileSystemDataset(parts, schema, form, files).get_fragments(filter=condition)
    return sorted(int(f.path) for f in found)
