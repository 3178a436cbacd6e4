"""DATE, DATETIME, TIME and TIMESTAMP functions.

A TIMESTAMP is an instant (DuckDB's TIMESTAMPTZ), a DATETIME shows on a clock (DuckDB's TIMESTAMP);
the session's zone is UTC. Weeks start on Sunday unless the part says ISOWEEK or WEEK(day).
"""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import call, cast, kind_of, literal, string_of, tag, template
from sqlml.translate.context import Call, Context
from sqlml.translate.expressions import current
from sqlml.translate.formats import format_rule, parse_rule
from sqlml.translate.intervals import make_interval, unit_of
from sqlml.translate.rules import Function
from sqlml.translate.types import convert
from sqlml.translate.zones import to_instant, to_local

_DAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
_MICROSECONDS = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_DUCK = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ", "TIME": "TIME"}
_SIMPLE = (
    "MICROSECOND",
    "MILLISECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "MONTH",
    "QUARTER",
    "YEAR",
    "ISOYEAR",
)


def week_start(unit: str) -> int | None:
    """The first day (0 = Sunday) of the weeks that a part means, None for other parts."""
    if unit == "WEEK":
        return 0
    if unit == "ISOWEEK":
        return 1
    if unit.startswith("WEEK(") and unit[5:-1] in _DAYS:
        return _DAYS.index(unit[5:-1])
    return None


def _part(c: Call, at: int) -> str:
    unit = unit_of(c.args[at], c.context)
    if week_start(unit) is None and unit not in _SIMPLE:
        raise ParseError(f"{unit} must be a date part such as DAY.", span=c.context.span(c.args[at]) or c.span)
    return unit


def _typed(value: exp.Expression, family: str) -> exp.Expression:
    """A string literal as the type that the function wants; anything else as it is."""
    return convert(value, _DUCK[family]) if string_of(value) is not None else value


def _shift_days(start: int) -> int:
    """Days to add so that weeks from `start` become weeks from Monday, as DuckDB has them."""
    return (1 - start) % 7


def _week_number(value: exp.Expression, start: int) -> exp.Expression:
    """A running number of weeks: 0001-01-01 was a Monday."""
    return template(f"(CAST({{0}} AS DATE) - DATE '0001-01-01' + {_shift_days(start)}) // 7", value)


def _difference(family: str) -> Function:
    """DATE_DIFF and DATETIME_DIFF count the boundaries that are crossed."""

    def rule(c: Call) -> exp.Expression:
        c.need(3)
        unit = _part(c, 2)
        late, early = _typed(c.args[0], family), _typed(c.args[1], family)
        start = week_start(unit)
        if start is not None:
            return tag(template("{0} - {1}", _week_number(late, start), _week_number(early, start)), "int")
        if unit == "ISOYEAR":
            return tag(template("isoyear({0}) - isoyear({1})", late, early), "int")
        return tag(call("datediff", unit.lower(), early, late), "int")

    return rule


def _timestamp_difference(c: Call) -> exp.Expression:
    """Whole units between two instants, cut towards zero."""
    c.need(3)
    unit = _part(c, 2)
    if unit not in _MICROSECONDS:
        if kind_of(c.args[0]) == "date" or week_start(unit) is not None or unit in ("MONTH", "QUARTER", "YEAR"):
            return _difference("TIMESTAMP")(c)  # type: ignore[operator]
        raise ParseError(f"TIMESTAMP_DIFF must not have the part {unit}.", span=c.span)
    late, early = _typed(c.args[0], "TIMESTAMP"), _typed(c.args[1], "TIMESTAMP")
    size = _MICROSECONDS[unit]
    if size == 1:
        return tag(template("epoch_us({0}) - epoch_us({1})", late, early), "int")
    return tag(template(f"(epoch_us({{0}}) - epoch_us({{1}})) // {size}", late, early), "int")


def truncate(value: exp.Expression, unit: str) -> exp.Expression:
    """The start of the unit that `value` lies in, as TIMESTAMP or TIMESTAMPTZ."""
    start = week_start(unit)
    if start is None:
        return call("date_trunc", unit.lower(), value)
    days = _shift_days(start)
    if not days:
        return call("date_trunc", "week", value)
    return template(f"date_trunc('week', {{0}} + INTERVAL {days} DAY) - INTERVAL {days} DAY", value)


def _truncation(family: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(1, 3)
        unit = _part(c, 1) if len(c.args) > 1 else "DAY"
        value = _typed(c.args[0], family)
        if family == "TIME":
            shifted = template("DATE '1970-01-01' + {0}", value)
            return tag(cast(truncate(shifted, unit), "TIME"), "time")
        if len(c.args) == 3:
            local = to_local(cast(value, "TIMESTAMPTZ"), c.args[2])
            return to_instant(truncate(local, unit), c.args[2])
        known = kind_of(value)
        if known in ("datetime", "timestamp"):
            return tag(truncate(value, unit), known)
        if known == "date":
            return tag(cast(truncate(value, unit), "DATE"), "date")
        return template("cast_to_type({0}, {1})", truncate(value, unit), value.copy())

    return rule


def _moved(family: str, sign: str) -> Function:
    """DATE_ADD and its kin: the type of the first argument stays."""

    def rule(c: Call) -> exp.Expression:
        c.need(2)
        known = c.args[1].meta.get("sqlml_interval")
        value = _typed(c.args[0], family)
        if family == "DATE":
            value = value if kind_of(value) == "date" else cast(value, "DATE")
            if known is not None and known[1] == "DAY":
                return tag(template(f"{{0}} {sign} CAST({{1}} AS INTEGER)", value, known[0]), "date")
            return tag(cast(template(f"{{0}} {sign} {{1}}", value, c.args[1]), "DATE"), "date")
        if family == "DATETIME" and kind_of(value) != "datetime":
            value = cast(value, "TIMESTAMP")
        return tag(template(f"{{0}} {sign} {{1}}", value, c.args[1]), family.lower())

    return rule


def _date(c: Call) -> exp.Expression:
    c.need(1, 3)
    if len(c.args) == 3:
        return tag(call("make_date", *[cast(a, "BIGINT") for a in c.args]), "date")
    if len(c.args) == 2:
        return tag(cast(to_local(_instant(c.args[0]), c.args[1]), "DATE"), "date")
    return tag(cast(c.args[0], "DATE"), "date")


def _instant(value: exp.Expression) -> exp.Expression:
    return value if kind_of(value) == "timestamp" else convert(value, "TIMESTAMPTZ")


def _timestamp(c: Call) -> exp.Expression:
    c.need(1, 2)
    if len(c.args) == 1:
        return _instant(c.args[0])
    return to_instant(cast(c.args[0], "TIMESTAMP"), c.args[1])


def _datetime(c: Call) -> exp.Expression:
    """DATETIME(y, m, d, h, m, s), DATETIME(date, time), DATETIME(timestamp, zone), DATETIME(x)."""
    if len(c.args) == 6:
        parts = [cast(a, "BIGINT") for a in c.args[:5]]
        return tag(call("make_timestamp", *parts, cast(c.args[5], "DOUBLE")), "datetime")
    c.need(1, 2)
    if len(c.args) == 1:
        return tag(cast(c.args[0], "TIMESTAMP"), "datetime")
    second = c.args[1]
    if kind_of(second) == "time":
        return tag(template("CAST({0} AS DATE) + {1}", c.args[0], second), "datetime")
    if kind_of(second) == "string":
        return to_local(_instant(c.args[0]), second)
    text = (
        "CASE WHEN typeof({1}) = 'TIME' THEN CAST({0} AS DATE) + TRY_CAST({1} AS TIME)"
        " ELSE CAST({0} AS TIMESTAMPTZ) AT TIME ZONE CAST({1} AS VARCHAR) END"
    )
    return tag(template(text, c.args[0], second), "datetime")


def _time(c: Call) -> exp.Expression:
    c.need(1, 3)
    if len(c.args) == 3:
        parts = [cast(a, "BIGINT") for a in c.args[:2]]
        return tag(call("make_time", *parts, cast(c.args[2], "DOUBLE")), "time")
    if len(c.args) == 2:
        return tag(cast(to_local(_instant(c.args[0]), c.args[1]), "TIME"), "time")
    if kind_of(c.args[0]) == "timestamp":
        return tag(cast(to_local(c.args[0], None), "TIME"), "time")
    return tag(cast(c.args[0], "TIME"), "time")


def _last_day(c: Call) -> exp.Expression:
    c.need(1, 2)
    unit = _part(c, 1) if len(c.args) == 2 else "MONTH"
    value = _typed(c.args[0], "DATE")
    if unit == "MONTH":
        return tag(call("last_day", value), "date")
    length = {"YEAR": "1 YEAR", "QUARTER": "3 MONTH"}.get(unit, "7 DAY")
    if unit == "ISOYEAR":
        later = template("date_trunc('isoyear', date_trunc('isoyear', {0}) + INTERVAL 54 WEEK)", value)
        return tag(template("CAST({0} - INTERVAL 1 DAY AS DATE)", later), "date")
    return tag(template(f"CAST({{0}} + INTERVAL {length} - INTERVAL 1 DAY AS DATE)", truncate(value, unit)), "date")


def _bucket(family: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(2, 3)
        kind = _DUCK[family]
        origin = _typed(c.args[2], family) if len(c.args) == 3 else convert(literal("1950-01-01"), kind)
        return tag(cast(call("time_bucket", c.args[1], _typed(c.args[0], family), origin), kind), family.lower())

    return rule


def _now(kind: str | None, family: str) -> Function:
    def rule(c: Call) -> exp.Expression:
        c.need(0, 0 if kind is None else 1)
        return current(kind, family, c.args[0] if c.args else None)

    return rule


def _make_interval(c: Call) -> exp.Expression:
    """MAKE_INTERVAL(year, month, day, hour, minute, second), by position or by name."""
    names = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
    c.need(0, 6)
    total: exp.Expression | None = None
    for at, arg in enumerate(c.args):
        named = isinstance(arg, exp.Kwarg)
        unit = arg.this.name.upper() if named else names[at]
        if unit not in names:
            raise ParseError(f"{unit} must be a part such as day.", span=c.span)
        amount = make_interval(arg.expression if named else arg, unit)
        total = amount if total is None else exp.Add(this=total, expression=amount)
    return tag(total or make_interval(literal(0), "DAY"), "interval")


def rewrite_extract(node: exp.Expression, context: Context) -> exp.Expression:
    """EXTRACT(part FROM value [AT TIME ZONE zone])."""
    value = node.expression
    if isinstance(value, exp.AtTimeZone):
        value = to_local(value.this, value.args["zone"])
    unit = unit_of(node.this, context)
    if unit in ("DATE", "TIME"):
        if kind_of(value) == "timestamp":
            value = to_local(value, None)
        return tag(cast(value, unit), unit.lower())
    if unit == "DATETIME":
        return tag(cast(value, "TIMESTAMP"), "datetime")
    number = _number(value, unit)
    if number is None:
        raise NotSupportedError(f"EXTRACT({unit} FROM ...) is not available.", span=context.span(node))
    return tag(number, "int")


def _number(value: exp.Expression, unit: str) -> exp.Expression | None:
    if unit == "DAYOFWEEK":
        return template("dayofweek({0}) + 1", value)
    if unit == "ISOWEEK":
        return call("weekofyear", value)
    start = week_start(unit)
    if start is not None:
        since = "dayofweek({0})" if start == 0 else f"(dayofweek({{0}}) + {7 - start}) % 7"
        return template(f"(dayofyear({{0}}) + 6 - {since}) // 7", value)
    if unit in ("MICROSECOND", "MILLISECOND"):
        return template(f"{unit.lower()}({{0}}) % {1_000_000 if unit == 'MICROSECOND' else 1_000}", value)
    if unit in (*_SIMPLE, "DAYOFYEAR"):
        return call(unit.lower(), value)
    return None


FUNCTIONS: dict[str, Function] = {
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "TIME": _time,
    **{f"{f}_ADD": _moved(f, "+") for f in _DUCK},
    **{f"{f}_SUB": _moved(f, "-") for f in _DUCK},
    **{f"{f}_TRUNC": _truncation(f) for f in _DUCK},
    **{f"{f}_BUCKET": _bucket(f) for f in ("DATE", "DATETIME", "TIMESTAMP")},
    **{f"FORMAT_{f}": format_rule(f) for f in _DUCK},
    **{f"PARSE_{f}": parse_rule(f) for f in _DUCK},
    "DATE_DIFF": _difference("DATE"),
    "DATETIME_DIFF": _difference("DATETIME"),
    "TIME_DIFF": _difference("TIME"),
    "TIMESTAMP_DIFF": _timestamp_difference,
    "LAST_DAY": _last_day,
    "CURRENT_DATE": _now("DATE", "date"),
    "CURRENT_DATETIME": _now("TIMESTAMP", "datetime"),
    "CURRENT_TIME": _now("TIME", "time"),
    "CURRENT_TIMESTAMP": _now(None, "timestamp"),
    "DATE_FROM_UNIX_DATE": "DATE '1970-01-01' + CAST({0} AS INTEGER)",
    "UNIX_DATE": "CAST({0} AS DATE) - DATE '1970-01-01'",
    "UNIX_SECONDS": "CAST(floor(epoch_us({0}) / 1000000) AS BIGINT)",
    "UNIX_MILLIS": "CAST(floor(epoch_us({0}) / 1000) AS BIGINT)",
    "UNIX_MICROS": "epoch_us({0})",
    "TIMESTAMP_SECONDS": "make_timestamptz(CAST({0} AS BIGINT) * 1000000)",
    "TIMESTAMP_MILLIS": "make_timestamptz(CAST({0} AS BIGINT) * 1000)",
    "TIMESTAMP_MICROS": "make_timestamptz(CAST({0} AS BIGINT))",
    "MAKE_INTERVAL": _make_interval,
}
KINDS: dict[str, str] = {
    "DATE_FROM_UNIX_DATE": "date",
    **dict.fromkeys("UNIX_DATE UNIX_SECONDS UNIX_MILLIS UNIX_MICROS".split(), "int"),
    **dict.fromkeys("TIMESTAMP_SECONDS TIMESTAMP_MILLIS TIMESTAMP_MICROS".split(), "timestamp"),
}
