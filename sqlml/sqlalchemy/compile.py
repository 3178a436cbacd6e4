"""SQLAlchemy's expressions and tables as GoogleSQL."""

from __future__ import annotations

import datetime
import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.sql import compiler, selectable

from sqlml.schema import quote_literal, quote_name

_RESERVED = frozenset(
    """all and any array as asc assert_rows_modified at between by case cast collate contains create cross cube
    current default define desc distinct else end enum escape except exclude exists extract false fetch
    following for from full group grouping groups hash having if ignore in inner intersect interval into is join
    lateral left like limit lookup merge natural new no not null nulls of on or order outer over partition
    preceding proto qualify range recursive respect right rollup rows select set some struct tablesample then to
    treat true unbounded union unnest using when where window with within model options transform""".split()
)


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

    def visit_json_getitem_op_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """`column["key"]` and `column[0]`: JSON, or with as_string() and the like a value."""
        left, path = self.process(binary.left, **options), self.process(binary.right, **options)
        kind = binary.type._type_affinity
        if kind is types.JSON:
            return f"JSON_QUERY({left}, {path})"
        value = f"JSON_VALUE({left}, {path})"
        if kind is types.String:
            return value
        return f"CAST({value} AS {self.dialect.type_compiler_instance.process(binary.type)})"

    visit_json_path_getitem_op_binary = visit_json_getitem_op_binary

    def visit_getitem_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """An element of an array, counted from one as SQLAlchemy does; NULL beside its ends."""
        if isinstance(binary.right.type, types.NullType) or isinstance(binary.right, sa.sql.elements.Slice):
            raise sa.exc.CompileError("arrays have no slices in GoogleSQL.")
        return f"{self.process(binary.left, **options)}[SAFE_ORDINAL({self.process(binary.right, **options)})]"

    def visit_collate_binary(self, binary: Any, operator: Any, **options: Any) -> str:
        """Text that compares by a collation."""
        name = self.render_literal_value(binary.right.collation, types.String())
        return f"COLLATE({self.process(binary.left, **options)}, {name})"

    def visit_sequence(self, sequence: Any, **options: Any) -> str:
        """The next value of a sequence, as DuckDB writes it."""
        return next_value(self.preparer.format_sequence(sequence))

    def render_literal_value(self, value: Any, type_: Any) -> str:
        """Typed literals; backslashes escape in GoogleSQL."""
        if isinstance(value, str) and isinstance(type_, types.String):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
            return f"'{escaped}'"
        if isinstance(value, bytes | bytearray | memoryview) and isinstance(type_, types._Binary):
            return "b'" + "".join(f"\\x{byte:02x}" for byte in bytes(value)) + "'"
        if isinstance(value, datetime.datetime) and isinstance(type_, types.DateTime):
            return f"{'DATETIME' if value.tzinfo is None else 'TIMESTAMP'} '{value.isoformat(' ')}'"
        if isinstance(value, datetime.date) and isinstance(type_, types.Date):
            return f"DATE '{value:%Y-%m-%d}'" if value.year >= 1000 else f"DATE '{value.isoformat()[:10]}'"
        if isinstance(value, datetime.time) and isinstance(type_, types.Time) and value.tzinfo is None:
            return f"TIME '{value.isoformat()}'"
        if isinstance(value, datetime.timedelta):
            micros = value // datetime.timedelta(microseconds=1)
            return f"INTERVAL {micros} MICROSECOND"
        return super().render_literal_value(value, type_)

    def fetch_clause(
        self,
        select: Any,
        fetch_clause: Any = None,
        require_offset: Any = False,
        use_literal_execute_for_simple_int: Any = False,
        **options: Any,
    ) -> str:
        """`select.fetch(n)` is LIMIT; GoogleSQL has neither WITH TIES nor PERCENT."""
        wanted = select._fetch_clause_options or {}
        if wanted.get("with_ties") or wanted.get("percent"):
            raise sa.exc.CompileError("fetch() has neither with_ties nor percent in GoogleSQL.")
        return self._limited(select._fetch_clause, select._offset_clause, **options)

    def update_from_clause(
        self, update_stmt: Any, from_table: Any, extra_froms: Any, from_hints: Any, **kw: Any
    ) -> str:
        """UPDATE t SET ... FROM others."""
        tables = (table._compiler_dispatch(self, asfrom=True, fromhints=from_hints, **kw) for table in extra_froms)
        return f"FROM {', '.join(tables)}"

    def delete_extra_from_clause(
        self, delete_stmt: Any, from_table: Any, extra_froms: Any, from_hints: Any, **kw: Any
    ) -> str:
        """Refused."""
        raise sa.exc.CompileError("DELETE takes one table in GoogleSQL: name the others in a subquery of WHERE.")

    def for_update_clause(self, select: Any, **options: Any) -> str:
        """Left out: a transaction sees one state of the data, and rows are not locked."""
        return ""

    def limit_clause(self, select: Any, **options: Any) -> str:
        """LIMIT and OFFSET."""
        return self._limited(select._limit_clause, select._offset_clause, **options)

    def _limited(self, limit: Any, offset: Any, **options: Any) -> str:
        """GoogleSQL has no OFFSET alone."""
        if limit is None and offset is None:
            return ""
        text = "\n LIMIT " + (str((1 << 63) - 1) if limit is None else self.process(limit, **options))
        return text if offset is None else text + " OFFSET " + self.process(offset, **options)


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

    def visit_INTERVAL(self, type_: Any, **options: Any) -> str:
        """Spans of time."""
        return "INTERVAL"

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


def next_value(name: str) -> str:
    """The call that takes a number from a sequence; `name` is as in GoogleSQL, in backticks or bare."""
    return f"nextval({quote_literal(name.replace(chr(34), chr(34) * 2).replace('`', chr(34)))})"


class SqlmlDDLCompiler(compiler.DDLCompiler):
    """Tables. Indexes mean nothing to a column store, and GoogleSQL has none.

    GoogleSQL generates no keys, but Python's classes rely on them: what SQLAlchemy calls the autoincrement
    column of a table takes its values from a sequence of DuckDB's that is made and dropped with the table.
    """

    def visit_create_table(self, create: Any, **options: Any) -> str:
        """The table, after the sequences of its keys."""
        text: str = super().visit_create_table(create, **options)  # type: ignore[no-untyped-call]
        table = create.element
        kind = "TEMPORARY SEQUENCE" if {"TEMP", "TEMPORARY"} & set(table._prefixes) else "SEQUENCE"
        for column in filter(self._is_generated, table.columns):
            numbers = self.get_identity_options(column.identity) if column.identity is not None else ""
            text = f"CREATE {kind} IF NOT EXISTS {self._sequence(column)} {numbers};\n{text}"
        return text

    def visit_drop_table(self, drop: Any, **options: Any) -> str:
        """The table, and the sequences of its keys."""
        text: str = super().visit_drop_table(drop, **options)  # type: ignore[no-untyped-call]
        for column in filter(self._is_generated, getattr(drop.element, "columns", ())):
            text += f";\nDROP SEQUENCE IF EXISTS {self._sequence(column)}"
        return text

    def get_identity_options(self, identity_options: Any) -> str:
        """START and INCREMENT of a sequence, and its ends where they are given."""
        found = (
            ("START WITH", identity_options.start),
            ("INCREMENT BY", identity_options.increment),
            ("MINVALUE", identity_options.minvalue),
            ("MAXVALUE", identity_options.maxvalue),
        )
        words = [f"{word} {value}" for word, value in found if value is not None]
        return " ".join([*words, "CYCLE"] if identity_options.cycle else words)

    def get_column_default_string(self, column: Any) -> str | None:
        """DEFAULT; the next number for a generated key."""
        if column.table is not None and self._is_generated(column):
            return next_value(self._sequence(column))
        return super().get_column_default_string(column)

    @staticmethod
    def _is_generated(column: Any) -> bool:
        """Whether the values of a column come from a sequence of ours."""
        if column.identity is not None:
            return True
        free = column.server_default is None and column.default is None
        return free and getattr(column.table, "_autoincrement_column", None) is column

    def _sequence(self, column: Any) -> str:
        named = sa.Sequence(f"{column.table.name}_{column.name}_seq", schema=column.table.schema)
        return self.preparer.format_sequence(named)

    def visit_computed_column(self, generated: Any, **options: Any) -> str:
        """Refused: a view computes."""
        raise sa.exc.CompileError("columns are not computed in GoogleSQL: make a view.")

    def visit_set_table_comment(self, create: Any, **options: Any) -> str:
        """COMMENT ON, which is DuckDB's, and so are its literals."""
        return f"COMMENT ON TABLE {self._duckdb(create.element)} IS {quote_literal(create.element.comment)}"

    def visit_drop_table_comment(self, drop: Any, **options: Any) -> str:
        """No comment any more."""
        return f"COMMENT ON TABLE {self._duckdb(drop.element)} IS NULL"

    def visit_set_column_comment(self, create: Any, **options: Any) -> str:
        """The comment of a column."""
        column = create.element
        named = f"{self._duckdb(column.table)}.{quote_name(column.name)}"
        return f"COMMENT ON COLUMN {named} IS {quote_literal(column.comment)}"

    def visit_drop_column_comment(self, drop: Any, **options: Any) -> str:
        """No comment any more."""
        column = drop.element
        return f"COMMENT ON COLUMN {self._duckdb(column.table)}.{quote_name(column.name)} IS NULL"

    def _duckdb(self, table: Any) -> str:
        """A table's name in double quotes."""
        parts = (self.preparer.schema_for_object(table), table.name)
        return ".".join(quote_name(str(part)) for part in parts if part is not None)

    def visit_create_index(
        self, create: Any, include_schema: Any = False, include_table_schema: Any = True, **options: Any
    ) -> str:
        """Nothing: a table is as fast without, and classes with `index=True` are made all the same."""
        return "SELECT 1 FROM (SELECT 1) WHERE FALSE"

    def visit_drop_index(self, drop: Any, **options: Any) -> str:
        """Nothing, as none was made."""
        return "SELECT 1 FROM (SELECT 1) WHERE FALSE"

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
