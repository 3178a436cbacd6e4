"""CREATE, INSERT, UPDATE, DELETE, MERGE: clauses that mean nothing on one machine are dropped with a notice."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import cast
from sqlml.translate.context import Context
from sqlml.translate.descriptions import FIELD, clauses, column_options, comment, description, probe, set_options
from sqlml.translate.exports import rewrite_export
from sqlml.translate.types import rewrite_type_definition

_KEPT_PROPERTIES = (exp.TemporaryProperty, exp.SequenceProperties)
_KEPT_CONSTRAINTS = (exp.NotNullColumnConstraint, exp.DefaultColumnConstraint)


def _create(node: exp.Expression, context: Context) -> exp.Expression:
    kind = str(node.args.get("kind") or "").upper()
    if kind == "INDEX":
        hint = "leave it out: columns are stored with the range of their values, which scans use."
        raise NotSupportedError("CREATE INDEX is not available.", span=context.span(node), hint=hint)
    properties = node.args.get("properties")
    kept: list[exp.Expression] = []
    like: exp.Expression | None = None
    for item in properties.expressions if properties is not None else ():
        if isinstance(item, exp.ExternalProperty):
            raise NotSupportedError("CREATE EXTERNAL TABLE is not available.", span=context.span(node.this))
        if isinstance(item, _KEPT_PROPERTIES):
            kept.append(item)
        if isinstance(item, exp.LikeProperty):
            like = item.this
    node.set("properties", exp.Properties(expressions=kept) if kept else None)
    if properties is not None:
        _options(node, kind, properties.expressions, context)
    if kind == "TABLE":
        _source(node, like)
        _type_nulls(node.args.get("expression"))
    if kind in ("TABLE", "VIEW") and node.args.get("expression") is None and not isinstance(node.this, exp.Schema):
        rule = "columns or AS and a query" if kind == "TABLE" else "AS and a query"
        raise ParseError(f"CREATE {kind} must go on with {rule} after the name.", span=context.span(node.this))
    if isinstance(node.this, exp.Schema):
        for part in node.this.expressions:
            _refuse_enforced(part, context)
        columns = [c for c in node.this.expressions if isinstance(c, exp.ColumnDef | exp.Identifier)]
        _describe_columns(node.this.this, columns, context)
        if columns:
            node.this.set("expressions", columns)
        else:
            node.set("this", node.this.this)
    if node.args.get("exists") and context.after.comments:
        context.after.probe, context.after.creates = probe(node.this.find(exp.Table) or node.this), True
    return node


def _options(node: exp.Expression, kind: str, properties: list[exp.Expression], context: Context) -> None:
    of = f"CREATE {kind}"
    clauses(properties, of)
    for text in description(properties, kind, of, context):
        target = node.this.this if isinstance(node.this, exp.Schema) else node.this
        context.after.comments.append(comment(kind, target, text))


def _describe_columns(table: exp.Expression, columns: list[exp.Expression], context: Context) -> None:
    for column in columns:
        for text in column.meta.get(FIELD, ()):
            context.after.comments.append(comment("COLUMN", table, text, column.name))


def _refuse_enforced(part: exp.Expression, context: Context) -> None:
    """Keys are notes for the reader, as in BigQuery; a rule that would have to be checked is refused."""
    for found in part.walk():
        if isinstance(found, exp.CheckColumnConstraint | exp.UniqueColumnConstraint):
            word = "CHECK" if isinstance(found, exp.CheckColumnConstraint) else "UNIQUE"
            hint = "check the rows with ASSERT after loading them."
            raise NotSupportedError(f"{word} in CREATE TABLE is not available.", span=context.span(part), hint=hint)
        keys = (exp.PrimaryKey, exp.PrimaryKeyColumnConstraint, exp.Reference)
        if isinstance(found, keys) and "NOT ENFORCED" not in (found.args.get("options") or ()):
            word = "REFERENCES" if isinstance(found, exp.Reference) else "PRIMARY KEY"
            text = f"{word} must end with NOT ENFORCED: keys are not checked."
            raise NotSupportedError(text, span=context.span(part))


def _source(node: exp.Expression, like: exp.Expression | None) -> None:
    """CREATE TABLE a LIKE b, and CLONE or COPY b."""
    clone = node.args.get("clone")
    if clone is not None:
        node.set("clone", None)
        node.set("expression", exp.Select(expressions=[exp.Star()]).from_(clone.this, copy=False))
    elif like is not None:
        empty = exp.Select(expressions=[exp.Star()]).from_(like, copy=False)
        empty.set("limit", exp.Limit(expression=exp.Literal.number(0)))
        node.set("expression", empty)


def _type_nulls(query: exp.Expression | None) -> None:
    """A column that is only NULL is INT64; DuckDB would store a column without a type."""
    if isinstance(query, exp.Select):
        for item in query.expressions:
            if isinstance(item, exp.Alias) and isinstance(item.this, exp.Null):
                item.set("this", cast(exp.Null(), "BIGINT"))


def _column_definition(node: exp.Expression) -> None:
    constraints = node.args.get("constraints") or []
    node.set("constraints", [c for c in constraints if isinstance(c.args.get("kind"), _KEPT_CONSTRAINTS)])


def _column(node: exp.Expression, context: Context) -> exp.Expression:
    _refuse_enforced(node, context)
    column_options(node, context)
    _column_definition(node)
    return rewrite_type_definition(node, context)


def _update(node: exp.Expression, context: Context) -> exp.Expression:
    """SET alias.column = ...: DuckDB wants the bare column."""
    merge = node.find_ancestor(exp.Merge) if node.this is None else None  # WHEN MATCHED THEN UPDATE has no table
    target = merge.this if merge is not None else node.this
    for item in node.expressions:
        if isinstance(item, exp.EQ) and isinstance(item.this, exp.Column) and item.this.args.get("table"):
            names = {target.alias_or_name.lower(), target.name.lower()}
            if item.this.table.lower() in names and not item.this.args.get("db"):
                item.this.set("table", None)
    return node


def _delete(node: exp.Expression, context: Context) -> exp.Expression:
    """`DELETE t WHERE ...` without FROM."""
    tables = node.args.get("tables")
    if not node.this and tables:
        node.set("this", tables[0])
        node.set("tables", None)
    return node


def _alter(node: exp.Expression, context: Context) -> exp.Expression:
    """ALTER ... SET OPTIONS, and the descriptions of new columns."""
    actions = node.args.get("actions") or []
    if len(actions) == 1 and isinstance(actions[0], exp.AlterSet):
        return set_options(node, context)
    _describe_columns(node.this, [a for a in actions if isinstance(a, exp.ColumnDef)], context)
    return node


RULES: dict[type[exp.Expression], Callable[[exp.Expression, Context], exp.Expression]] = {
    exp.Create: _create,
    exp.ColumnDef: _column,
    exp.Update: _update,
    exp.Delete: _delete,
    exp.Alter: _alter,
    exp.Export: rewrite_export,
}
