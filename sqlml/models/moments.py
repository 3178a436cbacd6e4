"""Sums over the rows for generalised linear models: by SQL, or over encoded blocks.

Both roads give the same numbers. SQL sums read nothing but the answer; blocks are used where SQL would
need too many terms (many dense columns, several classes) or where the rows are few.

Columns of X, in order: the intercept (if any), the dense columns of the design, then all levels of each
category. The level that dummy encoding drops keeps its place with nothing but zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, texts
from sqlml.encode import Category, Design, Number, matrix_terms
from sqlml.kernels.gram import Gram
from sqlml.kernels.types import F64, I64
from sqlml.models.base import TrainingData
from sqlml.models.blocks import Block, categories, dense_width
from sqlml.relation import Relation, lookup


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of one pass.

    Args:
        gram: X' W X, or None when it was not asked for.
        targets: (number of targets, columns of X): sums of target times column.
        scalars: (number of scalars,).
    """

    gram: Gram | None
    targets: F64
    scalars: F64


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the columns of X lie."""

    intercept: bool
    dense: int
    categories: tuple[Category, ...]

    @property
    def lead(self) -> int:
        """Number of dense columns with the intercept."""
        return self.dense + self.intercept

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.lead + sum(len(c.levels) for c in self.categories)

    def starts(self) -> list[int]:
        """First column of each category."""
        found, at = [], self.lead
        for c in self.categories:
            found.append(at)
            at += len(c.levels)
        return found


def layout(design: Design, intercept: bool) -> Layout:
    """The columns of X for a design."""
    return Layout(intercept, dense_width(design), categories(design))


# ---------------------------------------------------------------- SQL


def sql_moments(
    relation: Relation,
    design: Design,
    lay: Layout,
    *,
    targets: Sequence[str],
    scalars: Sequence[str] = (),
    weight: str | None = None,
    let: Mapping[str, str] | None = None,
    lookups: Mapping[str, pa.Table] | None = None,
    gram: bool = True,
    known: Moments | None = None,
) -> Moments:
    """Sums by SQL. `weight` is NULL-free SQL, None for 1; targets and scalars are SQL over `let` and `__z<i>`.

    `known` holds the sums of the columns that are not levels, when they were read already.
    """
    names = {f"__z{i}": sql for i, (_, sql) in enumerate(matrix_terms(design, trained_rows=True))}
    let = {**names, **(let or {})}
    w = weight or "1.0"
    columns = (["1.0"] if lay.intercept else []) + list(names)
    if known is None:
        dense, lead, rest = _plain_sums(relation, columns, w, targets, scalars, let, lookups or {}, gram)
    else:
        assert known.gram is not None
        dense, lead, rest = known.gram.dense, known.targets, known.scalars
    if not lay.categories:
        return Moments(Gram(dense, (), (), (), {}) if gram else None, lead, rest)
    grouped = _grouped(relation, lay, columns, w, targets, let, lookups or {}, gram)
    sizes = tuple(len(c.levels) for c in lay.categories)
    block = np.concatenate([lead, *(t.T for t in grouped.targets)], axis=1)
    if not gram:
        return Moments(None, block, rest)
    return Moments(Gram(dense, sizes, grouped.weight, grouped.cross, grouped.pairs), block, rest)


def _plain_sums(
    relation: Relation,
    columns: Sequence[str],
    w: str,
    targets: Sequence[str],
    scalars: Sequence[str],
    let: Mapping[str, str],
    lookups: Mapping[str, pa.Table],
    gram: bool,
) -> tuple[F64, F64, F64]:
    """Products of the columns that are not levels (zeros without `gram`), targets by columns, scalars."""
    q = len(columns)
    terms = [_product(w, a, b) for i, a in enumerate(columns) for b in columns[i:]] if gram else []
    terms += [_product(t, a) for t in targets for a in columns] + list(scalars)
    found = relation.sums(terms, let=let, **lookups).values[0]
    dense = np.zeros((q, q))
    count = 0
    if gram:
        upper = np.triu_indices(q)
        count = len(upper[0])
        dense[upper] = found[:count]
        dense = dense + np.triu(dense, 1).T
    lead = found[count : count + len(targets) * q].reshape(len(targets), q)
    return dense, lead, found[count + len(targets) * q :]


def known_moments(data: TrainingData, lay: Layout) -> Moments | None:
    """The sums of the columns that are not levels from the products of the statistics' pass; None when they lack some.

    The columns of X and the label are affine in the products' columns, so their products are as well.
    """
    products = data.products
    if products is None or data.weight is not None:
        return None
    place = {sql: i + 1 for i, sql in enumerate(products.sql)}
    plain = [f for f in data.design.features if not isinstance(f, Category)]
    rows: list[F64] = []
    width = len(place) + 1
    if lay.intercept:
        rows.append(np.eye(1, width)[0])
    for f in plain:
        if not isinstance(f, Number) or f.sql not in place:
            return None
        row = np.zeros(width)
        at = place[f.sql]
        row[0], row[at] = (products.center[at - 1] - f.shift) / f.scale, 1.0 / f.scale
        rows.append(row)
    if data.label is not None and data.label.sql not in place:
        return None
    q = len(rows)
    if data.label is not None:
        row = np.zeros(width)
        row[0], row[place[data.label.sql]] = products.center[place[data.label.sql] - 1], 1.0
        rows.append(row)
    t = np.array(rows)
    sums = t @ products.sums @ t.T
    gram = Gram(sums[:q, :q], (), (), (), {})
    if data.label is None:
        return Moments(gram, np.zeros((0, q)), np.zeros(0))
    return Moments(gram, sums[q:, :q], np.array([products.sums[0, 0], sums[q, q]]))


def with_levels(relation: Relation, design: Design, lay: Layout, dense: F64) -> Gram:
    """X' X of unit weights from its dense block (lead, lead): the blocks of the levels are read by SQL."""
    if not lay.categories:
        return Gram(dense, (), (), (), {})
    names = {f"__z{i}": sql for i, (_, sql) in enumerate(matrix_terms(design, trained_rows=True))}
    grouped = _grouped(relation, lay, list(names), "1.0", (), names, {}, True)
    sizes = tuple(len(c.levels) for c in lay.categories)
    return Gram(dense, sizes, grouped.weight, grouped.cross, grouped.pairs)


def _product(*factors: str) -> str:
    kept = [f for f in factors if f != "1.0"]
    return " * ".join(kept) if kept else "1.0"


@dataclass(slots=True)
class _Grouped:
    weight: tuple[F64, ...]
    cross: tuple[F64, ...]
    targets: tuple[F64, ...]
    pairs: dict[tuple[int, int], tuple[I64, I64, F64]]


def _grouped(
    relation: Relation,
    lay: Layout,
    columns: list[str],
    w: str,
    targets: Sequence[str],
    let: Mapping[str, str],
    lookups: Mapping[str, pa.Table],
    gram: bool,
) -> _Grouped:
    """Sums within the levels of each category, and weights of each pair of categories.

    With two categories one GROUP BY over both gives everything; it is rolled up here.
    """
    terms = ([w] + [_product(w, c) for c in columns] if gram else []) + list(targets)
    cats = lay.categories
    codes = [_Codes(c) for c in cats]
    sums: list[F64] = []
    pairs: dict[tuple[int, int], tuple[I64, I64, F64]] = {}
    if len(cats) == 2 and gram:
        found = relation.sums(terms, [c.sql for c in cats], let, **lookups)
        i, j = (code(k) for code, k in zip(codes, found.keys, strict=True))
        for code, at in zip(codes, (i, j), strict=True):
            sums.append(code.add(at, found.values))
        good = (i >= 0) & (j >= 0)
        pairs[0, 1] = (i[good], j[good], found.values[good, 0])
    else:
        for c, code in zip(cats, codes, strict=True):
            found = relation.sums(terms, [c.sql], let, **lookups)
            sums.append(code.add(code(found.keys[0]), found.values))
        for f in range(len(cats)) if gram else ():
            for g in range(f + 1, len(cats)):
                found = relation.sums([w], [cats[f].sql, cats[g].sql], let, **lookups)
                i, j = codes[f](found.keys[0]), codes[g](found.keys[1])
                good = (i >= 0) & (j >= 0)
                pairs[f, g] = (i[good], j[good], found.values[good, 0])
    q = len(columns)
    if not gram:
        return _Grouped((), (), tuple(sums), {})
    return _Grouped(
        tuple(np.ascontiguousarray(s[:, 0]) for s in sums),
        tuple(np.ascontiguousarray(s[:, 1 : 1 + q]) for s in sums),
        tuple(np.ascontiguousarray(s[:, 1 + q :]) for s in sums),
        pairs,
    )


class _Codes:
    """Level of a group key; -1 for the dropped level and for values without one."""

    def __init__(self, category: Category):
        self.size = len(category.levels)
        self.table = {level: i for i, level in enumerate(category.levels) if i != category.dropped}

    def __call__(self, keys: pa.Array) -> I64:
        return np.array([self.table.get(k, -1) for k in keys.to_pylist()], dtype=np.int64)

    def add(self, at: I64, values: F64) -> F64:
        """(levels, terms): sums of the groups of each level."""
        out = np.zeros((self.size, values.shape[1]))
        np.add.at(out, at[at >= 0], values[at >= 0])
        return out


def level_lookups(lay: Layout, beta: F64) -> tuple[dict[str, pa.Table], list[str]]:
    """Lookup tables of the level weights in beta (columns of X,), and the SQL of each weight, 0 when unknown."""
    tables, terms = {}, []
    for i, (c, start) in enumerate(zip(lay.categories, lay.starts(), strict=True)):
        values = beta[start : start + len(c.levels)]
        tables[f"c{i}"] = lookup(c.sql, texts(c.levels), **{f"__w{i}": floats(values)})
        terms.append(f"coalesce(__w{i}, 0.0)")
    return tables, terms


# ---------------------------------------------------------------- blocks

Blocks = Callable[[], Iterator[Block]]


def linear_predictor(block: Block, lay: Layout, beta: F64) -> F64:
    """(n, k): X beta' for beta of shape (k, columns of X)."""
    lead = lay.lead
    out = block.dense @ beta[:, lay.intercept : lead].T
    if lay.intercept:
        out += beta[:, 0]
    for code, category, start in zip(block.codes, lay.categories, lay.starts(), strict=True):
        part = beta[:, start : start + len(category.levels)].T
        padded = np.vstack([part, np.zeros((1, part.shape[1]))])
        if category.dropped is not None:
            padded[category.dropped] = 0.0
        out += padded[code]
    return out


def lead_columns(block: Block, lay: Layout) -> F64:
    """(n, lead): the intercept and the dense columns."""
    return np.hstack([np.ones((len(block), 1)), block.dense]) if lay.intercept else block.dense


def block_targets(block: Block, lay: Layout, target: F64) -> F64:
    """(k, columns of X): target' X for target of shape (n, k)."""
    out = np.zeros((target.shape[1], lay.size))
    out[:, : lay.lead] = target.T @ lead_columns(block, lay)
    for code, category, start in zip(block.codes, lay.categories, lay.starts(), strict=True):
        n = len(category.levels)
        for j in range(target.shape[1]):
            out[j, start : start + n] = np.bincount(code + 1, target[:, j], n + 1)[1:]
        if category.dropped is not None:
            out[:, start + category.dropped] = 0.0
    return out


class BlockGram:
    """Accumulates X' W X over blocks."""

    def __init__(self, lay: Layout):
        self.lay = lay
        sizes = [len(c.levels) for c in lay.categories]
        self.dense = np.zeros((lay.lead, lay.lead))
        self.weight = [np.zeros(n) for n in sizes]
        self.cross = [np.zeros((n, lay.lead)) for n in sizes]
        self.pairs: dict[tuple[int, int], tuple[I64, F64]] = {}

    def add(self, block: Block, w: F64) -> None:
        """Add the rows of a block with weights w (n,)."""
        z = lead_columns(block, self.lay)
        zw = z * w[:, None]
        self.dense += zw.T @ z
        codes: list[I64] = []
        for i, (raw, category) in enumerate(zip(block.codes, self.lay.categories, strict=True)):
            code: I64 = raw.astype(np.int64)
            if category.dropped is not None:
                code[code == category.dropped] = -1
            codes.append(code)
            n = len(category.levels)
            self.weight[i] += np.bincount(code + 1, w, n + 1)[1:]
            for j in range(z.shape[1]):
                self.cross[i][:, j] += np.bincount(code + 1, zw[:, j], n + 1)[1:]
        for f in range(len(codes)):
            for g in range(f + 1, len(codes)):
                self._pair(f, g, codes[f], codes[g], w)

    def _pair(self, f: int, g: int, a: I64, b: I64, w: F64) -> None:
        good = (a >= 0) & (b >= 0)
        cells = a[good] * len(self.lay.categories[g].levels) + b[good]
        found, at = np.unique(cells, return_inverse=True)
        sums: F64 = np.bincount(at, w[good], len(found)).astype(np.float64)
        if (f, g) in self.pairs:
            cells, before = self.pairs[f, g]
            found, at = np.unique(np.concatenate([cells, found]), return_inverse=True)
            sums = np.bincount(at, np.concatenate([before, sums]), len(found)).astype(np.float64)
        self.pairs[f, g] = (found, sums)

    def gram(self) -> Gram:
        """The blocks so far."""
        pairs = {}
        for (f, g), (cells, sums) in self.pairs.items():
            n = len(self.lay.categories[g].levels)
            pairs[f, g] = (cells // n, cells % n, sums)
        sizes = tuple(len(c.levels) for c in self.lay.categories)
        return Gram(self.dense, sizes, tuple(self.weight), tuple(self.cross), pairs)
