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


CONSTANTS = [
    (
        "DECLARE q INT64 DEFAULT 2; SELECT COUNT(DISTINCT b) FROM (SELECT ML.QUANTILE_BUCKETIZE(a, q) OVER() AS b FROM n)",
        2,
    ),
    ("DECLARE b ARRAY<FLOAT64> DEFAULT [1.5, 2.5]; SELECT ML.BUCKETIZE(2, b)", "bin_2"),
    ("DECLARE b ARRAY<INT64> DEFAULT GENERATE_ARRAY(0, 9, 3); SELECT ML.BUCKETIZE(a, b) FROM n WHERE a = 4", "bin_3"),
    ("DECLARE f STRING DEFAULT 'bucket_ranges'; SELECT ML.BUCKETIZE(2, [1, 3], FALSE, f)", "[1, 3)"),
    (
        "DECLARE k INT64 DEFAULT 3; CREATE MODEL km OPTIONS(model_type='kmeans', num_clusters=k) AS SELECT a FROM n;"
        " SELECT COUNT(DISTINCT centroid_id) FROM ML.CENTROIDS(MODEL km)",
        3,
    ),
    (
        "DECLARE y STRING DEFAULT 'a'; DECLARE b ARRAY<INT64> DEFAULT [3, 6];"
        " CREATE MODEL lr TRANSFORM(ML.BUCKETIZE(c, b) AS bc, a) OPTIONS(model_type='linear_reg', input_label_cols=[y])"
        " AS SELECT a, c FROM n; SELECT ARRAY_LENGTH(category_weights) FROM ML.WEIGHTS(MODEL lr) LIMIT 1",
        3,
    ),
    (
        "DECLARE t FLOAT64 DEFAULT 1.0; CREATE MODEL lo OPTIONS(model_type='logistic_reg', input_label_cols=['up']) AS"
        " SELECT c, a > 4 AS up FROM n; SELECT COUNTIF(predicted_up) FROM ML.PREDICT(MODEL lo, TABLE n, STRUCT(t AS threshold))",
        0,
    ),
]


@pytest.mark.parametrize(("script", "expected"), CONSTANTS)
def test_variables_stand_where_constants_are_due(connection: sqlml.Connection, script: str, expected: object) -> None:
    connection.execute("CREATE TABLE n AS SELECT a, a * 2 AS c FROM UNNEST(GENERATE_ARRAY(1, 10)) AS a")
    assert connection.execute(script).fetchall()[0][0] == expected


def test_a_name_that_is_no_constant(connection: sqlml.Connection) -> None:
    with pytest.raises(sqlml.Error, match="Got the name kk") as caught:
        connection.execute(
            "DECLARE k INT64; CREATE MODEL m OPTIONS(model_type='kmeans', num_clusters=kk) AS SELECT 1 AS a"
        )
    assert caught.value.span is not None


def test_parameters_of_preprocessing_functions(connection: sqlml.Connection) -> None:
    text = "SELECT ML.BUCKETIZE(2, @splits), ML.QUANTILE_BUCKETIZE(1, @n) OVER()"
    assert connection.execute(text, {"splits": [1.5, 2.5], "N": 3}).fetchall() == [("bin_2", "bin_2")]
    assert connection.execute("SELECT ML.BUCKETIZE(?, ?)", [9, [1, 2]]).fetchall() == [("bin_3",)]
