"""What a preprocessing function becomes: a SQL expression, or statistics and an expression over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlml.schema import quote_name
from sqlml.transform.arguments import Call


@dataclass(frozen=True, slots=True)
class Scalar:
    """An expression of one row. `parts` holds the fields of a STRUCT result, in order."""

    sql: str
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Analytic:
    """An expression whose constants come from all rows.

    `statistics` are DuckDB aggregates over the training rows; `replay(values)` is the expression with
    their values as literals. `window` is the same for any query, with the aggregates as windows.
    `lookup(source)`, where there is one, is a faster form of `window` that reads its statistics from
    the rows of `source` (a text `FROM ... WHERE ...`). `counts_terms` marks statistics that count strings.
    """

    statistics: tuple[str, ...]
    replay: Callable[[Sequence[object]], str]
    window: str
    lookup: Callable[[str], str] | None = None
    counts_terms: bool = False


@dataclass(frozen=True, slots=True)
class Preprocess:
    """One preprocessing function: its name, whether it needs OVER(), and its builder."""

    name: str
    analytic: bool
    bind: Callable[[Call], Scalar | Analytic]


def struct_of(parts: Sequence[tuple[str, str]]) -> Scalar:
    """A STRUCT of named expressions."""
    fields = ", ".join(f"{quote_name(name)} := {sql}" for name, sql in parts)
    return Scalar(f"struct_pack({fields})", tuple(parts))


def let(value: str, name: str, body: str) -> str:
    """`body` with `name` bound to `value`, which is then computed once per row and not once per list item."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"
