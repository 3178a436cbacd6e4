"""The rows of a FROM item with a model's raw outputs beside them, as SQL.

Every function that predicts builds on `scored`: it binds the input columns by name, replays TRANSFORM,
joins the model's lookup tables and adds its intermediate expressions.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from sqlml.database import Database
from sqlml.encode import bind_columns
from sqlml.errors import Span
from sqlml.functions.base import Ahead, Call
from sqlml.kernels.threads import expect_callers
from sqlml.models import MODELS
from sqlml.models.base import BatchFunction, Label, Score, Trained
from sqlml.relation import LocalRelation
from sqlml.schema import Column, find, quote_name


@dataclass(frozen=True, slots=True)
class Scored:
    """Input rows with raw outputs.

    Args:
        sql: a FROM item: the input columns and the internal ones.
        rest: SQL select items of all input columns.
        score: the expressions of the outputs over `sql`.
        tables: to be registered for the statement.
        ahead: the part of `sql` that calls the model's function, where it may be computed ahead of the query.
    """

    sql: str
    rest: str
    score: Score
    tables: Mapping[str, pa.Table]
    ahead: Ahead | None = None


def scored(
    database: Database,
    trained: Trained,
    source: str,
    columns: tuple[Column, ...],
    span: Span | None = None,
    score: Score | None = None,
) -> Scored:
    """Score the rows of a FROM item. Raises `SchemaError` for missing or changed columns."""
    bind_columns(trained.inputs, columns, trained.path, span)
    score = score or MODELS[trained.model].score(trained)
    tables: dict[str, pa.Table] = {}
    internal: list[str] = []
    sql, rest = _typed(trained, source, columns), None
    if trained.transform is not None:
        items = ", ".join(f"{e} AS {quote_name(n)}" for n, e in trained.transform.select_items())
        if trained.label is not None and find(columns, trained.label.name) is not None:
            items += f", __in.{quote_name(trained.label.name)} AS {quote_name(trained.label.name)}"
        sql, rest = f"(SELECT __in, {items} FROM {sql} AS __in)", "unnest(__in)"
    if score.lookups:
        joins, more = [], []
        # One model has several scores (its predictions, its errors), and tables stay registered: each has its own.
        tag = zlib.crc32(repr((score.let, [x.table.column_names for x in score.lookups])).encode())
        for lookup in score.lookups:
            name = f"__sqlml_{trained.uid}_{lookup.name}_{tag:08x}"
            tables[name] = lookup.table
            # The rows may have columns of these names, so the lookup's have others beside them.
            own = ", ".join(f"{quote_name(c)} AS {lookup.name}_{c}" for c in lookup.table.column_names)
            on = f"({lookup.on}) IS NOT DISTINCT FROM {lookup.name}.{lookup.name}_key"
            joins.append(f" LEFT JOIN (SELECT {own} FROM {quote_name(name)}) AS {lookup.name} ON {on}")
            for c in lookup.table.column_names:
                if c != "key":
                    more.append(f"{lookup.name}.{lookup.name}_{c}")
                    internal.append(f"{lookup.name}_{c}")
        sql = f"(SELECT __r.*, {', '.join(more)} FROM {sql} AS __r{''.join(joins)})"
    let, ahead = list(score.let), None
    if score.function is not None:
        name = f"sqlml_{score.function.name}_{trained.uid}"
        name = register_function(database, name, score.function)
        args = ", ".join(f"({e})::{t}" for e, t in score.function.arguments)
        let.insert(0, ("__f", f"{name}({args})"))
        if score.function.blocks and sql == source:
            outputs = 1 if trained.label is None else max(1, len(trained.label.classes))
            part = f"(SELECT *, {let[0][1]} AS __f FROM {sql})"
            ahead = Ahead(part, name, score.function, source, columns, outputs)
    for name, expression in let:
        sql = f"(SELECT *, {expression} AS {name} FROM {sql})"
        internal.append(name)
    if rest is None:
        rest = f"* EXCLUDE ({', '.join(internal)})" if internal else "*"
    return Scored(sql, rest, score, tables, ahead)


def _typed(trained: Trained, source: str, columns: tuple[Column, ...]) -> str:
    """The rows with a type on input columns that are nothing but NULL."""
    bare = [c for c in trained.inputs if (given := find(columns, c.name)) is not None and given.type.name == "NULL"]
    if not bare:
        return source
    items = ", ".join(f"NULL::{c.sql_type} AS {quote_name(c.name)}" for c in bare)
    return f"(SELECT * REPLACE ({items}) FROM {source})"


def register_function(database: Database, name: str, function: BatchFunction) -> str:
    """Make a model's vectorised function callable from SQL, by the name that is returned."""
    call = function.call

    def run(*arrays: Any) -> Any:
        return call(*(_whole(a) for a in arrays))

    expect_callers()
    # The arguments are cast where they are written, so the function itself takes any.
    return database.function(name, run, None, function.result)


def _whole(array: Any) -> Any:
    """One array of an argument; as a rule it is one, and to combine it would be to copy it."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def predicted_code(score: Score, label: Label, threshold: float | None = None) -> str:
    """SQL of the index of the predicted class."""
    if len(label.classes) == 2:
        return f"(CASE WHEN {score.value(1)} > {0.5 if threshold is None else threshold!r} THEN 1 ELSE 0 END)"
    values = score.list()
    return f"(list_position({values}, list_max({values})) - 1)"


def input_relation(call: Call) -> LocalRelation:
    """The input rows as the model sees them (after TRANSFORM), columns checked."""
    context, source, trained = call.context, call.data, call.model
    bind_columns(trained.inputs, source.columns, trained.path, source.span)
    sql = f"({source.query()})"
    if context.parameters:
        sql = context.database.snapshot(source.query(), context.parameters)
    columns = source.columns
    if trained.transform is not None:
        items = ", ".join(f"{e} AS {quote_name(n)}" for n, e in trained.transform.select_items())
        sql = f"(SELECT {items} FROM {sql})"
        columns = context.database.describe(f"SELECT * FROM {sql}")
    return LocalRelation(context.database, sql, columns)
