"""AI.FORECAST, AI.EVALUATE, AI.DETECT_ANOMALIES: forecasts of series without a trained model.

The service answers them with TimesFM. Its weights are not part of this package: whoever has them names their path, and
all others get our own best univariate method, the ARIMA_PLUS pipeline of `sqlml.kernels.series`. The documented
columns leave no room for the method's name: every call says it in a notice (`sqlml.functions.univariate`).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.errors import OptionError, ProgrammingError, SchemaError
from sqlml.functions.base import Call, Computed, Source, TableFunction
from sqlml.functions.forecast import STAMP_SQL, double_columns, numbers
from sqlml.functions.forecast_errors import METRICS
from sqlml.functions.series import Given, SeriesSettings, each, given_series
from sqlml.functions.univariate import Forecasts, chosen, forecast
from sqlml.kernels import series
from sqlml.kernels.series_clean import positions
from sqlml.kernels.types import F64, I64
from sqlml.options import option
from sqlml.schema import Column, find

LATEST = 1024


@dataclass(frozen=True)
class FoundationSettings(SeriesSettings):
    """Settings that the three functions share."""

    model: str | None = option(
        None,
        "TimesFM 2.0 or TimesFM 2.5, the service's models, or the path of their weights: model.safetensors or its"
        " folder. Without a path, here or in SET sqlml.timesfm, every series gets the ARIMA_PLUS method, as a notice"
        " says.",
    )
    context_window: int | None = option(None, "Latest points that are used: 64, 128, 256 ... 15360.", low=64)


@dataclass(frozen=True)
class AiForecastSettings(FoundationSettings):
    """Settings of AI.FORECAST."""

    horizon: int = option(10, "Points to forecast.", low=1, high=10_000)
    forecast_end_timestamp: object = option(None, "Time of the last forecast, instead of a horizon.")
    confidence_level: float = option(0.95, "Probability of the intervals.", low=0.0, below=1.0)
    output_historical_time_series: bool = option(False, "Return the input rows too.")


@dataclass(frozen=True)
class AiEvaluateSettings(FoundationSettings):
    """Settings of AI.EVALUATE."""

    horizon: int = option(1024, "Points that are compared.", low=1, high=10_000)


@dataclass(frozen=True)
class AiAnomalySettings(FoundationSettings):
    """Settings of AI.DETECT_ANOMALIES."""

    anomaly_prob_threshold: float = option(
        0.95, "A value is anomalous when its probability is larger.", low=0.0, below=1.0
    )
    target_last_n_points: int | None = option(None, "The target is the last n points.", low=1, high=10_000)
    target_start_timestamp: object = option(None, "The target is what follows this time.")


# ---------------------------------------------------------------- shared


def _latest(given: Given, context: int) -> list[tuple[I64, F64]]:
    """The latest points of every series."""
    return [(t[-context:], y[-context:]) for t, y in each(given)]


def _source(call: Call, name: str) -> Source | None:
    return call.sources.get(name)


def _history(call: Call) -> Source:
    source = _source(call, "history")
    if source is None:
        hint = f"{call.name}(TABLE history, ...)"
        raise ProgrammingError(f"{call.name} must be given a table or query.", span=call.span, hint=hint)
    return source


def _moment(call: Call, value: object, name: str) -> int:
    """Microseconds of a TIMESTAMP, DATE or text value. Raises `OptionError`."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            value = None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        raise OptionError(f"{name} must be a TIMESTAMP.", span=call.span, hint=f"{name} => TIMESTAMP '2024-01-31'")
    zoned = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
    return round(zoned.timestamp() * 1_000_000)


def _ids(call: Call, source: Source) -> tuple[Column, ...]:
    found = [find(source.columns, n) for n in call.settings.id_cols or ()]
    return tuple(c for c in found if c is not None)


# ---------------------------------------------------------------- AI.FORECAST


def _forecast(call: Call) -> Computed:
    s: AiForecastSettings = call.settings
    method = chosen(call)
    end = None
    if s.forecast_end_timestamp is not None:
        if "horizon" in call.given:
            raise OptionError("FORECAST_END_TIMESTAMP must be given without HORIZON.", span=call.span)
        end = _moment(call, s.forecast_end_timestamp, "FORECAST_END_TIMESTAMP")
    read = given_series(call, call.data)
    if s.output_historical_time_series:
        lead = [Column("time_series_type", "VARCHAR"), Column("time_series_timestamp", STAMP_SQL)]
        lead.append(Column("time_series_data", "DOUBLE"))
    else:
        lead = [Column("forecast_timestamp", STAMP_SQL), Column("forecast_value", "DOUBLE")]
    bounds = ("confidence_level", "prediction_interval_lower_bound", "prediction_interval_upper_bound")
    columns = (*_ids(call, call.data), *lead, *double_columns(bounds), Column("ai_forecast_status", "VARCHAR"))

    def compute() -> pa.Table:
        given = read()
        found = _latest(given, method.context)
        steps = [s.horizon if end is None else _steps_until(t, y, end) for t, y in found]
        record = forecast(call, method, found, steps)
        which, past, times, values, low, high, status = _forecast_rows(record, steps, s)
        known = ~np.isnan(low)
        arrays: list[Any] = list(given.id_arrays(which).values())
        stamped = pa.array(times, pa.int64(), mask=times < -(2**62)).cast(pa.timestamp("us", tz="UTC"))
        if s.output_historical_time_series:
            kinds = np.where(past, "history", "forecast")
            arrays.append(pa.array(kinds, pa.string(), mask=np.array([bool(x) for x in status], np.bool_)))
        arrays += [stamped, numbers(values)]
        arrays.append(pa.array(np.full(len(times), s.confidence_level), mask=~known))
        arrays += [numbers(low), numbers(high), pa.array(status, pa.string())]
        return pa.table(arrays, names=[c.name for c in columns])

    return Computed(columns, compute)


def _steps_until(times: I64, values: F64, end: int) -> int:
    """Steps of a series up to and including a time; 0 when it lies in the history or the series is unusable."""
    try:
        whole = series.clean(times, values, series.Settings())
    except ValueError:
        return 0
    n = len(whole.values)
    step = int(positions(whole.frequency, whole.start, np.array([end], np.int64))[0])
    if step >= n and int(whole.times(step, 1)[0]) > end:
        step -= 1
    return min(max(0, step - n + 1), 10_000)


Rows = tuple[list[int], "np.ndarray", I64, F64, F64, F64, list[str | None]]


def _forecast_rows(record: Forecasts, steps: Sequence[int], s: AiForecastSettings) -> Rows:
    """Series, history or not, time, value, bounds and status of every row."""
    which: list[int] = []
    past: list[bool] = []
    times: list[I64] = []
    parts: list[tuple[F64, F64, F64]] = []
    status: list[str | None] = []
    for i, error in enumerate(record.error):
        h = steps[i]
        if error:
            rows, first = 1, 0
            times.append(np.array([-(2**63)], np.int64))
            unknown = np.full(1, np.nan)
            parts.append((unknown, unknown, unknown))
        else:
            n = record.count(i)
            first = n if s.output_historical_time_series else 0
            rows = first + h
            times.append(record.times(i, n - first, rows))
            unknown = np.full(first, np.nan)
            low, high = (np.concatenate([unknown, x]) for x in record.bounds(i, slice(h), s.confidence_level))
            parts.append((np.concatenate([record.history(i)[n - first :], record.ahead(i)[:h]]), low, high))
        which += [i] * rows
        past += [k < first for k in range(rows)]
        status += [error or None] * rows
    values, low, high = _joined(parts, 3)
    flat = np.concatenate(times) if times else np.zeros(0, np.int64)
    return which, np.array(past, np.bool_), flat, values, low, high, status


def _joined(parts: Sequence[Sequence[F64]], count: int) -> list[F64]:
    """The arrays at each of `count` places end to end."""
    return [np.concatenate([p[k] for p in parts]) if parts else np.zeros(0) for k in range(count)]


# ---------------------------------------------------------------- AI.EVALUATE


def _paired(given: Given, other: Given) -> list[tuple[int, I64, F64]]:
    """The series of `other` by the number of the same series in `given`; -1 for a series that is not there."""
    keys = _keys(given)
    place = {k: i for i, k in enumerate(keys)}
    return [(place.get(k, -1), t, y) for k, (t, y) in zip(_keys(other), each(other), strict=True)]


def _keys(given: Given) -> list[tuple[object, ...]]:
    if not given.ids:
        return [()]
    columns = [given.reader.ids.column(c.name).to_pylist() for c in given.ids]
    return [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*columns, strict=True)]


def _evaluate(call: Call) -> Computed:
    s: AiEvaluateSettings = call.settings
    method = chosen(call)
    history, actual = _history(call), _source(call, "actual")
    if actual is None:
        hint = f"{call.name}(TABLE history, TABLE actual, ...)"
        raise ProgrammingError(
            f"{call.name} must be given a second table, of actual values.", span=call.span, hint=hint
        )
    read, read_actual = given_series(call, history), given_series(call, actual)
    columns = (*_ids(call, history), *double_columns(METRICS), Column("ai_evaluate_status", "VARCHAR"))

    def compute() -> pa.Table:
        given, other = read(), read_actual()
        pairs = _paired(given, other)
        latest = _latest(given, method.context)
        steps = [s.horizon] * len(latest)
        if method.checkpoint is not None:  # whose passes are dear: no further than there are actual values
            reach = {i: _reach(latest[i], (times, values)) for i, times, values in pairs if i >= 0}
            steps = [min(s.horizon, reach.get(i, 0)) for i in range(len(latest))]
        record = forecast(call, method, latest, steps)
        found: dict[int, list[float]] = {}
        for i, times, values in pairs:
            if i >= 0 and not record.error[i]:
                found[i] = _metrics(record, i, times, values)
        empty = [math.nan] * len(METRICS)
        rows = [found.get(i, empty) for i in range(len(record))]
        status = [e or (None if i in found else "No actual values.") for i, e in enumerate(record.error)]
        arrays = [numbers(np.array([r[k] for r in rows], np.float64)) for k in range(len(METRICS))]
        ids = given.id_arrays(list(range(len(record)))).values()
        return pa.table([*ids, *arrays, pa.array(status, pa.string())], names=[c.name for c in columns])

    return Computed(columns, compute)


def _metrics(record: Forecasts, i: int, times: I64, values: F64) -> list[float]:
    y, f = _matched(record, i, times, values)
    if not len(y):
        return [math.nan] * len(METRICS)
    e = np.abs(y - f)
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(y != 0, e / np.abs(y), np.nan)
        symmetric = np.where(np.abs(y) + np.abs(f) > 0, 2 * e / (np.abs(y) + np.abs(f)), np.nan)
    square = float((e * e).mean())
    scale = float(record.naive_error[i])
    return [
        float(e.mean()),
        square,
        math.sqrt(square),
        100 * float(np.nanmean(percent)) if not np.isnan(percent).all() else math.nan,
        100 * float(np.nanmean(symmetric)) if not np.isnan(symmetric).all() else math.nan,
        float(e.mean()) / scale if scale > 0 else math.nan,
    ]


def _matched(record: Forecasts, i: int, times: I64, values: F64) -> tuple[F64, F64]:
    """Known values whose times are forecast steps of series i, and the forecasts of those steps."""
    ahead = record.ahead(i)
    step = positions(record.axis(i), int(record.start[i]), times) - record.count(i)
    inside = (step >= 0) & (step < len(ahead)) & ~np.isnan(values)
    return values[inside], ahead[step[inside]]


# ---------------------------------------------------------------- AI.DETECT_ANOMALIES


def _anomalies(call: Call) -> Computed:
    s: AiAnomalySettings = call.settings
    method = chosen(call)
    history, target = _history(call), _source(call, "target")
    ways = [target is not None, s.target_last_n_points is not None, s.target_start_timestamp is not None]
    if sum(ways) != 1:
        text = "exactly one of a target table, TARGET_LAST_N_POINTS and TARGET_START_TIMESTAMP must be given."
        raise OptionError(text, span=call.span)
    start = None
    if s.target_start_timestamp is not None:
        start = _moment(call, s.target_start_timestamp, "TARGET_START_TIMESTAMP")
    read = given_series(call, history)
    read_target = given_series(call, target) if target is not None else None
    time = find(history.columns, s.timestamp_col)
    if time is None:
        raise SchemaError(f"TIMESTAMP_COL must name a column of the input. Got {s.timestamp_col!r}.", span=history.span)
    out = time.type.name if time.type.name in ("DATE", "TIMESTAMP WITH TIME ZONE") else "TIMESTAMP"
    columns = (
        *_ids(call, history),
        Column("time_series_timestamp", out),
        Column("time_series_data", "DOUBLE"),
        Column("is_anomaly", "BOOLEAN"),
        *double_columns(("lower_bound", "upper_bound", "anomaly_probability")),
        Column("ai_detect_anomalies_status", "VARCHAR"),
    )

    def compute() -> pa.Table:
        given = read()
        pasts, targets = _split(given, read_target, s.target_last_n_points, start)
        pasts = [(t[-method.context :], y[-method.context :]) for t, y in pasts]
        targets = [(t[-LATEST:], y[-LATEST:]) for t, y in targets]
        steps = [_reach(p, t) for p, t in zip(pasts, targets, strict=True)]
        record = forecast(call, method, pasts, steps)
        return _judged(call, given, record, targets, columns)

    return Computed(columns, compute)


Points = tuple[I64, F64]


def _split(
    given: Given, read_target: Callable[[], Given] | None, last: int | None, start: int | None
) -> tuple[list[Points], list[Points]]:
    """History and target points of every series."""
    found = list(each(given))
    if read_target is not None:
        by_series = {i: (t, y) for i, t, y in _paired(given, read_target()) if i >= 0}
        none = (np.zeros(0, np.int64), np.zeros(0))
        return found, [by_series.get(i, none) for i in range(len(found))]
    pasts, targets = [], []
    for t, y in found:
        cut = max(0, len(t) - last) if last is not None else int((t <= (start or 0)).sum())
        pasts.append((t[:cut], y[:cut]))
        targets.append((t[cut:], y[cut:]))
    return pasts, targets


def _reach(past: Points, target: Points) -> int:
    """Steps from the end of the history to the end of the target."""
    return _steps_until(*past, int(target[0][-1])) if len(target[0]) else 0


def _judged(
    call: Call, given: Given, record: Forecasts, targets: Sequence[Points], columns: Sequence[Column]
) -> pa.Table:
    threshold = call.settings.anomaly_prob_threshold
    which: list[int] = []
    parts: list[tuple[F64, ...]] = []
    times: list[I64] = []
    status: list[str | None] = []
    for i, (t, y) in enumerate(targets):
        found = tuple(np.full(len(t), np.nan) for _ in range(3))
        if not record.error[i]:
            step = positions(record.axis(i), int(record.start[i]), t) - record.count(i)
            inside = (step >= 0) & (step < len(record.ahead(i)))
            at = step[inside]
            judged = (*record.bounds(i, at, threshold), record.probability(i, at, y[inside]))
            for whole, part in zip(found, judged, strict=True):
                whole[inside] = part
        which += [i] * len(t)
        times.append(t)
        parts.append((y, *found))
        status += [record.error[i] or None] * len(t)
    y, low, high, probability = _joined(parts, 4)
    flat = np.concatenate(times) if times else np.zeros(0, np.int64)
    arrays = [
        *given.id_arrays(which).values(),
        given.times(flat),
        numbers(y),
        pa.array(probability > threshold, mask=np.isnan(probability)),
        numbers(low),
        numbers(high),
        numbers(probability),
        pa.array(status, pa.string()),
    ]
    return pa.table(arrays, names=[c.name for c in columns])


AI_FORECAST = TableFunction(
    name="AI.FORECAST",
    doc="Forecasts of time series without a trained model: by TimesFM where its weights are given, else by ARIMA_PLUS.",
    run=_forecast,
    settings=AiForecastSettings,
    model=False,
    data="required",
)
AI_EVALUATE = TableFunction(
    name="AI.EVALUATE",
    doc="Errors of AI.FORECAST's forecasts of one table against the values of another.",
    run=_evaluate,
    settings=AiEvaluateSettings,
    model=False,
    sources=("history", "actual"),
)
AI_DETECT_ANOMALIES = TableFunction(
    name="AI.DETECT_ANOMALIES",
    doc="Values of time series that are unlikely given what came before them.",
    run=_anomalies,
    settings=AiAnomalySettings,
    model=False,
    sources=("history", "target"),
)
