"""FORMAT_DATE, PARSE_TIMESTAMP and their kin: format elements, translated where DuckDB has them too."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import call, cast, concat, kind_of, literal, string_of, tag, template
from sqlml.translate.context import Call, Context
from sqlml.translate.rules import Function
from sqlml.translate.zones import offset_seconds, timestamp_literal, to_instant, to_local

_ELEMENT = re.compile(r"%(E\dS|E\*S|E4Y|Ez|E[CcXxYy]|O[dHIMmSUuVWwy]|[-_0^#]?[A-Za-z%])")
_SAME = set("AaBbdGHIjMmpSUuVWwYy")
_EXPANDED = {
    "c": "%a %b %e %H:%M:%S %Y",
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "R": "%H:%M",
    "h": "%b",
    "E4Y": "%Y",
    "n": "\n",
    "t": "\t",
}
# Elements that DuckDB's strftime lacks, over the value {0}.
_COMPUTED = {
    "e": "lpad(CAST(day({0}) AS VARCHAR), 2, ' ')",
    "k": "lpad(CAST(hour({0}) AS VARCHAR), 2, ' ')",
    "l": "lpad(CAST((hour({0}) + 11) % 12 + 1 AS VARCHAR), 2, ' ')",
    "C": "printf('%02d', year({0}) // 100)",
    "g": "printf('%02d', isoyear({0}) % 100)",
    "Q": "CAST(quarter({0}) AS VARCHAR)",
    "P": "lower(strftime({0}, '%p'))",
    "s": "CAST(CAST(floor(epoch({0})) AS BIGINT) AS VARCHAR)",
    "E*S": "regexp_replace(strftime({0}, '%S.%f'), '\\.?0*$', '')",
    "J": "printf('%03d', (weekofyear({0}) - 1) * 7 + isodow({0}))",
}
_PARSED = {
    **{k: v.replace("%e", "%d") for k, v in _EXPANDED.items()},
    "e": "%d",
    "k": "%H",
    "l": "%I",
    "P": "%p",
    "Ez": "%z",
    "z": "%z",
    "n": " ",
    "t": " ",
}
_CAST_ELEMENTS = re.compile(
    r"YYYY|YY|MONTH|MON|MM|DDD|DD|DAY|DY|D|HH24|HH12|HH|MI|SS|AM|PM|TZH|\"[^\"]*\"|[A-Za-z]+|.",
    re.I,
)
_CAST_STRFTIME = {
    "YYYY": "%Y", "YY": "%y", "MONTH": "%B", "MON": "%b", "MM": "%m", "DDD": "%j", "DD": "%d", "DAY": "%A",
    "DY": "%a", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M", "SS": "%S", "AM": "%p",
    "PM": "%p", "TZH": "%z",
}  # fmt: skip


def _local(value: exp.Expression, family: str, zone: exp.Expression | None) -> exp.Expression:
    """The value as DATE or TIMESTAMP, which is what strftime takes."""
    known = kind_of(value)
    if family == "TIMESTAMP":
        text = string_of(value)
        instant = timestamp_literal(text) if text is not None else value
        if known not in ("timestamp", "string"):
            instant = cast(value, "TIMESTAMPTZ")
        return to_local(instant, zone)
    if family == "TIME":
        return template("DATE '1970-01-01' + CAST({0} AS TIME)", value)
    wanted = {"DATE": "DATE", "DATETIME": "TIMESTAMP"}[family]
    return value if known == family.lower() else cast(value, wanted)


def format_rule(family: str) -> Function:
    """FORMAT_<family>(format, value[, zone])."""

    def rule(c: Call) -> exp.Expression:
        c.need(2, 3 if family == "TIMESTAMP" else 2)
        zone = c.args[2] if len(c.args) == 3 else None
        local = _local(c.args[1], family, zone)
        pattern = string_of(c.args[0])
        if pattern is None:
            return tag(call("strftime", local, _dynamic(c)), "string")
        return tag(_formatted(pattern, local, c.args[1], zone, c), "string")

    return rule


def _dynamic(c: Call) -> exp.Expression:
    """A format that is a query parameter: the short forms are expanded when it is known."""
    pattern = c.args[0]
    if not isinstance(pattern, exp.Parameter):
        raise NotSupportedError(f"the format of {c.name} must be a string that is written out.", span=c.span)
    for short, long in (("%F", "%Y-%m-%d"), ("%T", "%H:%M:%S"), ("%D", "%m/%d/%y"), ("%R", "%H:%M")):
        pattern = call("replace", pattern, short, long)
    return pattern


def _formatted(
    pattern: str, local: exp.Expression, value: exp.Expression, zone: exp.Expression | None, c: Call
) -> exp.Expression:
    parts: list[exp.Expression] = []
    run = ""
    for element, plain in _elements(pattern):
        name = element.lstrip("O") if len(element) > 1 and element[0] == "O" else element
        if not name:
            run += plain.replace("%", "%%")
        elif name in _SAME or name == "%":
            run += f"%{name}"
        elif re.fullmatch(r"E\dS", name):
            digits = int(name[1])
            length = 3 + digits if digits else 2
            seconds = template(f"left(strftime({{0}}, '%S.%f'), {length})", local.copy())
            parts += [*_flush(run, local), seconds]
            run = ""
        elif name in _COMPUTED:
            parts += [*_flush(run, local), template(_COMPUTED[name], local.copy())]
            run = ""
        elif name in ("z", "Ez", "Z"):
            parts += [*_flush(run, local), _zone_text(name, local, value, zone)]
            run = ""
        else:
            raise NotSupportedError(f"%{element} in the format of {c.name} is not available.", span=c.span)
    parts += _flush(run, local)
    return concat(parts)


def _elements(pattern: str) -> list[tuple[str, str]]:
    """(element, '') and ('', plain text) in order, with the short forms expanded."""
    found: list[tuple[str, str]] = []
    at = 0
    for match in _ELEMENT.finditer(pattern):
        if match.start() > at:
            found.append(("", pattern[at : match.start()]))
        at = match.end()
        name = match.group(1)
        if name in _EXPANDED:
            found.extend(_elements(_EXPANDED[name]))
        else:
            found.append((name, ""))
    if at < len(pattern):
        found.append(("", pattern[at:]))
    return found


def _flush(run: str, local: exp.Expression) -> list[exp.Expression]:
    if not run:
        return []
    if "%" not in run.replace("%%", ""):
        return [literal(run.replace("%%", "%"))]
    return [call("strftime", local.copy(), run)]


def _zone_text(name: str, local: exp.Expression, value: exp.Expression, zone: exp.Expression | None) -> exp.Expression:
    """%z as +hhmm, %Ez as +hh:mm, %Z as UTC or UTC+h."""
    known = string_of(zone) if zone is not None else "UTC"
    if known is not None and (known.upper() in ("UTC", "Z") or offset_seconds(known) is not None):
        seconds = offset_seconds(known) or 0
        sign, minutes = "-" if seconds < 0 else "+", abs(seconds) // 60
        hours, rest = divmod(minutes, 60)
        if name == "Z":
            return literal("UTC" if not seconds else f"UTC{sign}{hours}" + (f":{rest:02d}" if rest else ""))
        return literal(f"{sign}{hours:02d}{':' if name == 'Ez' else ''}{rest:02d}")
    minutes_east = template(
        "CAST(epoch({0}) - epoch(CAST({1} AS TIMESTAMPTZ)) AS BIGINT) // 60", local.copy(), value.copy()
    )
    if name == "Z":
        text = "'UTC' || CASE WHEN {0} = 0 THEN '' ELSE printf('%+d', {0} // 60) END"
        return template(text, minutes_east)
    mark = ":" if name == "Ez" else ""
    return template(
        f"(CASE WHEN {{0}} < 0 THEN '-' ELSE '+' END) || printf('%02d{mark}%02d', abs({{0}}) // 60, abs({{0}}) % 60)",
        minutes_east,
    )


def timestamp_text(value: exp.Expression, zone: exp.Expression) -> exp.Expression:
    """STRING(timestamp, zone): 2021-01-20 21:47:00-08."""
    local = _local(value, "TIMESTAMP", zone)
    offset = _zone_text("Ez", local, value, zone)
    return template(
        "regexp_replace(strftime({0}, '%Y-%m-%d %H:%M:%S.%f'), '\\.?0*$', '') || regexp_replace({1}, ':00$', '')",
        local,
        offset,
    )


def parse_rule(family: str) -> Function:
    """PARSE_<family>(format, text[, zone]); parts that the format lacks are those of 1970-01-01."""

    def rule(c: Call) -> exp.Expression:
        c.need(2, 3 if family == "TIMESTAMP" else 2)
        pattern = string_of(c.args[0])
        zone = c.args[2] if len(c.args) == 3 else None
        if pattern is not None and pattern.strip() == "%s":
            instant: exp.Expression = template("make_timestamptz(CAST({0} AS BIGINT) * 1000000)", c.args[1])
            return _as(family, to_local(instant, None) if family != "TIMESTAMP" else instant)
        if pattern is None:
            found: exp.Expression = call("strptime", c.args[1], _dynamic(c))
            return _as(family, to_instant(found, zone) if family == "TIMESTAMP" else found)
        text, zoned = _parse_format(pattern, c)
        source = c.args[1]
        if not re.search(r"%[YyGs]", text):
            text, source = "%Y " + text, template("'1970 ' || {0}", source)
        formats: list[exp.Expression] = [literal(text)]
        if "%S.%f" in text and "E*S" in pattern:
            formats.append(literal(text.replace("%S.%f", "%S")))
        found = call("strptime", source, formats[0] if len(formats) == 1 else exp.Array(expressions=formats))
        if family != "TIMESTAMP":
            return _as(family, to_local(cast(found, "TIMESTAMPTZ"), None) if zoned else found)
        return tag(found, "timestamp") if zoned else to_instant(found, zone)

    return rule


def _as(family: str, found: exp.Expression) -> exp.Expression:
    kind = {"DATE": "DATE", "TIME": "TIME", "DATETIME": "TIMESTAMP"}.get(family)
    return tag(cast(found, kind) if kind else found, family.lower())


def _parse_format(pattern: str, c: Call) -> tuple[str, bool]:
    """The strptime format, and whether it reads a time zone."""
    result, at, zoned = "", 0, False
    for match in _ELEMENT.finditer(pattern):
        result += pattern[at : match.start()].replace("%", "%%")
        at = match.end()
        name = match.group(1)
        if name in ("z", "Ez", "Z"):
            zoned = True
        if name in _SAME or name in ("%", "Z"):
            result += f"%{name}"
        elif name in _PARSED:
            result += _PARSED[name]
        elif name == "E*S" or re.fullmatch(r"E[1-9]S", name):
            result += "%S.%f"
        elif name == "E0S":
            result += "%S"
        else:
            raise NotSupportedError(f"%{name} in the format of {c.name} is not available.", span=c.span)
    return result + pattern[at:], zoned


def cast_with_format(
    value: exp.Expression, target: exp.Expression, pattern: exp.Expression, context: Context
) -> exp.Expression:
    """CAST(x AS STRING FORMAT '...') and back."""
    zone: exp.Expression | None = None
    if isinstance(pattern, exp.AtTimeZone):
        pattern, zone = pattern.this, pattern.args["zone"]
    text = string_of(pattern)
    if text is None:
        raise NotSupportedError(
            "the FORMAT of a CAST must be a string that is written out.", span=context.span(pattern)
        )
    made, loud = "", False
    for match in _CAST_ELEMENTS.finditer(text):
        word = match.group(0)
        if word.upper() in _CAST_STRFTIME:
            loud = loud or word in ("MONTH", "MON", "DAY", "DY")
            made += _CAST_STRFTIME[word.upper()]
        elif word.startswith('"'):
            made += word.strip('"').replace("%", "%%")
        elif word.isalpha() and word.upper() != "T":
            raise NotSupportedError(f"{word} in the FORMAT of a CAST is not available.", span=context.span(pattern))
        else:
            made += word.replace("%", "%%")
    name = target.sql("bigquery").upper()
    if name.startswith("STRING"):
        if zone is not None:
            value = to_local(value, zone)
        shown = call("strftime", value, made)
        return tag(call("upper", shown) if loud else shown, "string")
    kinds = {"DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ", "TIME": "TIME"}
    if name not in kinds:
        raise ParseError(f"CAST to {name} must not have a FORMAT.", span=context.span(pattern))
    parsed = call("strptime", value, made)
    return to_instant(parsed, zone) if name == "TIMESTAMP" else tag(cast(parsed, kinds[name]), name.lower())
