"""UNNEST in FROM.

GoogleSQL's UNNEST(a) AS x is a table whose rows are the elements: `x` is the element, and when the
elements are structs their fields are columns, too. DuckDB must be told which of the two is meant.
Where the types are not written in the query, both are offered: the element under its name and the
fields beside it; only `SELECT *` could tell the difference.
"""

from __future__ import annotations

from sqlglot import exp

from sqlml.translate.build import call
from sqlml.translate.build import template as _template

_SCALAR_ARRAYS = frozenset(
    """generate_series string_split regexp_extract_all list_transform range list_sort list_reverse_scalar
    json_extract_string""".split()
)


def element_kind(array: exp.Expression) -> str | None:
    """'struct' or 'scalar' when the text of an array says what its elements are."""
    while isinstance(array, exp.Paren):
        array = array.this
    if isinstance(array, exp.Cast):
        text = array.args["to"].args.get("kind")
        if isinstance(text, str) and text.endswith("[]"):
            return "struct" if text.startswith("STRUCT(") else "scalar"
        return element_kind(array.this) if text is None else None
    if isinstance(array, exp.Array) and array.expressions:
        first = array.expressions[0]
        if isinstance(first, exp.Select):
            from_ = first.args.get("from_")
            single = first.expressions[0] if len(first.expressions) == 1 else None
            if from_ is not None and from_.this.alias == "__row":
                return "struct"
            return "struct" if isinstance(single, exp.Struct) else None
        return "struct" if isinstance(first, exp.Struct | exp.Tuple) else "scalar"
    if isinstance(array, exp.Anonymous) and array.this in _SCALAR_ARRAYS:
        return "scalar"
    return None


def _is_starred(select: exp.Expression | None, name: str) -> bool:
    if select is None:
        return False
    for item in select.expressions:
        if isinstance(item, exp.Star):
            return True
        if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) and item.table.lower() == name:
            return True
    return False


def _has_fields(select: exp.Expression | None, name: str) -> bool:
    """Whether `name.field` (or `name.*`) is read anywhere below the SELECT."""
    if select is None:
        return False
    return any(c.parts[0].name.lower() == name and len(c.parts) > 1 for c in select.find_all(exp.Column) if name)


def _qualify(select: exp.Expression | None, unnest: exp.Expression, name: str) -> None:
    """A bare `x` is the element even where another table has a column of that name."""
    inside = {id(n) for n in unnest.walk()}
    for column in list(select.find_all(exp.Column)) if select is not None else ():
        bare = isinstance(column.this, exp.Identifier) and not column.args.get("table")
        if not bare or column.name.lower() != name.lower() or id(column) in inside:
            continue
        ordered = isinstance(column.parent, exp.Order | exp.Ordered)
        if not ordered and column.find_ancestor(exp.Select) is select:
            column.set("table", exp.to_identifier(name, quoted=True))


def rewrite_unnest(node: exp.Expression) -> exp.Expression:
    """UNNEST(a) [AS x] [WITH OFFSET [AS o]] as a (lateral) subquery of DuckDB."""
    array = node.expressions[0]
    alias = node.args.get("alias")
    names = (alias.args.get("columns") or ([alias.this] if alias.this else [])) if alias is not None else []
    name = names[0].name if names else ""
    select = node.find_ancestor(exp.Select)
    kind = element_kind(array)
    if kind is None and name and _is_starred(select, name.lower()):
        kind = "struct" if _has_fields(select, name.lower()) else "scalar"
    columns: list[exp.Expression] = []
    if name and kind != "struct":
        _qualify(select, node, name)
    if kind == "scalar" or (kind is None and name):
        columns.append(exp.alias_(call("unnest", array.copy()), name or "f0_", quoted=True))
    if kind != "scalar":
        columns.append(_template("unnest({0}, max_depth := 2)", array.copy()))
    offset = node.args.get("offset")
    if offset:
        counted = _template("generate_subscripts({0}, 1) - 1", array.copy())
        label = offset.name if isinstance(offset, exp.Expression) else "offset"
        columns.append(exp.alias_(counted, label, quoted=True))
    inner = exp.Select(expressions=columns)
    title = name or ("__unnest" if node.parent is None else f"__unnest_{_position(node)}")
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(title, quoted=True)))


def _position(node: exp.Expression) -> int:
    """A number that tells nameless UNNESTs of one FROM apart."""
    parent = node.parent
    return (parent.index or 0) + 1 if isinstance(parent, exp.Join) else 0
