"""What SQLAlchemy asks about tables, views and models, answered from DuckDB's catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import default, reflection

from sqlml.sqlalchemy.columns import type_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


class SqlmlInspector(reflection.Inspector):
    """What `sqlalchemy.inspect(engine)` gives: tables, views, and models too."""

    def get_model_names(self, schema: str | None = None) -> list[str]:
        """Names of the models of a dataset (the current one when not given)."""
        with self._operation_context() as connection:
            return [model["name"] for model in self.dialect.get_models(connection, schema)]  # type: ignore[attr-defined]

    def get_models(self, schema: str | None = None) -> list[dict[str, Any]]:
        """name and model_type of the models of a dataset."""
        with self._operation_context() as connection:
            return list(self.dialect.get_models(connection, schema))  # type: ignore[attr-defined]


class Reflection(default.DefaultDialect):
    """The part of the dialect that reads the catalog."""

    def _rows(self, connection: Connection, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask DuckDB's own catalog, within the connection's transaction."""
        raw: Any = connection.connection.dbapi_connection
        return list(raw.duckdb.execute(sql, list(values)).fetchall())

    def _get_default_schema_name(self, connection: Connection) -> str:
        return str(self._rows(connection, "SELECT current_schema()")[0][0])

    def _schema(self, connection: Connection, schema: str | None) -> str:
        return schema or self.default_schema_name or self._get_default_schema_name(connection)

    @reflection.cache
    def get_schema_names(self, connection: Connection, **options: Any) -> list[str]:
        """Datasets."""
        sql = (
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = current_database() AND NOT"
            " (internal AND schema_name <> 'main') AND schema_name <> 'sqlml' ORDER BY 1"
        )
        return [row[0] for row in self._rows(connection, sql)]

    def _relations(self, connection: Connection, schema: str | None, kind: str) -> list[str]:
        sql = f"SELECT {kind}_name FROM duckdb_{kind}s() WHERE database_name = current_database() AND schema_name = ?"
        sql += " ORDER BY 1" if kind == "sequence" else " AND NOT internal ORDER BY 1"
        return [row[0] for row in self._rows(connection, sql, self._schema(connection, schema))]

    @reflection.cache
    def get_table_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """Tables of a dataset."""
        return self._relations(connection, schema, "table")

    @reflection.cache
    def get_view_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """Views of a dataset."""
        return self._relations(connection, schema, "view")

    @reflection.cache
    def get_temp_table_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """Temporary tables of this connection."""
        sql = "SELECT table_name FROM duckdb_tables() WHERE temporary AND NOT internal ORDER BY 1"
        return [row[0] for row in self._rows(connection, sql)]

    @reflection.cache
    def get_temp_view_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """Temporary views of this connection."""
        sql = "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal ORDER BY 1"
        return [row[0] for row in self._rows(connection, sql)]

    @reflection.cache
    def get_table_options(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> Any:
        """None: a table has a comment, and nothing else."""
        if not self.has_table(connection, table_name, schema):
            raise sa.exc.NoSuchTableError(table_name)
        return {}

    @reflection.cache
    def get_view_definition(
        self, connection: Connection, view_name: str, schema: str | None = None, **options: Any
    ) -> str:
        """The SQL of a view, as DuckDB keeps it."""
        sql = "SELECT sql FROM duckdb_views() WHERE schema_name = ? AND view_name = ?"
        rows = self._rows(connection, sql, self._schema(connection, schema), view_name)
        if not rows:
            raise sa.exc.NoSuchTableError(view_name)
        return str(rows[0][0])

    @reflection.cache
    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **options: Any) -> bool:
        """Whether a table or view exists."""
        sql = (
            "SELECT 1 FROM duckdb_columns() WHERE table_name = ? AND"
            " (schema_name = ? AND database_name = current_database() OR database_name = 'temp') LIMIT 1"
        )
        return bool(self._rows(connection, sql, table_name, self._schema(connection, schema)))

    @reflection.cache
    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> list[Any]:
        """Columns of a table or view."""
        sql = (
            "SELECT column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()"
            " WHERE table_name = ? AND"
            " (schema_name = ? AND database_name = current_database() OR database_name = 'temp')"
            " ORDER BY column_index"
        )
        rows = self._rows(connection, sql, table_name, self._schema(connection, schema))
        if not rows:
            raise sa.exc.NoSuchTableError(table_name)
        return [
            {
                "name": name,
                "type": type_of(text),
                "nullable": bool(nullable),
                "default": value,
                "autoincrement": bool(value) and str(value).startswith("nextval("),
                "comment": comment,
            }
            for name, text, nullable, value, comment in rows
        ]

    def _constraints(
        self, connection: Connection, table_name: str, schema: str | None, kind: str
    ) -> list[tuple[Any, ...]]:
        if not self.has_table(connection, table_name, schema):
            raise sa.exc.NoSuchTableError(table_name)
        sql = (
            "SELECT constraint_name, constraint_column_names, referenced_table, referenced_column_names,"
            " constraint_text"
            " FROM duckdb_constraints() WHERE table_name = ? AND schema_name = ? AND constraint_type = ?"
            " ORDER BY constraint_index"
        )
        return self._rows(connection, sql, table_name, self._schema(connection, schema), kind)

    @reflection.cache
    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> Any:
        """The primary key."""
        rows = self._constraints(connection, table_name, schema, "PRIMARY KEY")
        return {"constrained_columns": list(rows[0][1]) if rows else [], "name": None}

    @reflection.cache
    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> list[Any]:
        """UNIQUE constraints."""
        rows = self._constraints(connection, table_name, schema, "UNIQUE")
        return [{"name": row[0], "column_names": list(row[1])} for row in rows]

    @reflection.cache
    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> list[Any]:
        """Foreign keys."""
        return [
            {
                "name": row[0],
                "constrained_columns": list(row[1]),
                "referred_schema": schema,
                "referred_table": row[2],
                "referred_columns": list(row[3]),
                "options": {},
            }
            for row in self._constraints(connection, table_name, schema, "FOREIGN KEY")
        ]

    @reflection.cache
    def get_check_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> list[Any]:
        """CHECK constraints."""
        rows = self._constraints(connection, table_name, schema, "CHECK")
        return [{"name": row[0], "sqltext": row[4].removeprefix("CHECK(").removesuffix(")")} for row in rows]

    @reflection.cache
    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> list[Any]:
        """None: there are no indexes."""
        if not self.has_table(connection, table_name, schema):
            raise sa.exc.NoSuchTableError(table_name)
        return []

    @reflection.cache
    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> Any:
        """What COMMENT ON TABLE said."""
        if not self.has_table(connection, table_name, schema):
            raise sa.exc.NoSuchTableError(table_name)
        where = "(schema_name = ? AND database_name = current_database() OR database_name = 'temp')"
        sql = (
            f"SELECT comment FROM duckdb_tables() WHERE table_name = ? AND {where}"
            f" UNION ALL SELECT comment FROM duckdb_views() WHERE view_name = ? AND {where}"
        )
        wanted = (table_name, self._schema(connection, schema))
        return {"text": self._rows(connection, sql, *wanted, *wanted)[0][0]}

    @reflection.cache
    def get_sequence_names(self, connection: Connection, schema: str | None = None, **options: Any) -> list[str]:
        """Sequences of a dataset."""
        return self._relations(connection, schema, "sequence")

    @reflection.cache
    def has_sequence(
        self, connection: Connection, sequence_name: str, schema: str | None = None, **options: Any
    ) -> bool:
        """Whether a sequence exists."""
        return sequence_name in self.get_sequence_names(connection, schema)

    def get_models(self, connection: Connection, schema: str | None = None) -> list[dict[str, Any]]:
        """name, dataset and model_type of the models of a dataset."""
        raw: Any = connection.connection.dbapi_connection
        cursor = raw.execute("SHOW MODELS")
        header = [column[0] for column in cursor.description]
        wanted = self._schema(connection, schema)
        models = [dict(zip(header, row, strict=True)) for row in cursor.fetchall()]
        return [
            {"name": m["name"], "dataset": m["dataset"], "model_type": m["model_type"]}
            for m in models
            if m["dataset"] == wanted
        ]
