"""Functions whose body is SQL become DuckDB macros."""

from __future__ import annotations

from sqlml.errors import Span
from sqlml.schema import quote_name
from sqlml.script.nodes import CreateFunction, DropRoutine
from sqlml.translate import to_duckdb, translate, translate_expression, translate_type


def key(name: tuple[str, ...]) -> tuple[str, ...]:
    """A name to look up by: dataset and routine, without case; the project is left out."""
    return tuple(part.casefold() for part in name[-2:])


def _path(name: tuple[str, ...]) -> str:
    return ".".join(quote_name(part) for part in name[-2:])


def function_sql(node: CreateFunction, source: str) -> str:
    """CREATE MACRO for a function; the returned type is a cast around the body."""
    head = "CREATE OR REPLACE" if node.replace or node.temporary else "CREATE"
    temporary = " TEMP" if node.temporary else ""
    exists = " IF NOT EXISTS" if node.if_not_exists else ""
    arguments = ", ".join(quote_name(a.name) for a in node.arguments)
    body = _body(node, source[node.body.start : node.body.end], node.body)
    return f"{head}{temporary} MACRO{exists} {_path(node.name)}({arguments}) AS {body}"


def _body(node: CreateFunction, text: str, place: Span) -> str:
    if node.table:
        return f"TABLE {translate(text, offset=place.start)}"
    body = to_duckdb(translate_expression(text, offset=place.start))
    if node.returns is None:
        return f"({body})"
    return f"CAST(({body}) AS {translate_type(node.returns)})"


def drop_sql(node: DropRoutine) -> str:
    """DROP MACRO for a function."""
    table = " TABLE" if node.kind == "table function" else ""
    return f"DROP MACRO{table}{' IF EXISTS' if node.if_exists else ''} {_path(node.name)}"
