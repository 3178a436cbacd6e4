"""Fixtures that every test may use."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

import sqlml

DATA = pathlib.Path(sqlml.__file__).parent / "data"


def load_penguins(connection: sqlml.Connection, name: str = "penguins") -> None:
    """Create the penguins table, typed as in BigQuery, straight in the database."""
    connection.duckdb.execute(
        f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM read_csv('{DATA / 'penguins.csv'}', header = true, "
        "types = {'culmen_length_mm': 'DOUBLE', 'culmen_depth_mm': 'DOUBLE', "
        "'flipper_length_mm': 'DOUBLE', 'body_mass_g': 'DOUBLE'})"
    )


@pytest.fixture
def con() -> Iterator[sqlml.Connection]:
    """A fresh connection to an empty database in memory."""
    connection = sqlml.connect()
    yield connection
    connection.close()


@pytest.fixture
def penguins(con: sqlml.Connection) -> sqlml.Connection:
    """A fresh connection that has the table `penguins`."""
    load_penguins(con)
    return con


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update` rewrites the golden scripts."""
    parser.addoption("--update", action="store_true", help="rewrite the expected output of tests/scripts")
