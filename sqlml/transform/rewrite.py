"""The hook that turns ML.xxx(...) inside a query into DuckDB SQL.

The translation calls `rewrite` for every scalar or analytic ML function, children first, so the
arguments it sees are DuckDB already. The result is text in one raw node, which nothing walks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from sqlml.errors import ProgrammingError, Span
from sqlml.transform.arguments import Call, Fidelity
from sqlml.transform.forms import Preprocess, Scalar
from sqlml.transform.functions import PREPROCESS
from sqlml.translate.build import parse_duckdb, span_of

_VOLATILE = frozenset("random gen_random_uuid uuid uuidv4 uuidv7 nextval setseed".split())
_SOURCE = ("from_", "joins", "laterals", "where", "group", "having")


def rewrite(node: exp.Expression, offset: int = 0) -> exp.Expression | None:
    """The DuckDB form of a preprocessing function in a query; None when it is no preprocessing function.

    Args:
        node: an `Anonymous` call named `ML.X`, or the `Window` around it, still in its tree.
        offset: where the parsed text begins in the user's script.

    Raises:
        ProgrammingError: wrong arguments, or a missing, filled or superfluous OVER().
    """
    function, call = take_call(node, offset)
    if function is None:
        return None
    form = function.bind(call)
    if isinstance(form, Scalar):
        return raw(form.sql)
    outer = node.parent.find_ancestor(exp.Window) if node.parent is not None else None
    if outer is not None:
        raise ProgrammingError(
            f"{call.name} must not stand inside another analytic function.",
            span=call.span,
            hint="compute the inner one in a subquery",
        )
    source = _source(node) if form.lookup else None
    return raw(form.lookup(source) if form.lookup and source is not None else form.window)


def with_values(node: exp.Expression, values: Mapping[str, str]) -> exp.Expression:
    """`node` with DuckDB literals for the parameters in all arguments but the first; changed in place.

    Args:
        node: a call, or the `Window` around it.
        values: literals by the parameter's name in lower case, `1`, `2` for positional ones.
    """
    inner = node.this if isinstance(node, exp.Window) else node
    for argument in list(inner.expressions)[1:]:
        for found in list(argument.find_all(exp.Parameter)):
            literal = values.get(found.name.casefold())
            if literal is not None:
                found.replace(parse_duckdb(literal))
    return node


def take_call(
    node: exp.Expression,
    offset: int,
    type_of: Callable[[exp.Expression], str | None] | None = None,
    frozen: bool = False,
    fidelity: Fidelity = "best",
) -> tuple[Preprocess | None, Call]:
    """The function that `node` calls (None if it is not one of ours), and the call taken apart."""
    inner = node.this if isinstance(node, exp.Window) else node
    name = str(inner.this).upper()
    span = span_of(inner, offset)
    types = {} if type_of is None else {"type_of": type_of}
    call = Call(name, tuple(inner.expressions), span, offset, frozen=frozen, fidelity=fidelity, **types)
    function = PREPROCESS.get(name)
    if function is not None:
        _check_over(function, node, span)
    return function, call


def _check_over(function: Preprocess, node: exp.Expression, span: Span | None) -> None:
    name = function.name
    if not isinstance(node, exp.Window):
        if function.analytic:
            raise ProgrammingError(f"{name} must be followed by OVER().", span=span, hint=f"write {name}(...) OVER()")
        return
    if not function.analytic:
        raise ProgrammingError(f"{name} must stand without OVER: it works on one row.", span=span)
    filled = [v for k, v in node.args.items() if v and k not in ("this", "over")]
    if filled:
        raise ProgrammingError(f"{name} must have an empty OVER(): its statistics are those of all rows.", span=span)


def raw(sql: str) -> exp.Expression:
    """A node that is printed as it stands, in brackets."""
    return exp.Paren(this=exp.Var(this=sql))


def _source(node: exp.Expression) -> str | None:
    """The text `FROM ... WHERE ...` of the rows that OVER() sees; None if a second reading may differ."""
    select = node.find_ancestor(exp.Select)
    if select is None:
        return None
    kept = {key: select.args[key] for key in _SOURCE if select.args.get(key)}
    for part in kept.values():
        for tree in part if isinstance(part, list) else [part]:
            if any(_volatile(inner) for inner in tree.walk()):
                return None
    copy = exp.Select(expressions=[exp.Star()])
    for key, part in kept.items():
        copy.set(key, [p.copy() for p in part] if isinstance(part, list) else part.copy())
    return copy.sql("duckdb").removeprefix("SELECT *").strip()


def _volatile(node: exp.Expression) -> bool:
    if isinstance(node, exp.TableSample | exp.Rand | exp.Placeholder | exp.Uuid):
        return True
    return isinstance(node, exp.Anonymous) and str(node.this).lower() in _VOLATILE
