"""What can be named: tables, columns and models of the database; model types, options and functions of sqlml.

The database's names are read through a cursor of its own, so that completing never disturbs a
statement, and they are kept until the next statement has run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlml

KEYWORDS = tuple(
    (
        "SELECT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET JOIN LEFT RIGHT FULL INNER CROSS ON USING"
        " AS WITH UNION ALL DISTINCT EXCEPT REPLACE CASE WHEN THEN ELSE END AND OR NOT IN IS NULL TRUE"
        " FALSE BETWEEN LIKE EXISTS CAST SAFE_CAST CREATE TABLE VIEW SCHEMA MODEL IF DROP ALTER SET"
        " OPTIONS TRANSFORM INPUT OUTPUT REMOTE CONNECTION EXPORT SHOW MODELS EXPLAIN INSERT INTO VALUES"
        " UPDATE DELETE STRUCT ARRAY UNNEST OVER PARTITION WINDOW QUALIFY DESC ASC NULLS FIRST LAST"
        " INTERVAL DATE TIMESTAMP EXTRACT COUNT SUM AVG MIN MAX"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Names:
    """A snapshot of the database's names. Keys are lower case."""

    tables: dict[str, str] = field(default_factory=dict)  # key -> name as one types it
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # key of the table -> columns
    schemas: tuple[str, ...] = ()
    models: dict[str, str] = field(default_factory=dict)  # name as one types it -> model type


def read_names(connection: sqlml.Connection) -> Names:
    """Read the snapshot. Temporary tables belong to the statement's own connection and are left out."""
    cursor = connection.duckdb.cursor()
    try:
        here = cursor.execute("SELECT current_database(), current_schema()").fetchall()[0]
        rows = cursor.execute(
            "SELECT database_name, schema_name, table_name, column_name FROM duckdb_columns()"
            " WHERE NOT internal AND schema_name <> 'sqlml' ORDER BY 1, 2, 3, column_index"
        ).fetchall()
        schemas = cursor.execute(
            "SELECT DISTINCT schema_name FROM duckdb_schemas() WHERE NOT internal AND schema_name <> 'sqlml'"
        ).fetchall()
    finally:
        cursor.close()
    tables: dict[str, str] = {}
    columns: dict[str, list[str]] = {}
    for database, schema, table, column in rows:
        path = [part for part, current in ((database, here[0]), (schema, here[1])) if part != current]
        if path and len(path) == 1 and schema == here[1]:
            path.append(schema)
        name = ".".join(written(part) for part in [*path, table])
        tables[name.lower()] = name
        columns.setdefault(name.lower(), []).append(column)
    return Names(
        tables=tables,
        columns={key: tuple(value) for key, value in columns.items()},
        schemas=tuple(row[0] for row in schemas),
        models=read_models(connection),
    )


def read_models(connection: sqlml.Connection) -> dict[str, str]:
    """Model names and their types."""
    cursor = connection.execute("SHOW MODELS")
    header = [column[0] for column in cursor.description or ()]
    found = {}
    for row in cursor.fetchall():
        record = dict(zip(header, row, strict=True))
        path = [record.get("dataset"), record["name"]]
        name = ".".join(written(str(part)) for part in path if part and part != "main")
        found[name] = str(record["model_type"])
    return found


def written(name: str) -> str:
    """A name as it must be typed: bare, or in backticks."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain and name.upper() not in KEYWORDS else f"`{name}`"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What sqlml itself declares."""

    model_types: tuple[str, ...]
    options: dict[str, dict[str, tuple[str, ...]]]  # model type -> option -> its words, if it is a choice
    functions: tuple[str, ...]
    answers: dict[str, frozenset[str]]  # function -> the model types that answer it; missing: no model needed


@cache
def vocabulary() -> Vocabulary:
    """What the declarations of the model types and functions say."""
    from sqlml.functions import FUNCTIONS
    from sqlml.models import MODELS
    from sqlml.options import Declaration, declarations

    def words(option: Declaration) -> tuple[str, ...]:
        return option.choices or (("TRUE", "FALSE") if option.sql_type == "BOOL" else ())

    return Vocabulary(
        model_types=tuple(MODELS),
        options={
            name: {d.name: words(d) for d in declarations(model.options).values() if not d.unsupported}
            for name, model in MODELS.items()
        },
        functions=tuple(FUNCTIONS),
        answers={
            function.name: frozenset(name for name, model in MODELS.items() if function.form(model).works_on(model))
            for function in FUNCTIONS.values()
            if function.model
        },
    )
