"""Mathematical, bit and conditional functions."""

from __future__ import annotations

from sqlglot import exp

from sqlml.translate.build import attempt, call, cast, integer_of, kind_of, null, tag, template
from sqlml.translate.context import Call
from sqlml.translate.expressions import divide, wide
from sqlml.translate.rules import Function


def _log(c: Call) -> exp.Expression:
    """LOG(x) is the natural logarithm, LOG(x, base) has the base last."""
    c.need(1, 2)
    result = _checked("LN", c.args[0])
    return tag(result if len(c.args) == 1 else template("{0} / {1}", result, _checked("LN", c.args[1])), "float")


def _round(c: Call) -> exp.Expression:
    c.need(1, 3)
    mode = c.args[2].sql().strip("'\"").upper() if len(c.args) == 3 else ""
    value = c.args[0]
    if mode == "ROUND_HALF_EVEN":
        return call("round_even", value, _small(c.args[1]))
    result = call("round", value, _small(c.args[1])) if len(c.args) > 1 else call("round", value)
    return tag(result, "float") if kind_of(value) == "float" else result


def _trunc(c: Call) -> exp.Expression:
    c.need(1, 2)
    if len(c.args) == 1:
        return call("trunc", c.args[0])
    digits = integer_of(c.args[1])
    if digits is not None:
        scale = f"1e{digits}"
        return template(f"trunc({{0}} * {scale}) / {scale}", c.args[0])
    return template("trunc({0} * pow(10, {1})) / pow(10, {1})", *c.args)


def _small(node: exp.Expression) -> exp.Expression:
    """A count as DuckDB's 32-bit INTEGER, which some functions insist on."""
    return node if integer_of(node) is not None else cast(node, "INTEGER")


def _mod(c: Call) -> exp.Expression:
    return _whole(c, "{1} % {0}")


def _div(c: Call) -> exp.Expression:
    return _whole(c, "{1} // {0}")


def _whole(c: Call, text: str) -> exp.Expression:
    c.need(2)
    above, below = c.args
    value = integer_of(below)
    if value:
        return tag(template(text, below, wide(above)), "int")
    return tag(template(f"CASE WHEN {{0}} = 0 THEN error('division by zero') ELSE {text} END", below, above), "int")


def _safe_divide(c: Call) -> exp.Expression:
    c.need(2)
    return tag(template("CASE WHEN {1} <> 0 THEN {0} / {1} END", *c.args), "float")


def _ieee_divide(c: Call) -> exp.Expression:
    """Infinity or NaN for a zero divisor, whatever DuckDB's own settings say."""
    c.need(2)
    return tag(
        template(
            "CASE WHEN {1} <> 0 THEN {0} / {1} WHEN {0} IS NULL OR {1} IS NULL THEN NULL"
            " WHEN {0} > 0 THEN CAST('inf' AS DOUBLE) WHEN {0} < 0 THEN CAST('-inf' AS DOUBLE)"
            " ELSE CAST('nan' AS DOUBLE) END",
            *c.args,
        ),
        "float",
    )


def _extreme(c: Call) -> exp.Expression:
    """GREATEST and LEAST are NULL when any argument is (DuckDB skips NULL)."""
    name = c.name.lower()
    values = [wide(a) for a in c.args]
    unsure = [a for a in values if kind_of(a) is None or not isinstance(a, exp.Literal | exp.Cast)]
    result = call(name, *[v.copy() for v in values])
    if not unsure:
        return result
    test: exp.Expression = template("{0} IS NULL", unsure[0])
    for other in unsure[1:]:
        test = exp.Or(this=test, expression=template("{0} IS NULL", other))
    return exp.Case(ifs=[exp.If(this=test, true=null())], default=result)


def _if(c: Call) -> exp.Expression:
    c.need(2, 3)
    default = wide(c.args[2]) if len(c.args) == 3 else null()
    result = exp.Case(ifs=[exp.If(this=c.args[0], true=wide(c.args[1]))], default=default)
    kinds = {kind_of(a) for a in c.args[1:] if not isinstance(a, exp.Null)}
    kind = kinds.pop() if len(kinds) == 1 else None
    return tag(result, kind) if kind else result


def _coalesce(c: Call) -> exp.Expression:
    result = call("coalesce", *[wide(a) for a in c.args])
    kinds = {kind_of(a) for a in c.args if not isinstance(a, exp.Null)}
    kind = kinds.pop() if len(kinds) == 1 else None
    return tag(result, kind) if kind else result


def _nullif(c: Call) -> exp.Expression:
    c.need(2)
    return call("nullif", wide(c.args[0]), wide(c.args[1]))


def _safe_sum(sign: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2)
        return attempt(template(f"{{0}} {sign} {{1}}", wide(c.args[0]), wide(c.args[1])))

    return rule


def _pow(c: Call) -> exp.Expression:
    c.need(2)
    return tag(call("pow", *c.args), "float")


def _range_bucket(c: Call) -> exp.Expression:
    """How many boundaries are at most the point."""
    c.need(2)
    return tag(
        template(
            "CASE WHEN {0} IS NOT NULL THEN CAST(len(list_filter({1}, lambda b: b <= {0})) AS BIGINT) END",
            *c.args,
        ),
        "int",
    )


def _rand(c: Call) -> exp.Expression:
    c.need(0)
    return tag(call("random"), "float")


def _error(c: Call) -> exp.Expression:
    c.need(1)
    return call("error", c.args[0])


def _distance(text: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2)
        return tag(template(text, *c.args), "float")

    return rule


def _safe(name: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        return attempt(call(name, *c.args))

    return rule


def _divide_function(c: Call) -> exp.Expression:
    c.need(2)
    return divide(*c.args)


def _sign(c: Call) -> exp.Expression:
    c.need(1)
    return template("cast_to_type(sign({0}), {0})", wide(c.args[0]))


def _domain(test: str) -> Function:
    """A function that is an error outside its domain (DuckDB gives infinity or NaN)."""

    def rule(c: Call) -> exp.Expression:
        c.need(1)
        return tag(_checked(c.name, c.args[0], test), "float")

    return rule


def _checked(name: str, value: exp.Expression, test: str = "<= 0") -> exp.Expression:
    known = integer_of(value)
    if (kind_of(value) == "float" and isinstance(value, exp.Literal)) or (known is not None and known > 0):
        return call(name.lower(), value)
    rule = "positive" if test == "<= 0" else "not negative"
    return template(
        f"CASE WHEN {{0}} {test} THEN error('the argument of {name} must be {rule}') ELSE {name.lower()}({{0}}) END",
        value,
    )


_TRIGONOMETRY = "SIN COS TAN COT ASIN ACOS ATAN ATAN2 SINH COSH TANH ASINH ACOSH ATANH CBRT EXP".split()

FUNCTIONS: dict[str, Function] = {
    **{name: name.lower() for name in _TRIGONOMETRY},
    "LN": _domain("<= 0"),
    "LOG10": _domain("<= 0"),
    "SQRT": _domain("< 0"),
    "ABS": "abs",
    "SIGN": _sign,
    "SEC": "1e0 / cos({0})",
    "CSC": "1e0 / sin({0})",
    "SECH": "1e0 / cosh({0})",
    "CSCH": "1e0 / sinh({0})",
    "COTH": "1e0 / tanh({0})",
    "POW": _pow,
    "POWER": _pow,
    "LOG": _log,
    "ROUND": _round,
    "TRUNC": _trunc,
    "CEIL": "ceil",
    "CEILING": "ceil",
    "FLOOR": "floor",
    "MOD": _mod,
    "DIV": _div,
    "SAFE_DIVIDE": _safe_divide,
    "IEEE_DIVIDE": _ieee_divide,
    "SAFE_ADD": _safe_sum("+"),
    "SAFE_SUBTRACT": _safe_sum("-"),
    "SAFE_MULTIPLY": _safe_sum("*"),
    "SAFE_NEGATE": "TRY(-{0})",
    "IS_NAN": "isnan({0})",
    "IS_INF": "isinf({0})",
    "RAND": _rand,
    "GREATEST": _extreme,
    "LEAST": _extreme,
    "RANGE_BUCKET": _range_bucket,
    "BIT_COUNT": "CAST(bit_count({0}) AS BIGINT)",
    "IF": _if,
    "IFNULL": _coalesce,
    "COALESCE": _coalesce,
    "NULLIF": _nullif,
    "NULLIFZERO": "nullif({0}, 0)",
    "ZEROIFNULL": "coalesce({0}, 0)",
    "ERROR": _error,
    "TYPEOF": "typeof",
    "COSINE_DISTANCE": _distance("1 - list_cosine_similarity({0}, {1})"),
    "EUCLIDEAN_DISTANCE": _distance("list_distance({0}, {1})"),
    "PARSE_NUMERIC": "CAST(replace({0}, ',', '') AS DECIMAL(38, 9))",
    "PARSE_BIGNUMERIC": "CAST(replace({0}, ',', '') AS DECIMAL(38, 9))",
}
KINDS: dict[str, str] = {
    **dict.fromkeys(_TRIGONOMETRY, "float"),
    **dict.fromkeys("CEIL CEILING FLOOR SEC CSC SECH CSCH COTH".split(), "float"),
    "IS_NAN": "bool",
    "IS_INF": "bool",
    "BIT_COUNT": "int",
}
