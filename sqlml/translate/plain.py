"""Plain DuckDB SQL: the text stays as the user wrote it; only what the hooks replace is spliced in."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import ParseError
from sqlml.translate.build import span_of, to_duckdb
from sqlml.translate.context import Context
from sqlml.translate.read import Reader
from sqlml.translate.tables import is_cte
from sqlml.translate.variables import variable

_ML = re.compile(r"\b(ML|AI)\s*\.\s*\w+\s*\(|__ml\d+", re.IGNORECASE)


def translate_plain(sql: str, context: Context) -> str:
    """`sql` with its table references and ML functions replaced where the hooks say so."""
    from sqlml.translate.rewrite import rewrite_ml

    if context.table is None and context.scalar is None and not context.variables:
        return sql
    reader = Reader("duckdb", context.offset)
    try:
        root = reader.statement(sql, marked=True)
    except ParseError:
        # sqlglot does not know all of DuckDB; without ML functions DuckDB judges the text itself.
        if _ML.search(sql):
            raise
        return sql
    edits: list[tuple[int, int, str]] = []
    for node in list(root.find_all(exp.Table)):
        span = span_of(node.this) if isinstance(node.this, exp.Identifier) and not is_cte(node) else None
        if span is None or context.table is None:
            continue
        first = span_of(node.parts[0]) or span
        bare = exp.Table(**{k: v.copy() for k, v in node.args.items() if k in ("this", "db", "catalog") and v})
        new = context.table(bare)
        if new is None or new is bare:
            continue
        if isinstance(new, exp.Query) and not isinstance(new, exp.Subquery):
            new = exp.Subquery(this=new)
        text = to_duckdb(new)
        if not node.args.get("alias") and not new.args.get("alias"):
            text += ' AS "' + node.name.replace('"', '""') + '"'
        edits.append((first.start, span.end, text))
    edits += rewrite_ml(root, sql, context)
    for column in root.find_all(exp.Column):
        value = variable(column, context) if context.variables else None
        place = span_of(column.parts[0]) if value is not None else None
        last = span_of(column.parts[-1])
        if value is not None and place is not None and last is not None:
            edits.append((place.start, last.end, to_duckdb(value)))
    for start, end, text in sorted(edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql
