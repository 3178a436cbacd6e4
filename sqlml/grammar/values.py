"""Constant nodes -> Python values: literals, arrays, structs, parameters, GENERATE_ARRAY."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Callable, Mapping, Sequence

from sqlml.errors import ParseError, ProgrammingError, Span
from sqlml.grammar.nodes import Array, Bare, Call, Literal, Parameter, Struct, Value

Parameters = Sequence[object] | Mapping[str, object] | None


#: (whether a name has a value, the value)
Names = Callable[[str], tuple[bool, object]]


def constant(
    value: Value, parameters: Parameters = None, places: Mapping[int, int] | None = None, names: Names | None = None
) -> object:
    """The Python value of a constant.

    Arrays become lists, structs dicts (tuples when no field has a name).

    Args:
        value: the node.
        parameters: values of `@name` (a mapping) or `?` (a sequence).
        places: start offset of each `?` -> its number in the statement.
        names: gives the values of unquoted names, such as script variables.
    """
    if isinstance(value, Literal):
        return value.value
    if isinstance(value, Array):
        return [constant(v, parameters, places, names) for v in value.items]
    if isinstance(value, Struct):
        values = [constant(v, parameters, places, names) for _, v, _ in value.fields]
        if any(name is not None for name, _, _ in value.fields):
            return {name or f"_{i}": v for i, ((name, _, _), v) in enumerate(zip(value.fields, values, strict=True))}
        return tuple(values)
    if isinstance(value, Parameter):
        return bound(value, parameters, places)
    if isinstance(value, Call) and value.name.upper() == "GENERATE_ARRAY":
        return _generate_array(value, [constant(v, parameters, places, names) for v in value.args])
    if isinstance(value, Bare):
        known, found = names(value.text) if names else (False, None)
        if known:
            return found
        hint = f"write '{value.text}' if it is a string."
        raise ProgrammingError(f"a constant must stand here. Got the name {value.text}.", span=value.span, hint=hint)
    raise ProgrammingError(f"a constant must stand here. Got a call of {value.name}.", span=value.span)


def bound(node: Parameter, parameters: Parameters, places: Mapping[int, int] | None) -> object:
    """The value given for a parameter."""
    if node.name is not None:
        given = parameters if isinstance(parameters, Mapping) else {}
        for name, value in given.items():
            if str(name).lower() == node.name.lower():
                return value
        raise ProgrammingError(f"the parameter @{node.name} must be given a value.", span=node.span)
    number = (places or {}).get(node.span.start, 0)
    if parameters is None or isinstance(parameters, Mapping) or number >= len(parameters):
        raise ProgrammingError(f"the parameter number {number + 1} must be given a value.", span=node.span)
    return parameters[number]


def _generate_array(node: Call, args: list[object]) -> list[object]:
    if len(args) not in (2, 3) or not all(isinstance(a, (int, float)) for a in args):
        raise ProgrammingError("GENERATE_ARRAY must have two or three numbers.", span=node.span)
    low, high, step = (*args, 1)[:3]
    assert isinstance(low, (int, float)) and isinstance(high, (int, float)) and isinstance(step, (int, float))
    if step == 0:
        raise ProgrammingError("the step of GENERATE_ARRAY must not be 0.", span=node.span)
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > 1_000_000:
        raise ProgrammingError(f"GENERATE_ARRAY must have at most 1000000 elements. Got {count}.", span=node.span)
    return [low + i * step for i in range(max(0, count))]


def number(text: str, span: Span) -> int | float:
    """A numeric literal."""
    try:
        return float(text) if any(c in ".eE" for c in text) else int(text)
    except ValueError:
        raise ParseError(f"{text} is not a number.", span=span) from None


def typed(kind: str, text: str, span: Span) -> object:
    """A literal such as DATE '2024-01-31'."""
    try:
        if kind == "DATE":
            return datetime.date.fromisoformat(text)
        if kind == "TIME":
            return datetime.time.fromisoformat(text)
        if kind == "DATETIME":
            return datetime.datetime.fromisoformat(text)
        if kind == "TIMESTAMP":
            found = datetime.datetime.fromisoformat(text.replace(" UTC", "+00:00"))
            return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        if kind == "FLOAT64":
            return float(text)
        if kind == "JSON":
            return json.loads(text)
        return decimal.Decimal(text)
    except (ValueError, decimal.InvalidOperation):
        raise ParseError(f"{text!r} is not a valid {kind}.", span=span) from None
