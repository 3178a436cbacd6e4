"""A walk over the tokens of a script: the small steps that its statements are read with."""

from __future__ import annotations

from sqlml.errors import ParseError, Span
from sqlml.grammar.lexer import STRINGS, Tok, split_path

OPEN, CLOSE = ("(", "[", "{"), (")", "]", "}")


def word_at(tokens: list[Tok], at: int) -> str:
    """The upper-case bare word at a place, '' outside."""
    return tokens[at].word() if 0 <= at < len(tokens) else ""


def text_at(tokens: list[Tok], at: int) -> str:
    """The text of a token that is not quoted, '' outside."""
    if not 0 <= at < len(tokens) or tokens[at].type in STRINGS or tokens[at].type.name == "IDENTIFIER":
        return ""
    return tokens[at].text


class Walk:
    """A walk over the tokens; `at` is the next one."""

    def __init__(self, text: str, tokens: list[Tok]):
        self.text = text
        self.tokens = tokens
        self.at = 0

    # ------------------------------------------------------------ small steps

    def word(self, ahead: int = 0) -> str:
        """The bare word that comes next."""
        return word_at(self.tokens, self.at + ahead)

    def symbol(self, ahead: int = 0) -> str:
        """The unquoted text that comes next."""
        return text_at(self.tokens, self.at + ahead)

    def take(self, *words: str) -> bool:
        """Steps over `words` when they come next."""
        if all(self.word(i) == w or (not w.isalpha() and self.symbol(i) == w) for i, w in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def need(self, *words: str) -> None:
        """Steps over `words`, which must come next."""
        if not self.take(*words):
            raise self.unexpected(" ".join(words))

    def unexpected(self, wanted: str | None = None) -> ParseError:
        """The error for what comes next."""
        rule = f"{wanted} must follow here." if wanted else "this must not stand here."
        if self.at < len(self.tokens):
            return ParseError(rule, span=self.tokens[self.at].span)
        end = self.tokens[-1].end if self.tokens else 0
        return ParseError(rule, span=Span(max(end - 1, 0), end))

    def start(self) -> int:
        """Where the next token begins."""
        if self.at >= len(self.tokens):
            raise self.unexpected()
        return self.tokens[self.at].start

    def span_from(self, start: int) -> Span:
        """From `start` to the end of the last token."""
        return Span(start, self.tokens[self.at - 1].end)

    def name(self) -> str:
        """An identifier, in backticks or without."""
        if self.at < len(self.tokens) and (self.word() or self._quoted()):
            self.at += 1
            return self.tokens[self.at - 1].text
        raise self.unexpected("a name")

    def _quoted(self) -> bool:
        token = self.tokens[self.at]
        return self.text[token.start : token.start + 1] == "`"

    def path(self) -> tuple[str, ...]:
        """A dotted name."""
        start = self.start()
        self.name()
        while self.symbol() in (".", "-"):
            self.at += 1
            self.name()
        return split_path(self.text[start : self.tokens[self.at - 1].end])

    def names(self) -> tuple[str, ...]:
        """a, b, c"""
        found = [self.name()]
        while self.take(","):
            found.append(self.name())
        return tuple(found)

    def until(self, *stops: str, empty: bool = False) -> Span:
        """The piece up to one of `stops` (words or signs) outside brackets and CASE ... END."""
        start, depth, cases = self.at, 0, 0
        while self.at < len(self.tokens):
            word, sign = self.word(), self.symbol()
            if depth == 0 and cases == 0 and (word in stops or sign in stops) and (self.at > start or empty):
                break
            depth += (sign in OPEN) - (sign in CLOSE)
            if depth < 0:
                break
            if word == "CASE":
                cases += 1
            elif word == "END" and cases:
                cases -= 1
            self.at += 1
        if self.at == start and not empty:
            raise self.unexpected("an expression")
        if self.at == start:
            return Span(self.start(), self.start())
        return Span(self.tokens[start].start, self.tokens[self.at - 1].end)

    def list_in_brackets(self) -> tuple[Span, ...]:
        """( a, b, ... )"""
        self.need("(")
        found: list[Span] = []
        while not self.take(")"):
            found.append(self.until(","))
            if not self.take(","):
                self.need(")")
                break
        return tuple(found)
