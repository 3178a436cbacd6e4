"""Queries: every ML call becomes a subquery or a small registered table, then DuckDB gets one statement."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlml.errors import Error, NameError, NotSupportedError, ProgrammingError, did_you_mean
from sqlml.functions import FUNCTIONS
from sqlml.functions.base import Ahead, Computed, Inline, Source
from sqlml.grammar import Query, TableCall, Value, constant
from sqlml.grammar import parse_one as parse_statement
from sqlml.grammar.nodes import SqlStatement
from sqlml.plan.arguments import bind_call
from sqlml.plan.information_schema import information_schema
from sqlml.plan.locate import locate
from sqlml.plan.mounts import mounted, of_caller, wildcard
from sqlml.plan.session import Session
from sqlml.schema import Column, quote_literal, quote_name, same_name
from sqlml.transform import PREPROCESS, with_values
from sqlml.transform import rewrite as rewrite_preprocessing
from sqlml.translate import PROJECT, TARGET, After, span_of, translate
from sqlml.translate.scopes import hide_from_stars, table_node, visible_ctes

_PLACEHOLDER = re.compile(r'"?\b(__[mv]\d+)\b"?')


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """One DuckDB statement, and the tables that must be computed and registered before it runs.

    `ahead` are parts of the statement that may be computed in large blocks while it runs.
    """

    sql: str
    computed: Mapping[str, Computed]
    parameters: Mapping[str, object]
    after: After = field(default_factory=After)
    ahead: tuple[Ahead, ...] = ()


class Planner:
    """Plans the queries of one statement; `text` is the whole script, for errors."""

    def __init__(self, session: Session, text: str, parameters: Any = None):
        self.session = session
        self.text = text
        self.given = parameters
        self.computed: dict[str, Computed] = {}
        self.ahead: list[Ahead] = []
        self._shapes: dict[str, str] = {}
        self._views = 0
        self._seen: set[str] = set()
        self._open_views: list[str] = []
        self.after = After()
        #: Whether the plan depends on the values of parameters.
        self.settles = False
        self.places = _places(text) if isinstance(parameters, Sequence) and not isinstance(parameters, str) else {}

    # ------------------------------------------------------------ parameters

    def parameters(self) -> dict[str, object]:
        """Parameters by DuckDB's names: `1`, `2` for `?`, lower-case names for `@name`."""
        return named(self.given)

    def _number(self, count: int, place: int) -> int:
        return self.places.get(place, count - 1) + 1

    def constant(self, value: Value) -> Any:
        """The Python value of a constant: a literal, a parameter, a script variable."""
        return constant(value, self.given, self.places, self._variable)

    def _variable(self, name: str) -> tuple[bool, object]:
        """(True, value) of a script variable that the running statement means."""
        literal = self.session.variables.get(name.casefold())
        return (False, None) if literal is None else (True, self.session.database.execute(f"SELECT {literal}")[0][0])

    def _settled(self, node: Any) -> Any:
        """A preprocessing call whose constant arguments hold the values of parameters."""
        values = {k.casefold(): v for k, v in self.parameters().items()}
        self.settles = self.settles or bool(values)
        return with_values(node, {k: quote_literal(v) for k, v in values.items()}) if values else node

    # ------------------------------------------------------------ queries

    def sql(self, query: Query, scope: Sequence[str] = (), dialect: Literal["bigquery", "duckdb"] | None = None) -> str:
        """DuckDB SQL of a query, everything inlined."""
        found: dict[str, str] = {}
        text = translate(
            query.text,
            dialect=dialect or self.session.dialect,
            table=lambda node: self._table(node, found, query.span.start),
            scalar=lambda node: rewrite_preprocessing(self._settled(node), query.span.start),
            offset=query.span.start,
            names=tuple(PREPROCESS),
            parameter=self._number,
            variables=self.session.variables,
            values={k.lower(): v for k, v in self.parameters().items()},
            after=self.after,
            sums=self.session.sums,
        )
        if not query.calls and not found:
            return text
        for call in query.calls:
            if call.placeholder not in self._seen:
                hint = f"write SELECT ... FROM {call.name}(...)."
                raise ProgrammingError(f"{call.name} must stand in FROM.", span=call.name_span, hint=hint)
        ctes = visible_ctes(text, [c.placeholder for c in query.calls]) if "WITH" in text.upper() else {}
        for call in query.calls:
            seen = [*scope, *(_replace(c, found) for c in ctes.get(call.placeholder, ()))]
            found[call.placeholder] = self._call(call, seen)
        return _replace(text, found)

    def columns(self, sql: str, scope: Sequence[str] = (), span: Any = None) -> tuple[Column, ...]:
        """Names and types of the rows of a query."""
        try:
            return self.session.database.describe(self._shaped(_with(scope, sql)), self.parameters())
        except Error as error:
            raise locate(error, self.text, span, self.session) if span else error from None

    def _shaped(self, sql: str) -> str:
        """SQL in which tables that are computed later are empty ones of the same columns."""
        for name, shape in self._shapes.items():
            sql = sql.replace(name, shape)
        return sql

    def source(self, query: Query, scope: Sequence[str]) -> Source:
        """A query argument."""
        sql = f"({self.sql(query, scope)})"
        prefix = f"WITH {', '.join(scope)}" if scope else ""
        return Source(sql, prefix, self.columns(f"SELECT * FROM {sql}", scope, query.span), query.span)

    def _call(self, call: TableCall, scope: Sequence[str]) -> str:
        function = FUNCTIONS.get(call.name)
        if function is None:
            from sqlml.grammar.calls import TABLE_FUNCTIONS

            if call.name in TABLE_FUNCTIONS:
                text = f"{call.name} is not available here: it asks a hosted model."
                raise NotSupportedError(text, span=call.name_span)
            hint = did_you_mean(call.name, FUNCTIONS)
            raise NameError(f"{call.name} is not a function.", span=call.name_span, hint=hint)
        try:
            bound = bind_call(self, function, call, scope)
            relation = function.form(bound.kind if bound.trained else None).run(bound)
        except Error as error:
            error.span = error.span or call.span
            raise
        if isinstance(relation, Inline):
            for name, table in relation.tables.items():
                self.session.database.keep(name, table)
            if relation.ahead is not None:
                self.ahead.append(relation.ahead)
            return relation.sql
        return self.computed_table(relation)

    def computed_table(self, relation: Computed) -> str:
        """SQL that reads a table which is computed when the statement runs."""
        name = self.session.database.fresh_name("call") + "__"
        self.computed[name] = relation
        nulls = ", ".join(f"NULL::{c.sql_type} AS {quote_name(c.name)}" for c in relation.columns)
        self._shapes[name] = f"(SELECT {nulls} WHERE FALSE)"
        return f"(SELECT * FROM {name})"

    # ------------------------------------------------------------ tables

    def _table(self, node: Any, found: dict[str, str], offset: int) -> Any:
        parts = [p.name for p in node.parts]
        if _PLACEHOLDER.fullmatch(parts[-1]) and len(parts) == 1:
            self._seen.add(parts[-1])
            return None
        upper = [p.upper() for p in parts]
        if len(parts) >= 2 and upper[-2] == "INFORMATION_SCHEMA":
            view = information_schema(self.session, upper[-1], [*filter(None, [node.meta.get(PROJECT)]), *parts[:-2]])
            return None if view is None else self._placeholder(view, found)
        if not node.meta.get(TARGET) and (mount := self._mount(node, parts, offset)) is not None:
            return self._placeholder(mount, found)
        if (view := self._view(parts)) is not None:
            return self._placeholder(view, found)
        if len(parts) == 3 and not any(same_name(a, parts[0]) for a in self.session.attached()):
            node.set("catalog", None)
            return node
        return None

    def _mount(self, node: Any, parts: list[str], offset: int) -> str | None:
        """SQL of a table that lies elsewhere, or None."""
        if parts[-1].endswith("*"):
            hide_from_stars(node, "_TABLE_SUFFIX")
            return wildcard(self.session, parts, span_of(node, offset))
        found = mounted(self.session, parts)
        return of_caller(self.session, parts[0]) if found is None and len(parts) == 1 else found

    def _placeholder(self, sql: str, found: dict[str, str]) -> Any:
        name = f"__v{self._views}"
        self._views += 1
        found[name] = sql
        return table_node(name)

    def _view(self, parts: list[str]) -> str | None:
        here, schema = self.session.current()
        catalog = self.session.catalog(here)
        dataset = parts[-2] if len(parts) > 1 else schema
        text = catalog.view(dataset, parts[-1])
        if text is None:
            return None
        key = f"{dataset}.{parts[-1]}".casefold()
        if key in self._open_views:
            raise ProgrammingError(f"the view {key} must not use itself.")
        statement = parse_statement(text)
        assert isinstance(statement, SqlStatement)
        planner = Planner(self.session, text)
        planner._open_views = [*self._open_views, key]
        try:
            sql = planner.sql(statement.query)
        except Error as error:
            found = ProgrammingError(f"the view {key} cannot be read: {error.message}")
            found.said = error.said or error.message
            raise found from None
        self.computed |= planner.computed
        self.ahead += planner.ahead
        self._shapes |= planner._shapes
        return f"({sql})"


def named(parameters: Any) -> dict[str, object]:
    """Parameters by DuckDB's names."""
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return {str(k): v for k, v in parameters.items()}
    return {str(i + 1): v for i, v in enumerate(parameters)}


def plan_query(session: Session, query: Query, text: str, parameters: Any = None) -> QueryPlan:
    """The plan of any statement that is not about models."""
    planner = Planner(session, text, parameters)
    sql = planner.sql(query)
    return QueryPlan(sql, planner.computed, planner.parameters(), planner.after, tuple(planner.ahead))


def _with(scope: Sequence[str], sql: str) -> str:
    return f"WITH {', '.join(scope)} {sql}" if scope else sql


def _replace(text: str, found: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda m: found.get(m[1], m[0]), text) if found else text


def _places(text: str) -> dict[int, int]:
    """Start of each `?` in the script -> its number from 0."""
    from sqlml.grammar.lexer import tokenize

    return {t.start: i for i, t in enumerate(t for t in tokenize(text) if t.text == "?")}
