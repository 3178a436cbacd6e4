"""Operators, literals, structs, arrays and subscripts."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import (
    call,
    cast,
    error,
    integer_of,
    kind_of,
    literal,
    string_of,
    tag,
    template,
    wrap,
)
from sqlml.translate.context import Context
from sqlml.translate.intervals import rewrite_interval
from sqlml.translate.types import convert
from sqlml.translate.unnest import struct_type
from sqlml.translate.variables import system_variable, variable
from sqlml.translate.zones import to_local

RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from
    group having in initially intersect into lambda lateral leading limit not null offset on only or
    order pivot pivot_longer pivot_wider placing primary qualify references returning select show
    some summarize symmetric table then to trailing true union unique unpivot using variadic when
    where window with anti asof at authorization binary by collation concurrently cross freeze full
    generated glob ilike inner is isnull join left like natural notnull outer overlaps positional
    right semi similar tablesample try_cast unpack verbose columns""".split()
)
"""Words that DuckDB does not take as a bare name."""

CONDITIONS = (
    exp.Not,
    exp.And,
    exp.Or,
    exp.EQ,
    exp.NEQ,
    exp.GT,
    exp.GTE,
    exp.LT,
    exp.LTE,
    exp.Is,
    exp.Between,
)
_SURE_LENGTH = "sqlml_never_empty"


def _identifier(node: exp.Expression, context: Context) -> exp.Expression:
    if not node.args.get("quoted") and str(node.this).lower() in RESERVED:
        node.set("quoted", True)
    return node


def _literal(node: exp.Expression, context: Context) -> exp.Expression:
    if node.is_string:
        return tag(node, "string")
    text: str = node.this
    if text.isdigit():
        return tag(node, "int")
    if "e" not in text.lower():
        whole, _, part = text.partition(".")
        text = f"{whole or '0'}.{part or '0'}e0"
    node.set("this", text)
    return tag(node, "float")


def wide(node: exp.Expression) -> exp.Expression:
    """An integer literal as INT64: DuckDB would take 1 as a 32-bit number."""
    bare = node.this if isinstance(node, exp.Paren) else node
    inner = bare.this if isinstance(bare, exp.Neg) else bare
    if isinstance(inner, exp.Literal) and not inner.is_string and inner.this.isdigit():
        if bare is not inner and int(inner.this) > 9223372036854775807:
            return node
        return tag(cast(node, "BIGINT"), "int")
    return node


def _widen(node: exp.Expression | None) -> None:
    """Puts the INT64 form of a literal in the place of `node`."""
    if node is None:
        return
    parent, key, index = node.parent, node.arg_key, node.index
    new = wide(node)
    if new is not node and parent is not None and key is not None:
        parent.set(key, new, index)


def _raw_string(node: exp.Expression, context: Context) -> exp.Expression:
    return literal(node.this)


def _byte_string(node: exp.Expression, context: Context) -> exp.Expression:
    values = str(node.this).encode("latin-1")  # as `literals.decode` gives it
    data = "".join(f"\\x{b:02X}" if b < 32 or b > 126 or b in (39, 92) else chr(b) for b in values)
    return tag(cast(literal(data), "BLOB"), "bytes")


def _neg(node: exp.Expression, context: Context) -> exp.Expression:
    kind = kind_of(node.this)
    return tag(node, kind) if kind else node


def _arithmetic(node: exp.Expression, context: Context) -> exp.Expression:
    kinds = (kind_of(node.this), kind_of(node.expression))
    if isinstance(node, exp.Add | exp.Sub) and kinds[0] == "date" and kinds[1] == "int":
        node.set("expression", cast(node.expression, "INTEGER"))
        return tag(node, "date")
    if kinds == ("int", "int"):
        _widen(node.this)
        return tag(node, "int")
    if "float" in kinds and None not in kinds:
        return tag(node, "float")
    return (context.sums.rewritten(node) if context.sums is not None else None) or node


def _division(node: exp.Expression, context: Context) -> exp.Expression:
    return divide(node.this, node.expression)


def divide(above: exp.Expression, below: exp.Expression) -> exp.Expression:
    """`above / below` as FLOAT64; division by zero is an error as in GoogleSQL."""
    known = below.this if isinstance(below, exp.Paren | exp.Neg) else below
    if isinstance(known, exp.Literal) and not known.is_string and float(known.this) != 0:
        return tag(template("{0} / {1}", above, below), "float")
    checked = template("CASE WHEN {0} = 0 THEN error('division by zero') ELSE {1} / {0} END", below, above)
    return tag(checked, "float")


def _pipe(node: exp.Expression, context: Context) -> exp.Expression:
    return tag(node, kind_of(node.this) or "string")


def _condition(node: exp.Expression, context: Context) -> exp.Expression:
    return tag(node, "bool")


def _bracket(node: exp.Expression, context: Context) -> exp.Expression:
    if len(node.expressions) != 1:
        raise ParseError("a subscript must be one expression.", span=context.span(node))
    index, base = node.expressions[0], node.this
    if (kind_of(base) or "").upper().startswith("STRUCT"):
        raise NotSupportedError("a field of a STRUCT must be read by its name.", span=context.span(node))
    key = string_of(index)
    if key is not None:
        return tag(call("json_extract", base, '$."' + key.replace('"', '\\"') + '"'), "json")
    if isinstance(index, exp.Slice):
        raise NotSupportedError("a slice of an array must be written with ARRAY_SLICE.", span=context.span(node))
    if kind_of(base) == "json" or _read_as_json(node):
        return tag(template("json_extract({0}, '$[' || CAST({1} AS VARCHAR) || ']')", base, index), "json")
    return subscript(base, index, first=node.args.get("offset") or 0, safe=bool(node.args.get("safe")))


def _read_as_json(node: exp.Expression) -> bool:
    """Whether a subscript further out is a key, so that this one indexes JSON: `j.a[0]['b']`."""
    parent = node.parent
    while isinstance(parent, exp.Bracket) and len(parent.expressions) == 1:
        if string_of(parent.expressions[0]) is not None:
            return True
        parent = parent.parent
    return False


def subscript(base: exp.Expression, index: exp.Expression, *, first: int, safe: bool) -> exp.Expression:
    """The element of an array; out of bounds is NULL when `safe`, else an error."""
    at = integer_of(index)
    shift = 1 - first
    if at is not None:
        place: exp.Expression = literal(at + shift)
        outside = template(f"len({{0}}) < {at + shift}", base.copy())
    else:
        place = template("{0} + 1", index) if shift else index
        outside = template(f"{{1}} < {first} OR {{1}} >= len({{0}}) + {first}", base.copy(), index.copy())
    if at is not None and at + shift < 1:
        return exp.Null() if safe else error("Array index is out of bounds.")
    sure = base.meta.get(_SURE_LENGTH, 0)
    if at is not None and at + shift <= sure:
        return call("list_extract", base, place)
    if safe:
        if at is not None:
            return call("list_extract", base, place)
        return template("CASE WHEN {0} >= 1 THEN list_extract({1}, {0}) END", place, base)
    return template("CASE WHEN {0} THEN {1} ELSE {2} END", outside, error("Array index is out of bounds."),
                    call("list_extract", base, place))  # fmt: skip


def at_least(node: exp.Expression, length: int) -> exp.Expression:
    """Remember that an array, unless NULL, has at least `length` elements."""
    node.meta[_SURE_LENGTH] = length
    return node


def field_name(node: exp.Expression, at: int) -> str:
    """The name of an unnamed field of STRUCT(...): that of the column, else `_field_N`."""
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
        return str(node.name)
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        return str(node.expression.name)
    return f"_field_{at}"


def _struct(node: exp.Expression, context: Context) -> exp.Expression:
    fields = []
    for at, item in enumerate(node.expressions, 1):
        if isinstance(item, exp.PropertyEQ):
            name, value = item.this.name, item.expression
        elif isinstance(item, exp.Alias):
            name, value = item.alias, item.this
        else:
            name, value = field_name(item, at), item
        fields.append(exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=wide(value)))
    return tag(exp.Struct(expressions=fields), "struct")


def _array(node: exp.Expression, context: Context) -> exp.Expression:
    items = node.expressions
    if items and isinstance(items[0], exp.Query):
        return tag(node, "array")
    names: list[str] | None = None
    typed = struct_type(items[0]) if items else None
    for at, item in enumerate(items):
        if typed is not None and isinstance(item, exp.Tuple | exp.Struct):
            # [STRUCT<a INT64>(1), (2)]: the type of the first is that of all.
            items[at] = convert(item, typed)
            continue
        if isinstance(item, exp.Tuple):
            item = _struct(item, context)
            items[at] = item
        if isinstance(item, exp.Struct):
            if names is None:
                names = [f.this.name for f in item.expressions]
            elif len(names) == len(item.expressions):
                for field, name in zip(item.expressions, names, strict=True):
                    field.set("this", exp.to_identifier(name, quoted=True))
    new = [wide(item) for item in items]
    return tag(at_least(exp.Array(expressions=new), len(new)), "array")


def _in(node: exp.Expression, context: Context) -> exp.Expression:
    unnest = node.args.get("unnest")
    if not unnest:
        return tag(node, "bool")
    inner = unnest.expressions[0] if isinstance(unnest, exp.Unnest) else unnest
    if isinstance(inner, exp.Array) and inner.expressions and not isinstance(inner.expressions[0], exp.Query):
        return tag(exp.In(this=node.this, expressions=inner.expressions), "bool")
    text = "CASE WHEN {0} IS NOT NULL THEN coalesce(list_contains({1}, {0}), FALSE) END"
    return tag(template(text, node.this, inner), "bool")


def _like_array(node: exp.Expression) -> exp.Expression:
    """`x [NOT] LIKE ANY UNNEST(a)`."""
    word = "NOT LIKE" if node.args.get("negate") else "LIKE"
    array = node.expression.this.expressions[0]
    text = f"len(list_filter({{1}}, lambda pattern: {{0}} {word} pattern)) > 0"
    return tag(template(text, node.this, array), "bool")


def _like(node: exp.Expression, context: Context) -> exp.Expression:
    if isinstance(node.expression, exp.Any) and isinstance(node.expression.this, exp.Unnest):
        return _like_array(node)
    pattern = string_of(node.expression)
    if pattern is not None and "\\" in pattern and not isinstance(node.parent, exp.Escape):
        negate = bool(node.args.get("negate"))
        plain = exp.Escape(this=exp.Like(this=wrap(node.this), expression=node.expression), expression=literal("\\"))
        return tag(exp.Not(this=exp.Paren(this=plain)) if negate else plain, "bool")
    return tag(node, "bool")


def _case(node: exp.Expression, context: Context) -> exp.Expression:
    branches = [b.args.get("true") for b in node.args["ifs"]] + [node.args.get("default")]
    for branch in branches:
        _widen(branch)
    return _same_kind(node, branches)


def _same_kind(node: exp.Expression, values: list[exp.Expression | None]) -> exp.Expression:
    kinds = {kind_of(v) for v in values if v is not None and not isinstance(v, exp.Null)}
    if len(kinds) == 1 and None not in kinds:
        return tag(node, str(kinds.pop()))
    return node


def _dot(node: exp.Expression, context: Context) -> exp.Expression:
    """Field access on an expression; dotted names of columns and functions stay."""
    base, last = node.this, node.expression
    if isinstance(base, exp.Parameter) and isinstance(base.this, exp.Parameter):
        return system_variable(node, context)
    if isinstance(last, exp.Star):
        return call("unnest", base)
    if isinstance(last, exp.Anonymous) and isinstance(base, exp.Dot) and not isinstance(node.parent, exp.Dot):
        node.set("this", base.expression)  # project.dataset.function(...): there is one project
        return node
    if not isinstance(last, exp.Identifier) or isinstance(base, exp.Identifier | exp.Column | exp.Dot):
        return node
    if kind_of(base) == "json":
        return tag(call("json_extract", base, '$."' + last.name + '"'), "json")
    return call("struct_extract", base, last.name)


def _column(node: exp.Expression, context: Context) -> exp.Expression:
    if context.variables:
        value = variable(node, context)
        if value is not None:
            return value
    """`a.b.*` (a struct of a table's row) is unnested, as DuckDB stars take one name before them."""
    star = node.this
    if isinstance(star, exp.Star) and node.args.get("db") and not star.args.get("except_"):
        parts = [p for p in (node.args.get("catalog"), node.args.get("db"), node.args.get("table")) if p]
        return call("unnest", exp.column(parts[-1], *reversed(parts[:-1])))
    return node


def _json_literal(node: exp.Expression, context: Context) -> exp.Expression:
    return tag(cast(node.this, "JSON"), "json")


def _hex(node: exp.Expression, context: Context) -> exp.Expression:
    return tag(exp.Literal.number(int(str(node.this), 16)), "int")


def _now(type_name: str | None, kind: str) -> Callable[[exp.Expression, Context], exp.Expression]:
    def rule(node: exp.Expression, context: Context) -> exp.Expression:
        return current(type_name, kind, node.args.get("this"))

    return rule


def current(type_name: str | None, kind: str, zone: exp.Expression | None = None) -> exp.Expression:
    """CURRENT_DATE and its kin: now(), seen in a time zone and cut to a type."""
    if type_name is None:
        return tag(call("now"), kind)
    return tag(cast(to_local(call("now"), zone), type_name), kind)


RULES: dict[type[exp.Expression], Callable[[exp.Expression, Context], exp.Expression]] = {
    exp.Identifier: _identifier,
    exp.Literal: _literal,
    exp.RawString: _raw_string,
    exp.ByteString: _byte_string,
    exp.HexString: _hex,
    exp.Neg: _neg,
    exp.Add: _arithmetic,
    exp.Sub: _arithmetic,
    exp.Mul: _arithmetic,
    exp.Div: _division,
    exp.DPipe: _pipe,
    **dict.fromkeys(CONDITIONS, _condition),
    exp.Bracket: _bracket,
    exp.Struct: _struct,
    exp.Array: _array,
    exp.In: _in,
    exp.Like: _like,
    exp.Case: _case,
    exp.Dot: _dot,
    exp.Column: _column,
    exp.ParseJSON: _json_literal,
    exp.Interval: rewrite_interval,
    exp.CurrentTimestamp: _now(None, "timestamp"),
    exp.CurrentDate: _now("DATE", "date"),
    exp.CurrentDatetime: _now("TIMESTAMP", "datetime"),
    exp.CurrentTime: _now("TIME", "time"),
}
