"""AI.FORECAST, AI.EVALUATE, AI.DETECT_ANOMALIES: forecasts of series without a trained model.

The service answers them with TimesFM. Its weights are not part of this package and a file of weights is not run, so
each series gets our own best univariate method, the ARIMA_PLUS pipeline of `sqlml.kernels.series`. The documented
columns leave no room for the method's name: every call says it in a notice.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.errors import NotSupportedError, OptionError, ProgrammingError, SchemaError, notice
from sqlml.functions.base import Call, Computed, Source, TableFunction
from sqlml.functions.forecast import STAMP_SQL, double_columns, numbers
from sqlml.functions.forecast_errors import METRICS
from sqlml.functions.series import Given, SeriesSettings, each, given_series
from sqlml.kernels import intervals, series, workers
from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.series_clean import positions
from sqlml.kernels.types import F64, I64
from sqlml.options import option
from sqlml.schema import Column, find

CONTEXTS = {
    "TIMESFM 2.0": (64, 128, 256, 512, 1024, 2048),
    "TIMESFM 2.5": (64, 128, 256, 512, 1024, 2048, 4096, 8192, 15360),
}
TOO_SHORT = "The time series data is too short."
LATEST = 1024


@dataclass(frozen=True)
class FoundationSettings(SeriesSettings):
    """Settings that the three functions share."""

    model: str | None = option(
        None,
        "TimesFM 2.0 or TimesFM 2.5, the service's models; here every series gets the ARIMA_PLUS method, as a notice"
        " says. The path of a file of weights is refused.",
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


def _context(call: Call) -> int:
    """Points that are used at most; names the method in a notice. Raises `OptionError`, `NotSupportedError`."""
    s: FoundationSettings = call.settings
    name = _named(call, s.model)
    allowed = CONTEXTS[name or "TIMESFM 2.5"]
    if s.context_window is not None and s.context_window not in allowed:
        listed = ", ".join(str(c) for c in allowed)
        raise OptionError(f"CONTEXT_WINDOW must be one of {listed}. Got {s.context_window}.", span=call.span)
    if name is None:
        notice(f"{call.name} used the ARIMA_PLUS method.")
    else:
        notice(f"{call.name} used the ARIMA_PLUS method: the weights of TimesFM are not part of this package.")
    return s.context_window or allowed[-1]


def _named(call: Call, model: str | None) -> str | None:
    """The model's name in capitals. Raises `OptionError`, and `NotSupportedError` for a file of weights."""
    name = None if model is None else model.upper()
    if name is None or model is None or name in CONTEXTS:
        return name
    hint = f"leave out MODEL: {call.name} then uses the ARIMA_PLUS method."
    if any(mark in model for mark in "/\\.~:") and not name.startswith("TIMESFM "):
        text = f"{call.name} cannot run weights from a file. Got {model!r}."
        raise NotSupportedError(text, span=call.span, hint=hint)
    raise OptionError(f"MODEL must be one of TimesFM 2.0, TimesFM 2.5. Got {model!r}.", span=call.span, hint=hint)


def _settings(call: Call, horizon: int) -> series.Settings:
    return series.Settings(horizon=horizon, fidelity=call.context.fidelity)


def _latest(given: Given, context: int) -> list[tuple[I64, F64]]:
    """The latest points of every series."""
    return [(t[-context:], y[-context:]) for t, y in each(given)]


def _fit(call: Call, found: Sequence[tuple[I64, F64]], settings: series.Settings) -> Forecasts:
    chunks = (workers.Chunk(t, y, np.array([0, len(t)], np.int64)) for t, y in found)
    record = workers.fit_all(chunks, settings, report=lambda done: call.context.database.stop.check())
    return replace(record, error=tuple(TOO_SHORT if "too short" in e else e for e in record.error))


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


def _z(call: Call, level: float) -> float:
    return intervals.half_width(level, exact=call.context.fidelity == "best")


def _ids(call: Call, source: Source) -> tuple[Column, ...]:
    found = [find(source.columns, n) for n in call.settings.id_cols or ()]
    return tuple(c for c in found if c is not None)


# ---------------------------------------------------------------- AI.FORECAST


def _forecast(call: Call) -> Computed:
    s: AiForecastSettings = call.settings
    context = _context(call)
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
        found = _latest(given, context)
        steps = [s.horizon if end is None else _steps_until(t, y, end) for t, y in found]
        record = _fit(call, found, _settings(call, max([1, *steps])))
        rows = _forecast_rows(call, record, steps, s)
        which, past, times, values, errors, status = rows
        known = ~np.isnan(errors)
        width = _z(call, s.confidence_level) * errors
        arrays: list[Any] = list(given.id_arrays(which).values())
        stamped = pa.array(times, pa.int64(), mask=times < -(2**62)).cast(pa.timestamp("us", tz="UTC"))
        if s.output_historical_time_series:
            kinds = np.where(past, "history", "forecast")
            arrays.append(pa.array(kinds, pa.string(), mask=np.array([bool(x) for x in status], np.bool_)))
        arrays += [stamped, numbers(values)]
        arrays.append(pa.array(np.full(len(times), s.confidence_level), mask=~known))
        arrays += [numbers(values - width), numbers(values + width), pa.array(status, pa.string())]
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


Rows = tuple[list[int], "np.ndarray", I64, F64, F64, list[str | None]]


def _forecast_rows(call: Call, record: Forecasts, steps: Sequence[int], s: AiForecastSettings) -> Rows:
    which: list[int] = []
    past: list[bool] = []
    times: list[I64] = []
    values: list[F64] = []
    errors: list[F64] = []
    status: list[str | None] = []
    for i, error in enumerate(record.error):
        n, h = record.count(i), steps[i]
        if error:
            rows, first = 1, 0
            times.append(np.array([-(2**63)], np.int64))
            values.append(np.full(1, np.nan))
            errors.append(np.full(1, np.nan))
        else:
            first = n if s.output_historical_time_series else 0
            rows = first + h
            times.append(record.times(i, n - first, rows))
            values.append(np.concatenate([record.data[record.points(i)][n - first :], record.forecast[i, :h]]))
            errors.append(np.concatenate([np.full(first, np.nan), record.standard_error[i, :h]]))
        which += [i] * rows
        past += [k < first for k in range(rows)]
        status += [error or None] * rows
    none = np.zeros(0)
    flat = np.concatenate(times) if times else none.astype(np.int64)
    joined = [np.concatenate(x) if x else none for x in (values, errors)]
    return which, np.array(past, np.bool_), flat, joined[0], joined[1], status


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
    context = _context(call)
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
        record = _fit(call, _latest(given, context), _settings(call, s.horizon))
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
    y, f = _matched(record, i, times, values, record.forecast[i])[:2]
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


def _matched(record: Forecasts, i: int, times: I64, values: F64, *rows: F64) -> list[F64]:
    """Known values whose times are forecast steps of series i, then the entries of `rows` at those steps."""
    step = positions(record.axis(i), int(record.start[i]), times) - record.count(i)
    inside = (step >= 0) & (step < record.horizon) & ~np.isnan(values)
    return [values[inside], *(row[step[inside]] for row in rows)]


# ---------------------------------------------------------------- AI.DETECT_ANOMALIES


def _anomalies(call: Call) -> Computed:
    s: AiAnomalySettings = call.settings
    context = _context(call)
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
        pasts = [(t[-context:], y[-context:]) for t, y in pasts]
        targets = [(t[-LATEST:], y[-LATEST:]) for t, y in targets]
        horizon = max([1, *(_reach(p, t) for p, t in zip(pasts, targets, strict=True))])
        record = _fit(call, pasts, _settings(call, horizon))
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
        f, se = np.full(len(t), np.nan), np.full(len(t), np.nan)
        if not record.error[i]:
            step = positions(record.axis(i), int(record.start[i]), t) - record.count(i)
            inside = (step >= 0) & (step < record.horizon)
            f[inside], se[inside] = record.forecast[i, step[inside]], record.standard_error[i, step[inside]]
        which += [i] * len(t)
        times.append(t)
        parts.append((y, f, se))
        status += [record.error[i] or None] * len(t)
    y, f, se = (np.concatenate([p[k] for p in parts]) if parts else np.zeros(0) for k in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(y == f, 0.0, np.abs(y - f) / se)
    probability = intervals.anomaly_probability(distance, exact=call.context.fidelity == "best")
    width = _z(call, threshold) * se
    flat = np.concatenate(times) if times else np.zeros(0, np.int64)
    arrays = [
        *given.id_arrays(which).values(),
        given.times(flat),
        numbers(y),
        pa.array(probability > threshold, mask=np.isnan(probability)),
        numbers(f - width),
        numbers(f + width),
        numbers(probability),
        pa.array(status, pa.string()),
    ]
    return pa.table(arrays, names=[c.name for c in columns])


AI_FORECAST = TableFunction(
    name="AI.FORECAST",
    doc="Forecasts of time series without a trained model, by the ARIMA_PLUS method.",
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
