"""Aggregate, approximate, window and statistical functions."""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import call, literal, tag, template
from sqlml.translate.context import Call
from sqlml.translate.expressions import at_least, wide
from sqlml.translate.rules import Function

# sqlglot prints IGNORE NULLS only around its own nodes.
_NAVIGATION: dict[str, type[exp.Func]] = {
    "first_value": exp.FirstValue,
    "last_value": exp.LastValue,
    "nth_value": exp.NthValue,
    "lag": exp.Lag,
    "lead": exp.Lead,
}


def _plain(name: str) -> Function:
    """An aggregate that keeps its DISTINCT, ORDER BY and IGNORE NULLS."""

    def rule(c: Call) -> exp.Expression:
        if c.having is not None:
            return _having(c)
        return _assemble(c, name, c.args)

    return rule


def _assemble(c: Call, name: str, args: list[exp.Expression]) -> exp.Expression:
    """name([DISTINCT] args [ORDER BY ...])."""
    parts = list(args)
    if c.distinct:
        parts[0] = exp.Distinct(expressions=[parts[0]])
    if c.order:
        parts[-1] = exp.Order(this=parts[-1], expressions=[o.copy() for o in c.order])
    if c.ignore_nulls and name in _NAVIGATION and c.windowed:
        made = _NAVIGATION[name].from_arg_list(parts)
        return made if isinstance(c.node.parent, exp.IgnoreNulls) else exp.IgnoreNulls(this=made)
    return exp.Anonymous(this=name, expressions=parts)


def _having(c: Call) -> exp.Expression:
    """f(x HAVING MAX y): over the rows where y is largest; for one value, that of such a row."""
    assert c.having is not None
    by, largest = c.having
    if c.name == "ANY_VALUE":
        return call("arg_max_null" if largest else "arg_min_null", c.args[0], by)
    raise NotSupportedError(f"HAVING inside {c.name} is not available.", span=c.span)


def _sum(c: Call) -> exp.Expression:
    """SUM of INT64 is INT64 (DuckDB's would be a 128-bit number)."""
    c.need(1)
    value = wide(c.args[0])
    total = _assemble(c, "sum", [value])
    if c.windowed or c.node.find_ancestor(exp.Pivot):
        return total
    return template("cast_to_type({0}, any_value({1}) + CAST(0 AS BIGINT))", total, value.copy())


def sum_over(window: exp.Expression) -> exp.Expression:
    """SUM(x) OVER (...) as INT64 where x is."""
    inner = window.this
    value = inner.expressions[0]
    while isinstance(value, exp.Distinct | exp.Order):
        value = value.expressions[0] if isinstance(value, exp.Distinct) else value.this
    return template("cast_to_type({0}, {1} + CAST(0 AS BIGINT))", window.copy(), value.copy())


def _count(c: Call) -> exp.Expression:
    if not c.args:
        return call("count", exp.Star())
    return _assemble(c, "count", c.args)


def _countif(c: Call) -> exp.Expression:
    c.need(1)
    if c.distinct:
        raise ParseError("COUNTIF must not have DISTINCT.", span=c.span)
    return template("count(nullif({0}, FALSE))", c.args[0])


def _array_agg(c: Call) -> exp.Expression:
    c.need(1)
    if c.having is not None:
        return _having(c)
    value = wide(c.args[0])
    result = _assemble(c, "list", [value])
    if c.windowed:
        return result
    if c.ignore_nulls:
        result = exp.Filter(this=result, expression=exp.Where(this=template("NOT {0} IS NULL", value.copy())))
    if c.limit is not None:
        result = call("array_slice", result, 1, c.limit)
    return tag(at_least(result, 1 if c.limit is None or c.limit.name != "0" else 0), "array")


def _string_agg(c: Call) -> exp.Expression:
    c.need(1, 2)
    mark = c.args[1] if len(c.args) == 2 else literal(",")
    if c.limit is None:
        return tag(_string_agg_call(c, mark), "string")
    values = _assemble(c, "list", [c.args[0]])
    kept = exp.Filter(this=values, expression=exp.Where(this=template("NOT {0} IS NULL", c.args[0].copy())))
    return tag(template("array_to_string({0}, {1})", call("array_slice", kept, 1, c.limit), mark), "string")


def _string_agg_call(c: Call, mark: exp.Expression) -> exp.Expression:
    first: exp.Expression = exp.Distinct(expressions=[c.args[0]]) if c.distinct else c.args[0]
    last = exp.Order(this=mark, expressions=[o.copy() for o in c.order]) if c.order else mark
    return exp.Anonymous(this="string_agg", expressions=[first, last])


def _array_concat_agg(c: Call) -> exp.Expression:
    c.need(1)
    values = _assemble(c, "list", [c.args[0]])
    kept = exp.Filter(this=values, expression=exp.Where(this=template("NOT {0} IS NULL", c.args[0].copy())))
    listed = call("array_slice", kept, 1, c.limit) if c.limit is not None else kept
    return tag(call("flatten", listed), "array")


def _quantiles(c: Call) -> exp.Expression:
    """n + 1 boundaries by nearest rank; exact, so that a repeated run gives the same."""
    c.need(2)
    count = c.integer(1, "number of quantiles")
    if count < 1:
        raise ParseError(f"the number of quantiles must be positive. Got {count}.", span=c.span)
    if c.ignore_nulls is not False:
        # A rank that is a whole number must not be pushed up by the rounding of q * n.
        points = template(f"list_transform(range(0, {count + 1}), lambda i: greatest(i / {count} - 1e-13, 0))")
        return tag(at_least(_assemble(c, "quantile_disc", [c.args[0], points]), count + 1), "array")
    ordered = call("list_sort", _assemble(c, "list", [c.args[0]]), "ASC", "NULLS FIRST")
    ranks = (
        f"list_extract(list_transform([{{0}}], lambda v: list_transform(range(0, {count + 1}),"
        f" lambda i: list_extract(v, greatest((i * len(v) + {count - 1}) // {count}, 1)))), 1)"
    )
    return tag(at_least(template(ranks, ordered), count + 1), "array")


def _top_count(c: Call) -> exp.Expression:
    """The most frequent values with their counts; NULL counts as a value."""
    c.need(2)
    text = (
        "array_slice(list_transform(list_sort(list_transform(list_concat(map_entries(histogram({0})),"
        " CASE WHEN count(*) > count({0}) THEN [struct_pack(key := cast_to_type(NULL, any_value({0})),"
        " value := CAST(count(*) - count({0}) AS UBIGINT))] ELSE [] END),"
        " lambda __e: struct_pack(n := -CAST(__e.value AS BIGINT), v := __e.key))),"
        " lambda __e: struct_pack(value := __e.v, count := -__e.n)), 1, {1})"
    )
    return tag(template(text, c.args[0], c.args[1]), "array")


def _percentile(name: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2)
        if c.ignore_nulls is False:
            raise NotSupportedError(f"RESPECT NULLS in {c.name} is not available.", span=c.span)
        return call(name, *c.args)

    return rule


def _by(name: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2)
        return call(name, *c.args)

    return rule


def _corr(c: Call) -> exp.Expression:
    """NULL for fewer than two pairs (DuckDB gives NaN)."""
    c.need(2)
    if c.windowed:
        return _assemble(c, "corr", c.args)
    return template("CASE WHEN regr_count({0}, {1}) > 1 THEN corr({0}, {1}) END", *c.args)


def _approx_count(c: Call) -> exp.Expression:
    c.need(1)
    return call("count", exp.Distinct(expressions=[c.args[0]]))


def _lag(name: str) -> Function:
    """The offset may be an INT64; a default keeps the type of the value."""

    def rule(c: Call) -> exp.Expression:
        c.need(1, 3)
        return _assemble(c, name, c.args)

    return rule


_SAME = (
    "AVG MIN MAX STDDEV STDDEV_SAMP STDDEV_POP VARIANCE VAR_SAMP VAR_POP COVAR_SAMP COVAR_POP BIT_AND"
    " BIT_OR BIT_XOR FIRST_VALUE LAST_VALUE NTH_VALUE RANK DENSE_RANK ROW_NUMBER NTILE PERCENT_RANK"
    " CUME_DIST GROUPING"
).split()

FUNCTIONS: dict[str, Function] = {
    **{name: _plain(name.lower()) for name in _SAME},
    "SUM": _sum,
    "COUNT": _count,
    "CORR": _corr,
    "COUNTIF": _countif,
    "ANY_VALUE": _plain("any_value"),
    "ARRAY_AGG": _array_agg,
    "ARRAY_CONCAT_AGG": _array_concat_agg,
    "STRING_AGG": _string_agg,
    "LOGICAL_AND": _plain("bool_and"),
    "LOGICAL_OR": _plain("bool_or"),
    "MAX_BY": _by("arg_max"),
    "MIN_BY": _by("arg_min"),
    "APPROX_COUNT_DISTINCT": _approx_count,
    "APPROX_QUANTILES": _quantiles,
    "APPROX_TOP_COUNT": _top_count,
    "PERCENTILE_CONT": _percentile("quantile_cont"),
    "PERCENTILE_DISC": _percentile("quantile_disc"),
    "LAG": _lag("lag"),
    "LEAD": _lag("lead"),
}
KINDS: dict[str, str] = {
    **dict.fromkeys("COUNT COUNTIF RANK DENSE_RANK ROW_NUMBER NTILE APPROX_COUNT_DISTINCT GROUPING".split(), "int"),
    **dict.fromkeys(
        "AVG STDDEV STDDEV_SAMP STDDEV_POP VARIANCE VAR_SAMP VAR_POP CORR COVAR_SAMP COVAR_POP".split(),
        "float",
    ),
    **dict.fromkeys("LOGICAL_AND LOGICAL_OR".split(), "bool"),
}
