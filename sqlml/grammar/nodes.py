"""The statements, as frozen records with their places in the text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlml.errors import Span


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name: (model,), (dataset, model) or (project, dataset, model)."""

    parts: tuple[str, ...]
    span: Span

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: None, bool, int, float, str, bytes, date, datetime or time."""

    value: object
    span: Span


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`"""

    items: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Struct:
    """`STRUCT(v AS name, ...)` or a tuple `(v, w)`; a field without a name has None."""

    fields: tuple[tuple[str | None, Value, Span], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """A function in a constant: HPARAM_RANGE(0, 1), GENERATE_ARRAY(0.4, 0.6, 0.01)."""

    name: str
    args: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Parameter:
    """`@name`, or `?` with its place in the text."""

    name: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Bare:
    """An unquoted word where a value is due, such as `AUTO`; few places allow it."""

    text: str
    span: Span


Value = Literal | Array | Struct | Call | Parameter | Bare


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of the user's text that another module reads (the inside of TRANSFORM, INPUT, OUTPUT)."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class ModelArgument:
    """`MODEL d.m`"""

    name: Name


@dataclass(frozen=True, slots=True)
class TableArgument:
    """`TABLE d.t`"""

    name: Name


@dataclass(frozen=True, slots=True)
class QueryArgument:
    """`(SELECT ...)`"""

    query: Query


@dataclass(frozen=True, slots=True)
class ValueArgument:
    """A struct, array or scalar."""

    value: Value


@dataclass(frozen=True, slots=True)
class NamedArgument:
    """`name => value`"""

    name: str
    argument: Argument
    span: Span


Argument = ModelArgument | TableArgument | QueryArgument | ValueArgument | NamedArgument


@dataclass(frozen=True, slots=True)
class TableCall:
    """An ML.* or AI.* table function; `placeholder` stands for it in the text of its query."""

    name: str
    args: tuple[Argument, ...]
    placeholder: str
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class Query:
    """SQL text in which each table function is replaced by its placeholder and blanks.

    The text is as long as the user's, so that an offset into it, plus `span.start`, is an offset
    into the script.
    """

    text: str
    calls: tuple[TableCall, ...]
    span: Span

    def part(self, start: int) -> Query:
        """The query from an offset of the script to its end."""
        calls = tuple(c for c in self.calls if c.span.start >= start)
        return Query(self.text[start - self.span.start :], calls, Span(start, self.span.end))


@dataclass(frozen=True, slots=True)
class Option:
    """`name = value` in OPTIONS(...)."""

    name: str
    value: Value
    span: Span


class Mode(Enum):
    """What CREATE MODEL does when the name exists."""

    CREATE = "CREATE"
    REPLACE = "OR REPLACE"
    IF_NOT_EXISTS = "IF NOT EXISTS"


@dataclass(frozen=True, slots=True)
class CreateModel:
    """CREATE MODEL. `queries` holds training_data, custom_holiday ... when AS (...) names them."""

    name: Name
    mode: Mode
    options: tuple[Option, ...]
    query: Query | None
    queries: tuple[tuple[str, Query], ...]
    transform: Fragment | None
    inputs: Fragment | None
    outputs: Fragment | None
    connection: Name | None
    remote: bool
    span: Span


@dataclass(frozen=True, slots=True)
class AlterModel:
    """ALTER MODEL [IF EXISTS] name SET OPTIONS(...)."""

    name: Name
    if_exists: bool
    options: tuple[Option, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class DropModel:
    """DROP MODEL [IF EXISTS] name."""

    name: Name
    if_exists: bool
    span: Span


@dataclass(frozen=True, slots=True)
class ExportModel:
    """EXPORT MODEL name OPTIONS(...)."""

    name: Name
    options: tuple[Option, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class ShowModels:
    """SHOW MODELS [IN dataset] [LIKE 'pattern']."""

    dataset: Name | None
    like: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class SetSetting:
    """SET sqlml.name = value; a value of None (`RESET sqlml.name`) restores the default."""

    name: str
    value: Value | None
    span: Span


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN statement."""

    statement: Statement
    span: Span


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """Any other SQL."""

    query: Query

    @property
    def span(self) -> Span:
        """The place of the whole statement."""
        return self.query.span


Statement = CreateModel | AlterModel | DropModel | ExportModel | ShowModels | SetSetting | Explain | SqlStatement
