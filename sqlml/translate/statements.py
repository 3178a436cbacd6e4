"""CREATE, INSERT, UPDATE, DELETE, MERGE: clauses of the service that mean nothing on one machine are dropped."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.context import Context

_KEPT_PROPERTIES = (exp.TemporaryProperty,)
_KEPT_CONSTRAINTS = (exp.NotNullColumnConstraint, exp.DefaultColumnConstraint)


def _create(node: exp.Expression, context: Context) -> exp.Expression:
    kind = str(node.args.get("kind") or "").upper()
    properties = node.args.get("properties")
    kept: list[exp.Expression] = []
    for item in properties.expressions if properties is not None else ():
        if isinstance(item, exp.ExternalProperty):
            raise NotSupportedError("CREATE EXTERNAL TABLE is not available.", span=context.span(node.this))
        if isinstance(item, _KEPT_PROPERTIES):
            kept.append(item)
    node.set("properties", exp.Properties(expressions=kept) if kept else None)
    if kind == "TABLE":
        _source(node)
    if isinstance(node.this, exp.Schema):
        columns = [c for c in node.this.expressions if isinstance(c, exp.ColumnDef | exp.Identifier)]
        if columns:
            node.this.set("expressions", columns)
        else:
            node.set("this", node.this.this)
    return node


def _source(node: exp.Expression) -> None:
    """CREATE TABLE a LIKE b, and CLONE or COPY b."""
    clone = node.args.get("clone")
    if clone is not None:
        node.set("clone", None)
        node.set("expression", exp.Select(expressions=[exp.Star()]).from_(clone.this, copy=False))


def _column_definition(node: exp.Expression) -> None:
    constraints = node.args.get("constraints") or []
    node.set("constraints", [c for c in constraints if isinstance(c.args.get("kind"), _KEPT_CONSTRAINTS)])


def _column(node: exp.Expression, context: Context) -> exp.Expression:
    from sqlml.translate.types import rewrite_type_definition

    _column_definition(node)
    return rewrite_type_definition(node, context)


def _update(node: exp.Expression, context: Context) -> exp.Expression:
    """SET alias.column = ...: DuckDB wants the bare column."""
    for item in node.expressions:
        if isinstance(item, exp.EQ) and isinstance(item.this, exp.Column) and item.this.args.get("table"):
            names = {node.this.alias_or_name.lower(), node.this.name.lower()}
            if item.this.table.lower() in names and not item.this.args.get("db"):
                item.this.set("table", None)
    return node


RULES: dict[type[exp.Expression], Callable[[exp.Expression, Context], exp.Expression]] = {
    exp.Create: _create,
    exp.ColumnDef: _column,
    exp.Update: _update,
}
