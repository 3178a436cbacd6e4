"""The arguments of a preprocessing function: how many, constant or not, of which type.

What can be known from the text is refused here, with the caret on it. A type that only DuckDB
knows is guarded inside the SQL: `typeof` folds to a constant while DuckDB binds, so that a
correct call costs nothing and a wrong one raises a sentence that `guard_error` reads back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from sqlml.errors import ProgrammingError, SchemaError, Span
from sqlml.guards import failing
from sqlml.schema import parse_type, quote_literal
from sqlml.translate.build import span_of

Fidelity = Literal["best", "bigquery"]

_NUMBER = r'(U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\)|BIGNUM|"NULL")'
_TEXT = r'(VARCHAR|ENUM\(.*\)|"NULL")'
_LIST = r"\[[0-9]*\]"
#: Of an array that a constant GENERATE_ARRAY makes.
MOST_ELEMENTS = 100_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What an argument may be: its words in messages, the types DuckDB gives it, and the cast."""

    words: str
    pattern: str
    cast: str
    literals: str


NUMBER = Shape("a number", f"^{_NUMBER}$", "DOUBLE", "n")
TEXT = Shape("a STRING", f"^{_TEXT}$", "VARCHAR", "s")
WORD = Shape("a STRING or a BOOL", f"^({_TEXT}|BOOLEAN)$", "VARCHAR", "sb")
NUMBERS = Shape("an ARRAY of numbers", f'^({_NUMBER}{_LIST}|"NULL")$', "DOUBLE[]", "a")
TEXTS = Shape("an ARRAY<STRING>", f'^({_TEXT}{_LIST}|"NULL")$', "VARCHAR[]", "a")
SCALAR = Shape("a number or a STRING", f"^({_NUMBER}|{_TEXT})$", "", "ns")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its node as written, its DuckDB text, its place, its DuckDB type where known."""

    node: exp.Expression
    sql: str
    span: Span | None
    sql_type: str | None = None


def _no_type(node: exp.Expression) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a preprocessing function.

    `base` is where the parsed text begins in the user's script. `type_of` gives the DuckDB type of an
    expression where the caller knows it. `frozen` is true inside TRANSFORM, where statistics are stored.
    """

    name: str
    nodes: tuple[exp.Expression, ...]
    span: Span | None = None
    base: int = 0
    type_of: Callable[[exp.Expression], str | None] = _no_type
    frozen: bool = False
    fidelity: Fidelity = "best"

    @property
    def args(self) -> tuple[Argument, ...]:
        """The arguments, in order."""
        return tuple(self.argument(node) for node in self.nodes)

    def argument(self, node: exp.Expression) -> Argument:
        """An argument, or a field of one."""
        return Argument(node, node.sql("duckdb"), span_of(node, self.base) or self.span, self.type_of(node))

    def count(self, least: int, most: int) -> None:
        """Refuse a wrong number of arguments."""
        got = len(self.args)
        if not least <= got <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            plural = "argument" if wanted == "1" else "arguments"
            raise ProgrammingError(f"{self.name} must have {wanted} {plural}. Got {got}.", span=self.span)

    def error(self, index: int, rule: str) -> ProgrammingError:
        """The error `Argument <n> of <function> must <rule>. Got <text>.`"""
        argument = self.args[index]
        return ProgrammingError(
            f"Argument {index + 1} of {self.name} must {rule}. Got {excerpt(argument.node)}.",
            span=argument.span,
        )

    def value(self, index: int, shape: Shape) -> str:
        """The SQL of argument `index`, checked and cast to `shape`."""
        return self.checked(self.args[index], f"Argument {index + 1} of {self.name}", shape)

    def unchecked(self, index: int, shape: Shape) -> str:
        """The SQL of argument `index` cast to `shape`, NULL where that is impossible."""
        argument = self.args[index]
        if argument.sql_type == shape.cast:
            return argument.sql
        return f"TRY_CAST({_closed(argument)} AS {shape.cast})"

    def guarded(self, index: int, shape: Shape, body: str) -> str:
        """`body` behind the check of argument `index`.

        For bodies with an inner query: DuckDB would take a guard in there for a reference to the outer
        query, and join the two row by row.
        """
        argument = self.args[index]
        guard = self._guard(argument, f"Argument {index + 1} of {self.name}", shape)
        return f"CASE {guard} ELSE {body} END" if guard else body

    def checked(self, argument: Argument, subject: str, shape: Shape) -> str:
        """The SQL of an argument cast to `shape`; a wrong type is refused now, or by the guard in the SQL."""
        guard = self._guard(argument, subject, shape)
        sql = _closed(argument)
        if not shape.cast or argument.sql_type == shape.cast:
            cast = sql
        else:
            cast = f"CAST({sql} AS {shape.cast})"
        return f"CASE {guard} ELSE {cast} END" if guard else cast

    def _guard(self, argument: Argument, subject: str, shape: Shape) -> str:
        """`WHEN <wrong type> THEN error(...)`; "" when the type is known to be right."""
        sentence = f"{subject} must be {shape.words}."
        literal = _literal_shape(argument.node.unnest())
        if literal and literal not in shape.literals:
            raise SchemaError(f"{sentence} Got {excerpt(argument.node)}.", span=argument.span)
        if argument.sql_type is not None:
            if not re.match(shape.pattern, argument.sql_type):
                google = parse_type(argument.sql_type).google
                raise SchemaError(f"{sentence} Got {google}.", span=argument.span)
            return ""
        if literal and literal in "ns":
            return ""
        found = f"typeof({_closed(argument)})"
        failure = failing(sentence, argument.span, found)
        return f"WHEN NOT regexp_matches({found}, {quote_literal(shape.pattern)}) THEN {failure}"

    def constant(self, index: int, rule: str) -> object:
        """The Python value of a constant argument."""
        found, value = constant(self.args[index].node)
        if not found:
            raise self.error(index, rule)
        return value

    def integer(self, index: int, name: str, default: int, low: int, high: int | None = None) -> int:
        """A constant INT64 in [low, high]; `default` when the argument is absent."""
        if index >= len(self.args):
            return default
        limits = f"from {low} to {high}" if high is not None else f"of at least {low}"
        rule = f"be a constant integer {limits} ({name})"
        value = self.constant(index, rule)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(index, rule)
        if value < low or (high is not None and value > high):
            raise self.error(index, rule)
        return value

    def boolean(self, index: int, name: str, default: bool) -> bool:
        """A constant BOOL; `default` when the argument is absent."""
        if index >= len(self.args):
            return default
        rule = f"be TRUE or FALSE ({name})"
        value = self.constant(index, rule)
        if not isinstance(value, bool):
            raise self.error(index, rule)
        return value

    def choice(self, index: int, name: str, default: str, choices: Sequence[str]) -> str:
        """A constant STRING among `choices`, compared without case; `default` when absent."""
        if index >= len(self.args):
            return default
        rule = f"be one of {', '.join(repr(c) for c in choices)} ({name})"
        value = self.constant(index, rule)
        found = [c for c in choices if isinstance(value, str) and value.lower() == c.lower()]
        if not found:
            raise self.error(index, rule)
        return found[0]

    def degree(self, index: int, default: float) -> float:
        """The degree of a norm: 0, any number from 1, or infinity."""
        if index >= len(self.args):
            return default
        rule = "be a constant: 0, a number of at least 1, or CAST('inf' AS FLOAT64)"
        value = self.constant(index, rule)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(index, rule)
        if not (value == 0 or value >= 1):
            raise self.error(index, rule)
        return float(value)


def constant(node: exp.Expression) -> tuple[bool, object]:
    """(True, value) of a constant number, string, boolean, NULL or array; (False, None) otherwise."""
    node = node.unnest()
    if isinstance(node, exp.Literal):
        return True, node.this if node.is_string else _number(node.this)
    if isinstance(node, exp.Boolean):
        return True, bool(node.this)
    if isinstance(node, exp.Null):
        return True, None
    if isinstance(node, exp.Neg):
        found, value = constant(node.this)
        return (True, -value) if found and isinstance(value, int | float) else (False, None)
    if isinstance(node, exp.Array):
        parts = [constant(item) for item in node.expressions]
        return (True, [v for _, v in parts]) if all(f for f, _ in parts) else (False, None)
    if isinstance(node, exp.Cast | exp.TryCast):
        found, value = constant(node.this)
        return _cast(value, node.to) if found else (False, None)
    if isinstance(node, exp.Binary):
        return _arithmetic(node)
    if isinstance(node, exp.Anonymous | exp.GenerateSeries):
        return _series(node)
    return False, None


def _arithmetic(node: exp.Binary) -> tuple[bool, object]:
    """The value of + - * between constant numbers."""
    sides = [constant(node.this)[1], constant(node.expression)[1]]
    left, right = (v if isinstance(v, int | float) and not isinstance(v, bool) else None for v in sides)
    if left is None or right is None:
        return False, None
    match node:
        case exp.Add():
            return True, left + right
        case exp.Sub():
            return True, left - right
        case exp.Mul():
            return True, left * right
    return False, None


def _series(node: exp.Expression) -> tuple[bool, object]:
    """The elements of GENERATE_ARRAY over constant integers, as `translate` writes it."""
    if not isinstance(node, exp.Anonymous) or str(node.this).lower() != "generate_series":
        return False, None
    values = [constant(item)[1] for item in node.expressions]
    bounds = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
    if len(bounds) != 3 or len(values) != 3 or bounds[2] == 0:
        return False, None
    start, end, step = bounds
    found = range(start, end + (1 if step > 0 else -1), step)
    return (True, list(found)) if len(found) <= MOST_ELEMENTS else (False, None)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _cast(value: object, to: exp.Expression) -> tuple[bool, object]:
    name = to.sql("duckdb").upper()
    if name.endswith("[]") and isinstance(value, list):
        element = exp.DataType.build(name[:-2], dialect="duckdb")
        items = [_cast(v, element) for v in value]
        return (True, [v for _, v in items]) if all(f for f, _ in items) else (False, None)
    if name in ("VARCHAR", "TEXT") and isinstance(value, str):
        return True, value
    if name == "BOOLEAN" and isinstance(value, bool):
        return True, value
    if name == "BIGINT" and isinstance(value, int):
        return True, value
    if name in ("DOUBLE", "FLOAT") or name.startswith("DECIMAL"):
        try:
            return (True, float(value)) if isinstance(value, str | int | float) else (False, None)
        except ValueError:
            return False, None
    return False, None


def as_written(node: exp.Expression) -> exp.Expression:
    """A copy of `node` without what the translation added to names and literals."""

    def plain(part: exp.Expression) -> exp.Expression:
        if isinstance(part, exp.Cast) and isinstance(part.this, exp.Literal) and not part.this.is_string:
            return plain(part.this)
        if isinstance(part, exp.Literal) and not part.is_string:
            return exp.Literal.number(part.this.removesuffix("e0"))
        if isinstance(part, exp.Identifier):
            part.set("quoted", False)
        return part

    return node.copy().transform(plain)


def _literal_shape(node: exp.Expression) -> str:
    """'n', 's', 'a', 'b', 'r' for a literal number, string, array, boolean, struct; '' when unknown."""
    if isinstance(node, exp.Literal):
        return "s" if node.is_string else "n"
    if isinstance(node, exp.Neg | exp.Cast) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return "n"
    if isinstance(node, exp.Array):
        return "a"
    if isinstance(node, exp.Boolean):
        return "b"
    return "r" if isinstance(node, exp.Struct | exp.Tuple) else ""


def _closed(argument: Argument) -> str:
    return argument.sql if isinstance(argument.node, exp.Column | exp.Literal) else f"({argument.sql})"


def excerpt(node: exp.Expression) -> str:
    """The text of an argument for a message, cut when it is long."""
    text = as_written(node).sql("bigquery")
    return text if len(text) <= 60 else text[:57] + "..."


def finite(values: Sequence[object]) -> bool:
    """Whether all values are finite numbers."""
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
