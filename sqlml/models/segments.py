"""The search of contribution analysis: segments of rows that have support, by GROUPING SETS.

A segment is a combination of values of some dimensions. Segments are searched level by level: values of one
dimension, pairs, triples ... A segment whose support is too small has no supported part, so values that are too
rare are forgotten first, and only dimensions whose smaller combinations survived are combined
(Agrawal & Srikant 1994, "Fast Algorithms for Mining Association Rules").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pyarrow as pa

from sqlml.arrow import integers, texts
from sqlml.errors import DataError
from sqlml.kernels import contribution as kernel
from sqlml.kernels.types import F64, I32
from sqlml.progress import Run
from sqlml.relation import Relation, lookup
from sqlml.schema import Column, find, quote_literal, quote_name

#: Most dimensions, and most of them when every segment is wanted.
DIMENSIONS, ALL_DIMENSIONS = 50, 13
#: Grouping sets of one query.
SETS = 64
#: Thresholds that are tried one after the other until TOP_K segments are found.
DESCENT = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-5, 0.0)

INTEGER_TYPES = frozenset({"BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER"})

_NAME = r"\s*(?:`(?P<{0}q>[^`]+)`|(?P<{0}>[A-Za-z_]\w*))\s*"
_SUM = r"\s*SUM\s*\(" + _NAME + r"\)\s*"
_FORMS: tuple[tuple[Literal["sum", "ratio", "category"], re.Pattern[str]], ...] = (
    ("sum", re.compile(_SUM.format("a"), re.IGNORECASE)),
    ("ratio", re.compile(_SUM.format("a") + "/" + _SUM.format("b"), re.IGNORECASE)),
    (
        "category",
        re.compile(_SUM.format("a") + r"/\s*COUNT\s*\(\s*DISTINCT\s" + _NAME.format("b") + r"\)\s*", re.IGNORECASE),
    ),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A parsed CONTRIBUTION_METRIC: SUM(a), SUM(a)/SUM(b), or SUM(a)/COUNT(DISTINCT b)."""

    form: Literal["sum", "ratio", "category"]
    a: str
    b: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.a,) if self.b is None else (self.a, self.b)


def parse_metric(text: str, *, bare: bool = False) -> Metric | None:
    """The metric, or None; `bare` also takes a column's name alone for its sum."""
    if bare and (word := re.fullmatch(_NAME.format("a"), text)):
        return Metric("sum", word["aq"] or word["a"])
    for form, pattern in _FORMS:
        if found := pattern.fullmatch(text):
            groups = found.groupdict()
            second = None if form == "sum" else groups["bq"] or groups["b"]
            return Metric(form, groups["aq"] or groups["a"], second)
    return None


@dataclass(frozen=True, slots=True)
class ContributionState:
    """The segments that were found; the first is the whole population.

    Args:
        form: of the metric.
        integer: whether the metric is a sum of integers.
        dimensions, types: the dimension columns and their DuckDB types.
        levels: texts of the values that occur in a segment, per dimension.
        codes: (n, dimensions): index into the levels, -1 where the dimension is not part of the segment.
        test, control: (n, 1) sums, or (n, 2) sums of a and of b (counts for a metric by category).
        support: (n,).
    """

    form: Literal["sum", "ratio", "category"]
    integer: bool
    dimensions: tuple[str, ...]
    types: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    codes: I32
    test: F64
    control: F64
    support: F64


@dataclass(frozen=True, slots=True)
class _Found:
    """Segments of some level: codes (n, dimensions), sums (n, p) each."""

    codes: I32
    test: F64
    control: F64


class Search:
    """The segments of some rows, by passes of GROUPING SETS over them."""

    def __init__(
        self,
        rows: Relation,
        metric: Metric,
        test: str,
        dimensions: Sequence[str],
        columns: Sequence[Column],
        run: Run | None = None,
    ):
        found = [find(columns, d) for d in dimensions]
        self.dimensions = tuple(c for c in found if c is not None)
        self.metric, self.progress = metric, run
        there = " AND ".join(f"{quote_name(d.name)} IS NOT NULL" for d in self.dimensions)
        self.test = quote_name(test)
        self.rows = rows.where(f"{self.test} IS NOT NULL AND {there}")
        self.columns = columns
        self.total_test, self.total_control = self._totals()

    def run(self, support: float, top: int | None, prune: bool) -> ContributionState:
        """All segments of at least that support, or the `top` of the highest. Raises `DataError`."""
        if top is None:
            return self._state(support, prune, None)
        for threshold in DESCENT:
            if threshold == 0.0 and len(self.dimensions) > ALL_DIMENSIONS:
                break
            state = self._state(threshold, prune, top)
            if len(state.codes) >= top:
                break
        return state

    # ------------------------------------------------------------ sums

    def _sides(self) -> tuple[list[str], list[str]]:
        """SQL of what is summed: test terms, control terms."""
        terms = [quote_name(self.metric.a)]
        if self.metric.form == "ratio":
            terms.append(quote_name(self.metric.b or ""))
        pick = [f"(CASE WHEN {self.test} THEN {t} END)" for t in terms]
        rest = [f"(CASE WHEN NOT {self.test} THEN {t} END)" for t in terms]
        return pick, rest

    def _totals(self) -> tuple[F64, F64]:
        test, control = self._sides()
        sums = [f"coalesce(sum({t}), 0)::DOUBLE" for t in (*test, *control)]
        if self.metric.form == "category":
            b = quote_name(self.metric.b or "")
            sums.insert(1, f"count(DISTINCT CASE WHEN {self.test} THEN {b} END)")
            sums.append(f"count(DISTINCT CASE WHEN NOT {self.test} THEN {b} END)")
        lowest = [f"min({quote_name(c)})" for c in self._summed()]
        values = self.rows.aggregate([*sums, *lowest, f"count_if({self.test})", f"count_if(NOT {self.test})"])
        for what, n in zip(("TRUE", "FALSE"), values[-2:], strict=True):
            if not n:
                raise DataError(f"IS_TEST_COL must be {what} in some row whose dimensions are not NULL.")
        p = len(sums) // 2
        self.negative = any(v is not None and v < 0 for v in values[2 * p : -2])
        return np.array(values[:p], dtype=np.float64), np.array(values[p : 2 * p], dtype=np.float64)

    def _summed(self) -> tuple[str, ...]:
        return self.metric.columns if self.metric.form == "ratio" else (self.metric.a,)

    def _state(self, support: float, prune: bool, top: int | None) -> ContributionState:
        if self.negative and (support > 0.0 or top is not None):
            hint = "use MIN_APRIORI_SUPPORT = 0, or leave those rows out."
            text = f"{' and '.join(self._summed())} must not be negative in any row."
            raise DataError(text, hint=hint)
        found, levels = self._segments(support)
        supports = self._support(found)
        if prune:
            values = np.hstack([found.test, found.control])
            keep = ~kernel.redundant(found.codes, values, not self.negative)
            found = _Found(found.codes[keep], found.test[keep], found.control[keep])
            supports = supports[keep]
        whole = _Found(
            np.full((1, len(self.dimensions)), -1, np.int32), self.total_test[None], self.total_control[None]
        )
        found, supports = _together([whole, found]), np.concatenate([[1.0], supports])
        if top is not None and len(supports) > top:
            order = np.sort(np.argsort(-supports, kind="stable")[:top])
            found = _Found(found.codes[order], found.test[order], found.control[order])
            supports = supports[order]
        column = find(self.columns, self.metric.a)
        integer = self.metric.form == "sum" and column is not None and column.type.name in INTEGER_TYPES
        return ContributionState(
            self.metric.form,
            integer,
            tuple(d.name for d in self.dimensions),
            tuple(d.sql_type for d in self.dimensions),
            levels,
            found.codes,
            found.test,
            found.control,
            supports,
        )

    def _support(self, found: _Found) -> F64:
        a, b = self.total_test[0], self.total_control[0]
        return kernel.shares(found.test[:, 0], found.control[:, 0], float(a), float(b))

    # ------------------------------------------------------------ levels

    def _segments(self, support: float) -> tuple[_Found, tuple[tuple[str, ...], ...]]:
        """The supported segments, and the values of each dimension that they consist of.

        The rows are grouped once by the codes of those values (NULL for all others), and searched in that form.
        """
        texts_of = [f"{quote_name(c.name)}::VARCHAR" for c in self.dimensions]
        test, control = self._sides()
        terms = {f"__t{i}": t for i, t in enumerate(test)} | {f"__u{i}": t for i, t in enumerate(control)}
        levels = tuple(self._frequent(text, support) for text in texts_of)
        lookups = {}
        for i, (text, values) in enumerate(zip(texts_of, levels, strict=True)):
            lookups[f"l{i}"] = lookup(text, texts(values), **{f"__k{i}": integers(np.arange(len(values)))})
        keys = {f"__k{i}": f"__k{i}::INTEGER" for i in range(len(levels))}
        if self.metric.form == "category":
            keys |= {"__b": quote_name(self.metric.b or ""), "__is": self.test}
        with self.rows.grouped(keys, terms, **lookups) as coded:
            return self._climb(coded, levels, support), levels

    def _frequent(self, text: str, support: float) -> tuple[str, ...]:
        """The values of a dimension that have the support on their own, as texts."""
        test, control = self._sides()
        having = self._having(support, test[0], control[0])
        table = self.rows.table(f"{text} AS v FROM {{rows}} GROUP BY 1{having} ORDER BY 1")
        return tuple(table.column("v").to_pylist())

    def _having(self, support: float, test: str = "__t0", control: str = "__u0") -> str:
        """SQL that keeps supported groups; a little below the bound, the exact test is made on the sums."""
        if support == 0.0:
            return ""
        sides = ((test, self.total_test[0]), (control, self.total_control[0]))
        tests = [f"sum({n}) >= {quote_literal(float(t) * support * (1 - 1e-12))}" for n, t in sides if t > 0]
        return f" HAVING {' OR '.join(tests)}" if tests else " HAVING FALSE"

    def _climb(self, coded: Relation, levels: tuple[tuple[str, ...], ...], support: float) -> _Found:
        """Level after level; a set of dimensions is tried when all its smaller sets had a segment."""
        alive: set[tuple[int, ...]] = {(i,) for i, values in enumerate(levels) if values}
        size, found = 1, []
        while alive:
            if self.progress is not None:
                self.progress.tell("training", step=size, detail=f"segments of {size} dimensions")
            some = self._level(coded, sorted(alive), support)
            found.append(some)
            there = {tuple(np.flatnonzero(row >= 0).tolist()) for row in np.unique(some.codes >= 0, axis=0) * 2 - 1}
            size += 1
            alive = {
                both
                for a in there
                for i in {x for t in there for x in t}
                if i > a[-1] and _supported(both := (*a, i), there)
            }
        p = len(self.total_test)
        empty = _Found(np.zeros((0, len(levels)), np.int32), np.zeros((0, p)), np.zeros((0, p)))
        return _together([empty, *found])

    def _level(self, coded: Relation, sets: Sequence[tuple[int, ...]], support: float) -> _Found:
        parts = [self._query(coded, sets[i : i + SETS], support) for i in range(0, len(sets), SETS)]
        return _together(parts)

    def _query(self, coded: Relation, sets: Sequence[tuple[int, ...]], support: float) -> _Found:
        used = sorted({i for s in sets for i in s})
        grouping = ", ".join("(" + ", ".join(f"__k{i}" for i in s) + ")" for s in sets)
        sums = []
        for side in ("t", "u"):
            terms = len(self._sides()[0])
            sums += [f"coalesce(sum(__{side}{j}), 0)::DOUBLE AS s{side}{j}" for j in range(terms)]
            if self.metric.form == "category":
                which = "__is" if side == "t" else "NOT __is"
                sums.append(f"count(DISTINCT CASE WHEN {which} THEN __b END)::DOUBLE AS s{side}1")
        inside = " OR ".join(
            f"(grouping({', '.join(f'__k{i}' for i in used)}) = {_mask(used, s)} AND "
            + " AND ".join(f"__k{i} IS NOT NULL" for i in s)
            + ")"
            for s in sets
        )
        having = self._having(support)
        having = f"{having.replace(' HAVING ', ' HAVING (', 1)}) AND ({inside})" if having else f" HAVING {inside}"
        items = ", ".join([*(f"__k{i}" for i in used), *sums])
        table = coded.table(f"{items} FROM {{rows}} GROUP BY GROUPING SETS ({grouping}){having}")
        codes = np.full((table.num_rows, len(self.dimensions)), -1, np.int32)
        for i in used:
            column = table.column(f"__k{i}").combine_chunks().cast(pa.int64())
            codes[:, i] = column.fill_null(-1).to_numpy(zero_copy_only=False)
        p = len(self.total_test)
        sides = [
            np.column_stack([np.asarray(table.column(f"s{s}{j}").combine_chunks(), dtype=np.float64) for j in range(p)])
            for s in ("t", "u")
        ]
        found = _Found(codes, sides[0], sides[1])
        if support == 0.0:
            return found
        keep = self._support(found) >= support * (1 - 1e-12)
        return _Found(codes[keep], found.test[keep], found.control[keep])


def _supported(candidate: tuple[int, ...], there: set[tuple[int, ...]]) -> bool:
    return all(part in there for part in combinations(candidate, len(candidate) - 1))


def _mask(used: Sequence[int], members: Sequence[int]) -> int:
    """GROUPING's number: a bit for each column that is not in the set, the last column lowest."""
    return sum(1 << (len(used) - 1 - j) for j, i in enumerate(used) if i not in members)


def _together(parts: Sequence[_Found]) -> _Found:
    return _Found(
        np.concatenate([p.codes for p in parts]),
        np.concatenate([p.test for p in parts]),
        np.concatenate([p.control for p in parts]),
    )
