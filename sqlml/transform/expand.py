"""Functions that make new features out of several: polynomials, crosses, n-grams."""

from __future__ import annotations

import re
from itertools import combinations, combinations_with_replacement

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.schema import quote_literal
from sqlml.transform.arguments import NUMBER, TEXTS, WORD, Call, Shape, excerpt
from sqlml.transform.forms import Scalar, let, struct_of

_MOST_FIELDS = 10
_UNNAMED = re.compile(r"_field_\d+\Z")  # the name that the translation gives to a field without one


def polynomial_expand(call: Call) -> Scalar:
    """All monomials up to a degree, depth first: f1, f1_f1, f1_f2, f2, f2_f2."""
    call.count(1, 2)
    fields = _fields(call, NUMBER)
    degree = call.integer(1, "degree", 2, 1, 4)
    chosen = [c for d in range(1, degree + 1) for c in combinations_with_replacement(range(len(fields)), d)]
    parts = [
        ("_".join(fields[i][0] for i in combination), " * ".join(fields[i][1] for i in combination))
        for combination in sorted(chosen)
    ]
    return struct_of(_distinct(call, parts))


def feature_cross(call: Call) -> Scalar:
    """All combinations of 2 to `degree` different features, values joined by _; NULL in one gives NULL.

    BOOL is documented for categories nowhere, but the service's own tutorial crosses one.
    """
    call.count(1, 2)
    fields = _fields(call, WORD)
    degree = call.integer(1, "degree", 2, 2, 4)
    if len(fields) < 2:
        raise call.error(0, "be a STRUCT of at least 2 fields")
    chosen = [c for d in range(2, degree + 1) for c in combinations(range(len(fields)), d)]
    parts = [
        ("_".join(fields[i][0] for i in combination), " || '_' || ".join(fields[i][1] for i in combination))
        for combination in sorted(chosen)
    ]
    return struct_of(_distinct(call, parts))


def _distinct(call: Call, parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    seen: set[str] = set()
    for name, _ in parts:
        if name.lower() in seen:
            raise call.error(0, f"have field names whose combinations differ: {name} comes out twice")
        seen.add(name.lower())
    return parts


def _fields(call: Call, shape: Shape) -> list[tuple[str, str]]:
    """(name, checked SQL) of the fields of a STRUCT(...) that is written out."""
    node = call.args[0].node.unnest()
    if isinstance(node, exp.Column):
        name = excerpt(node)
        raise NotSupportedError(
            f"Argument 1 of {call.name} must be written as STRUCT(column, ...). Got {name}.",
            span=call.args[0].span,
            hint=f"name the fields: STRUCT({name}.a, {name}.b)",
        )
    if not isinstance(node, exp.Struct):
        raise call.error(0, "be a STRUCT of named fields")
    fields = [_field(call, item, shape) for item in node.expressions]
    names = [name.lower() for name, _ in fields]
    if not 1 <= len(fields) <= _MOST_FIELDS:
        raise call.error(0, f"be a STRUCT of 1 to {_MOST_FIELDS} fields")
    if len(set(names)) < len(names):
        raise call.error(0, "have fields of different names")
    return fields


def _field(call: Call, item: exp.Expression, shape: Shape) -> tuple[str, str]:
    if isinstance(item, exp.PropertyEQ | exp.Alias):
        name = item.this.name if isinstance(item, exp.PropertyEQ) else item.alias
        value = item.expression if isinstance(item, exp.PropertyEQ) else item.this
    else:
        name, value = item.output_name, item
    if not name or (_UNNAMED.match(name) and not isinstance(value, exp.Column)):
        raise call.error(0, "have a name for every field, such as STRUCT(x + 1 AS y)")
    return name, f"({call.checked(call.argument(value), f'Field {name} of {call.name}', shape)})"


def ngrams(call: Call) -> Scalar:
    """Runs of lo to hi neighbouring tokens joined by a separator, by start position, then by length."""
    call.count(2, 3)
    tokens = call.value(0, TEXTS)
    low, high = _sizes(call)
    separator = " "
    if len(call.args) > 2:
        given = call.constant(2, "be a constant STRING (separator)")
        if not isinstance(given, str):
            raise call.error(2, "be a constant STRING (separator)")
        separator = given
    glue = quote_literal(separator)
    longest = f"least({high}, len(_t) - _i + 1)"
    run = f"array_to_string(_t[_i:_i + _n - 1], {glue})"
    body = (
        "flatten(list_transform(range(1, len(_t) + 1), lambda _i:"
        f" list_transform(range({low}, {longest} + 1), lambda _n: {run})))"
    )
    return Scalar(let(tokens, "_t", body))


def _sizes(call: Call) -> tuple[int, int]:
    rule = "be a constant array [lo, hi] of integers with 1 <= lo <= hi, or one integer"
    value = call.constant(1, rule)
    pair = value if isinstance(value, list) else [value, value]
    sizes = [v for v in pair if type(v) is int]
    if len(pair) != 2 or len(sizes) != 2 or not 1 <= sizes[0] <= sizes[1]:
        raise call.error(1, rule)
    return sizes[0], sizes[1]


def not_supported(call: Call) -> Scalar:
    """The image functions."""
    raise NotSupportedError(
        f"{call.name} is not available: sqlml has no image functions.",
        span=call.span,
        hint="decode images before they are loaded, and store their pixels as ARRAY<FLOAT64>",
    )
