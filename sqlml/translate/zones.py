"""Time zones and timestamp texts: GoogleSQL also takes offsets such as +08:00, DuckDB only names."""

from __future__ import annotations

import re

from sqlglot import exp

from sqlml.translate.build import cast, literal, string_of, tag, template

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?\Z", re.IGNORECASE)
_HAS_ZONE = re.compile(r"(?:[zZ]|[+-]\d{1,2}(?::\d{2})?|\s[A-Za-z]+(?:/[\w/+-]+)?)\Z")


def offset_seconds(text: str) -> int | None:
    """Seconds east of UTC of an offset such as '+08', '-3:30' or 'UTC+2', else None."""
    match = _OFFSET.match(text.strip())
    if not match:
        return None
    sign = -1 if match.group(1) == "-" else 1
    return sign * (int(match.group(2)) * 3600 + int(match.group(3) or 0) * 60)


def to_local(instant: exp.Expression, zone: exp.Expression | None) -> exp.Expression:
    """A TIMESTAMP (instant) as the DATETIME that clocks in `zone` show; UTC without a zone."""
    return _shift(instant, zone, 1, "datetime")


def to_instant(local: exp.Expression, zone: exp.Expression | None) -> exp.Expression:
    """A DATETIME of `zone` as a TIMESTAMP (instant); UTC without a zone."""
    return _shift(local, zone, -1, "timestamp")


def _shift(value: exp.Expression, zone: exp.Expression | None, sign: int, kind: str) -> exp.Expression:
    name = string_of(zone) if zone is not None else "UTC"
    seconds = offset_seconds(name) if name is not None else None
    if seconds is None:
        clean = literal(name) if name is not None else zone
        assert clean is not None
        return tag(template("{0} AT TIME ZONE {1}", value, clean), kind)
    if sign > 0:
        moved = template(f"({{0}} AT TIME ZONE 'UTC') + to_seconds({seconds})", value)
    else:
        moved = template(f"({{0}} - to_seconds({seconds})) AT TIME ZONE 'UTC'", value)
    return tag(moved, kind)


def timestamp_literal(text: str) -> exp.Expression:
    """TIMESTAMP '...': UTC unless the text names a zone."""
    text = text.strip()
    if not _HAS_ZONE.search(text) or re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", text):
        text += " UTC" if ":" in text else " 00:00:00 UTC"
    return tag(cast(literal(text), "TIMESTAMPTZ"), "timestamp")
