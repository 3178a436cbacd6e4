"""DATE + INT64 where only DuckDB knows the types."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest

import sqlml
from sqlml.database import Database
from sqlml.errors import DataError, ProgrammingError


@pytest.fixture
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as con:
        con.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-31' + x AS d, x, CAST(x AS FLOAT64) AS f, x * 2.0 AS y"
            " FROM UNNEST(GENERATE_ARRAY(1, 30)) AS x"
        )
        yield con


def day(n: int) -> datetime.date:
    return datetime.date(2024, 1, 31) + datetime.timedelta(days=n)


@pytest.mark.parametrize(
    "sum_, days",
    [
        ("d + x", 4), ("x + d", 4), ("d - x", 0), ("DATE '2024-01-31' - x", -2), ("d + x * 3", 8), ("d + (x + 1)", 5),
        ("d + x + x", 6), ("x + x + d", 6), ("-x + d", 0), ("d - (x - 7)", 7), ("d + (SELECT MAX(x) FROM t)", 32),
        ("(SELECT MIN(d) FROM t) + x", 3), ("IF(d - x > DATE '1999-01-01', d + x, d)", 4), ("[d + x][OFFSET(0)]", 4),
        ("d + @n", 7), ("d + @n - x", 5), ("DATE_ADD(d + x, INTERVAL 1 DAY)", 5),
    ],
)  # fmt: skip
def test_values(con: sqlml.Connection, sum_: str, days: int) -> None:
    assert con.execute(f"SELECT {sum_} FROM t WHERE x = 2", {"n": 5}).fetchall() == [(day(days),)]


def test_other_sums_stay(con: sqlml.Connection) -> None:
    sql = "SELECT d + x, d - d, x + x, x - 5000000000, f + x, d + INTERVAL 1 DAY FROM t WHERE x = 2"
    row = con.execute(sql).fetchone()
    assert row == (day(4), 0, 4, -4999999998, 4.0, datetime.datetime(2024, 2, 3))


def test_groups_and_queries_in_queries(con: sqlml.Connection) -> None:
    for group in ("d - x", "k", "1"):
        sql = f"SELECT d - x AS k, COUNT(*) FROM t GROUP BY {group} HAVING COUNT(*) > 1 ORDER BY d - x"
        assert con.execute(sql.replace("d - x AS", "d - x AS").replace("ORDER BY d - x", "ORDER BY 1")).fetchall() == [
            (day(0), 30)
        ]
    sql = (
        "WITH a AS (SELECT d + x AS e, x FROM t), b AS (SELECT e - x AS d, x FROM a)"
        " SELECT d + x + 1, (SELECT SUM(d + x) FROM (SELECT 3 AS d)) FROM b WHERE d + x > DATE '2024-01-01' ORDER BY d + x LIMIT 1"
    )
    assert con.execute(sql).fetchall() == [(day(3), 4)]


def test_statements(con: sqlml.Connection) -> None:
    made = con.execute("CREATE TABLE k PARTITION BY e AS SELECT d + x AS e FROM t")
    assert (made.rowcount, len(made.messages)) == (30, 1)
    assert con.execute("INSERT INTO k SELECT d + x FROM t WHERE d - x < d").rowcount == 30
    assert con.execute("UPDATE t SET d = d + x WHERE d + x > DATE '2024-03-01'").rowcount == 15
    con.execute("CREATE VIEW v AS SELECT d - x AS e FROM t")
    assert con.execute("SELECT MIN(e) FROM v").fetchall() == [(day(0),)]
    sql = "DECLARE n INT64 DEFAULT 3; DECLARE q DATE DEFAULT (SELECT MIN(d + x) FROM t); SET q = q + n; SELECT q - n"
    assert con.execute(sql).fetchall() == [(day(2),)]


def test_models(con: sqlml.Connection) -> None:
    con.execute(
        "CREATE MODEL m OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT x, d + x AS due, y FROM t"
    )
    predict = "SELECT due FROM ML.PREDICT(MODEL m, (SELECT x, d + x AS due FROM t)) WHERE due + x = DATE '2024-02-03'"
    assert con.execute(predict).fetchall() == [(day(2),)]
    con.execute(f"CREATE VIEW v AS {predict}")
    assert con.execute("SELECT due FROM v").fetchall() == [(day(2),)]


@pytest.mark.parametrize(
    "sql, kind, says",
    [
        ("SELECT d + f FROM t", ProgrammingError, "the operator \\+ does not take DATE, FLOAT64"),
        ("SELECT x - d FROM t", ProgrammingError, "the operator - does not take INT64, DATE"),
        ("SELECT d + x, x - d FROM t", ProgrammingError, "the operator - does not take INT64, DATE"),
        ("SELECT d + x, missing FROM t", ProgrammingError, "the column missing does not exist"),
        ("SELECT d + x FROM t GROUP BY d", ProgrammingError, "the column x must be in GROUP BY"),
        ("SELECT d + x * 90000000000 FROM t", DataError, "out of range"),
    ],
)
def test_errors_are_the_user_s(con: sqlml.Connection, sql: str, kind: type[sqlml.Error], says: str) -> None:
    with pytest.raises(kind, match=says):
        con.execute(sql)
    assert con._session.sums is None
    assert con.execute("SELECT COUNT(*) FROM t").fetchall() == [(30,)]


def test_nothing_else_is_tried_twice(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    stream = Database.stream

    def counted(self: Database, sql: str, *more: object) -> object:
        asked.append(sql)
        return stream(self, sql, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "stream", counted)
    con.execute("SELECT x + f, DATE '2024-01-01' + 3 FROM t")
    with pytest.raises(ProgrammingError):
        con.execute("SELECT missing FROM t")
    assert len(asked) == 2
