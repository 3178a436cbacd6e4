"""ML.GET_INSIGHTS of contribution analysis models, and AI.KEY_DRIVERS, which needs no model."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from sqlml.errors import Error, OptionError
from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.inspect import fixed
from sqlml.models.contribution import check_columns, insight_columns, insight_rows
from sqlml.models.segments import INTEGER_TYPES, Metric, Search, parse_metric
from sqlml.options import REQUIRED, option
from sqlml.relation import LocalRelation
from sqlml.schema import Column, find

#: Most dimensions of AI.KEY_DRIVERS.
DIMENSIONS = 12
_WORDS = ("METRIC_COL", "INTEREST_LABEL_COL", "DIMENSION_COLS")
_RENAMED = {"metric_test": "metric_interest", "metric_control": "metric_reference"}


def _get_insights(call: Call) -> Computed:
    return fixed(call.kind.insights(call.model))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class DriverSettings:
    """Arguments of AI.KEY_DRIVERS."""

    metric_col: str = option(REQUIRED, "The metric: a column, or SUM(column).")
    dimension_cols: tuple[str, ...] = option(REQUIRED, "Columns whose values define segments.")
    interest_label_col: str = option(REQUIRED, "BOOL column: TRUE for the rows of interest, FALSE for the reference.")
    min_apriori_support: float = option(0.1, "Segments with less support are left out.", low=0.0, high=1.0)
    top_k: int | None = option(None, "Keep so many segments, those of the highest support.", low=1, high=1_000_000)
    enable_pruning: bool = option(True, "Leave a segment out when a more specific one has the same metrics.")


def _key_drivers(call: Call) -> Computed:
    settings, data = call.settings, call.data
    metric = _checked(call)
    database, parameters = call.context.database, call.context.parameters
    found = find(data.columns, metric.a)
    integer = found is not None and found.type.name in INTEGER_TYPES
    named = [find(data.columns, d) for d in settings.dimension_cols]
    columns = insight_columns("sum", integer, [(c.name, c.sql_type) for c in named if c is not None], "drivers")
    columns = tuple(Column(_RENAMED.get(c.name, c.name), c.sql_type) for c in columns)

    def compute() -> pa.Table:
        kept = database.snapshot(data.query(), parameters)
        try:
            rows = LocalRelation(database, kept, data.columns)
            search = Search(rows, metric, settings.interest_label_col, settings.dimension_cols, data.columns)
            state = search.run(settings.min_apriori_support, settings.top_k, settings.enable_pruning)
        except Error as error:
            error.message = error.message.replace("IS_TEST_COL", "INTEREST_LABEL_COL")
            raise
        finally:
            database.drop_snapshot(kept)
        return insight_rows(state, "drivers").table.rename_columns([c.name for c in columns])

    return Computed(columns, compute)


def _checked(call: Call) -> Metric:
    settings = call.settings
    metric = parse_metric(settings.metric_col, bare=True)
    if metric is None or metric.form != "sum":
        text = f"METRIC_COL must be a column or SUM(column). Got {settings.metric_col!r}."
        raise OptionError(text, span=call.places.get("metric_col", call.span))
    if {"min_apriori_support", "top_k"} <= call.given:
        raise OptionError("TOP_K must not come with MIN_APRIORI_SUPPORT.", span=call.places.get("top_k", call.span))
    if len(settings.dimension_cols) > DIMENSIONS:
        n = len(settings.dimension_cols)
        span = call.places.get("dimension_cols", call.span)
        raise OptionError(f"DIMENSION_COLS must name at most {DIMENSIONS} columns. Got {n}.", span=span)
    try:
        check_columns(metric, settings.interest_label_col, settings.dimension_cols, call.data.columns, _WORDS)
    except OptionError as error:
        error.span = error.span or call.places.get(error.message.split(" ", 1)[0].lower(), call.span)
        raise
    return metric


GET_INSIGHTS = TableFunction(
    name="ML.GET_INSIGHTS",
    doc="The segments that drove the change of a metric.",
    run=_get_insights,
    asks="insights",
)
KEY_DRIVERS = TableFunction(
    name="AI.KEY_DRIVERS",
    doc="The segments that drove the change of a metric, straight from a table.",
    run=_key_drivers,
    settings=DriverSettings,
    model=False,
    data="required",
)
