"""Runs the nodes of a script.

A name in a statement is a column when the statement has such a column, else a variable: the
statement is tried with the variables left alone, and the names that the database does not know
are then replaced by their values (a name is looked up before anything runs, so nothing runs twice).
Statements without FROM have no columns; there the values go in at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlml.errors import Cancelled, DataError, Error, NameError, ProgrammingError, Span, did_you_mean
from sqlml.grammar.lexer import tokenize
from sqlml.schema import quote_literal
from sqlml.script import routines
from sqlml.script.nodes import (
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
from sqlml.script.parse import parse
from sqlml.script.variables import Scope, Variable
from sqlml.translate import translate_type

Parameters = Sequence[object] | Mapping[str, object] | None

_MISSING = re.compile(r"the (?:column|table) \"?([^\s\"]+?)\"? does not exist")
#: A name where only a constant may stand; as a variable it has a value.
_NO_CONSTANT = re.compile(r" must .* Got (?:the name )?(\w+)\.$|^(\w+) is not a column of the training query")
_READS_ROWS = frozenset("FROM UPDATE DELETE MERGE INSERT MODEL JOIN USING".split())
_MOST_CALLS = 50


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a source text to run: `prefix` (such as SELECT) goes before it and has no place of its own."""

    source: str
    span: Span
    prefix: str = ""
    parameters: Parameters = None

    @property
    def text(self) -> str:
        """What the user wrote there."""
        return self.source[self.span.start : self.span.end]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a query, with the names and DuckDB types of its columns."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Host(Protocol):
    """What runs single statements for a script."""

    def run(self, piece: Piece, variables: Mapping[str, str]) -> object:
        """Runs one statement; returns its result. `variables` are DuckDB literals by lower-case name."""

    def rows(self, piece: Piece, variables: Mapping[str, str], most: int | None = None) -> Rows:
        """The rows of a query (at most `most`)."""

    def plain(self, sql: str, span: Span | None = None) -> list[tuple[Any, ...]]:
        """Runs DuckDB text of our own."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """A stored procedure: its node and the text that the node's places point into."""

    node: CreateProcedure
    source: str


class _Jumped(Exception):
    """Control leaves the statement for the end of a loop, block or script."""

    def __init__(self, jump: Jump):
        super().__init__(jump.kind)
        self.jump = jump


@dataclass(slots=True)
class Interpreter:
    """One script on its way. `result` is that of the last statement that was run."""

    host: Host
    source: str
    procedures: MutableMapping[tuple[str, ...], Procedure] = field(default_factory=dict)
    parameters: Parameters = None
    result: object = None
    scope: Scope = field(default_factory=Scope)
    system: dict[str, str] = field(default_factory=dict)
    calls: int = 0

    def execute(self, nodes: Sequence[Node] | None = None) -> object:
        """Runs a script (by default all of `source`); returns the result of its last statement.

        Errors carry their place, and the text it points into.
        """
        try:
            self.run_all(parse(self.source) if nodes is None else nodes)
        except _Jumped as jumped:
            if jumped.jump.kind != "return":
                raise self._stray(jumped.jump) from None
        except Error as error:
            raise error.attach(self.source) from None
        return self.result

    def run_all(self, nodes: Sequence[Node]) -> None:
        """Runs statements one after another, in the present scope."""
        for node in nodes:
            self.run(node)

    def run(self, node: Node) -> None:
        """Runs one statement."""
        steps: dict[type, Any] = {
            Sql: self._sql,
            Declare: self._declare,
            Assign: self._assign,
            Block: self._block,
            Branches: self._branches,
            Loop: self._loop,
            ForEach: self._for_each,
            Jump: self._jump,
            Raise: self._raise,
            Assert: self._assert,
            ExecuteImmediate: self._execute_immediate,
            CreateFunction: self._create_function,
            CreateProcedure: self._create_procedure,
            Call: self._call,
            DropRoutine: self._drop,
        }
        try:
            steps[type(node)](node)
        except Error as error:
            if error.span is None and error.source is None:
                error.span = node.span
            raise

    # ------------------------------------------------------------ statements and expressions

    def piece(self, span: Span, prefix: str = "") -> Piece:
        """A piece of this script."""
        return Piece(self.source, span, prefix, self.parameters)

    def _substituted(self, piece: Piece, action: Any) -> Any:
        """`action(variables)`, with the variables that the statement means and has no columns for."""
        words = [t.text.casefold() for t in tokenize(piece.text)]
        used = {v.name.casefold() for v in self.scope} & set(words)
        reads = any(w.upper() in _READS_ROWS for w in words)
        chosen = set() if reads else set(used)
        while True:
            try:
                return action({**self.system, **self.scope.literals(chosen)})
            except Error as error:
                match = _MISSING.search(error.message) or _NO_CONSTANT.search(error.message)
                name = next((g.casefold() for g in match.groups() if g), "") if match else ""
                if name not in used or name in chosen:
                    raise
                chosen.add(name)

    def rows(self, piece: Piece, most: int | None = None) -> Rows:
        """The rows of a query."""
        found = self._substituted(piece, lambda variables: self.host.rows(piece, variables, most))
        assert isinstance(found, Rows)
        return found

    def evaluate(self, span: Span) -> tuple[object, str]:
        """Value and DuckDB type of an expression."""
        found = self.rows(self.piece(span, "SELECT "), 2)
        return found.rows[0][0] if found.rows else None, found.types[0]

    def condition(self, span: Span) -> bool:
        """Whether a condition holds; NULL does not."""
        value, kind = self.evaluate(span)
        if value is not None and not isinstance(value, bool):
            raise ProgrammingError(f"a condition must be TRUE or FALSE. Got a value of type {kind}.", span=span)
        return value is True

    def _sql(self, node: Sql) -> None:
        piece = self.piece(node.span)
        self.result = self._substituted(piece, lambda variables: self.host.run(piece, variables))

    # ------------------------------------------------------------ variables

    def _place(self, text: str, span: Span) -> int:
        """Where a piece of a statement begins in the script."""
        return max(self.source.find(text, span.start, span.end), span.start)

    def _declare(self, node: Declare) -> None:
        kind = translate_type(node.type, offset=self._place(node.type, node.span)) if node.type else None
        value: object = None
        if node.default is not None:
            value, found = self.evaluate(node.default)
            kind = kind or found
        for name in node.names:
            variable = Variable(name, kind)
            self.scope.declare(variable, node.span)
            self.put(variable, value, None)

    def put(self, variable: Variable, value: object, kind: str | None) -> None:
        """Gives a variable a value, converted to its type."""
        variable.value = value
        if variable.type is not None and value is not None and kind != variable.type:
            variable.value = self.host.plain(f"SELECT {variable.literal}")[0][0]

    def _assign(self, node: Assign) -> None:
        if len(node.names) == 1 and self.scope.find(node.names[0]) is None and not self._is_system(node):
            self._setting(node)
            return
        targets = [self.scope.get(name, node.span) for name in node.names]
        if len(targets) == 1:
            self.put(targets[0], *self.evaluate(node.values[0]))
            return
        if len(node.values) > 1:
            found: list[tuple[object, str | None]] = [self.evaluate(span) for span in node.values]
        else:
            found = self._spread(node)
        for target, (value, kind) in zip(targets, found, strict=True):
            self.put(target, value, kind)

    def _setting(self, node: Assign) -> None:
        """SET of a name that is no variable: a setting of the engine, or a mistake."""
        try:
            self._sql(Sql(node.span))
        except Error as error:
            if "configuration parameter" in error.message:
                self.scope.get(node.names[0], node.span)
            raise

    @staticmethod
    def _is_system(node: Assign) -> bool:
        return node.names[0].startswith("@@")

    def _spread(self, node: Assign) -> list[tuple[object, str | None]]:
        """The fields of a STRUCT, one for each variable."""
        value, _ = self.evaluate(node.values[0])
        parts = list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else []
        if value is None:
            parts = [None] * len(node.names)
        if len(parts) != len(node.names):
            raise ProgrammingError(
                f"SET must be given a STRUCT of {len(node.names)} fields. Got {len(parts)}.", span=node.values[0]
            )
        return [(part, None) for part in parts]

    # ------------------------------------------------------------ blocks, branches, loops

    def _inner(self, nodes: Sequence[Node]) -> None:
        """Statements of a block in a scope of their own."""
        outer, self.scope = self.scope, Scope(self.scope)
        try:
            self.run_all(nodes)
        finally:
            self.scope = outer

    def _block(self, node: Block) -> None:
        try:
            if node.handler is None:
                self._inner(node.body)
            else:
                self._guarded(node)
        except _Jumped as jumped:
            if jumped.jump.kind != "break" or jumped.jump.label is None or jumped.jump.label != node.label:
                raise

    def _guarded(self, node: Block) -> None:
        """BEGIN ... EXCEPTION: an error (not a cancellation) goes to the handler, which may read @@error."""
        try:
            self._inner(node.body)
        except Cancelled:
            raise
        except Error as error:
            before = dict(self.system)
            self.system.update(self._described(error))
            try:
                self._inner(node.handler or ())
            except _Reraised:
                raise error from None
            finally:
                self.system.clear()
                self.system.update(before)

    def _described(self, error: Error) -> dict[str, str]:
        """@@error.* as DuckDB literals."""
        source = error.source if error.source is not None else self.source
        text = source[error.span.start : error.span.end] if error.span else ""
        line = source.count("\n", 0, error.span.start) + 1 if error.span else None
        column = error.span.start - source.rfind("\n", 0, error.span.start) if error.span else None
        trace = f"At [{line}:{column}]" if line is not None else ""
        return {
            "@@error.message": quote_literal(error.message),
            "@@error.statement_text": quote_literal(text),
            "@@error.formatted_stack_trace": quote_literal(trace),
            "@@error.stack_trace": f"[{{'line': {line or 'NULL'}, 'column': {column or 'NULL'},"
            " 'filename': NULL, 'location': NULL}]",
        }

    def _branches(self, node: Branches) -> None:
        for condition, body in node.branches:
            if self._holds(node, condition):
                self.run_all(body)
                return
        self.run_all(node.otherwise)

    def _holds(self, node: Branches, condition: Span) -> bool:
        if node.operand is None:
            return self.condition(condition)
        operand, _ = self.evaluate(node.operand)
        value, _ = self.evaluate(condition)
        return operand is not None and operand == value

    def _loop(self, node: Loop) -> None:
        while node.condition is None or self.condition(node.condition):
            if not self._round(node, node.body):
                return
            if node.until is not None and self.condition(node.until):
                return

    def _round(self, node: Loop | ForEach, body: Sequence[Node]) -> bool:
        """One round of a loop; False when a jump ends it."""
        try:
            self.run_all(body)
        except _Jumped as jumped:
            jump = jumped.jump
            if jump.kind == "return" or (jump.label is not None and jump.label != node.label):
                raise
            return jump.kind == "continue"
        return True

    def _for_each(self, node: ForEach) -> None:
        found = self.rows(self.piece(node.query))
        outer, self.scope = self.scope, Scope(self.scope)
        try:
            record = Variable(node.name, None, None, tuple(zip(found.names, found.types, strict=True)))
            self.scope.declare(record, node.span)
            for row in found.rows:
                record.value = row
                if not self._round(node, node.body):
                    return
        finally:
            self.scope = outer

    def _jump(self, node: Jump) -> None:
        raise _Jumped(node)

    def _stray(self, jump: Jump) -> Error:
        what = "a loop" if jump.label is None else f"the block or loop {jump.label}"
        error = ProgrammingError(f"{jump.kind.upper()} must stand inside {what}.", span=jump.span)
        return error.attach(self.source)

    # ------------------------------------------------------------ errors

    def _raise(self, node: Raise) -> None:
        if node.message is None:
            if "@@error.message" not in self.system:
                raise ProgrammingError("RAISE without a message must stand in an exception handler.", span=node.span)
            raise _Reraised
        value, _ = self.evaluate(node.message)
        raise ProgrammingError(str(value), span=node.span)

    def _assert(self, node: Assert) -> None:
        if self.condition(node.condition):
            return
        text = self.source[node.condition.start : node.condition.end]
        message = f"the assertion {text} does not hold."
        if node.description is not None:
            message = str(self.evaluate(node.description)[0])
        raise DataError(message, span=node.condition)

    # ------------------------------------------------------------ dynamic SQL, functions, procedures

    def _execute_immediate(self, node: ExecuteImmediate) -> None:
        text, _ = self.evaluate(node.text)
        if not isinstance(text, str):
            raise ProgrammingError("the text of EXECUTE IMMEDIATE must be a STRING.", span=node.text)
        values = [(name, self.evaluate(span)[0]) for span, name in node.using]
        named = {name: value for name, value in values if name is not None}
        if named and len(named) != len(values):
            raise ProgrammingError("USING must name all of its values or none.", span=node.span)
        given: Parameters = named if named else [value for _, value in values]
        targets = [self.scope.get(name, node.span) for name in node.into]
        inner = Interpreter(self.host, text, self.procedures, given, system=self.system, calls=self.calls)
        if not targets:
            self.result = inner.execute() if text.strip() else self.result
            return
        try:
            found = inner.rows(Piece(text, Span(0, len(text)), parameters=given), 2)
        except Error as error:
            raise error.attach(text) from None
        if len(found.rows) > 1:
            raise DataError("the query of EXECUTE IMMEDIATE ... INTO must return at most one row.", span=node.span)
        if len(found.names) != len(targets):
            raise ProgrammingError(
                f"INTO must have one variable for each of the {len(found.names)} columns. Got {len(targets)}.",
                span=node.span,
            )
        row = found.rows[0] if found.rows else (None,) * len(targets)
        for target, value, kind in zip(targets, row, found.types, strict=True):
            self.put(target, value, kind)

    def _create_function(self, node: CreateFunction) -> None:
        self.host.plain(routines.function_sql(node, self.source), node.span)

    def _drop(self, node: DropRoutine) -> None:
        if node.kind != "procedure":
            self.host.plain(routines.drop_sql(node))
            return
        key = routines.key(node.name)
        if self.procedures.pop(key, None) is None and not node.if_exists:
            raise self._unknown(node.name, node.span)

    def _create_procedure(self, node: CreateProcedure) -> None:
        key = routines.key(node.name)
        if key in self.procedures and not node.replace:
            if node.if_not_exists:
                return
            raise ProgrammingError(f"the procedure {'.'.join(node.name)} exists.", span=node.span)
        self.procedures[key] = Procedure(node, self.source)

    def _unknown(self, name: tuple[str, ...], span: Span) -> Error:
        written = ".".join(name)
        known = [".".join(p.node.name) for p in self.procedures.values()]
        return NameError(f"the procedure {written} does not exist.", span=span, hint=did_you_mean(written, known))

    def _call(self, node: Call) -> None:
        procedure = self.procedures.get(routines.key(node.name))
        if procedure is None:
            raise self._unknown(node.name, node.span)
        wanted = procedure.node.arguments
        if len(wanted) != len(node.arguments):
            raise ProgrammingError(
                f"{'.'.join(node.name)} must have {len(wanted)} arguments. Got {len(node.arguments)}.", span=node.span
            )
        if self.calls >= _MOST_CALLS:
            raise ProgrammingError(f"procedures must not be nested deeper than {_MOST_CALLS}.", span=node.span)
        inner = Interpreter(self.host, procedure.source, self.procedures, calls=self.calls + 1)
        written_back: list[tuple[Variable, Variable]] = []
        for argument, span in zip(wanted, node.arguments, strict=True):
            kind = translate_type(argument.type) if argument.type else None
            variable = Variable(argument.name, kind)
            inner.scope.declare(variable, node.span)
            if argument.mode != "in":
                target = self.scope.get(self.source[span.start : span.end].strip("` "), span)
                written_back.append((target, variable))
            if argument.mode != "out":
                value, found = self.evaluate(span)
                variable.type = kind or found
                inner.put(variable, value, found)
        result = inner.execute((procedure.node.body,))
        self.result = result if result is not None else self.result
        for target, variable in written_back:
            self.put(target, variable.value, variable.type)


class _Reraised(Exception):
    """RAISE without a message inside a handler."""
