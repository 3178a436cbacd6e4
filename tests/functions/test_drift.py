"""Drift, skew and the TFDV messages: values by hand, types that differ, what a model keeps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import sqlml
from sqlml.kernels.drift import Histogram, jensen_shannon, jensen_shannon_of_histograms

DRIFT = "SELECT * FROM ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study{})"


@pytest.fixture
def sides(con: sqlml.Connection) -> sqlml.Connection:
    con.duckdb.execute("""CREATE TABLE base AS SELECT i::DOUBLE AS x, (i % 4 = 0)::INT AS k,
      CASE WHEN i % 4 = 0 THEN 'p' ELSE 'q' END AS s, 5 AS con, [i, i + 1] AS arr, 'u' || i AS id, i % 2 = 0 AS b,
      i::VARCHAR AS odd FROM range(1, 401) t(i)""")
    con.duckdb.execute("""CREATE TABLE study AS SELECT i + 100.0 AS X, (i % 4 = 0)::INT AS k,
      CASE WHEN i % 2 = 0 THEN 'p' WHEN i % 11 = 0 THEN NULL ELSE 'r' END AS s, 5 AS con, [i, i + 1] AS arr,
      'u' || i AS id, i % 2 = 0 AS b, i AS odd, 1 AS extra FROM range(1, 201) t(i)""")
    return con


def drift(con: sqlml.Connection, settings: str = "") -> dict[str, tuple[Any, ...]]:
    cursor = con.execute(DRIFT.format(f", STRUCT({settings})" if settings else ""))
    assert [d[0] for d in cursor.description or ()] == ["input", "metric", "threshold", "value", "is_anomaly"]
    return {row[0]: row[1:] for row in cursor.fetchall()}


def test_values(sides: sqlml.Connection) -> None:
    found = drift(sides)
    assert list(found) == ["x", "k", "s", "con", "arr", "id", "b", "odd"]
    a = Histogram(np.linspace(1, 400, 11), np.full(10, 40.0))
    b = Histogram(np.linspace(101, 300, 11), np.full(10, 20.0))
    metric, threshold, value, anomalous = found["x"]
    assert (metric, threshold) == ("JENSEN_SHANNON_DIVERGENCE", 0.3)
    assert value == pytest.approx(jensen_shannon_of_histograms(a, b)) and anomalous is (value > 0.3)
    # s: p 100/400, q 300/400 against p 100/190, r 90/190 (NULLs do not count)
    nulls = sum(i % 2 == 1 and i % 11 == 0 for i in range(1, 201))
    assert found["s"][0] == "L_INFTY" and found["s"][2] == pytest.approx(0.75)
    assert nulls == 9
    assert found["con"] == ("JENSEN_SHANNON_DIVERGENCE", 0.3, 0.0, False)
    assert found["k"][2] == pytest.approx(0.0, abs=1e-12)
    assert found["b"] == ("L_INFTY", 0.3, 0.0, False)
    assert found["arr"][0] == "JENSEN_SHANNON_DIVERGENCE"


def test_settings(sides: sqlml.Connection) -> None:
    found = drift(
        sides,
        "'jensen_shannon_divergence' AS categorical_metric_type, 0.9 AS categorical_default_threshold,"
        " 0.01 AS numerical_default_threshold, [('S', 0.2), ('k', 0.5)] AS thresholds",
    )
    p, q = np.array([100, 300, 0.0]) / 400, np.array([100, 0, 91.0]) / 191
    assert found["s"][:2] == ("JENSEN_SHANNON_DIVERGENCE", 0.2)
    assert found["s"][2] == pytest.approx(jensen_shannon(p, q))
    assert found["k"][1] == 0.5 and found["x"][1] == 0.01 and found["x"][3] is True
    assert "odd" not in found  # STRING against INT64 has no divergence
    assert drift(sides)["odd"][2] == pytest.approx(1 / 400)  # but a largest share
    few = drift(sides, "2 AS num_histogram_buckets")
    assert few["x"][2] < found["x"][2] + 0.5 and few["x"][2] != found["x"][2]


def test_ranks_limit_the_categories(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE base AS SELECT s FROM UNNEST(['a','a','a','b','b','c']) AS s")
    con.execute("CREATE TABLE study AS SELECT s FROM UNNEST(['a','a','a','c','c','c']) AS s")
    assert drift(con)["s"][2] == pytest.approx(1 / 3)
    assert drift(con, "1 AS num_rank_histogram_buckets")["s"][2] == 0.0


@pytest.mark.parametrize(
    ("call", "sentence", "place"),
    [
        ("ML.VALIDATE_DATA_DRIFT(TABLE base)", "must be given two tables.", "ML."),
        ("ML.VALIDATE_DATA_DRIFT(TABLE base, (SELECT 1 AS zz))", "must have a column in common.", "SELECT 1"),
        (
            "ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT('L2' AS categorical_metric_type))",
            "Got 'L2'.",
            "'L2'",
        ),
        (
            "ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT('L_INFTY' AS numerical_metric_type))",
            "NUMERICAL",
            "'L",
        ),
        ("ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT([('zz', 0.1)] AS thresholds))", "Got zz.", "('zz'"),
        ("ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT([('x', 1.0)] AS thresholds))", "less than 1", "('x'"),
        ("ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT(1.0 AS numerical_default_threshold))", "less", "1.0"),
        ("ML.VALIDATE_DATA_DRIFT(TABLE base, TABLE study, STRUCT(0 AS num_histogram_buckets))", "from 1 to 1000", "0"),
    ],
)
def test_wrong_calls(sides: sqlml.Connection, call: str, sentence: str, place: str) -> None:
    source = f"SELECT * FROM {call}"
    with pytest.raises(sqlml.Error) as caught:
        sides.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None
    assert source[caught.value.span.start :].lstrip("(").startswith(place.lstrip("(")), str(caught.value)


# ---------------------------------------------------------------- skew


def test_skew_reads_what_the_model_kept(tmp_path: Any) -> None:
    path = tmp_path / "kept.duckdb"
    with sqlml.connect(str(path)) as con:
        con.duckdb.execute("SELECT setseed(0.1)")
        con.execute(
            "CREATE TABLE t AS SELECT i AS x, IF(MOD(i, 3) = 0, 'a', 'b') AS s, 2.0 * i AS y"
            " FROM UNNEST(GENERATE_ARRAY(1, 300)) AS i"
        )
        con.execute("CREATE MODEL m OPTIONS (model_type = 'linear_reg', input_label_cols = ['y']) AS SELECT * FROM t")
        con.execute(
            "CREATE MODEL n TRANSFORM (x * 2 AS z, y) OPTIONS (model_type = 'linear_reg', input_label_cols = ['y'])"
            " AS SELECT * FROM t"
        )
        con.execute("DROP TABLE t")
    with sqlml.connect(str(path)) as con:
        same = "(SELECT i AS x, IF(MOD(i, 3) = 0, 'a', 'b') AS s FROM UNNEST(GENERATE_ARRAY(1, 300)) AS i)"
        rows = con.execute(f"SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL m, {same})").fetchall()
        assert rows == [
            ("x", "JENSEN_SHANNON_DIVERGENCE", 0.3, 0.0, False),
            ("s", "L_INFTY", 0.3, 0.0, False),
        ]
        other = "(SELECT i + 1000 AS x, 'b' AS s, 7 AS more FROM UNNEST(GENERATE_ARRAY(1, 50)) AS i)"
        rows = con.execute(
            "SELECT input, value, is_anomaly"
            f" FROM ML.VALIDATE_DATA_SKEW(MODEL m, {other}, STRUCT([('s', 0.4)] AS thresholds))"
        ).fetchall()
        assert rows == [("x", 1.0, True), ("s", pytest.approx(1 / 3), False)]
        # The columns before TRANSFORM are compared.
        rows = con.execute(f"SELECT input FROM ML.VALIDATE_DATA_SKEW(MODEL n, {same})").fetchall()
        assert rows == [("x",), ("s",)]
        with pytest.raises(sqlml.NotSupportedError, match="ENABLE_VISUALIZATION_LINK is not supported"):
            con.execute(
                f"SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL m, {same}, STRUCT(TRUE AS enable_visualization_link))"
            )
        with pytest.raises(sqlml.Error, match="must have a feature of the model"):
            con.execute("SELECT * FROM ML.VALIDATE_DATA_SKEW(MODEL m, (SELECT 1 AS nothing))")


# ---------------------------------------------------------------- TFDV


def describe(con: sqlml.Connection, source: str, settings: str = "") -> Any:
    rows = con.execute(f"SELECT * FROM ML.TFDV_DESCRIBE({source}{settings})").fetchall()
    assert len(rows) == 1
    return json.loads(rows[0][0])


def test_describe_message(sides: sqlml.Connection) -> None:
    message = describe(
        sides, "TABLE base", ", STRUCT(4 AS num_histogram_buckets, 2 AS num_quantiles_histogram_buckets)"
    )
    dataset = message["datasets"][0]
    assert dataset["num_examples"] == "400"
    features = {f["path"]["step"][0]: f for f in dataset["features"]}
    assert {n: f["type"] for n, f in features.items()} == {
        "x": "FLOAT",
        "k": "INT",
        "s": "STRING",
        "con": "INT",
        "arr": "INT",
        "id": "STRING",
        "b": "STRING",
        "odd": "STRING",
    }
    x = features["x"]["num_stats"]
    assert (x["min"], x["max"], x["mean"], x["median"], x["num_zeros"]) == (1.0, 400.0, 200.5, 200.0, "0")
    standard, quantiles = x["histograms"]
    assert standard["type"] == "STANDARD" and [b["sample_count"] for b in standard["buckets"]] == [100.0] * 4
    assert standard["buckets"][-1]["high_value"] == 400.0
    assert quantiles["type"] == "QUANTILES" and [b["high_value"] for b in quantiles["buckets"]] == [200.0, 400.0]
    common = features["arr"]["num_stats"]["common_stats"]
    assert (common["num_non_missing"], common["min_num_values"], common["tot_num_values"]) == ("400", "2", "800")
    s = features["s"]["string_stats"]
    assert s["unique"] == "2" and s["top_values"][0] == {"value": "q", "frequency": 300.0}
    assert [b["label"] for b in s["rank_histogram"]["buckets"]] == ["q", "p"]


def validate(con: sqlml.Connection, rest: str = "") -> Any:
    sides = ["(SELECT * FROM ML.TFDV_DESCRIBE(TABLE base))", "(SELECT * FROM ML.TFDV_DESCRIBE(TABLE study))"]
    value = con.execute(f"SELECT ML.TFDV_VALIDATE({', '.join(sides)}{rest})").fetchall()[0][0]
    return json.loads(value)


def test_validate_agrees_with_drift(sides: sqlml.Connection) -> None:
    message = validate(sides, ", 'DRIFT'")
    found = {i["path"]["step"][0]: i["drift_measurements"][0] for i in message["drift_skew_info"]}
    wanted = drift(sides)
    for name in ("x", "k", "s", "con", "b"):
        assert found[name]["type"] == wanted[name][0]
        assert found[name]["value"] == pytest.approx(wanted[name][2]), name
    assert message["anomaly_info"]["s"]["reason"][0]["type"] == "COMPARATOR_L_INFTY_HIGH"
    assert message["anomaly_info"]["s"]["severity"] == "ERROR"
    assert {f["name"] for f in message["baseline"]["feature"]} >= set(found)


def test_validate_settings_by_position(sides: sqlml.Connection) -> None:
    rest = ", 'SKEW', 0.99, 'JENSEN_SHANNON_DIVERGENCE', 0.99, 'JENSEN_SHANNON_DIVERGENCE', [('x', 0.05)]"
    message = validate(sides, rest)
    assert list(message["anomaly_info"]) == ["x"]
    info = message["drift_skew_info"][0]["skew_measurements"][0]
    assert info["threshold"] == 0.05
    assert "anomaly_info" not in validate(sides, ", 'SKEW', 0.99, 'L_INFTY', 0.99")


def test_validate_reads_camel_case_and_numbers(con: sqlml.Connection) -> None:
    bucket = {"lowValue": 0, "highValue": 1, "sampleCount": 5}
    camel = {
        "datasets": [
            {
                "numExamples": 5,
                "features": [{"name": "x", "type": 1, "numStats": {"histograms": [{"buckets": [bucket]}]}}],
            }
        ]
    }
    text = json.dumps(camel)
    value = con.execute("SELECT ML.TFDV_VALIDATE(JSON @a, JSON @a)".replace("JSON @a", f"'{text}'")).fetchall()[0][0]
    assert json.loads(value)["drift_skew_info"][0]["skew_measurements"][0]["value"] == 0.0
    assert con.execute("SELECT ML.TFDV_VALIDATE(NULL, '{}')").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("call", "sentence", "place"),
    [
        ("ML.TFDV_VALIDATE('{}', '{}')", "two DatasetFeatureStatisticsList messages. Got {} and {}.", "ML.TFDV"),
        ("ML.TFDV_VALIDATE('{', '{}')", "two DatasetFeatureStatisticsList messages.", "ML.TFDV"),
        ("ML.TFDV_VALIDATE(5, '{}')", "must be JSON. Got INT64.", "5"),
        ("ML.TFDV_VALIDATE('{}')", "must have 2 to 8 arguments. Got 1.", "ML.TFDV"),
        ("ML.TFDV_VALIDATE('', '', 'SKEWED')", "must be one of 'SKEW', 'DRIFT' (detection_type).", "'SKEWED'"),
        ("ML.TFDV_VALIDATE('', '', 'SKEW', 1)", "less than 1 (categorical_default_threshold). Got 1.", "1"),
        ("ML.TFDV_VALIDATE('', '', 'SKEW', 0.1, 'L2')", "must be one of 'L_INFTY'", "'L2'"),
        ("ML.TFDV_VALIDATE('', '', 'SKEW', 0.1, 'L_INFTY', 0.1, 'L_INFTY')", "numerical_metric_type", "'L_INFTY')"),
    ],
)
def test_wrong_validations(con: sqlml.Connection, call: str, sentence: str, place: str) -> None:
    source = f"SELECT {call}"
    with pytest.raises(sqlml.Error) as caught:
        con.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None and source[caught.value.span.start :].startswith(place), str(caught.value)
