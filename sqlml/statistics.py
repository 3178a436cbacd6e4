"""What training rows say of the raw features: moments of numbers, levels of categories, sizes of vectors.

`encode` makes the features of these statistics; nothing here knows what a model wants of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sqlml.errors import DataError
from sqlml.kernels.types import F64
from sqlml.relation import LocalRelation, Relation
from sqlml.schema import Column, Type, quote_literal, quote_name

#: Medians and profiles are of all rows up to so many, then of a sample of about so many, chosen by content.
EXACT_ROWS, SAMPLE_ROWS = 200_000, 100_000
#: Equal rows are chosen together: a sample with fewer different ones than this may be far from the whole.
DIFFERENT = 2_000
#: Products around a centre farther from the mean than so many deviations would lose digits.
_FAR = 100.0


@dataclass(frozen=True, slots=True)
class Raw:
    """A feature before its statistics are known."""

    shape: Literal["number", "category", "set", "vector", "sparse"]
    name: str
    sql: str
    source: str
    type: Type


@dataclass(frozen=True, slots=True)
class NumberStatistics:
    """Statistics of a number's values that are not NULL: `n` of them, NaN left out and told by `nan`."""

    n: int
    mean: float | None
    stddev: float | None
    low: float | None
    high: float | None
    nan: bool = False


def without_nan(sql: str) -> str:
    """NaN counts as missing, like NULL."""
    return f"nullif({sql}, 'NaN'::DOUBLE)"


def number_statistics(
    relation: Relation, raw: Sequence[Raw], near: Mapping[str, float | None] | None = None
) -> dict[str, NumberStatistics]:
    """Statistics of raw numbers, by name, in one aggregate query; a second one if a column has NaN or infinities.

    Args:
        relation: the rows.
        raw: the numbers.
        near: a value near the middle of each column, by source. The deviation is then a sum of squares around it,
            which costs a third of DuckDB's own and loses no digits.
    """
    if not raw:
        return {}
    middles = [(near or {}).get(r.source) for r in raw]
    try:
        values = relation.aggregate([t for r, m in zip(raw, middles, strict=True) for t in _number_terms(r.sql, m)])
    except DataError:  # DuckDB refuses the deviation of infinite values
        values = (0, None, None, None, math.nan) * len(raw)
    found, again = {}, []
    for i, (r, middle) in enumerate(zip(raw, middles, strict=True)):
        n, mean, spread, low, high = values[5 * i : 5 * i + 5]
        if any(v is not None and not math.isfinite(v) for v in (low, high)):
            again.append(r)
            continue
        found[r.name] = NumberStatistics(n, mean, _deviation(n, mean, spread, middle), low, high)
    if again:
        found |= _guarded_statistics(relation, again)
    return found


def _number_terms(x: str, middle: float | None) -> list[str]:
    if middle is None:
        spread = f"stddev_samp({x})"
    else:
        gap = f"({x} - {quote_literal(float(middle))})"
        spread = f"sum({gap} * {gap})"
    return [f"count({x})", f"avg({x})", spread, f"min({x})", f"max({x})"]


def _deviation(n: int, mean: float | None, spread: float | None, middle: float | None) -> float | None:
    """The sample deviation, from DuckDB's own or from a sum of squares around `middle`."""
    if middle is None or spread is None or mean is None:
        return spread
    if n < 2:
        return None
    gap = mean - middle
    squares = spread - n * gap * gap  # what is too large for a DOUBLE is infinite here, and NaN in differences
    return math.sqrt(max(squares, 0.0) / (n - 1)) if math.isfinite(squares) else math.inf


def _guarded_statistics(relation: Relation, raw: Sequence[Raw]) -> dict[str, NumberStatistics]:
    """Statistics of columns with NaN (left out) or infinities (told by low and high)."""
    terms: list[str] = []
    for r in raw:
        x, y = without_nan(r.sql), f"CASE WHEN isfinite({r.sql}) THEN {r.sql} END"
        terms += [f"count({x})", f"avg({y})", f"stddev_samp({y})", f"min({x})", f"max({x})"]
        terms.append(f"count_if(isnan({r.sql}))")
    values = relation.aggregate(terms)
    found = {}
    for i, r in enumerate(raw):
        n, mean, stddev, low, high, nans = values[6 * i : 6 * i + 6]
        found[r.name] = NumberStatistics(n, mean, stddev, low, high, bool(nans))
    return found


@dataclass(frozen=True, slots=True)
class Products:
    """Sums of the products of (1, columns less `center`) over rows without a NULL in any of the columns.

    Args:
        sql: the columns, DOUBLE.
        center: (p,): numbers near the middle of the columns.
        sums: (p + 1, p + 1).
    """

    sql: tuple[str, ...]
    center: tuple[float, ...]
    sums: F64

    def less(self, part: Relation) -> Products:
        """Those of the rows without a part of them."""
        names, terms = _product_terms(self.sql, self.center)
        return replace(self, sums=self.sums - _square(part.sums(terms, let=names).values[0], len(self.sql)))


def statistics_with_products(
    relation: LocalRelation, raw: Sequence[Raw], others: Sequence[Raw], near: Mapping[str, float | None]
) -> tuple[dict[str, NumberStatistics], Products | None]:
    """Like `number_statistics`, and the products of the raw numbers and others from the same pass.

    The products are None when a column has NULL, NaN or infinities, or lies far from `near`.
    """
    wanted = [*raw, *others]
    center = tuple(float(near.get(r.source) or 0.0) for r in wanted)
    sql, p = tuple(r.sql for r in wanted), len(wanted)
    names, terms = _product_terms(sql, center)
    items = ", ".join(f"{e} AS {n}" for n, e in names.items())
    shifted = replace(relation, source=f"(SELECT *, {items} FROM {relation.source})")
    extremes = [f"{f}({r.sql})" for r in wanted for f in ("count", "min", "max")]
    values = shifted.aggregate([*(f"sum({t})" for t in terms), *extremes])
    rows, told = values[0], values[len(terms) :]
    counts, lows, highs = told[::3], told[1::3], told[2::3]
    if not rows or any(n != rows for n in counts) or not all(math.isfinite(v) for v in (*lows, *highs)):
        return number_statistics(relation, raw, near), None
    sums = _square(np.array(values[: len(terms)], np.float64), p)
    gap, square = sums[0, 1:] / rows, np.diag(sums)[1:]
    spread = np.maximum(square - rows * gap**2, 0.0)
    if not np.isfinite(sums).all() or (rows * gap**2 > _FAR**2 * spread).any():
        means = {r.source: c + float(g) for r, c, g in zip(wanted, center, gap, strict=True)}
        return number_statistics(relation, raw, means), None
    deviation = np.sqrt(spread / (rows - 1)).tolist() if rows > 1 else [None] * p
    found = {
        r.name: NumberStatistics(int(rows), center[i] + float(gap[i]), deviation[i], lows[i], highs[i])
        for i, r in enumerate(raw)
    }
    return found, Products(sql, center, sums)


def _product_terms(sql: Sequence[str], center: Sequence[float]) -> tuple[dict[str, str], list[str]]:
    """Names of the columns less their centre, and the upper triangle of the products of (1, those)."""
    names = {f"__d{i}": f"({x} - {quote_literal(c)})" for i, (x, c) in enumerate(zip(sql, center, strict=True))}
    listed = list(names)
    pairs = [f"{a} * {b}" for i, a in enumerate(listed) for b in listed[i:]]
    return names, ["1.0::DOUBLE", *listed, *pairs]


def _square(values: F64, p: int) -> F64:
    """(p + 1, p + 1) of its upper triangle."""
    found = np.zeros((p + 1, p + 1))
    found[np.triu_indices(p + 1)] = values
    return found + np.triu(found, 1).T


def sample_of(relation: LocalRelation, columns: Sequence[Column], rows: int) -> LocalRelation:
    """All rows when they are few, else a copy of rows chosen by their content: the same on every run."""
    if rows <= EXACT_ROWS or not columns:
        return relation
    every = 1 + rows // SAMPLE_ROWS
    names = [quote_name(c.name) for c in columns]
    # The hash of all columns costs as much as a scan: that of two will do where they tell rows apart.
    for chosen in dict.fromkeys((", ".join(names[:2]), ", ".join(names))):
        part = relation.where(f"hash({chosen}) % {every} = 0")
        kept = relation.database.snapshot(f"SELECT {', '.join(names)} FROM {part.sql()}")
        sample = LocalRelation(relation.database, kept, tuple(columns))
        n, different = sample.aggregate(["count(*)", f"approx_count_distinct(hash({chosen}))"])
        if n > rows // every // 20 and different > min(n // 2, DIFFERENT):
            return sample
        relation.database.drop_snapshot(kept)
    # Rows that differ too little to choose among them are all read.
    return relation


def medians_of(sample: LocalRelation, columns: Sequence[Column]) -> dict[str, float | None]:
    """Nearest-rank medians."""
    if not columns:
        return {}
    values = sample.aggregate([f"quantile_disc({quote_name(c.name)}::DOUBLE, 0.5)" for c in columns])
    return {c.name: v for c, v in zip(columns, values, strict=True)}


def level_counts(relation: Relation, raw: Sequence[Raw]) -> dict[str, tuple[tuple[str | None, ...], tuple[int, ...]]]:
    """The levels of raw categories and sets with their rows, by name; NULL first, then in order of the text.

    Raises `DataError` for a column that is all NULL.
    """
    found = {}
    for r in raw:
        value = r.sql
        if r.shape == "set":
            value = f"unnest(CASE WHEN len({r.sql}) > 0 THEN list_distinct({r.sql}) || CASE WHEN len(list_filter("
            value += f"{r.sql}, lambda x: x IS NULL)) > 0 THEN [NULL]::VARCHAR[] ELSE []::VARCHAR[] END"
            value += f" WHEN {r.sql} IS NULL THEN [NULL]::VARCHAR[] ELSE []::VARCHAR[] END)"
        table = relation.table(f"v, count(*) AS n FROM (SELECT {value} AS v FROM {{rows}}) GROUP BY v")
        pairs = list(zip(table.column("v").to_pylist(), table.column("n").to_pylist(), strict=True))
        if all(v is None for v, _ in pairs):
            raise DataError(f"the column {r.source} must have a value in some row. Every value is NULL.")
        pairs.sort(key=lambda p: (p[0] is not None, p[0] or ""))
        found[r.name] = (tuple(p[0] for p in pairs), tuple(int(p[1]) for p in pairs))
    return found


def sizes_of(relation: Relation, raw: Sequence[Raw]) -> dict[str, tuple[int, int]]:
    """By name: the lengths of raw vectors, of sparse ones the largest index + 1; and the number of all entries.

    Raises `DataError` for a column that is all NULL, arrays of several lengths and negative indexes.
    """
    terms = []
    for r in raw:
        if r.shape == "vector":
            terms += [f"min(len({r.sql}))", f"max(len({r.sql}))"]
        else:
            assert r.type.item is not None
            index = quote_name(r.type.item.fields[0][0])
            inside = f"list_transform({r.sql}, lambda __e: __e.{index})"
            terms += [f"min(list_min({inside}))", f"max(list_max({inside})) + 1"]
        terms.append(f"sum(len({r.sql}))")
    values = relation.aggregate(terms)
    found = {}
    for i, r in enumerate(raw):
        low, high, entries = values[3 * i : 3 * i + 3]
        if high is None:
            raise DataError(f"the column {r.source} must have a value in some row. Every value is NULL.")
        if r.shape == "vector" and low != high:
            text = f"the arrays of {r.source} must have one length. Got lengths from {low} to {high}."
            raise DataError(text)
        if r.shape == "sparse" and low < 0:
            raise DataError(f"the indexes of {r.source} must not be negative. Got {low}.")
        found[r.name] = int(high), int(entries)
    return found


def arrays_with_nan(relation: Relation, raw: Sequence[Raw]) -> frozenset[str]:
    """The names of raw vectors that hold NaN somewhere.

    Raises `DataError` for arrays with infinite values or with numbers whose sums are, and for sparse ones with NaN.
    """
    items = {}
    for r in raw:
        items[r.name] = r.sql
        if r.shape == "sparse":
            assert r.type.item is not None
            value = quote_name(r.type.item.fields[1][0])
            items[r.name] = f"list_transform({r.sql}, lambda __e: __e.{value}::DOUBLE)"
    wild = relation.aggregate([f"count_if(NOT isfinite(list_sum({i})))" for i in items.values()]) if raw else ()
    found = []
    for r in (r for r, n in zip(raw, wild, strict=True) if n):
        inside = f"list_filter({items[r.name]}, lambda __e: "
        infinite, nan = relation.aggregate([f"count_if(len({inside} {test}(__e))) > 0)" for test in ("isinf", "isnan")])
        if infinite or not nan or r.shape == "sparse":
            what = "an infinite value" if infinite else "NaN" if nan else "numbers that are too large to be summed"
            hint = f"write ARRAY(SELECT IF(IS_INF(e), NULL, e) FROM UNNEST({r.source}) AS e) AS {r.source}."
            raise DataError(
                f"the arrays of {r.source} must hold finite numbers. Some hold {what}.",
                hint=hint if infinite and r.shape == "vector" else None,
            )
        found.append(r.name)
    return frozenset(found)
