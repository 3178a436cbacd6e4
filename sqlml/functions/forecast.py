"""ML.FORECAST and ML.EXPLAIN_FORECAST: what a forecasting model stored, as tables.

Both read the forecasts that were made at CREATE MODEL; only the intervals are computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlml.errors import NotSupportedError, OptionError, ProgrammingError, SchemaError, did_you_mean
from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.series_rows import STAMP, Make, series_rows
from sqlml.kernels import intervals
from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.parts import parts_of
from sqlml.kernels.series_clean import LAST_TIME
from sqlml.kernels.types import F64, I64, Bool
from sqlml.models.arima_plus import summed_series
from sqlml.models.base import Task, Trained
from sqlml.models.time_series import ForecastState, read_ids
from sqlml.options import option
from sqlml.schema import Column, find, names

FORECASTING = frozenset({Task.FORECASTING})
STAMP_SQL = "TIMESTAMP WITH TIME ZONE"
PERIODS = ("YEARLY", "QUARTERLY", "MONTHLY", "WEEKLY", "DAILY")
VALUES = (
    "forecast_value",
    "standard_error",
    "confidence_level",
    "prediction_interval_lower_bound",
    "prediction_interval_upper_bound",
    "confidence_interval_lower_bound",
    "confidence_interval_upper_bound",
)


@dataclass(frozen=True)
class ForecastSettings:
    """Settings of ML.FORECAST and ML.EXPLAIN_FORECAST."""

    horizon: int = option(3, "Points to return per series; at most the HORIZON of the model.", low=1)
    confidence_level: float = option(0.95, "Probability of the intervals.", low=0.0, below=1.0)


def state_of(trained: Trained) -> ForecastState:
    """What the model keeps."""
    state = trained.state
    assert isinstance(state, ForecastState)
    return state


def check_horizon(call: Call, horizon: int) -> int:
    """A horizon that the model has stored; the default is cut to it. Raises `OptionError`."""
    stored = state_of(call.model).series.horizon
    if "horizon" not in call.given:
        return min(horizon, stored)
    if horizon > stored:
        hint = f"train the model with HORIZON={horizon} to forecast further."
        text = f"HORIZON must be at most {stored}, the HORIZON of the model. Got {horizon}."
        raise OptionError(text, span=call.places.get("horizon", call.span), hint=hint)
    return horizon


def input_columns(call: Call, wanted: Sequence[Column]) -> list[Column]:
    """The columns of the input that have the names of `wanted`. Raises `SchemaError`."""
    found = []
    for one in wanted:
        column = find(call.data.columns, one.name)
        if column is None:
            hint = did_you_mean(one.name, names(call.data.columns))
            text = f"the input of {call.name} must have the column {one.name}."
            raise SchemaError(text, span=call.data.span, hint=hint)
        found.append(column)
    return found


def half_width(trained: Trained, level: float) -> float:
    """Standard errors from the forecast to its bounds: exact, or as the service approximates them."""
    return intervals.half_width(level, exact=trained.fidelity == "best")


def limits(trained: Trained, state: ForecastState) -> tuple[F64, F64]:
    """The least and largest value of the forecasts of each series, infinite without FORECAST_LIMIT options.

    Sums of k series inside the limits lie inside k times the limits.
    """
    options, count = trained.options, len(state.series)
    low, high = (getattr(options, f"forecast_limit_{side}_bound", None) for side in ("lower", "upper"))
    if low is None and high is None:
        return np.full(count, -np.inf), np.full(count, np.inf)
    k = summed_series(read_ids(state.ids), options, [bool(e) for e in state.series.error])
    lows = np.full(count, -np.inf) if low is None else np.nextafter(k * low, np.inf)
    highs = np.full(count, np.inf) if high is None else np.nextafter(k * high, -np.inf)
    return lows, highs


def fitted_series(record: Forecasts) -> list[int]:
    """Numbers of the series that were modelled."""
    return [i for i, error in enumerate(record.error) if not error]


def id_arrays(state: ForecastState, rows: I64) -> dict[str, pa.Array]:
    """The id columns of the series numbers in `rows`."""
    table = read_ids(state.ids)
    taken = table.take(pa.array(rows, pa.int64())) if state.id_columns else table
    return {c.name: taken.column(c.name).combine_chunks() for c in state.id_columns}


def numbers(x: F64) -> pa.Array:
    """A DOUBLE column; nan is NULL."""
    return pa.array(x, pa.float64(), from_pandas=True)


def stamps(x: I64) -> pa.Array:
    """A TIMESTAMP column of microseconds."""
    return pa.array(np.asarray(x, np.int64), pa.int64()).cast(STAMP)


def double_columns(listed: Sequence[str]) -> tuple[Column, ...]:
    """Columns of type DOUBLE."""
    return tuple(Column(n, "DOUBLE") for n in listed)


def ahead(trained: Trained, record: Forecasts, which: Sequence[int], horizon: int) -> tuple[I64, F64, F64]:
    """Times, forecasts and standard errors of the first steps, one series after the other."""
    pick = np.array(which, dtype=np.int64)
    times = [record.times(i, record.count(i), horizon) for i in which]
    flat = np.concatenate(times) if times else np.zeros(0, np.int64)
    return flat, record.forecast[pick, :horizon].ravel(), record.standard_error[pick, :horizon].ravel()


def told(times: I64, values: F64) -> Bool:
    """Which steps have a forecast: none where features were not given, none behind the last TIMESTAMP."""
    found: Bool = ~np.isnan(values) & (times <= LAST_TIME)
    return found


def forecast_table(trained: Trained, state: ForecastState, horizon: int, level: float) -> pa.Table:
    """The rows of ML.FORECAST."""
    which = fitted_series(state.series)
    times, values, errors = ahead(trained, state.series, which, horizon)
    rows = np.repeat(np.array(which, np.int64), horizon)
    known = told(times, values)
    times, values, errors, rows = times[known], values[known], errors[known], rows[known]
    width = half_width(trained, level) * errors
    least, most = (x[rows] for x in limits(trained, state))
    low, high = numbers(np.clip(values - width, least, most)), numbers(np.clip(values + width, least, most))
    ids = id_arrays(state, rows)
    level_column = pa.array(np.full(len(times), level))
    found = [stamps(times), numbers(values), numbers(errors), level_column, low, high, low, high]
    return pa.Table.from_arrays([*ids.values(), *found], names=[*ids, "forecast_timestamp", *VALUES])


def takes_future(call: Call) -> bool:
    """Whether forecasts of the model depend on future values of features."""
    return hasattr(call.kind, "forecast_with")


def refuse_input(call: Call) -> None:
    """Forecasts of a model without features take no input. Raises `ProgrammingError`."""
    if call.source is not None and not takes_future(call):
        text = f"{call.name} of an {call.model.model} model takes no input data."
        raise ProgrammingError(text, span=call.source.span)


def with_future(call: Call) -> Callable[[], ForecastState]:
    """The state whose forecasts hold what the input says of the regressors' future values."""
    if not takes_future(call):
        return lambda: state_of(call.model)
    if call.source is None:
        hint = f"{call.name}(MODEL {call.model.path}, STRUCT(3 AS horizon), TABLE future)"
        text = f"{call.name} must be given the future values of the features of {call.model.path}."
        raise ProgrammingError(text, span=call.span, hint=hint)
    from sqlml.functions.future import future_state

    return future_state(call)


def _forecast(call: Call) -> Computed:
    refuse_input(call)
    horizon = check_horizon(call, call.settings.horizon)
    state = with_future(call)
    columns = (
        *state_of(call.model).id_columns,
        Column("forecast_timestamp", STAMP_SQL),
        *double_columns(VALUES),
    )
    return Computed(columns, lambda: forecast_table(call.model, state(), horizon, call.settings.confidence_level))


# ---------------------------------------------------------------- explanations


def _explained_columns(state: ForecastState, features: Sequence[str]) -> tuple[Column, ...]:
    holidays = state.calendar.names()
    return (
        *state.id_columns,
        Column("time_series_timestamp", STAMP_SQL),
        Column("time_series_type", "VARCHAR"),
        *double_columns(("time_series_data", "time_series_adjusted_data", "standard_error", "confidence_level")),
        *double_columns(("prediction_interval_lower_bound", "prediction_interval_upper_bound", "trend")),
        *double_columns([f"seasonal_period_{p.lower()}" for p in PERIODS]),
        *double_columns(("holiday_effect", "spikes_and_dips", "step_changes", "residual")),
        *double_columns([f"holiday_effect_{n}" for n in holidays]),
        *double_columns([f"attribution_{f}" for f in features]),
    )


def explained(
    trained: Trained,
    state: ForecastState,
    i: int,
    h: int,
    level: float,
    attributions: dict[str, F64],
    edges: tuple[float, float],
) -> dict[str, F64]:
    """Every part of series i over its history and h steps ahead, bounds inside `edges`; nan where there is none."""
    n = state.series.count(i)
    window = trained.options.trend_smoothing_window_size or 1
    effects = sum(attributions.values(), np.zeros(n + h)) if attributions else None
    found = parts_of(state.series, i, state.calendar, h, window=window, attributions=effects)
    nothing = np.full(n + h, np.nan)
    history, future = slice(0, n), slice(n, n + h)
    data, adjusted = found.data, found.adjusted.copy()
    parts: dict[str, F64] = {f"seasonal_period_{p.lower()}": found.seasons.get(p, nothing) for p in PERIODS}
    for k, name in enumerate(state.calendar.names()):
        parts[f"holiday_effect_{name}"] = found.single.get(k, nothing)
    for name, values in attributions.items():
        parts[f"attribution_{name}"] = values
    residual, ahead_only = nothing.copy(), nothing.copy()
    residual[history] = data[history] - adjusted[history]
    for removed in (found.spikes, found.steps):
        if removed is not None:
            residual[history] -= removed
    if trained.fidelity == "bigquery" and state.series.d[i] > 0:
        adjusted[0] += residual[0]  # the first row has no trend; the service shows its residual here too
    error = np.concatenate([found.sigma, state.series.standard_error[i, :h]])
    ahead_only[future] = level
    width = half_width(trained, level) * error[future]
    low, high = nothing.copy(), nothing.copy()
    low[future], high[future] = np.clip(data[future] - width, *edges), np.clip(data[future] + width, *edges)
    return {
        "time_series_data": data,
        "time_series_adjusted_data": adjusted,
        "standard_error": error,
        "confidence_level": ahead_only,
        "prediction_interval_lower_bound": low,
        "prediction_interval_upper_bound": high,
        "trend": found.trend,
        **parts,
        "holiday_effect": nothing if found.holiday is None else found.holiday,
        "spikes_and_dips": _padded(found.spikes, h, nothing),
        "step_changes": _padded(found.steps, h, nothing),
        "residual": residual,
    }


def _padded(part: F64 | None, h: int, nothing: F64) -> F64:
    return nothing if part is None else np.concatenate([part, np.full(h, np.nan)])


def refuse_undecomposed(call: Call) -> None:
    """Explanations and the history need DECOMPOSE_TIME_SERIES. Raises `NotSupportedError`."""
    if getattr(call.model.options, "decompose_time_series", True):
        return
    text = f"{call.name} needs the parts of the history. {call.model.path} has DECOMPOSE_TIME_SERIES=FALSE."
    raise NotSupportedError(text, span=call.span)


def _explain(call: Call) -> Computed:
    refuse_input(call)
    refuse_undecomposed(call)
    horizon = check_horizon(call, call.settings.horizon)
    state = with_future(call)
    features = tuple(f.name for f in call.model.design.features) if takes_future(call) else ()
    columns = _explained_columns(state_of(call.model), features)

    def compute() -> pa.Table:
        found = state()
        which = fitted_series(found.series)
        make = explained_rows(call.model, found, horizon, call.settings.confidence_level)
        return series_rows(found, columns, which, make)

    return Computed(columns, compute)


def explained_rows(trained: Trained, state: ForecastState, horizon: int, level: float) -> Make:
    """What makes rows of ML.EXPLAIN_FORECAST."""
    record = state.series
    attributed = getattr(state, "attributions", None)
    edges = list(zip(*limits(trained, state), strict=True))
    plain = {"time_series_timestamp", "time_series_type"}

    def make(which: list[int], names: frozenset[str]) -> tuple[list[int], dict[str, pa.Array]]:
        counts = [record.count(i) for i in which]
        times = [record.times(i, 0, n + horizon) for i, n in zip(which, counts, strict=True)]
        kept = [
            np.concatenate([np.arange(n), n + np.flatnonzero(told(t[n:], record.forecast[i, :horizon]))])
            for i, n, t in zip(which, counts, times, strict=True)
        ]
        arrays: dict[str, pa.Array] = {}
        if "time_series_timestamp" in names:
            arrays["time_series_timestamp"] = stamps(_joined([t[k] for t, k in zip(times, kept, strict=True)]))
        if "time_series_type" in names:
            past = _joined([k < n for k, n in zip(kept, counts, strict=True)]).astype(np.bool_)
            arrays["time_series_type"] = pa.array(np.where(past, "history", "forecast"), pa.string())
        if asked := names - plain:
            parts = [
                explained(trained, state, i, horizon, level, attributed(i, horizon) if attributed else {}, edges[i])
                for i in which
            ]
            for name in asked:
                arrays[name] = numbers(_joined([p[name][k] for p, k in zip(parts, kept, strict=True)]))
        return [len(k) for k in kept], arrays

    return make


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


FORECAST = TableFunction(
    name="ML.FORECAST",
    doc="Forecasts of a time series model, with intervals.",
    run=_forecast,
    settings=ForecastSettings,
    data="optional",
    tasks=FORECASTING,
)
EXPLAIN_FORECAST = TableFunction(
    name="ML.EXPLAIN_FORECAST",
    doc="The history and the forecasts of a time series model, split into trend, seasons, holidays and the rest.",
    run=_explain,
    settings=ForecastSettings,
    data="optional",
    tasks=FORECASTING,
)
