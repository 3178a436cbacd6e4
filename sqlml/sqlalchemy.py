"""SQLAlchemy 2: `create_engine("sqlml:///file.duckdb")`, reflection of tables and models.

    sqlml:///relative.duckdb    sqlml:////absolute/path.duckdb    sqlml://    (in memory)
    sqlml:///file.duckdb?read_only=true&fidelity=bigquery&mount.NAME=PATH

Statements are GoogleSQL: names in backticks, types INT64, STRING ... without generated values and indexes.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import pool, types
from sqlalchemy.engine import default, reflection
from sqlalchemy.sql import compiler, selectable

from sqlml.schema import Type, parse_type

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection

_RESERVED = frozenset(
    """all and any array as asc assert_rows_modified at between by case cast collate contains create cross cube
    current default define desc distinct else end enum escape except exclude exists extract false fetch
    following for from full group grouping groups hash having if ignore in inner intersect interval into is join
    lateral left like limit lookup merge natural new no not null nulls of on or order outer over partition
    preceding proto qualify range recursive respect right rollup rows select set some struct tablesample then to
    treat true unbounded union unnest using when where window with within model options transform""".split()
)
_SIMPLE: dict[str, type[types.TypeEngine[Any]]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "UTINYINT"), types.SmallInteger),
    **dict.fromkeys(("INTEGER", "USMALLINT"), types.Integer),
    **dict.fromkeys(("BIGINT", "UINTEGER", "UBIGINT"), types.BigInteger),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), types.DateTime),
    "FLOAT": types.Float,
    "DOUBLE": types.Double,
    "VARCHAR": types.String,
    "BLOB": types.LargeBinary,
    "BOOLEAN": types.Boolean,
    "DATE": types.Date,
    "TIME": types.Time,
    "UUID": types.Uuid,
    "JSON": types.JSON,
    "INTERVAL": types.Interval,
}


class Struct(types.UserDefinedType[dict[str, Any]]):
    """A STRUCT column; its values are dictionaries. `text` is the DuckDB type."""

    cache_ok = True

    def __init__(self, text: str = "STRUCT") -> None:
        self.text = text

    def get_col_spec(self, **options: Any) -> str:
        """The GoogleSQL type."""
        return parse_type(self.text).google


def type_of(text: str) -> types.TypeEngine[Any]:
    """The SQLAlchemy type of a DuckDB type."""
    return _type(parse_type(text))


def _type(found: Type) -> types.TypeEngine[Any]:
    if found.name == "LIST" and found.item is not None:
        return types.ARRAY(_type(found.item))
    if found.name == "DECIMAL":
        inside = found.text.partition("(")[2].rstrip(")")
        precision, _, scale = inside.partition(",")
        return types.Numeric(int(precision or 18), int(scale or 3))
    if found.name in ("HUGEINT", "UHUGEINT"):
        return types.Numeric(38, 0)
    if found.name == "TIMESTAMP WITH TIME ZONE":
        return types.TIMESTAMP(timezone=True)
    if found.name in _SIMPLE:
        return _SIMPLE[found.name]()
    if found.name == "STRUCT":
        return Struct(found.text)
    return types.String() if found.name == "ENUM" else types.NullType()


class SqlmlCompiler(compiler.SQLCompiler):
    """Queries."""

    compound_keywords: dict[Any, str] = {  # noqa: RUF012 - a class variable of SQLAlchemy's that it types so
        **compiler.SQLCompiler.compound_keywords,
        selectable._CompoundSelectKeyword.UNION: "UNION DISTINCT",
        selectable._CompoundSelectKeyword.EXCEPT: "EXCEPT DISTINCT",
        selectable._CompoundSelectKeyword.INTERSECT: "INTERSECT DISTINCT",
    }

    def visit_cte(self, cte: Any, *args: Any, **options: Any) -> str | None:
        """WITH; GoogleSQL takes the columns of a recursive one from its first query and has no list of them."""
        text = super().visit_cte(cte, *args, **options)
        found = self.ctes or {}
        for key in found:
            if key.recursive:
                found[key] = re.sub(r"^(`[^`]*`|\w+)\([^()]*\) AS", r"\1 AS", found[key])
        return text

    def visit_regexp_match_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """True where a part of the text matches."""
        return f"REGEXP_CONTAINS({self.process(binary.left, **options)}, {self._pattern(binary, **options)})"

    def visit_not_regexp_match_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """True where no part matches."""
        return f"NOT {self.visit_regexp_match_op_binary(binary, operator, **options)}"

    def visit_regexp_replace_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """The text with every match replaced; `right` is the pattern and what replaces it."""
        return f"REGEXP_REPLACE({self.process(binary.left, **options)}, {self._pattern(binary, **options)})"

    def _pattern(self, binary: Any, **options: Any) -> str:
        flags, found = binary.modifiers.get("flags"), self.process(binary.right, **options)
        return f"{self.render_literal_value(f'(?{flags})', types.String())} || {found}" if flags else found

    def visit_mod_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """`%` is a function in GoogleSQL."""
        return f"MOD({self.process(binary.left, **options)}, {self.process(binary.right, **options)})"

    def visit_now_func(self, fn: Any, **options: Any) -> str:
        """The current time without a zone, as `DateTime` columns hold it."""
        return "CURRENT_DATETIME()"

    def visit_empty_set_expr(self, element_types: Any, **options: Any) -> str:
        """A query without rows, for `x IN ()`."""
        columns = ", ".join("1" for _ in element_types or [1])
        return f"SELECT {columns} FROM (SELECT 1) WHERE 1 != 1"

    def render_literal_value(self, value: Any, type_: Any) -> str:
        """Backslashes escape in GoogleSQL."""
        if isinstance(value, str) and isinstance(type_, types.String):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
            return f"'{escaped}'"
        return super().render_literal_value(value, type_)

    def limit_clause(self, select: Any, **options: Any) -> str:
        """LIMIT and OFFSET; GoogleSQL has no OFFSET alone."""
        text = ""
        if select._limit_clause is not None:
            text += "\n LIMIT " + self.process(select._limit_clause, **options)
        if select._offset_clause is not None:
            if select._limit_clause is None:
                text += f"\n LIMIT {(1 << 63) - 1}"
            text += " OFFSET " + self.process(select._offset_clause, **options)
        return text


class SqlmlTypeCompiler(compiler.GenericTypeCompiler):
    """Names of types in GoogleSQL."""

    def _int64(self, type_: Any, **options: Any) -> str:
        return "INT64"

    visit_INTEGER = visit_BIGINT = visit_SMALLINT = _int64

    def _float64(self, type_: Any, **options: Any) -> str:
        return "FLOAT64"

    visit_FLOAT = visit_REAL = visit_DOUBLE = visit_DOUBLE_PRECISION = _float64

    def _string(self, type_: Any, **options: Any) -> str:
        return "STRING"

    visit_VARCHAR = visit_CHAR = visit_NVARCHAR = visit_NCHAR = visit_TEXT = visit_CLOB = _string
    visit_UUID = visit_uuid = visit_enum = visit_unicode = visit_unicode_text = _string

    def visit_NUMERIC(self, type_: Any, **options: Any) -> str:
        """Exact decimals."""
        if type_.precision is None:
            return "NUMERIC"
        return f"NUMERIC({type_.precision}, {type_.scale or 0})"

    visit_DECIMAL = visit_NUMERIC

    def visit_BOOLEAN(self, type_: Any, **options: Any) -> str:
        """Truth values."""
        return "BOOL"

    def visit_DATETIME(self, type_: Any, **options: Any) -> str:
        """Without and with a time zone."""
        return "TIMESTAMP" if getattr(type_, "timezone", False) else "DATETIME"

    visit_TIMESTAMP = visit_DATETIME

    def _bytes(self, type_: Any, **options: Any) -> str:
        return "BYTES"

    visit_BLOB = visit_BINARY = visit_VARBINARY = visit_large_binary = _bytes

    def visit_ARRAY(self, type_: Any, **options: Any) -> str:
        """Arrays."""
        inner = self.process(type_.item_type, **options)
        for _ in range(type_.dimensions or 1):
            inner = f"ARRAY<{inner}>"
        return inner

    def visit_JSON(self, type_: Any, **options: Any) -> str:
        """Documents."""
        return "JSON"


class SqlmlDDLCompiler(compiler.DDLCompiler):
    """Tables. Indexes mean nothing to a column store, and GoogleSQL has none."""

    def visit_create_index(
        self, create: Any, include_schema: Any = False, include_table_schema: Any = True, **options: Any
    ) -> str:
        """Refused: the table is as fast without."""
        raise sa.exc.CompileError("indexes do not exist in GoogleSQL.")

    def visit_primary_key_constraint(self, constraint: Any, **options: Any) -> str:
        """A note for the reader, as everywhere in GoogleSQL."""
        text = super().visit_primary_key_constraint(constraint, **options)
        return f"{text} NOT ENFORCED" if text else text

    def visit_foreign_key_constraint(self, constraint: Any, **options: Any) -> str:
        """A note for the reader."""
        return f"{super().visit_foreign_key_constraint(constraint, **options)} NOT ENFORCED"

    def visit_unique_constraint(self, constraint: Any, **options: Any) -> str:
        """Left out, as by BigQuery's own dialect: GoogleSQL has none."""
        return ""

    def visit_check_constraint(self, constraint: Any, **options: Any) -> str:
        """Left out: GoogleSQL has none."""
        return ""

    visit_column_check_constraint = visit_check_constraint


class SqlmlIdentifierPreparer(compiler.IdentifierPreparer):
    """Backticks."""

    reserved_words = _RESERVED  # type: ignore[assignment]

    def __init__(self, dialect: Any) -> None:
        super().__init__(dialect, initial_quote="`", escape_quote="`")


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


class SqlmlDialect(default.DefaultDialect):
    """The dialect `sqlml`."""

    name = "sqlml"
    driver = "sqlml"
    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = True
    supports_native_uuid = False
    supports_multivalues_insert = True
    supports_default_values = False
    supports_default_metavalue = False
    supports_empty_insert = False
    supports_sequences = False
    supports_identity_columns = False
    supports_sane_rowcount = False
    supports_sane_multi_rowcount = False
    supports_comments = False
    div_is_floordiv = False
    postfetch_lastrowid = False
    insert_returning = True
    update_returning = True
    delete_returning = True
    requires_name_normalize = False
    default_paramstyle = "qmark"
    max_identifier_length = 1024
    statement_compiler = SqlmlCompiler
    ddl_compiler = SqlmlDDLCompiler
    type_compiler_cls = SqlmlTypeCompiler
    preparer: type[compiler.IdentifierPreparer] = SqlmlIdentifierPreparer
    inspector = SqlmlInspector

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """The PEP 249 module."""
        import sqlml

        return sqlml

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """A database in memory is one connection; a file may have many."""
        return pool.SingletonThreadPool if _path(url) == ":memory:" else pool.QueuePool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of `sqlml.connect`. Raises `ArgumentError` for what it does not take."""
        options: dict[str, Any] = {}
        mounts: dict[str, str] = {}
        for key, value in url.query.items():
            text = value if isinstance(value, str) else value[-1]
            if key == "read_only" and text.lower() in ("true", "false", "1", "0"):
                options["read_only"] = text.lower() in ("true", "1")
            elif key == "fidelity":
                options["fidelity"] = text
            elif key.startswith("mount."):
                mounts[key.removeprefix("mount.")] = text
            else:
                raise sa.exc.ArgumentError(f"sqlml URLs have read_only, fidelity and mount.NAME. Got {key}={text}.")
        if mounts:
            options["mounts"] = mounts
        return [_path(url)], options

    def do_begin(self, dbapi_connection: Any) -> None:
        """SQLAlchemy begins a transaction with the first statement."""
        dbapi_connection.execute("BEGIN TRANSACTION")

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the connection is open."""
        dbapi_connection.execute("SELECT 1").fetchall()
        return True

    # ------------------------------------------------------------ reflection

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
        sql = (
            f"SELECT {kind}_name FROM duckdb_{kind}s() WHERE database_name = current_database()"
            " AND schema_name = ? AND NOT internal ORDER BY 1"
        )
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
            "SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns()"
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
                "autoincrement": False,
            }
            for name, text, nullable, value in rows
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


def _path(url: URL) -> str:
    return url.database or ":memory:"
