"""Statistics of every column of a table: what ML.DESCRIBE_DATA, ML.TFDV_DESCRIBE and the drift checks read.

One aggregate query computes them for all numbers, another for all categories. Two small readings decide
how: the row count, and for columns of categories a look at some rows. A column of few values is counted
exactly (its MAP of counts gives everything else); a column of many values gets DuckDB's sketches, and its
most frequent values are counted in a second reading of that column. Array columns are unnested, each in
a query of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlml.database import Database
from sqlml.functions.base import Call, Source
from sqlml.relation import LocalRelation
from sqlml.schema import Column, Kind, Type, quote_literal, quote_name

#: Rows that decide whether a column has few values, and how many values are few.
LOOK_ROWS, FEW_VALUES = 20_000, 4_000
#: Quantiles are exact up to so many rows, then of about so many rows chosen by their content.
EXACT_ROWS = 1_500_000
#: The most values of a column whose counts are kept.
MOST_VALUES = 10_000
#: Up to so many most frequent values come from a sketch.
SKETCHED_VALUES = 8
#: The time that DuckDB takes to plan histograms grows with the third power of their number in a query: 400 take 6 s.
MOST_HISTOGRAMS = 40


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column without STRUCTs around it: a path as name, and its SQL."""

    name: str
    sql: str
    type: Type
    array: bool = False
    index: str | None = None

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers; everything else is a category."""
        return self.type.kind is Kind.NUMERIC


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of one column (of its elements, for an array).

    Args:
        name, google: the path of the column and its GoogleSQL type.
        numeric, array: what it holds.
        rows, nulls: rows of the table, and those without a value.
        count: values (elements of arrays).
        low, high: as text; `first` and `last` are the same as numbers.
        quantiles: boundaries from minimum to maximum.
        top: most frequent values with their counts, most frequent first.
        counts: rows of each of the equally wide buckets between `first` and `last`.
        lengths: minimum, maximum, mean and total length of arrays.
        length_quantiles: boundaries of the lengths.
        dimension: largest index plus one, of sparse arrays.
        complete: whether `top` holds every value.
    """

    name: str
    google: str
    numeric: bool
    array: bool
    rows: int
    nulls: int = 0
    count: int = 0
    zeros: int | None = None
    low: str | None = None
    high: str | None = None
    first: float | None = None
    last: float | None = None
    mean: float | None = None
    stdev: float | None = None
    median: float | None = None
    quantiles: tuple[float, ...] = ()
    unique: int | None = None
    average_length: float | None = None
    top: tuple[tuple[str, int], ...] = ()
    counts: tuple[int, ...] = ()
    lengths: tuple[int, int, float, int] | None = None
    length_quantiles: tuple[int, ...] = ()
    dimension: int | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which statistics to compute: 0 leaves a group out."""

    moments: bool = True
    quantiles: int = 2
    length_quantiles: int = 10
    top: int = 1
    buckets: int = 0


@contextlib.contextmanager
def readable(call: Call, source: Source) -> Iterator[LocalRelation]:
    """The rows of an argument, copied first when reading them several times would be dear."""
    database = call.context.database
    query = source.query()
    kept: str | None = None
    if call.context.parameters or database.expensive_operator(query) is not None:
        kept = database.snapshot(query, call.context.parameters)
    try:
        yield LocalRelation(database, kept or f"({query})", source.columns)
    finally:
        if kept is not None:
            database.drop_snapshot(kept)


def leaves(columns: Sequence[Column]) -> list[Leaf]:
    """Columns with the fields of STRUCTs as columns of their own, named by their path."""
    found: list[Leaf] = []
    for c in columns:
        found += _leaves(c.name, quote_name(c.name), c.type)
    return found


def _leaves(name: str, sql: str, kind: Type) -> list[Leaf]:
    if kind.name == "STRUCT" and kind.fields and all(n for n, _ in kind.fields):
        return [leaf for n, t in kind.fields for leaf in _leaves(f"{name}.{n}", f"{sql}.{quote_name(n)}", t)]
    if kind.name == "LIST" and kind.item is not None:
        if kind.kind is Kind.SPARSE:
            index, value = kind.item.fields
            return [Leaf(name, sql, value[1], True, index[0])]
        return [Leaf(name, sql, kind.item, True)]
    return [Leaf(name, sql, kind)]


def summaries(relation: LocalRelation, wanted: Wanted, only: Sequence[str] | None = None) -> list[Summary]:
    """The statistics of every column (or of those named), in the order of the columns."""
    database = relation.database
    rows = relation.count()
    found = leaves(relation.columns)
    if only is not None:
        kept = {n.casefold() for n in only}
        found = [leaf for leaf in found if leaf.name.split(".")[0].casefold() in kept]
    plain = [leaf for leaf in found if not leaf.array]
    done = dict(zip(plain, _measure(database, relation.sql(), plain, rows, wanted, _keys(relation)), strict=True))
    for leaf in found:
        if leaf.array:
            done[leaf] = _of_array(database, relation.sql(), leaf, rows, wanted)
    return [done[leaf] for leaf in found]


def _keys(relation: LocalRelation) -> str:
    """What rows are chosen by for the quantiles of large tables: two columns, of many values if there are."""
    order = {"DOUBLE": 0, "FLOAT": 0, "TIMESTAMP": 1, "TIMESTAMP WITH TIME ZONE": 1, "VARCHAR": 2, "BIGINT": 2}
    usable = [c for c in relation.columns if c.kind in (Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP)]
    chosen = sorted(usable, key=lambda c: order.get(c.type.name, 3))[:2]
    return ", ".join(quote_name(c.name) for c in chosen)


# ---------------------------------------------------------------- one query for all columns


def _measure(database: Database, source: str, plain: list[Leaf], rows: int, wanted: Wanted, keys: str) -> list[Summary]:
    if not plain:
        return []
    few = _few(database, source, plain)
    part = rows // EXACT_ROWS + 1
    sample = f" FILTER (WHERE hash({keys}) % {part} = 0)" if part > 1 and keys and wanted.moments else ""
    terms = {leaf: _terms(leaf, leaf in few, wanted, sample) for leaf in plain}
    # Strings are counted apart from numbers: DuckDB counts the codes of its dictionaries only then.
    numbers = [sql for leaf, items in terms.items() if leaf.numeric for sql in items.values()]
    strings = [sql for leaf, items in terms.items() if not leaf.numeric for sql in items.values()]
    chosen, *found_numbers = _wide_row(database, [f"count(*){sample}", *numbers], source, 10 * MOST_HISTOGRAMS)
    found_strings = _wide_row(database, strings, source, 3 * MOST_HISTOGRAMS)  # three terms for a histogram
    values = {True: iter(found_numbers), False: iter(found_strings)}
    named = {leaf: {name: next(values[leaf.numeric]) for name in items} for leaf, items in terms.items()}
    if sample and abs(chosen * part - rows) > 0.2 * rows:
        _exact_quantiles(database, source, named, wanted)  # the rows differ too little to choose among them
    found = [_summary(leaf, rows, named[leaf], leaf in few, wanted) for leaf in plain]
    found = _with_top(database, source, plain, found, few, wanted)
    return _with_buckets(database, source, plain, found, wanted)


def _exact_quantiles(database: Database, source: str, named: dict[Leaf, dict[str, Any]], wanted: Wanted) -> None:
    numbers = [leaf for leaf in named if leaf.numeric]
    terms = [_terms(leaf, False, wanted, "")["quantiles"] for leaf in numbers]
    for leaf, value in zip(numbers, _row(database, f"SELECT {', '.join(terms)} FROM {source}"), strict=True):
        named[leaf]["quantiles"] = value


def _row(database: Database, sql: str) -> tuple[Any, ...]:
    return database.execute(sql)[0]


def _wide_row(database: Database, terms: Sequence[str], source: str, most: int) -> list[Any]:
    """The values of aggregate terms, at most so many in one query."""
    found: list[Any] = []
    for i in range(0, len(terms), most):
        found += _row(database, f"SELECT {', '.join(terms[i : i + most])} FROM {source}")
    return found


def _few(database: Database, source: str, plain: list[Leaf]) -> set[Leaf]:
    """The columns of categories that seem to have few values."""
    categories = [leaf for leaf in plain if not leaf.numeric]
    if not categories:
        return set()
    terms = [f"count(DISTINCT {leaf.sql})" for leaf in categories]
    values = _wide_row(database, terms, f"(SELECT * FROM {source} LIMIT {LOOK_ROWS})", MOST_HISTOGRAMS)
    return {leaf for leaf, n in zip(categories, values, strict=True) if n <= FEW_VALUES}


def _terms(leaf: Leaf, few: bool, wanted: Wanted, sample: str) -> dict[str, str]:
    x = leaf.sql
    if leaf.numeric:
        number = f"CASE WHEN isfinite({x}) THEN {x} END" if leaf.type.name in ("FLOAT", "DOUBLE") else x
        found = {"count": f"count({x})", "low": f"min({number})", "high": f"max({number})"}
        if wanted.moments:
            number = f"CAST({number} AS DOUBLE)"
            found |= {
                "zeros": f"count(*) FILTER (WHERE {x} = 0)",
                "mean": f"avg({number})",
                "stdev": f"stddev_samp({number})",
            }
            points = sorted({0.5, *(i / wanted.quantiles for i in range(1, wanted.quantiles))})
            texts = ", ".join(_point(p) for p in points)
            found["quantiles"] = f"quantile_disc({number}, [{texts}]){sample}"
        return found
    if few:
        entry = "struct_pack(k := CAST(__e.key AS VARCHAR), n := CAST(__e.value AS BIGINT))"
        counts = f"list_transform(map_entries(histogram({x})), lambda __e: {entry})"
        keys = f"map_keys(histogram({x}))"
        ends = {"low": f"CAST(list_min({keys}) AS VARCHAR)", "high": f"CAST(list_max({keys}) AS VARCHAR)"}
        return {**ends, "counts": counts}
    text = _text_of(leaf)
    found = {"count": f"count({x})"}
    if wanted.moments:
        found |= {
            "unique": f"approx_count_distinct({x})",
            "low": f"CAST(min({x}) AS VARCHAR)",
            "high": f"CAST(max({x}) AS VARCHAR)",
            "length": f"avg(length({text}))",
        }
    if 0 < wanted.top <= SKETCHED_VALUES:
        found["top"] = f"list_transform(approx_top_k({x}, {wanted.top}), lambda __e: CAST(__e AS VARCHAR))"
    return found


def _point(p: float) -> str:
    return f"{p:.17f}"[:18]


def _summary(leaf: Leaf, rows: int, named: dict[str, Any], few: bool, wanted: Wanted) -> Summary:
    base = Summary(leaf.name, leaf.type.google, leaf.numeric, leaf.array, rows)
    if leaf.numeric:
        return _numeric(base, named, wanted)
    if few:
        counts = [(str(e["k"]), int(e["n"])) for e in named["counts"] or ()]
        total = sum(n for _, n in counts)
        ordered = sorted(counts, key=lambda pair: (-pair[1], pair[0]))
        length = sum(len(k) * n for k, n in counts) / total if total else None
        return replace(
            base,
            nulls=rows - total,
            count=total,
            low=named["low"],
            high=named["high"],
            unique=len(counts),
            average_length=length,
            top=tuple(ordered[: wanted.top]),
            complete=len(ordered) <= wanted.top,
        )
    return replace(
        base,
        nulls=rows - named["count"],
        count=named["count"],
        low=named.get("low"),
        high=named.get("high"),
        unique=named.get("unique"),
        average_length=named.get("length"),
        top=tuple((str(v), 0) for v in named.get("top") or ()),
    )


def _numeric(base: Summary, named: dict[str, Any], wanted: Wanted) -> Summary:
    low, high = named["low"], named["high"]
    found = replace(
        base,
        nulls=base.rows - named["count"],
        count=named["count"],
        low=_text(low),
        high=_text(high),
        first=None if low is None else float(low),
        last=None if high is None else float(high),
        zeros=named.get("zeros"),
        mean=named.get("mean"),
        stdev=named.get("stdev"),
    )
    inner = named.get("quantiles")
    if not inner or found.first is None or found.last is None:
        return found
    points = sorted({0.5, *(i / wanted.quantiles for i in range(1, wanted.quantiles))})
    at = dict(zip(points, inner, strict=True))
    middle = [at[i / wanted.quantiles] for i in range(1, wanted.quantiles)]
    return replace(found, median=at[0.5], quantiles=(found.first, *middle, found.last))


def _text(value: Any) -> str | None:
    """A number as GoogleSQL writes it: 2 and not 2.0."""
    return None if value is None else str(value).removesuffix(".0")


# ---------------------------------------------------------------- second readings


def _with_top(
    database: Database, source: str, plain: list[Leaf], found: list[Summary], few: set[Leaf], wanted: Wanted
) -> list[Summary]:
    """The most frequent values, with their counts, of columns with many values."""
    places = [i for i, leaf in enumerate(plain) if not leaf.numeric and leaf not in few]
    if not places or not wanted.top:
        return found
    if wanted.top > SKETCHED_VALUES:
        for i in places:
            found[i] = replace(found[i], top=_grouped(database, source, plain[i], wanted.top))
        return found
    terms = []
    for i in places:
        pairs = ", ".join(
            f"{quote_literal(v)}: count(*) FILTER (WHERE {_text_of(plain[i])} = {quote_literal(v)})"
            for v, _ in found[i].top
        )
        terms.append(f"MAP {{{pairs}}}")
    for i, counts in zip(places, _row(database, f"SELECT {', '.join(terms)} FROM {source}"), strict=True):
        ordered = sorted(((str(k), int(n)) for k, n in counts.items()), key=lambda pair: (-pair[1], pair[0]))
        found[i] = replace(found[i], top=tuple(ordered))
    return found


def _grouped(database: Database, source: str, leaf: Leaf, top: int) -> tuple[tuple[str, int], ...]:
    """The most frequent values by a GROUP BY: sketches of many values cost more than counting them."""
    rows = database.execute(
        f"SELECT {_text_of(leaf)}, count(*) FROM {source} WHERE {leaf.sql} IS NOT NULL"
        f" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {min(top, MOST_VALUES)}"
    )
    return tuple((str(v), int(n)) for v, n in rows)


def _text_of(leaf: Leaf) -> str:
    return leaf.sql if leaf.type.name == "VARCHAR" else f"CAST({leaf.sql} AS VARCHAR)"


def _with_buckets(
    database: Database, source: str, plain: list[Leaf], found: list[Summary], wanted: Wanted
) -> list[Summary]:
    """Rows in equally wide buckets, for numbers whose range the first reading found."""
    places = [i for i, s in enumerate(found) if s.numeric and s.first is not None]
    if not wanted.buckets or not places:
        return found
    terms = [_bucket_counts(plain[i].sql, found[i], wanted.buckets) for i in places]
    for i, counts in zip(places, _wide_row(database, terms, source, MOST_HISTOGRAMS), strict=True):
        table = counts or {}
        found[i] = replace(found[i], counts=tuple(int(table.get(b, 0)) for b in range(wanted.buckets)))
    return found


def _bucket_counts(x: str, s: Summary, buckets: int) -> str:
    low, high = quote_literal(s.first), quote_literal(s.last)
    if s.first == s.last:
        return f"histogram(CASE WHEN isfinite(CAST({x} AS DOUBLE)) THEN {buckets - 1} END)"
    place = f"floor((CAST({x} AS DOUBLE) - {low}) / ({high} - {low}) * {buckets})"
    inside = f"isfinite(CAST({x} AS DOUBLE))"
    return f"histogram(CASE WHEN {inside} THEN CAST(least({place}, {buckets - 1}) AS INTEGER) END)"


def _of_array(database: Database, source: str, leaf: Leaf, rows: int, wanted: Wanted) -> Summary:
    """Statistics of the elements of an array column, and of its lengths."""
    items = leaf.sql
    if leaf.index is not None:
        value = next(iter(_fields(database, source, leaf)))
        items = f"list_transform({leaf.sql}, lambda __e: __e.{quote_name(value)})"
    inner = replace(leaf, sql="v", array=False, index=None)
    rest = f"(SELECT unnest({items}) AS v FROM {source})"
    total = int(_row(database, f"SELECT coalesce(sum(len({leaf.sql})), 0) FROM {source}")[0])
    found = _measure(database, rest, [inner], total, wanted, "v")[0]
    size = f"len({leaf.sql})"
    points = ", ".join(_point(i / wanted.length_quantiles) for i in range(1, wanted.length_quantiles)) or "0.5"
    dimension = "NULL"
    if leaf.index is not None:
        dimension = f"max(list_max(list_transform({leaf.sql}, lambda __e: __e.{quote_name(leaf.index)}))) + 1"
    sql = (
        f"SELECT count({leaf.sql}), min({size}), max({size}), avg({size}),"
        f" quantile_disc({size}, [{points}]), {dimension} FROM {source}"
    )
    present, low, high, mean, quantiles, largest = _row(database, sql)
    lengths = None if low is None else (int(low), int(high), float(mean), total)
    middle = list(quantiles or ()) if wanted.length_quantiles > 1 else []
    edges = () if low is None else (int(low), *(int(q) for q in middle), int(high))
    return replace(
        found,
        array=True,
        rows=rows,
        nulls=rows - int(present),
        lengths=lengths,
        length_quantiles=edges,
        dimension=None if largest is None else int(largest),
    )


def _fields(database: Database, source: str, leaf: Leaf) -> list[str]:
    """The name of the value field of a sparse array."""
    kind = next(c.type for c in database.describe(f"SELECT {leaf.sql} AS v FROM {source}"))
    assert kind.item is not None
    return [kind.item.fields[1][0]]
