"""TRANSFORM through SQL: training on it, ML.TRANSFORM, TRANSFORM_ONLY models."""

from __future__ import annotations

import pytest

import sqlml

SCALED = "ML.MAX_ABS_SCALER({0}) OVER() AS {0}"


def test_the_printed_example(penguins: sqlml.Connection) -> None:
    penguins.execute(
        f"CREATE MODEL m TRANSFORM (species, island, {SCALED.format('culmen_length_mm')},"
        f" {SCALED.format('flipper_length_mm')}, sex, body_mass_g)"
        " OPTIONS (model_type = 'linear_reg', input_label_cols = ['body_mass_g'])"
        " AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
    )
    rows = penguins.execute(
        "SELECT culmen_length_mm, flipper_length_mm, culmen_depth_mm FROM ML.TRANSFORM(MODEL m, (SELECT * FROM penguins"
        " WHERE culmen_length_mm IN (36.6, 39.8) AND flipper_length_mm = 184)) ORDER BY 1"
    ).fetchall()
    assert rows[0][:2] == (0.61409395973154368, 0.79653679653679654)
    assert rows[-1][:2] == (0.66778523489932884, 0.79653679653679654)
    assert rows[0][2] > 10  # a column that TRANSFORM does not mention passes through


def test_only_the_read_columns_are_needed(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT i AS a, i * i AS b, 3.0 * i AS y FROM UNNEST(GENERATE_ARRAY(1, 30)) AS i")
    con.execute(
        "CREATE MODEL m TRANSFORM (ML.STANDARD_SCALER(a) OVER() AS z, y)"
        " OPTIONS (model_type = 'linear_reg', input_label_cols = ['y']) AS SELECT * FROM t"
    )
    rows = con.execute("SELECT predicted_y, a FROM ML.PREDICT(MODEL m, (SELECT 100 AS a))").fetchall()
    assert rows == [(pytest.approx(300.0), 100)]
    features = con.execute("SELECT input FROM ML.FEATURE_INFO(MODEL m)").fetchall()
    assert features == [("a",), ("b",)]
    weights = con.execute("SELECT processed_input FROM ML.WEIGHTS(MODEL m)").fetchall()
    assert ("z",) in weights and ("a",) not in weights
    with pytest.raises(sqlml.Error, match="a"):
        con.execute("SELECT * FROM ML.PREDICT(MODEL m, (SELECT 1 AS b))")


def test_transform_only(con: sqlml.Connection) -> None:
    con.execute(
        "CREATE TABLE t AS SELECT i AS a, IF(MOD(i, 2) = 0, 'e', 'o') AS s FROM UNNEST(GENERATE_ARRAY(1, 9)) AS i"
    )
    con.execute(
        "CREATE MODEL prep TRANSFORM (ML.MIN_MAX_SCALER(a) OVER() AS a, ML.LABEL_ENCODER(s, 9, 0) OVER() AS code)"
        " OPTIONS (model_type = 'transform_only') AS SELECT * FROM t"
    )
    cursor = con.execute("SELECT * FROM ML.TRANSFORM(MODEL prep, (SELECT 5 AS a, 'o' AS s, 'kept' AS more))")
    assert [d[0] for d in cursor.description or ()] == ["a", "code", "more"]
    assert cursor.fetchall() == [(0.5, 2, "kept")]
    assert con.execute("SELECT input FROM ML.FEATURE_INFO(MODEL prep)").fetchall() == [("a",), ("s",)]
    for call in ("ML.PREDICT(MODEL prep, TABLE t)", "ML.WEIGHTS(MODEL prep)", "ML.EVALUATE(MODEL prep)"):
        with pytest.raises(sqlml.Error):
            con.execute(f"SELECT * FROM {call}")


def test_a_model_trained_on_another_models_transform(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT i AS a, 2.0 * i AS y FROM UNNEST(GENERATE_ARRAY(1, 40)) AS i")
    con.execute(
        "CREATE MODEL prep TRANSFORM (ML.STANDARD_SCALER(a) OVER() AS z) OPTIONS (model_type = 'transform_only')"
        " AS SELECT a FROM t"
    )
    con.execute(
        "CREATE MODEL m OPTIONS (model_type = 'linear_reg', input_label_cols = ['y'])"
        " AS SELECT * FROM ML.TRANSFORM(MODEL prep, TABLE t)"
    )
    rows = con.execute(
        "SELECT predicted_y FROM ML.PREDICT(MODEL m, (SELECT * FROM ML.TRANSFORM(MODEL prep, (SELECT 50 AS a))))"
    ).fetchall()
    assert rows == [(pytest.approx(100.0),)]


def test_it_survives_close_and_open(tmp_path: object) -> None:
    path = f"{tmp_path}/kept.duckdb"
    with sqlml.connect(path) as con:
        con.execute(
            "CREATE MODEL prep TRANSFORM (ML.IMPUTER(x, 'mean') OVER() AS x) OPTIONS (model_type = 'transform_only')"
            " AS SELECT x FROM UNNEST([1.0, 2.0, 6.0]) AS x"
        )
    with sqlml.connect(path, read_only=True) as con:
        call = "ML.TRANSFORM(MODEL prep, (SELECT CAST(NULL AS FLOAT64) AS x))"
        assert con.execute(f"SELECT x FROM {call}").fetchall() == [(3.0,)]


@pytest.mark.parametrize(
    ("clause", "sentence", "place"),
    [
        ("TRANSFORM (SUM(a) AS z, y)", "must not hold the aggregate function SUM.", "SUM"),
        ("TRANSFORM (a + 1, y)", "must have a name.", "a + 1"),
        ("TRANSFORM ((SELECT 1) AS z, y)", "must not hold a subquery.", "1)"),
        ("TRANSFORM (a)", "must pass the column y through by its bare name.", "a)"),
        ("TRANSFORM (ML.STANDARD_SCALER(s) OVER() AS z, y)", "must be a number. Got STRING.", "s)"),
        ("TRANSFORM (ML.STANDARD_SCALER(CONCAT(s, 'x')) OVER() AS z, y)", "must be a number. Got STRING.", "s,"),
        ("TRANSFORM (ML.BUCKETIZE(a, [a]) AS z, y)", "must be a constant array", "a])"),
    ],
)
def test_nothing_is_stored_when_it_is_wrong(con: sqlml.Connection, clause: str, sentence: str, place: str) -> None:
    con.execute("CREATE TABLE t AS SELECT i AS a, 's' AS s, 2.0 * i AS y FROM UNNEST(GENERATE_ARRAY(1, 9)) AS i")
    source = (
        f"CREATE MODEL m\n{clause}\nOPTIONS (model_type = 'linear_reg', input_label_cols = ['y']) AS SELECT * FROM t"
    )
    with pytest.raises(sqlml.Error) as caught:
        con.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None and source[caught.value.span.start :].startswith(place), str(caught.value)
    assert con.execute("SHOW MODELS").fetchall() == []


def test_wrong_calls(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT i AS a, 2.0 * i AS y FROM UNNEST(GENERATE_ARRAY(1, 9)) AS i")
    con.execute("CREATE MODEL m OPTIONS (model_type = 'linear_reg', input_label_cols = ['y']) AS SELECT * FROM t")
    with pytest.raises(sqlml.Error, match="must be given a model with a TRANSFORM clause"):
        con.execute("SELECT * FROM ML.TRANSFORM(MODEL m, TABLE t)")
    with pytest.raises(sqlml.Error, match="TRANSFORM_ONLY models must have a TRANSFORM clause"):
        con.execute("CREATE MODEL p OPTIONS (model_type = 'transform_only') AS SELECT * FROM t")
    with pytest.raises(sqlml.ProgrammingError, match="INPUT_LABEL_COLS is not an option of TRANSFORM_ONLY"):
        con.execute(
            "CREATE MODEL p TRANSFORM (a) OPTIONS (model_type = 'transform_only', input_label_cols = ['y'])"
            " AS SELECT * FROM t"
        )
