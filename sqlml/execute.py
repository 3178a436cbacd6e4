"""Plans and small statements, run: queries, SHOW, ALTER, DROP, SET, EXPLAIN, views, transactions."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from sqlml.database import Stream
from sqlml.errors import (
    Error,
    NameError,
    NotSupportedError,
    OptionError,
    ProgrammingError,
    Span,
    did_you_mean,
    notice,
    notices,
)
from sqlml.functions.base import Computed
from sqlml.grammar import (
    AlterModel,
    CreateModel,
    DropModel,
    Explain,
    ExportModel,
    Name,
    SetSetting,
    ShowModels,
    SqlStatement,
    Statement,
    constant,
)
from sqlml.grammar.lexer import Tok, tokenize
from sqlml.grammar.nodes import Literal, Query
from sqlml.plan import Planner, QueryPlan, Session, locate, plan_create
from sqlml.plan.ahead import scored_ahead
from sqlml.plan.query import named
from sqlml.progress import Listener
from sqlml.train import create_model, reading
from sqlml.translate import Sums
from sqlml.translate.sums import failed

#: First words of statements that are DuckDB's own and are not translated.
DUCKDB_ONLY = frozenset(
    "SHOW PRAGMA ATTACH DETACH COPY SET RESET INSTALL LOAD CHECKPOINT FORCE VACUUM ANALYZE DESCRIBE DESC SUMMARIZE"
    " USE IMPORT EXPORT COMMENT".split()
)

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Result:
    """The rows of a statement: a stream, a table, or nothing; `changed` counts the rows that it changed."""

    stream: Stream | None = None
    table: pa.Table | None = None
    changed: int | None = None


@dataclass(slots=True)
class Executor:
    """Runs the statements of one script."""

    session: Session
    text: str
    parameters: Any = None
    listeners: Sequence[Listener] = ()
    registered: list[str] = field(default_factory=list)

    def run(self, statement: Statement) -> Result:
        """Run one statement. Errors carry the place in the text."""
        handlers: dict[type, Callable[[Any], Result]] = {
            SqlStatement: self._sql,
            CreateModel: self._create,
            AlterModel: self._alter,
            DropModel: self._drop,
            ExportModel: self._export,
            ShowModels: self._show,
            SetSetting: self._set,
            Explain: self._explain,
        }
        try:
            return self.tried(lambda: handlers[type(statement)](statement))
        except Error as error:
            raise locate(error, self.text, statement.span, self.session) from None

    def tried(self, run: Callable[[], Answer]) -> Answer:
        """Run a statement, again where DuckDB could not add an INT64 to a DATE: nothing has happened by then."""
        session, told = self.session, notices.get()
        told = [] if told is None else told
        count = len(told)
        try:
            return run()
        except Error as error:
            # A transaction of the user's is over after an error.
            if session.sums is not None or session.database.inside or not failed(error.said or error.message):
                raise
        session.sums = sums = Sums()
        try:
            while True:
                del told[count:]
                try:
                    return run()
                except Error as error:
                    if not sums.settle(error.said or error.message):
                        raise
        finally:
            session.sums = None

    # ------------------------------------------------------------ SQL

    def _sql(self, statement: SqlStatement) -> Result:
        tokens = tokenize(self._source(statement.span))[:6]
        words = " ".join(t.word() for t in tokens).split() + [""] * 6  # BEGIN TRANSACTION is one token
        if (done := self._transaction(words)) is not None:
            return done
        if words[0] == "CREATE" and "VIEW" in words[1:4] and statement.query.calls:
            return self._create_view(statement)
        if words[:2] == ["DROP", "VIEW"] and self._drop_view(statement):
            return Result()
        return self._start(self.plan(statement.query))

    def plan(self, query: Query) -> QueryPlan:
        """The plan of a query."""
        planner = Planner(self.session, self.text, self.parameters)
        words = [*query.text.upper().split(None, 2)[:2], "", ""]
        plain = words[0] in DUCKDB_ONLY and words[:2] != ["EXPORT", "DATA"]
        sql = planner.sql(query, dialect="duckdb" if plain else None)
        return QueryPlan(sql, planner.computed, planner.parameters(), planner.after, tuple(planner.ahead))

    def many(self, query: Query, rows: Sequence[Any]) -> int | None:
        """Change rows once for each set of parameters, planned once, all or nothing; how many rows, -1 if not known.

        None, and nothing has happened, for a statement whose plan depends on the values.
        """
        words = self._source(query.span).split(None, 1)
        if not words or words[0].upper() not in ("INSERT", "UPDATE", "DELETE", "MERGE") or query.calls:
            return None
        database = self.session.database

        def planned() -> QueryPlan | None:
            planner = Planner(self.session, self.text, self.parameters)
            sql = planner.sql(query)
            if planner.settles or planner.computed:
                return None
            database.execute(f"EXPLAIN {sql}", planner.parameters())
            return QueryPlan(sql, {}, planner.parameters())

        try:
            plan = self.tried(planned)
            if plan is None:
                return None
            return self._all_or_nothing(plan.sql, [named(r) for r in rows])
        except Error as error:
            found = locate(error, self.text, query.span, self.session)
            if error.rows is not None:
                first, last = error.rows[0] + 1, error.rows[1]
                found.message = f"row {first if first == last else f'{first} to {last}'}: {found.message}"
            raise found from None

    def _all_or_nothing(self, sql: str, rows: Sequence[Mapping[str, object]]) -> int:
        database = self.session.database
        own = not database.inside
        try:
            with database.transaction():
                return database.many(sql, rows)
        except Error as error:
            if error.rows is None or error.rows[1] - error.rows[0] == 1 or not own:
                raise
            alone = error.rows[0]
        with database.transaction():  # once more, to find the row
            return database.many(sql, rows, alone)

    def _start(self, plan: QueryPlan) -> Result:
        after, database = plan.after, self.session.database
        if not after.comments and after.probe is None:
            return self._run_plan(plan)
        there = after.probe is not None and bool(database.execute(after.probe))
        if after.probe is not None and not after.creates and not there:  # IF EXISTS
            return Result()
        with database.transaction():
            result = self._run_plan(plan)
            if result.stream is not None:
                result.stream.settle()
            if not (after.creates and there):
                for comment in after.comments:
                    database.execute(comment)
        return result

    def _run_plan(self, plan: QueryPlan) -> Result:
        self.compute(plan.computed)
        database = self.session.database
        sql = self._ahead(plan)
        stream = database.stream(sql, plan.parameters)
        if stream is None or stream.schema.names not in (["Count"], ["Success"]) or database.is_query(sql):
            return Result(stream=stream)
        # DuckDB answers INSERT, CREATE TABLE AS, DROP ... with a table that holds a count, or nothing.
        counts = []
        while (batch := stream.next()) is not None:
            counts += [int(n) for n in batch.column(0).to_pylist()]
        return Result(changed=sum(counts) if counts else None)

    def _ahead(self, plan: QueryPlan) -> str:
        """The statement, which reads rows of a whole table with their scores where that is possible."""
        if not plan.ahead:
            return plan.sql
        sql, readers = scored_ahead(self.session.database, plan.sql, plan.parameters, plan.ahead)
        for name, reader in readers.items():
            self.session.database.register(name, reader)
            self.registered.append(name)
        return sql

    def compute(self, computed: Mapping[str, Computed]) -> None:
        """Make and register the tables of a plan."""
        for name, relation in computed.items():
            self.session.database.register(name, relation.compute())
            self.registered.append(name)

    def _source(self, span: Span) -> str:
        return self.text[span.start : span.end]

    def _transaction(self, words: list[str]) -> Result | None:
        database = self.session.database
        opens = words[0] == "BEGIN" and words[1] in ("", "TRANSACTION", "DEFERRED")
        if opens or (words[0] == "START" and words[1] == "TRANSACTION"):
            database.begin()
        elif words[0] in ("COMMIT", "END") and words[1] in ("", "TRANSACTION", "WORK"):
            database.commit()
        elif words[0] in ("ROLLBACK", "ABORT") and words[1] in ("", "TRANSACTION", "WORK"):
            database.rollback()
        else:
            return None
        return Result()

    # ------------------------------------------------------------ views over ML functions

    def _create_view(self, statement: SqlStatement) -> Result:
        """A view that predicts is kept as the user wrote it and planned anew at each use."""
        tokens = tokenize(self._source(statement.span))
        at = next(i for i, t in enumerate(tokens) if t.word() == "VIEW") + 1
        words = [t.word() for t in tokens]
        optional = words[at : at + 3] == ["IF", "NOT", "EXISTS"]
        at += 3 if optional else 0
        name, end = _dotted(tokens, at, statement.span.start)
        after = next((i for i in range(end, len(tokens)) if words[i] == "AS"), None)
        if after is None or after + 1 >= len(tokens):
            raise ProgrammingError("CREATE VIEW must have AS and a query.", span=statement.span)
        if tokens[end].text == "(":
            hint = "give the columns their names in the query, with AS."
            span = Span(statement.span.start + tokens[end].start, statement.span.start + tokens[end].end)
            raise NotSupportedError("a view over ML functions must not have a list of columns.", span=span, hint=hint)
        if "OPTIONS" in words[end:after]:
            notice("OPTIONS of CREATE VIEW has no effect here: views over ML functions keep none.")
        begin = statement.span.start + tokens[after + 1].start
        catalog, dataset, view = self.session.model(name, must_exist=True)
        exists = catalog.view(dataset, view) is not None
        if exists and optional:
            return Result()
        if (exists or self.session.database.exists(dataset, view)) and "REPLACE" not in words[:3]:
            raise ProgrammingError(f"{dataset}.{view} already exists.", span=name.span, hint="CREATE OR REPLACE VIEW")
        text = self.text[begin : statement.span.end]
        planner = Planner(self.session, self.text, self.parameters)
        planner.sql(statement.query.part(begin))
        if planner.parameters():
            raise ProgrammingError("a view must not have parameters.", span=statement.span)
        catalog.save_view(dataset, view, text)
        return Result()

    def _drop_view(self, statement: SqlStatement) -> bool:
        tokens = tokenize(self._source(statement.span))
        at = 4 if [t.word() for t in tokens[2:4]] == ["IF", "EXISTS"] else 2
        if at >= len(tokens):
            return False
        name, _ = _dotted(tokens, at, statement.span.start)
        catalog, dataset, view = self.session.model(name)
        if catalog.view(dataset, view) is None:
            return False
        catalog.drop_view(dataset, view)
        return True

    # ------------------------------------------------------------ models

    def _create(self, statement: CreateModel) -> Result:
        plan = plan_create(self.session, statement, self.text, self.parameters)
        create_model(self.session, plan, self.listeners)
        return Result()

    def _alter(self, statement: AlterModel) -> Result:
        catalog, dataset, name = self.session.model(statement.name)
        if catalog.find(dataset, name) is None:
            if statement.if_exists:
                return Result()
            catalog.load(dataset, name, statement.name.span)
        entry = next(e for e in catalog.entries(dataset) if e.name.casefold() == name.casefold())
        settings = dict(entry.settings)
        for option in statement.options:
            key = option.name.lower()
            value = constant(option.value, self.parameters)
            settings[key] = _model_setting(key, value, option.span, option.value.span)
        catalog.alter(dataset, name, {k: v for k, v in settings.items() if v is not None})
        return Result()

    def _drop(self, statement: DropModel) -> Result:
        catalog, dataset, name = self.session.model(statement.name)
        if catalog.find(dataset, name) is None:
            if statement.if_exists:
                return Result()
            known = [f"{e.dataset}.{e.name}" for e in catalog.entries()]
            text = f"the model {dataset}.{name} does not exist."
            raise NameError(text, span=statement.name.span, hint=did_you_mean(f"{dataset}.{name}", known))
        catalog.drop(dataset, name)
        return Result()

    def _export(self, statement: ExportModel) -> Result:
        catalog, dataset, name = self.session.model(statement.name)
        catalog.load(dataset, name, statement.name.span)
        raise NotSupportedError("EXPORT MODEL is not available yet.", span=statement.span)

    def _show(self, statement: ShowModels) -> Result:
        dataset = statement.dataset.parts[-1] if statement.dataset else None
        catalog = self.session.catalog(self.session.current()[0])
        if dataset is not None:
            self.session.require_dataset(
                catalog.catalog, dataset, statement.dataset.span if statement.dataset else None
            )
        entries = catalog.entries(dataset)
        if statement.like is not None:
            pattern = statement.like.replace("%", "*").replace("_", "?").lower()
            entries = [e for e in entries if fnmatch.fnmatchcase(e.name.lower(), pattern)]
        kind = pa.timestamp("us", tz="UTC")
        columns = {
            "dataset": pa.array([e.dataset for e in entries], pa.string()),
            "name": pa.array([e.name for e in entries], pa.string()),
            "model_type": pa.array([e.model_type for e in entries], pa.string()),
            "created": pa.array([e.created for e in entries], kind),
            "modified": pa.array([e.modified for e in entries], kind),
            "description": pa.array([e.settings.get("description") for e in entries], pa.string()),
        }
        return Result(table=pa.table(columns))

    def _set(self, statement: SetSetting) -> Result:
        value = constant(statement.value, self.parameters) if statement.value is not None else None
        place = statement.value.span if isinstance(statement.value, Literal) else None
        self.session.set(statement.name, value, statement.span, place=place)
        return Result()

    # ------------------------------------------------------------ EXPLAIN

    def _explain(self, statement: Explain) -> Result:
        inner = statement.statement
        if isinstance(inner, CreateModel):
            lines = self._explain_create(inner)
        elif isinstance(inner, SqlStatement):
            lines = self._explain_query(inner)
        else:
            lines = [f"{type(inner).__name__}: runs as written; there is nothing to plan."]
        return Result(table=pa.table({"plan": pa.array(lines, pa.string())}))

    def _explain_create(self, statement: CreateModel) -> list[str]:
        plan = plan_create(self.session, statement, self.text, self.parameters)
        if plan.skip:
            return [f"CREATE MODEL {plan.dataset}.{plan.name}: it exists, so nothing is trained."]
        how = reading(self.session, plan.sql)
        lines = [f"CREATE MODEL {plan.dataset}.{plan.name} ({plan.type_name})"]
        lines.append(f"  rows: {'from a copy' if how.copied else 'read where they lie'}, because {how.reason}")
        if plan.transform is not None:
            lines.append("  transform: fitted on all rows, then replayed")
        if plan.label is not None:
            lines.append(f"  label: {plan.label.name} {plan.label.type.google}")
        listed = ", ".join(f"{c.name} {c.type.google}" for c in plan.columns)
        lines.append(f"  columns: {listed}")
        lines.append(f"  split: {plan.model.split(plan.options).method}")
        return lines

    def _explain_query(self, statement: SqlStatement) -> list[str]:
        plan = self.plan(statement.query)
        lines = [f"{call.name}: {'inlined' if not plan.computed else 'planned'}" for call in statement.query.calls]
        self.compute(plan.computed)
        rows = self.session.database.execute(f"EXPLAIN {plan.sql}", plan.parameters)
        return [*lines, *str(rows[-1][1]).splitlines()]


def _dotted(tokens: list[Tok], at: int, offset: int) -> tuple[Name, int]:
    """The dotted name that begins at a token, and the index after it."""
    parts: list[str] = []
    i = at
    while i < len(tokens):
        parts.extend(tokens[i].text.split(".") if "." in tokens[i].text else [tokens[i].text])
        if i + 1 < len(tokens) and tokens[i + 1].text == ".":
            i += 2
            continue
        break
    span = Span(offset + tokens[at].start, offset + tokens[min(i, len(tokens) - 1)].end)
    return Name(tuple(parts), span), i + 1


def _model_setting(name: str, value: object, span: Span, place: Span) -> object:
    """The checked value of an option of ALTER MODEL."""
    if name in ("description", "friendly_name"):
        if value is not None and not isinstance(value, str):
            raise OptionError(f"{name.upper()} must be a STRING. Got {value!r}.", span=place)
        return value
    if name == "labels":
        pairs = value if isinstance(value, list) else []
        if not all(isinstance(p, (tuple, dict)) and len(p) == 2 for p in pairs):
            raise OptionError("LABELS must be an array of (key, value) pairs.", span=place)
        return {str(k): str(v) for k, v in (tuple(p.values()) if isinstance(p, dict) else p for p in pairs)}
    if name == "expiration_timestamp":
        if value is not None and not isinstance(value, datetime.datetime):
            raise OptionError(f"EXPIRATION_TIMESTAMP must be a TIMESTAMP. Got {value!r}.", span=place)
        return value.isoformat() if isinstance(value, datetime.datetime) else None
    known = ("description", "friendly_name", "labels", "expiration_timestamp")
    if name in ("kms_key_name", "vertex_ai_model_id", "deploy_model", "endpoint_idle_ttl"):
        raise NotSupportedError(f"{name.upper()} has no meaning here: there is no such service.", span=span)
    hint = did_you_mean(name, known)
    raise OptionError(f"{name.upper()} is not an option of ALTER MODEL.", span=span, hint=hint)
