"""GoogleSQL -> DuckDB.

    translate               a whole statement, as text
    translate_expression    one expression, as a tree
    translate_select_items  the items of a SELECT list (also of TRANSFORM), as trees
    translate_type          the name of a type

Table names go through the `table` hook, ML functions through the `scalar` hook; both get nodes whose
children are DuckDB already. `offset` is where the text begins in the user's script: every error
carries a span into that script. sqlglot is imported here and in `grammar` only, and its classes are
never subclassed, so that its compiled build works, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from sqlglot import exp

from sqlml.translate.build import span_of, to_duckdb
from sqlml.translate.context import After, Context, ScalarHook, TableHook
from sqlml.translate.plain import translate_plain
from sqlml.translate.queries import has_aggregate, prepare
from sqlml.translate.read import Reader
from sqlml.translate.rewrite import rewrite
from sqlml.translate.sums import Sums
from sqlml.translate.tables import PROJECT, TARGET, mark_targets
from sqlml.translate.types import type_name

__all__ = [
    "PROJECT",
    "TARGET",
    "After",
    "Sums",
    "has_aggregate",
    "span_of",
    "to_duckdb",
    "translate",
    "translate_expression",
    "translate_select_items",
    "translate_type",
]


def translate(
    sql: str,
    *,
    dialect: Literal["bigquery", "duckdb"] = "bigquery",
    table: TableHook | None = None,
    scalar: ScalarHook | None = None,
    offset: int = 0,
    names: Collection[str] = (),
    parameter: Callable[[int, int], int] | None = None,
    variables: Mapping[str, str] | None = None,
    values: Mapping[str, object] | None = None,
    after: After | None = None,
    sums: Sums | None = None,
) -> str:
    """DuckDB SQL for one statement.

    Args:
        sql: the statement; names such as `__ml0` are ordinary tables.
        dialect: the language of `sql`; plain DuckDB text keeps its spelling but for what the hooks replace.
        table: gets each table reference that is not a CTE (`meta[TARGET]` is set on what a statement
            writes); returns what takes its place, or None to map its parts to catalog, schema, table.
        scalar: gets each ML.xxx(...) call (an `Anonymous` node named 'ML.XXX', or the `Window` around it);
            returns what takes its place. None is a NameError, with the nearest of `names`.
        offset: where `sql` begins in the user's script.
        names: the known ML functions, for the hint.
        parameter: gives the number of a positional `?` from its count (1, 2, ...) and its place in the
            script; by default its count.
        variables: DuckDB literals by the lower-case names of script variables; they take the place of every
            unqualified column of that name (the caller leaves out those that are columns).
        values: the parameters by their lower-case names or numbers, for options that must be known here.
        after: gets what is to run after the statement.
        sums: what is known of sums of dates and integers, when the statement failed for one.

    Raises:
        ParseError: the text is not GoogleSQL. NotSupportedError, NameError: as their sentences say.
    """
    context = Context(table, scalar, names, offset, variables or {}, values or {}, after or After(), sums)
    if dialect == "duckdb":
        return translate_plain(sql, context)
    root = Reader("bigquery", offset, parameter).statement(sql)
    mark_targets(root)
    if sums is not None:
        sums.mark(root, sql, offset)
    prepare(root)
    return to_duckdb(rewrite(root, context))


def translate_expression(
    sql: str,
    *,
    dialect: Literal["bigquery", "duckdb"] = "bigquery",
    table: TableHook | None = None,
    scalar: ScalarHook | None = None,
    offset: int = 0,
    names: Collection[str] = (),
) -> exp.Expression:
    """The DuckDB tree of one scalar expression (an alias is kept)."""
    from sqlml.errors import ParseError, Span

    items = translate_select_items(sql, dialect=dialect, table=table, scalar=scalar, offset=offset, names=names)
    if len(items) != 1:
        raise ParseError("the text must be one expression.", span=Span(offset, offset + len(sql)))
    return items[0]


def translate_select_items(
    sql: str,
    *,
    dialect: Literal["bigquery", "duckdb"] = "bigquery",
    table: TableHook | None = None,
    scalar: ScalarHook | None = None,
    offset: int = 0,
    names: Collection[str] = (),
) -> list[exp.Expression]:
    """The DuckDB trees of a SELECT list: Star (with its except_ and replace), Alias, or a bare expression."""
    items = Reader(dialect, offset).items(sql)
    select = exp.Select(expressions=items)
    if dialect == "bigquery":
        prepare(select, names=False)
        select = rewrite(select, Context(table, scalar, names, offset))
    found = list(select.expressions)
    for item in found:
        item.parent = None
    return found


def translate_type(sql: str, *, offset: int = 0) -> str:
    """The DuckDB name of a GoogleSQL type such as `ARRAY<STRUCT<a INT64>>`."""
    context = Context(offset=offset)
    [item] = Reader("bigquery", offset - len("CAST(NULL AS ")).items(f"CAST(NULL AS {sql})")
    return type_name(item.args["to"], context)
