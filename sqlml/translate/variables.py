"""Script variables inside a statement: their values take the place of the names, as literals."""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NameError
from sqlml.translate.build import call, parse_duckdb
from sqlml.translate.context import Context
from sqlml.translate.misplaced import MARK

_PART_FUNCTIONS = ("_DIFF", "_TRUNC", "LAST_DAY")
_PARTS = frozenset(
    "MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY WEEK ISOWEEK MONTH QUARTER YEAR ISOYEAR DAYOFWEEK DAYOFYEAR".split()
)


def variable(node: exp.Expression, context: Context) -> exp.Expression | None:
    """The value of a script variable that a column name means, or None."""
    parts = [p for p in node.parts if isinstance(p, exp.Identifier)] if isinstance(node, exp.Column) else []
    if not parts or len(parts) != len(node.parts) or _is_only_a_name(node):
        return None
    literal = context.variables.get(parts[0].name.casefold())
    if literal is None:
        return None
    value = parse_duckdb(literal)
    for part in parts[1:]:
        value = call("struct_extract", value, part.name)
    if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
        return exp.alias_(value, parts[-1].name, quoted=True)
    return value


def system_variable(node: exp.Expression, context: Context) -> exp.Expression:
    """`@@error.message` and its kin."""
    name = f"@@{node.this.this.name}.{node.expression.name}".casefold()
    literal = context.variables.get(name)
    if literal is None:
        raise NameError(f"{name} is not a variable that is known here.", span=context.span(node))
    return parse_duckdb(literal)


def _is_only_a_name(node: exp.Expression) -> bool:
    """Whether a column node names a target, a star's exception or a date part rather than a value."""
    parent = node.parent
    if isinstance(parent, exp.Star):
        return True
    if isinstance(parent, exp.EQ) and parent.this is node and isinstance(parent.parent, exp.Update):
        return True
    if isinstance(parent, exp.Tuple) and isinstance(parent.parent, exp.Insert):
        return bool(parent.arg_key == "this")
    if isinstance(parent, exp.Anonymous) and node.name.upper() in _PARTS:
        name = str(parent.this).removeprefix(MARK).upper()
        return name == "WEEK" or name.endswith(_PART_FUNCTIONS)
    return False
