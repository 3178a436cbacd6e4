"""The table of GoogleSQL's functions. A name that is not here is left for DuckDB to know or refuse."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate import aggregates, arrays, dates, geography, jsons, numbers, strings
from sqlml.translate.build import attempt, call, kind_of, tag, template
from sqlml.translate.context import Call
from sqlml.translate.rules import Function

FUNCTIONS: dict[str, Function] = {
    **strings.FUNCTIONS,
    **numbers.FUNCTIONS,
    **dates.FUNCTIONS,
    **arrays.FUNCTIONS,
    **aggregates.FUNCTIONS,
    **jsons.FUNCTIONS,
    **geography.FUNCTIONS,
}
KINDS: dict[str, str] = {
    **strings.KINDS,
    **numbers.KINDS,
    **dates.KINDS,
    **arrays.KINDS,
    **aggregates.KINDS,
    **jsons.KINDS,
}
_REFUSED = re.compile(
    r"(S2|DLP|DETERMINISTIC)_|(NET|KEYS|AEAD|HLL_COUNT|KLL_QUANTILES|VECTOR_INDEX|OBJ)\.|(EXTERNAL_QUERY|SEARCH"
    r"|VECTOR_SEARCH|TEXT_ANALYZE|SOUNDEX|SHA512|APPROX_TOP_SUM|TO_BASE32|FROM_BASE32|RANGE_SESSIONIZE|GAP_FILL"
    r"|GENERATE_RANGE_ARRAY|RANGE_CONTAINS|JSON_SET|JSON_REMOVE|JSON_STRIP_NULLS|JSON_ARRAY_INSERT|JSON_ARRAY_APPEND"
    r"|JSON_FLATTEN|BAG_OF_WORDS|TF_IDF|COLLATE|JUSTIFY_HOURS|JUSTIFY_DAYS|JUSTIFY_INTERVAL|EXTERNAL_OBJECT_TRANSFORM|SESSION_USER|APPENDS|CHANGES)\Z"
)
_HOLE = re.compile(r"\{(\d+)\}")


def translate_call(call_: Call) -> exp.Expression:
    """The DuckDB expression for a call whose arguments are already DuckDB."""
    if call_.name.startswith("SAFE."):
        call_.name = call_.name[5:]
        return _safe(call_)
    if call_.name.startswith("ST_") and call_.name not in FUNCTIONS:
        return geography.refuse(call_)
    if _REFUSED.match(call_.name):
        raise NotSupportedError(f"{call_.name} is not available.", span=call_.span)
    rule = FUNCTIONS.get(call_.name)
    if rule is None:
        return _leave(call_)
    if call_.name in strings.TEXT_ONLY and call_.args and kind_of(call_.args[0]) == "bytes":
        raise NotSupportedError(f"{call_.name} of BYTES is not available.", span=call_.span)
    result = _apply(rule, call_)
    kind = KINDS.get(call_.name)
    return tag(result, kind) if kind else result


def _safe(call_: Call) -> exp.Expression:
    direct = FUNCTIONS.get(f"SAFE.{call_.name}")
    if direct is not None:
        return _apply(direct, call_)
    return attempt(translate_call(call_))


def _apply(rule: Function, call_: Call) -> exp.Expression:
    if not isinstance(rule, str):
        return rule(call_)
    if "(" in rule:
        holes = [int(h) for h in _HOLE.findall(rule)]
        call_.need(max(holes, default=-1) + 1)
        return template(rule, *call_.args)
    return call(rule, *call_.args)


def _leave(call_: Call) -> exp.Expression:
    """A function that only DuckDB knows: as the user wrote it."""
    node = call_.node
    node.set("this", str(node.this))
    return node
