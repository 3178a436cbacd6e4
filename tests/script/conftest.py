"""A host for scripts: DuckDB behind the translation, nothing about models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import duckdb
import pytest

from sqlml.errors import NameError, ProgrammingError
from sqlml.script import Interpreter, Piece, Procedure, Rows
from sqlml.translate import translate
from sqlml.translate.udfs import UDFS


class PlainHost:
    """Runs statements in DuckDB and remembers the rows of each."""

    def __init__(self) -> None:
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'")
        for udf in UDFS.values():
            self.con.create_function(udf.name, udf.function, list(udf.parameters), udf.returns, type="arrow")
        self.results: list[list[tuple[Any, ...]]] = []

    def _execute(self, piece: Piece, variables: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
        offset = piece.span.start - len(piece.prefix)
        if re.match(r"(BEGIN|COMMIT|ROLLBACK)\b", piece.text, re.I):
            return self.con.execute(piece.text.split()[0])
        sql = translate(piece.prefix + piece.text, offset=offset, variables=variables)
        given = piece.parameters
        if isinstance(given, Mapping):
            parameters: Any = {k: v for k, v in given.items() if re.search(rf"\${k}\b", sql)}
        else:
            parameters = list(given or ())
        try:
            return self.con.execute(sql, parameters)
        except duckdb.Error as error:
            match = re.search(r'Referenced (?:column|table) "([^"]+)" (?:was )?not found', str(error))
            if match:
                raise NameError(f"the column {match[1]} does not exist.", span=piece.span) from None
            raise ProgrammingError(str(error).split("\n")[0], span=piece.span) from None

    def run(self, piece: Piece, variables: Mapping[str, str]) -> object:
        found = self._execute(piece, variables).fetchall()
        self.results.append(found)
        return found

    def rows(self, piece: Piece, variables: Mapping[str, str], most: int | None = None) -> Rows:
        cursor = self._execute(piece, variables)
        described = [(d[0], str(d[1])) for d in cursor.description]
        rows = cursor.fetchall() if most is None else cursor.fetchmany(most)
        return Rows(tuple(n for n, _ in described), tuple(t for _, t in described), tuple(rows))

    def plain(self, sql: str, span: Any = None) -> list[tuple[Any, ...]]:
        try:
            return self.con.execute(sql).fetchall()
        except duckdb.Error as error:
            raise ProgrammingError(str(error).split("\n")[0]) from None


@pytest.fixture
def host() -> PlainHost:
    return PlainHost()


class Script:
    """Runs scripts one after another in one session."""

    def __init__(self, host: PlainHost) -> None:
        self.host = host
        self.procedures: dict[tuple[str, ...], Procedure] = {}

    def __call__(self, text: str, parameters: Any = None) -> Any:
        """The result of the last statement."""
        return Interpreter(self.host, text, self.procedures, parameters).execute()

    def all(self, text: str) -> list[list[tuple[Any, ...]]]:
        """The results of all statements."""
        self.host.results.clear()
        self(text)
        return self.host.results


@pytest.fixture
def script(host: PlainHost) -> Script:
    return Script(host)
