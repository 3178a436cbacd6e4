"""Quoted text as GoogleSQL reads it: escapes in strings and bytes, raw and triple-quoted forms.

sqlglot decodes numeric escapes in its newer releases only, and gives bytes as text; here every
literal with a backslash is read from the source again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot.tokens import Token, TokenType

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.S)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PREFIX = re.compile(r"[rRbB]{0,2}(?=[\'\"])")


def body_of(source: str) -> str:
    """What stands between the quotes of a literal."""
    rest = source[len(match.group()) :] if (match := _PREFIX.match(source)) else source
    marks = 3 if len(rest) >= 6 and rest[:3] in ("'''", '"""') else 1
    return rest[marks:-marks]


def text_of(body: str) -> str:
    """A string with its escapes decoded."""
    return _ESCAPE.sub(lambda m: _character(m.group(1)), body)


def _character(escape: str) -> str:
    if escape[0] in "xXuU":
        return chr(int(escape[1:], 16))
    if escape.isdigit() and len(escape) == 3:
        return chr(int(escape, 8))
    return _SIMPLE.get(escape, escape)


def bytes_of(body: str, *, raw: bool) -> bytes:
    """Bytes with their escapes decoded; other characters are UTF-8."""
    if raw:
        return body.encode()
    result, at = b"", 0
    for match in _ESCAPE.finditer(body):
        result += body[at : match.start()].encode()
        escape = match.group(1)
        character = _character(escape)
        one_byte = escape[0] in "xX" or (escape.isdigit() and len(escape) == 3)
        result += bytes([ord(character)]) if one_byte else character.encode()
        at = match.end()
    return result + body[at:].encode()


def decode(tokens: Sequence[Token], sql: str) -> list[Token]:
    """Tokens with the values of their literals; a byte is a character of the same number."""
    result: list[Token] = []
    for token in tokens:
        last = result[-1] if result else None
        source = sql[token.start : token.end + 1]
        prefixed = last is not None and last.text.lower() in ("rb", "br") and last.end + 1 == token.start
        if prefixed and last is not None and token.token_type is TokenType.STRING:
            value = bytes_of(body_of(source), raw=True)  # sqlglot reads rb'...' as a word and a string
            result[-1] = _with(token, TokenType.BYTE_STRING, value.decode("latin-1"), last.start)
        elif token.token_type is TokenType.BYTE_STRING:
            value = bytes_of(body_of(source), raw=False)
            result.append(_with(token, TokenType.BYTE_STRING, value.decode("latin-1"), token.start))
        elif token.token_type is TokenType.STRING and "\\" in source and source[:1] in "'\"":
            result.append(_with(token, TokenType.STRING, text_of(body_of(source)), token.start))
        else:
            result.append(token)
    return result


def _with(token: Token, kind: TokenType, text: str, start: int) -> Token:
    return Token(kind, text, token.line, token.col, start, token.end, token.comments)
