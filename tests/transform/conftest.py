"""A small engine for these tests: GoogleSQL through the hook, and TRANSFORM clauses over a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from sqlml.database import Database, open_database
from sqlml.errors import Error
from sqlml.relation import LocalRelation
from sqlml.schema import quote_name
from sqlml.transform import PREPROCESS, Transform, plan_transform, rewrite
from sqlml.translate import translate
from sqlml.translate.udfs import UDFS


@dataclass
class Engine:
    """One DuckDB connection with the translation in front."""

    database: Database

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a GoogleSQL query."""
        try:
            return self.database.execute(translate(sql, scalar=rewrite, names=tuple(PREPROCESS)))
        except Error as error:
            raise error.attach(sql) from None

    def table(self, name: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
        """A table of the given DuckDB column definitions and rows."""
        self.database.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
        for row in rows:
            marks = ", ".join("?" for _ in row)
            self.database.execute(f"INSERT INTO {name} VALUES ({marks})", list(row))

    def fit(
        self,
        clause: str,
        table: str = "t",
        passthrough: tuple[str, ...] = (),
        fidelity: Literal["best", "bigquery"] = "best",
    ) -> Transform:
        """A TRANSFORM clause fitted on a table."""
        source = quote_name(table)
        columns = self.database.describe(f"SELECT * FROM {source}")
        prefix = "CREATE MODEL m TRANSFORM("
        try:
            plan = plan_transform(
                clause, len(prefix), columns, passthrough, fidelity, user_functions=lambda: ("my_udf",)
            )
            return plan.fit(LocalRelation(self.database, source, columns))
        except Error as error:
            raise error.attach(f"{prefix}{clause})") from None

    def apply(self, transform: Transform, table: str = "t", order: str | None = None) -> list[tuple[Any, ...]]:
        """The output rows of a fitted clause."""
        items = ", ".join(f"{sql} AS {quote_name(name)}" for name, sql in transform.select_items())
        tail = f" ORDER BY {order}" if order else ""
        return self.database.execute(f"SELECT {items} FROM {quote_name(table)}{tail}")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A fresh engine per module."""
    database = open_database(":memory:")
    for udf in UDFS.values():
        database.function(udf.name, udf.function, list(udf.parameters), udf.returns)
    yield Engine(database)
    database.close()
