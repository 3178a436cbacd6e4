"""Automatic preprocessing: columns -> an ordered `Design` of features, as SQL.

`RULES` is a written order of small rules; the first that knows a column's kind turns it into raw
features. `fit` has their statistics read (`sqlml.statistics`) and gives the `Design`, which is stored
with the model and replayed at prediction by SQL expressions.

Definitions (BigQuery ML's): numbers are standardised with the sample deviation, NULL becomes the mean;
every category gets a column, NULL only if training had NULLs; a value that training did not
have contributes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sqlml.errors import DataError, SchemaError, Span
from sqlml.kernels.types import F64
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, Type, quote_literal, quote_name, same_name
from sqlml.statistics import (
    NumberStatistics,
    Raw,
    arrays_with_nan,
    level_counts,
    number_statistics,
    sizes_of,
    without_nan,
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a model type wants of its columns.

    Args:
        numbers: "standardize", "center" (mean only), or "as_is" (NULL stays NULL).
        categories: "one_hot", "dummy", "label" (codes from 0 in order of the levels) or "target".
        accepts: the column kinds that the model type takes.
    """

    numbers: Literal["standardize", "center", "as_is"] = "standardize"
    categories: Literal["one_hot", "dummy", "label", "target"] = "one_hot"
    accepts: frozenset[Kind] = frozenset(
        {Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP, Kind.STRUCT, Kind.VECTOR, Kind.SET, Kind.SPARSE}
    )


@dataclass(frozen=True, slots=True)
class Number:
    """A DOUBLE; `mean` replaces NULL, and the model sees (x - mean) / scale.

    `shift` is 0 and `scale` 1 for models that take numbers as they are; `nulls` tells whether training had NULLs.
    """

    name: str
    sql: str
    source: str
    mean: float
    stddev: float
    shift: float
    scale: float
    nulls: bool = True

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return 1

    def scaled(self, trained_rows: bool = False) -> str:
        """SQL of the encoded value, never NULL; `trained_rows` may rely on there being no NULL in training."""
        bare = trained_rows and not self.nulls
        filled = self.sql if bare else f"coalesce({self.sql}, {quote_literal(self.mean)})"
        if self.shift == 0.0 and self.scale == 1.0:
            return filled
        return f"(({filled}) - {quote_literal(self.shift)}) * {quote_literal(1.0 / self.scale)}"


@dataclass(frozen=True, slots=True)
class Category:
    """One of `levels`; a level of None is NULL as a category of its own.

    Args:
        counts: training rows of each level.
        dropped: index of the level without a matrix column (dummy encoding), or None.
    """

    name: str
    sql: str
    source: str
    levels: tuple[str | None, ...]
    counts: tuple[int, ...]
    dropped: int | None = None

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return len(self.levels) - (self.dropped is not None)

    def kept(self) -> tuple[int, ...]:
        """Indexes of the levels that have a matrix column."""
        return tuple(i for i in range(len(self.levels)) if i != self.dropped)


@dataclass(frozen=True, slots=True)
class Set:
    """A subset of `levels` (multi-hot): an array of categories."""

    name: str
    sql: str
    source: str
    levels: tuple[str | None, ...]
    counts: tuple[int, ...]

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return len(self.levels)

    def has(self, level: str | None) -> str:
        """SQL of 1.0 when the level is in the array, else 0.0."""
        if level is None:
            nulls = f"len({self.sql}) > len(list_filter({self.sql}, lambda x: x IS NOT NULL))"
            return f"(CASE WHEN {self.sql} IS NULL OR {nulls} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END)"
        inside = f"list_contains({self.sql}, {quote_literal(level)})"
        return f"(CASE WHEN {inside} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END)"


@dataclass(frozen=True, slots=True)
class Vector:
    """A dense array of numbers, as it is; `sql` is a DOUBLE[] of `size` elements."""

    name: str
    sql: str
    source: str
    size: int

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return self.size

    def element(self, i: int) -> str:
        """SQL of element i, from 0; 0 where it is missing."""
        return f"coalesce(({self.sql})[{i + 1}], 0.0::DOUBLE)"


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector: an array of (zero-based index, value) structs.

    Args:
        entries: number of structs in all training rows.
    """

    name: str
    sql: str
    source: str
    size: int
    index_field: str
    value_field: str
    entries: int = 0

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return self.size

    def element(self, i: int) -> str:
        """SQL of element i, from 0; 0 where it is missing."""
        key, value = quote_name(self.index_field), quote_name(self.value_field)
        found = f"list_filter({self.sql}, lambda __e: __e.{key} = {i})"
        return f"coalesce(list_sum(list_transform({found}, lambda __e: __e.{value}::DOUBLE)), 0.0::DOUBLE)"


Feature = Number | Category | Set | Vector | Sparse


@dataclass(frozen=True, slots=True)
class Design:
    """The ordered features of a model. `columns` are the input columns that they read."""

    features: tuple[Feature, ...]
    columns: tuple[Column, ...]

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return sum(f.width for f in self.features)

    def offsets(self) -> list[int]:
        """First matrix column of each feature, and the end."""
        found = [0]
        for f in self.features:
            found.append(found[-1] + f.width)
        return found


# ---------------------------------------------------------------- rules


def _number(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    return [Raw("number", name, sql if type_.name == "DOUBLE" else f"{sql}::DOUBLE", source, type_)]


def _category(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    return [Raw("category", name, f"{sql}::VARCHAR", source, type_)]


def _timestamp(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    parts = {
        "DOM": f"extract(day FROM {sql})",
        "DOW": f"extract(dow FROM {sql}) + 1",
        "MOY": f"extract(month FROM {sql})",
        "HOD": f"extract(hour FROM {sql})",
        "MOH": f"extract(minute FROM {sql})",
        "WOY": f"strftime({sql}, '%U')::BIGINT",
        "YEAR": f"extract(year FROM {sql})",
    }
    found = [Raw("number", name, f"epoch({sql})", source, type_)]
    for part, expression in parts.items():
        found.append(Raw("category", f"_TS_{part}_{name}", f"({expression})::VARCHAR", source, type_))
    return found


def _struct(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    found = []
    for field, inner in type_.fields:
        if not field:
            raise SchemaError(f"every field of the STRUCT column {name} must have a name.")
        if inner.kind is Kind.STRUCT:
            raise SchemaError(f"the column {name} must not hold a STRUCT inside a STRUCT.")
        expression = f"struct_extract({sql}, {quote_literal(field)})"
        found.extend(_rule(inner)(f"{name}_{field}", expression, source, inner))
    return found


def _set(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    return [Raw("set", name, f"({sql})::VARCHAR[]", source, type_)]


def _vector(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    return [Raw("vector", name, f"({sql})::DOUBLE[]", source, type_)]


def _sparse(name: str, sql: str, source: str, type_: Type) -> list[Raw]:
    return [Raw("sparse", name, sql, source, type_)]


Rule = Callable[[str, str, str, Type], list[Raw]]

#: Kind -> rule; a kind without a rule is refused.
RULES: dict[Kind, Rule] = {
    Kind.NUMERIC: _number,
    Kind.CATEGORY: _category,
    Kind.TIMESTAMP: _timestamp,
    Kind.STRUCT: _struct,
    Kind.SET: _set,
    Kind.VECTOR: _vector,
    Kind.SPARSE: _sparse,
}


def _rule(type_: Type) -> Rule:
    rule = RULES.get(type_.kind)
    if rule is None:
        raise SchemaError(f"a column of type {type_.google} cannot be a feature.")
    return rule


def check_columns(columns: Iterable[Column], encoding: Encoding, owner: str) -> None:
    """Refuse columns that the model type does not take. Raises `SchemaError` naming them all."""
    wrong = [c for c in columns if c.kind not in encoding.accepts or c.kind not in RULES]
    if wrong:
        listed = ", ".join(f"{c.name} ({c.type.google})" for c in wrong)
        few = "this column" if len(wrong) == 1 else "these columns"
        hint = "leave them out of the SELECT, or cast them to a type that is accepted."
        raise SchemaError(f"{owner} cannot take {few} as a feature: {listed}.", hint=hint)


def raw_features(columns: Sequence[Column], expressions: Mapping[str, str] | None = None) -> list[Raw]:
    """The raw features of columns, in order; `expressions` gives SQL for a column's value."""
    found = []
    for c in columns:
        sql = (expressions or {}).get(c.name, quote_name(c.name))
        found.extend(_rule(c.type)(c.name, sql, c.name, c.type))
    return found


# ---------------------------------------------------------------- fitting


def fit(
    relation: Relation,
    columns: Sequence[Column],
    encoding: Encoding,
    rows: int,
    known: Mapping[str, NumberStatistics] | None = None,
) -> Design:
    """Read the statistics of the columns and give the design.

    Args:
        relation: the training rows.
        columns: the feature columns.
        encoding: what the model type wants.
        rows: number of rows of the relation.
        known: statistics of numbers that were read already, by feature name.

    Raises `DataError` for a column that is all NULL or has infinities.
    """
    raw = raw_features(columns)
    numbers = dict(known or {})
    numbers |= number_statistics(relation, [r for r in raw if r.shape == "number" and r.name not in numbers])
    levels = level_counts(relation, [r for r in raw if r.shape in ("category", "set")])
    sizes = sizes_of(relation, [r for r in raw if r.shape in ("vector", "sparse")])
    strange = arrays_with_nan(relation, [r for r in raw if r.shape in ("vector", "sparse")])
    features: list[Feature] = []
    for r in raw:
        if r.name in strange and encoding.categories != "label":  # trees learn where missing numbers go
            r = replace(r, sql=f"list_transform({r.sql}, lambda __n: {without_nan('__n')})")
        if r.shape == "number":
            features.append(_fitted_number(r, numbers[r.name], encoding, rows))
        elif r.shape == "category":
            names, counts = levels[r.name]
            dropped = int(np.argmax(counts)) if encoding.categories == "dummy" else None
            features.append(Category(r.name, r.sql, r.source, names, counts, dropped))
        elif r.shape == "set":
            features.append(Set(r.name, r.sql, r.source, *levels[r.name]))
        elif r.shape == "vector":
            features.append(Vector(r.name, r.sql, r.source, sizes[r.name][0]))
        else:
            assert r.type.item is not None
            (index, _), (value, _) = r.type.item.fields
            size, entries = sizes[r.name]
            features.append(Sparse(r.name, r.sql, r.source, size, index, value, entries))
    return Design(tuple(features), tuple(columns))


def _fitted_number(r: Raw, s: NumberStatistics, encoding: Encoding, rows: int) -> Number:
    infinite = any(v is not None and math.isinf(v) for v in (s.low, s.high))
    if not infinite and (s.n == 0 or s.mean is None):
        raise DataError(f"the column {r.source} must have a value in some row. Every value is NULL.")
    if infinite or s.mean is None:
        hint = f"filter the rows, or use IF(IS_INF({r.source}), NULL, {r.source})."
        raise DataError(f"the column {r.source} must be finite. It holds an infinite value.", hint=hint)
    stddev = s.stddev or 0.0
    if encoding.numbers != "as_is":
        refuse_overflow(r.source, s.mean, stddev)
    shift = 0.0 if encoding.numbers == "as_is" else s.mean
    scale = stddev if encoding.numbers == "standardize" and stddev > 0 else 1.0
    sql = without_nan(r.sql) if s.nan else r.sql
    return Number(r.name, sql, r.source, s.mean, stddev, shift, scale, s.n < rows)


def refuse_overflow(name: str, mean: float, stddev: float) -> None:
    """Numbers whose squares are too large for a DOUBLE have no distances and no products."""
    if not math.isfinite(mean + stddev):
        hint = f"divide it by a constant, or use LN({name})."
        raise DataError(f"the column {name} must hold numbers whose squares can be summed.", hint=hint)


def number_features(columns: Sequence[Column]) -> list[Raw]:
    """The columns that are plain numbers, as raw features."""
    return [r for r in raw_features([c for c in columns if c.kind is Kind.NUMERIC]) if r.shape == "number"]


# ---------------------------------------------------------------- inputs of prediction


def bind_columns(
    wanted: Sequence[Column], given: Sequence[Column], model: str, span: Span | None = None
) -> dict[str, str]:
    """Match columns by name without case. Raises `SchemaError` at `span` for missing columns and changed kinds."""
    found: dict[str, str] = {}
    missing, changed = [], []
    for c in wanted:
        match = next((g for g in given if same_name(g.name, c.name)), None)
        if match is None:
            missing.append(c)
        elif not _coercible(match.type, c.type):
            changed.append((c, match))
        else:
            found[c.name] = match.name
    if missing:
        listed = ", ".join(c.name for c in missing)
        count = "a column" if len(missing) == 1 else "columns"
        hint = f"it was trained on: {', '.join(c.name for c in wanted)}."
        text = f"the input of the model {model} must have {count} that it lacks: {listed}."
        raise SchemaError(text, span=span, hint=hint)
    if changed:
        listed = ", ".join(f"{c.name} was {c.type.google}, is {g.type.google}" for c, g in changed)
        raise SchemaError(f"the input of the model {model} must have the types of its training: {listed}.", span=span)
    return found


def _coercible(given: Type, wanted: Type) -> bool:
    return given.kind is wanted.kind or given.name == "NULL"


def matrix_terms(design: Design, trained_rows: bool = False) -> list[tuple[int, str]]:
    """(matrix column, SQL) of the encoded values that are plain numbers: all but categories."""
    found: list[tuple[int, str]] = []
    for start, f in zip(design.offsets(), design.features, strict=False):
        if isinstance(f, Number):
            found.append((start, f.scaled(trained_rows)))
        elif isinstance(f, Set):
            found.extend((start + i, f.has(level)) for i, level in enumerate(f.levels))
        elif isinstance(f, (Vector, Sparse)):
            found.extend((start + i, f.element(i)) for i in range(f.size))
    return found


def category_features(design: Design) -> list[tuple[int, Category]]:
    """(first matrix column, feature) of the categories."""
    return [(s, f) for s, f in zip(design.offsets(), design.features, strict=False) if isinstance(f, Category)]


def scale_vector(design: Design) -> tuple[F64, F64]:
    """(shift, scale) of every matrix column, each of shape (width,): 0 and 1 but for numbers."""
    shift, scale = np.zeros(design.width), np.ones(design.width)
    for start, f in zip(design.offsets(), design.features, strict=False):
        if isinstance(f, Number):
            shift[start], scale[start] = f.shift, f.scale
    return shift, scale
