"""Sentences for what the grammar did not expect."""

from __future__ import annotations

from collections.abc import Iterable

from lark import Token

from sqlml.errors import ParseError, Span, did_you_mean

WORDS = {
    "_LPAR": "'('",
    "_RPAR": "')'",
    "_COMMA": "','",
    "_EQUAL": "'='",
    "_ARROW": "'=>'",
    "_LSQB": "'['",
    "_RSQB": "']'",
    "PATH": "a name",
    "QUERY": "a query",
    "SUBQUERY": "a query in parentheses",
    "TRANSFORM_BODY": "TRANSFORM(...)",
    "INPUT_BODY": "INPUT(...)",
    "OUTPUT_BODY": "OUTPUT(...)",
    "STRING": "a string",
    "NUMBER": "a number",
    "$END": "the end of the statement",
}
VALUE = {"STRING", "NUMBER", "TRUE", "FALSE", "NULL", "STRUCT", "PARAMETER", "_LSQB", "TYPED"}
NAME = {"WORD", "QUOTED"}


def unexpected(token: Token, accepted: Iterable[str], text: str, end: Span) -> ParseError:
    """The error at a token that cannot stand where it stands."""
    expected = set(accepted)
    at_end = token.type == "$END"
    span = end if at_end else Span(token.start_pos or 0, token.end_pos or 0)
    found = "the statement ends here" if at_end else f"found {_shown(text[span.start : span.end])}"
    names = _expected(expected)
    hint = None if at_end else did_you_mean(text[span.start : span.end], [e for e in expected if e.isalpha()])
    if names:
        return ParseError(f"expected {names}, but {found}.", span=span, hint=hint)
    return ParseError(f"nothing is expected here, but {found}.", span=span)


def _expected(expected: set[str]) -> str:
    words: list[str] = []
    if expected >= VALUE:
        words.append("a constant")
        expected = expected - VALUE - NAME - {"MINUS", "_PLUS", "_LPAR"}
        expected = {e for e in expected if e in WORDS or e == "SUBQUERY"}
    elif expected >= NAME:
        words.append("a name")
        expected = {e for e in expected if e in WORDS and e != "PATH"}
    if "TYPED" in expected:
        expected = expected - {"TYPED"}
    order = sorted(expected, key=lambda e: (e == "$END", e.startswith("_"), e))
    words.extend(WORDS.get(e, e) for e in order)
    words = list(dict.fromkeys(words))[:6]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" or {words[-1]}" if words else ""


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:37] + "..."
