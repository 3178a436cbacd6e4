"""Script text -> nodes, over the tokens of the grammar (so strings and comments are safe).

A statement that is not procedural is not looked into: it ends at its semicolon. Expressions are
kept as places in the text; whoever runs the script evaluates them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Literal

from sqlml.errors import NotSupportedError, ParseError, Span, notice
from sqlml.grammar.lexer import Tok, tokenize
from sqlml.script.nodes import (
    Argument,
    Assert,
    Assign,
    Block,
    Branches,
    Call,
    CreateFunction,
    CreateProcedure,
    Declare,
    DropRoutine,
    ExecuteImmediate,
    ForEach,
    Jump,
    Loop,
    Node,
    Raise,
    Sql,
)
from sqlml.script.walk import CLOSE, OPEN, Walk, text_at, word_at

_JUMPS: dict[str, Literal["break", "continue", "return"]] = {
    "BREAK": "break",
    "LEAVE": "break",
    "CONTINUE": "continue",
    "ITERATE": "continue",
    "RETURN": "return",
}
_STARTS = frozenset("DECLARE BEGIN IF CASE LOOP WHILE REPEAT FOR RAISE ASSERT EXECUTE CALL".split()) | set(_JUMPS)


_HINT = re.compile(
    r"\b(?:DECLARE|BEGIN|LOOP|WHILE|REPEAT|RAISE|ASSERT|EXECUTE|CALL|FUNCTION|PROCEDURE|BREAK|LEAVE|CONTINUE|ITERATE"
    r"|RETURN)\b|(?:\A|[;:/\n])\s*(?:SET|IF|CASE|FOR)\b",
    re.IGNORECASE,
)


def is_script(text: str) -> bool:
    """Whether a text has procedural statements (a plain list of statements has not)."""
    if not _HINT.search(text):  # most texts are not, and need not be cut into tokens to see it
        return False
    first = True
    tokens = tokenize(text)
    for at in range(len(tokens)):
        if first and _is_procedural(tokens, at):
            return True
        first = text_at(tokens, at) == ";"
    return False


def _is_procedural(tokens: list[Tok], at: int) -> bool:
    word, after = word_at(tokens, at), word_at(tokens, at + 1)
    if word == "BEGIN":
        return after != "TRANSACTION" and at + 1 < len(tokens) and text_at(tokens, at + 1) != ";"
    if word == "SET":
        return _is_assignment(tokens, at)
    if word in ("CREATE", "DROP"):
        return _routine(tokens, at) != ""
    if text_at(tokens, at + 1) == ":" and word:
        return True
    return word in _STARTS


def _is_assignment(tokens: list[Tok], at: int) -> bool:
    """SET name = ... or SET (a, b) = ...; not SET sqlml.x = ... nor SET VARIABLE x = ..."""
    if text_at(tokens, at + 1) == "(":
        return True
    return text_at(tokens, at + 2) == "=" and word_at(tokens, at + 1) != "SQLML"


def _routine(tokens: list[Tok], at: int) -> str:
    """'FUNCTION', 'TABLE FUNCTION' or 'PROCEDURE' for CREATE and DROP of one, else ''."""
    i = at + 1
    while word_at(tokens, i) in ("OR", "REPLACE", "TEMP", "TEMPORARY", "AGGREGATE"):
        i += 1
    if word_at(tokens, i) == "TABLE" and word_at(tokens, i + 1) == "FUNCTION":
        return "TABLE FUNCTION"
    return word_at(tokens, i) if word_at(tokens, i) in ("FUNCTION", "PROCEDURE") else ""


def parse(text: str) -> tuple[Node, ...]:
    """The statements of a script. Raises `ParseError`, `NotSupportedError`."""
    parser = _Parser(text, tokenize(text))
    nodes = parser.statements(())
    if parser.at < len(parser.tokens):
        raise parser.unexpected()
    return nodes


class _Parser(Walk):
    """Reads statements from the tokens on."""

    def statements(self, stops: tuple[str, ...]) -> tuple[Node, ...]:
        """Statements up to one of the words `stops` at the start of a statement, or the end."""
        found: list[Node] = []
        while self.at < len(self.tokens):
            if self.take(";"):
                continue
            if self.word() in stops:
                break
            found.append(self.statement())
            if self.at < len(self.tokens) and self.word() not in stops:
                self.need(";")
        return tuple(found)

    def statement(self) -> Node:
        start, label = self.start(), None
        if not _is_procedural(self.tokens, self.at):
            return self.sql()
        if self.symbol(1) == ":":
            label = self.name().casefold()
            self.need(":")
            if self.word() not in ("BEGIN", "LOOP", "WHILE", "REPEAT", "FOR"):
                raise self.unexpected("BEGIN or a loop")
        word = self.word()
        if word in _JUMPS:
            self.at += 1
            ends = self.at >= len(self.tokens) or self.symbol() == ";" or word == "RETURN"
            target = None if ends else self.name().casefold()
            return Jump(_JUMPS[word], target, self.span_from(start))
        if word in ("CREATE", "DROP"):
            return self.routine(start)
        readers: dict[str, Callable[[int], Node]] = {
            "DECLARE": self.declare,
            "SET": self.assign,
            "IF": self.if_,
            "CASE": self.case,
            "RAISE": self.raise_,
            "ASSERT": self.assert_,
            "EXECUTE": self.execute,
            "CALL": self.call,
        }
        if word in readers:
            return readers[word](start)
        return self.labelled(start, label)

    def labelled(self, start: int, label: str | None) -> Node:
        """Blocks and loops, which may have a label."""
        if self.word() == "BEGIN":
            return self.block(start, label)
        if self.take("LOOP"):
            body = self.statements(("END",))
            return Loop(body, None, None, label, self.close(start, label, "LOOP"))
        if self.take("WHILE"):
            condition = self.until("DO")
            self.need("DO")
            body = self.statements(("END",))
            return Loop(body, condition, None, label, self.close(start, label, "WHILE"))
        if self.take("REPEAT"):
            body = self.statements(("UNTIL",))
            self.need("UNTIL")
            until = self.until("END")
            return Loop(body, None, until, label, self.close(start, label, "REPEAT"))
        self.need("FOR")
        name = self.name()
        self.need("IN")
        query = self.until("DO")
        self.need("DO")
        body = self.statements(("END",))
        return ForEach(name, query, body, label, self.close(start, label, "FOR"))

    def close(self, start: int, label: str | None, word: str) -> Span:
        """END <word> [label]"""
        self.need("END", word)
        self.end_label(label)
        return self.span_from(start)

    def end_label(self, label: str | None) -> None:
        if self.at < len(self.tokens) and self.symbol() != ";" and label is not None:
            place = self.tokens[self.at].span
            if self.name().casefold() != label:
                raise ParseError("the label after END must be that of the block.", span=place)

    def sql(self) -> Sql:
        start = self.start()
        while self.at < len(self.tokens) and self.symbol() != ";":
            self.at += 1
        return Sql(self.span_from(start))

    def block(self, start: int, label: str | None) -> Block:
        self.need("BEGIN")
        body = self.statements(("END", "EXCEPTION"))
        handler = None
        if self.take("EXCEPTION"):
            self.need("WHEN", "ERROR", "THEN")
            handler = self.statements(("END",))
        self.need("END")
        self.end_label(label)
        return Block(body, handler, label, self.span_from(start))

    def declare(self, start: int) -> Declare:
        self.need("DECLARE")
        names = self.names()
        kind = None
        if self.word() != "DEFAULT":
            place = self.until("DEFAULT", ";")
            kind = self.text[place.start : place.end]
        default = None
        if self.take("DEFAULT"):
            default = self.until(";")
        if kind is None and default is None:
            raise self.unexpected("a type or DEFAULT")
        return Declare(names, kind, default, self.span_from(start))

    def assign(self, start: int) -> Assign:
        self.need("SET")
        several = self.symbol() == "("
        if several:
            self.need("(")
            names = self.names()
            self.need(")")
        else:
            names = (self.name(),)
        self.need("=")
        if several and self.symbol() == "(" and self.word(1) not in ("SELECT", "WITH") and self._is_list():
            values = self.list_in_brackets()
        else:
            values = (self.until(";"),)
        if len(values) > 1 and len(values) != len(names):
            raise ParseError(f"SET must have {len(names)} values. Got {len(values)}.", span=self.span_from(start))
        return Assign(names, values, self.span_from(start))

    def _is_list(self) -> bool:
        """Whether the bracket that opens here closes at the end of the statement."""
        depth = 0
        for i in range(self.at, len(self.tokens)):
            sign = text_at(self.tokens, i)
            depth += (sign in OPEN) - (sign in CLOSE)
            if depth == 0:
                return i + 1 >= len(self.tokens) or text_at(self.tokens, i + 1) == ";"
        return False

    def if_(self, start: int) -> Branches:
        self.need("IF")
        branches = []
        otherwise: tuple[Node, ...] = ()
        while True:
            condition = self.until("THEN")
            self.need("THEN")
            branches.append((condition, self.statements(("ELSEIF", "ELSE", "END"))))
            if not self.take("ELSEIF"):
                break
        if self.take("ELSE"):
            otherwise = self.statements(("END",))
        self.need("END", "IF")
        return Branches(None, tuple(branches), otherwise, self.span_from(start))

    def case(self, start: int) -> Branches:
        self.need("CASE")
        operand = None if self.word() == "WHEN" else self.until("WHEN")
        branches = []
        otherwise: tuple[Node, ...] = ()
        while self.take("WHEN"):
            condition = self.until("THEN")
            self.need("THEN")
            branches.append((condition, self.statements(("WHEN", "ELSE", "END"))))
        if self.take("ELSE"):
            otherwise = self.statements(("END",))
        self.need("END", "CASE")
        return Branches(operand, tuple(branches), otherwise, self.span_from(start))

    def raise_(self, start: int) -> Raise:
        self.need("RAISE")
        message = None
        if self.take("USING"):
            self.need("MESSAGE", "=")
            message = self.until(";")
        return Raise(message, self.span_from(start))

    def assert_(self, start: int) -> Assert:
        self.need("ASSERT")
        condition = self.until("AS", ";")
        description = self.until(";") if self.take("AS") else None
        return Assert(condition, description, self.span_from(start))

    def execute(self, start: int) -> ExecuteImmediate:
        self.need("EXECUTE", "IMMEDIATE")
        text = self.until("INTO", "USING", ";")
        into = self.names() if self.take("INTO") else ()
        using: list[tuple[Span, str | None]] = []
        if self.take("USING"):
            while True:
                value = self.until(",", "AS", ";")
                using.append((value, self.name() if self.take("AS") else None))
                if not self.take(","):
                    break
        return ExecuteImmediate(text, into, tuple(using), self.span_from(start))

    def call(self, start: int) -> Call:
        self.need("CALL")
        name = self.path()
        return Call(name, self.list_in_brackets(), self.span_from(start))

    # ------------------------------------------------------------ functions and procedures

    def routine(self, start: int) -> Node:
        kind = _routine(self.tokens, self.at)
        if self.take("DROP"):
            self.at += len(kind.split())
            if_exists = self.take("IF", "EXISTS")
            dropped: dict[str, Literal["function", "table function", "procedure"]] = {
                "FUNCTION": "function",
                "TABLE FUNCTION": "table function",
                "PROCEDURE": "procedure",
            }
            return DropRoutine(dropped[kind], self.path(), if_exists, self.span_from(start))
        self.need("CREATE")
        replace = self.take("OR", "REPLACE")
        temporary = self.take("TEMP") or self.take("TEMPORARY")
        if self.take("AGGREGATE"):
            raise NotSupportedError("CREATE AGGREGATE FUNCTION is not available.", span=self.span_from(start))
        self.at += len(kind.split())
        if_not_exists = self.take("IF", "NOT", "EXISTS")
        name = self.path()
        arguments = self.arguments()
        if kind == "PROCEDURE":
            self._options()
            body = self.block(self.start(), None)
            return CreateProcedure(name, arguments, body, replace, if_not_exists, self.span_from(start))
        returns = None
        if self.take("RETURNS"):
            place = self.until("AS", "LANGUAGE", "OPTIONS", ";")
            returns = self.text[place.start : place.end]
        if self.word() in ("LANGUAGE", "REMOTE", "DETERMINISTIC", "NOT"):
            raise NotSupportedError("only functions whose body is SQL are available.", span=self.tokens[self.at].span)
        self._options()
        self.need("AS")
        inside = self._body(table=kind == "TABLE FUNCTION")
        self._options()
        return CreateFunction(
            name, arguments, returns, inside, temporary, kind != "FUNCTION", replace, if_not_exists,
            self.span_from(start),
        )  # fmt: skip

    def _body(self, *, table: bool) -> Span:
        if table and self.symbol() != "(":
            return self.until("OPTIONS", ";")
        if self.symbol() != "(":
            raise self.unexpected("the body in brackets")
        opened = self.at
        self.at += 1
        self.until(")")
        self.need(")")
        return Span(self.tokens[opened].end, self.tokens[self.at - 1].start)

    def _options(self) -> None:
        if self.take("OPTIONS"):
            begin = self.at
            self.list_in_brackets()
            inside = self.tokens[begin : self.at]
            for name, sign in itertools.pairwise(inside):
                if sign.text == "=":
                    notice(f"{name.text.upper()} of a function or procedure has no effect here.")

    def arguments(self) -> tuple[Argument, ...]:
        """(name type, OUT name type, name ANY TYPE, ...)"""
        self.need("(")
        found: list[Argument] = []
        while not self.take(")"):
            mode: Literal["in", "out", "inout"] = "in"
            if self.word() in ("IN", "OUT", "INOUT") and self.symbol(2) not in (",", ")"):
                mode = {"IN": "in", "OUT": "out", "INOUT": "inout"}[self.word()]  # type: ignore[assignment]
                self.at += 1
            name = self.name()
            kind = None
            if self.symbol() not in (",", ")"):
                place = self._type()
                kind = self.text[place.start : place.end]
            found.append(Argument(name, None if kind is None or kind.upper().startswith("ANY") else kind, mode))
            if not self.take(","):
                self.need(")")
                break
        return tuple(found)

    def _type(self) -> Span:
        """A type: up to a comma or bracket outside <...> and (...)."""
        start, depth = self.at, 0
        while self.at < len(self.tokens):
            sign = self.symbol()
            if depth == 0 and sign in (",", ")"):
                break
            depth += sum(sign.count(c) for c in "<(") - sum(sign.count(c) for c in ">)")
            self.at += 1
        return Span(self.tokens[start].start, self.tokens[self.at - 1].end)
