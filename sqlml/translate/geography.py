"""GEOGRAPHY points.

A GEOGRAPHY is its well-known text, the form in which the service shows and exports it; points are computed with, other
shapes are only kept. Distances are those on the service's sphere. A point that is made and used in one
expression never becomes text: its coordinates travel with the node.
"""

from __future__ import annotations

from sqlglot import exp

from sqlml.errors import NotSupportedError
from sqlml.translate.build import call, cast, kind_of, literal, tag, template
from sqlml.translate.context import Call
from sqlml.translate.rules import Function

_RADIUS = 6371010
"""Of the sphere, in metres (S2 geometry's mean radius of the Earth)."""
_NUMBER = "([-+0-9.eE]+)"
_POINT = f"^(?i:POINT) ?\\({_NUMBER} {_NUMBER}\\)$"
_COORDINATES = "coordinates"
_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"
Point = tuple[exp.Expression, exp.Expression]


def _made(longitude: exp.Expression, latitude: exp.Expression) -> exp.Expression:
    """The text of a point, with its coordinates at hand."""
    short = "regexp_replace(CAST({%d} AS VARCHAR), '\\.0$', '')"
    node = template(f"'POINT(' || {short % 0} || ' ' || {short % 1} || ')'", longitude, latitude)
    node.meta[_COORDINATES] = (longitude, latitude)
    return tag(node, "string")


def _point(c: Call) -> exp.Expression:
    """ST_GEOGPOINT(longitude, latitude)."""
    c.need(2)
    rule = "ST_GEOGPOINT must have a latitude from -90 to 90."
    latitude = template(f"CASE WHEN abs({{0}}) > 90 THEN error('{rule}') ELSE {{0}} END", c.args[1])
    return _made(cast(c.args[0], "DOUBLE"), cast(latitude, "DOUBLE"))


def _coordinates(node: exp.Expression) -> Point:
    """(longitude, latitude) of a point."""
    found = node.meta.get(_COORDINATES)
    if found is not None:
        return found[0].copy(), found[1].copy()
    text = node if kind_of(node) == "string" else template("CAST({0} AS VARCHAR)", node)
    parts = [
        template(
            f"CASE WHEN {{0}} IS NULL OR regexp_matches({{0}}, '{_POINT}')"
            f" THEN CAST(regexp_extract({{0}}, '{_POINT}', {i}) AS DOUBLE)"
            " ELSE error('a point is needed here, and the GEOGRAPHY is ' || {0}) END",
            text,
        )
        for i in (1, 2)
    ]
    return parts[0], parts[1]


def _x(c: Call) -> exp.Expression:
    c.need(1)
    return tag(_coordinates(c.args[0])[0], "float")


def _y(c: Call) -> exp.Expression:
    c.need(1)
    return tag(_coordinates(c.args[0])[1], "float")


def _distance(c: Call) -> exp.Expression:
    """Metres between two points: the haversine formula."""
    c.need(2, 3)
    (x1, y1), (x2, y2) = _coordinates(c.args[0]), _coordinates(c.args[1])
    result = template(
        "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL AND {3} IS NOT NULL THEN"
        f" {2 * _RADIUS}e0 * asin(sqrt(least(1e0, pow(sin(radians({{3}} - {{1}}) / 2), 2)"
        " + cos(radians({1})) * cos(radians({3})) * pow(sin(radians({2} - {0}) / 2), 2)))) END",
        x1, y1, x2, y2,
    )  # fmt: skip
    return tag(result, "float")


def _near(c: Call) -> exp.Expression:
    """ST_DWITHIN(a, b, metres)."""
    c.need(3, 4)
    limit = c.args.pop(2)
    return tag(template("{0} <= {1}", _distance(c), limit), "bool")


def _snap(c: Call) -> exp.Expression:
    """Both coordinates at the nearest multiple of the grid's size, such as 0.01."""
    c.need(2)
    x, y = _coordinates(c.args[0])
    rounded = "round({0} * round(1e0 / {1})) / round(1e0 / {1})"
    return _made(template(rounded, x, c.args[1]), template(rounded, y, c.args[1]))


def _text(c: Call) -> exp.Expression:
    c.need(1)
    if _COORDINATES in c.args[0].meta:
        return c.args[0]
    return tag(template("regexp_replace(CAST({0} AS VARCHAR), '^([A-Za-z]+) \\(', '\\1(')", c.args[0]), "string")


def _read(c: Call) -> exp.Expression:
    """ST_GEOGFROMTEXT: points in one spelling, other shapes as they are written."""
    c.need(1, 2)
    point = f"^\\s*(?i:POINT)\\s*\\(\\s*{_NUMBER}\\s+{_NUMBER}\\s*\\)\\s*$"
    return tag(template(f"regexp_replace({{0}}, '{point}', 'POINT(\\1 \\2)')", c.args[0]), "string")


def _geohash(c: Call) -> exp.Expression:
    """Base 32 of the interleaved bits of longitude and latitude (Niemeyer's geohash), 20 letters unless told."""
    c.need(1, 2)
    x, y = _coordinates(c.args[0])
    most = c.args[1] if len(c.args) == 2 else literal(20)
    result = template(
        "array_to_string(list_transform(range(0, least({2}, 20)),"
        " lambda i: substr('" + _BASE32 + "', 1 + CAST(list_sum("
        "list_transform(range(0, 5), lambda j: (16 >> CAST(j AS INTEGER)) * (CAST(floor((CASE WHEN (5 * i + j) % 2 = 0"
        " THEN ({0} + 180) / 360 ELSE ({1} + 90) / 180 END) * pow(2e0, 1 + (5 * i + j) // 2)) AS HUGEINT) % 2)))"
        " AS INTEGER), 1)), '')",
        x, y, most,
    )  # fmt: skip
    return tag(result, "string")


def refuse(c: Call) -> exp.Expression:
    """A function of shapes other than points."""
    hint = "points can be used: ST_GEOGPOINT, ST_GEOGFROMTEXT, ST_DISTANCE, ST_DWITHIN, ST_X, ST_Y, ST_SNAPTOGRID."
    raise NotSupportedError(f"{c.name} is not available.", span=c.span, hint=hint)


def _equals(c: Call) -> exp.Expression:
    c.need(2)
    return tag(template("{0} = {1}", call("trim", _text_of(c.args[0])), call("trim", _text_of(c.args[1]))), "bool")


def _text_of(node: exp.Expression) -> exp.Expression:
    return template("CAST({0} AS VARCHAR)", node)


FUNCTIONS: dict[str, Function] = {
    "ST_GEOGPOINT": _point,
    "ST_GEOGFROMTEXT": _read,
    "ST_GEOGFROM": _read,
    "ST_ASTEXT": _text,
    "ST_X": _x,
    "ST_Y": _y,
    "ST_DISTANCE": _distance,
    "ST_DWITHIN": _near,
    "ST_SNAPTOGRID": _snap,
    "ST_GEOHASH": _geohash,
    "ST_EQUALS": _equals,
}
