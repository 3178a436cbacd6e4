"""The walk over a tree: children first, each node through its rule.

A rule gets a node whose children are already DuckDB and returns the node that takes its place.
Rules that must see the query as the user wrote it (names of columns, aliases in GROUP BY) run
before, in `queries.prepare`.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from sqlml.errors import NameError, NotSupportedError, did_you_mean
from sqlml.translate import expressions, queries, statements, types
from sqlml.translate.build import to_duckdb
from sqlml.translate.context import Context, take_apart
from sqlml.translate.functions import translate_call
from sqlml.translate.misplaced import MARK

Rule = Callable[[exp.Expression, Context], exp.Expression]
#: Functions of the service's hosted models that stand in expressions.
HOSTED = frozenset(
    "AI." + name
    for name in (
        "GENERATE GENERATE_BOOL GENERATE_INT GENERATE_DOUBLE IF SCORE CLASSIFY EMBED SIMILARITY AGG COUNT_TOKENS"
    ).split()
)

RULES: dict[type[exp.Expression], Rule] = {
    **expressions.RULES,
    **queries.RULES,
    **statements.RULES,
    exp.Cast: types.rewrite_cast,
    exp.TryCast: types.rewrite_cast,
}


def rewrite(root: exp.Expression, context: Context) -> exp.Expression:
    """`root` as DuckDB; the tree that is given is used up."""
    nodes = list(root.walk(bfs=False))
    for node in reversed(nodes):
        new = _rewrite_node(node, context)
        if new is node:
            continue
        if node is root:
            root = new
        else:
            node.replace(new)
    return root


def _rewrite_node(node: exp.Expression, context: Context) -> exp.Expression:
    kind = type(node)
    if kind is exp.Anonymous:
        return _call(node, context)
    if kind is exp.Window and _is_ml(node.this):
        return _ml(node, node.this, context)
    rule = RULES.get(kind)
    return rule(node, context) if rule else node


def _is_ml(node: exp.Expression | None) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).startswith(("ML.", "AI."))


def _call(node: exp.Expression, context: Context) -> exp.Expression:
    written = node.this
    if isinstance(written, exp.Identifier) and "." in written.name:
        dataset, name = written.name.split(".")[-2:]
        function = exp.Anonymous(this=name, expressions=node.expressions)
        return exp.Dot(this=exp.to_identifier(dataset, quoted=True), expression=function)
    if not isinstance(written, str) or not written.startswith(MARK):
        return node
    name = written[len(MARK) :]
    if name.startswith(("ML.", "AI.")):
        node.set("this", name.upper())
        windowed = isinstance(node.parent, exp.Window) and node.parent.this is node
        return node if windowed else _ml(node, node, context)
    node.set("this", name)
    return translate_call(take_apart(name.upper(), node, context))


def _ml(whole: exp.Expression, call: exp.Expression, context: Context) -> exp.Expression:
    """Hands a scalar or analytic ML function to the caller's hook."""
    new = context.scalar(whole) if context.scalar else None
    if new is None:
        name = str(call.this)
        if name in HOSTED:
            raise NotSupportedError(f"{name} is not available here: it asks a hosted model.", span=context.span(call))
        raise NameError(
            f"{name} is not a function that is known here.",
            span=context.span(call),
            hint=did_you_mean(name, context.names),
        )
    return new


def rewrite_ml(root: exp.Expression, sql: str, context: Context) -> list[tuple[int, int, str]]:
    """Plain DuckDB text: (start, end, new text) for every outermost ML function in `root`."""

    edits: list[tuple[int, int, str]] = []
    for node in list(root.walk(prune=_marked_ml)):
        if not _marked_ml(node):
            continue
        parent = node.parent
        whole = parent if isinstance(parent, exp.Window) and parent.this is node else node
        start = int(node.meta["start"])
        end = _end_of(sql, start, windowed=whole is not node)
        new = rewrite_calls(whole.copy(), context)
        edits.append((start, end, to_duckdb(new)))
    return edits


def rewrite_calls(root: exp.Expression, context: Context) -> exp.Expression:
    """`root` (plain DuckDB) with its ML functions replaced."""
    for node in reversed(list(root.walk(bfs=False))):
        new = node
        if isinstance(node, exp.Anonymous) and str(node.this).startswith(MARK):
            name = str(node.this)[len(MARK) :]
            node.set("this", name.upper() if _marked_ml(node) else name)
            windowed = isinstance(node.parent, exp.Window) and node.parent.this is node
            if _is_ml(node) and not windowed:
                new = _ml(node, node, context)
        elif isinstance(node, exp.Window) and _is_ml(node.this):
            new = _ml(node, node.this, context)
        if new is not node:
            if node is root:
                root = new
            else:
                node.replace(new)
    return root


def _marked_ml(node: exp.Expression) -> bool:
    return isinstance(node, exp.Anonymous) and str(node.this).upper().startswith((f"{MARK}ML.", f"{MARK}AI."))


def _end_of(sql: str, start: int, *, windowed: bool) -> int:
    """Where a call that begins at `start` ends, with its OVER (...) when it has one."""
    from sqlglot.dialects.duckdb import DuckDB

    depth, closed = 0, 0
    groups = 2 if windowed else 1
    for token in DuckDB().tokenize(sql):
        if token.start < start:
            continue
        if token.text == "(":
            depth += 1
        elif token.text == ")":
            depth -= 1
            if depth == 0:
                closed += 1
                if closed == groups:
                    return int(token.end) + 1
    return len(sql)
