"""PIVOT and UNPIVOT: DuckDB has both; the names and the order of the new columns differ."""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import integer_of, string_of
from sqlml.translate.context import Context


def _value_name(value: exp.Expression, context: Context) -> str:
    """The column name that a pivot value gives when it has no alias."""
    text = string_of(value)
    if text is not None:
        return text
    whole = integer_of(value)
    if whole is not None:
        return f"_{whole}" if whole >= 0 else f"minus_{-whole}"
    if isinstance(value, exp.Boolean):
        return "TRUE" if value.this else "FALSE"
    if isinstance(value, exp.Null):
        return "NULL"
    if isinstance(value, exp.Literal):
        return "_" + str(value.this).removesuffix("e0").replace(".", "_point_")
    if isinstance(value, exp.Cast) and string_of(value.this) is not None:
        return "_" + str(value.this.this).replace("-", "_")
    raise NotSupportedError("this value of PIVOT must have an alias.", span=context.span(value))


def rewrite_pivot(node: exp.Expression, context: Context) -> exp.Expression:
    """Gives every new column the name that GoogleSQL builds: prefix, underscore, value."""
    if node.args.get("unpivot"):
        return node
    aggregates = node.expressions
    prefixes = [a.alias if isinstance(a, exp.Alias) else "" for a in aggregates]
    renames: list[tuple[str, str]] = []
    for field in node.args.get("fields") or ():
        values = []
        for item in field.expressions:
            named = isinstance(item, exp.Alias | exp.PivotAlias)
            value = item.this if named else item
            name = (item.alias or item.args["alias"].name) if named else _value_name(value, context)
            title = f"{prefixes[0]}_{name}" if len(prefixes) == 1 and prefixes[0] else name
            values.append(exp.PivotAlias(this=value, alias=exp.to_identifier(title, quoted=True)))
            if len(prefixes) > 1:
                renames += [(f"{name}_{p}", f"{p}_{name}") for p in prefixes if p]
        field.set("expressions", values)
    if len(aggregates) == 1 and prefixes[0]:
        node.set("expressions", [aggregates[0].this])
    if renames:
        node.meta["sqlml_renames"] = renames
    return node


def wrap_pivots(source: exp.Expression) -> exp.Expression:
    """`source PIVOT(...)` as a subquery where names or order need mending; else `source` itself."""
    pivots = source.args.get("pivots") or []
    if len(pivots) != 1:
        return source
    pivot = pivots[0]
    if pivot.args.get("unpivot"):
        star = _unpivot_star(pivot)
    else:
        renames = pivot.meta.get("sqlml_renames")
        star = _rename_star(renames) if renames else None
    if star is None:
        return source
    alias = pivot.args.get("alias")
    pivot.set("alias", None)
    inner = exp.Select(expressions=star)
    inner.set("from_", exp.From(this=source.copy()))
    return exp.Subquery(this=inner, alias=alias.copy() if alias is not None else None)


def _rename_star(renames: list[tuple[str, str]]) -> list[exp.Expression]:
    pairs = [
        exp.alias_(exp.to_identifier(old, quoted=True), new, quoted=True)
        for old, new in renames
        if old.lower() != new.lower()
    ]
    return [exp.Star(rename=pairs)]


def _unpivot_star(pivot: exp.Expression) -> list[exp.Expression] | None:
    """GoogleSQL puts the name column last, DuckDB before the values."""
    fields = pivot.args.get("fields") or []
    if len(fields) != 1 or not isinstance(fields[0].this, exp.Expression):
        return None
    name = fields[0].this.name
    star = exp.Star(except_=[exp.to_identifier(name, quoted=True)])
    return [star, exp.column(exp.to_identifier(name, quoted=True))]
