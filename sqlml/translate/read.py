"""Text -> sqlglot tree, with GoogleSQL's functions kept as plain calls.

sqlglot gives a meaning of its own to some 300 function names, and a different one in every
release. Here the name of every ordinary call is marked among the tokens before sqlglot parses
them, so that it stays an `Anonymous` node with its arguments; `functions.py` alone says what it
means. Syntax errors become `ParseError` with the place in the user's text.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError as GlotParseError
from sqlglot.errors import TokenError
from sqlglot.tokens import Token, TokenType

from sqlml.errors import Error, NotSupportedError, ParseError, Span
from sqlml.translate.altered import reduced
from sqlml.translate.literals import decode
from sqlml.translate.misplaced import MARK, empty_clause, misplaced, not_created, open_bracket, query_of

_NOT_CALLS = frozenset(
    """SELECT FROM WHERE AND OR NOT IN AS ON USING OVER BY CASE WHEN THEN ELSE LIMIT OFFSET ORDINAL
    SAFE_OFFSET SAFE_ORDINAL EXISTS UNNEST CAST SAFE_CAST TRY_CAST EXTRACT ARRAY STRUCT VALUES
    EXCEPT EXCLUDE UNION ALL DISTINCT INTERSECT ANY SOME PIVOT UNPIVOT FOR JOIN WITH RECURSIVE
    HAVING QUALIFY INTERVAL BETWEEN LIKE IS TABLE VIEW INTO OPTIONS PARTITION CLUSTER ROLLUP CUBE
    SETS SYSTEM RESERVOIR BERNOULLI WINDOW FILTER GROUP NULLS RETURNS RETURN SET INSERT UPDATE
    DELETE MERGE REFERENCES CHECK DEFAULT CALL TABLESAMPLE COLUMNS LATERAL MAP GROUPING_SETS XOR
    DECIMAL NUMERIC BIGNUMERIC BIGDECIMAL VARCHAR CHAR ROW_ARROW""".split()
)
_AFTER_WORD_OK = frozenset("VALUE MAX MIN OF ZONE DEFAULT RETURN".split())
_NAMES_TABLE = frozenset("INTO TABLE VIEW FUNCTION PROCEDURE INSERT".split())
NAMESPACES = frozenset("SAFE NET ML AI KEYS AEAD HLL_COUNT KLL_QUANTILES VECTOR_INDEX OBJ".split())
_QUOTED = frozenset(
    {
        TokenType.STRING,
        TokenType.RAW_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEREDOC_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.UNICODE_STRING,
        TokenType.IDENTIFIER,
        TokenType.NUMBER,
    }
)
_STAR_BEFORE = frozenset("SELECT DISTINCT ALL STRUCT VALUE , . (".split())
_STATEMENTS = (exp.Query, exp.DML, exp.DDL, exp.Drop, exp.Alter, exp.TruncateTable, exp.Set, exp.Values, exp.Export)
_WORD = re.compile(r"[A-Za-z_]\w*\Z")


def _with(token: Token, type_: TokenType, text: str, start: int | None = None) -> Token:
    """A copy of `token` under another type and text."""
    begin = token.start if start is None else start
    return Token(type_, text, token.line, token.col, begin, token.end, token.comments)


def _word(tokens: Sequence[Token], at: int) -> str:
    """The upper-case text of token `at` when it is unquoted, '' outside."""
    if not 0 <= at < len(tokens) or tokens[at].token_type in _QUOTED:
        return ""
    return str(tokens[at].text).upper()


def _is_call(tokens: Sequence[Token], at: int) -> bool:
    """Whether token `at` is the name of an ordinary function call."""
    if _word(tokens, at + 1) != "(" or tokens[at].token_type in _QUOTED:
        return False
    name = _word(tokens, at)
    if name in _NOT_CALLS or not _WORD.match(name):
        return False
    before = _word(tokens, at - 1)
    if before == ".":
        return _word(tokens, at - 2) in NAMESPACES
    if before in ("AS", "<") or before in _NAMES_TABLE:
        return False
    if before == "EXISTS" and _word(tokens, at - 2) in ("IF", "NOT"):
        return False
    starred = before == "*" and (at < 2 or _word(tokens, at - 2) in _STAR_BEFORE)
    if name == "REPLACE" and (before == ")" or starred):
        return False
    if at > 0 and tokens[at - 1].token_type in (TokenType.VAR, TokenType.IDENTIFIER):
        return before in _AFTER_WORD_OK
    return True


def mark_calls(tokens: Sequence[Token]) -> list[Token]:
    """Tokens with the name of every ordinary call marked; `SAFE.f(` and `ML.f(` become one name."""
    result: list[Token] = []
    for at, token in enumerate(tokens):
        if not _is_call(tokens, at):
            result.append(token)
            continue
        if _word(tokens, at - 1) == ".":
            space = result[-2]
            del result[-2:]
            name = f"{MARK}{space.text.upper()}.{token.text}"
            result.append(_with(token, TokenType.VAR, name, space.start))
        else:
            result.append(_with(token, TokenType.VAR, MARK + token.text))
    return result


def _number_parameters(tokens: list[Token], number: Callable[[int, int], int]) -> list[Token]:
    """`?` becomes `@1`, `@2` ...; a rewrite may then use a parameter twice."""
    result: list[Token] = []
    count = 0
    for token in tokens:
        if token.token_type is TokenType.PLACEHOLDER and token.text == "?":
            count += 1
            result.append(_with(token, TokenType.PARAMETER, "@"))
            result.append(_with(token, TokenType.VAR, str(number(count, token.start))))
        else:
            result.append(token)
    return result


def _unnest_paths(tokens: list[Token]) -> list[Token]:
    """`FROM t, t.arr [AS] x WITH OFFSET` gets its UNNEST(...), which sqlglot needs there."""
    result: list[Token] = []
    for at, token in enumerate(tokens):
        if _word(tokens, at) == "WITH" and _word(tokens, at + 1) == "OFFSET":
            _wrap_path(result, token)
        result.append(token)
    return result


def _wrap_path(tokens: list[Token], near: Token) -> None:
    """Puts UNNEST( ) around the path (before an optional alias) at the end of `tokens`."""
    names = (TokenType.VAR, TokenType.IDENTIFIER)

    def is_name(i: int) -> bool:
        return i >= 0 and (tokens[i].token_type in names or bool(_WORD.match(_word(tokens, i))))

    stop = len(tokens)
    if stop >= 2 and is_name(stop - 1) and _word(tokens, stop - 2) == "AS":
        stop -= 2
    elif stop >= 2 and is_name(stop - 1) and (is_name(stop - 2) or _word(tokens, stop - 2) == ")"):
        stop -= 1
    start = stop - 1
    if not is_name(start):
        return
    while start >= 2 and _word(tokens, start - 1) == "." and is_name(start - 2):
        start -= 2
    if start == stop - 1:
        return
    tokens.insert(stop, _with(near, TokenType.R_PAREN, ")"))
    tokens.insert(start, _with(near, TokenType.L_PAREN, "("))
    tokens.insert(start, _with(near, TokenType.UNNEST, "UNNEST"))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What sqlglot would log in this thread is said by our errors."""
    here = threading.get_ident()
    logger = logging.getLogger("sqlglot")

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def _plain(tokens: Sequence[Token], sql: str) -> str:
    """The text with blanks in place of comments and quotes in place of quoted texts."""
    plain = [" "] * len(sql)
    for token in tokens:
        quoted = token.token_type is TokenType.STRING
        size = token.end + 1 - token.start
        plain[token.start : token.end + 1] = "'" * size if quoted else sql[token.start : token.end + 1]
    return "".join(plain)


def _place_options(root: exp.Expression, tokens: Sequence[Token]) -> None:
    """Gives each option's name its place, which sqlglot does not keep."""
    places: dict[str, list[Token]] = {}
    for at, token in enumerate(tokens[:-1]):
        if tokens[at + 1].text == "=" and token.token_type not in (TokenType.STRING, TokenType.NUMBER):
            places.setdefault(token.text.lower(), []).append(token)
    for item in root.find_all(exp.Property):
        here = places.get(str(item.this.name).lower()) if isinstance(item.this, exp.Var) else None
        if here:
            token = here.pop(0) if len(here) > 1 else here[0]
            item.meta.update(start=token.start, end=token.end)


class Reader:
    """Parses texts of one dialect; `offset` is where the text begins in the user's script."""

    def __init__(self, dialect: str, offset: int = 0, number: Callable[[int, int], int] | None = None):
        self.dialect: Any = Dialect.get_or_raise(dialect)
        self.google = dialect == "bigquery"
        self.offset = offset
        self.number = number or (lambda count, _start: count)

    def statement(self, sql: str, *, marked: bool = False) -> exp.Expression:
        """The tree of one statement; `marked` marks calls in plain DuckDB, too."""
        tokens = self._tokens(sql)
        if marked and not self.google:
            tokens = mark_calls(tokens)
        if not tokens:
            raise ParseError("the statement must not be empty.", span=self._span(0, len(sql)))
        tokens, meta = reduced(tokens) if self.google else (tokens, {})
        found = [e for e in self._parse(tokens, sql, None) if e is not None]
        if len(found) != 1:
            raise ParseError("the text must be one statement.", span=self._span(0, len(sql)))
        if not isinstance(found[0], _STATEMENTS):
            word = tokens[0].text.upper()
            if word == "ALTER":
                raise NotSupportedError(
                    "ALTER must have one action that is known here.", span=self._token_span(tokens[0])
                )
            if word == "CREATE" and len(tokens) > 1:
                if query := query_of(tokens):
                    self._parse(query, sql, None)  # sqlglot gives up on the whole, and says of the query why
                raise not_created(tokens, self._token_span)
            raise ParseError(f"{word} must begin a statement that is known here.", span=self._token_span(tokens[0]))
        self._name_paths(found[0], tokens)
        found[0].meta.update(meta)
        if isinstance(found[0], exp.Create | exp.Alter | exp.Export):
            _place_options(found[0], tokens)
        return found[0]

    @staticmethod
    def _name_paths(root: exp.Expression, tokens: Sequence[Token]) -> None:
        """`FROM t, t.arr` goes by the name arr; sqlglot's UNNEST(t.arr) would have none."""
        written = {tokens[i + 2].start for i in range(len(tokens) - 2) if _word(tokens, i) == "UNNEST"}
        for unnest in root.find_all(exp.Unnest):
            path = unnest.expressions[0] if unnest.expressions else None
            if unnest.args.get("alias") or not isinstance(path, exp.Column | exp.Dot):
                continue
            first = path.find(exp.Identifier)
            starts = [p.meta["start"] for p in path.find_all(exp.Identifier) if "start" in p.meta]
            if first is None or not starts or min(starts) in written:
                continue
            name = path.expression if isinstance(path, exp.Dot) else path.this
            unnest.set("alias", exp.TableAlias(columns=[name.copy()]))

    def items(self, sql: str) -> list[exp.Expression]:
        """The items of a SELECT list."""
        tokens = self._tokens(sql)
        if not tokens:
            raise ParseError("the list must not be empty.", span=self._span(0, len(sql)))
        head = tokens[0]
        select = Token(TokenType.SELECT, "SELECT", head.line, head.col, head.start, head.start, [])
        found = self._parse([select, *tokens], sql, None)
        if len(found) != 1 or not isinstance(found[0], exp.Select) or self._has_clauses(found[0]):
            raise ParseError("the text must be a list of expressions.", span=self._span(0, len(sql)))
        return list(found[0].expressions)

    @staticmethod
    def _has_clauses(select: exp.Select) -> bool:
        return any(v for k, v in select.args.items() if k != "expressions" and v)

    def _tokens(self, sql: str) -> list[Token]:
        try:
            tokens = list(self.dialect.tokenize(sql))
        except TokenError:
            raise ParseError("quoted text and comments must be closed.", span=self._span(0, len(sql))) from None
        while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
            tokens.pop()
        if not self.google:
            return tokens
        tokens = decode(tokens, sql)
        tokens = _number_parameters(_unnest_paths(tokens), lambda n, at: self.number(n, self.offset + at))
        return mark_calls(tokens)

    def _parse(self, tokens: list[Token], sql: str, into: Any) -> list[Any]:
        try:
            with _silent():
                return list(self.dialect.parser().parse(tokens, sql))
        except GlotParseError as problem:
            raise self._syntax_error(problem, tokens, sql) from None
        except RecursionError:
            raise ParseError("the statement must not be nested so deeply.", span=self._span(0, len(sql))) from None

    def _syntax_error(self, problem: GlotParseError, tokens: list[Token], sql: str) -> Error:
        if empty := empty_clause(_plain(tokens, sql)):
            return ParseError(empty[0], span=self._span(empty[1], empty[2]))
        details = problem.errors[0] if problem.errors else {}
        place = (details.get("line"), details.get("col"))
        at = next((i for i, t in enumerate(tokens) if (t.line, t.col) == place), len(tokens) - 1)
        token = tokens[at]
        text = token.text.removeprefix(MARK)
        unfinished = text not in (")", "]") and "Unexpected" not in str(details.get("description"))
        if at == len(tokens) - 1 and (unclosed := open_bracket(tokens)):
            return ParseError("this bracket must be closed.", span=self._token_span(unclosed))
        if at == len(tokens) - 1 and unfinished:
            return ParseError(f"the statement must go on after {text}.", span=self._token_span(token))
        return misplaced(tokens, at, self._token_span)

    def _token_span(self, token: Token) -> Span:
        return self._span(token.start, token.end + 1)

    def _span(self, start: int, end: int) -> Span:
        return Span(self.offset + start, self.offset + end)
