"""Sentences for a token that cannot stand where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from sqlglot.tokens import Token, TokenType

from sqlml.errors import Error, NotSupportedError, ParseError, Span, did_you_mean

_BEGINS = frozenset("SELECT WITH CREATE INSERT UPDATE DELETE MERGE DROP ALTER DECLARE CALL EXECUTE EXPORT".split())
_CLAUSES = ("FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "QUALIFY", "UNION", "WINDOW")
_MADE = ("MODEL", "TABLE", "VIEW", "SCHEMA", "FUNCTION", "PROCEDURE")
#: Words between the name of what is created and its query.
_HEAD = frozenset(
    "IF NOT EXISTS AS OPTIONS PARTITION CLUSTER BY DEFAULT COLLATE LIKE COPY CLONE RETURNS LANGUAGE".split()
)
#: No comma can stand behind these.
_NO_COMMA = frozenset(("AS", "TABLE", "VIEW", "BY", "ON", "AND", "OR", "NOT", "SELECT", *_CLAUSES))
#: What must follow a word, and what cannot.
_FOLLOWED = {
    "SELECT": "a column", "FROM": "a table", "JOIN": "a table", "WHERE": "a condition", "HAVING": "a condition",
    "QUALIFY": "a condition", "ON": "a condition", "AND": "a condition", "OR": "a condition", "WHEN": "a condition",
    "THEN": "a value", "ELSE": "a value", "BY": "a value", "LIMIT": "a number", "SET": "a name",
}  # fmt: skip
_NEXT = "|".join((*_CLAUSES, "THEN", "ELSE", "END", "WHEN", "JOIN", "ON"))
_EMPTY = re.compile(
    rf"\b((?:(?:GROUP|ORDER|PARTITION|CLUSTER)\s+)?({'|'.join(_FOLLOWED)}))\s*(?=[),;]|$|\b(?:{_NEXT})\b)", re.I
)
#: What the grammar leaves in the place of a table function.
PLACEHOLDER = re.compile(r"^__[mv]\d+$")
Place = Callable[[Token], Span]
_WORD = re.compile(r"^\w+$")
MARK = "__SQLML_CALL_"
"""Stands before the name of a call that is ours to translate: a plain word, for sqlglot parses names again."""


def misplaced(tokens: Sequence[Token], at: int, place: Place) -> Error:
    """The error at token `at`, which the parser did not expect; `place` gives the span of a token."""
    token, span = tokens[at], place(tokens[at])
    text = token.text.removeprefix(MARK)
    before = tokens[at - 1] if at else None
    sentence = f"{text} must not stand here."
    if PLACEHOLDER.match(text):
        sentence = "a table function must not stand here."
    if before is None:
        return ParseError(sentence, span=span)
    word = before.text.upper()
    first = tokens[0].text.upper()
    if first not in _BEGINS and (hint := did_you_mean(first, _BEGINS)):
        return ParseError(f"{tokens[0].text} must not stand here.", span=place(tokens[0]), hint=hint)
    if (
        word not in _CLAUSES
        and len(word) > 2
        and at > 1
        and _word_like(token)
        and (hint := did_you_mean(word, _CLAUSES))
    ):
        return ParseError(f"{before.text} must not stand here.", span=place(before), hint=hint)
    if word == "TABLE" and (name := _called(tokens, at - 1)):
        return NotSupportedError(f"{name} is not available.", span=span)
    if word == "AS" and _called(tokens, at - 1) in ("CAST", "SAFE_CAST"):
        return ParseError(f"{text} is not a type that is known here.", span=span)
    if text.upper() in _BEGINS and (before.line != token.line or text.upper() in ("CREATE", "INSERT", "DECLARE")):
        return ParseError(sentence, span=span, hint="end the statement before it with a semicolon.")
    if word in ("GROUP", "ORDER", "PARTITION", "CLUSTER"):
        return ParseError(f"{before.text} must be followed by BY.", span=place(before))
    if _word_like(token) and (_word_like(before) or word == ")"):
        near = difflib.get_close_matches(text.upper(), _CLAUSES, n=1, cutoff=0.75)
        if near and near[0] != text.upper():
            return ParseError(sentence, span=span, hint=f"did you mean {near[0]}?")
        if word not in _NO_COMMA and text.upper() != "AS":
            return ParseError(sentence, span=span, hint="a comma may be missing before it.")
    return ParseError(sentence, span=span)


def empty_clause(text: str) -> tuple[str, int, int] | None:
    """The sentence about a word that nothing follows, and its place in a text without comments and quoted texts."""
    found = _EMPTY.search(text)
    if found is None:
        return None
    return f"{found[1]} must be followed by {_FOLLOWED[found[2].upper()]}.", found.start(1), found.end(1)


def open_bracket(tokens: Sequence[Token]) -> Token | None:
    """The last bracket that is not closed."""
    found: list[Token] = []
    for token in tokens:
        if token.text in ("(", "[") and token.token_type is not TokenType.STRING:
            found.append(token)
        elif token.text in (")", "]") and found and token.token_type is not TokenType.STRING:
            found.pop()
    return found[-1] if found else None


def query_of(tokens: Sequence[Token]) -> list[Token]:
    """The query of CREATE TABLE or VIEW ... AS; empty when there is none."""
    depth = 0
    for i, token in enumerate(tokens[:-1]):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token.text.upper() == "AS":
            return list(tokens[i + 1 :]) if tokens[i + 1].text.upper() in ("SELECT", "WITH", "(") else []
    return []


def not_created(tokens: Sequence[Token], place: Place) -> Error:
    """The error for a CREATE that is not understood, its query apart."""
    at = 3 if tokens[1].text.upper() == "OR" and len(tokens) > 3 and tokens[2].text.upper() == "REPLACE" else 1
    if tokens[1].text.upper() == "OR" and at == 1 and len(tokens) > 2:
        hint = did_you_mean(tokens[2].text.upper(), ("REPLACE",))
        return ParseError("OR must be followed by REPLACE.", span=place(tokens[2]), hint=hint)
    made = next((i for i in range(at, min(at + 3, len(tokens))) if tokens[i].text.upper() in _MADE), None)
    if made is not None:
        return _unknown_clause(tokens, made, place)
    hint = did_you_mean(tokens[at].text.upper(), _MADE)
    return ParseError(f"CREATE must be followed by {', '.join(_MADE)}.", span=place(tokens[at]), hint=hint)


def _unknown_clause(tokens: Sequence[Token], made: int, place: Place) -> Error:
    """The error for CREATE TABLE or its like, whose name `tokens[made]` is followed by something unknown."""
    what, depth = tokens[made].text.upper(), 0
    for i in range(made + 1, len(tokens)):
        text = tokens[i].text
        depth += {"(": 1, ")": -1}.get(text, 0)
        # A name may be several tokens, with nothing between them.
        begins = i > made + 1 and _word_like(tokens[i]) and tokens[i].start > tokens[i - 1].end + 1
        if depth == 0 and begins and text.upper() not in _HEAD:
            hint = did_you_mean(text.upper(), [w for w in _HEAD if len(w) > 2])
            return ParseError(f"{text} must not stand here.", span=place(tokens[i]), hint=hint)
    hint = f"CREATE {what} name AS SELECT ..." if what in ("TABLE", "VIEW") else None
    return ParseError(f"CREATE {what} is not complete.", span=place(tokens[made]), hint=hint)


def _word_like(token: Token) -> bool:
    return bool(_WORD.match(token.text.removeprefix(MARK)))


def _called(tokens: Sequence[Token], at: int) -> str:
    """The upper-case name of the call whose brackets hold token `at`, '' when there is none."""
    depth = 0
    for i in range(at - 1, 0, -1):
        if tokens[i].text == ")":
            depth += 1
        elif tokens[i].text == "(":
            if depth == 0:
                name = tokens[i - 1].text.removeprefix(MARK)
                return name.upper() if _WORD.match(name) else ""
            depth -= 1
    return ""
