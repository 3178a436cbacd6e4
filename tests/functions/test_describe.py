"""ML.DESCRIBE_DATA against numpy, for every kind of column; large tables by other means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sqlml
from sqlml.functions import summary
from sqlml.functions.describe import COLUMNS


def described(con: sqlml.Connection, source: str, settings: str = "") -> dict[str, dict[str, Any]]:
    """Rows by column name."""
    cursor = con.execute(f"SELECT * FROM ML.DESCRIBE_DATA({source}{', STRUCT(' + settings + ')' if settings else ''})")
    names = [d[0] for d in cursor.description or ()]
    assert names == [name for name, _, _ in COLUMNS]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


@pytest.fixture
def mixed(con: sqlml.Connection) -> sqlml.Connection:
    con.duckdb.execute("""CREATE TABLE mixed AS SELECT * FROM (VALUES
      (1, 2.5::DOUBLE, 'a', [1, 2, 3], ['x'], [{'i': 1, 'v': 2.0}], {'f': 1, 'g': 'q'}, true, DATE '2020-01-01'),
      (0, NULL, 'bb', [], ['x', 'y'], [{'i': 5, 'v': 0.0}], {'f': 2, 'g': 'r'}, false, DATE '2021-01-01'),
      (4, 'nan', NULL, NULL, ['x', 'y'], NULL, NULL, false, DATE '2021-01-01'),
      (2, -1.5, 'a', [7], NULL, [], {'f': NULL, 'g': 'r'}, NULL, NULL))
      t(i, x, s, arr, words, sparse, st, b, d)""")
    return con


def test_every_kind_of_column(mixed: sqlml.Connection) -> None:
    found = described(mixed, "TABLE mixed", "4 AS num_quantiles, 2 AS num_array_length_quantiles, 2 AS top_k")
    assert list(found) == ["i", "x", "s", "arr", "words", "sparse", "st.f", "st.g", "b", "d"]
    assert all(line["num_rows"] == 4 for line in found.values())
    i = found["i"]
    assert (i["min"], i["max"], i["mean"], i["median"], i["num_zeros"]) == ("0", "4", 1.75, 1.0, 1)
    assert i["quantiles"] == [0.0, 0.0, 1.0, 2.0, 4.0]
    assert i["stdev"] == pytest.approx(np.std([1, 0, 4, 2], ddof=1))
    assert i["unique"] is None and i["top_values"] is None and i["array_length_quantiles"] is None
    x = found["x"]
    assert (x["num_nulls"], x["num_values"], x["min"], x["max"], x["mean"]) == (1, 3, "-1.5", "2.5", 0.5)
    s = found["s"]
    assert (s["num_nulls"], s["num_values"], s["unique"], s["min"], s["max"]) == (1, 3, 2, "a", "bb")
    assert s["avg_string_length"] == pytest.approx(4 / 3) and s["mean"] is None and s["quantiles"] is None
    assert s["top_values"] == [{"value": "a", "count": 2}, {"value": "bb", "count": 1}]
    arr = found["arr"]
    assert (arr["num_nulls"], arr["num_values"], arr["mean"], arr["max"]) == (1, 4, 3.25, "7")
    lengths = (arr["min_array_length"], arr["max_array_length"], arr["avg_array_length"], arr["total_array_length"])
    assert lengths == (0, 3, pytest.approx(4 / 3), 4) and arr["array_length_quantiles"] == [0, 1, 3]
    assert found["words"]["top_values"] == [{"value": "x", "count": 3}, {"value": "y", "count": 2}]
    assert found["sparse"]["dimension"] == 6 and found["sparse"]["num_zeros"] == 1
    assert found["st.f"]["num_nulls"] == 2 and found["st.g"]["unique"] == 2
    assert found["b"]["top_values"][0] == {"value": "false", "count": 2}
    assert (found["d"]["min"], found["d"]["max"]) == ("2020-01-01", "2021-01-01")


def test_an_empty_table(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE e (x FLOAT64, s STRING, a ARRAY<STRING>)")
    found = described(con, "TABLE e")
    assert [line["num_rows"] for line in found.values()] == [0, 0, 0]
    assert found["x"]["quantiles"] == [] and found["s"]["top_values"] == [] and found["a"]["num_values"] == 0


def test_query_parameters_and_joins(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT i FROM UNNEST(GENERATE_ARRAY(1, 10)) AS i")
    cursor = con.execute(
        "SELECT num_rows, max FROM ML.DESCRIBE_DATA((SELECT a.i FROM t a JOIN t b USING (i) WHERE a.i <= @n))", {"n": 4}
    )
    assert cursor.fetchall() == [(4, "4")]


def test_many_values_and_many_rows(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "EXACT_ROWS", 2_000)
    monkeypatch.setattr(summary, "FEW_VALUES", 50)
    rng = np.random.default_rng(5)
    x = rng.normal(size=20_000)
    con.duckdb.execute("CREATE TABLE big (x DOUBLE, s VARCHAR, same INTEGER)")
    table = {"x": x, "s": [f"k{i % 500}" if i % 2 else "often" for i in range(len(x))], "same": np.full(len(x), 3)}
    import pyarrow as pa

    con.duckdb.register("source", pa.table(table))
    con.duckdb.execute("INSERT INTO big SELECT * FROM source")
    found = described(con, "TABLE big", "10 AS num_quantiles, 2 AS top_k")
    assert found["x"]["mean"] == pytest.approx(x.mean()) and found["x"]["stdev"] == pytest.approx(x.std(ddof=1))
    expected = np.quantile(x, np.linspace(0, 1, 11), method="inverted_cdf")
    np.testing.assert_allclose(found["x"]["quantiles"], expected, atol=0.15)
    assert found["x"]["quantiles"][0] == x.min() and found["x"]["quantiles"][-1] == x.max()
    assert found["s"]["unique"] == pytest.approx(251, rel=0.1)
    assert found["s"]["top_values"][0] == {"value": "often", "count": 10_000}
    assert found["s"]["top_values"][1]["count"] == 40
    # Rows of one value cannot be chosen by their content: all of them are read.
    only = described(con, "(SELECT same FROM big)")
    assert only["same"]["median"] == 3.0


@pytest.mark.parametrize(
    ("settings", "sentence", "place"),
    [
        ("0 AS num_quantiles", "NUM_QUANTILES must be from 1 to 100000. Got 0.", "0"),
        ("0 AS num_array_length_quantiles", "NUM_ARRAY_LENGTH_QUANTILES must be from 1 to 100000.", "0"),
        ("10001 AS top_k", "TOP_K must be from 1 to 10000. Got 10001.", "10001"),
        ("'many' AS top_k", "TOP_K must be an INT64. Got 'many'.", "'many'"),
        ("3 AS topk", "TOPK is not an option of ML.DESCRIBE_DATA.", "topk"),
    ],
)
def test_wrong_settings(mixed: sqlml.Connection, settings: str, sentence: str, place: str) -> None:
    source = f"SELECT * FROM ML.DESCRIBE_DATA(TABLE mixed, STRUCT({settings}))"
    with pytest.raises(sqlml.Error) as caught:
        mixed.execute(source)
    assert sentence in caught.value.message
    assert caught.value.span is not None and source[caught.value.span.start :].startswith(place), str(caught.value)


def test_a_wide_table_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of a query is small, and what it finds is that of a narrow table."""
    monkeypatch.setattr("sqlml.functions.summary.MOST_HISTOGRAMS", 2)
    wide = 5
    numbers = ", ".join(f"SIN(i * {j + 1}) AS n{j}" for j in range(wide))
    words = ", ".join(f"CAST(MOD(i, {j + 2}) AS STRING) AS w{j}" for j in range(wide))
    with sqlml.connect() as con:
        con.execute(f"CREATE TABLE t AS SELECT {numbers}, {words} FROM UNNEST(GENERATE_ARRAY(1, 200)) AS i")
        con.execute("CREATE MODEL m OPTIONS(model_type='kmeans', num_clusters=2, max_iterations=1) AS SELECT * FROM t")
        last = f"n{wide - 1}, w{wide - 1}"
        con.execute(f"CREATE MODEL k OPTIONS(model_type='kmeans', num_clusters=2) AS SELECT {last} FROM t")
        other = f"(SELECT * REPLACE (n{wide - 1} / 2 AS n{wide - 1}, '1' AS w{wide - 1}) FROM t)"
        found = [
            con.execute(
                f"SELECT input, value FROM ML.VALIDATE_DATA_SKEW(MODEL {m}, {other})"
                f" WHERE input IN ('n{wide - 1}', 'w{wide - 1}') ORDER BY input"
            ).fetchall()
            for m in ("m", "k")
        ]
        assert found[0] == found[1] and len(found[0]) == 2 and all(v > 0 for _, v in found[0])
        rows = con.execute("SELECT name, min, max FROM ML.DESCRIBE_DATA(TABLE t)").fetchall()
        assert len(rows) == 2 * wide
