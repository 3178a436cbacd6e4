"""ML.EVALUATE, ML.CONFUSION_MATRIX, ML.ROC_CURVE."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats
from sqlml.errors import DataError, OptionError, SchemaError
from sqlml.functions.base import (
    Call,
    Computed,
    Inline,
    TableFunction,
    for_each_trial,
    label_column,
    led_by_trial,
    not_without_data,
    refuse_threshold,
    refuse_trials,
)
from sqlml.functions.forecast_errors import EVALUATE_FORECAST
from sqlml.functions.measure import (
    CLASSIFICATION,
    REGRESSION,
    Outcome,
    Rows,
    classification_metrics,
    outcome,
    regression_metrics,
)
from sqlml.functions.scoring import Scored, input_relation, predicted_code, scored
from sqlml.kernels.metrics import ScoreCounts, curve, quantile_thresholds
from sqlml.kernels.types import F64
from sqlml.models.base import Fixed, Label, Task
from sqlml.options import option
from sqlml.schema import Column, fresh_name, quote_name

SUPERVISED = frozenset({Task.REGRESSION, Task.CLASSIFICATION})


@dataclass(frozen=True)
class EvaluateSettings:
    """Settings of ML.EVALUATE and ML.CONFUSION_MATRIX."""

    threshold: float | None = option(None, "Cut-off of the larger of two labels; 0.5 by default.", low=0.0, high=1.0)
    trial_id: int | None = option(None, "The trial of a tuned model.", low=1)


@dataclass(frozen=True)
class CurveSettings:
    """Settings of ML.ROC_CURVE."""

    trial_id: int | None = option(None, "The trial of a tuned model.", low=1)


def score_source(call: Call) -> tuple[Rows, Scored]:
    """The data argument, scored; it must hold the label."""
    label_column(call)
    context = call.context
    found = scored(context.database, call.model, call.data.sql, call.data.columns, call.data.span)
    return Rows(context.database, call.data.scope, context.parameters), found


def _evaluate(call: Call) -> Inline | Computed:
    refuse_threshold(call)
    refuse_trials(call)
    if call.source is not None and not call.kind.evaluates_rows:
        text = f"{call.name} takes no input data for {call.model.model} models."
        raise OptionError(text, span=call.source.span)
    if call.kind.task in SUPERVISED:
        names: Sequence[str] = CLASSIFICATION if call.model.label and call.model.label.classes else REGRESSION
    else:
        names = call.kind.metric_names(call.model)
    columns = tuple(Column(n, "DOUBLE") for n in names)
    if call.source is not None and call.kind.task in SUPERVISED:
        label_column(call)

    def table(found: Mapping[str, float | None]) -> pa.Table:
        return pa.table({n: floats([_number(found[n])]) for n in names})

    if call.source is None:
        every = for_each_trial(call, lambda trained: Fixed(columns, table(trained.metrics)))
        return Computed(every.columns, lambda: every.table)
    return led_by_trial(call, Computed(columns, lambda: table(_measure(call))))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _measure(call: Call) -> Mapping[str, float | None]:
    label = call.model.label
    if label is None or call.kind.task not in SUPERVISED:
        try:
            return call.kind.measure(call.model, input_relation(call))
        except (DataError, SchemaError) as error:
            error.span = error.span or call.data.span
            raise
    rows, found = score_source(call)
    if not label.classes:
        return regression_metrics(rows, found, label)
    return classification_metrics(outcome(rows, found, label, call.settings.threshold))


def class_columns(label: Label, taken: Sequence[str]) -> list[str]:
    """A valid column name for each class: 0 becomes _0, and so on; unique."""
    names: list[str] = []
    for text in label.classes:
        name = re.sub(r"\W", "_", text) or "_"
        name = f"_{name}" if name[0].isdigit() else name
        names.append(fresh_name(name, [*taken, *names]))
    return names


def _confusion(call: Call) -> Inline | Computed:
    refuse_threshold(call)
    refuse_trials(call)
    label = _classes(call)
    names = class_columns(label, ["expected_label"])
    kind = label.sql_type if call.source is None else label_column(call).sql_type
    columns = (Column("expected_label", kind), *(Column(n, "BIGINT") for n in names))

    def compute() -> pa.Table:
        if call.source is not None:
            return _confusion_of(call, label, names)
        if "confusion" not in call.model.evaluation:
            raise not_without_data(call)
        confusion: F64 = call.model.evaluation["confusion"]
        there = np.flatnonzero(confusion.sum(axis=1) > 0)
        database = call.context.database
        items = ", ".join(f"({label.value(str(i))}, {i})" for i in there)
        rows = database.table(f"SELECT l AS expected_label FROM (VALUES {items}) AS t(l, i) ORDER BY i")
        for j, name in enumerate(names):
            rows = rows.append_column(name, pa.array(confusion[there, j].astype(np.int64)))
        return rows

    return led_by_trial(call, Computed(columns, compute))


def _confusion_of(call: Call, label: Label, names: list[str]) -> pa.Table:
    rows, found = score_source(call)
    column = label_column(call)
    code = predicted_code(found.score, label, call.settings.threshold)
    counts = ", ".join(f"count_if(c = {j})::BIGINT AS {quote_name(n)}" for j, n in enumerate(names))
    rows.know(found)
    inner = f"SELECT {quote_name(column.name)} AS expected_label, {code} AS c FROM {found.sql}"
    select = f"SELECT expected_label, {counts} FROM ({inner}) WHERE expected_label IS NOT NULL"
    return rows.database.table(f"{rows.scope} {select} GROUP BY 1 ORDER BY 1", rows.parameters)


def _classes(call: Call) -> Label:
    label = call.model.label
    if label is None or not label.classes:
        raise OptionError(
            f"{call.name} must be given a classifier. {call.model.path} is a {call.model.model}.", span=call.span
        )
    return label


def _roc_curve(call: Call) -> Computed:
    refuse_trials(call)
    label = _classes(call)
    if len(label.classes) != 2:
        text = f"ML.ROC_CURVE must be given a model with two labels. {call.model.path} has {len(label.classes)}."
        raise OptionError(text, span=call.span)
    names = ("true_positives", "false_positives", "true_negatives", "false_negatives")
    lead = tuple(Column(n, "DOUBLE") for n in ("threshold", "recall", "false_positive_rate"))
    if call.source is not None:
        label_column(call)

    def compute() -> pa.Table:
        counts = _counts(call, label)
        if call.array is None:
            thresholds = quantile_thresholds(counts)
        else:
            thresholds = np.array([float(v) for v in call.array], dtype=np.float64)  # type: ignore[arg-type]
        tp, fp, tn, fn = curve(counts, thresholds)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = [tp / (tp + fn), fp / (fp + tn)]
        values: dict[str, Any] = {"threshold": thresholds, "recall": rates[0], "false_positive_rate": rates[1]}
        return pa.table({**values, **dict(zip(names, (tp, fp, tn, fn), strict=True))})

    return Computed((*lead, *(Column(n, "BIGINT") for n in names)), compute)


def _counts(call: Call, label: Label) -> ScoreCounts:
    if call.source is not None:
        rows, found = score_source(call)
        result: Outcome = outcome(rows, found, label)
        return result.counts[0]
    stored = call.model.evaluation
    if "score" not in stored:
        raise not_without_data(call)
    return ScoreCounts(stored["score"], stored["positives"], stored["negatives"])


EVALUATE = TableFunction(
    name="ML.EVALUATE",
    doc="Metrics of a model, over the rows held out at training or over the input.",
    run=_evaluate,
    settings=EvaluateSettings,
    data="optional",
    tasks=frozenset(Task) - {Task.TRANSFORM, Task.CONTRIBUTION},
    forms=(EVALUATE_FORECAST,),
)
CONFUSION_MATRIX = TableFunction(
    name="ML.CONFUSION_MATRIX",
    doc="Rows by actual and predicted label.",
    run=_confusion,
    settings=EvaluateSettings,
    data="optional",
    tasks=frozenset({Task.CLASSIFICATION}),
)
ROC_CURVE = TableFunction(
    name="ML.ROC_CURVE",
    doc="Recall and false positive rate at many thresholds.",
    run=_roc_curve,
    settings=CurveSettings,
    data="optional",
    tasks=frozenset({Task.CLASSIFICATION}),
    array=True,
)
