"""ML.RECOMMEND: scores of users and items, as a join of the model's factor tables.

Everything is one SELECT that DuckDB's optimizer sees through: a filter on the user reaches the user
table before the cross product, so the top items of one user never build all pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from sqlml.encode import bind_columns
from sqlml.errors import SchemaError
from sqlml.functions.base import Call, Computed, Inline, TableFunction, led_by_trial, refuse_trials
from sqlml.functions.scoring import scored
from sqlml.models.matrix_factorization import factor_tables, id_sql, lookup_sql, prediction_name, score_sql
from sqlml.options import option
from sqlml.schema import Column, find, quote_name, same_name


@dataclass(frozen=True)
class RecommendSettings:
    """Settings of ML.RECOMMEND."""

    trial_id: int | None = option(None, "The trial of a tuned model.", low=1)


def _run(call: Call) -> Inline | Computed:
    refuse_trials(call)
    return led_by_trial(call, _pairs(call))


def _pairs(call: Call) -> Inline:
    if call.source is None:
        return _all_pairs(call)
    options = call.model.options
    user, item = (find(call.source.columns, name) for name in (options.user_col, options.item_col))
    if user is not None and item is not None:
        return _given_pairs(call)
    if user is None and item is None:
        text = f"the input of ML.RECOMMEND must have the column {options.user_col}, {options.item_col}, or both."
        raise SchemaError(text, span=call.source.span)
    known = user or item
    assert known is not None
    if len(call.source.columns) > 1:
        others = ", ".join(c.name for c in call.source.columns if c is not known)
        raise SchemaError(
            f"the input of ML.RECOMMEND must have only the column {known.name} when it has not both ids."
            f" It also has {others}.",
            span=call.source.span,
        )
    return _one_side(call, known, is_user=user is not None)


def _tables(call: Call) -> tuple[str, str, Mapping[str, pa.Table]]:
    users, items = factor_tables(call.model)
    u, i = (f"__sqlml_{call.model.uid}_{side}" for side in "ui")
    return quote_name(u), quote_name(i), {u: users, i: items}


def _select(call: Call, user: str, item: str) -> str:
    """The output columns; aliases `u` and `i` are rows with factors, `user` and `item` SQL of the ids."""
    options = call.model.options
    score = score_sql(call.model, "u.b", "u.f", "i.b", "i.f", known=True)
    names = (prediction_name(call.model), options.user_col, options.item_col)
    columns = zip((score, user, item), names, strict=True)
    return ", ".join(f"{sql} AS {quote_name(name)}" for sql, name in columns)


def _all_pairs(call: Call) -> Inline:
    o = call.model.options
    u, i, tables = _tables(call)
    columns = _select(call, id_sql(call.model, o.user_col, "u.key"), id_sql(call.model, o.item_col, "i.key"))
    return Inline(f"(SELECT {columns} FROM {u} AS u CROSS JOIN {i} AS i)", tables)


def _one_side(call: Call, known: Column, *, is_user: bool) -> Inline:
    """The ids that are given, those without factors with zeros, by all of the other side."""
    o, source = call.model.options, call.data
    name = o.user_col if is_user else o.item_col
    own_input = [c for c in call.model.inputs if same_name(c.name, name)]
    bind_columns(own_input, source.columns, call.model.path, source.span)
    u, i, tables = _tables(call)
    own, other = (u, i) if is_user else (i, u)
    mine, rest = ("u", "i") if is_user else ("i", "u")
    ids = f"s.{quote_name(known.name)}"
    k = call.model.state.users.shape[1]
    zeros = f"array_value({', '.join(['0.0::FLOAT'] * k)})"
    key = lookup_sql(call.model, name, ids)
    found = f"{ids} AS id, coalesce(t.f, {zeros}) AS f, coalesce(t.b, 0.0::FLOAT) AS b"
    given = f"(SELECT {found} FROM {source.sql} AS s LEFT JOIN {own} AS t ON {key} = t.key)"
    user = "u.id" if is_user else id_sql(call.model, o.user_col, "u.key")
    item = id_sql(call.model, o.item_col, "i.key") if is_user else "i.id"
    columns = _select(call, user, item)
    return Inline(f"(SELECT {columns} FROM {given} AS {mine} CROSS JOIN {other} AS {rest})", tables)


def _given_pairs(call: Call) -> Inline:
    score = call.kind.pair_score(call.model)  # type: ignore[attr-defined]
    found = scored(call.context.database, call.model, call.data.sql, call.data.columns, call.data.span, score)
    options = call.model.options
    user, item = quote_name(options.user_col), quote_name(options.item_col)
    lead = f"{found.score.value(0)} AS {quote_name(prediction_name(call.model))}, {user}, {item}"
    names = [c.name for c in call.data.columns]
    ids = {c.name for c in (find(call.data.columns, options.user_col), find(call.data.columns, options.item_col)) if c}
    rest = "".join(f", {quote_name(n)}" for n in names if n not in ids)
    return Inline(f"(SELECT {lead}{rest} FROM {found.sql})", found.tables)


RECOMMEND = TableFunction(
    name="ML.RECOMMEND",
    doc="Predicted ratings of items by users.",
    run=_run,
    settings=RecommendSettings,
    data="optional",
    asks="pair_score",
)
