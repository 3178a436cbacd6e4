"""Forecasts beside actual values: ML.EVALUATE and ML.DETECT_ANOMALIES of forecasting models.

The input is joined by SQL to the stored forecasts, on the ids and the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlml.errors import OptionError, SchemaError
from sqlml.functions.arima import EVALUATED, arima_evaluate
from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.forecast import (
    FORECASTING,
    STAMP_SQL,
    ahead,
    check_horizon,
    double_columns,
    fitted_series,
    half_width,
    id_arrays,
    input_columns,
    limits,
    numbers,
    refuse_undecomposed,
    stamps,
    state_of,
    with_future,
)
from sqlml.functions.series_rows import Make, series_rows
from sqlml.kernels import intervals
from sqlml.kernels.parts import parts_of
from sqlml.kernels.types import F64
from sqlml.models.base import Trained
from sqlml.models.time_series import ForecastState, microseconds
from sqlml.options import option
from sqlml.schema import Column, Kind, quote_name, same_name

METRICS = (
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_percentage_error",
    "symmetric_mean_absolute_percentage_error",
    "mean_absolute_scaled_error",
)
LIMITS = ("__low", "__high")
#: Select items of the metrics over rows (y, f, scale): percentages in percent, as the service prints them.
ERRORS = (
    "avg(abs(y - f))",
    "avg((y - f) ** 2)",
    "sqrt(avg((y - f) ** 2))",
    "100 * avg(abs(y - f) / nullif(abs(y), 0))",
    "100 * avg(abs(y - f) / nullif((abs(y) + abs(f)) / 2, 0))",
    "avg(abs(y - f) / nullif(scale, 0))",
)


@dataclass(frozen=True)
class ForecastEvaluateSettings:
    """Settings of ML.EVALUATE for forecasting models."""

    perform_aggregation: bool = option(True, "One row of metrics per series, or one row per time.")
    horizon: int | None = option(None, "Points that are compared; by default the HORIZON of the model.", low=1)
    confidence_level: float = option(
        0.95, "Probability of the bounds, with PERFORM_AGGREGATION FALSE.", low=0.0, below=1.0
    )


@dataclass(frozen=True)
class AnomalySettings:
    """Settings of ML.DETECT_ANOMALIES for forecasting models."""

    anomaly_prob_threshold: float = option(
        0.95, "A value is anomalous when its probability is larger.", low=0.0, below=1.0
    )


# ---------------------------------------------------------------- the join


def _input_columns(call: Call, state: ForecastState) -> tuple[Column, Column, list[Column]]:
    """The time, data and id columns of the input. Raises `SchemaError`."""
    time, data, *ids = input_columns(call, (state.time_column, state.data_column, *state.id_columns))
    if data.kind is not Kind.NUMERIC:
        text = f"the column {data.name} must be numeric. Got {data.type.google}."
        raise SchemaError(text, span=call.data.span)
    for column, wanted in zip(ids, state.id_columns, strict=True):
        if column.type.google != wanted.type.google:
            text = f"the id column {column.name} must be {wanted.type.google}. Got {column.type.google}."
            raise SchemaError(text, span=call.data.span)
    return time, data, ids


def _stored(trained: Trained, state: ForecastState, horizon: int) -> pa.Table:
    """Forecasts by series and time, with the interval's unit and the scale of scaled errors."""
    record = state.series
    which = fitted_series(record)
    times, values, errors = ahead(trained, record, which, horizon)
    rows = np.repeat(np.array(which, np.int64), horizon)
    ids = {f"__i{k}": a for k, a in enumerate(id_arrays(state, rows).values())}
    return pa.table(
        {
            **ids,
            "__t": pa.array(times, pa.int64()),
            "__f": numbers(values),
            "__se": numbers(errors),
            "__scale": numbers(record.naive_error[rows]),
            **{name: numbers(x[rows]) for name, x in zip(LIMITS, limits(trained, state), strict=True)},
        }
    )


@contextmanager
def _joined(call: Call, state: ForecastState, table: pa.Table, how: str) -> Iterator[tuple[str, str]]:
    """(scope, FROM clause): input rows `r` beside the forecasts `p` of their series and time."""
    time, _, ids = _input_columns(call, state)
    database = call.context.database
    name = database.fresh_name("forecasts")
    on = [f"p.__i{k} IS NOT DISTINCT FROM r.{quote_name(c.name)}" for k, c in enumerate(ids)]
    at = microseconds(time).replace("(", "(r.", 1)
    database.register(name, table)
    try:
        yield call.data.scope, f"{call.data.sql} AS r {how} JOIN {name} AS p ON {' AND '.join([*on, f'p.__t = {at}'])}"
    finally:
        database.unregister(name)


def _select(call: Call, scope: str, select: str) -> pa.Table:
    return call.context.database.table(f"{scope} {select}", call.context.parameters)


# ---------------------------------------------------------------- ML.EVALUATE


def _evaluate(call: Call) -> Computed:
    if call.source is None:
        given = sorted(call.given)
        if given:
            text = f"{given[0].upper()} must be given only together with input data."
            raise OptionError(text, span=call.places.get(given[0], call.span))
        columns = tuple(("aic" if n == "AIC" else n, s, t) for n, s, t in EVALUATED if n != "error_message")
        renamed = arima_evaluate(call, False)
        wanted = (*state_of(call.model).id_columns, *(Column(n, s) for n, s, _ in columns))

        def first() -> pa.Table:
            table = renamed.compute()  # the reason of a failure is its last column
            return pa.Table.from_arrays(table.columns[: len(wanted)], names=[c.name for c in wanted])

        return Computed(wanted, first)
    state = state_of(call.model)
    horizon = check_horizon(call, call.settings.horizon or state.series.horizon)
    _input_columns(call, state)
    if call.settings.perform_aggregation:
        if "confidence_level" in call.given:
            text = "CONFIDENCE_LEVEL must be given only with PERFORM_AGGREGATION FALSE."
            raise OptionError(text, span=call.places.get("confidence_level", call.span))
        return _aggregated(call, state, horizon)
    return _by_time(call, state, horizon)


def _aggregated(call: Call, state: ForecastState, horizon: int) -> Computed:
    later = with_future(call)

    def compute() -> pa.Table:
        table = _stored(call.model, later(), horizon)
        _, data, ids = _input_columns(call, state)
        keys = [f"r.{quote_name(c.name)}" for c in ids]
        items = [f"{e} AS {m}" for e, m in zip(ERRORS, METRICS, strict=True)]
        with _joined(call, state, table, "INNER") as (scope, source):
            inner = ", ".join(
                [
                    *(f"{k} AS {quote_name(w.name)}" for k, w in zip(keys, state.id_columns, strict=True)),
                    f"r.{quote_name(data.name)}::DOUBLE AS y, p.__f AS f, p.__scale AS scale",
                ]
            )
            listed = [quote_name(c.name) for c in state.id_columns]
            tail = f" GROUP BY {', '.join(listed)} ORDER BY {', '.join(listed)}" if listed else ""
            rows = f"SELECT {inner} FROM {source} WHERE r.{quote_name(data.name)} IS NOT NULL"
            return _select(call, scope, f"SELECT {', '.join([*listed, *items])} FROM ({rows}){tail}")

    return Computed((*state.id_columns, *double_columns(METRICS)), compute)


def _by_time(call: Call, state: ForecastState, horizon: int) -> Computed:
    time, data, ids = _input_columns(call, state)
    forecast = f"forecasted_{state.data_column.name}"
    columns = (
        *(Column(w.name, c.sql_type) for w, c in zip(state.id_columns, ids, strict=True)),
        Column(state.time_column.name, time.sql_type),
        Column(state.data_column.name, data.sql_type),
        *double_columns((forecast, "lower_bound", "upper_bound", "absolute_error", "absolute_percentage_error")),
    )
    width = half_width(call.model, call.settings.confidence_level)
    later = with_future(call)

    def compute() -> pa.Table:
        table = _stored(call.model, later(), horizon)
        y = f"r.{quote_name(data.name)}::DOUBLE"
        given = [*ids, time, data]
        shown = [f"r.{quote_name(c.name)} AS {quote_name(o.name)}" for c, o in zip(given, columns, strict=False)]
        items = [
            *shown,
            f"p.__f AS {quote_name(forecast)}",
            f"{_limit(f'p.__f - {width!r} * p.__se')} AS lower_bound",
            f"{_limit(f'p.__f + {width!r} * p.__se')} AS upper_bound",
            f"abs({y} - p.__f) AS absolute_error",
            f"abs({y} - p.__f) / nullif(abs({y}), 0) AS absolute_percentage_error",
        ]
        order = ", ".join(f"r.{quote_name(c.name)}" for c in [*ids, time, data])
        with _joined(call, state, table, "LEFT") as (scope, source):
            return _select(call, scope, f"SELECT {', '.join(items)} FROM {source} ORDER BY {order}")

    return Computed(columns, compute)


def _limit(sql: str) -> str:
    """A bound inside the limits of the model's forecasts, NULL where there is no forecast."""
    return f"CASE WHEN p.__f IS NOT NULL THEN least(greatest({sql}, p.__low), p.__high) END"


# ---------------------------------------------------------------- ML.DETECT_ANOMALIES


def _anomaly_columns(state: ForecastState) -> tuple[Column, ...]:
    return (
        *state.id_columns,
        Column(state.time_column.name, STAMP_SQL),
        Column(state.data_column.name, "DOUBLE"),
        Column("is_anomaly", "BOOLEAN"),
        *double_columns(("lower_bound", "upper_bound", "anomaly_probability")),
    )


def _anomalies(call: Call) -> Computed:
    if call.source is not None:
        return _new_anomalies(call)
    refuse_undecomposed(call)
    state = state_of(call.model)
    columns = _anomaly_columns(state)
    which = fitted_series(state.series)
    return Computed(columns, lambda: series_rows(state, columns, which, _past_anomalies(call, state, columns)))


def expected(state: ForecastState, i: int) -> tuple[F64, F64]:
    """What the history of series i was expected to be, and the deviation of its errors, each of shape (n,).

    Spikes are not expected. The first points have no past to be predicted from, and count as expected.
    """
    record = state.series
    attributed: Callable[[int, int], dict[str, F64]] | None = getattr(state, "attributions", None)
    n = record.count(i)
    effects = None if attributed is None else sum(attributed(i, 0).values(), np.zeros(n))
    found = parts_of(record, i, state.calendar, 0, attributions=effects)
    total = found.adjusted if found.steps is None else found.adjusted + found.steps
    total = total.copy()
    start = int(record.d[i])
    total[:start] = found.data[:start]
    return total, found.sigma


def _past_anomalies(call: Call, state: ForecastState, columns: Sequence[Column]) -> Make:
    """What makes rows of the history."""
    record = state.series
    time, *judged = [c.name for c in columns[len(state.id_columns) :]]
    lows, highs = limits(call.model, state)

    def make(which: list[int], names: frozenset[str]) -> tuple[list[int], dict[str, pa.Array]]:
        counts = [record.count(i) for i in which]
        arrays: dict[str, pa.Array] = {}
        if time in names:
            times = [record.times(i, 0, n) for i, n in zip(which, counts, strict=True)]
            arrays[time] = stamps(np.concatenate(times))
        if not names.isdisjoint(judged):
            rows = np.repeat(np.array(which, np.int64), counts)
            both = [expected(state, i) for i in which]
            fitted, sigma = (np.concatenate([b[k] for b in both]) for k in range(2))
            values = np.concatenate([record.data[record.points(i)] for i in which])
            arrays |= zip(judged, _verdict(call, values, fitted, sigma, lows[rows], highs[rows]), strict=True)
        return counts, arrays

    return make


def _verdict(call: Call, y: F64, f: F64, sigma: F64, low: F64, high: F64) -> list[pa.Array]:
    """The value, whether it is an anomaly, its bounds inside the limits, and its probability."""
    threshold = call.settings.anomaly_prob_threshold
    width = half_width(call.model, threshold) * sigma
    probability = anomaly_probability(call.model, y - f, sigma)
    return [
        numbers(y),
        pa.array(probability > threshold, mask=np.isnan(probability)),
        numbers(np.clip(f - width, low, high)),
        numbers(np.clip(f + width, low, high)),
        numbers(probability),
    ]


def anomaly_probability(trained: Trained, error: F64, sigma: F64) -> F64:
    """Chance that a value lies nearer to the forecast; a series without noise allows no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(error == 0.0, 0.0, np.abs(error) / sigma)
    return np.minimum(intervals.anomaly_probability(distance, exact=trained.fidelity == "best"), 1.0)


def _new_anomalies(call: Call) -> Computed:
    if "anomaly_prob_threshold" not in call.given:
        hint = "STRUCT(0.95 AS anomaly_prob_threshold)"
        text = "ANOMALY_PROB_THRESHOLD must be given together with input data."
        raise OptionError(text, span=call.span, hint=hint)
    state = state_of(call.model)
    time, data, ids = _input_columns(call, state)
    known = [time, data, *ids]
    others = [c for c in call.data.columns if not any(same_name(c.name, k.name) for k in known)]
    columns = (*_anomaly_columns(state), *others)
    later = with_future(call)

    def compute() -> pa.Table:
        items = [
            *(f"r.{quote_name(c.name)} AS __id{i}" for i, c in enumerate(ids)),
            f"make_timestamptz({_at(time)}) AS __time, r.{quote_name(data.name)}::DOUBLE AS __y",
            "p.__f AS __f, p.__se AS __se, p.__low AS __low, p.__high AS __high",
            *(f"r.{quote_name(c.name)} AS __other{i}" for i, c in enumerate(others)),
        ]
        stored = later()
        with _joined(call, state, _stored(call.model, stored, stored.series.horizon), "LEFT") as (scope, source):
            order = ", ".join(f"r.{quote_name(c.name)}" for c in [*ids, time, data])
            found = _select(call, scope, f"SELECT {', '.join(items)} FROM {source} ORDER BY {order}")
        return _judged(call, found, columns, len(ids), others)

    return Computed(columns, compute)


def _at(time: Column) -> str:
    return microseconds(time).replace("(", "(r.", 1)


def _judged(call: Call, found: pa.Table, columns: Sequence[Column], ids: int, others: Sequence[Column]) -> pa.Table:
    given = (np.asarray(found.column(n).to_numpy(), dtype=np.float64) for n in ("__y", "__f", "__se", *LIMITS))
    arrays = [
        *(found.column(i) for i in range(ids)),
        found.column("__time").cast(pa.timestamp("us", tz="UTC")),
        *_verdict(call, *given),
        *(found.column(f"__other{i}") for i in range(len(others))),
    ]
    return pa.Table.from_arrays(arrays, names=[c.name for c in columns])


EVALUATE_FORECAST = TableFunction(
    name="ML.EVALUATE",
    doc="Errors of forecasts against actual values, by series or by time.",
    run=_evaluate,
    settings=ForecastEvaluateSettings,
    data="optional",
    tasks=FORECASTING,
)
DETECT_FORECAST_ANOMALIES = TableFunction(
    name="ML.DETECT_ANOMALIES",
    doc="Values of a time series that are unlikely, in the history or in new data.",
    run=_anomalies,
    settings=AnomalySettings,
    data="optional",
    tasks=FORECASTING,
)
