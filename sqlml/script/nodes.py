"""The statements of GoogleSQL's procedural language, as frozen records with their places in the text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlml.errors import Span


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement that is not procedural: a query, DML, DDL, a statement about models, a transaction."""

    span: Span


@dataclass(frozen=True, slots=True)
class Declare:
    """DECLARE a, b [type] [DEFAULT expression]"""

    names: tuple[str, ...]
    type: str | None
    default: Span | None
    span: Span


@dataclass(frozen=True, slots=True)
class Assign:
    """SET a = expression, SET (a, b) = (x, y) and SET (a, b) = (SELECT AS STRUCT ...)"""

    names: tuple[str, ...]
    values: tuple[Span, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """BEGIN ... [EXCEPTION WHEN ERROR THEN ...] END"""

    body: tuple[Node, ...]
    handler: tuple[Node, ...] | None
    label: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Branches:
    """IF and CASE: the first branch whose condition holds; with an operand, that equals it."""

    operand: Span | None
    branches: tuple[tuple[Span, tuple[Node, ...]], ...]
    otherwise: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Loop:
    """LOOP, WHILE (`condition` before each round) and REPEAT (`until` after each)."""

    body: tuple[Node, ...]
    condition: Span | None
    until: Span | None
    label: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class ForEach:
    """FOR name IN (query) DO ... END FOR"""

    name: str
    query: Span
    body: tuple[Node, ...]
    label: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Jump:
    """BREAK, LEAVE, CONTINUE, ITERATE (with a label or without) and RETURN"""

    kind: Literal["break", "continue", "return"]
    label: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Raise:
    """RAISE [USING MESSAGE = expression]"""

    message: Span | None
    span: Span


@dataclass(frozen=True, slots=True)
class Assert:
    """ASSERT condition [AS 'description']"""

    condition: Span
    description: Span | None
    span: Span


@dataclass(frozen=True, slots=True)
class ExecuteImmediate:
    """EXECUTE IMMEDIATE text [INTO a, b] [USING x [AS name], ...]"""

    text: Span
    into: tuple[str, ...]
    using: tuple[tuple[Span, str | None], ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a procedure or function."""

    name: str
    type: str | None
    mode: Literal["in", "out", "inout"] = "in"


@dataclass(frozen=True, slots=True)
class CreateFunction:
    """CREATE [TEMP] [TABLE] FUNCTION name(arguments) [RETURNS type] AS (body)"""

    name: tuple[str, ...]
    arguments: tuple[Argument, ...]
    returns: str | None
    body: Span
    temporary: bool
    table: bool
    replace: bool
    if_not_exists: bool
    span: Span


@dataclass(frozen=True, slots=True)
class CreateProcedure:
    """CREATE PROCEDURE name(arguments) BEGIN ... END"""

    name: tuple[str, ...]
    arguments: tuple[Argument, ...]
    body: Block
    replace: bool
    if_not_exists: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """CALL name(arguments)"""

    name: tuple[str, ...]
    arguments: tuple[Span, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class DropRoutine:
    """DROP [TABLE] FUNCTION and DROP PROCEDURE"""

    kind: Literal["function", "table function", "procedure"]
    name: tuple[str, ...]
    if_exists: bool
    span: Span


Node = (
    Sql
    | Declare
    | Assign
    | Block
    | Branches
    | Loop
    | ForEach
    | Jump
    | Raise
    | Assert
    | ExecuteImmediate
    | CreateFunction
    | CreateProcedure
    | Call
    | DropRoutine
)
