"""Scripts through a connection: models in loops, errors at their place, results, settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sqlml


@pytest.fixture
def connection() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as connection:
        connection.execute("CREATE SCHEMA ds")
        connection.execute(
            "CREATE TABLE ds.p AS SELECT MOD(i, 2) AS seg, i AS a, 2.0 * i + MOD(i, 2) AS b"
            " FROM UNNEST(GENERATE_ARRAY(1, 200)) AS i"
        )
        yield connection


def test_a_model_for_each_segment(connection: sqlml.Connection) -> None:
    cursor = connection.execute(
        """
        FOR s IN (SELECT DISTINCT seg FROM ds.p ORDER BY seg) DO
          EXECUTE IMMEDIATE FORMAT('''
            CREATE OR REPLACE MODEL ds.m%d OPTIONS (model_type = 'linear_reg', input_label_cols = ['b'])
            AS SELECT a, b FROM ds.p WHERE seg = %d''', s.seg, s.seg);
        END FOR;
        SELECT ROUND(e.r2_score, 6) AS r2, ROUND(f.r2_score, 6) AS r2_other
        FROM ML.EVALUATE(MODEL ds.m0) AS e, ML.EVALUATE(MODEL ds.m1) AS f
        """
    )
    assert [d[0] for d in cursor.description or []] == ["r2", "r2_other"]
    assert cursor.fetchall() == [(1.0, 1.0)]


def test_variables_in_the_queries_of_ml_statements(connection: sqlml.Connection) -> None:
    rows = connection.execute(
        """
        DECLARE low INT64 DEFAULT 150;
        CREATE OR REPLACE MODEL ds.q OPTIONS (model_type = 'linear_reg', input_label_cols = ['b'])
        AS SELECT a, b FROM ds.p WHERE a > low;
        SELECT COUNT(*) FROM ML.PREDICT(MODEL ds.q, (SELECT a FROM ds.p WHERE a > low))
        """
    ).fetchall()
    assert rows == [(50,)]


def test_errors_point_into_the_script(connection: sqlml.Connection) -> None:
    with pytest.raises(sqlml.Error) as caught:
        connection.execute("DECLARE x INT64;\nSET x = 5;\nSELECT nope FROM ds.p WHERE a = x")
    assert caught.value.line == 3
    assert "nope" in str(caught.value).splitlines()[1]
    with pytest.raises(sqlml.Error) as caught:
        connection.execute("DECLARE x INT64 DEFAULT 1;\nIF x > nope THEN SELECT 1; END IF")
    shown = str(caught.value).splitlines()
    assert shown[1].endswith("IF x > nope THEN SELECT 1; END IF")
    assert shown[2].index("^") == shown[1].index("nope")


def test_an_expression_at_the_start_of_the_text_keeps_its_place(connection: sqlml.Connection) -> None:
    with pytest.raises(sqlml.Error) as caught:
        connection.execute("IF nope THEN SELECT 1; END IF")
    assert caught.value.span is not None
    assert (caught.value.span.start, caught.value.span.end) == (3, 7)


def test_handlers_catch_what_the_engine_refuses(connection: sqlml.Connection) -> None:
    rows = connection.execute(
        """
        BEGIN
          CREATE MODEL ds.bad OPTIONS (model_type = 'no_such_type') AS SELECT a, b FROM ds.p;
        EXCEPTION WHEN ERROR THEN
          SELECT @@error.message LIKE '%no_such_type%' OR @@error.message LIKE '%NO_SUCH_TYPE%';
        END
        """
    ).fetchall()
    assert rows == [(True,)]


def test_functions_and_procedures_live_as_long_as_the_connection(connection: sqlml.Connection) -> None:
    connection.execute("CREATE TEMP FUNCTION half(x INT64) AS (x / 2)")
    connection.execute("CREATE PROCEDURE ds.add(a INT64, OUT total INT64) BEGIN SET total = a + 1; END")
    assert connection.execute("SELECT half(5)").fetchall() == [(2.5,)]
    assert connection.execute("DECLARE t INT64; CALL ds.add(5, t); SELECT t").fetchall() == [(6,)]
    connection.execute("DROP PROCEDURE ds.add")
    with pytest.raises(sqlml.Error, match="does not exist"):
        connection.execute("DECLARE t INT64; CALL ds.add(5, t)")


def test_parameters(connection: sqlml.Connection) -> None:
    assert connection.execute("DECLARE x INT64 DEFAULT ?; SELECT x + ?", [5, 6]).fetchall() == [(11,)]
    assert connection.execute("DECLARE x INT64 DEFAULT @a; SELECT x + @b", {"a": 1, "b": 2}).fetchall() == [(3,)]


def test_set_of_an_undeclared_name(connection: sqlml.Connection) -> None:
    connection.execute("SET threads = 2")
    with pytest.raises(sqlml.Error, match="the variable x is not declared"):
        connection.execute("SET x = 5")


def test_a_script_without_rows(connection: sqlml.Connection) -> None:
    assert connection.execute("DECLARE x INT64; SET x = 1").description is None
