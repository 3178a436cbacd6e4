"""FORMAT('...', ...): the format must be written out; every specifier becomes its own expression."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError
from sqlml.translate.build import call, cast, concat, kind_of, literal, tag, template
from sqlml.translate.context import Call

_SPECIFIER = re.compile(r"%(?P<flags>[-+ #0']*)(?P<width>\d+|\*)?(?:\.(?P<precision>\d+|\*))?(?P<kind>[A-Za-z%])")


def rewrite_format(c: Call) -> exp.Expression:
    """The text that FORMAT builds; NULL when an argument of a specifier other than %t and %T is NULL."""
    text = c.text(0, "format")
    values = c.args[1:]
    parts: list[exp.Expression] = []
    at = used = 0
    for match in _SPECIFIER.finditer(text):
        if match.start() > at:
            parts.append(_plain(text[at : match.start()], c))
        at = match.end()
        if match["kind"] == "%":
            parts.append(literal("%"))
            continue
        if match["width"] == "*" or match["precision"] == "*":
            raise NotSupportedError("* in the format of FORMAT is not available.", span=c.span)
        if used >= len(values):
            raise ParseError("FORMAT must have one argument for each specifier.", span=c.span)
        parts.append(_specifier(match, values[used], c))
        used += 1
    if at < len(text):
        parts.append(_plain(text[at:], c))
    if used != len(values):
        raise ParseError("FORMAT must have one argument for each specifier.", span=c.span)
    return tag(concat(parts), "string")


def _plain(text: str, c: Call) -> exp.Expression:
    if "%" in text:
        raise ParseError("the format of FORMAT must use known specifiers such as %d.", span=c.span)
    return literal(text)


def _specifier(match: re.Match[str], value: exp.Expression, c: Call) -> exp.Expression:
    kind, flags = match["kind"], match["flags"]
    width = int(match["width"] or 0)
    precision = None if match["precision"] is None else int(match["precision"])
    clean = "".join(f for f in "-+ #0" if f in flags)
    sizes = (match["width"] or "") + ("" if precision is None else f".{precision}")
    if kind in "dioxX":
        number = cast(value, "BIGINT")
        if "'" in flags:
            if kind not in "di":
                raise NotSupportedError(f"%'{kind} in FORMAT is not available.", span=c.span)
            grouped = call("format", "{:+,d}" if "+" in flags else "{:,d}", number)
            return _pad(grouped, width, left="-" in flags)
        return call("printf", f"%{clean}{sizes}{'d' if kind == 'i' else kind}", number)
    if kind in "fFeEgG":
        number = value if kind_of(value) == "float" else cast(value, "DOUBLE")
        if "'" in flags and kind in "fF":
            grouped = call("format", "{:,." + str(6 if precision is None else precision) + "f}", number)
            return _pad(grouped, width, left="-" in flags)
        return call("printf", f"%{clean}{sizes}{kind}", number)
    if kind in "stT":
        return _text(kind, value, width, precision, left="-" in flags)
    if kind == "p":
        return cast(call("json", value), "VARCHAR")
    raise NotSupportedError(f"%{kind} in FORMAT is not available.", span=c.span)


def _text(kind: str, value: exp.Expression, width: int, precision: int | None, *, left: bool) -> exp.Expression:
    plain = cast(value, "VARCHAR") if kind_of(value) != "string" else value
    if kind == "t":
        plain = template("coalesce({0}, 'NULL')", plain)
    elif kind == "T":
        known = kind_of(value)
        text = "'\"' || replace(replace({0}, '\\', '\\\\'), '\"', '\\\"') || '\"'"
        if known == "string":
            plain = template(f"coalesce({text}, 'NULL')", plain)
        elif known in ("date", "datetime", "timestamp"):
            plain = template(f"coalesce('{known.upper()} ' || '\"' || {{0}} || '\"', 'NULL')", plain)
        elif known is None:
            dates = "WHEN typeof({1}) = 'DATE' THEN 'DATE \"' || {0} || '\"'"
            plain = template(
                f"coalesce(CASE WHEN typeof({{1}}) = 'VARCHAR' THEN {text} {dates} ELSE {{0}} END, 'NULL')",
                plain,
                value.copy(),
            )
        else:
            plain = template("coalesce({0}, 'NULL')", plain)
    if precision is not None:
        plain = call("left", plain, precision)
    return _pad(plain, width, left=left)


def _pad(text: exp.Expression, width: int, *, left: bool) -> exp.Expression:
    """Blanks up to `width`; longer text is not cut."""
    if not width:
        return text
    side = "rpad" if left else "lpad"
    return template(f"CASE WHEN length({{0}}) >= {width} THEN {{0}} ELSE {side}({{0}}, {width}, ' ') END", text)
