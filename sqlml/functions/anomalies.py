"""ML.DETECT_ANOMALIES: rows that fit a model worse than most of its training rows; unlikely values of series.

What is measured belongs to the model type (its method `anomalies`); series have a form of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlml.functions.base import Call, Inline, TableFunction
from sqlml.functions.forecast_errors import DETECT_FORECAST_ANOMALIES
from sqlml.functions.scoring import scored
from sqlml.models.base import Anomalies
from sqlml.options import REQUIRED, option
from sqlml.schema import quote_name


@dataclass(frozen=True)
class ContaminationSettings:
    """Settings of ML.DETECT_ANOMALIES for clusters and reduced dimensions."""

    contamination: float = option(REQUIRED, "Share of the training rows that count as anomalous.", low=0.0, high=0.5)


def _run(call: Call) -> Inline:
    found: Anomalies = call.kind.anomalies(call.model, call.settings.contamination)  # type: ignore[attr-defined]
    data = call.data
    rows = scored(call.context.database, call.model, data.sql, data.columns, data.span, found.score)
    items = ", ".join(f"{sql} AS {quote_name(name)}" for name, sql in found.columns)
    return Inline(f"(SELECT {items}, {rows.rest} FROM {rows.sql})", rows.tables)


DETECT_ANOMALIES = TableFunction(
    name="ML.DETECT_ANOMALIES",
    doc="Rows that fit the model worse than most training rows, or unlikely values of a time series.",
    run=_run,
    settings=ContaminationSettings,
    data="required",
    asks="anomalies",
    forms=(DETECT_FORECAST_ANOMALIES,),
)
