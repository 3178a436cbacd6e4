"""GEOGRAPHY points against published examples, spheres and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import sqlml
from sqlml.errors import NotSupportedError

RADIUS = 6371010

VALUES = [
    ("ST_GEOGPOINT(-73.98, 40)", "POINT(-73.98 40)"),
    ("ST_ASTEXT(ST_GEOGPOINT(1.5, 2))", "POINT(1.5 2)"),
    ("ST_X(ST_GEOGPOINT(1, 2))", 1.0),
    ("ST_Y(ST_GEOGFROMTEXT(' Point ( 1   2.5 ) '))", 2.5),
    ("ST_X(ST_GEOGFROM('POINT(-7e1 2.5)'))", -70.0),
    ("ST_ASTEXT(ST_SNAPTOGRID(ST_GEOGPOINT(-73.9876, 40.7304), 0.01))", "POINT(-73.99 40.73)"),
    ("ST_ASTEXT(ST_SNAPTOGRID(ST_GEOGFROMTEXT('POINT(-73.9876 40.7304)'), 0.1))", "POINT(-74 40.7)"),
    ("ST_GEOHASH(ST_GEOGPOINT(-122.35, 47.62), 10)", "c22yzugqw7"),
    ("ST_GEOHASH(ST_GEOGPOINT(-5.6, 42.6), 5)", "ezs42"),
    ("LENGTH(ST_GEOHASH(ST_GEOGPOINT(-5.6, 42.6)))", 20),
    ("ST_DWITHIN(ST_GEOGPOINT(0, 0), ST_GEOGPOINT(0, 0.001), 112)", True),
    ("ST_DWITHIN(ST_GEOGPOINT(0, 0), ST_GEOGPOINT(0, 0.001), 111)", False),
    ("ST_EQUALS(ST_GEOGPOINT(1, 2), ST_GEOGFROMTEXT('POINT (1 2)'))", True),
    ("ST_ASTEXT(ST_GEOGFROMTEXT('LINESTRING(1 2, 3 4)'))", "LINESTRING(1 2, 3 4)"),
    ("ST_X(CAST(NULL AS GEOGRAPHY))", None),
    ("ST_DISTANCE(ST_GEOGPOINT(1, 2), NULL)", None),
    ("ST_GEOGPOINT(NULL, 2)", None),
]


@pytest.mark.parametrize(("expression", "expected"), VALUES)
def test_value(value: Callable[[str], Any], expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("a", "b", "angle"),
    [
        ((0, 0), (90, 0), math.pi / 2),
        ((0, 0), (180, 0), math.pi),
        ((10, -90), (77, 90), math.pi),
        ((5, 5), (5, 6), math.pi / 180),
        ((5, 5), (5, 5), 0.0),
        ((179.5, 0), (-179.5, 0), math.pi / 180),
    ],
)
def test_distances_are_those_on_the_sphere(
    value: Callable[[str], Any], a: tuple[float, float], b: tuple[float, float], angle: float
) -> None:
    made = f"ST_DISTANCE(ST_GEOGPOINT({a[0]}, {a[1]}), ST_GEOGPOINT({b[0]}, {b[1]}))"
    read = f"ST_DISTANCE(g, h) FROM (SELECT 'POINT({a[0]} {a[1]})' AS g, 'POINT ({b[0]} {b[1]})' AS h)"
    assert value(made) == pytest.approx(RADIUS * angle, rel=1e-12, abs=1e-9)
    assert value(read) == value(made)


def test_points_in_tables_and_in_transform() -> None:
    with sqlml.connect() as con:
        con.execute("CREATE SCHEMA d; CREATE TABLE d.t (id INT64, g GEOGRAPHY)")
        con.execute("INSERT INTO d.t VALUES (1, ST_GEOGPOINT(1, 2)), (2, ST_GEOGPOINT(3, 4))")
        assert con.execute("SELECT id, g, ST_Y(g) FROM d.t ORDER BY id").fetchall() == [
            (1, "POINT(1 2)", 2.0),
            (2, "POINT(3 4)", 4.0),
        ]
        con.execute(
            """CREATE MODEL d.m TRANSFORM(
              ST_DISTANCE(ST_GEOGPOINT(x, y), ST_GEOGPOINT(0, 0)) AS metres,
              ML.FEATURE_CROSS(STRUCT(ST_ASTEXT(ST_SNAPTOGRID(ST_GEOGPOINT(x, y), 0.1)) AS p, c)) AS crossed,
              fare)
            OPTIONS(model_type='LINEAR_REG', input_label_cols=['fare'], l2_reg=1) AS
            SELECT n / 10 AS x, n / 20 AS y, 'c' AS c, 3.0 * n AS fare FROM UNNEST(GENERATE_ARRAY(1, 20)) AS n"""
        )
        found = con.execute(
            "SELECT metres, crossed_p_c FROM ML.TRANSFORM(MODEL d.m, (SELECT .0 x, 1. y, 'c' c))"
        ).fetchall()
        assert found == [(pytest.approx(RADIUS * math.pi / 180, rel=1e-12), "POINT(0 1)_c")]


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT ST_GEOGPOINT(1, 91)", "ST_GEOGPOINT must have a latitude from -90 to 90."),
        ("SELECT ST_GEOGPOINT(1, y) FROM UNNEST([-91]) AS y", "ST_GEOGPOINT must have a latitude from -90 to 90."),
        ("SELECT ST_X('LINESTRING(1 2, 3 4)')", "a point is needed here, and the GEOGRAPHY is LINESTRING"),
    ],
)
def test_errors(sql: str, sentence: str) -> None:
    with sqlml.connect() as con, pytest.raises(sqlml.Error, match=sentence):
        con.execute(sql).fetchall()


def test_other_shapes_are_refused(run: Callable[..., Any]) -> None:
    with pytest.raises(NotSupportedError, match=r"ST_AREA is not available"):
        run("SELECT ST_AREA(ST_GEOGPOINT(1, 2))")
