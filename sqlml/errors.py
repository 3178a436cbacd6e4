"""Errors as the user sees them: one sentence, their own SQL with a caret, at most one hint.

The tree stands under the classes of PEP 249. Code below the connection raises these with a
`Span` where it knows one; the connection adds the statement's text (`attach`), and `str()`
then prints the excerpt. No other module formats an error.
"""

from __future__ import annotations

import builtins
import contextvars
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of character offsets into the text of the user's script."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The smallest span that covers both."""
        return Span(min(self.start, other.start), max(self.end, other.end))


class Warning(builtins.Warning):  # noqa: A001 - the name is PEP 249's
    """Important warnings (PEP 249)."""


#: Where the running statement's notices are collected; one list per thread or task.
notices: contextvars.ContextVar[list[Warning] | None] = contextvars.ContextVar("notices", default=None)


def notice(text: str) -> None:
    """Tell the user something that is no error; it ends up in `Cursor.messages`."""
    collected = notices.get()
    if collected is not None:
        collected.append(Warning(text))


class Error(Exception):
    """Base of every error that sqlml raises on purpose (PEP 249).

    Args:
        message: one sentence, `<THING> must <rule>. Got <value>.`
        span: the place in the user's text, when known.
        hint: something that the user can type or do.
    """

    label: str | None = None
    #: What the database said, where the message says it in other words.
    said: str | None = None
    #: Which sets of parameters of `executemany` the error is about: from and to, half open, from 0.
    rows: tuple[int, int] | None = None

    def __init__(self, message: str = "", *, span: Span | None = None, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint
        self.source: str | None = None

    def attach(self, source: str) -> Self:
        """Remember the text that `span` points into (the first call wins)."""
        if self.source is None:
            self.source = source
        return self

    @property
    def line(self) -> int | None:
        """Line of the span in the source, from 1."""
        if self.source is None or self.span is None:
            return None
        return self.source.count("\n", 0, self.span.start) + 1

    def __str__(self) -> str:
        label = self.label or type(self).__name__
        parts = [f"{label}: {self.message}"]
        if self.source is not None and self.span is not None:
            parts.append(excerpt(self.source, self.span))
        if self.hint:
            parts.append(f"Hint: {self.hint}")
        return "\n".join(parts)


class InterfaceError(Error):
    """The Python interface was used wrongly: a closed cursor, wrong parameters."""


class DatabaseError(Error):
    """Base of the errors of the engine."""


class DataError(DatabaseError):
    """The data cannot be used: NULL labels, too few rows, infinite values."""


class OperationalError(DatabaseError):
    """The machine or the database file failed: locked, read-only, out of memory."""


class IntegrityError(DatabaseError):
    """A constraint of the database was violated."""


class InternalError(DatabaseError):
    """The engine broke one of its own rules. This is always a bug of ours."""


class ProgrammingError(DatabaseError):
    """The statement is wrong: syntax, names, types."""


class NotSupportedError(DatabaseError):
    """Understood, and not available here."""


class ParseError(ProgrammingError):
    """The text is not a statement."""

    label = "SyntaxError"


class NameError(ProgrammingError):  # noqa: A001 - a name of the SQL, not of Python
    """No model, table, column or function has this name."""

    label = "NameError"


class OptionError(ProgrammingError):
    """An option or setting is unknown, or its value is not allowed."""


class SchemaError(ProgrammingError):
    """The columns of a query do not fit the model."""


class TrainingError(DataError):
    """Training cannot start or did not succeed."""


class FormatError(OperationalError):
    """A stored model cannot be read: damaged, or written by another version."""


class Cancelled(OperationalError):
    """The user or a listener stopped the statement."""


def excerpt(source: str, span: Span, context: int = 0) -> str:
    """The lines of `source` under `span`, numbered, with a caret line below the first."""
    start = min(max(span.start, 0), len(source))
    end = min(max(span.end, start + 1), max(len(source), start + 1))
    begin = source.rfind("\n", 0, start) + 1
    stop = source.find("\n", start)
    stop = len(source) if stop < 0 else stop
    number = source.count("\n", 0, start) + 1
    text = source[begin:stop].rstrip("\r")
    width = max(1, min(end, stop) - start)
    # Tabs keep their width under the caret only if they are repeated there.
    pad = "".join("\t" if c == "\t" else " " for c in text[: start - begin])
    if len(text) > 160:  # keep the caret in view on very long lines
        cut = max(0, start - begin - 60)
        text, pad = text[cut : cut + 140], pad[cut:]
        width = min(width, max(1, 140 - len(pad)))
    prefix = f"  {number} | "
    return f"{prefix}{text}\n{' ' * len(prefix)}{pad}{'^' * width}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, compared without case; None when nothing is near."""
    table = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), list(table), n=1, cutoff=0.6)
    return table[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint sentence for a misspelt name, or None."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else None
