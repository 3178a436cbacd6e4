"""OPTIONS(...) and clauses without effect: descriptions are kept, everything else is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sqlml
from sqlml.errors import NameError, NotSupportedError, OptionError


@pytest.fixture
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as con:
        con.execute("CREATE SCHEMA d")
        yield con


def told(con: sqlml.Connection, sql: str, parameters: object = None) -> list[str]:
    """The beginnings of the notices of a statement."""
    messages = con.execute(sql, parameters).messages  # type: ignore[arg-type]
    return [str(m).split(" has no effect here")[0] for _, m in messages]


def tables(con: sqlml.Connection) -> dict[str, str]:
    rows = con.execute("SELECT table_name, option_value FROM d.INFORMATION_SCHEMA.TABLE_OPTIONS").fetchall()
    return dict(rows)


def columns(con: sqlml.Connection, table: str) -> dict[str, str | None]:
    sql = "SELECT column_name, description FROM d.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS WHERE table_name = ?"
    return dict(con.execute(sql, [table]).fetchall())


def test_create_table(con: sqlml.Connection) -> None:
    sql = (
        "CREATE TABLE d.t (a INT64 OPTIONS(description='the key'), b STRING NOT NULL OPTIONS(rounding_mode='ROUND_HALF_EVEN'),"
        " c STRING COLLATE 'und:ci', ts TIMESTAMP, s STRUCT<x INT64 OPTIONS(description='inside')>)"
        " DEFAULT COLLATE 'und:ci' PARTITION BY DATE(ts) CLUSTER BY a, b"
        """ OPTIONS(description='it\\'s "it"', labels=[('a', 'b')], expiration_timestamp=TIMESTAMP '2030-01-01')"""
    )
    assert sorted(told(con, sql)) == [
        "CLUSTER BY of CREATE TABLE", "COLLATE of CREATE TABLE", "COLLATE of the column c",
        "DESCRIPTION of the field x", "EXPIRATION_TIMESTAMP of CREATE TABLE", "LABELS of CREATE TABLE",
        "PARTITION BY of CREATE TABLE", "ROUNDING_MODE of the column b",
    ]  # fmt: skip
    assert tables(con) == {"t": '"it\'s \\"it\\""'}
    assert columns(con, "t") == {"a": "the key", "b": None, "c": None, "ts": None, "s": None}


def test_create_table_as_keeps_the_count(con: sqlml.Connection) -> None:
    sql = "CREATE TABLE d.t OPTIONS(description='one ' || @name) AS SELECT x FROM UNNEST([1, 2, 3]) AS x"
    assert con.execute(sql, {"Name": "two"}).rowcount == 3
    con.execute("CREATE TABLE d.u OPTIONS(description=?) AS SELECT ? AS x", ["first", 2])
    assert tables(con) == {"t": '"one two"', "u": '"first"'}
    con.execute("CREATE OR REPLACE TABLE d.u AS SELECT 1 AS x")
    assert tables(con) == {"t": '"one two"'}


def test_if_not_exists_leaves_what_is_there(con: sqlml.Connection) -> None:
    for text in ("first", "second"):
        con.execute(
            f"CREATE TABLE IF NOT EXISTS d.t (a INT64 OPTIONS(description='{text}')) OPTIONS(description='{text}')"
        )
    assert (tables(con), columns(con, "t")) == ({"t": '"first"'}, {"a": "first"})


def test_in_a_transaction(con: sqlml.Connection) -> None:
    con.execute("BEGIN TRANSACTION; CREATE TABLE d.t OPTIONS(description='x') AS SELECT 1 AS a; ROLLBACK")
    assert tables(con) == {}
    con.execute(
        "BEGIN TRANSACTION; CREATE TABLE IF NOT EXISTS d.t (a INT64) OPTIONS(description='x');"
        " ALTER TABLE IF EXISTS d.missing SET OPTIONS(description='y'); COMMIT"
    )
    assert tables(con) == {"t": '"x"'}


def test_alter(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE d.t (a INT64)")
    sql = "ALTER TABLE d.t SET OPTIONS(description='x', friendly_name='b')"
    assert told(con, sql) == ["FRIENDLY_NAME of ALTER TABLE"]
    assert told(con, "ALTER TABLE d.t SET DEFAULT COLLATE 'und:ci'") == ["COLLATE of ALTER TABLE"]
    assert told(con, "ALTER SCHEMA d SET OPTIONS(description='x')") == ["DESCRIPTION of ALTER SCHEMA"]
    con.execute("ALTER TABLE d.t ALTER COLUMN a SET OPTIONS(description='new')")
    con.execute("ALTER TABLE d.t ADD COLUMN z INT64 OPTIONS(description='zed')")
    assert (tables(con), columns(con, "t")) == ({"t": '"x"'}, {"a": "new", "z": "zed"})
    con.execute("DECLARE q STRING DEFAULT 'by a script'; ALTER TABLE d.t SET OPTIONS(description=q)")
    assert tables(con) == {"t": '"by a script"'}
    con.execute("ALTER TABLE d.t SET OPTIONS(description=NULL)")
    assert tables(con) == {}


def test_views_and_schemas(con: sqlml.Connection) -> None:
    assert told(con, "CREATE SCHEMA e DEFAULT COLLATE 'und:ci' OPTIONS(location='US')") == [
        "COLLATE of CREATE SCHEMA", "LOCATION of CREATE SCHEMA",
    ]  # fmt: skip
    con.execute("CREATE VIEW d.v (a OPTIONS(description='q'), b) OPTIONS(description='x') AS SELECT 1, 2")
    assert (tables(con), columns(con, "v")) == ({"v": '"x"'}, {"a": "q", "b": None})
    con.execute("ALTER VIEW d.v SET OPTIONS(description='y')")
    assert tables(con) == {"v": '"y"'}
    assert told(con, "CREATE MATERIALIZED VIEW d.m OPTIONS(enable_refresh=TRUE) AS SELECT 1 AS a") == [
        "MATERIALIZED of CREATE VIEW", "ENABLE_REFRESH of CREATE VIEW",
    ]  # fmt: skip


def test_functions(con: sqlml.Connection) -> None:
    sql = "CREATE TEMP FUNCTION f(x INT64) RETURNS INT64 AS (x + 1) OPTIONS(description='x'); SELECT f(1)"
    assert told(con, sql) == ["DESCRIPTION of a function or procedure"]


def test_views_over_ml_functions(con: sqlml.Connection) -> None:
    con.execute("CREATE TABLE t AS SELECT x, x * 2.0 AS y FROM UNNEST(GENERATE_ARRAY(1, 50)) AS x")
    con.execute("CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT * FROM t")
    predict = "SELECT * FROM ML.PREDICT(MODEL m, TABLE t)"
    assert told(con, f"CREATE VIEW v OPTIONS(description='x') AS {predict}") == ["OPTIONS of CREATE VIEW"]
    assert told(con, "ALTER VIEW v SET OPTIONS(description='x')") == ["DESCRIPTION of ALTER VIEW"]
    with pytest.raises(NotSupportedError, match="must not have a list of columns"):
        con.execute(f"CREATE VIEW w (a, b, c) AS {predict}")


@pytest.mark.parametrize(
    "sql, kind, place",
    [
        ("ALTER TABLE d.t SET OPTIONS(descripton='b')", OptionError, "descripton"),
        ("CREATE TABLE d.u (a INT64 OPTIONS(label='b'))", OptionError, "label"),
        ("ALTER TABLE d.t SET OPTIONS(description=57)", OptionError, "57"),
        ("ALTER TABLE d.missing SET OPTIONS(friendly_name='b')", NameError, "missing"),
    ],
)
def test_refused(con: sqlml.Connection, sql: str, kind: type[sqlml.Error], place: str) -> None:
    con.execute("CREATE TABLE d.t (a INT64)")
    with pytest.raises(kind) as caught:
        con.execute(sql)
    span = caught.value.span
    assert span is not None
    assert sql[span.start : span.end] == place
