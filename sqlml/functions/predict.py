"""ML.PREDICT: inlined SQL; the columns of the prediction follow from the model's task."""

from __future__ import annotations

from dataclasses import dataclass

from sqlml.functions.base import Call, Computed, Inline, TableFunction, led_by_trial, refuse_threshold, refuse_trials
from sqlml.functions.scoring import Scored, predicted_code, scored
from sqlml.models.base import Label, Task
from sqlml.options import option
from sqlml.schema import quote_literal, quote_name, same_name


@dataclass(frozen=True)
class PredictSettings:
    """Settings of ML.PREDICT."""

    threshold: float | None = option(None, "Cut-off of the larger of two labels; 0.5 by default.", low=0.0, high=1.0)
    keep_original_columns: bool = option(False, "Keep the feature columns (PCA only).")
    trial_id: int | None = option(None, "The trial of a tuned model.", low=1)


def _run(call: Call) -> Inline | Computed:
    refuse_threshold(call)
    refuse_trials(call)
    found = scored(call.context.database, call.model, call.data.sql, call.data.columns, call.data.span)
    items = prediction_items(call, found)
    if call.kind.task is not Task.REDUCTION or call.settings.keep_original_columns or call.kind.keeps_columns:
        items.append(found.rest)
    else:
        items += _others(call)
    return led_by_trial(call, Inline(f"(SELECT {', '.join(items)} FROM {found.sql})", found.tables, found.ahead))


def _others(call: Call) -> list[str]:
    """Columns that are not features (ids), which the service passes on with reduced dimensions too."""
    owner = "" if call.model.transform is None else "__in."
    used = [c.name for c in call.model.inputs]
    others = [c.name for c in call.data.columns if not any(same_name(c.name, u) for u in used)]
    return [f"{owner}{quote_name(n)} AS {quote_name(n)}" for n in others]


def prediction_items(call: Call, found: Scored) -> list[str]:
    """The select items of the prediction columns, in order."""
    label = call.model.label
    if label is None or call.kind.task not in (Task.REGRESSION, Task.CLASSIFICATION):
        return [f"{sql} AS {quote_name(name)}" for name, sql in call.kind.prediction_columns(call.model)]
    name = f"predicted_{label.name}"
    if not label.classes:
        return [f"{found.score.value(0)} AS {quote_name(name)}"]
    code = predicted_code(found.score, label, call.settings.threshold)
    probs = probabilities(found, label)
    return [f"{label.value(code)} AS {quote_name(name)}", f"{probs} AS {quote_name(name + '_probs')}"]


def probabilities(found: Scored, label: Label) -> str:
    """SQL of ARRAY<STRUCT<label, prob>>, the larger labels first."""
    order = range(len(label.classes) - 1, -1, -1)
    if len(label.classes) <= 8 and found.score.vector is None:
        pairs = [f"{{'label': {label.value(str(i))}, 'prob': {found.score.value(i)}}}" for i in order]
        return f"[{', '.join(pairs)}]"
    texts = ", ".join(quote_literal(label.classes[i]) for i in order)
    labels = f"CAST([{texts}] AS {label.sql_type}[])"
    zipped = f"list_zip({labels}, list_reverse({found.score.list()}))"
    return f"list_transform({zipped}, lambda z: {{'label': z[1], 'prob': z[2]}})"


PREDICT = TableFunction(
    name="ML.PREDICT",
    doc="Predicts with a model for every input row.",
    run=_run,
    settings=PredictSettings,
    data="required",
    asks="score",
)
