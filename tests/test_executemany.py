"""Cursor.executemany: planned once, all or nothing, the same values as one by one."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import sqlml
from sqlml import execute
from sqlml.errors import DataError, Error, IntegrityError, ProgrammingError

DAY = datetime.date(2024, 1, 1)


@pytest.fixture
def con() -> Iterator[sqlml.Connection]:
    with sqlml.connect() as con:
        con.execute("CREATE TABLE t (a INT64 NOT NULL, b STRING, d DATE, f FLOAT64)")
        yield con


def rows(con: sqlml.Connection) -> list[Any]:
    return con.execute("SELECT * FROM t ORDER BY a").fetchall()


def test_many_rows_are_planned_once(con: sqlml.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    sql = execute.Planner.sql

    def counted(self: Any, query: Any, *more: Any, **named: Any) -> str:
        planned.append(query.text)
        return sql(self, query, *more, **named)

    monkeypatch.setattr(execute.Planner, "sql", counted)
    cursor = con.cursor().executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?)", [(i, f"x{i}", DAY, i / 4) for i in range(3000)]
    )
    assert (cursor.rowcount, len(planned)) == (3000, 1)
    assert rows(con)[::1000] == [(i, f"x{i}", DAY, i / 4) for i in range(0, 3000, 1000)]
    assert (
        con.cursor().executemany("UPDATE t SET f = @f WHERE a < @a", [{"f": 1.0, "a": 3}, {"f": None, "a": 2}]).rowcount
        == 5
    )
    assert len(planned) == 3  # with the query of `rows`
    assert [r[3] for r in rows(con)[:4]] == [None, None, 1.0, 0.75]


@pytest.mark.parametrize("given", [(1, 2), (None, 3), (1, 2.5), ("7", 1), (True, 2), (Decimal("1.50"), 4), (2.0, None)])
def test_types_that_change(con: sqlml.Connection, given: tuple[Any, Any]) -> None:
    """Into a STRING column, where the type of a value shows."""
    sql = "INSERT INTO t (a, b) VALUES (@k + 1, CAST(@v AS STRING))"
    sets = [{"k": i, "v": v} for i, v in enumerate((*given, *given[::-1]))]
    con.cursor().executemany(sql, sets)
    together = rows(con)
    con.execute("DELETE FROM t WHERE TRUE")
    for one in sets:
        con.execute(sql, one)
    assert rows(con) == together


def test_dates_and_none(con: sqlml.Connection) -> None:
    sets = [(1, None, DAY, None), (2, "x", None, 1), (3, None, "2024-02-02", 2.5), (4, "o'k $1", DAY, None)]
    assert con.cursor().executemany("INSERT INTO t VALUES (?, ?, ?, ?)", sets).rowcount == 4
    second = datetime.date(2024, 2, 2)
    assert rows(con) == [
        (1, None, DAY, None), (2, "x", None, 1.0), (3, None, second, 2.5), (4, "o'k $1", DAY, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "sql, sets, kind, says",
    [
        ("INSERT INTO t (a) VALUES (?)", [[i] for i in range(40)] + [[None]] + [[1]] * 40, IntegrityError, "row 41: "),
        ("INSERT INTO t (a) VALUES (?)", [[1], [2], ["x"]], DataError, "row 3: .*'x' to INT64"),
        ("INSERT INTO t (a) VALUES (@a)", [{"a": 1}, {"b": 2}], ProgrammingError, "row 2: "),
        ("UPDATE t SET f = 1 / ? WHERE a = 7", [[1], [0]], Error, "row 2: .*division by zero"),
        ("SELECT 1 / ?", [[1], [0]], Error, "row 2: .*division by zero"),
        ("INSERT INTO missing (a) VALUES (?)", [[1], [2]], ProgrammingError, "the table missing does not exist"),
    ],
)
def test_all_or_nothing(con: sqlml.Connection, sql: str, sets: Any, kind: type[Error], says: str) -> None:
    con.execute("INSERT INTO t (a, f) VALUES (7, 7.0)")
    with pytest.raises(kind, match=says):
        con.cursor().executemany(sql, sets)
    assert rows(con) == [(7, None, None, 7.0)]
    con.execute("BEGIN TRANSACTION; COMMIT")


def test_in_the_user_s_transaction(con: sqlml.Connection) -> None:
    con.execute("BEGIN TRANSACTION")
    con.cursor().executemany("INSERT INTO t (a) VALUES (?)", [[1], [2]])
    con.rollback()
    assert rows(con) == []
    con.execute("BEGIN TRANSACTION")
    con.cursor().executemany("INSERT INTO t (a) VALUES (?)", [[1], [2]])
    con.commit()
    assert len(rows(con)) == 2


def test_statements_that_are_not_planned_once(con: sqlml.Connection) -> None:
    """A script, a query, and no set at all."""
    sql = "DECLARE n INT64 DEFAULT 10; INSERT INTO t (a) VALUES (n + ?)"
    con.cursor().executemany(sql, [[1], [2]])
    assert [r[0] for r in rows(con)] == [11, 12]
    cursor = con.cursor().executemany("SELECT ? + 1", [[1], [2]])
    assert cursor.fetchall() == [(3,)]
    assert con.cursor().executemany("INSERT INTO t (a) VALUES (?)", []).rowcount == -1
    con.cursor().executemany("UPDATE t SET d = DATE '2024-01-01' + a - ? WHERE a = ?", [[10, 11], [11, 12]])
    assert [r[2] for r in rows(con)] == [datetime.date(2024, 1, 2)] * 2
