"""SELECT: what GoogleSQL's clauses mean beyond the functions in them.

`prepare` sees the tree as the user wrote it; `RULES` see nodes whose children are already DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate import aggregates, pivots
from sqlml.translate.build import cast
from sqlml.translate.context import Context
from sqlml.translate.dates import rewrite_extract
from sqlml.translate.expressions import wide
from sqlml.translate.misplaced import MARK
from sqlml.translate.tables import random_column, rewrite_table, unnest_path
from sqlml.translate.types import positional
from sqlml.translate.unnest import flatten, rewrite_unnest

_RANDOM = "__sqlml_random"
_ANALYTIC = frozenset(
    "RANK DENSE_RANK ROW_NUMBER NTILE PERCENT_RANK CUME_DIST LAG LEAD FIRST_VALUE LAST_VALUE NTH_VALUE".split()
)


def is_aggregate(node: exp.Expression) -> bool:
    """Whether `node` (as the user wrote it) is a call of an aggregate function, not an analytic one."""
    if not isinstance(node, exp.Anonymous) or not isinstance(node.this, str) or not node.this.startswith(MARK):
        return False
    name = node.this[len(MARK) :].upper().removeprefix("SAFE.")
    if name not in aggregates.FUNCTIONS or name in _ANALYTIC:
        return False
    parent = node.parent
    return not (isinstance(parent, exp.Window) and parent.this is node)


def has_aggregate(node: exp.Expression) -> bool:
    """Whether an aggregate is called inside `node`, subqueries left out."""
    return any(is_aggregate(n) for n in node.walk(prune=lambda n: isinstance(n, exp.Query)))


def prepare(root: exp.Expression, *, names: bool = True) -> None:
    """Makes explicit what GoogleSQL leaves implicit: array paths, names of columns, aliases in GROUP BY."""
    for table in list(root.find_all(exp.Table)):
        path = unnest_path(table)
        if path is not None:
            table.replace(path)
    for select in list(root.find_all(exp.Select)):
        if names and _shows_columns(select) and _gives_names(select):
            _name_columns(select)
        _resolve_aliases(select)


def _outermost(select: exp.Expression) -> exp.Expression:
    """The set operation that `select` is a branch of, or itself."""
    node = select
    while isinstance(node.parent, exp.SetOperation) or (
        isinstance(node.parent, exp.Subquery) and isinstance(node.parent.parent, exp.SetOperation)
    ):
        node = node.parent
    return node


def _gives_names(select: exp.Expression) -> bool:
    """Whether a SELECT is not the right-hand side of a set operation, whose names come from the left."""
    node = select
    while isinstance(node.parent, exp.SetOperation | exp.Subquery):
        if isinstance(node.parent, exp.SetOperation) and node.parent.expression is node:
            return False
        node = node.parent
    return True


def _shows_columns(select: exp.Expression) -> bool:
    """Whether the columns of a SELECT get names: not those of scalar subqueries, IN, EXISTS and ARRAY."""
    parent = _outermost(select).parent
    if isinstance(parent, exp.Subquery):
        parent = parent.parent
    return parent is None or isinstance(parent, exp.From | exp.Join | exp.CTE | exp.DDL | exp.DML | exp.Subquery)


def _name_columns(select: exp.Expression) -> None:
    """Columns without a name are f0_, f1_, ... as the service shows them."""
    count = 0
    items = select.expressions
    for at, item in enumerate(items):
        bare = item.unnest() if isinstance(item, exp.Paren) else item
        if isinstance(bare, exp.Dot) and isinstance(bare.expression, exp.Identifier):
            items[at] = exp.alias_(item, bare.expression.name, quoted=True, copy=False)
        elif isinstance(bare, exp.Alias | exp.Column | exp.Star | exp.Aliases) or bare.is_star:
            continue
        else:
            items[at] = exp.alias_(item, f"f{count}_", copy=False)
            count += 1
    select.set("expressions", items)


def _resolve_aliases(select: exp.Expression) -> None:
    """In GROUP BY and HAVING an alias of the SELECT list wins over a column (in DuckDB the column wins)."""
    group, having = select.args.get("group"), select.args.get("having")
    if group is None and having is None:
        return
    aliases: dict[str, tuple[int, exp.Expression]] = {}
    starred = False
    for at, item in enumerate(select.expressions, 1):
        starred = starred or item.is_star
        if isinstance(item, exp.Alias):
            aliases.setdefault(item.alias.lower(), (0 if starred else at, item.this))
    if group is not None:
        for key in ("expressions", "rollup", "cube", "grouping_sets"):
            for column in list(group.args.get(key) or ()):
                _group_alias(column, aliases, ordinal=key == "expressions")
    if having is not None:
        for column in list(having.find_all(exp.Column)):
            _having_alias(column, having, aliases)


def _group_alias(node: exp.Expression, aliases: dict[str, tuple[int, exp.Expression]], *, ordinal: bool) -> None:
    columns = [node] if isinstance(node, exp.Column) else list(node.find_all(exp.Column)) if not ordinal else []
    for column in columns:
        at, value = aliases.get(column.name.lower(), (0, None))
        if column.args.get("table") or value is None or isinstance(value, exp.Column | exp.Literal):
            if isinstance(value, exp.Column) and not column.args.get("table") and value.sql() != column.sql():
                column.replace(value.copy())
            continue
        if has_aggregate(value) or value.find(exp.Window):
            continue
        column.replace(exp.Literal.number(at) if ordinal and at else exp.Paren(this=value.copy()))


def _having_alias(column: exp.Column, having: exp.Expression, aliases: dict[str, tuple[int, exp.Expression]]) -> None:
    _, value = aliases.get(column.name.lower(), (0, None))
    if value is None or column.args.get("table") or not has_aggregate(value):
        return
    parent = column.parent
    while parent is not None and parent is not having:
        if is_aggregate(parent) or isinstance(parent, exp.Query):
            return
        parent = parent.parent
    column.replace(exp.Paren(this=value.copy()))


def _select(node: exp.Expression, context: Context) -> exp.Expression:
    for item in node.expressions:
        if isinstance(item, exp.Alias):
            item.set("this", wide(item.this))
    flatten(node)
    _hoist_random(node)
    kind = node.args.get("kind")
    if not kind:
        return node
    node.set("kind", None)
    as_rows = _shows_columns(node)
    if str(kind).upper() == "VALUE":
        value = node.expressions[0].unalias()
        if as_rows and isinstance(value, exp.Struct):
            node.set("expressions", [exp.alias_(f.expression, f.this.name, quoted=True) for f in value.expressions])
        return node
    if as_rows:
        return node
    _name_fields(node)
    outer = exp.Select(expressions=[exp.column("__row")])
    rows = exp.Subquery(this=node.copy(), alias=exp.TableAlias(this=exp.to_identifier("__row")))
    outer.set("from_", exp.From(this=rows))
    return outer


def _name_fields(select: exp.Expression) -> None:
    """Unnamed fields of SELECT AS STRUCT."""
    items = select.expressions
    for at, item in enumerate(items):
        if not isinstance(item, exp.Alias | exp.Column | exp.Star | exp.Dot):
            items[at] = exp.alias_(wide(item), f"_field_{at + 1}", quoted=True)
    select.set("expressions", items)


def _own_windows(select: exp.Expression) -> list[exp.Expression]:
    """Windows of this SELECT, not of its subqueries."""
    found: list[exp.Expression] = []
    clauses = [*select.expressions, select.args.get("qualify"), select.args.get("order")]
    for clause in clauses:
        if clause is not None:
            found += [n for n in clause.walk(prune=lambda n: isinstance(n, exp.Query)) if isinstance(n, exp.Window)]
    return found


def _hoist_random(select: exp.Expression) -> None:
    """ORDER BY RAND() inside a window: DuckDB refuses it there, so each row draws its number before."""
    draws = [
        call_
        for window in _own_windows(select)
        for call_ in (window.args.get("order") or exp.Null()).find_all(exp.Anonymous)
        if call_.this == "random"
    ]
    from_ = select.args.get("from_")
    if not draws or from_ is None:
        return
    source = from_.this
    inner = exp.Select(expressions=[exp.Star(), random_column(_RANDOM)])
    name = source.alias_or_name
    inner.set("from_", exp.From(this=source.copy()))
    alias = exp.TableAlias(this=exp.to_identifier(name or "__rows", quoted=True))
    source.replace(exp.Subquery(this=inner, alias=alias))
    for draw in draws:
        draw.replace(exp.column(_RANDOM, quoted=True))
    for item in select.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star) and (not isinstance(item, exp.Column) or item.table.lower() == name.lower()):
            hidden = [*(star.args.get("except_") or []), exp.to_identifier(_RANDOM, quoted=True)]
            star.set("except_", hidden)


def _set_operation(node: exp.Expression, context: Context) -> exp.Expression:
    """Fields of a STRUCT take their names from the first branch; DuckDB matches them by name."""
    if node.args.get("by_name"):
        side = str(node.args.get("side") or node.args.get("kind") or "").upper()
        if not isinstance(node, exp.Union) or side in ("INNER", "LEFT") or node.args.get("on"):
            raise NotSupportedError("only UNION [ALL] BY NAME over all columns is available.", span=context.span(node))
        node.set("side", None)
        node.set("kind", None)
    left, right = node.this, node.expression
    while isinstance(left, exp.SetOperation | exp.Subquery):
        left = left.this
    while isinstance(right, exp.Subquery):
        right = right.this
    if isinstance(left, exp.Select) and isinstance(right, exp.Select):
        for first, other in zip(left.expressions, right.expressions, strict=False):
            _same_fields(first.unalias(), other.unalias())
    return node


def _same_fields(first: exp.Expression, other: exp.Expression) -> None:
    """Gives the structs of `other` the names of those of `first`."""
    if isinstance(first, exp.Cast):
        kind = first.args["to"].args.get("kind")
        if (
            isinstance(kind, str)
            and kind.startswith("STRUCT(")
            and isinstance(other, exp.Struct | exp.Tuple | exp.Array)
        ):
            other.replace(cast(positional(other.copy(), nested=kind.endswith("[]")), kind))
        return
    if isinstance(first, exp.Array) and isinstance(other, exp.Array) and first.expressions:
        for item in other.expressions:
            _same_fields(first.expressions[0], item)
        return
    if not isinstance(first, exp.Struct) or not isinstance(other, exp.Struct):
        return
    if len(first.expressions) == len(other.expressions):
        for known, field in zip(first.expressions, other.expressions, strict=True):
            field.set("this", known.this.copy())
            _same_fields(known.expression, field.expression)


def _window(node: exp.Expression, context: Context) -> exp.Expression:
    inner = node.this
    if isinstance(inner, exp.Anonymous) and inner.this == "sum":
        return aggregates.sum_over(node)
    return node


def _from(node: exp.Expression, context: Context) -> exp.Expression:
    source = node.this
    mended = pivots.wrap_pivots(source)
    if mended is not source:
        node.set("this", mended)
    return node


def _join(node: exp.Expression, context: Context) -> exp.Expression:
    """`LEFT JOIN UNNEST(...)` needs no ON in GoogleSQL."""
    _from(node, context)
    if node.args.get("on") is None and not node.args.get("using") and node.meta.get("sqlml_unnest"):
        if node.side:
            node.set("on", exp.true())
        else:
            node.set("kind", "CROSS")
    return node


def _parameter(node: exp.Expression, context: Context) -> exp.Expression:
    name = node.this.name if isinstance(node.this, exp.Expression) else str(node.this)
    if name.isdigit():
        return exp.Parameter(this=exp.Literal.number(name))
    return node


def _unnest(node: exp.Expression, context: Context) -> exp.Expression:
    if isinstance(node.parent, exp.In | exp.Any):
        return node
    if isinstance(node.parent, exp.Join):
        node.parent.meta["sqlml_unnest"] = True
    return rewrite_unnest(node, context.span(node))


RULES: dict[type[exp.Expression], Callable[[exp.Expression, Context], exp.Expression]] = {
    exp.Select: _select,
    exp.Union: _set_operation,
    exp.Intersect: _set_operation,
    exp.Except: _set_operation,
    exp.Window: _window,
    exp.From: _from,
    exp.Join: _join,
    exp.Table: rewrite_table,
    exp.Unnest: _unnest,
    exp.Extract: rewrite_extract,
    exp.Parameter: _parameter,
    exp.Pivot: pivots.rewrite_pivot,
}
