"""Functions of one or two arrays of numbers: norms and distances."""

from __future__ import annotations

import math

from sqlglot import exp

from sqlml.guards import failing
from sqlml.schema import quote_literal
from sqlml.transform.arguments import NUMBERS, Argument, Call, Shape
from sqlml.transform.forms import Scalar, let

_SPARSE = r"^(STRUCT|TUPLE)\(.*\)\[\]$"
_VECTOR = Shape(
    "an ARRAY of numbers or of (identifier, number) pairs",
    NUMBERS.pattern.removesuffix("$") + "|" + _SPARSE,
    "",
    "a",
)


def normalizer(call: Call) -> Scalar:
    """The array divided by its p-norm; an array of zeros stays as it is."""
    call.count(1, 2)
    vector = call.value(0, NUMBERS)
    norm = _norm("_v", call.degree(1, 2.0))
    body = let(norm, "_n", "list_transform(_v, lambda _e: _e / CASE WHEN _n > 0 THEN _n ELSE 1 END)")
    return Scalar(let(vector, "_v", body))


def lp_norm(call: Call) -> Scalar:
    """The p-norm of an array: p = 0 counts the numbers other than 0, infinity gives the largest magnitude."""
    call.count(2, 2)
    vector = call.value(0, NUMBERS)
    return Scalar(let(vector, "_v", _norm("_v", call.degree(1, 2.0))))


def _norm(v: str, p: float) -> str:
    if p == 0:
        return f"CAST(len(list_filter({v}, lambda _e: _e <> 0)) AS DOUBLE)"
    magnitudes = f"list_transform({v}, lambda _e: abs(_e))"
    empty = f"CASE WHEN {v} IS NOT NULL THEN 0.0 END"
    if math.isinf(p):
        return f"coalesce(list_max({magnitudes}), {empty})"
    if p == 1:
        return f"coalesce(list_sum({magnitudes}), {empty})"
    if p == 2:
        return f"coalesce(sqrt(list_sum(list_transform({v}, lambda _e: _e * _e))), {empty})"
    power = quote_literal(p)
    return f"coalesce(list_sum(list_transform({v}, lambda _e: abs(_e) ** {power})) ** (1 / {power}), {empty})"


def distance(call: Call) -> Scalar:
    """EUCLIDEAN, MANHATTAN or COSINE (1 - similarity) distance of two dense or two sparse vectors.

    Sparse vectors are arrays of (identifier, number): an identifier that one side lacks counts as 0 there.
    """
    call.count(2, 3)
    metric = call.choice(2, "type", "EUCLIDEAN", ("EUCLIDEAN", "MANHATTAN", "COSINE"))
    first, second = call.args[0], call.args[1]
    a, b = (call.checked(x, f"Argument {i} of {call.name}", _VECTOR) for i, x in ((1, first), (2, second)))
    # Both branches bind for any type, and DuckDB drops the one that typeof rules out.
    sparse = f"regexp_matches(typeof({a}), {quote_literal(_SPARSE)})"
    if _dense(first) and _dense(second):
        return Scalar(_dense_distance(call, a, b, metric))
    return Scalar(
        f"CASE WHEN {sparse} THEN {_sparse_distance(call, a, b, metric)} ELSE {_dense_distance(call, a, b, metric)} END"
    )


def _dense(argument: Argument) -> bool:
    node = argument.node.unnest()
    if isinstance(node, exp.Array):
        return not any(isinstance(i.unnest(), exp.Struct | exp.Tuple) for i in node.expressions)
    return argument.sql_type is not None and not argument.sql_type.startswith(("STRUCT", "TUPLE"))


def _dense_distance(call: Call, a: str, b: str, metric: str) -> str:
    lengths = "len(_a) || ' and ' || len(_b) || ' numbers'"
    failure = failing(f"The vectors of {call.name} must have the same length.", call.span, lengths)
    body = (
        "CASE WHEN _a IS NULL OR _b IS NULL THEN NULL"
        f" WHEN len(_a) <> len(_b) THEN {failure} ELSE {_metric('_a', '_b', metric)} END"
    )
    return let(f"CAST({a} AS DOUBLE[])", "_a", let(f"CAST({b} AS DOUBLE[])", "_b", body))


def _metric(a: str, b: str, metric: str) -> str:
    if metric == "EUCLIDEAN":
        return f"list_distance({a}, {b})"
    if metric == "COSINE":
        return f"list_cosine_distance({a}, {b})"
    total = f"list_sum(list_transform(list_zip({a}, {b}), lambda _p: abs(_p[1] - _p[2])))"
    return f"CASE WHEN {a} IS NOT NULL AND {b} IS NOT NULL THEN coalesce({total}, 0.0) END"


def _sparse_distance(call: Call, a: str, b: str, metric: str) -> str:
    """Both vectors as maps, spread over the union of their identifiers.

    The pairs may have any field names, so they are read by position out of JSON.
    """
    key = "coalesce(_e ->> '$[0]', json_extract_string(_e, '$.*')[1])"
    number = "CAST(coalesce(_e ->> '$[1]', json_extract_string(_e, '$.*')[2]) AS DOUBLE)"
    failure = failing(f"A sparse vector of {call.name} must not repeat an identifier.", call.span, "_r.k")

    def entries(vector: str) -> str:
        return f"list_transform(CAST(to_json({vector}) AS JSON[]), lambda _e: struct_pack(k := {key}, v := {number}))"

    def as_map(entry: str) -> str:
        keys = f"list_transform({entry}, lambda _r: _r.k)"
        repeated = f"len(list_distinct({keys})) < len({keys})"
        first = failure.replace("_r.k", f"array_to_string({keys}, ', ')")
        return f"CASE WHEN {repeated} THEN {first} ELSE map_from_entries({entry}) END"

    def spread(which: str) -> str:
        return f"list_transform(_k, lambda _i: coalesce({which}[_i], 0.0))"

    union = "list_distinct(list_concat(map_keys(_m), map_keys(_w)))"
    body = let(union, "_k", _metric(spread("_m"), spread("_w"), metric))
    maps = let(as_map("_x"), "_m", let(as_map("_y"), "_w", body))
    found = let(entries(a), "_x", let(entries(b), "_y", maps))
    return f"CASE WHEN {a} IS NULL OR {b} IS NULL THEN NULL ELSE {found} END"
