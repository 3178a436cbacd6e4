"""Script variables: scopes, types, and the DuckDB literals that stand for them in statements."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlml.errors import NameError, NotSupportedError, ProgrammingError, Span, did_you_mean
from sqlml.schema import quote_literal


@dataclass(slots=True)
class Variable:
    """A value with the DuckDB type that was declared or inferred (None: take the value's own)."""

    name: str
    type: str | None
    value: object = None
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def literal(self) -> str:
        """DuckDB text of the value."""
        if self.fields and isinstance(self.value, Sequence):
            pairs = zip(self.fields, self.value, strict=True)
            return "{" + ", ".join(f"{quote_literal(n)}: {literal(v, t)}" for (n, t), v in pairs) + "}"
        return literal(self.value, self.type)


def literal(value: object, kind: str | None) -> str:
    """DuckDB text of a value of a type."""
    if isinstance(value, datetime.timedelta):
        raise NotSupportedError("variables of type INTERVAL are not available.")
    if isinstance(value, tuple) and kind is not None and kind.startswith("STRUCT"):
        return f"CAST(row({', '.join(quote_literal(v) for v in value)}) AS {kind})"
    if isinstance(value, str) and kind in (None, "VARCHAR"):
        return quote_literal(value)
    if kind is None or kind.strip('"') == "NULL":
        return quote_literal(value)
    return f"CAST({quote_literal(value)} AS {kind})"


@dataclass(slots=True)
class Scope:
    """The variables of one block; names are compared without case."""

    outer: Scope | None = None
    own: dict[str, Variable] = field(default_factory=dict)

    def declare(self, variable: Variable, span: Span | None) -> None:
        """Raises `ProgrammingError` when the name is taken in this or an outer block."""
        if self.find(variable.name) is not None:
            raise ProgrammingError(f"the variable {variable.name} must be declared only once.", span=span)
        self.own[variable.name.casefold()] = variable

    def find(self, name: str) -> Variable | None:
        """The variable of a name, in this block or around it."""
        found = self.own.get(name.casefold())
        return found if found is not None or self.outer is None else self.outer.find(name)

    def get(self, name: str, span: Span | None) -> Variable:
        """Raises `NameError` when there is none."""
        found = self.find(name)
        if found is None:
            known = [v.name for v in self]
            raise NameError(f"the variable {name} is not declared.", span=span, hint=did_you_mean(name, known))
        return found

    def __iter__(self) -> Iterator[Variable]:
        if self.outer is not None:
            yield from self.outer
        yield from self.own.values()

    def literals(self, names: set[str]) -> Mapping[str, str]:
        """Lower-case name -> DuckDB text, for the variables that are named."""
        return {v.name.casefold(): v.literal for v in self if v.name.casefold() in names}
