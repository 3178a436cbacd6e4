"""The matrix columns of trees: features of a design -> float32 columns, the same in training and scoring.

Numbers stay as they are and NULL is missing; categories become codes, indicators or class shares. What a
column means is kept with the model (`Part`), so a warm start adds new categories behind the old ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.arrow import numbers, texts
from sqlml.encode import Category, Design, Feature, Number, Set, Sparse, Vector
from sqlml.errors import NotSupportedError, OptionError
from sqlml.kernels.trees import Page, clipped
from sqlml.kernels.types import F32, F64, I64
from sqlml.models.base import Label, Lookup
from sqlml.models.blocks import decode
from sqlml.relation import Relation
from sqlml.schema import quote_literal, quote_name

Method = Literal["LABEL_ENCODING", "ONE_HOT_ENCODING", "TARGET_ENCODING", "NATIVE_ENCODING"]
Kind = Literal["number", "label", "native", "one_hot", "target", "array"]

#: A categorical feature with more levels than this is looked up in a table rather than by CASE.
CASE_LEVELS = 12
#: One-hot encoding and arrays are written out; wider matrices are refused.
MOST_COLUMNS = 20_000
#: Numbers of this size and above do not fit into float32.
_LIMIT = "3.4028234e38::DOUBLE"
_LARGEST = np.finfo(np.float32).max
_DOUBLE = pa.float64()


@dataclass(frozen=True, slots=True)
class Part:
    """The matrix columns of one feature.

    Args:
        kind: how the feature is written.
        start, width: its columns.
        levels: categories: the levels in the order of `codes`; None stands for NULL.
        codes: what each level becomes: a label's code, or (one_hot, target) its index; NaN is missing.
        other: what a category becomes that is none of the levels.
        fill: numbers: what NULL becomes; NaN is missing.
        shares: target: (levels + 1, width), the last line for categories that training did not have.
    """

    kind: Kind
    start: int
    width: int
    levels: tuple[str | None, ...] = ()
    codes: tuple[float, ...] = ()
    other: float = float("nan")
    fill: float = float("nan")
    shares: F64 | None = None

    @property
    def expanded(self) -> bool:
        """Whether the code is an index that becomes several columns."""
        return self.kind in ("one_hot", "target")


@dataclass(frozen=True, slots=True)
class Columns:
    """All matrix columns, one part for each feature of the design."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """Number of matrix columns."""
        return sum(p.width for p in self.parts)

    @property
    def categorical(self) -> tuple[bool, ...]:
        """Per matrix column whether XGBoost splits it as a category."""
        return tuple(p.kind == "native" for p in self.parts for _ in range(p.width))

    def features(self) -> list[int]:
        """The feature of each matrix column."""
        return [i for i, p in enumerate(self.parts) for _ in range(p.width)]


# ---------------------------------------------------------------- fitting


def fit_columns(
    design: Design, relation: Relation, label: Label, method: Method, fidelity: str, before: Columns | None
) -> Columns:
    """The columns of a design; under WARM_START those of the earlier training, with new codes behind its codes.

    Raises `OptionError` when a warm start changes the features, `NotSupportedError` for too many columns.
    """
    if before is not None:
        return _continued(design, before)
    parts: list[Part] = []
    start = 0
    for f in design.features:
        part = _part(f, relation, label, method, fidelity)
        parts.append(replace(part, start=start))
        start += part.width
    if start > MOST_COLUMNS:
        hint = "CATEGORY_ENCODING_METHOD='LABEL_ENCODING' gives each category one column."
        text = f"trees take at most {MOST_COLUMNS} columns. The encoded features have {start}."
        raise NotSupportedError(text, hint=hint if method == "ONE_HOT_ENCODING" else None)
    return Columns(tuple(parts))


def _part(f: Feature, relation: Relation, label: Label, method: Method, fidelity: str) -> Part:
    if isinstance(f, Number):
        return Part("number", 0, 1, fill=f.mean if fidelity == "bigquery" else float("nan"))
    if not isinstance(f, Category):
        return Part("array", 0, f.width)
    if method == "LABEL_ENCODING":
        return _labels(f, fidelity)
    if method == "NATIVE_ENCODING":
        known = tuple(level for level in f.levels if level is not None)
        return Part("native", 0, 1, known, tuple(float(i) for i in range(len(known))))
    index = tuple(float(i) for i in range(len(f.levels)))
    if method == "ONE_HOT_ENCODING":
        return Part("one_hot", 0, len(f.levels), f.levels, index, float(len(f.levels)))
    shares = _shares(f, relation, label)
    return Part("target", 0, shares.shape[1], f.levels, index, float(len(f.levels)), shares=shares)


def _labels(f: Category, fidelity: str) -> Part:
    """Codes from 1 in alphabetical order, 0 for NULL and for new categories.

    The service's own codes follow no visible order, and NULL is missing there. Under 'bigquery' they follow the
    CRC-32 of the texts: as arbitrary, and up to direction the same as in the listings of the service that are known.
    """
    known = [level for level in f.levels if level is not None]
    if fidelity == "bigquery":
        known.sort(key=lambda level: zlib.crc32(level.encode()))
    codes = tuple(float(i + 1) for i in range(len(known)))
    return Part("label", 0, 1, tuple(known), codes, float("nan") if fidelity == "bigquery" else 0.0)


def _shares(f: Category, relation: Relation, label: Label) -> F64:
    """Mean label, or share of each class (of the second one of two), per level; the last line over all rows."""
    if not label.classes:
        terms = [label.sql]
    elif len(label.classes) == 2:
        terms = [f"({label.code})::DOUBLE"]
    else:
        terms = [f"(CASE WHEN ({label.code}) = {i} THEN 1.0 ELSE 0.0 END)" for i in range(len(label.classes))]
    found = relation.sums([*terms, "1"], by=[f.sql])
    place = {level: i for i, level in enumerate(f.levels)}
    sums = np.zeros((len(f.levels), len(terms) + 1))
    for key, row in zip(found.keys[0].to_pylist(), found.values, strict=True):
        sums[place[key]] = row
    sums = np.vstack([sums, sums.sum(axis=0)])
    return np.asarray(sums[:, :-1] / np.maximum(sums[:, -1:], 1.0))


def _continued(design: Design, before: Columns) -> Columns:
    parts = []
    for f, part in zip(design.features, before.parts, strict=True):
        width = part.width
        if isinstance(f, (Set, Vector, Sparse)) != (part.kind == "array") or (
            part.kind == "array" and f.width != width
        ):
            raise OptionError(f"WARM_START must keep the shape of every column. {f.name} has another one.")
        if isinstance(f, Category) and part.kind in ("label", "native"):
            new = [level for level in f.levels if level is not None and level not in set(part.levels)]
            first = int(max(part.codes, default=0.0)) + 1
            codes = (*part.codes, *(float(first + i) for i in range(len(new))))
            part = replace(part, levels=(*part.levels, *new), codes=codes)
        parts.append(part)
    return Columns(tuple(parts))


# ---------------------------------------------------------------- SQL


def filled_sql(f: Number, part: Part) -> str:
    """SQL of a number as DOUBLE; NULL where it is missing."""
    return f.sql if np.isnan(part.fill) else f"coalesce({f.sql}, {quote_literal(part.fill)})"


def number_sql(f: Number, part: Part) -> str:
    """SQL of a number as FLOAT; NULL where it is missing."""
    value = filled_sql(f, part)
    return (
        f"(CASE WHEN {value} > {_LIMIT} THEN {_LIMIT} WHEN {value} < -{_LIMIT} THEN -{_LIMIT} ELSE {value} END)::FLOAT"
    )


def code_sql(f: Category, part: Part) -> str:
    """SQL of a category's code as FLOAT by CASE; NULL where it is missing."""
    whens = []
    for level, code in zip(part.levels, part.codes, strict=True):
        test = f"{f.sql} IS NULL" if level is None else f"{f.sql} = {quote_literal(level)}"
        whens.append(f"WHEN {test} THEN {code!r}")
    rest = "NULL" if np.isnan(part.other) else repr(part.other)
    return f"(CASE {' '.join(whens)} ELSE {rest} END)::FLOAT" if whens else f"{rest}::FLOAT"


def array_type(f: Feature) -> str:
    """DuckDB type of an array feature as `blocks.decode` reads it."""
    if isinstance(f, Set):
        return "VARCHAR[]"
    if isinstance(f, Sparse):
        return f"STRUCT({quote_name(f.index_field)} BIGINT, {quote_name(f.value_field)} DOUBLE)[]"
    return "DOUBLE[]"


def scoring_arguments(design: Design, columns: Columns) -> tuple[tuple[tuple[str, str], ...], tuple[Lookup, ...]]:
    """(SQL, DuckDB type) per feature, and the tables that they need: codes of categories with many levels.

    Numbers are rounded to FLOAT by `matrix`, which costs less than to do it here.
    """
    arguments: list[tuple[str, str]] = []
    lookups: list[Lookup] = []
    for f, part in zip(design.features, columns.parts, strict=True):
        if isinstance(f, Number):
            arguments.append((filled_sql(f, part), "DOUBLE"))
        elif isinstance(f, Category) and len(part.levels) <= CASE_LEVELS:
            arguments.append((code_sql(f, part), "FLOAT"))
        elif isinstance(f, Category):
            name = f"__l{len(lookups)}"
            table = pa.table({"key": texts(part.levels), "code": _floats(np.array(part.codes, np.float32))})
            lookups.append(Lookup(name, f.sql, table))
            rest = "NULL" if np.isnan(part.other) else repr(part.other)
            arguments.append((f"coalesce({name}_code, {rest})", "FLOAT"))
        else:
            arguments.append((f.sql, array_type(f)))
    return tuple(arguments), tuple(lookups)


def _floats(values: F32) -> pa.Array:
    return pa.Array.from_buffers(pa.float32(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


# ---------------------------------------------------------------- rows


def float_values(array: pa.Array) -> F32:
    """The values of a FLOAT array of shape (n,); NULL becomes NaN."""
    found = np.frombuffer(array.buffers()[1], np.float32, array.offset + len(array))[array.offset :]
    if not array.null_count:
        return found
    bits = np.unpackbits(np.frombuffer(array.buffers()[0], np.uint8), bitorder="little")
    valid = bits[array.offset : array.offset + len(array)].astype(np.bool_)
    return np.where(valid, found, np.float32(np.nan))


@np.errstate(over="ignore")
def matrix(design: Design, columns: Columns, arrays: Sequence[pa.Array]) -> F32:
    """(n, p) of one array per feature: codes and numbers, and the arrays of array features; all finite or NaN."""
    X = np.empty((len(arrays[0]) if arrays else 0, columns.width), np.float32)
    for f, part, array in zip(design.features, columns.parts, arrays, strict=True):
        if part.kind == "array":
            dense, _ = decode(Design((f,), ()), {"f0": array})
            X[:, part.start : part.start + part.width] = clipped(dense)
        elif part.expanded:
            _expand(part, float_values(array).astype(np.int64), X[:, part.start : part.start + part.width])
        else:
            X[:, part.start] = numbers(array) if array.type == _DOUBLE else float_values(array)
    return np.clip(X, -_LARGEST, _LARGEST, out=X) if np.isinf(X).any() else X


def _expand(part: Part, index: I64, out: F32) -> None:
    if part.shares is not None:
        out[:] = part.shares.astype(np.float32)[index]
        return
    out[:] = 0.0
    known = np.flatnonzero(index < part.width)
    out[known, index[known]] = 1.0


def pages(relation: Relation, design: Design, columns: Columns, label: Label, weight: str | None) -> Iterator[Page]:
    """The rows of a relation as pages for the kernel; rows with a label that training did not have are left out."""
    wanted: dict[str, str] = {}
    coded: dict[int, tuple[pa.Array, F32]] = {}
    for i, (f, part) in enumerate(zip(design.features, columns.parts, strict=True)):
        if isinstance(f, Number):
            wanted[f"f{i}"] = number_sql(f, part)
        elif isinstance(f, Category) and len(part.levels) <= CASE_LEVELS:
            wanted[f"f{i}"] = code_sql(f, part)
        else:
            wanted[f"f{i}"] = f.sql
            if isinstance(f, Category):
                codes = np.array([*part.codes, part.other], np.float32)
                coded[i] = (texts(part.levels), codes)
    wanted["y"] = f"({label.code if label.classes else label.sql})::FLOAT"
    if weight is not None:
        wanted["w"] = f"({weight})::FLOAT"
    for batch in relation.batches(wanted, 131_072):
        arrays = [batch.column(i) for i in range(len(design.features))]
        for i, (levels, codes) in coded.items():
            found = pc.fill_null(pc.index_in(arrays[i].cast(pa.string()), value_set=levels), len(levels))
            arrays[i] = _floats(codes[np.frombuffer(found.buffers()[1], np.int32, len(found))])
        X = matrix(design, columns, arrays)
        y = float_values(batch.column(len(design.features)))
        w = None if weight is None else float_values(batch.column(len(design.features) + 1))
        good = np.isfinite(y)
        if not good.all():
            X, y, w = X[good], y[good], None if w is None else w[good]
        yield Page(X, y, w)
