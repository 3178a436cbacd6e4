"""Types of columns: DuckDB's to SQLAlchemy's, and what SQLAlchemy's own classes lack."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import types
from sqlalchemy.sql import sqltypes, type_api

from sqlml.schema import Type, parse_type

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


class Interval(type_api.NativeForEmulated, sqltypes._AbstractInterval):
    """An INTERVAL column; its values are timedeltas, or Arrow's month_day_nano where there are months."""

    __visit_name__ = "INTERVAL"
    native = True

    @classmethod
    def adapt_emulated_to_native(cls, impl: Any, **kw: Any) -> Interval:
        """SQLAlchemy's generic type becomes this one."""
        return cls()

    @property
    def _type_affinity(self) -> Any:
        return types.Interval

    @property
    def python_type(self) -> type[datetime.timedelta]:
        """What comes back."""
        return datetime.timedelta

    def literal_processor(self, dialect: Any) -> Callable[[Any], str]:
        """INTERVAL n MICROSECOND."""
        return lambda value: str(dialect.statement_compiler(dialect, None).render_literal_value(value, self))

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any]:
        """Python's timedelta has no months; without them it holds the same."""

        def process(value: Any) -> Any:
            if value is None or isinstance(value, datetime.timedelta) or value.months:
                return value
            return datetime.timedelta(days=value.days, microseconds=value.nanoseconds / 1000)

        return process


class Array(types.ARRAY[Any]):
    """An array whose literals are GoogleSQL's."""

    def literal_processor(self, dialect: Any) -> Callable[[Any], str]:
        """`[a, b]`."""
        literals = dialect.statement_compiler(dialect, None)
        item_type = self.item_type.dialect_impl(dialect)

        def process(value: Any) -> str:
            if isinstance(value, list | tuple):
                return "[" + ", ".join(process(part) for part in value) + "]"
            return "NULL" if value is None else str(literals.render_literal_value(value, item_type))

        return process


class _Path:
    """The right side of `column["key"]` as a JSON path, whether it is a parameter or a literal."""

    def bind_processor(self, dialect: Any) -> Callable[[Any], str]:
        return path_of

    def literal_processor(self, dialect: Any) -> Callable[[Any], str]:
        def process(value: Any) -> str:
            return str(dialect.statement_compiler(dialect, None).render_literal_value(path_of(value), types.String()))

        return process


class JsonIndex(_Path, types.JSON.JSONIndexType):
    """One key or place."""


class JsonPath(_Path, types.JSON.JSONPathType):
    """Several of them."""


def path_of(value: Any) -> str:
    """`$`, then `[place]` or `."key"` for each part."""
    parts = value if isinstance(value, list | tuple) else (value,)
    found = "$"
    for part in parts:
        found += f"[{part}]" if isinstance(part, int) else "." + json.dumps(str(part), ensure_ascii=False)
    return found


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
