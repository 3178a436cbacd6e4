"""ML.EXPLAIN_PREDICT and ML.GLOBAL_EXPLAIN: attributions of features to predictions.

A model type says how its raw output comes about (`Model.explain`); here that becomes columns. The raw
output is the prediction of a regression and the logit of the explained class of a classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, numbers, texts
from sqlml.database import Database
from sqlml.errors import NotSupportedError, OptionError
from sqlml.functions.base import Call, Computed, Inline, TableFunction, refuse_threshold
from sqlml.functions.examples import check_examples, nearest_item, place_of
from sqlml.functions.measure import Rows
from sqlml.functions.predict import prediction_items
from sqlml.functions.scoring import Scored, predicted_code, register_function, scored
from sqlml.kernels.types import F64
from sqlml.models import MODELS
from sqlml.models.base import BatchFunction, ExplainRequest, Explanation, Score, Task, Trained
from sqlml.options import option
from sqlml.schema import Column, quote_name

SUPERVISED = frozenset({Task.REGRESSION, Task.CLASSIFICATION})
ATTRIBUTIONS = "STRUCT(feature VARCHAR, attribution DOUBLE)[]"

#: Up to so many features are separate arguments of the function that picks the largest; above, one list.
ARGUMENTS = 32
#: Global attributions of models without a closed form are taken over so many rows, chosen by their content.
GLOBAL_ROWS = 20_000
#: Lines per class of ML.GLOBAL_EXPLAIN with CLASS_LEVEL_EXPLAIN.
CLASS_FEATURES = 10


@dataclass(frozen=True)
class ExplainSettings:
    """Settings of ML.EXPLAIN_PREDICT."""

    top_k_features: int = option(5, "Attributions per row, the largest first.", low=1)
    threshold: float | None = option(None, "Cut-off of the larger of two labels; 0.5 by default.", low=0.0, high=1.0)
    integrated_gradients_num_steps: int = option(15, "Points of the integrated gradients (networks).", low=1)
    approx_feature_contrib: bool = option(False, "Faster, approximate contributions (trees).")
    top_k_examples: int | None = option(
        None, "Nearest training rows, of those that KEEP_EXAMPLES kept, in a column top_examples (ours).", low=1
    )


@dataclass(frozen=True)
class ExampleSettings:
    """Settings of ML.EXPLAIN_PREDICT for models without a label."""

    top_k_examples: int = option(
        5, "Nearest training examples per row, of those that KEEP_EXAMPLES kept (ours).", low=1
    )


@dataclass(frozen=True)
class GlobalSettings:
    """Settings of ML.GLOBAL_EXPLAIN."""

    class_level_explain: bool = option(False, "Attributions for every class.")


@dataclass(frozen=True, slots=True)
class Explained:
    """Scored rows with the names of their explanation.

    Args:
        found: the rows; its columns include those named below.
        vector: SQL of the attributions as DOUBLE[].
        parts: names of the attributions' columns, when there is one for each; else ().
        explanation: what the model said.
    """

    found: Scored
    vector: str
    parts: tuple[str, ...]
    explanation: Explanation


def explain_rows(
    database: Database,
    trained: Trained,
    source: str,
    columns: tuple[Column, ...],
    request: ExplainRequest,
    threshold: float | None = None,
    span: Any = None,
    more: tuple[tuple[str, str], ...] = (),
) -> Explained:
    """Score the rows of a FROM item together with their attributions, and `more` names."""
    explanation = MODELS[trained.model].explain(trained, request)
    score, label = explanation.score, trained.label
    let = list(score.let)
    if label is not None and label.classes:
        let.append(("__c", predicted_code(score, label, threshold)))
    let += explanation.let
    names = tuple(f"__a{i}" for i in range(len(explanation.parts)))
    let += zip(names, explanation.parts, strict=True)
    let += more
    found = scored(database, trained, source, columns, span, replace(score, let=tuple(let)))
    vector = explanation.vector or f"[{', '.join(names)}]"
    return Explained(found, vector, names, explanation)


# ---------------------------------------------------------------- rows


def _explain_predict(call: Call) -> Inline:
    refuse_threshold(call)
    _refuse_foreign(call)
    settings, trained = call.settings, call.model
    steps = settings.integrated_gradients_num_steps
    request = ExplainRequest(steps=steps, approximate=settings.approx_feature_contrib)
    database = call.context.database
    data = call.data
    let, nearest = _examples(call) if settings.top_k_examples is not None else ((), [])
    rows = explain_rows(database, trained, data.sql, data.columns, request, settings.threshold, data.span, let)
    explanation, score = rows.explanation, rows.found.score
    top = top_function(trained, rows, min(settings.top_k_features, len(trained.design.features)))
    # The number of features is part of the name: another call may ask for more of them.
    name = register_function(database, f"sqlml_{top.name}_{trained.uid}", top)
    arguments = ", ".join(sql for sql, _ in top.arguments)
    items = [
        *_predictions(score, trained),
        f"{name}({arguments}) AS top_feature_attributions",
        f"{explanation.baseline} AS baseline_prediction_value",
        f"{explanation.value} AS prediction_value",
        f"{_error(rows)} AS approximation_error",
        *nearest,
    ]
    return Inline(f"(SELECT {', '.join(items)}, {rows.found.rest} FROM {rows.found.sql})", rows.found.tables)


def _examples(call: Call) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """What the score must hold for the nearest examples, and their select item."""
    check_examples(call)
    database, trained = call.context.database, call.model
    place, named = place_of(database, trained)
    item = nearest_item(database, trained, place, named, call.settings.top_k_examples)
    return (named,), [f"{item} AS top_examples"]


def _explain_by_examples(call: Call) -> Inline:
    """Models that only put rows into a space: the columns of ML.PREDICT, then the nearest examples."""
    let, nearest = _examples(call)
    data, score = call.data, call.kind.score(call.model)
    more = replace(score, let=(*score.let, *let))
    found = scored(call.context.database, call.model, data.sql, data.columns, data.span, more)
    items = [*prediction_items(call, found), *nearest, found.rest]
    return Inline(f"(SELECT {', '.join(items)} FROM {found.sql})", found.tables)


def _refuse_foreign(call: Call) -> None:
    for name in ("integrated_gradients_num_steps", "approx_feature_contrib"):
        if name in call.given and name not in call.kind.explain_settings:
            able = [n for n, m in MODELS.items() if name in m.explain_settings]
            hint = f"it is for {', '.join(able)}." if able else None
            text = f"{name.upper()} must not be given for a {call.model.model} model."
            raise OptionError(text, span=call.places.get(name, call.span), hint=hint)


def _predictions(score: Score, trained: Trained) -> list[str]:
    label = trained.label
    assert label is not None
    name = quote_name(f"predicted_{label.name}")
    if not label.classes:
        return [f"{score.value(0)} AS {name}"]
    if len(label.classes) == 2:
        probability = f"(CASE WHEN __c = 1 THEN {score.value(1)} ELSE {score.value(0)} END)"
    else:
        probability = f"({score.list()})[__c + 1]"
    return [f"{label.value('__c')} AS {name}", f"{probability} AS probability"]


def _error(rows: Explained) -> str:
    """|value - baseline - sum of attributions| / |value - baseline|, 0 where nothing is to be explained."""
    explanation = rows.explanation
    if explanation.exact:
        return "0.0::DOUBLE"
    moved = f"({explanation.value} - {explanation.baseline})"
    rest = f"abs({moved} - coalesce(list_sum({rows.vector}), 0.0))"
    return f"(CASE WHEN {moved} = 0 THEN 0.0::DOUBLE ELSE {rest} / abs({moved}) END)"


def top_function(trained: Trained, rows: Explained, k: int) -> BatchFunction:
    """The function that gives the k largest attributions of a row by size, as ARRAY<STRUCT>."""
    names = texts([f.name for f in trained.design.features])
    width = len(names)
    separate = bool(rows.parts) and width <= ARGUMENTS
    if separate:
        arguments = tuple((name, "DOUBLE") for name in rows.parts)
    else:
        arguments = ((rows.vector, "DOUBLE[]"),)

    def run(*arrays: pa.Array) -> pa.Array:
        return largest(_matrix(arrays, width, separate), names, k)

    return BatchFunction(run, arguments, ATTRIBUTIONS, f"top{k}")


def _matrix(arrays: tuple[pa.Array, ...], width: int, separate: bool) -> F64:
    """(features, n) of the arguments of `top_function`; NULL is NaN."""
    if separate:
        return np.stack([numbers(a) for a in arrays])
    values = np.asarray(arrays[0].flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.ascontiguousarray(values.reshape(len(arrays[0]), width).T)


def largest(values: F64, names: pa.Array, k: int) -> pa.Array:
    """The k largest of each column of values (d, n) by size, with their names (d,): list<struct>, (n,).

    Names stay in a dictionary: writing them out for every row costs more than all the rest.
    """
    d, n = values.shape
    size = np.empty((n, d))
    np.negative(np.abs(values.T, out=size), out=size)
    order = np.argsort(size, axis=1, kind="stable")[:, :k]
    k = order.shape[1]
    picked = floats(values.ravel().take((order * n + np.arange(n)[:, None]).ravel()))
    indices = np.ascontiguousarray(order.ravel(), dtype=np.int32)
    index = pa.Array.from_buffers(pa.int32(), len(indices), [None, pa.py_buffer(indices)])
    named = pa.DictionaryArray.from_arrays(index, names)
    structs = pa.StructArray.from_arrays([named, picked], ["feature", "attribution"])
    ends = np.arange(0, (n + 1) * k, k, dtype=np.int32) if k else np.zeros(n + 1, dtype=np.int32)
    offsets = pa.Array.from_buffers(pa.int32(), len(ends), [None, pa.py_buffer(ends)])
    return pa.ListArray.from_arrays(offsets, structs)


# ---------------------------------------------------------------- models


def global_attributions(
    database: Database, trained: Trained, source: str, columns: tuple[Column, ...], rows: int
) -> dict[str, F64]:
    """Mean absolute attributions over rows (after TRANSFORM), as kept with a model.

    Args:
        trained: the model, without its TRANSFORM.
        source: a FROM item of `rows` rows with `columns`.

    Returns:
        "attributions": (features,), of the predicted class for classifiers; for them also
        "class_attributions": (classes, features).
    """
    closed = bool(MODELS[trained.model].explain(trained, ExplainRequest()).parts)
    if not closed and rows > GLOBAL_ROWS:
        listed = ", ".join(quote_name(c.name) for c in trained.design.columns)
        source = f"(SELECT * FROM {source} WHERE hash({listed}) % {1 + rows // GLOBAL_ROWS} = 0)"
    steps = getattr(trained.options, "integrated_gradients_num_steps", None)

    def means(output: int | None) -> F64:
        request = ExplainRequest(output, steps, MODELS[trained.model].approximates(trained.options))
        found = explain_rows(database, trained, source, columns, request)
        Rows(database).know(found.found)
        parts = found.parts or [f"({found.vector})[{i + 1}]" for i in range(len(trained.design.features))]
        terms = ", ".join(f"avg(abs({p}))" for p in parts)
        values = database.execute(f"SELECT {terms} FROM {found.found.sql}")[0]
        return np.array([0.0 if v is None else v for v in values], dtype=np.float64)

    every = {"attributions": means(None)}
    if trained.label is not None and trained.label.classes:
        k = len(trained.label.classes)
        if k == 2:  # the log odds of one class are those of the other with the opposite sign
            every["class_attributions"] = np.tile(every["attributions"], (2, 1))
        else:
            every["class_attributions"] = np.array([means(j) for j in range(k)])
    return every


def explains(trained: Trained) -> bool:
    """Whether global attributions are due at the end of training."""
    return bool(getattr(trained.options, "enable_global_explain", False))


def _global_explain(call: Call) -> Computed:
    trained, stored = call.model, call.model.evaluation
    if "attributions" not in stored:
        hint = "train with ENABLE_GLOBAL_EXPLAIN=TRUE."
        raise NotSupportedError(
            f"the model {trained.path} was trained without global attributions.", span=call.span, hint=hint
        )
    names = [f.name for f in trained.design.features] or [c.name for c in trained.inputs]
    if not call.settings.class_level_explain:
        columns = (Column("feature", "VARCHAR"), Column("attribution", "DOUBLE"))
        return Computed(columns, _table(names, stored["attributions"][None, :], None, None))
    if "class_attributions" not in stored:
        text = "CLASS_LEVEL_EXPLAIN must be given only for classifiers (not of AutoML)."
        text += f" {trained.path} is a {trained.model}."
        raise OptionError(text, span=call.places.get("class_level_explain", call.span))
    assert trained.label is not None
    lead = (Column("class_name", "VARCHAR"), Column("feature", "VARCHAR"), Column("attribution", "DOUBLE"))
    return Computed(lead, _table(names, stored["class_attributions"], trained.label.classes, CLASS_FEATURES))


def _table(names: list[str], values: F64, classes: tuple[str, ...] | None, most: int | None) -> Callable[[], pa.Table]:
    """Lines in descending order of attribution, class after class."""

    def compute() -> pa.Table:
        who: list[str | None] = []
        what: list[str | None] = []
        size: list[float] = []
        for j, row in enumerate(values):
            for i in np.argsort(-row, kind="stable")[:most]:
                who.append(classes[j] if classes else None)
                what.append(names[i])
                size.append(float(row[i]))
        lead = {"class_name": texts(who)} if classes else {}
        return pa.table({**lead, "feature": texts(what), "attribution": floats(size)})

    return compute


_BY_EXAMPLES = TableFunction(
    name="ML.EXPLAIN_PREDICT",
    doc="Reduces rows and gives the nearest training examples.",
    run=_explain_by_examples,
    settings=ExampleSettings,
    data="required",
    asks="place",
    tasks=frozenset({Task.REDUCTION}),
)
EXPLAIN_PREDICT = TableFunction(
    name="ML.EXPLAIN_PREDICT",
    doc="Predicts with a model and says what each feature contributed.",
    run=_explain_predict,
    settings=ExplainSettings,
    data="required",
    asks="explain",
    tasks=SUPERVISED,
    forms=(_BY_EXAMPLES,),
)
GLOBAL_EXPLAIN = TableFunction(
    name="ML.GLOBAL_EXPLAIN",
    doc="Mean absolute attribution of each feature, over the rows held out at training.",
    run=_global_explain,
    settings=GlobalSettings,
    tasks=SUPERVISED,
)
