"""Where statements begin and end in a text, complete or not yet.

Only quotes, comments and semicolons matter here. A line that begins with a dot where a statement
could begin is a command of the shell and ends with its line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<blank>\s+)
    | (?P<comment>--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|(?P<open_comment>\Z)))
    | (?P<string>[rRbB]{0,2}(?:
          \"\"\"(?:\\.|[^\\])*?(?:\"\"\"|(?P<open1>\Z))
        | '''(?:\\.|[^\\])*?(?:'''|(?P<open2>\Z))
        | "(?:\\.|[^"\\\n])*(?:"|(?P<open3>\n|\Z))
        | '(?:\\.|[^'\\\n])*(?:'|(?P<open4>\n|\Z))))
    | (?P<name>`[^`]*(?:`|(?P<open5>\Z)))
    | (?P<word>[^\W\d]\w*)
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
    | (?P<end>;)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = ("open_comment", "open1", "open2", "open5")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text with its kind: blank, comment, string, name, word, number, end, mark."""

    kind: str
    text: str
    start: int
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement or dot command: its text without the semicolon, and its offset in the script."""

    text: str
    start: int
    command: bool = False


def tokens(text: str) -> list[Token]:
    """All tokens; together they are the text."""
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        kind = next((k for k in ("comment", "string", "name") if match.group(k) is not None), kind)
        unfinished = any(match.group(group) is not None for group in _OPEN)
        found.append(Token(kind, match.group(), match.start(), unfinished))
    return found


def split(text: str) -> tuple[list[Piece], Piece | None]:
    """The finished statements and commands of a script, and what stands after the last one, if anything.

    A block of the procedural language (BEGIN ... END, IF ... END IF, loops) is one statement with its inner
    semicolons, and so is everything from a DECLARE on, because its variable lives to the end of the script.
    """
    pieces: list[Piece] = []
    start: int | None = None
    skip_to = 0
    depth = Depth()
    for token in tokens(text):
        if token.start < skip_to or (start is None and token.kind in ("blank", "comment")):
            continue
        if start is None and token.text == "." and _starts_line(text, token.start):
            skip_to = text.find("\n", token.start)
            skip_to = len(text) if skip_to < 0 else skip_to
            pieces.append(Piece(text[token.start : skip_to].strip(), token.start, command=True))
            continue
        if start is None and token.kind != "end":
            start, depth = token.start, Depth()
        inside = depth.read(token)
        if token.kind == "end" and not inside:
            if start is not None:
                pieces.append(Piece(text[start : token.start].rstrip(), start))
            start = None
    if start is None:
        return pieces, None
    rest = text[start:].rstrip()
    if depth.declares and not depth.open and rest.endswith(";"):
        return [*pieces, Piece(rest, start)], None
    return pieces, Piece(rest, start)


class Depth:
    """How deep a statement stands in blocks, read token by token."""

    def __init__(self) -> None:
        self.open = 0
        self.declares = False
        self._fresh = True  # whether a statement may begin here
        self._begin = False  # the word before was BEGIN, which may open a block or a transaction
        self._after_end = False  # the word before was END: IF, LOOP ... only say what ends
        self._procedure = False
        self._first = True

    def read(self, token: Token) -> bool:
        """Take in a token; whether it stands inside a block (or in a script of variables)."""
        if token.kind in ("blank", "comment"):
            return self.open > 0 or self.declares
        word = token.text.upper() if token.kind == "word" else token.text
        if self._begin and word not in ("TRANSACTION", ";"):
            self.open += 1
            self._fresh = True
        self._begin = False
        self._count(word)
        self._after_end = word == "END"
        self._fresh = word in (";", "THEN", "ELSE", "DO", "LOOP", "REPEAT", ":")
        self._first = False
        return self.open > 0 or self.declares

    def _count(self, word: str) -> None:
        if self._first and word == "DECLARE":
            self.declares = True
        elif word == "PROCEDURE":
            self._procedure = True
        elif word == "BEGIN":
            self._begin = self._fresh or self._procedure
        elif word == "END":
            self.open = max(0, self.open - 1)
        elif not self._after_end and (
            word == "CASE" or (self._fresh and word in ("IF", "LOOP", "WHILE", "REPEAT", "FOR"))
        ):
            self.open += 1


def _starts_line(text: str, at: int) -> bool:
    return text[text.rfind("\n", 0, at) + 1 : at].strip() == ""


def is_complete(text: str) -> bool:
    """Whether Enter should run the text: a command, or statements of which the last has its semicolon."""
    pieces, rest = split(text)
    if rest is not None:
        return False
    last = tokens(text)[-1:]
    return bool(pieces) or not text.strip() or not any(token.unfinished for token in last)


def line_of(text: str, offset: int) -> int:
    """Line number of an offset, from 1."""
    return text.count("\n", 0, offset) + 1
