"""What a model holds: ML.WEIGHTS, ML.ADVANCED_WEIGHTS, ML.CENTROIDS, ML.PRINCIPAL_COMPONENTS,
ML.PRINCIPAL_COMPONENT_INFO, ML.FEATURE_INFO, ML.TRAINING_INFO.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from sqlml.errors import NotSupportedError
from sqlml.functions.base import Call, Computed, TableFunction, for_each_trial
from sqlml.models.base import Fixed
from sqlml.options import option

FEATURE_COLUMNS = (
    ("input", "VARCHAR", pa.string()),
    *((n, "DOUBLE", pa.float64()) for n in ("min", "max", "mean", "median", "stddev")),
    *((n, "BIGINT", pa.int64()) for n in ("category_count", "null_count", "dimension")),
)


@dataclass(frozen=True)
class WeightsSettings:
    """Settings of ML.WEIGHTS and ML.ADVANCED_WEIGHTS."""

    standardize: bool = option(False, "Weights of features scaled to mean 0 and deviation 1.")


@dataclass(frozen=True)
class CentroidsSettings:
    """Settings of ML.CENTROIDS."""

    standardize: bool = option(False, "Numbers as if every feature had mean 0 and deviation 1.")


def fixed(answer: Fixed) -> Computed:
    """An answer of the model as a relation."""
    return Computed(answer.columns, lambda: answer.table)


def _weights(call: Call) -> Computed:
    return fixed(for_each_trial(call, lambda t: call.kind.weights(t, call.settings.standardize)))  # type: ignore[attr-defined]


def _advanced(call: Call) -> Computed:
    try:
        return fixed(call.kind.advanced_weights(call.model, call.settings.standardize))  # type: ignore[attr-defined]
    except NotSupportedError as error:
        error.span = error.span or call.span
        raise


def _centroids(call: Call) -> Computed:
    return fixed(for_each_trial(call, lambda t: call.kind.centroids(t, call.settings.standardize)))  # type: ignore[attr-defined]


def _components(call: Call) -> Computed:
    return fixed(call.kind.principal_components(call.model))  # type: ignore[attr-defined]


def _component_info(call: Call) -> Computed:
    return fixed(call.kind.principal_component_info(call.model))  # type: ignore[attr-defined]


def _importance(call: Call) -> Computed:
    return fixed(call.kind.feature_importance(call.model))  # type: ignore[attr-defined]


def _feature_info(call: Call) -> Computed:
    statistics = call.kind.feature_statistics(call.model)
    if not statistics:
        text = f"ML.FEATURE_INFO has nothing to say of {call.model.path}, whose type is {call.model.model}."
        raise NotSupportedError(text, span=call.span)
    names = [name for name, _, _ in FEATURE_COLUMNS[1:]]
    rows = [{"input": s.name, **{n: getattr(s, n) for n in names}} for s in statistics]
    return fixed(Fixed.of(FEATURE_COLUMNS, rows))


def _training_info(call: Call) -> Computed:
    if call.model.finished:
        hint = f"SELECT * FROM ML.TRIAL_INFO(MODEL {call.model.path})"
        raise NotSupportedError("ML.TRAINING_INFO is not available for tuned models.", span=call.span, hint=hint)
    return fixed(call.kind.training_info(call.model))


WEIGHTS = TableFunction(
    name="ML.WEIGHTS",
    doc="The weights of a linear or logistic regression.",
    run=_weights,
    settings=WeightsSettings,
    asks="weights",
)
ADVANCED_WEIGHTS = TableFunction(
    name="ML.ADVANCED_WEIGHTS",
    doc="Weights with standard errors and p-values.",
    run=_advanced,
    settings=WeightsSettings,
    asks="advanced_weights",
)
CENTROIDS = TableFunction(
    name="ML.CENTROIDS",
    doc="The centers of the clusters, feature by feature.",
    run=_centroids,
    settings=CentroidsSettings,
    asks="centroids",
)
PRINCIPAL_COMPONENTS = TableFunction(
    name="ML.PRINCIPAL_COMPONENTS",
    doc="The principal components, feature by feature.",
    run=_components,
    asks="principal_components",
)
PRINCIPAL_COMPONENT_INFO = TableFunction(
    name="ML.PRINCIPAL_COMPONENT_INFO",
    doc="The variance that each principal component explains.",
    run=_component_info,
    asks="principal_component_info",
)
FEATURE_IMPORTANCE = TableFunction(
    name="ML.FEATURE_IMPORTANCE",
    doc="How often, with what gain and over how many rows trees split on each column.",
    run=_importance,
    asks="feature_importance",
)
FEATURE_INFO = TableFunction(
    name="ML.FEATURE_INFO", doc="Statistics of the columns that a model was trained on.", run=_feature_info
)
TRAINING_INFO = TableFunction(
    name="ML.TRAINING_INFO", doc="Loss and time of each iteration of the training.", run=_training_info
)
