"""ARRAY functions and generators."""

from __future__ import annotations

import math

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import call, cast, integer_of, literal, tag, template
from sqlml.translate.context import Call
from sqlml.translate.intervals import interval_parts, make_interval
from sqlml.translate.rules import Function
from sqlml.translate.types import convert

#: Longer constant arrays of fractions stay an expression.
_MOST_WRITTEN = 1000
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}


def _concat(c: Call) -> exp.Expression:
    """NULL when any array is NULL."""
    result = c.args[0]
    for other in c.args[1:]:
        result = template("{0} || {1}", result, other)
    return tag(result, "array")


def _to_string(c: Call) -> exp.Expression:
    """NULL elements are left out, or written as the third argument."""
    c.need(2, 3)
    values = c.args[0]
    if len(c.args) == 3:
        values = template("list_transform({0}, lambda v: coalesce(CAST(v AS VARCHAR), {1}))", values, c.args[2])
    return tag(call("array_to_string", values, c.args[1]), "string")


def _slice(c: Call) -> exp.Expression:
    """Both ends are included and count from 0; negative ones count from the end."""
    c.need(3)
    start, end = integer_of(c.args[1]), integer_of(c.args[2])
    if start is None or end is None:
        place = "CASE WHEN {0} < 0 THEN {0} ELSE {0} + 1 END"
        return call("array_slice", c.args[0], template(place, c.args[1]), template(place, c.args[2]))
    return call("array_slice", c.args[0], start if start < 0 else start + 1, end if end < 0 else end + 1)


def _edge(which: int) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(1)
        element = f"list_extract({{0}}, {which})"
        empty = "error('the array must not be empty')"
        return template(f"CASE WHEN len({{0}}) = 0 THEN {empty} ELSE {element} END", c.args[0])

    return rule


def _lambda(name: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2)
        if not isinstance(c.args[1], exp.Lambda):
            raise NotSupportedError(f"{c.name} must have a function such as e -> e > 0.", span=c.span)
        c.args[1].set("colon", True)  # printed as `lambda e: ...`
        return tag(call(name, *c.args), "array")

    return rule


def _generate(c: Call) -> exp.Expression:
    """GENERATE_ARRAY: both ends included; the step may be a fraction."""
    c.need(2, 3)
    start, end = c.args[0], c.args[1]
    step = c.args[2] if len(c.args) == 3 else literal(1)
    if integer_of(step) == 0:
        return call("error", "the step of GENERATE_ARRAY must not be 0")
    if all(integer_of(x) is not None for x in (start, step)) and (integer_of(end) is not None or len(c.args) == 2):
        return tag(call("generate_series", start, cast(end, "BIGINT"), step), "array")
    bounds = [_constant(x) for x in (start, end, step)]
    if None not in bounds and (found := _fractions(*bounds)) is not None:  # type: ignore[arg-type]
        return tag(exp.Array(expressions=[_double(v) for v in found]), "array")
    return tag(
        template(
            "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL THEN"
            " list_filter(list_transform(range(0, greatest(CAST(floor(({1} - {0}) / {2}) AS BIGINT) + 2, 0)),"
            " lambda i: {0} + i * {2}), lambda v: CASE WHEN {2} > 0 THEN v <= {1} ELSE v >= {1} END) END",
            start, end, step,
        ),
        "array",
    )  # fmt: skip


def _constant(node: exp.Expression) -> float | None:
    """The value of a numeric literal, else None."""
    if isinstance(node, exp.Neg | exp.Paren):
        inner = _constant(node.this)
        return -inner if inner is not None and isinstance(node, exp.Neg) else inner
    return float(node.this) if isinstance(node, exp.Literal) and not node.is_string else None


def _double(value: float) -> exp.Expression:
    text = repr(abs(value))
    number = exp.Literal.number(text if "e" in text else f"{text}e0")
    return exp.Neg(this=number) if value < 0 else number


def _fractions(start: float, end: float, step: float) -> list[float] | None:
    """The elements of a constant GENERATE_ARRAY, None when they are too many to be written out."""
    count = math.floor((end - start) / step) + 2
    if count > _MOST_WRITTEN:
        return None
    found = [start + i * step for i in range(max(count, 0))]
    return [v for v in found if (v <= end if step > 0 else v >= end)]


def _generate_times(kind: str) -> Function:
    """GENERATE_DATE_ARRAY, GENERATE_TIMESTAMP_ARRAY; months are counted from the start, not step by step."""

    def rule(c: Call) -> exp.Expression:
        c.need(2, 3)
        start, end = convert(c.args[0], kind), convert(c.args[1], kind)
        if len(c.args) == 3:
            count, unit = interval_parts(c.args[2], c.context)
        else:
            count, unit = literal(1), "DAY"
        if unit in _MONTHS:
            text = (
                "list_filter(list_transform(range(0, greatest(datediff('month', {0}, {1}) // ({2}) + 2, 0)),"
                f" lambda i: CAST({{0}} + to_months(CAST(i * ({{2}}) AS INTEGER)) AS {kind})),"
                " lambda v: CASE WHEN {2} > 0 THEN v <= {1} ELSE v >= {1} END)"
            )
            known = integer_of(count)
            size = _MONTHS[unit]
            months = template(f"{{0}} * {size}", count) if known is None else literal(known * size)
            return tag(template(text, start, end, months), "array")
        series = call("generate_series", start, end, make_interval(count, unit))
        return tag(cast(series, f"{kind}[]"), "array")

    return rule


FUNCTIONS: dict[str, Function] = {
    "ARRAY_LENGTH": "len({0})",
    "ARRAY_CONCAT": _concat,
    "ARRAY_REVERSE": "list_reverse({0})",
    "ARRAY_TO_STRING": _to_string,
    "ARRAY_SLICE": _slice,
    "ARRAY_FIRST": _edge(1),
    "ARRAY_LAST": _edge(-1),
    "ARRAY_MAX": "list_max({0})",
    "ARRAY_MIN": "list_min({0})",
    "ARRAY_SUM": "list_sum({0})",
    "ARRAY_AVG": "list_avg({0})",
    "ARRAY_INCLUDES": "list_contains({0}, {1})",
    "ARRAY_IS_DISTINCT": "len({0}) = len(list_distinct({0}))",
    "ARRAY_FILTER": _lambda("list_filter"),
    "ARRAY_TRANSFORM": _lambda("list_transform"),
    "FLATTEN": "flatten({0})",
    "GENERATE_ARRAY": _generate,
    "GENERATE_DATE_ARRAY": _generate_times("DATE"),
    "GENERATE_TIMESTAMP_ARRAY": _generate_times("TIMESTAMPTZ"),
}
KINDS: dict[str, str] = {
    "ARRAY_LENGTH": "int",
    "ARRAY_REVERSE": "array",
    "ARRAY_SLICE": "array",
    "FLATTEN": "array",
}
