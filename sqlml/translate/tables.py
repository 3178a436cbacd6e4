"""Names of tables: which are CTEs, which are arrays of a row, and how the rest maps to DuckDB."""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import call
from sqlml.translate.context import Context

PROJECT = "sqlml_project"
"""Key in the `meta` of a table of INFORMATION_SCHEMA: the first of four names, or ""."""
TARGET = "sqlml_target"
"""Key in the `meta` of a Table node that a statement creates, fills, changes or drops."""
_KEPT = ("pivots", "sample", "joins", "laterals")


def is_cte(node: exp.Expression) -> bool:
    """Whether a table name means a CTE that is visible where it stands."""
    if node.args.get("db") or not isinstance(node.this, exp.Identifier):
        return False
    name = node.name.lower()
    child: exp.Expression = node
    parent = node.parent
    inside: exp.Expression | None = None
    while parent is not None:
        if isinstance(parent, exp.CTE):
            inside = parent
        elif isinstance(parent, exp.With):
            for cte in parent.expressions:
                if cte is inside and not parent.args.get("recursive"):
                    break
                if cte.alias.lower() == name:
                    return True
        else:
            with_ = parent.args.get("with_")
            if with_ is not None and with_ is not child and any(c.alias.lower() == name for c in with_.expressions):
                return True
        child, parent = parent, parent.parent
    return False


def range_variables(select: exp.Expression) -> list[str]:
    """The lower-case names that FROM introduces in a SELECT (not those of outer queries)."""
    from_ = select.args.get("from_")
    items = [from_.this] if from_ is not None else []
    items += [j.this for j in select.args.get("joins") or ()]
    return [n for item in items for n in _names(item)]


def _names(item: exp.Expression) -> list[str]:
    alias = item.args.get("alias")
    names = [c.name.lower() for c in alias.args.get("columns") or ()] if isinstance(item, exp.Unnest) and alias else []
    if item.alias_or_name:
        names.append(item.alias_or_name.lower())
    for join in item.args.get("joins") or ():
        names += _names(join.this)
    return names


def unnest_path(node: exp.Expression) -> exp.Expression | None:
    """`FROM t, t.arr` and `FROM t.arr` inside a query over t: the path as UNNEST(t.arr), else None."""
    if not isinstance(node, exp.Table) or node.meta.get("quoted_table") or node.args.get("version"):
        return None
    parts = [p for p in node.parts if isinstance(p, exp.Identifier)]
    if len(parts) < 2 or len(parts) != len(node.parts):
        return None
    first = parts[0].name.lower()
    scope = node.find_ancestor(exp.Select)
    while scope is not None:
        if first in (n for n in range_variables(scope) if n != node.alias_or_name.lower() or len(parts) > 1):
            own = [n for n in range_variables(scope) if n == first]
            if own:
                break
        scope = scope.find_ancestor(exp.Select)
    if scope is None:
        return None
    column = exp.column(parts[1].copy(), table=parts[0].copy())
    path: exp.Expression = column if len(parts) == 2 else exp.Dot.build([column, *(p.copy() for p in parts[2:])])
    alias = node.args.get("alias")
    name = alias.this if alias is not None and alias.this else parts[-1].copy()
    return exp.Unnest(expressions=[path], alias=exp.TableAlias(columns=[name]))


def mark_targets(root: exp.Expression) -> None:
    """Marks the tables that a statement writes, and the objects that it creates or drops."""
    node = root.this if isinstance(root, exp.Create | exp.Drop | exp.DML | exp.Alter) else None
    if isinstance(node, exp.Schema):
        node = node.this
    found = [node] if isinstance(node, exp.Table) else []
    if isinstance(root, exp.Delete | exp.Drop):
        found += root.args.get("tables") or []
    if isinstance(root, exp.TruncateTable):
        found = root.expressions
    for table in found:
        if isinstance(table, exp.Table):
            table.meta[TARGET] = True


def rewrite_table(node: exp.Expression, context: Context) -> exp.Expression:
    """A table reference through the caller's hook, else by its parts."""
    if isinstance(node.this, exp.Anonymous):
        if str(node.this.this).startswith(("ML.", "AI.")):
            raise ParseError(f"{node.this.this} must not stand here.", span=context.span(node))
        return node
    if not isinstance(node, exp.Table) or node.this is None or is_cte(node):
        return node
    node.set("version", None)
    _split_information_schema(node)
    new = context.table(node) if context.table else None
    if new is None:
        return _default(node, context)
    return _dressed(node, new)


def _split_information_schema(node: exp.Table) -> None:
    """sqlglot keeps INFORMATION_SCHEMA.X as one name; it is two."""
    name = node.name
    head, dot, tail = name.partition(".")
    if dot and head.upper() == "INFORMATION_SCHEMA":
        node.meta[PROJECT] = node.catalog  # a fourth part, for which a Table has no room
        node.set("catalog", node.args.get("db"))
        node.set("db", exp.to_identifier(head))
        node.set("this", exp.to_identifier(tail))


def _default(node: exp.Table, context: Context) -> exp.Expression:
    if not isinstance(node.this, exp.Identifier):
        raise NotSupportedError("the name of a table must have at most three parts.", span=context.span(node))
    if "*" in node.name:
        raise NotSupportedError(f"the wildcard table {node.name} is not available here.", span=context.span(node))
    for part in node.parts:
        part.set("quoted", True)
    if node.args.get("db") is not None and node.db.upper() == "INFORMATION_SCHEMA":
        node.set("catalog", None)
    return node


def _dressed(node: exp.Table, new: exp.Expression) -> exp.Expression:
    """The caller's replacement, under the name that the user's columns go by."""
    alias = node.args.get("alias")
    target = node.meta.get(TARGET) and not isinstance(node.parent, exp.Merge | exp.Update | exp.Delete)
    if new is node:
        for part in node.parts:
            part.set("quoted", True)
        return node
    if isinstance(new, exp.Query) and not isinstance(new, exp.Subquery):
        new = exp.Subquery(this=new)
    if isinstance(new, exp.Func) and not isinstance(new, exp.Table):
        new = exp.Table(this=new)
    if alias is not None:
        new.set("alias", alias)
    elif not target and not new.args.get("alias") and new.name.lower() != node.name.lower():
        new.set("alias", exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)))
    for key in _KEPT:
        if node.args.get(key) and not new.args.get(key):
            new.set(key, node.args[key])
    return new


def random_column(name: str) -> exp.Expression:
    """`random() AS name`."""
    return exp.alias_(call("random"), name, quoted=True)
