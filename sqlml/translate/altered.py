"""ALTER statements that sqlglot does not read, brought into a form that it does."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot.tokens import Token, TokenType

from sqlml.errors import NotSupportedError

COLUMN = "sqlml_column"
"""Key in the `meta` of ALTER ... SET OPTIONS: the column of ALTER COLUMN."""
SCHEMA = "sqlml_schema"
"""Key in the `meta` of ALTER ... SET OPTIONS: true for ALTER SCHEMA."""


def reduced(tokens: Sequence[Token]) -> tuple[list[Token], dict[str, object]]:
    """`ALTER TABLE t ALTER COLUMN c SET OPTIONS (...)` and `ALTER SCHEMA` as an ALTER TABLE that sqlglot reads.

    Gives the tokens and what belongs in the statement's `meta`.
    """
    words = [t.text.upper() for t in tokens]
    if len(words) < 5 or words[0] != "ALTER" or "SET" not in words:
        return list(tokens), {}
    if words[1] in ("SCHEMA", "DATASET"):
        first = Token(TokenType.TABLE, "TABLE", tokens[1].line, tokens[1].col, tokens[1].start, tokens[1].end, [])
        return [tokens[0], first, *tokens[2:]], {SCHEMA: True}
    at = words.index("SET")
    if words[at + 1 : at + 2] != ["OPTIONS"]:
        return list(tokens), {}
    begin = next((i for i in range(2, at) if words[i] == "ALTER"), None)
    if begin is None or begin < 3:
        return list(tokens), {}
    rest = [w for w in words[begin + 1 : at - 1] if w not in ("COLUMN", "IF", "EXISTS")]
    if rest or at - begin < 2:
        raise NotSupportedError("ALTER COLUMN ... SET OPTIONS must name one column.")
    return [*tokens[:begin], *tokens[at:]], {COLUMN: tokens[at - 1].text}
