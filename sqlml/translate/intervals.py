"""INTERVAL values: DuckDB has them too, with other spellings for counts that are expressions."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import cast, literal, string_of, tag, template
from sqlml.translate.context import Context

MAKERS = {
    "MICROSECOND": "to_microseconds(CAST({0} AS BIGINT))",
    "MILLISECOND": "to_milliseconds({0})",
    "SECOND": "to_seconds({0})",
    "MINUTE": "to_minutes(CAST({0} AS BIGINT))",
    "HOUR": "to_hours(CAST({0} AS BIGINT))",
    "DAY": "to_days(CAST({0} AS INTEGER))",
    "WEEK": "to_weeks(CAST({0} AS INTEGER))",
    "MONTH": "to_months(CAST({0} AS INTEGER))",
    "QUARTER": "to_quarters(CAST({0} AS INTEGER))",
    "YEAR": "to_years(CAST({0} AS INTEGER))",
}
_ORDER = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")


def unit_of(node: exp.Expression, context: Context) -> str:
    """The upper-case unit of an INTERVAL or of a date part argument; `WEEK(MONDAY)` as it stands."""
    if isinstance(node, exp.Anonymous | exp.Func) and node.expressions:
        inner = node.expressions[0]
        return f"{str(node.this).lstrip(':').upper()}({inner.name.upper()})"
    if isinstance(node, exp.Var | exp.Column | exp.Identifier | exp.Literal):
        return str(node.name).upper()
    raise ParseError("a date part must be a name such as DAY.", span=context.span(node))


def make_interval(count: exp.Expression, unit: str) -> exp.Expression:
    """`count` units as an INTERVAL."""
    return tag(template(MAKERS[unit], count), "interval")


def interval_parts(node: exp.Expression, context: Context) -> tuple[exp.Expression, str]:
    """The count and the unit of `INTERVAL n DAY`, before or after it was rewritten."""
    meta: tuple[exp.Expression, str] | None = node.meta.get("sqlml_interval")
    if meta is not None:
        return meta
    raise NotSupportedError("this INTERVAL must be written as INTERVAL n DAY.", span=context.span(node))


def rewrite_interval(node: exp.Expression, context: Context) -> exp.Expression:
    """INTERVAL n unit, and INTERVAL '...' unit TO unit."""
    unit, value = node.args.get("unit"), node.this
    if isinstance(unit, exp.IntervalSpan):
        return _spanned(
            str(string_of(value) or ""), unit.this.name.upper(), unit.expression.name.upper(), node, context
        )
    if unit is None:
        return node
    name = unit_of(unit, context)
    if name not in MAKERS:
        raise ParseError(f"{name} must be a unit of INTERVAL such as DAY.", span=context.span(node))
    text = string_of(value)
    if text is not None and re.fullmatch(r"[+-]?\d+", text):
        value = literal(int(text))
    result = make_interval(value, name)
    result.meta["sqlml_interval"] = (value.copy(), name)
    return result


def _spanned(text: str, first: str, last: str, node: exp.Expression, context: Context) -> exp.Expression:
    """INTERVAL '1-2 3 4:5:6.7' YEAR TO SECOND and its shorter forms."""
    units = _ORDER[_ORDER.index(first) : _ORDER.index(last) + 1] if first in _ORDER and last in _ORDER else ()
    amounts: list[str] = []
    signs: list[int] = []
    for group in text.split():
        sign = -1 if group.startswith("-") else 1
        for part in re.split(r"[-:]", group.lstrip("+-")):
            amounts.append(part)
            signs.append(sign)
    if not units or len(amounts) != len(units):
        raise ParseError(f"INTERVAL {text!r} must have one number for each of {first} TO {last}.",
                         span=context.span(node))  # fmt: skip
    words = " ".join(f"{'-' if s < 0 else ''}{a} {u.lower()}s" for a, s, u in zip(amounts, signs, units, strict=True))
    return tag(cast(literal(words), "INTERVAL"), "interval")
