"""Rows of a query, as sums and as batches: the seam between the models and the engine.

Training code reads rows through `Relation.sums` and `Relation.batches` and nothing else. Sums are
additive: the answer over a table is the sum of the answers over its parts, so the same model trains
over one DuckDB or over many. `aggregate` is for statistics that are not additive (medians, distinct
values, the fitted parts of TRANSFORM); no iteration of a model uses it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from sqlml.arrow import numbers
from sqlml.database import Database
from sqlml.kernels.types import F64
from sqlml.schema import Column, quote_name


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of terms, per group.

    Args:
        keys: one Arrow array per `by` expression, each of length g (empty without `by`).
        values: shape (g, t): the sum of term t over the rows of group g; NULL terms count as 0.
    """

    keys: tuple[pa.Array, ...]
    values: F64


class Relation(Protocol):
    """A set of training rows."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Names and types."""
        ...

    def sums(
        self, terms: Sequence[str], by: Sequence[str] = (), let: Mapping[str, str] | None = None, **lookups: pa.Table
    ) -> Sums:
        """Sums of SQL expressions over the rows, per group of the `by` expressions.

        Args:
            terms: scalar expressions over the columns and the names in `let`.
            by: expressions to group by.
            let: names for expressions that several terms use; a later one may use the earlier ones.
            lookups: small tables, joined on their column `key` to the expression in their schema
                metadata `on`; their other columns can be used in `let` and the terms.
        """
        ...

    def batches(
        self, columns: Mapping[str, str], rows: int = 100_000, order: Sequence[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        """The values of expressions, in batches of at most `rows` rows, ordered by `order`. May be called again."""
        ...

    def aggregate(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        """Values of aggregate expressions over all rows, as Python values."""
        ...

    def table(self, sql_tail: str) -> pa.Table:
        """`SELECT <sql_tail with {rows} as its FROM item>` as Arrow: for small answers only."""
        ...

    def where(self, condition: str) -> Relation:
        """The rows that satisfy a condition."""
        ...

    def grouped(
        self, by: Mapping[str, str], terms: Mapping[str, str], **lookups: pa.Table
    ) -> contextlib.AbstractContextManager[Relation]:
        """One row per distinct key, with sums, kept for repeated reading until the context ends.

        Args:
            by: names and expressions of the keys, the columns of the new rows.
            terms: names and expressions of what is summed.
            lookups: as for `sums`.
        """
        ...

    def count(self) -> int:
        """Number of rows."""
        ...

    def release(self) -> None:
        """The rows will not be read for a while: give memory back that holds copies of them."""
        ...


def lookup(on: str, keys: pa.Array, **values: pa.Array) -> pa.Table:
    """A table for `Relation.sums(lookups)`: `on` is joined to `keys`; NULL joins NULL."""
    table = pa.table({"key": keys, **values})
    return table.replace_schema_metadata({"on": on})


@dataclass(frozen=True, slots=True)
class LocalRelation:
    """The rows of a SQL FROM item on one DuckDB connection.

    Args:
        database: where it lies.
        source: a quoted table name or a parenthesised query.
        columns: names and types.
        condition: only rows for which this SQL expression is true; None for all.
        rows: their number, when it is known.
    """

    database: Database
    source: str
    columns: tuple[Column, ...]
    condition: str | None = None
    rows: int | None = None

    def sums(
        self, terms: Sequence[str], by: Sequence[str] = (), let: Mapping[str, str] | None = None, **lookups: pa.Table
    ) -> Sums:
        names: list[str] = []
        try:
            origin = self._joined(lookups, names)
            for level in _levels(let or {}):
                items = ", ".join(f"{expression} AS {quote_name(name)}" for name, expression in level.items())
                origin = f"(SELECT *, {items} FROM {origin})"
            keys = [f"{b} AS __k{i}" for i, b in enumerate(by)]
            totals = [f"coalesce(sum(({t})::DOUBLE), 0)" for t in terms]
            tail = " GROUP BY " + ", ".join(f"__k{i}" for i in range(len(by))) if by else ""
            found = self.database.table(f"SELECT {', '.join([*keys, *totals])} FROM {origin}{tail}")
        finally:
            for name in names:
                self.database.unregister(name)
        columns = [found.column(i).combine_chunks() for i in range(found.num_columns)]
        values = [numbers(c) for c in columns[len(by) :]]
        width = len(values)
        matrix = np.stack(values, axis=1) if width else np.zeros((found.num_rows, 0))
        return Sums(tuple(columns[: len(by)]), matrix)

    def _joined(self, lookups: Mapping[str, pa.Table], names: list[str]) -> str:
        if not lookups:
            return self._rows()
        joins, items = [], ["__r.*"]
        for i, table in enumerate(lookups.values()):
            name = self.database.fresh_name("lookup")
            on = (table.schema.metadata or {})[b"on"].decode()
            self.database.register(name, table)
            names.append(name)
            # The rows may have a column called key, so the lookup's has another name beside them.
            joins.append(
                f" LEFT JOIN (SELECT * RENAME (key AS __key) FROM {name}) AS __l{i}"
                f" ON ({on}) IS NOT DISTINCT FROM __l{i}.__key"
            )
            items += [f"__l{i}.{quote_name(c)}" for c in table.column_names if c != "key"]
        return f"(SELECT {', '.join(items)} FROM {self._rows()} AS __r{''.join(joins)})"

    def batches(
        self, columns: Mapping[str, str], rows: int = 100_000, order: Sequence[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        items = ", ".join(f"{expression} AS {quote_name(name)}" for name, expression in columns.items())
        tail = f" ORDER BY {', '.join(order)}" if order else ""
        yield from self.database.batches(f"SELECT {items} FROM {self._rows()}{tail}", rows)

    def aggregate(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        if not expressions:
            return ()
        return self.database.execute(f"SELECT {', '.join(expressions)} FROM {self._rows()}")[0]

    def table(self, sql_tail: str) -> pa.Table:
        return self.database.table("SELECT " + sql_tail.replace("{rows}", self._rows()))

    @contextlib.contextmanager
    def grouped(self, by: Mapping[str, str], terms: Mapping[str, str], **lookups: pa.Table) -> Iterator[LocalRelation]:
        names: list[str] = []
        try:
            keys = [f"{e} AS {quote_name(n)}" for n, e in by.items()]
            sums = [f"sum({e}) AS {quote_name(n)}" for n, e in terms.items()]
            items = ", ".join([*keys, *sums])
            groups = ", ".join(str(i + 1) for i in range(len(keys)))
            kept = self.database.snapshot(f"SELECT {items} FROM {self._joined(lookups, names)} GROUP BY {groups}")
        finally:
            for name in names:
                self.database.unregister(name)
        try:
            yield LocalRelation(self.database, kept, self.database.describe(f"SELECT * FROM {kept}"))
        finally:
            self.database.drop_snapshot(kept)

    def where(self, condition: str) -> LocalRelation:
        both = condition if self.condition is None else f"({self.condition}) AND ({condition})"
        return replace(self, condition=both, rows=None)

    def count(self) -> int:
        return self.rows if self.rows is not None else int(self.aggregate(["count(*)"])[0])

    def release(self) -> None:
        self.database.release()

    def sql(self) -> str:
        """The rows as a FROM item."""
        return self._rows()

    def _rows(self) -> str:
        if self.condition is None:
            return self.source
        return f"(SELECT * FROM {self.source} WHERE {self.condition})"


def _levels(let: Mapping[str, str]) -> list[dict[str, str]]:
    """Named expressions in as few nested SELECTs as their references to each other allow."""
    depth: dict[str, int] = {}
    levels: list[dict[str, str]] = []
    for name, expression in let.items():
        words = set(re.findall(r"\w+", expression))
        depth[name] = max((d + 1 for other, d in depth.items() if other in words), default=0)
        if depth[name] == len(levels):
            levels.append({})
        levels[depth[name]][name] = expression
    return levels


@dataclass(frozen=True, slots=True)
class Remainder:
    """All rows but a few: sums are those of the whole less those of the few.

    A small held-out set is then never filtered out of the big scans. Everything that is not a sum reads
    the filtered rows.

    Args:
        whole: all rows.
        part: the few, in a table of their own.
        rest: the rows of `whole` that are not in `part`.
    """

    whole: LocalRelation
    part: LocalRelation
    rest: LocalRelation

    @property
    def columns(self) -> tuple[Column, ...]:
        """Names and types."""
        return self.whole.columns

    def sums(
        self, terms: Sequence[str], by: Sequence[str] = (), let: Mapping[str, str] | None = None, **lookups: pa.Table
    ) -> Sums:
        """Sums of the whole less sums of the part."""
        all_, few = self.whole.sums(terms, by, let, **lookups), self.part.sums(terms, by, let, **lookups)
        if not by:
            return Sums((), all_.values - few.values)
        groups = list(zip(*(k.to_pylist() for k in all_.keys), strict=True))
        place = {key: i for i, key in enumerate(groups)}
        values = all_.values.copy()
        for key, row in zip(zip(*(k.to_pylist() for k in few.keys), strict=True), few.values, strict=True):
            values[place[key]] -= row
        return Sums(all_.keys, values)

    def batches(
        self, columns: Mapping[str, str], rows: int = 100_000, order: Sequence[str] = ()
    ) -> Iterator[pa.RecordBatch]:
        """Batches of the filtered rows."""
        return self.rest.batches(columns, rows, order)

    def aggregate(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        """Aggregates of the filtered rows."""
        return self.rest.aggregate(expressions)

    def table(self, sql_tail: str) -> pa.Table:
        """A query over the filtered rows."""
        return self.rest.table(sql_tail)

    def grouped(
        self, by: Mapping[str, str], terms: Mapping[str, str], **lookups: pa.Table
    ) -> contextlib.AbstractContextManager[Relation]:
        """Groups of the filtered rows."""
        return self.rest.grouped(by, terms, **lookups)

    def where(self, condition: str) -> LocalRelation:
        """Some of the filtered rows."""
        return self.rest.where(condition)

    def count(self) -> int:
        """Number of rows."""
        return self.whole.count() - self.part.count()

    def release(self) -> None:
        """Give memory back that holds copies of the rows."""
        self.whole.release()
