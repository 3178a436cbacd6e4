"""ML.CORRELATION: how a target moves with other columns, over the whole table and every segment of it.

PEARSON is one GROUP BY CUBE that DuckDB computes where the query stands. Ranks depend on the segment,
so SPEARMAN and KENDALL read the columns once and compute segment by segment.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.errors import OptionError, SchemaError, did_you_mean
from sqlml.functions.base import Call, Computed, Inline, TableFunction
from sqlml.kernels.correlation import kendall, spearman
from sqlml.options import REQUIRED, option
from sqlml.schema import Column, Kind, find, names, quote_literal, quote_name

_SEGMENT = "STRUCT(dimension_col VARCHAR, dimension_value JSON)[]"
_MOST_DIMENSIONS = 12


@dataclass(frozen=True)
class CorrelationSettings:
    """Settings of ML.CORRELATION."""

    target_col: str = option(REQUIRED, "The numeric column that the others are compared with.")
    target_correlation_cols: tuple[str, ...] = option(REQUIRED, "The numeric columns that are compared.")
    dimension_cols: tuple[str, ...] = option((), "Columns whose combinations of values make the segments.")
    method: Literal["PEARSON", "SPEARMAN", "KENDALL"] = option("PEARSON", "The coefficient.")


def _known(call: Call, name: str, setting: str) -> Column:
    column = find(call.data.columns, name)
    place = call.places.get(setting.lower(), call.data.span)
    if column is None:
        hint = did_you_mean(name, names(call.data.columns))
        raise SchemaError(f"{setting} must name a column of the input. Got {name}.", span=place, hint=hint)
    return column


def _number(call: Call, name: str, setting: str) -> Column:
    column = _known(call, name, setting)
    if column.kind is not Kind.NUMERIC:
        text = f"{setting} must name a numeric column. {column.name} is {column.type.google}."
        raise SchemaError(text, span=call.places.get(setting.lower(), call.data.span))
    return column


def _run(call: Call) -> Inline | Computed:
    settings: CorrelationSettings = call.settings
    target = _number(call, settings.target_col, "TARGET_COL")
    others = [_number(call, n, "TARGET_CORRELATION_COLS") for n in settings.target_correlation_cols]
    dimensions = [_known(call, n, "DIMENSION_COLS") for n in settings.dimension_cols]
    if not others:
        raise OptionError(
            "TARGET_CORRELATION_COLS must name at least one column.",
            span=call.places.get("target_correlation_cols", call.span),
        )
    if len(dimensions) > _MOST_DIMENSIONS:
        text = f"DIMENSION_COLS must name at most {_MOST_DIMENSIONS} columns. Got {len(dimensions)}."
        raise OptionError(text, span=call.places.get("dimension_cols", call.span))
    for d in dimensions:
        if d.kind not in (Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP):
            text = f"DIMENSION_COLS must name columns that can be grouped. {d.name} is {d.type.google}."
            raise SchemaError(text, span=call.places.get("dimension_cols", call.data.span))
    for columns, setting in ((others, "TARGET_CORRELATION_COLS"), (dimensions, "DIMENSION_COLS")):
        seen = [c.name.casefold() for c in columns]
        if len(set(seen)) < len(seen):
            raise OptionError(
                f"{setting} must name different columns.", span=call.places.get(setting.lower(), call.span)
            )
    if settings.method == "PEARSON":
        return Inline(_pearson(call.data.sql, target, others, dimensions))
    return _by_ranks(call, target, others, dimensions)


def _pearson(source: str, target: Column, others: Sequence[Column], dimensions: Sequence[Column]) -> str:
    y = f"{quote_name(target.name)}::DOUBLE"
    items, entries = ["count(*) AS __rows"], []
    for i, column in enumerate(others):
        x = f"{quote_name(column.name)}::DOUBLE"
        items += [f"corr({y}, {x}) AS __r{i}", f"regr_count({y}, {x}) AS __n{i}"]
        entries.append(f"{{'c': {quote_literal(column.name)}, 'r': __r{i}, 'n': __n{i}}}")
    parts = [
        f"CASE WHEN grouping({quote_name(d.name)}) = 0 THEN"
        f" [{{'dimension_col': {quote_literal(d.name)}, 'dimension_value': {_json(d)}}}] ELSE [] END"
        for d in dimensions
    ]
    segment = " || ".join(parts) if parts else "[]"
    keys = [quote_name(d.name) for d in dimensions]
    group = f" GROUP BY CUBE ({', '.join(keys)})" if keys else ""
    grouped = f"SELECT {', '.join([f'CAST({segment} AS {_SEGMENT}) AS segment', *keys, *items])} FROM {source}{group}"
    total = "max(__rows) OVER ()"
    opened = (
        f"SELECT {', '.join(['segment', *keys])}, unnest([{', '.join(entries)}]) AS __e, {total} AS __all"
        f" FROM ({grouped}) WHERE __rows > 0"
    )
    return (
        f"(SELECT {', '.join(['segment', *keys])}, {quote_literal(target.name)} AS target_col,"
        " __e.c AS corr_col, CASE WHEN isfinite(__e.r) THEN __e.r END AS correlation,"
        " CAST(__e.n AS BIGINT) AS segment_size, __e.n / __all AS segment_proportion"
        f" FROM ({opened}) ORDER BY segment_size DESC, corr_col)"
    )


def _json(column: Column) -> str:
    return f"coalesce(to_json({quote_name(column.name)}), 'null'::JSON)"


def _by_ranks(call: Call, target: Column, others: Sequence[Column], dimensions: Sequence[Column]) -> Computed:
    columns = (
        Column("segment", _SEGMENT),
        *dimensions,
        Column("target_col", "VARCHAR"),
        Column("corr_col", "VARCHAR"),
        Column("correlation", "DOUBLE"),
        Column("segment_size", "BIGINT"),
        Column("segment_proportion", "DOUBLE"),
    )
    measure = spearman if call.settings.method == "SPEARMAN" else kendall

    def compute() -> pa.Table:
        keys = [quote_name(d.name) for d in dimensions]
        items = [
            f"{k} AS __d{i}, {_json(d)}::VARCHAR AS __j{i}"
            for i, (k, d) in enumerate(zip(keys, dimensions, strict=True))
        ]
        numbers = [f"{quote_name(c.name)}::DOUBLE AS __x{i}" for i, c in enumerate((target, *others))]
        query = f"{call.data.scope} SELECT {', '.join([*items, *numbers])} FROM {call.data.sql}".strip()
        table = call.context.database.table(query, call.context.parameters)
        values = [_floats(table, f"__x{i}") for i in range(len(others) + 1)]
        labels = [table.column(f"__j{i}").to_pylist() for i in range(len(dimensions))]
        found = []
        for chosen in _subsets(len(dimensions)):
            for rows in _groups(labels, chosen, table.num_rows):
                for column, x in zip(others, values[1:], strict=True):
                    found.append(_line(table, target, column, values[0], x, rows, chosen, dimensions, measure))
        found.sort(key=lambda line: (-line["segment_size"], line["corr_col"]))
        return _table(found, columns, table, len(dimensions))

    return Computed(columns, compute)


def _floats(table: pa.Table, name: str) -> Any:
    return np.asarray(table.column(name).combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def _subsets(count: int) -> list[tuple[int, ...]]:
    return [c for n in range(count + 1) for c in itertools.combinations(range(count), n)]


def _groups(labels: list[list[str]], chosen: tuple[int, ...], rows: int) -> list[Any]:
    """Row numbers of each combination of values."""
    if not chosen:
        return [np.arange(rows)] if rows else []
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*(labels[i] for i in chosen), strict=True)):
        groups.setdefault(key, []).append(row)
    return [np.asarray(g) for g in groups.values()]


def _line(
    table: pa.Table,
    target: Column,
    column: Column,
    y: Any,
    x: Any,
    rows: Any,
    chosen: tuple[int, ...],
    dimensions: Sequence[Column],
    measure: Any,
) -> dict[str, Any]:
    pair = rows[np.isfinite(y[rows]) & np.isfinite(x[rows])]
    first = int(rows[0])
    segment = [
        {"dimension_col": dimensions[i].name, "dimension_value": table.column(f"__j{i}")[first].as_py()} for i in chosen
    ]
    return {
        "segment": segment,
        "rows": dict.fromkeys(chosen, first),
        "target_col": target.name,
        "corr_col": column.name,
        "correlation": measure(x[pair], y[pair]),
        "segment_size": len(pair),
        "segment_proportion": len(pair) / table.num_rows,
    }


def _table(lines: list[dict[str, Any]], columns: Sequence[Column], table: pa.Table, dimensions: int) -> pa.Table:
    kind = pa.list_(pa.struct([("dimension_col", pa.string()), ("dimension_value", pa.string())]))
    arrays: dict[str, Any] = {"segment": pa.array([line["segment"] for line in lines], kind)}
    for i in range(dimensions):
        source = table.column(f"__d{i}").combine_chunks()
        picks = pa.array([line["rows"].get(i) for line in lines], pa.int64())
        arrays[columns[1 + i].name] = source.take(picks)
    for name, plain in (
        ("target_col", pa.string()),
        ("corr_col", pa.string()),
        ("correlation", pa.float64()),
        ("segment_size", pa.int64()),
        ("segment_proportion", pa.float64()),
    ):
        arrays[name] = pa.array([line[name] for line in lines], plain)
    return pa.table(arrays)


CORRELATION = TableFunction(
    name="ML.CORRELATION",
    doc="Correlation of a target with other columns, over all rows and each segment.",
    run=_run,
    settings=CorrelationSettings,
    model=False,
    data="required",
)
