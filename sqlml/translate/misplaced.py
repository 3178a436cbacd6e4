"""Sentences for a token that cannot stand where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokens import Token

from sqlml.errors import Error, NotSupportedError, ParseError, Span, did_you_mean

_BEGINS = frozenset("SELECT WITH CREATE INSERT UPDATE DELETE MERGE DROP ALTER DECLARE CALL EXECUTE EXPORT".split())
_WORD = re.compile(r"^\w+$")
MARK = "__SQLML_CALL_"
"""Stands before the name of a call that is ours to translate: a plain word, for sqlglot parses names again."""


def misplaced(tokens: Sequence[Token], at: int, span: Span) -> Error:
    """The error at token `at`, which the parser did not expect."""
    token = tokens[at]
    text = token.text.removeprefix(MARK)
    before = tokens[at - 1] if at else None
    sentence = f"{text} must not stand here."
    if before is None:
        return ParseError(sentence, span=span)
    if before.text.upper() == "TABLE" and (name := _called(tokens, at - 1)):
        return NotSupportedError(f"{name} is not available.", span=span)
    if before.text.upper() == "AS" and _called(tokens, at - 1) in ("CAST", "SAFE_CAST"):
        return ParseError(f"{text} is not a type that is known here.", span=span)
    if text.upper() in _BEGINS and before.line != token.line:
        return ParseError(sentence, span=span, hint="end the statement before it with a semicolon.")
    if at == 1 and before.text.upper() not in _BEGINS and (hint := did_you_mean(before.text.upper(), _BEGINS)):
        return ParseError(sentence, span=span, hint=hint)
    if _word_like(token) and (_word_like(before) or before.text == ")") and before.text.upper() not in ("AS", "FROM"):
        return ParseError(sentence, span=span, hint="a comma may be missing before it.")
    return ParseError(sentence, span=span)


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
