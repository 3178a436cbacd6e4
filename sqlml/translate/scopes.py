"""Which WITH clauses a table of a query can see."""

from __future__ import annotations

from collections.abc import Collection

from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlml.translate.build import parse_duckdb, to_duckdb


def table_node(name: str) -> exp.Table:
    """A table reference by a bare name, for the `table` hook to return."""
    return exp.Table(this=exp.to_identifier(name))


def hide_from_stars(node: exp.Expression, column: str) -> None:
    """Leave a pseudo column of the table `node` out of the bare stars of its SELECT."""
    select = node.find_ancestor(exp.Select)
    for star in select.expressions if select is not None else ():
        if isinstance(star, exp.Star):
            star.set("except_", [*(star.args.get("except_") or ()), exp.to_identifier(column)])


def visible_ctes(sql: str, tables: Collection[str]) -> dict[str, list[str]]:
    """Table name -> the CTEs (`name AS (...)`, DuckDB text) that a reference to it can see, outermost first.

    Args:
        sql: DuckDB text.
        tables: unquoted names to look for.
    """
    try:
        root = parse_duckdb(sql)
    except SqlglotError:  # the WITH clauses stay unknown; the input may then not use them
        return {}
    found: dict[str, list[str]] = {}
    for node in root.find_all(exp.Table):
        if node.name in tables and not node.db:
            found[node.name] = _above(node)
    return found


def _above(node: exp.Expression) -> list[str]:
    ctes: list[str] = []
    inner: exp.Expression = node
    while (outer := inner.parent) is not None:
        clause = outer.args.get("with_") or outer.args.get("with")
        if isinstance(outer, exp.With):
            before = [c for c in outer.expressions if _precedes(c, inner, outer)]
            ctes = [to_duckdb(c.copy()) for c in before] + ctes
        elif isinstance(clause, exp.With) and clause is not inner:
            ctes = [to_duckdb(c.copy()) for c in clause.expressions] + ctes
        inner = outer
    return ctes


def _precedes(cte: exp.Expression, inner: exp.Expression, clause: exp.With) -> bool:
    order = list(clause.expressions)
    return any(c is inner for c in order) and order.index(cte) < next(i for i, c in enumerate(order) if c is inner)
