"""The engine behind a script: each piece is parsed, planned and run like a statement of its own.

Every piece stands at its own place in the script's text, so errors point there. A prefix (SELECT
before an expression) is put into the text for the time of the piece, and taken out of the places again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlml.errors import Error, ProgrammingError, Span
from sqlml.execute import Executor
from sqlml.grammar import SqlStatement, Statement
from sqlml.grammar import parse_one as parse_statement
from sqlml.plan import Session, locate
from sqlml.progress import Listener
from sqlml.script.interpret import Interpreter, Parameters, Piece, Rows


@dataclass(slots=True)
class Engine:
    """Runs the pieces of scripts in a session."""

    session: Session
    text: str
    listeners: Sequence[Listener] = ()
    registered: list[str] = field(default_factory=list)

    def run(self, piece: Piece, variables: Mapping[str, str]) -> object:
        """Runs one statement; returns its `Result`."""
        with self._with(variables), self._placed(piece):
            executor, statement = self._prepare(piece)
            return executor.run(statement)

    def rows(self, piece: Piece, variables: Mapping[str, str], most: int | None = None) -> Rows:
        """All rows of a query; with `most`, one more than that is an error of the caller's."""
        with self._with(variables), self._placed(piece):
            executor, statement = self._prepare(piece)
            if not isinstance(statement, SqlStatement):
                raise ProgrammingError("a query must stand here.", span=piece.span)
            query, database = statement.query, self.session.database

            def read() -> Rows:
                plan = executor.plan(query)
                executor.compute(plan.computed)
                columns = database.describe(plan.sql, plan.parameters)
                found = database.execute(plan.sql, plan.parameters)
                return Rows(tuple(c.name for c in columns), tuple(c.sql_type for c in columns), tuple(found))

            try:
                return executor.tried(read)
            except Error as error:
                raise locate(error, executor.text, statement.span, self.session) from None

    def plain(self, sql: str, span: Span | None = None) -> list[tuple[Any, ...]]:
        """Runs DuckDB text of our own, made from the script's text at `span`."""
        try:
            return self.session.database.execute(sql)
        except Error as error:
            raise (locate(error, self.text, span, self.session) if span else error) from None

    def _prepare(self, piece: Piece) -> tuple[Executor, Statement]:
        before, start = piece.source[: piece.span.start], piece.span.start
        text = before + piece.prefix + piece.source[start:]
        statement = parse_statement(" " * start + piece.prefix + piece.text)
        executor = Executor(self.session, text, piece.parameters, self.listeners, self.registered)
        return executor, statement

    @contextlib.contextmanager
    def _placed(self, piece: Piece) -> Iterator[None]:
        """Errors of the piece with their places in its source."""
        try:
            yield
        except Error as error:
            if error.span is not None and error.source is None:
                shift = len(piece.prefix)
                start = max(error.span.start - shift, piece.span.start)
                error.span = Span(start, max(error.span.end - shift, start + 1))
            raise

    @contextlib.contextmanager
    def _with(self, variables: Mapping[str, str]) -> Iterator[None]:
        """The session's statements see `variables` for the time of the block."""
        before = self.session.variables
        self.session.variables = dict(variables)
        try:
            yield
        finally:
            self.session.variables = before


def run_script(
    session: Session, text: str, parameters: Parameters, listeners: Sequence[Listener], registered: list[str]
) -> object:
    """Runs a whole script; returns the `Result` of its last statement, None when it ran none."""
    engine = Engine(session, text, listeners, registered)
    return Interpreter(engine, text, session.procedures, parameters).execute()
