"""What a rewriting step is given: the caller's hooks, and one function call taken apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from sqlml.errors import NotSupportedError, ParseError, Span
from sqlml.translate.build import integer_of, span_of, string_of
from sqlml.translate.misplaced import PLACEHOLDER
from sqlml.translate.sums import Sums

TableHook = Callable[[exp.Table], exp.Expression | None]
ScalarHook = Callable[[exp.Expression], exp.Expression | None]


@dataclass(slots=True)
class After:
    """What follows a statement.

    Args:
        comments: DuckDB statements to run after it.
        probe: a query that has a row when the table exists, for IF EXISTS and IF NOT EXISTS.
        creates: whether the statement makes the table: then nothing follows when it was there, else nothing at all
            happens when it is missing.
    """

    comments: list[str] = field(default_factory=list)
    probe: str | None = None
    creates: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """The hooks of one translation and where its text begins in the user's script."""

    table: TableHook | None = None
    scalar: ScalarHook | None = None
    names: Collection[str] = ()
    offset: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)
    after: After = field(default_factory=After)
    sums: Sums | None = None

    def span(self, node: exp.Expression | None) -> Span | None:
        """Where `node` stands in the user's script."""
        return span_of(node, self.offset)


@dataclass(slots=True)
class Call:
    """A function call: its upper-case name, plain arguments, and the clauses inside its brackets."""

    name: str
    args: list[exp.Expression]
    node: exp.Expression
    context: Context
    distinct: bool = False
    ignore_nulls: bool | None = None
    order: list[exp.Expression] = field(default_factory=list)
    limit: exp.Expression | None = None
    having: tuple[exp.Expression, bool] | None = None

    @property
    def windowed(self) -> bool:
        """Whether the call is followed by OVER."""
        parent = self.node.parent
        while isinstance(parent, exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
            parent = parent.parent
        return isinstance(parent, exp.Window) and parent.this.find(type(self.node)) is not None

    def need(self, low: int, high: int | None = None) -> None:
        """Refuses a wrong number of arguments."""
        high = low if high is None else high
        if not low <= len(self.args) <= high:
            rule = f"{low}" if low == high else f"{low} to {high}"
            noun = "argument" if rule == "1" else "arguments"
            raise ParseError(f"{self.name} must have {rule} {noun}. Got {len(self.args)}.", span=self.span)

    @property
    def span(self) -> Span | None:
        """Where the name of the function stands."""
        return self.context.span(self.node)

    def text(self, at: int, what: str) -> str:
        """Argument `at`, which must be a string that is written out."""
        value = string_of(self.args[at]) if at < len(self.args) else None
        if value is None:
            raise NotSupportedError(f"the {what} of {self.name} must be a string that is written out.", span=self.span)
        return value

    def integer(self, at: int, what: str) -> int:
        """Argument `at`, which must be an integer that is written out."""
        value = integer_of(self.args[at]) if at < len(self.args) else None
        if value is None:
            raise NotSupportedError(
                f"the {what} of {self.name} must be a whole number that is written out.", span=self.span
            )
        return value


def take_apart(name: str, node: exp.Expression, context: Context) -> Call:
    """The `Call` of an Anonymous node: unwraps DISTINCT, IGNORE NULLS, HAVING MAX, ORDER BY and LIMIT."""
    call = Call(name, [], node, context)
    for arg in node.expressions:
        while isinstance(
            arg, exp.Limit | exp.Order | exp.IgnoreNulls | exp.RespectNulls | exp.Distinct | exp.HavingMax
        ):
            if isinstance(arg, exp.Limit):
                call.limit = arg.expression
            elif isinstance(arg, exp.Order):
                call.order = arg.expressions
            elif isinstance(arg, exp.IgnoreNulls | exp.RespectNulls):
                call.ignore_nulls = isinstance(arg, exp.IgnoreNulls)
            elif isinstance(arg, exp.HavingMax):
                call.having = (arg.expression, bool(arg.args.get("max")))
            else:
                call.distinct = True
            if isinstance(arg, exp.Distinct):
                call.args.extend(arg.expressions[:-1])
                arg = arg.expressions[-1]
            else:
                arg = arg.this
        if isinstance(arg, exp.Alias) and not name.startswith(("ML.", "AI.")):
            called = "a table function" if PLACEHOLDER.match(name.lower()) else name
            raise ParseError(f"AS must not stand among the arguments of {called}.", span=context.span(arg))
        call.args.append(arg)
    parent = node.parent
    if isinstance(parent, exp.IgnoreNulls | exp.RespectNulls) and call.ignore_nulls is None:
        call.ignore_nulls = isinstance(parent, exp.IgnoreNulls)
    return call
