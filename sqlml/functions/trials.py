"""ML.TRIAL_INFO: the trials of a tuned model."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sqlml.errors import NotSupportedError
from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.inspect import fixed
from sqlml.models.automl import AutoMl, goal
from sqlml.models.base import Fixed, Task, Trained
from sqlml.options import declarations
from sqlml.schema import quote_name
from sqlml.tune import objective_of

_TYPES: dict[str, tuple[str, pa.DataType]] = {
    "INT64": ("BIGINT", pa.int64()),
    "FLOAT64": ("DOUBLE", pa.float64()),
    "STRING": ("VARCHAR", pa.string()),
    "ARRAY<INT64>": ("BIGINT[]", pa.list_(pa.int64())),
}


def _trial_info(call: Call) -> Computed:
    trained = call.model
    if not trained.trials:
        hint = "train with NUM_TRIALS."
        raise NotSupportedError(f"the model {trained.path} was trained without trials.", span=call.span, hint=hint)
    return fixed(trial_rows(trained, call))


def trial_rows(trained: Trained, call: Call) -> Fixed:
    """The rows of ML.TRIAL_INFO."""
    known = declarations(type(trained.options))
    tuned = [name for name, _ in trained.trials[0].hyperparameters]
    first = dict(trained.trials[0].hyperparameters)
    kinds = {n: _TYPES.get(known[n].sql_type, _TYPES["STRING"]) if n in known else _plain(first[n]) for n in tuned}
    metric = _metric(trained, call)
    sql = ", ".join(f"{quote_name(n)} {kinds[n][0]}" for n in tuned)
    shape = pa.struct([(n, kinds[n][1]) for n in tuned])
    columns = (
        ("trial_id", "BIGINT", pa.int64()),
        ("hyperparameters", f"STRUCT({sql})", shape),
        ("hparam_tuning_evaluation_metrics", f"STRUCT({metric} DOUBLE)", pa.struct([(metric, pa.float64())])),
        ("training_loss", "DOUBLE", pa.float64()),
        ("eval_loss", "DOUBLE", pa.float64()),
        ("status", "VARCHAR", pa.string()),
        ("error_message", "VARCHAR", pa.string()),
        ("is_optimal", "BOOLEAN", pa.bool_()),
    )
    rows = [
        {
            "trial_id": t.trial_id,
            "hyperparameters": {n: _shown(v, kinds[n][0]) for n, v in t.hyperparameters},
            "hparam_tuning_evaluation_metrics": {metric: t.objective},
            "training_loss": t.training_loss,
            "eval_loss": t.eval_loss,
            "status": t.status,
            "error_message": t.error,
            "is_optimal": t.is_optimal,
        }
        for t in trained.trials
    ]
    return Fixed.of(columns, rows)


def _metric(trained: Trained, call: Call) -> str:
    """The name of what was optimised."""
    if isinstance(call.kind, AutoMl):
        classes = None if trained.label is None else len(trained.label.classes)
        name, _ = goal(trained.options, call.kind.task, classes or None)
        return name.split("_", 1)[1].lower()
    return objective_of(call.kind, trained.options).lower()


def _shown(value: Any, kind: str) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if kind != "VARCHAR" or value is None else str(value)


def _plain(value: Any) -> tuple[str, pa.DataType]:
    """The type of what is no option: words, or a share of the ensemble."""
    return _TYPES["FLOAT64" if isinstance(value, float) else "STRING"]


#: Tasks of the model types that are tuned.
TUNED = frozenset({Task.REGRESSION, Task.CLASSIFICATION, Task.CLUSTERING, Task.REDUCTION, Task.RECOMMENDATION})
TRIAL_INFO = TableFunction(
    name="ML.TRIAL_INFO",
    doc="The trials of a tuned model: hyperparameters, metric, losses, status.",
    run=_trial_info,
    tasks=TUNED,
)
