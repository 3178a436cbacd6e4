"""UNNEST in FROM.

GoogleSQL's UNNEST(a) AS x is a table whose rows are the elements: `x` is the element, and when the
elements are structs their fields are columns, too. DuckDB must be told which of the two is meant.
Where the types are not written in the query, both are offered: the element under its name and the
fields beside it; only `SELECT *` could tell the difference.
"""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import ParseError, Span
from sqlml.translate.build import call
from sqlml.translate.build import template as _template

#: Key in the `meta` of a translated UNNEST: its array, or None where the flat form is not for it.
_ARRAY = "sqlml_array"
_SCALAR_ARRAYS = frozenset(
    """generate_series string_split regexp_extract_all list_transform range list_sort list_reverse_scalar
    json_extract_string""".split()
)


def struct_type(value: exp.Expression) -> str | None:
    """The type of a translated STRUCT<a INT64>(...) or of a cast to a struct; None for other values."""
    text = value.args["to"].args.get("kind") if isinstance(value, exp.Cast) else None
    return text if isinstance(text, str) and text.startswith("STRUCT(") and not text.endswith("]") else None


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
        return "struct" if isinstance(first, exp.Struct | exp.Tuple) or struct_type(first) else "scalar"
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


def rewrite_unnest(node: exp.Expression, span: Span | None = None) -> exp.Expression:
    """UNNEST(a) [AS x] [WITH OFFSET [AS o]] as a (lateral) subquery of DuckDB."""
    array = node.expressions[0]
    if isinstance(node.parent, exp.Alias) or (isinstance(node.parent, exp.Select) and node.arg_key == "expressions"):
        hint = "write FROM t, UNNEST(t.x) AS element, and select the element."
        raise ParseError("UNNEST must stand in FROM.", span=span, hint=hint)
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
    made = exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(title, quoted=True)))
    made.meta[_ARRAY] = array if name and not offset else None
    return made


def flatten(select: exp.Expression) -> None:
    """`FROM t, UNNEST(t.a) AS x` as one subquery over t that unnests in its SELECT list.

    DuckDB plans the lateral form as a join of the rows with themselves, on one thread. Queries in which the
    form could be told from the other keep it: stars, whole rows, names of three parts, an alias used twice.
    """
    from_, joins = select.args.get("from_"), select.args.get("joins") or []
    if from_ is None or not joins or joins[0].side or joins[0].args.get("on") is not None:
        return
    left, right = from_.this, joins[0].this
    array = right.meta.get(_ARRAY)
    if array is None or not isinstance(left, exp.Table | exp.Subquery) or _ARRAY in left.meta:
        return
    if left.args.get("joins") or left.args.get("laterals") or any(_is_star(item) for item in select.expressions):
        return
    # The name of a table is kept where columns use it only: it may be a placeholder of the caller.
    used = {c.parts[0].name.lower() for c in _columns(select, from_, joins[0])}
    title = left.alias or (left.name if left.name.lower() in used else "__sqlml_rows")
    name = right.alias.lower()
    aliases = [a.name.lower() for a in select.find_all(exp.TableAlias) if a.this is not None]
    if aliases.count(name) != 1 or not _flat(select, from_, joins[0], title.lower(), name):
        return
    element = exp.alias_(call("unnest", array.copy()), f"__sqlml_{name}", quoted=True)
    fields = _template("unnest({0}, max_depth := 2)", array.copy())
    joins.pop(0)
    inner = exp.Select(expressions=[exp.Star(), element, fields])
    inner.set("from_", exp.From(this=left.copy()))
    left.replace(exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(title, quoted=True))))
    _rename(select, select.args["from_"], name, f"__sqlml_{name}")


def _is_star(item: exp.Expression) -> bool:
    return isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))


def _columns(select: exp.Expression, *without: exp.Expression) -> list[exp.Expression]:
    """The columns in a SELECT that do not stand below the given nodes."""
    inside = {id(n) for w in without for n in w.walk()}
    return [c for c in select.find_all(exp.Column) if id(c) not in inside]


def _flat(select: exp.Expression, from_: exp.Expression, join: exp.Expression, title: str, name: str) -> bool:
    """Whether every column can be read from the flat form."""
    for column in _columns(select, from_, join):
        parts = [p.name.lower() for p in column.parts]
        nested = parts == [name] and column.find_ancestor(exp.Select) is not select
        if nested or parts == [title] or (len(parts) > 2 and parts[0] != name):
            return False
    return True


def _rename(select: exp.Expression, from_: exp.Expression, name: str, new: str) -> None:
    """The element goes by another name than any column."""
    shown = {item.alias_or_name.lower() for item in select.expressions}
    for column in _columns(select, from_):
        parts = column.parts
        order = column.parent.parent if isinstance(column.parent, exp.Ordered) else column.parent
        ordered = isinstance(order, exp.Order) and order.parent is select and len(parts) == 1
        if parts[0].name.lower() != name or (ordered and name in shown):
            continue
        if len(parts) == 2 and parts[1].name.lower() == name:
            written = parts[1].name
            column.set("table", None)
            column.set("this", exp.to_identifier(new, quoted=True))
            if column.parent is select:
                column.replace(exp.alias_(column.copy(), written, quoted=True))
        else:
            parts[0].replace(exp.to_identifier(new, quoted=True))


def _position(node: exp.Expression) -> int:
    """A number that tells nameless UNNESTs of one FROM apart."""
    parent = node.parent
    return (parent.index or 0) + 1 if isinstance(parent, exp.Join) else 0
