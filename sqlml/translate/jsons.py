"""JSON functions over DuckDB's JSON type. A text that is not JSON gives NULL, as TRY is free of cost here."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import attempt, call, cast, literal, string_of, tag, template
from sqlml.translate.context import Call
from sqlml.translate.rules import Function

_STEP = re.compile(
    r"\.\s*\"((?:[^\"\\]|\\.)*)\"|\.\s*([^.\[\]\"]+)|\[\s*'([^']*)'\s*\]|\[\s*\"([^\"]*)\"\s*\]|\[\s*(\d+)\s*\]"
)


def _path(c: Call, at: int = 1) -> exp.Expression:
    """A JSONPath in DuckDB's spelling: `$.a['b.c'][0]` -> `$."a"."b.c"[0]`."""
    if len(c.args) <= at:
        return literal("$")
    text = string_of(c.args[at])
    if text is None:
        return c.args[at]
    text = text.strip()
    if not text.startswith("$"):
        raise NotSupportedError(f"the path of {c.name} must begin with $.", span=c.span)
    result, place = "$", 1
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            raise NotSupportedError(f"the path {text} of {c.name} is not available.", span=c.span)
        key = next((g for g in match.groups()[:4] if g is not None), None)
        result += f"[{match.group(5)}]" if key is None else '."' + key.strip() + '"'
        place = match.end()
    return literal(result)


def _query(c: Call) -> exp.Expression:
    c.need(1, 2)
    return tag(attempt(call("json_extract", c.args[0], _path(c))), "json")


def _value(c: Call) -> exp.Expression:
    """The scalar at a path as STRING; NULL for objects, arrays and JSON null."""
    c.need(1, 2)
    return tag(attempt(template("json_value({0}, {1}) ->> '$'", c.args[0], _path(c))), "string")


def _query_array(c: Call) -> exp.Expression:
    c.need(1, 2)
    return tag(cast(call("json_extract", c.args[0], _path(c)), "JSON[]", safe=True), "array")


def _value_array(c: Call) -> exp.Expression:
    c.need(1, 2)
    items = cast(call("json_extract", c.args[0], _path(c)), "JSON[]", safe=True)
    return tag(template("list_transform({0}, lambda j: j ->> '$')", items), "array")


def _to_json_string(c: Call) -> exp.Expression:
    c.need(1, 2)
    return tag(cast(call("to_json", c.args[0]), "VARCHAR"), "string")


def _to_json(c: Call) -> exp.Expression:
    return tag(call("to_json", c.args[0]), "json")


def _parse(c: Call) -> exp.Expression:
    return tag(cast(c.args[0], "JSON"), "json")


def _object(c: Call) -> exp.Expression:
    """JSON_OBJECT('k', v, ...) and JSON_OBJECT(keys, values)."""
    if len(c.args) == 2 and all(isinstance(a, exp.Array) for a in c.args):
        keys, values = (a.expressions for a in c.args)
        pairs = [x for pair in zip(keys, values, strict=False) for x in pair]
        return tag(call("json_object", *pairs), "json")
    return tag(call("json_object", *c.args), "json")


def _scalar(type_name: str, kind: str, *, lax: bool = False) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(1)
        text = template("{0} ->> '$'", c.args[0])
        return tag(cast(text, type_name, safe=lax), kind)

    return rule


FUNCTIONS: dict[str, Function] = {
    "JSON_EXTRACT": _query,
    "JSON_QUERY": _query,
    "JSON_EXTRACT_SCALAR": _value,
    "JSON_VALUE": _value,
    "JSON_EXTRACT_ARRAY": _query_array,
    "JSON_QUERY_ARRAY": _query_array,
    "JSON_EXTRACT_STRING_ARRAY": _value_array,
    "JSON_VALUE_ARRAY": _value_array,
    "TO_JSON_STRING": _to_json_string,
    "TO_JSON": _to_json,
    "PARSE_JSON": _parse,
    "JSON_OBJECT": _object,
    "JSON_ARRAY": "json_array",
    "JSON_KEYS": "json_keys({0})",
    "JSON_TYPE": (
        "CASE WHEN json_type({0}) IN ('BOOLEAN', 'OBJECT', 'ARRAY', 'NULL') THEN lower(json_type({0}))"
        " WHEN json_type({0}) = 'VARCHAR' THEN 'string' WHEN json_type({0}) IS NOT NULL THEN 'number' END"
    ),
    "INT64": _scalar("BIGINT", "int"),
    "FLOAT64": _scalar("DOUBLE", "float"),
    "BOOL": _scalar("BOOLEAN", "bool"),
    "LAX_INT64": _scalar("BIGINT", "int", lax=True),
    "LAX_FLOAT64": _scalar("DOUBLE", "float", lax=True),
    "LAX_BOOL": _scalar("BOOLEAN", "bool", lax=True),
    "LAX_STRING": _scalar("VARCHAR", "string", lax=True),
}
KINDS: dict[str, str] = {"JSON_TYPE": "string", "JSON_ARRAY": "json", "JSON_KEYS": "array"}
