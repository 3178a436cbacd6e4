"""OPTIONS(...), PARTITION BY and the like: descriptions are kept as DuckDB's comments, the rest is told to be idle."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from sqlml.errors import OptionError, did_you_mean, notice
from sqlml.schema import quote_literal
from sqlml.translate.altered import COLUMN, SCHEMA
from sqlml.translate.build import parse_duckdb, string_of, to_duckdb
from sqlml.translate.context import Context

FIELD = "sqlml_description"
"""Key in the `meta` of a column's definition: its OPTIONS(description = ...), as a list of one or no expression."""
_TABLE = """description friendly_name labels tags expiration_timestamp partition_expiration_days kms_key_name
    require_partition_filter default_rounding_mode enable_change_history max_staleness storage_uri
    enable_fine_grained_mutations file_format table_format""".split()
_VIEW = """description friendly_name labels tags expiration_timestamp privacy_policy enable_refresh kms_key_name
    refresh_interval_minutes max_staleness allow_non_incremental_definition""".split()
_SCHEMA = """description friendly_name labels tags location default_kms_key_name default_partition_expiration_days
    default_rounding_mode default_table_expiration_days failover_reservation is_case_insensitive is_primary
    max_time_travel_hours primary_replica storage_billing_model""".split()
_PLACEHOLDER = re.compile(r"^__v\d+$")
_KNOWN = {
    "TABLE": _TABLE,
    "VIEW": _VIEW,
    "SCHEMA": _SCHEMA,
    "COLUMN": ["description", "rounding_mode", "data_policies"],
}
_WHY = {
    "PARTITION BY": "columns are stored with the range of their values, which scans use",
    "CLUSTER BY": "columns are stored with the range of their values, which scans use",
    "COLLATE": "strings are compared letter by letter; compare LOWER(...) where case must not count",
    "MATERIALIZED": "the view's query runs whenever the view is read",
    "EXPIRATION_TIMESTAMP": "nothing is dropped by itself",
    "PARTITION_EXPIRATION_DAYS": "nothing is deleted by itself",
    "DEFAULT_TABLE_EXPIRATION_DAYS": "nothing is dropped by itself",
    "DEFAULT_PARTITION_EXPIRATION_DAYS": "nothing is deleted by itself",
    "DESCRIPTION": "only tables, views and their columns keep one",
}


def idle(what: str, of: str) -> None:
    """A notice that a clause or option has no effect."""
    why = _WHY.get(what)
    notice(f"{what} of {of} has no effect here{f': {why}' if why else ''}.")


def clauses(properties: Iterable[exp.Expression], of: str) -> None:
    """Notices for what stands between the columns and the query of a CREATE and does nothing."""
    for item in properties:
        if isinstance(item, exp.PartitionedByProperty):
            idle("PARTITION BY", of)
        elif isinstance(item, exp.ClusterProperty | exp.Cluster):
            idle("CLUSTER BY", of)
        elif isinstance(item, exp.MaterializedProperty):
            idle("MATERIALIZED", of)
        elif isinstance(item, exp.CollateProperty):
            collation(item, of)


def collation(item: exp.Expression, of: str) -> None:
    """A notice for any collation but the binary one."""
    if string_of(item.this) not in ("", "binary"):
        idle("COLLATE", of)


def description(properties: Iterable[exp.Expression], kind: str, of: str, context: Context) -> list[str | None]:
    """The description among options, as a list of one or no text (None takes it away); notices for the others."""
    found: list[str | None] = []
    known = _KNOWN.get(kind)
    for item in properties:
        name = _name(item)
        if name is None:
            continue
        if known is not None and name not in known:
            hint = did_you_mean(name, known)
            raise OptionError(f"{name.upper()} is not an option of {of}.", span=context.span(item), hint=hint)
        if name == "description" and kind in ("TABLE", "VIEW", "COLUMN"):
            found = [_text(item.args["value"], of, context)]
        else:
            idle(name.upper(), of)
    return found


def _name(item: exp.Expression) -> str | None:
    if isinstance(item, exp.LocationProperty):
        return "location"
    if isinstance(item, exp.FileFormatProperty):
        return "file_format"
    return str(item.this.name).lower() if type(item) is exp.Property and isinstance(item.this, exp.Expression) else None


def _text(value: exp.Expression, of: str, context: Context) -> str | None:
    """A description: a string, a parameter that holds one, or None for NULL."""
    while isinstance(value, exp.Paren):
        value = value.this
    if isinstance(value, exp.Null):
        return None
    text: Any = value_of(value, context)
    if not isinstance(text, str):
        raise OptionError(
            f"DESCRIPTION of {of} must be a STRING that is written out, or a parameter.", span=context.span(value)
        )
    return text


def value_of(value: exp.Expression | None, context: Context) -> object:
    """The value of a string literal, a parameter, a script variable, or a sum of strings; else None."""
    if isinstance(value, exp.Parameter | exp.Placeholder):
        name = value.this.name if isinstance(value.this, exp.Expression) else str(value.this)
        return context.values.get(str(name).lower())
    if isinstance(value, exp.DPipe):
        left, right = value_of(value.this, context), value_of(value.expression, context)
        return left + right if isinstance(left, str) and isinstance(right, str) else None
    name = value.name.lower() if isinstance(value, exp.Column | exp.Var | exp.Identifier) else ""
    if name in context.variables:
        value = parse_duckdb(context.variables[name])
    while isinstance(value, exp.Cast | exp.Paren):
        value = value.this
    return string_of(value)


def column_options(node: exp.Expression, context: Context) -> None:
    """Takes the OPTIONS and COLLATE from a column's definition; its description stays in `meta`."""
    nested = node.find_ancestor(exp.DataType) is not None
    of = f"the {'field' if nested else 'column'} {node.name}"
    for part in node.args.get("constraints") or ():
        kind = part.args.get("kind")
        if isinstance(kind, exp.CollateColumnConstraint):
            collation(kind, of)
        if not isinstance(kind, exp.Properties):
            continue
        found = description(kind.expressions, "COLUMN", of, context)
        if nested and found:
            notice(f"DESCRIPTION of {of} has no effect here: only whole columns keep one.")
        elif found:
            node.meta[FIELD] = found


def comment(kind: str, table: exp.Expression, text: str | None, column: str | None = None) -> str:
    """COMMENT ON ... of a table, view or column."""
    bare = table.copy()
    bare.set("alias", None)
    name = to_duckdb(bare)
    if column is not None:
        kind, name = "COLUMN", f"{name}.{to_duckdb(exp.to_identifier(column, quoted=True))}"
    return f"COMMENT ON {kind} {name} IS {'NULL' if text is None else quote_literal(text)}"


def probe(table: exp.Table) -> str:
    """A query that has a row when the table or view exists; none may fail, which would end a transaction."""
    parts = [quote_literal(p.name.lower()) for p in table.parts]
    where = [f"lower(name) = {parts[-1]}"]
    if len(parts) == 1:
        where.append("(schema = current_schema() AND database = current_database() OR database = 'temp')")
    elif len(parts) == 2:  # the dataset, or a database whose first schema is meant
        where.append(f"(lower(schema) = {parts[0]} OR lower(database) = {parts[0]} AND schema = 'main')")
    else:
        where.append(f"lower(schema) = {parts[-2]} AND lower(database) = {parts[-3]}")
    both = (
        "SELECT database_name AS database, schema_name AS schema, table_name AS name FROM duckdb_tables()"
        " UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()"
    )
    return f"SELECT 1 FROM ({both}) WHERE {' AND '.join(where)} LIMIT 1"


def set_options(node: exp.Expression, context: Context) -> exp.Expression:
    """ALTER TABLE | VIEW | SCHEMA ... SET OPTIONS, and SET DEFAULT COLLATE: a query without rows over the object."""
    kind = str(node.args.get("kind") or "TABLE").upper()
    kind = "SCHEMA" if node.meta.get(SCHEMA) else kind
    column = node.meta.get(COLUMN)
    of = f"ALTER {kind}" if column is None else f"the column {column}"
    items = [i for p in node.args["actions"][0].expressions for i in (p.expressions or [p])]
    clauses(items, of)
    found = description(items, kind if column is None else "COLUMN", of, context)
    nothing = exp.Select(expressions=[exp.alias_(exp.true(), "done")]).where(exp.false(), copy=False)
    if kind == "SCHEMA":
        return nothing
    if _PLACEHOLDER.match(node.this.name):  # a view over ML functions, which the catalog keeps
        for _ in found:
            notice(f"DESCRIPTION of {of} has no effect here: views over ML functions keep none.")
        return nothing
    if node.args.get("exists"):
        context.after.probe = probe(node.this)
    context.after.comments += [comment(kind, node.this, text, column) for text in found]
    return nothing.from_(node.this, copy=False)
