"""Point-in-time lookups: the documented numbers, and no row of the future in any answer."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

import sqlml

FEATURES = """CREATE TABLE features AS SELECT * FROM UNNEST([
  STRUCT('id1' AS entity_id, 4.0 AS f1, 10.0 AS f2, TIMESTAMP '2022-06-09 12:00:00+00' AS feature_timestamp),
  ('id1', 11.0, NULL, TIMESTAMP '2022-06-11 10:00:00+00'),
  ('2', 5.0, 8.0, TIMESTAMP '2022-06-10 09:00:00+00'),
  ('2', 2.0, 4.0, TIMESTAMP '2022-06-10 12:00:00+00'),
  ('2', 7.0, NULL, TIMESTAMP '2022-06-11 10:00:00+00')])"""


@pytest.fixture
def tables(con: sqlml.Connection) -> sqlml.Connection:
    con.execute(FEATURES)
    return con


def at(day: int, hour: int) -> datetime.datetime:
    return datetime.datetime(2022, 6, day, hour, tzinfo=datetime.UTC)


def rows(con: sqlml.Connection, call: str) -> list[tuple[Any, ...]]:
    return con.execute(f"SELECT * FROM {call} ORDER BY 1, 2").fetchall()


def test_the_printed_example(tables: sqlml.Connection) -> None:
    call = "ML.FEATURES_AT_TIME({}, time => '2022-06-11 10:00:00+00', num_rows => 1, ignore_feature_nulls => TRUE)"
    only = "(SELECT * FROM features WHERE entity_id = '2')"
    assert rows(tables, call.format(only)) == [("2", 7.0, 4.0, at(11, 10))]
    entities = "(SELECT '2' AS entity_id, TIMESTAMP '2022-06-11 10:00:00+00' AS time)"
    found = rows(tables, f"ML.ENTITY_FEATURES_AT_TIME(TABLE features, {entities}, ignore_feature_nulls => TRUE)")
    assert found == [("2", 7.0, 4.0, at(11, 10))]


def test_nulls_stay_unless_asked(tables: sqlml.Connection) -> None:
    found = rows(tables, "ML.FEATURES_AT_TIME(TABLE features, time => TIMESTAMP '2022-06-12 00:00:00+00')")
    assert found == [("2", 7.0, None, at(12, 0)), ("id1", 11.0, None, at(12, 0))]


def test_rows_after_the_time_do_not_count(tables: sqlml.Connection) -> None:
    found = rows(tables, "ML.FEATURES_AT_TIME(TABLE features, time => '2022-06-10 11:59:59+00', num_rows => 5)")
    assert [r[:3] for r in found] == [("2", 5.0, 8.0), ("id1", 4.0, 10.0)]
    assert rows(tables, "ML.FEATURES_AT_TIME(TABLE features, time => '2020-01-01')") == []


def test_now_is_the_default(tables: sqlml.Connection) -> None:
    assert [r[1] for r in rows(tables, "ML.FEATURES_AT_TIME(TABLE features)")] == [7.0, 11.0]


def test_each_entity_time_is_looked_up_on_its_own(tables: sqlml.Connection) -> None:
    entities = """(SELECT 'id1' AS entity_id, TIMESTAMP '2022-06-12 12:00:00+00' AS time
      UNION ALL SELECT '2', TIMESTAMP '2022-06-10 12:00:00+00'
      UNION ALL SELECT '2', TIMESTAMP '2022-06-10 12:00:00+00'
      UNION ALL SELECT '2', TIMESTAMP '2020-01-01 00:00:00+00'
      UNION ALL SELECT 'nobody', TIMESTAMP '2022-06-12 12:00:00+00')"""
    found = rows(tables, f"ML.ENTITY_FEATURES_AT_TIME(TABLE features, {entities}, num_rows => 2)")
    assert found == [
        ("2", 2.0, 4.0, at(10, 12)),
        ("2", 2.0, 4.0, at(10, 12)),
        ("2", 5.0, 8.0, at(10, 12)),
        ("2", 5.0, 8.0, at(10, 12)),
        ("id1", 4.0, 10.0, at(12, 12)),
        ("id1", 11.0, None, at(12, 12)),
    ]


def test_no_leak_on_random_data(con: sqlml.Connection) -> None:
    rng = np.random.default_rng(11)
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    features = [
        (str(e), float(v) if v > 2 else None, start + datetime.timedelta(minutes=int(m)))
        for e, v, m in zip(rng.integers(0, 6, 200), rng.integers(0, 9, 200), rng.permutation(1000)[:200], strict=True)
    ]
    asked = [
        (str(e), start + datetime.timedelta(minutes=int(m)))
        for e, m in zip(rng.integers(0, 7, 60), rng.integers(0, 1000, 60), strict=True)
    ]
    con.duckdb.execute("CREATE TABLE f (entity_id VARCHAR, v DOUBLE, feature_timestamp TIMESTAMPTZ)")
    con.duckdb.executemany("INSERT INTO f VALUES (?, ?, ?)", features)
    con.duckdb.execute('CREATE TABLE e (entity_id VARCHAR, "time" TIMESTAMPTZ)')
    con.duckdb.executemany("INSERT INTO e VALUES (?, ?)", asked)
    expected = []
    for entity, when in asked:
        seen = sorted((r for r in features if r[0] == entity and r[2] <= when), key=lambda r: r[2])
        for i in range(max(0, len(seen) - 2), len(seen)):
            known = [r[1] for r in seen[: i + 1] if r[1] is not None]
            expected.append((entity, known[-1] if known else None, when))
    call = "ML.ENTITY_FEATURES_AT_TIME(TABLE f, TABLE e, num_rows => 2, ignore_feature_nulls => TRUE)"
    found = con.execute(f"SELECT * FROM {call}").fetchall()

    def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[0], row[2], -1.0 if row[1] is None else row[1])

    assert sorted(found, key=key) == sorted(expected, key=key)


@pytest.mark.parametrize(
    ("call", "sentence", "place"),
    [
        ("ML.FEATURES_AT_TIME((SELECT 1 AS x FROM features))", "must have a column entity_id.", "SELECT 1"),
        ("ML.FEATURES_AT_TIME(TABLE features, time => 'soon')", "TIME must be a TIMESTAMP. Got 'soon'.", "'soon'"),
        ("ML.FEATURES_AT_TIME(TABLE features, num_rows => 0)", "NUM_ROWS must be at least 1. Got 0.", "0"),
        ("ML.FEATURES_AT_TIME(TABLE features, rows => 1)", "ROWS is not an option", "rows"),
        ("ML.ENTITY_FEATURES_AT_TIME(TABLE features)", "must be given two tables.", "ML.ENTITY"),
        (
            "ML.ENTITY_FEATURES_AT_TIME(TABLE features, (SELECT '2' AS entity_id, 5 AS time FROM features))",
            "the column time of the entity-time table must be a TIMESTAMP. Got INT64.",
            "SELECT '2'",
        ),
    ],
)
def test_wrong_calls(tables: sqlml.Connection, call: str, sentence: str, place: str) -> None:
    source = f"SELECT * FROM {call}"
    with pytest.raises(sqlml.Error) as caught:
        tables.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None
    assert source[caught.value.span.start :].lstrip("(").startswith(place), str(caught.value)
