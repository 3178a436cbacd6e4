"""sqlglot's tokens -> the terminals of sqlml.lark.

Two things are folded here, so that the grammar stays small: a query becomes one QUERY or SUBQUERY
token (its value is a `Query` whose ML calls are already parsed), and a dotted name becomes one
PATH token, whatever its quoting.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lark import Token
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import TokenError
from sqlglot.tokens import TokenType

from sqlml.errors import ParseError, Span
from sqlml.grammar.nodes import Fragment, Name, Query

KEYWORDS = frozenset(
    "CREATE OR REPLACE MODEL IF NOT EXISTS TRANSFORM INPUT OUTPUT REMOTE WITH CONNECTION DEFAULT OPTIONS AS ALTER"
    " SET DROP EXPORT SHOW MODELS IN FROM LIKE TABLE TRUE FALSE NULL STRUCT TO".split()
)
PUNCTUATION = {
    TokenType.L_PAREN: "_LPAR",
    TokenType.R_PAREN: "_RPAR",
    TokenType.COMMA: "_COMMA",
    TokenType.EQ: "_EQUAL",
    TokenType.FARROW: "_ARROW",
    TokenType.DASH: "MINUS",
    TokenType.PLUS: "_PLUS",
    TokenType.L_BRACKET: "_LSQB",
    TokenType.R_BRACKET: "_RSQB",
}
STRINGS = {
    TokenType.STRING,
    TokenType.RAW_STRING,
    TokenType.HEREDOC_STRING,
    TokenType.BYTE_STRING,
    TokenType.NATIONAL_STRING,
    TokenType.UNICODE_STRING,
}
TYPED = frozenset("DATE DATETIME TIMESTAMP TIME NUMERIC BIGNUMERIC FLOAT64 JSON".split())
OPENING = {TokenType.L_PAREN: TokenType.R_PAREN, TokenType.L_BRACKET: TokenType.R_BRACKET}
CLOSING = set(OPENING.values())
_PART = r"(?:`[^`\n]+`|[^\W\d][\w$-]*|[\w-]+)"
PATH = re.compile(rf"{_PART}(?:\s*\.\s*{_PART})*")


@dataclass(frozen=True, slots=True)
class Tok:
    """A token of sqlglot with half-open offsets into the whole script."""

    type: TokenType
    text: str
    start: int
    end: int

    @property
    def span(self) -> Span:
        """Where it stands."""
        return Span(self.start, self.end)

    def word(self) -> str:
        """The upper-case text of a bare word or keyword, else ''."""
        if self.type in STRINGS or self.type is TokenType.IDENTIFIER or not self.text:
            return ""
        return self.text.upper() if self.text[0].isalpha() or self.text[0] == "_" else ""


_EXPLAIN = re.compile(r"\s*(EXPLAIN)\s+(?=[A-Za-z])", re.IGNORECASE)


@functools.lru_cache(maxsize=16)
def tokenize(text: str) -> list[Tok]:
    """All tokens of a script, comments left out. Several readers of one statement share the list: do not change it."""
    return list(_tokens(text, 0))


def _tokens(text: str, offset: int) -> Iterator[Tok]:
    if explain := _EXPLAIN.match(text):  # sqlglot would cut the rest as one string, which is then cut again
        yield Tok(TokenType.COMMAND, explain[1], offset + explain.start(1), offset + explain.end(1))
        yield from _tokens(text[explain.end() :], offset + explain.end())
        return
    try:
        found = BigQuery().tokenize(text)
    except TokenError:
        raise _unfinished(text, offset) from None
    previous = 0
    for t in found:
        raw = text[previous : t.end + 1]
        if t.token_type is TokenType.STRING and t.text and t.text.strip() == raw.strip():
            # sqlglot swallows what follows SHOW, EXPLAIN, CALL ... as one string without quotes.
            blank = len(raw) - len(raw.lstrip())
            yield from _tokens(raw.lstrip(), offset + previous + blank)
        else:
            yield Tok(t.token_type, t.text, offset + t.start, offset + t.end + 1)
        previous = t.end + 1


def _unfinished(text: str, offset: int) -> ParseError:
    """The error for text that cannot be cut into tokens: find the quote or comment that never ends."""
    pattern = re.compile(
        r"--[^\n]*|#[^\n]*|/\*.*?\*/|'''(?:\\.|.)*?'''|\"\"\"(?:\\.|.)*?\"\"\""
        r"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|`[^`]*`",
        re.S,
    )
    at, place = 0, len(text)
    while at < len(text):
        if match := pattern.match(text, at):
            at = match.end()
        elif text[at] in "'\"`" or text.startswith("/*", at):
            place = at
            break
        else:
            at += 1
    what = "comment" if text.startswith("/*", place) else "quoted text"
    return ParseError(f"this {what} must be closed.", span=Span(offset + place, offset + place + 1))


def split_statements(tokens: list[Tok]) -> list[list[Tok]]:
    """Tokens of each statement, cut at top-level semicolons; empty ones are dropped."""
    parts: list[list[Tok]] = [[]]
    for t in tokens:
        if t.type is TokenType.SEMICOLON:
            parts.append([])
        else:
            parts[-1].append(t)
    return [p for p in parts if p]


def closing(tokens: list[Tok], at: int, end: int) -> int:
    """Index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, end):
        if tokens[i].type in OPENING:
            depth += 1
        elif tokens[i].type in CLOSING:
            depth -= 1
            if depth == 0:
                return i
    raise ParseError("this bracket must be closed.", span=tokens[at].span)


def starts_query(tokens: list[Tok], at: int, end: int) -> bool:
    """Whether tokens[at] opens a parenthesised query."""
    while at < end and tokens[at].type is TokenType.L_PAREN:
        at += 1
        if at < end and tokens[at].word() in ("SELECT", "WITH", "FROM"):
            return True
        if at < end and tokens[at].type is TokenType.L_PAREN:
            # ((SELECT ...), x): a list whose first item is a query, not a query in two brackets.
            after = closing(tokens, at, end) + 1
            if after < end and tokens[after].type is TokenType.COMMA:
                return False
    return False


class Lexer:
    """The terminals of one statement (or of the arguments of one call)."""

    def __init__(self, text: str, tokens: list[Tok], query: Callable[[list[Tok], int, int], Query]):
        self.text = text
        self.tokens = tokens
        self.query = query
        self._after_path = -1

    def terminals(self, begin: int, end: int, *, create: bool = False, call: bool = False) -> Iterator[Token]:
        """Terminals of tokens[begin:end]; `create` folds the query after AS and the bodies of clauses.

        The first bracket of the arguments of a `call` is its own, also where a query follows at once.
        """
        i = begin
        depth = 0
        if call:
            token, i = self._simple(self.tokens[i], "", i, end)
            depth = 1
            yield token
        while i < end:
            token, i = self._next(i, end, create and depth == 0)
            depth += (token.type == "_LPAR") - (token.type == "_RPAR")
            yield token

    def _next(self, i: int, end: int, clauses: bool) -> tuple[Token, int]:
        t = self.tokens[i]
        word = t.word()
        # A name may look like a keyword (`DROP MODEL model`); it opens nothing.
        before = self.tokens[i - 1].word() if i and i != self._after_path else ""
        if clauses and before == "AS" and not self._names_queries(i, end):
            return self._token("QUERY", self.query(self.tokens, i, end), i, end - 1), end
        if clauses and word in ("TRANSFORM", "INPUT", "OUTPUT") and self._is(i + 1, end, TokenType.L_PAREN):
            last = closing(self.tokens, i + 1, end)
            start, stop = self.tokens[i + 1].end, self.tokens[last].start
            body = Fragment(self.text[start:stop], Span(start, stop))
            return self._token(f"{word}_BODY", body, i, last), last + 1
        if self._path_follows(before, i, end):
            return self._path(i, end)
        if starts_query(self.tokens, i, end):
            last = closing(self.tokens, i, end)
            return self._token("SUBQUERY", self.query(self.tokens, i + 1, last), i, last), last + 1
        return self._simple(t, word, i, end)

    def _simple(self, t: Tok, word: str, i: int, end: int) -> tuple[Token, int]:
        if t.type in PUNCTUATION:
            return self._token(PUNCTUATION[t.type], t, i, i), i + 1
        if t.type in STRINGS:
            value: object = t.text.encode("latin-1", "replace") if t.type is TokenType.BYTE_STRING else t.text
            return self._token("STRING", value, i, i), i + 1
        if t.type is TokenType.NUMBER:
            return self._token("NUMBER", t.text, i, i), i + 1
        if t.type is TokenType.DOT and i + 1 < end and self.tokens[i + 1].type is TokenType.NUMBER:
            return self._token("NUMBER", f".{self.tokens[i + 1].text}", i, i + 1), i + 2
        if t.type is TokenType.HEX_STRING:
            return self._token("NUMBER", str(int(t.text, 16)), i, i), i + 1
        if t.type is TokenType.IDENTIFIER:
            return self._token("QUOTED", t.text, i, i), i + 1
        if t.type is TokenType.PLACEHOLDER or t.text == "?":
            return self._token("PARAMETER", None, i, i), i + 1
        if t.type is TokenType.PARAMETER and i + 1 < end and self.tokens[i + 1].start == t.end:
            return self._token("PARAMETER", self.tokens[i + 1].text, i, i + 1), i + 2
        if word in ("STRUCT", "ARRAY") and self._is(i + 1, end, TokenType.LT):
            return self._typed_constructor(word, i, end)
        if word in TYPED and i + 1 < end and self.tokens[i + 1].type in STRINGS:
            return self._token("TYPED", word, i, i), i + 1
        if word == "SELECT":
            if i and self.tokens[i - 1].text == ")":
                raise ParseError("AS must stand before the query.", span=t.span, hint="write AS SELECT ...")
            raise ParseError("a query must stand in parentheses here.", span=t.span)
        if word in KEYWORDS:
            return self._token(word, t.text, i, i), i + 1
        if word:
            return self._token("WORD", t.text, i, i), i + 1
        raise self._unexpected(i, end)

    def _unexpected(self, i: int, end: int) -> ParseError:
        t = self.tokens[i]
        dots = i
        while dots < end and not self.tokens[dots].text.strip("."):
            dots += 1
        if self.tokens[dots - 1].end > t.start + 1:  # copied from a page that leaves something out
            place = Span(t.start, self.tokens[dots - 1].end)
            hint = "write what it stands for, or leave it out."
            return ParseError(f"{self.text[place.start : place.end]} must not stand here.", span=place, hint=hint)
        named = 0 < i < end - 1 and all(re.match(r"[`\w]", self.tokens[k].text) for k in (i - 1, i + 1))
        if t.text == "." and named:
            last = i + 1
            while last + 2 < end and self.tokens[last + 1].text == ".":
                last += 2
            name = Span(self.tokens[i - 1].start, self.tokens[last].end)
            written = self.text[name.start : name.end]
            hint = f"write MODEL {written}, or TABLE {written}."
            return ParseError(f"{written} must be named as a MODEL or a TABLE.", span=name, hint=hint)
        return ParseError(f"{self.text[t.start : t.end]!r} was not expected here.", span=t.span)

    def _typed_constructor(self, word: str, i: int, end: int) -> tuple[Token, int]:
        """`STRUCT<a FLOAT64>(...)`: the field names of the type are kept in the token's value."""
        depth, j = 0, i + 1
        while j < end:
            text = self.tokens[j].text
            depth += text.count("<") - text.count(">")
            if depth == 0:
                break
            j += 1
        else:
            raise ParseError(f"the type after {word} must be closed by '>'.", span=self.tokens[i].span)
        if word == "ARRAY":  # ARRAY<T>[...] means the same as [...]: go on with the bracket
            if not self._is(j + 1, end, TokenType.L_BRACKET):
                raise ParseError("ARRAY<...> must be followed by '['.", span=self.tokens[j].span)
            return self._token("_LSQB", "[", i, j + 1), j + 2
        fields = self.text[self.tokens[i + 1].end : self.tokens[j].start]
        return self._token("STRUCT", Fragment(fields, Span(self.tokens[i].end, self.tokens[j].start)), i, j), j + 1

    def _path_follows(self, before: str, i: int, end: int) -> bool:
        t = self.tokens[i]
        if t.type is TokenType.FARROW or (t.type is not TokenType.IDENTIFIER and not t.word()):
            return False
        if before in ("MODEL", "TABLE"):
            return t.word() != "IF" or not self._is_word(i + 1, end, ("EXISTS", "NOT"))
        if before == "EXISTS":
            return True
        if before == "CONNECTION":
            return t.word() != "DEFAULT"
        first = self.tokens[0].word()
        return before in ("SET", "IN", "FROM") and first in ("SET", "SHOW") and i > 0

    def _path(self, i: int, end: int) -> tuple[Token, int]:
        start = self.tokens[i].start
        match = PATH.match(self.text, start, self.tokens[end - 1].end)
        if match is None:
            raise ParseError("a name must follow here.", span=self.tokens[i].span)
        j = i
        while j < end and self.tokens[j].start < match.end():
            j += 1
        name = Name(split_path(match.group()), Span(start, match.end()))
        self._after_path = j
        return self._token("PATH", name, i, j - 1), j

    def _names_queries(self, i: int, end: int) -> bool:
        """`AS (training_data AS (...), ...)`"""
        return (
            self._is(i, end, TokenType.L_PAREN)
            and i + 3 < end
            and self.tokens[i + 2].word() == "AS"
            and self.tokens[i + 3].type is TokenType.L_PAREN
            and self.tokens[i + 1].word() not in ("SELECT", "WITH", "FROM")
        )

    def _is(self, i: int, end: int, kind: TokenType) -> bool:
        return i < end and self.tokens[i].type is kind

    def _is_word(self, i: int, end: int, words: tuple[str, ...]) -> bool:
        return i < end and self.tokens[i].word() in words

    def _token(self, kind: str, value: object, first: int, last: int) -> Token:
        start, end = self.tokens[first].start, self.tokens[min(last, len(self.tokens) - 1)].end
        return Token(kind, value, start_pos=start, end_pos=end)


def split_path(text: str) -> tuple[str, ...]:
    """The parts of a dotted name; backticks may stand around a part or around several."""
    parts: list[str] = []
    for piece in re.findall(r"`[^`]+`|[^.`\s]+", text):
        parts.extend(p for p in piece.strip("`").split(".") if p) if piece.startswith("`") else parts.append(piece)
    return tuple(parts)
