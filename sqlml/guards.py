"""Errors that are found while a query runs, and still point into the user's text.

`failing` gives a SQL expression that stops the query with a marked message; `guard_error` reads
such a message back. A guard whose condition is made of `typeof` is decided while DuckDB plans the
query, so it costs nothing. `bare_sentence` reads the messages that are DuckDB's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlml.errors import DatabaseError, SchemaError, Span
from sqlml.schema import Kind, parse_type, quote_literal

_MARK = "@sqlml"
_PLACE = re.compile(rf"{_MARK}\|-?\d+\|-?\d+\|")
_MARKED = re.compile(rf"{_MARK}\|(-?\d+)\|(-?\d+)\|(.*?)\|(.*)\|", re.DOTALL)
_PREFIX = re.compile(r"^(?:[A-Z][\w-]*(?: [\w-]+){0,3} (?:Error|Exception):\s*)+")


def failing(sentence: str, span: Span | None, detail_sql: str) -> str:
    """A SQL expression that raises `sentence` at `span`, and says "Got" the value of `detail_sql`."""
    start, end = (span.start, span.end) if span else (-1, -1)
    head = f"{_MARK}|{start}|{end}|{sentence}|"
    return f"error({quote_literal(head)} || {detail_sql} || '|')"


def marked(sentence: str, span: Span | None, got: str) -> str:
    """The message that a vectorised function raises to be read back as an error with a place."""
    start, end = (span.start, span.end) if span else (-1, -1)
    return f"{_MARK}|{start}|{end}|{sentence}|{got}|"


def without_places(sql: str) -> str:
    """`sql` whose guards name no place: it is stored, and later runs for another text."""
    return _PLACE.sub(f"{_MARK}|-1|-1|", sql)


def guard_error(text: str) -> DatabaseError | None:
    """The error that a guard raised inside DuckDB, or None when `text` is no guard's message."""
    match = _MARKED.search(text)
    if match is None:
        return None
    start, end, sentence, detail = int(match[1]), int(match[2]), match[3], match[4]
    kind = parse_type(detail)
    # A detail that is a type is said in GoogleSQL's words; anything else is a value, said as it is.
    got = kind.google if kind.kind is not Kind.OTHER or kind.name == "LIST" else detail
    return SchemaError(f"{sentence} Got {got}.", span=None if start < 0 else Span(start, end))


def bare_sentence(text: str) -> str:
    """DuckDB's sentence: no prefix, no LINE excerpt of rewritten SQL, no stack trace."""
    text = _PREFIX.sub("", text.strip())
    text = re.split(r"\n\s*LINE \d+:|\nStack Trace:|\n\s*\^", text, maxsplit=1)[0]
    lines: Iterable[str] = (line.strip() for line in text.splitlines())
    text = " ".join(line for line in lines if line)
    return text if text.endswith((".", "!", "?")) else text + "."
