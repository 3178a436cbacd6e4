"""K-means as SQL: one Lloyd step as one GROUP BY, and the distances of a row.

Coordinates are those of the design (`Design` scales numbers); `offset` moves them to the mean of each number
first, for |x|^2 - 2 x.c + |c|^2 loses digits when x is far from 0 (numbers that are not standardised).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlml.encode import Category, Design, Number, Set, Vector
from sqlml.kernels.kmeans import ON_CENTER, Geometry, Step, directions
from sqlml.kernels.types import F64
from sqlml.models.base import Lookup, Score
from sqlml.models.blocks import categories, dense_width
from sqlml.relation import Relation, lookup
from sqlml.schema import quote_literal

#: Groups of one query (centers x levels of the categories that it groups by).
GROUPS = 50_000
#: Level weights are written as CASE up to so many (centers x levels), beyond that joined from a table.
CASE_WEIGHTS = 24


def geometry(design: Design, cosine: bool) -> Geometry:
    """Where the columns of a design lie: plain numbers first, then the levels of each category."""
    return Geometry(cosine, dense_width(design), tuple(len(c.levels) for c in categories(design)))


def offset(design: Design, cosine: bool) -> F64:
    """(width,): what is subtracted from the design's coordinates. Nothing for cosine, where 0 has a meaning."""
    geo = geometry(design, cosine)
    out = np.zeros(geo.width)
    if cosine:
        return out
    at = 0
    for f in design.features:
        if isinstance(f, Number):
            out[at] = (f.mean - f.shift) / f.scale
        if not isinstance(f, Category):
            at += f.width
    return out


def _add(parts: Sequence[str]) -> str:
    return " + ".join(parts) if parts else "0.0::DOUBLE"


def _number(value: float) -> str:
    return quote_literal(float(value))


def _moved(sql: str, by: float) -> str:
    return sql if by == 0.0 else f"({sql}) - {_number(by)}"


def _least(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"least({', '.join(names)})"


def _which(names: Sequence[str], least: str, first: int = 0, kind: str = "INTEGER") -> str:
    """SQL of the place of the smallest, from `first`."""
    whens = [f"WHEN {n} = {least} THEN {first + i}::{kind}" for i, n in enumerate(names[:-1])]
    return f"(CASE {' '.join(whens)} ELSE {first + len(names) - 1}::{kind} END)" if whens else f"{first}::{kind}"


# ---------------------------------------------------------------- training


def sql_pass(relation: Relation, design: Design, cosine: bool) -> Callable[[F64], Step]:
    """A Lloyd step as SQL sums, per nearest center. Numbers without NULLs in training are read bare."""
    geo, moves = geometry(design, cosine), offset(design, cosine)
    plain: dict[str, str] = {}
    at = 0
    for f in design.features:
        if isinstance(f, Number):
            plain[f"__km_z{at}"] = _moved(f.scaled(trained_rows=True), moves[at])
        elif isinstance(f, Set):
            plain |= {f"__km_z{at + i}": f.has(level) for i, level in enumerate(f.levels)}
        elif isinstance(f, Vector):
            plain |= {f"__km_z{at + i}": f.element(i) for i in range(f.size)}
        at += 0 if isinstance(f, Category) else f.width
    cats = categories(design)
    known = [f"coalesce(__km_k{i}, 0.0::DOUBLE)" for i in range(len(cats))]
    square = _add([*(f"{z} * {z}" for z in plain), *known])

    def run(centers: F64) -> Step:
        k = len(centers)
        weights = -directions(centers) if cosine else -2.0 * centers
        constants = np.zeros(k) if cosine else np.einsum("ij,ij->i", centers, centers)
        let = {**plain, "__km_q": square}
        if cosine:
            let["__km_r"] = "CASE WHEN __km_q > 0 THEN 1.0::DOUBLE / sqrt(__km_q) ELSE 0.0::DOUBLE END"
        names = [f"__km_s{j}" for j in range(k)]
        for j, name in enumerate(names):
            terms = [f"{z} * {_number(w)}" for z, w in zip(plain, weights[j], strict=False)]
            terms += [f"coalesce(__km_w{i}_{j}, 0.0::DOUBLE)" for i in range(len(cats))]
            total = _add([_number(constants[j]), *terms])
            let[name] = f"({total}) * __km_r" if cosine else total
        let["__km_m"] = _least(names)
        let["__km_a"] = _which(names, "__km_m", kind="UTINYINT")
        tables = {}
        for i, (c, start) in enumerate(zip(cats, geo.starts(), strict=True)):
            values = {f"__km_w{i}_{j}": pa.array(weights[j, start : start + len(c.levels)]) for j in range(k)}
            values[f"__km_k{i}"] = pa.array(np.ones(len(c.levels)))
            tables[f"km{i}"] = lookup(c.sql, pa.array(c.levels, pa.string()), **values)
        distance = "greatest(1.0::DOUBLE + __km_m, 0.0::DOUBLE)" if cosine else "greatest(__km_q + __km_m, 0.0::DOUBLE)"
        return _collected(relation, geo, cats, k, let, tables, list(plain), distance)

    return run


@dataclass(frozen=True, slots=True)
class _Place:
    """Index of the keys of a GROUP BY among a category's levels, -1 for others."""

    known: dict[str | None, int]

    def __call__(self, keys: pa.Array) -> np.ndarray:
        return np.array([self.known.get(k, -1) for k in keys.to_pylist()], dtype=np.int64)


def _collected(
    relation: Relation,
    geo: Geometry,
    cats: Sequence[Category],
    k: int,
    let: dict[str, str],
    tables: dict[str, pa.Table],
    plain: list[str],
    distance: str,
) -> Step:
    """Group by nearest center and by as many categories at a time as give few groups."""
    counts, within = np.zeros(k), np.zeros(k)
    sums, units = np.zeros((k, geo.width)), np.zeros((k, geo.width))
    starts = geo.starts()
    for number, group in enumerate(_grouped(cats, k)):
        terms = ["1.0", "__km_r"] if geo.cosine else ["1.0"]
        if number == 0:
            terms += [distance, *plain, *(f"{z} * __km_r" for z in plain if geo.cosine)]
        found = relation.sums(terms, ["__km_a", *(cats[i].sql for i in group)], let, **tables)
        nearest = np.asarray(found.keys[0].to_numpy(zero_copy_only=False), dtype=np.int64)
        p, at = geo.dense, 2 if geo.cosine else 1
        if number == 0:
            np.add.at(counts, nearest, found.values[:, 0])
            np.add.at(within, nearest, found.values[:, at])
            np.add.at(sums[:, :p], nearest, found.values[:, at + 1 : at + 1 + p])
            if geo.cosine:
                np.add.at(units[:, :p], nearest, found.values[:, at + 1 + p :])
        for i, keys in zip(group, found.keys[1:], strict=True):
            level = _Place({v: n for n, v in enumerate(cats[i].levels)})(keys)
            good = level >= 0
            np.add.at(sums, (nearest[good], starts[i] + level[good]), found.values[good, 0])
            if geo.cosine:
                np.add.at(units, (nearest[good], starts[i] + level[good]), found.values[good, 1])
    return Step(counts, sums, within, units if geo.cosine else None)


def _grouped(cats: Sequence[Category], k: int) -> list[list[int]]:
    groups: list[list[int]] = [[]]
    size = k
    for i, c in enumerate(cats):
        if groups[-1] and size * len(c.levels) > GROUPS:
            groups.append([])
            size = k
        groups[-1].append(i)
        size *= len(c.levels)
    return groups


# ---------------------------------------------------------------- prediction


def distance_score(design: Design, centers: F64, cosine: bool) -> Score:
    """A row's distances: the squares are the names `__d<j>`, the distances the values of the score.

    Euclidean distances are sums of squared differences, which are exact where a row lies on a center.
    """
    k = len(centers)
    at, starts = 0, iter(geometry(design, cosine).starts())
    let: list[tuple[str, str]] = []
    lookups: list[Lookup] = []
    parts: list[list[str]] = [[] for _ in range(k)]
    squares: list[str] = []
    weights = directions(centers) if cosine else centers
    constants = np.zeros(k)
    for i, f in enumerate(design.features):
        if isinstance(f, Category):
            start = next(starts)
            w = weights[:, start : start + len(f.levels)]
            if not cosine:
                constants += (w**2).sum(axis=1)
                w = 1.0 - 2.0 * w
            squares.append(_levels(f, i, w, parts, lookups))
            continue
        w = weights[:, at : at + f.width]
        at += f.width
        if isinstance(f, Set):
            let += [(f"__z{i}_{n}", f.has(level)) for n, level in enumerate(f.levels)]
            names = [f"__z{i}_{n}" for n in range(f.width)]
            squares += names
            constants += 0.0 if cosine else (w**2).sum(axis=1)
            factors = w if cosine else 1.0 - 2.0 * w
            for j in range(k):
                parts[j] += [f"{z} * {_number(v)}" for z, v in zip(names, factors[j], strict=True)]
        elif isinstance(f, Vector):
            let.append((f"__z{i}", _filled(f)))
            squares.append(f"list_inner_product(__z{i}, __z{i})")
            _array_terms(i, w, cosine, let, parts)
        elif isinstance(f, Number):
            let.append((f"__z{i}", f.scaled()))
            squares.append(f"__z{i} * __z{i}")
            for j in range(k):
                apart = _moved(f"__z{i}", w[j, 0])
                parts[j].append(f"__z{i} * {_number(w[j, 0])}" if cosine else f"({apart}) * ({apart})")
    if cosine:
        let.append(("__q", f"sqrt({_add(squares)})"))
    for j in range(k):
        total = _add([*([] if constants[j] == 0.0 else [_number(constants[j])]), *parts[j]])
        if cosine:
            total = f"1.0::DOUBLE - CASE WHEN __q > 0 THEN ({total}) / __q ELSE 0.0::DOUBLE END"
        let.append((f"__d{j}", f"greatest({total}, 0.0::DOUBLE)"))
    return Score(tuple(f"sqrt(__d{j})" for j in range(k)), let=tuple(let), lookups=tuple(lookups))


def _filled(f: Vector) -> str:
    """SQL of the array with its full length and no NULLs."""
    whole = f"list_resize(coalesce({f.sql}, []::DOUBLE[]), {f.size}, 0.0::DOUBLE)"
    return f"list_transform({whole}, lambda __e: coalesce(__e, 0.0::DOUBLE))"


def _array_terms(i: int, w: F64, cosine: bool, let: list[tuple[str, str]], parts: list[list[str]]) -> None:
    for j, row in enumerate(w):
        constant = f"[{', '.join(_number(v) for v in row)}]"
        if cosine:
            parts[j].append(f"list_inner_product(__z{i}, {constant})")
        else:
            let.append((f"__v{i}_{j}", f"list_distance(__z{i}, {constant})"))
            parts[j].append(f"__v{i}_{j} * __v{i}_{j}")


def _levels(f: Category, i: int, w: F64, parts: list[list[str]], lookups: list[Lookup]) -> str:
    """Add the weight of the row's level to each center's terms; SQL of 1 for a known level, else 0."""
    if w.size <= CASE_WEIGHTS:
        tests = [f"{f.sql} IS NULL" if level is None else f"{f.sql} = {quote_literal(level)}" for level in f.levels]
        for j, row in enumerate(w):
            whens = " ".join(f"WHEN {t} THEN {_number(v)}" for t, v in zip(tests, row, strict=True))
            parts[j].append(f"(CASE {whens} ELSE 0.0::DOUBLE END)")
        return f"(CASE WHEN {' OR '.join(tests)} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END)"
    name = f"__l{i}"
    columns = {f"w{j}": pa.array(np.ascontiguousarray(row)) for j, row in enumerate(w)}
    columns["known"] = pa.array(np.ones(len(f.levels)))
    lookups.append(Lookup(name, f.sql, pa.table({"key": pa.array(f.levels, pa.string()), **columns})))
    for j in range(len(w)):
        parts[j].append(f"coalesce({name}_w{j}, 0.0::DOUBLE)")
    return f"coalesce({name}_known, 0.0::DOUBLE)"


def nearest_names(score: Score, k: int) -> tuple[tuple[str, str], ...]:
    """Names `__least` and `__nearest` (from 1) over a score of distances."""
    if score.vector is not None:
        return (("__nearest", "list_position(__f, list_min(__f))::BIGINT"),)
    names = [f"__d{j}" for j in range(k)]
    return (("__least", _least(names)), ("__nearest", _which(names, "__least", 1, "BIGINT")))


def normalized_names(score: Score, radii: F64) -> tuple[tuple[str, str], ...]:
    """Names `__normalized` and `__closest` (from 1): the smallest of distance / radius, and whose it is."""
    names: list[tuple[str, str]] = []
    for j, r in enumerate(radii):
        d = score.value(j)
        on = f"CASE WHEN ({d}) * ({d}) <= {_number(ON_CENTER)} THEN 0.0::DOUBLE ELSE 'Infinity'::DOUBLE END"
        names.append((f"__n{j}", f"({d}) / {_number(r)}" if r > 0.0 else on))
    listed = [n for n, _ in names]
    return (*names, ("__normalized", _least(listed)), ("__closest", _which(listed, "__normalized", 1, "BIGINT")))
