"""A DuckDB to run translated statements in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pytest

from sqlml.translate import translate
from sqlml.translate.udfs import UDFS

Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="session")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for udf in UDFS.values():
        con.create_function(udf.name, udf.function, list(udf.parameters), udf.returns, type="arrow")
    con.execute("CREATE SCHEMA ds")
    con.execute(
        "CREATE TABLE ds.t (id BIGINT, k VARCHAR, x BIGINT, y DOUBLE, arr BIGINT[],"
        " st STRUCT(a BIGINT, b VARCHAR), ps STRUCT(key VARCHAR, value STRUCT(s VARCHAR, i BIGINT))[])"
    )
    con.execute(
        "INSERT INTO ds.t VALUES"
        " (1, 'a', 5, 1.5, [1, 2], {'a': 1, 'b': 'x'}, [{'key': 'p', 'value': {'s': 'u', 'i': 1}},"
        "  {'key': 'q', 'value': {'s': 'v', 'i': 2}}]),"
        " (2, 'b', 6, 2.5, [], {'a': 2, 'b': 'y'}, []),"
        " (3, 'a', 7, NULL, [3], {'a': 3, 'b': 'z'}, [{'key': 'p', 'value': {'s': 'w', 'i': 3}}])"
    )
    yield con
    con.close()


@pytest.fixture
def run(database: duckdb.DuckDBPyConnection) -> Run:
    def rows(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        cursor = database.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        return cursor.execute(translate(sql), *parameters).fetchall()

    return rows


@pytest.fixture
def value(run: Run) -> Callable[[str], Any]:
    """The value of one GoogleSQL expression."""

    def evaluate(expression: str) -> Any:
        [[found]] = run(f"SELECT {expression}")
        return found

    return evaluate


@pytest.fixture
def columns(database: duckdb.DuckDBPyConnection) -> Callable[[str], list[tuple[str, str]]]:
    """Names and DuckDB types of a query's columns."""

    def describe(sql: str) -> list[tuple[str, str]]:
        cursor = database.cursor()
        found = cursor.execute(f"DESCRIBE {translate(sql)}").fetchall()
        return [(row[0], row[1]) for row in found]

    return describe
