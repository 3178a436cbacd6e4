"""The lark tree -> nodes, and the two entry points `parse` and `parse_one`."""

from __future__ import annotations

import functools
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from lark.exceptions import VisitError
from sqlglot.tokens import TokenType

from sqlml.errors import ParseError, Span
from sqlml.grammar.calls import Folder
from sqlml.grammar.lexer import CLOSING, OPENING, Lexer, Tok, split_statements, tokenize
from sqlml.grammar.messages import unexpected
from sqlml.grammar.nodes import (
    AlterModel,
    Argument,
    Array,
    Bare,
    Call,
    CreateModel,
    DropModel,
    Explain,
    ExportModel,
    Fragment,
    Literal,
    Mode,
    ModelArgument,
    Name,
    NamedArgument,
    Option,
    Parameter,
    Query,
    QueryArgument,
    SetSetting,
    ShowModels,
    SqlStatement,
    Statement,
    Struct,
    TableArgument,
    Value,
    ValueArgument,
)
from sqlml.grammar.tables import parser
from sqlml.grammar.values import number, typed


@functools.cache
def _lark() -> Lark:
    return parser()


def parse(text: str) -> list[Statement]:
    """The statements of a script, in order. Raises `ParseError`."""
    builder = _Parser(text)
    return [builder.statement(tokens) for tokens in split_statements(tokenize(text))]


def parse_one(text: str) -> Statement:
    """The only statement of `text`. Raises `ParseError` when there is none or more than one."""
    found = parse(text)
    if len(found) != 1:
        span = found[1].span if found else Span(0, 0)
        raise ParseError(f"exactly one statement must be given. Got {len(found)}.", span=span)
    return found[0]


def parse_fields(fragment: Fragment) -> tuple[tuple[str, str], ...]:
    """`name type, name type` (INPUT, OUTPUT, STRUCT<...>) -> ((name, type text), ...)."""
    found: list[tuple[str, str]] = []
    tokens = tokenize(fragment.text)
    begin, depth = 0, 0
    for i, t in enumerate([*tokens, None]):
        if t is None or (t.type is TokenType.COMMA and depth == 0):
            if i > begin + 1:
                start = tokens[begin + 1].start
                found.append((tokens[begin].text, fragment.text[start : tokens[i - 1].end]))
            elif i > begin:
                span = Span(fragment.span.start + tokens[begin].start, fragment.span.start + tokens[begin].end)
                raise ParseError("a field must be written as: name type.", span=span)
            begin = i + 1
        else:
            depth += sum(t.text.count(c) for c in "<(") - sum(t.text.count(c) for c in ">)")
    return tuple(found)


class _Parser:
    """One script: its text and the numbering of its placeholders."""

    def __init__(self, text: str):
        self.text = text
        self.folder = Folder(text, self._arguments)

    def statement(self, tokens: list[Tok]) -> Statement:
        words = [t.word() for t in tokens[:5]] + [""] * 5
        if words[0] == "EXPLAIN":
            if len(tokens) == 1:
                raise ParseError("EXPLAIN must be followed by a statement.", span=tokens[0].span)
            inner = self.statement(tokens[1:])
            return Explain(inner, Span(tokens[0].start, inner.span.end))
        start = self._start(words, tokens)
        if start is None:
            return SqlStatement(self.folder.query(tokens, 0, len(tokens)))
        node = self._run(start, tokens, 0, len(tokens), create=start == "create_model")
        assert not isinstance(node, tuple)
        return node

    def _start(self, words: list[str], tokens: list[Tok]) -> str | None:
        if words[0] == "CREATE" and (words[1] == "MODEL" or words[1:4] == ["OR", "REPLACE", "MODEL"]):
            return "create_model"
        if words[0] in ("ALTER", "DROP", "EXPORT") and words[1] == "MODEL":
            return f"{words[0].lower()}_model"
        if words[:2] == ["SHOW", "MODELS"]:
            return "show_models"
        if words[0] == "SET" and words[1] == "SQLML" and len(tokens) > 2 and tokens[2].type is TokenType.DOT:
            return "set_setting"
        return None

    def _arguments(self, tokens: list[Tok], begin: int, end: int) -> tuple[Argument, ...]:
        found = self._run("arguments", tokens, begin, end)
        assert isinstance(found, tuple)
        return found

    def _run(self, start: str, tokens: list[Tok], begin: int, end: int, create: bool = False) -> Any:
        lexer = Lexer(self.text, tokens, self.folder.query)
        stream = lexer.terminals(begin, end, create=create, call=start == "arguments")
        try:
            tree = _lark().parse(stream, start=start)
        except UnexpectedToken as error:
            last = tokens[end - 1].span
            raise unexpected(error.token, error.accepts or error.expected, self.text, last) from None
        whole = Span(tokens[begin].start, tokens[end - 1].end)
        try:
            return _Build(whole, tokens[begin:end]).transform(tree)
        except VisitError as error:  # lark's wrapping of what a rule raises
            raise error.orig_exc from None


def _brackets(tokens: list[Tok]) -> list[Span]:
    """The pairs of brackets, as spans."""
    found, opened = [], []
    for t in tokens:
        if t.type in OPENING:
            opened.append(t)
        elif t.type in CLOSING and opened:
            found.append(Span(opened.pop().start, t.end))
    return found


def _span(items: list[Any], default: Span) -> Span:
    """The span over tokens and nodes; a node that has no token of its own (an empty array) lies at `default`."""
    spans = [s for s in (_place(i) for i in items) if s is not None and s is not default]
    return Span(min(s.start for s in spans), max(s.end for s in spans)) if spans else default


def _place(item: Any) -> Span | None:
    if isinstance(item, Token):
        return Span(item.start_pos or 0, item.end_pos or 0)
    return getattr(item, "span", None)


@v_args(meta=False)
class _Build(Transformer):  # type: ignore[type-arg]
    """One method per rule of sqlml.lark."""

    def __init__(self, whole: Span, tokens: list[Tok]):
        super().__init__(visit_tokens=False)
        self.whole = whole
        self.brackets = _brackets(tokens)

    def _called(self, head: Token) -> Span:
        """The span over a name and the arguments behind it."""
        span = _span([head], self.whole)
        behind = min((b for b in self.brackets if b.start >= span.end), key=lambda b: b.start, default=span)
        return Span(span.start, behind.end)

    # ------------------------------------------------------------ statements

    def create_model(self, items: list[Any]) -> CreateModel:
        pieces: dict[str, Any] = {}
        for item in items:
            kind, value = self._piece(item)
            if kind in pieces and kind not in ("word",):
                span = _place(item) or getattr(value, "span", None) or self.whole
                raise ParseError(f"{kind} must be given once.", span=span)
            pieces[kind] = value
        query, queries = pieces.get("AS", (None, ()))
        return CreateModel(
            name=pieces["name"],
            mode=pieces.get("mode", Mode.CREATE),
            options=pieces.get("OPTIONS", ((), None))[0],
            query=query,
            queries=queries,
            transform=pieces.get("TRANSFORM"),
            inputs=pieces.get("INPUT"),
            outputs=pieces.get("OUTPUT"),
            connection=pieces.get("REMOTE", (None,))[0],
            remote="REMOTE" in pieces,
            span=self.whole,
        )

    def _piece(self, item: Any) -> tuple[str, Any]:
        if isinstance(item, Token):
            if item.type == "PATH":
                return "name", item.value
            if item.type.endswith("_BODY"):
                return item.type.removesuffix("_BODY"), item.value
            return "word", item
        kind, value = item
        if kind == "mode_exists":
            return "mode", value
        return kind, value

    def or_replace(self, items: list[Any]) -> tuple[str, Mode]:
        return "mode", Mode.REPLACE

    def if_not_exists(self, items: list[Any]) -> tuple[str, Mode]:
        return "mode", Mode.IF_NOT_EXISTS

    def if_exists(self, items: list[Any]) -> str:
        return "if_exists"

    def remote(self, items: list[Any]) -> tuple[str, tuple[Name | None]]:
        name = next((t.value for t in items if t.type == "PATH"), None)
        return "REMOTE", (name,)

    def options(self, items: list[Any]) -> tuple[str, tuple[tuple[Option, ...], Span]]:
        return "OPTIONS", (tuple(i for i in items if isinstance(i, Option)), _span(items, self.whole))

    def option(self, items: list[Any]) -> Option:
        word, value = items[0], items[-1]
        return Option(str(word.value), value, Span(word.start_pos, word.end_pos))

    def training_query(self, items: list[Any]) -> tuple[str, Any]:
        return "AS", (items[-1].value, ())

    def named_queries(self, items: list[Any]) -> tuple[str, Any]:
        return "AS", (None, tuple(i for i in items if isinstance(i, tuple)))

    def named_query(self, items: list[Any]) -> tuple[str, Query]:
        return str(items[0].value).lower(), items[-1].value

    def alter_model(self, items: list[Any]) -> AlterModel:
        return AlterModel(self._name(items), "if_exists" in items, self._options(items), self.whole)

    def drop_model(self, items: list[Any]) -> DropModel:
        return DropModel(self._name(items), "if_exists" in items, self.whole)

    def export_model(self, items: list[Any]) -> ExportModel:
        return ExportModel(self._name(items), self._options(items), self.whole)

    def show_models(self, items: list[Any]) -> ShowModels:
        found: dict[str, Any] = dict(i for i in items if isinstance(i, tuple))
        return ShowModels(found.get("in"), found.get("like"), self.whole)

    def in_dataset(self, items: list[Any]) -> tuple[str, Name]:
        return "in", items[-1].value

    def like(self, items: list[Any]) -> tuple[str, str]:
        return "like", items[-1].value

    def set_setting(self, items: list[Any]) -> SetSetting:
        name: Name = items[1].value
        if len(name.parts) != 2:
            raise ParseError("a setting must be written as sqlml.name.", span=name.span)
        value = items[-1]
        if isinstance(value, Bare) and value.text.upper() in ("ON", "OFF"):
            value = Literal(value.text.upper() == "ON", value.span)
        return SetSetting(name.parts[1].lower(), value, self.whole)

    def _name(self, items: list[Any]) -> Name:
        return next(i.value for i in items if isinstance(i, Token) and i.type == "PATH")

    def _options(self, items: list[Any]) -> tuple[Option, ...]:
        found: tuple[tuple[Option, ...], Span] | None
        found = next((i[1] for i in items if isinstance(i, tuple) and i[0] == "OPTIONS"), None)
        return found[0] if found else ()

    # ------------------------------------------------------------ arguments of a table function

    def arguments(self, items: list[Any]) -> tuple[Argument, ...]:
        return tuple(i for i in items if not isinstance(i, Token))

    def model_argument(self, items: list[Any]) -> ModelArgument:
        return ModelArgument(items[-1].value)

    def table_argument(self, items: list[Any]) -> TableArgument:
        return TableArgument(items[-1].value)

    def query_argument(self, items: list[Any]) -> QueryArgument:
        return QueryArgument(items[0].value)

    def value_argument(self, items: list[Any]) -> ValueArgument:
        return ValueArgument(items[0])

    def named_argument(self, items: list[Any]) -> NamedArgument:
        word = items[0]
        return NamedArgument(str(word.value).lower(), items[-1], Span(word.start_pos, word.end_pos))

    # ------------------------------------------------------------ values

    def string(self, items: list[Any]) -> Literal:
        return Literal(items[0].value, _span(items, self.whole))

    def number(self, items: list[Any]) -> Literal:
        span = _span(items, self.whole)
        return Literal(number(str(items[-1].value), span), span)

    def negative(self, items: list[Any]) -> Literal:
        span = _span(items, self.whole)
        return Literal(-number(str(items[-1].value), span), span)

    def true(self, items: list[Any]) -> Literal:
        return Literal(True, _span(items, self.whole))

    def false(self, items: list[Any]) -> Literal:
        return Literal(False, _span(items, self.whole))

    def null(self, items: list[Any]) -> Literal:
        return Literal(None, _span(items, self.whole))

    def typed(self, items: list[Any]) -> Literal:
        span = _span(items, self.whole)
        return Literal(typed(items[0].value, items[1].value, span), span)

    def parameter(self, items: list[Any]) -> Parameter:
        return Parameter(items[0].value, _span(items, self.whole))

    def bare(self, items: list[Any]) -> Bare:
        return Bare(str(items[0].value), _span(items, self.whole))

    def group(self, items: list[Any]) -> Value:
        return next(i for i in items if not isinstance(i, Token))

    def array(self, items: list[Any]) -> Array:
        return Array(tuple(i for i in items if not isinstance(i, Token)), _span(items, self.whole))

    def pair(self, items: list[Any]) -> Struct:
        fields = tuple((None, i, i.span) for i in items if not isinstance(i, Token))
        return Struct(fields, _span(items, self.whole))

    def call(self, items: list[Any]) -> Call:
        args = tuple(i for i in items[1:] if not isinstance(i, Token))
        return Call(str(items[0].value), args, self._called(items[0]))

    def field(self, items: list[Any]) -> tuple[str | None, Value, Span]:
        value = items[0]
        if len(items) == 1:
            return None, value, value.span
        word = items[-1]
        return str(word.value).lower(), value, Span(word.start_pos, word.end_pos)

    def struct(self, items: list[Any]) -> Struct:
        head = items[0]
        fields = tuple(i for i in items if isinstance(i, tuple))
        if isinstance(head.value, Fragment):
            typed_names = [name.lower() for name, _ in parse_fields(head.value)]
            if len(typed_names) != len(fields):
                raise ParseError(
                    f"STRUCT must have {len(typed_names)} values, as its type says. Got {len(fields)}.",
                    span=_span([head], self.whole),
                )
            fields = tuple((n, v, s) for n, (_, v, s) in zip(typed_names, fields, strict=True))
        return Struct(fields, self._called(head))
