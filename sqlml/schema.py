"""Columns: names (compared without case, here and nowhere else), SQL types and what they mean.

A `Column` carries the DuckDB type as text. `Kind` is the meaning that automatic preprocessing
gives to a type (BigQuery ML's input types). The two quoting functions of the package live here.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlml.errors import InternalError


class Kind(enum.Enum):
    """What a column type means as a feature."""

    NUMERIC = "numeric"
    CATEGORY = "categorical"
    TIMESTAMP = "timestamp"
    STRUCT = "struct"
    VECTOR = "array of numbers"
    SET = "array of categories"
    SPARSE = "array of (index, value)"
    OTHER = "other"


_NUMERIC = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER"),
    *("UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM", "VARINT"),
}
_CATEGORY = {"BOOLEAN", "VARCHAR", "BLOB", "DATE", "TIME", "TIMESTAMP", "ENUM", "UUID", "BIT"}
_GOOGLE = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), "INT64"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"), "INT64"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "BIGNUM", "VARINT"), "BIGNUMERIC"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "FLOAT64"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "DATETIME"),
    "VARCHAR": "STRING",
    "ENUM": "STRING",
    "UUID": "STRING",
    "BLOB": "BYTES",
    "BOOLEAN": "BOOL",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "DECIMAL": "NUMERIC",
}


@dataclass(frozen=True, slots=True)
class Type:
    """A DuckDB type: a name, and for LIST, ARRAY and STRUCT what is inside."""

    name: str
    item: Type | None = None
    fields: tuple[tuple[str, Type], ...] = ()
    text: str = ""

    @property
    def kind(self) -> Kind:
        """The feature kind of this type."""
        if self.name in _NUMERIC:
            return Kind.NUMERIC
        if self.name in _CATEGORY or self.name.startswith("TIMESTAMP_"):
            return Kind.CATEGORY
        if self.name == "TIMESTAMP WITH TIME ZONE":
            return Kind.TIMESTAMP
        if self.name == "STRUCT":
            return Kind.STRUCT
        if self.name == "LIST" and self.item is not None:
            return _list_kind(self.item)
        return Kind.OTHER

    @property
    def google(self) -> str:
        """The GoogleSQL name of this type, for messages and INFORMATION_SCHEMA."""
        if self.name == "LIST" and self.item is not None:
            return f"ARRAY<{self.item.google}>"
        if self.name == "STRUCT":
            return "STRUCT<" + ", ".join(f"{n} {t.google}" for n, t in self.fields) + ">"
        return _GOOGLE.get(self.name, self.name)


def _list_kind(item: Type) -> Kind:
    if item.kind is Kind.NUMERIC:
        return Kind.VECTOR
    if item.kind is Kind.CATEGORY:
        return Kind.SET
    if item.name == "STRUCT" and len(item.fields) == 2 and all(t.kind is Kind.NUMERIC for _, t in item.fields):
        return Kind.SPARSE
    return Kind.OTHER


def parse_type(text: str) -> Type:
    """The `Type` of a DuckDB type text such as `STRUCT(a INTEGER, b VARCHAR)[]`."""
    text = text.strip()
    if text.endswith("]"):
        inner = text[: text.rindex("[")]
        return Type("LIST", item=parse_type(inner), text=text)
    head = text.split("(", 1)[0].strip().upper()
    if head == "STRUCT" and text.endswith(")"):
        body = text[text.index("(") + 1 : -1]
        return Type("STRUCT", fields=tuple(_field(part) for part in _split(body)), text=text)
    head = head.strip('"')
    return Type(head, text=text)


def _field(part: str) -> tuple[str, Type]:
    part = part.strip()
    if part.startswith('"'):
        end = 1
        while part[end] != '"' or part[end + 1 : end + 2] == '"':
            end += 2 if part[end] == '"' else 1
        return part[1:end].replace('""', '"'), parse_type(part[end + 1 :])
    name, _, rest = part.partition(" ")
    return name, parse_type(rest)


def _split(body: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    parts, depth, quoted, start = [], 0, "", 0
    for i, c in enumerate(body):
        if quoted:
            quoted = "" if c == quoted else quoted
        elif c in "\"'":
            quoted = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(body[start:i])
            start = i + 1
    return [*parts, body[start:]]


@dataclass(frozen=True, slots=True)
class Column:
    """A named column with its DuckDB type as text."""

    name: str
    sql_type: str

    @property
    def type(self) -> Type:
        """The parsed type."""
        return parse_type(self.sql_type)

    @property
    def kind(self) -> Kind:
        """What the column means as a feature."""
        return self.type.kind


def same_name(a: str, b: str) -> bool:
    """Whether two SQL names are the same name."""
    return a.casefold() == b.casefold()


def find(columns: Iterable[Column], name: str) -> Column | None:
    """The column called `name`, or None."""
    return next((c for c in columns if same_name(c.name, name)), None)


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    """The names of columns."""
    return tuple(c.name for c in columns)


def fresh_name(base: str, taken: Iterable[str]) -> str:
    """`base`, or `base_1`, `base_2` ... : the first that is not among `taken`."""
    used = {t.casefold() for t in taken}
    name, i = base, 0
    while name.casefold() in used:
        i += 1
        name = f"{base}_{i}"
    return name


def quote_name(name: str) -> str:
    """A DuckDB identifier."""
    if "\0" in name:
        raise InternalError("a name holds a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_path(parts: Sequence[str]) -> str:
    """A dotted DuckDB name."""
    return ".".join(quote_name(p) for p in parts)


def quote_literal(value: object) -> str:
    """A Python value as a DuckDB literal: NULL, BOOLEAN, BIGINT, DOUBLE, VARCHAR, dates, lists, structs."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bytes):
        return "'" + "".join(f"\\x{b:02X}" for b in value) + "'::BLOB"
    if isinstance(value, decimal.Decimal):
        return f"{_string(str(value))}::DECIMAL(38,{max(0, -int(value.as_tuple().exponent))})"
    if isinstance(value, datetime.datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
        return f"{kind} {_string(value.isoformat(sep=' '))}"
    if isinstance(value, datetime.date):
        return f"DATE {_string(value.isoformat())}"
    if isinstance(value, datetime.time):
        return f"TIME {_string(value.isoformat())}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_string(str(k))}: {quote_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(quote_literal(v) for v in value) + "]"
    if hasattr(value, "item"):  # numpy scalars
        return quote_literal(value.item())
    raise InternalError(f"no SQL literal for a value of type {type(value).__name__}")


def _double(value: float) -> str:
    if math.isfinite(value):
        return f"{value!r}::DOUBLE" if value >= 0 and not str(value).startswith("-") else f"({value!r})::DOUBLE"
    return f"'{value}'::DOUBLE"


def _string(value: str) -> str:
    if "\0" in value:  # DuckDB text cannot hold a NUL byte in a literal
        return "(" + " || chr(0) || ".join(_string(part) for part in value.split("\0")) + ")"
    return "'" + value.replace("'", "''") + "'"
