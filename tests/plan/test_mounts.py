"""Mounted files and objects, wildcard tables, data frames in the caller's scope."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import sqlml
from sqlml.plan import mounts

PENGUINS = "`bigquery-public-data.ml_datasets.penguins`"


@pytest.fixture(autouse=True)
def _shared() -> Iterator[None]:
    kept = dict(mounts.SHARED)
    yield
    mounts.SHARED.clear()
    mounts.SHARED.update(kept)


@pytest.fixture
def files(con: sqlml.Connection, tmp_path: pathlib.Path) -> pathlib.Path:
    """Two daily Parquet files, a CSV file and a JSON file."""
    for day in ("01", "02"):
        con.duckdb.execute(f"COPY (SELECT {int(day)} AS n) TO '{tmp_path}/day_{day}.parquet'")
    con.duckdb.execute(f"COPY (SELECT 5 AS n, 'x' AS s) TO '{tmp_path}/table.csv'")
    con.duckdb.execute(f"COPY (SELECT 6 AS n) TO '{tmp_path}/table.jsonl' (FORMAT json)")
    return tmp_path


def test_public_tables_are_there(con: sqlml.Connection) -> None:
    rows = con.execute(f"SELECT COUNT(*), COUNT(body_mass_g), COUNT(sex) FROM {PENGUINS}").fetchall()
    assert rows == [(344, 342, 334)]
    rows = con.execute(
        "SELECT species, COUNT(*), AVG(petal_width) FROM bigquery-public-data.ml_datasets.iris GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [r[:2] for r in rows] == [("setosa", 50), ("versicolor", 50), ("virginica", 50)]
    assert [r[2] for r in rows] == pytest.approx([0.246, 1.326, 2.026])


def test_a_tutorial_runs_as_printed(con: sqlml.Connection) -> None:
    con.execute("CREATE SCHEMA bqml_tutorial")
    con.execute(f"""CREATE OR REPLACE MODEL `bqml_tutorial.penguins_model`
      OPTIONS (model_type='linear_reg', input_label_cols=['body_mass_g']) AS
      SELECT * FROM {PENGUINS} WHERE body_mass_g IS NOT NULL""")
    rows = con.execute(f"""SELECT * FROM ML.PREDICT(MODEL `bqml_tutorial.penguins_model`,
      (SELECT * FROM {PENGUINS} WHERE island = 'Biscoe'))""").fetchall()
    assert len(rows) == 168
    assert con.execute(f"SELECT COUNT(*) FROM ML.DESCRIBE_DATA(TABLE {PENGUINS})").fetchall() == [(7,)]


def test_files_and_tables(con: sqlml.Connection, files: pathlib.Path) -> None:
    con.mount("p.d.parquet", files / "day_01.parquet")
    con.mount("d.csv", str(files / "table.csv"))
    con.mount("json_table", files / "table.jsonl")
    con.execute("CREATE SCHEMA other")
    con.execute("CREATE TABLE other.place AS SELECT 7 AS n")
    con.mount("p.d.moved", "other.place")
    for name, expected in (("p.d.parquet", 1), ("`P.D.Parquet`", 1), ("d.csv", 5), ("json_table", 6), ("p.d.moved", 7)):
        assert con.execute(f"SELECT n FROM {name}").fetchall() == [(expected,)]
    joined = con.execute("SELECT csv.s, parquet.n FROM d.csv JOIN `p.d.parquet` ON TRUE").fetchall()
    assert joined == [("x", 1)]


def test_connect_and_process_wide_mounts(files: pathlib.Path) -> None:
    sqlml.mount("all.of.them", files / "day_01.parquet")
    with sqlml.connect(mounts={"mine.d.t": files / "day_02.parquet", "all.of.them": pa.table({"n": [9]})}) as con:
        assert con.execute("SELECT n FROM mine.d.t").fetchall() == [(2,)]
        assert con.execute("SELECT n FROM all.of.them").fetchall() == [(9,)]  # the connection's own comes first
    with sqlml.connect() as con:
        assert con.execute("SELECT n FROM all.of.them").fetchall() == [(1,)]


def test_wildcards(con: sqlml.Connection, files: pathlib.Path) -> None:
    con.execute("CREATE SCHEMA logs")
    for day, column in (("20240101", "v"), ("20240102", "v"), ("20240103", "w")):
        con.execute(f"CREATE TABLE logs.events_{day} AS SELECT {day} AS {column}")
    con.execute("CREATE TABLE logs.other AS SELECT 1 AS v")
    rows = con.execute("SELECT * FROM `project.logs.events_*` ORDER BY v").fetchall()
    assert rows == [(None, 20240103), (20240101, None), (20240102, None)]
    rows = con.execute(
        "SELECT v, _TABLE_SUFFIX AS day FROM `logs.events_*` WHERE _TABLE_SUFFIX BETWEEN '20240102' AND '20240109'"
        " AND v IS NOT NULL"
    ).fetchall()
    assert rows == [(20240102, "20240102")]
    con.mount("p.d.day_*", f"{files}/day_*.parquet")
    con.mount("p.d.day_special", pa.table({"n": [3]}))
    rows = con.execute("SELECT n, _TABLE_SUFFIX FROM `p.d.day_*` ORDER BY n").fetchall()
    assert rows == [(1, "01"), (2, "02"), (3, "special")]


def test_objects_of_the_caller(con: sqlml.Connection) -> None:
    frame, arrow, other = pd.DataFrame({"a": [1, 2]}), pa.table({"b": [3]}), pl.DataFrame({"c": [4]})
    assert con.execute("SELECT a, b, c FROM frame, arrow, other ORDER BY a").fetchall() == [(1, 3, 4), (2, 3, 4)]
    assert con.cursor().execute("SELECT SUM(a) FROM frame").fetchall() == [(3,)]
    assert con.execute("SELECT name, mean FROM ML.DESCRIBE_DATA(TABLE frame)").fetchall() == [("a", 1.5)]
    assert con.execute("WITH frame AS (SELECT 9 AS a) SELECT * FROM frame").fetchall() == [(9,)]
    con.execute("CREATE TABLE frame AS SELECT 7 AS a")  # a table of the database hides the variable
    assert con.execute("SELECT * FROM frame").fetchall() == [(7,)]
    del frame, arrow, other
    with pytest.raises(sqlml.Error, match="arrow"):
        con.execute("SELECT * FROM arrow")


def test_objects_of_a_function(con: sqlml.Connection) -> None:
    def ask() -> list[tuple[int]]:
        inside = pd.DataFrame({"z": [1]})
        assert len(inside)
        return con.execute("SELECT z FROM inside").fetchall()

    assert ask() == [(1,)]
    with pytest.raises(sqlml.Error, match="inside"):
        con.execute("SELECT z FROM inside")


def test_a_stream_outlives_its_object(con: sqlml.Connection) -> None:
    frame = pd.DataFrame({"a": range(10)})
    cursor = con.execute("SELECT a FROM frame")
    del frame
    con.execute("SELECT 1")
    assert len(cursor.fetchall()) == 10


def test_training_on_a_data_frame(con: sqlml.Connection) -> None:
    data = pd.DataFrame({"x": [float(i) for i in range(20)], "y": [2.0 * i for i in range(20)]})
    con.execute("CREATE MODEL m OPTIONS (model_type = 'linear_reg', input_label_cols = ['y']) AS SELECT * FROM data")
    new = pd.DataFrame({"x": [100.0]})
    assert len(data) + len(new) == 21
    rows = con.execute("SELECT predicted_y FROM ML.PREDICT(MODEL m, TABLE new)").fetchall()
    assert rows == [(pytest.approx(200.0),)]


def test_writing_does_not_go_to_a_mount(con: sqlml.Connection, files: pathlib.Path) -> None:
    con.mount("d.t", files / "day_01.parquet")
    con.execute("CREATE SCHEMA d")
    con.execute("CREATE TABLE d.t AS SELECT n + 1 AS n FROM d.t")
    assert con.duckdb.execute("SELECT * FROM d.t").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("path", "source", "sentence"),
    [
        ("a.b.c.d", "t", "the path of a mount must be project.dataset.table"),
        ("a..b", "t", "the path of a mount must be project.dataset.table"),
        ("a.b", "missing.parquet", "the file missing.parquet must exist"),
        ("a.b", 5, "must be a file, a table name, or an Arrow, pandas or polars table. Got int"),
        ("a.b", pathlib.Path("x.xlsx"), "a mounted file must be Parquet, CSV or JSON. Got x.xlsx"),
    ],
)
def test_wrong_mounts(con: sqlml.Connection, path: str, source: object, sentence: str) -> None:
    for mount in (con.mount, sqlml.mount):
        with pytest.raises(sqlml.Error) as caught:
            mount(path, source)
        assert sentence in caught.value.message if isinstance(caught.value, sqlml.Error) else False


def test_a_wildcard_without_tables(con: sqlml.Connection) -> None:
    with pytest.raises(sqlml.Error) as caught:
        con.execute("SELECT * FROM `d.nothing_*`")
    assert "must match a table" in caught.value.message and "^" in str(caught.value)
