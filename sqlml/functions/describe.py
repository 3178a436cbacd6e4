"""ML.DESCRIBE_DATA: statistics of every column of a table, one row per column."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.summary import Summary, Wanted, readable, summaries
from sqlml.models.base import Fixed
from sqlml.options import option

_TOP = pa.list_(pa.struct([("value", pa.string()), ("count", pa.int64())]))
COLUMNS = (
    ("name", "VARCHAR", pa.string()),
    ("num_rows", "BIGINT", pa.int64()),
    ("num_nulls", "BIGINT", pa.int64()),
    ("num_zeros", "BIGINT", pa.int64()),
    ("min", "VARCHAR", pa.string()),
    ("max", "VARCHAR", pa.string()),
    ("mean", "DOUBLE", pa.float64()),
    ("stdev", "DOUBLE", pa.float64()),
    ("median", "DOUBLE", pa.float64()),
    ("quantiles", "DOUBLE[]", pa.list_(pa.float64())),
    ("unique", "BIGINT", pa.int64()),
    ("avg_string_length", "DOUBLE", pa.float64()),
    ("num_values", "BIGINT", pa.int64()),
    ("top_values", "STRUCT(value VARCHAR, count BIGINT)[]", _TOP),
    ("min_array_length", "BIGINT", pa.int64()),
    ("max_array_length", "BIGINT", pa.int64()),
    ("avg_array_length", "DOUBLE", pa.float64()),
    ("total_array_length", "BIGINT", pa.int64()),
    ("array_length_quantiles", "BIGINT[]", pa.list_(pa.int64())),
    ("dimension", "BIGINT", pa.int64()),
)


@dataclass(frozen=True)
class DescribeSettings:
    """Settings of ML.DESCRIBE_DATA."""

    num_quantiles: int = option(2, "Quantiles of numeric columns.", low=1, high=100_000)
    num_array_length_quantiles: int = option(10, "Quantiles of array lengths.", low=1, high=100_000)
    top_k: int = option(1, "Most frequent values of categorical columns.", low=1, high=10_000)


def _line(s: Summary) -> dict[str, object]:
    shortest, longest, average, total = s.lengths or (None, None, None, None)
    return {
        "name": s.name,
        "num_rows": s.rows,
        "num_nulls": s.nulls,
        "num_zeros": s.zeros,
        "min": s.low,
        "max": s.high,
        "mean": s.mean,
        "stdev": s.stdev,
        "median": s.median,
        "quantiles": list(s.quantiles) if s.numeric else None,
        "unique": None if s.numeric else s.unique,
        "avg_string_length": s.average_length,
        "num_values": s.count,
        "top_values": None if s.numeric else [{"value": v, "count": n} for v, n in s.top],
        "min_array_length": shortest,
        "max_array_length": longest,
        "avg_array_length": average,
        "total_array_length": total,
        "array_length_quantiles": list(s.length_quantiles) if s.array else None,
        "dimension": s.dimension,
    }


def _run(call: Call) -> Computed:
    settings: DescribeSettings = call.settings
    wanted = Wanted(
        quantiles=settings.num_quantiles,
        length_quantiles=settings.num_array_length_quantiles,
        top=settings.top_k,
    )

    def compute() -> pa.Table:
        with readable(call, call.data) as relation:
            return Fixed.of(COLUMNS, [_line(s) for s in summaries(relation, wanted)]).table

    return Computed(Fixed.of(COLUMNS, ()).columns, compute)


DESCRIBE_DATA = TableFunction(
    name="ML.DESCRIBE_DATA",
    doc="Statistics of every column of a table.",
    run=_run,
    settings=DescribeSettings,
    model=False,
    data="required",
)
