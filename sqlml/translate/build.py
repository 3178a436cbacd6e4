"""Small pieces of DuckDB syntax trees: calls, literals, casts, and templates with holes.

A template is DuckDB text in which `{0}`, `{1}` ... stand for arguments. It is parsed once and
copied for every use, so a rewrite reads like the SQL it produces. Nothing here knows GoogleSQL.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel

from sqlml.errors import Span
from sqlml.translate.misplaced import MARK
from sqlml.translate.read import mark_calls

_HOLE = re.compile(r"\{(\d+)\}")
_MARK = "__hole_"

KIND = "sqlml_kind"
"""Key in a node's `meta`: what is known of its type ('int', 'float', 'string', 'date', ...)."""

# Nodes that bind weaker than a postfix or an infix operator around them.
_LOOSE = (exp.Binary, exp.Unary, exp.Between, exp.In, exp.Interval, exp.Lambda, exp.Window, exp.Distinct)
_TIGHT = (exp.Dot, exp.Bracket, exp.Paren, exp.JSONExtract, exp.JSONExtractScalar)


def call(name: str, *args: exp.Expression | str | int) -> exp.Expression:
    """A function call that is printed as it stands; strings and integers become literals."""
    return exp.Anonymous(this=name, expressions=[literal(a) for a in args])


def literal(value: exp.Expression | str | int | bool) -> exp.Expression:
    """A string, integer or truth literal; a node is returned as it is."""
    if isinstance(value, exp.Expression):
        return value
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, str):
        return tag(exp.Literal.string(value), "string")
    if value < 0:
        return exp.Neg(this=exp.Literal.number(-value))
    return exp.Literal.number(value)


def cast(node: exp.Expression, type_name: str, *, safe: bool = False) -> exp.Expression:
    """CAST or TRY_CAST to a DuckDB type given as text."""
    kind = exp.TryCast if safe else exp.Cast
    return kind(this=node, to=duck_type(type_name))


def duck_type(text: str) -> exp.Expression:
    """A type name that is printed as it stands."""
    return exp.DataType(this=exp.DType.USERDEFINED, kind=text)


def tag(node: exp.Expression, kind: str) -> exp.Expression:
    """Remember what is known of the type of `node`."""
    node.meta[KIND] = kind
    return node


def kind_of(node: exp.Expression | None) -> str | None:
    """What is known of the type of `node`."""
    while isinstance(node, exp.Paren):
        node = node.this
    if node is None or not node._meta:
        return None
    found = node._meta.get(KIND)
    return found if isinstance(found, str) else None


def error(message: str) -> exp.Expression:
    """An expression that stops the query with a sentence."""
    return exp.Anonymous(this="error", expressions=[exp.Literal.string(message)])


def null() -> exp.Expression:
    """NULL."""
    return exp.Null()


def string_of(node: exp.Expression | None) -> str | None:
    """The value of a string literal, else None."""
    return node.this if isinstance(node, exp.Literal) and node.is_string else None


def integer_of(node: exp.Expression | None) -> int | None:
    """The value of an integer literal (also negative, also in a cast), else None."""
    if isinstance(node, exp.Paren | exp.Cast):
        return integer_of(node.this)
    if isinstance(node, exp.Neg):
        value = integer_of(node.this)
        return None if value is None else -value
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit():
        return int(node.this)
    return None


def wrap(node: exp.Expression) -> exp.Expression:
    """Parentheses around anything that is not one closed term."""
    if isinstance(node, exp.Query) and not isinstance(node, exp.Subquery):
        return exp.Subquery(this=node)
    return exp.Paren(this=node) if isinstance(node, _LOOSE) and not isinstance(node, _TIGHT) else node


@functools.cache
def _parsed(text: str) -> exp.Expression:
    """The tree of a template; names of functions are kept as they are written."""
    return parse_duckdb(_HOLE.sub(lambda m: f"{_MARK}{m.group(1)}", text))


def parse_duckdb(text: str) -> exp.Expression:
    """The tree of a DuckDB expression whose text is not a template."""
    dialect: Any = Dialect.get_or_raise("duckdb")
    root: exp.Expression = dialect.parser().parse(mark_calls(dialect.tokenize(text)), text)[0]
    for node in root.find_all(exp.Anonymous):
        node.set("this", node.this.removeprefix(MARK))
    return root


def template(text: str, *args: exp.Expression) -> exp.Expression:
    """`text` with its holes filled; an argument that is used twice is copied."""
    root = _parsed(text).copy()
    used = [False] * len(args)
    for column in list(root.find_all(exp.Column)):
        name = column.name
        if not name.startswith(_MARK):
            continue
        index = int(name[len(_MARK) :])
        value = args[index].copy() if used[index] else args[index]
        used[index] = True
        if column is root:
            return value
        if not isinstance(column.parent, exp.Func | exp.Paren | exp.Array | exp.Alias | exp.Select):
            value = wrap(value)
        elif isinstance(value, exp.Query) and not isinstance(value, exp.Subquery):
            value = exp.Subquery(this=value)
        elif isinstance(column.parent, exp.Cast) and isinstance(value, exp.Lambda):
            value = exp.Paren(this=value)
        column.replace(value)
    return root


def binary(kind: type[exp.Binary], left: exp.Expression, right: exp.Expression) -> exp.Expression:
    """An infix operation with parentheses where the operands need them."""
    return kind(this=wrap(left), expression=wrap(right))


def concat(parts: Iterable[exp.Expression]) -> exp.Expression:
    """`a || b || c`; the empty string for no parts."""
    result: exp.Expression | None = None
    for part in parts:
        result = wrap(part) if result is None else exp.DPipe(this=result, expression=wrap(part))
    return result if result is not None else literal("")


def strip_errors(node: exp.Expression) -> exp.Expression:
    """`node` with every error(...) inside replaced by NULL, as TRY refuses volatile functions."""
    for found in list(_errors(node)):
        if found is node:
            return null()
        found.replace(null())
    return node


def _errors(node: exp.Expression) -> Iterator[exp.Expression]:
    for found in node.find_all(exp.Anonymous):
        if found.this == "error":
            yield found


def attempt(node: exp.Expression) -> exp.Expression:
    """`node`, or NULL where it fails."""
    return call("TRY", strip_errors(node))


def span_of(node: exp.Expression | None, offset: int = 0) -> Span | None:
    """Where `node` (or the first named thing inside it) stands in the user's text, if sqlglot kept it."""
    if node is None:
        return None
    start: int | None = None
    end: int | None = None
    for part in node.walk():
        meta = part._meta
        if meta and "start" in meta and "end" in meta:
            start = meta["start"] if start is None else min(start, meta["start"])
            end = meta["end"] if end is None else max(end, meta["end"])
            if part is node:
                break
    if start is None or end is None:
        return None
    return Span(offset + start, offset + end + 1)


def to_duckdb(node: exp.Expression) -> str:
    """DuckDB text of a tree whose calls are all plain."""
    dialect: Any = Dialect.get_or_raise("duckdb")
    generator = dialect.generator(normalize_functions=False, comments=False, unsupported_level=ErrorLevel.IGNORE)
    return str(generator.generate(node, copy=False))
