"""How AI.FORECAST and its neighbours forecast a series: by TimesFM where its weights are given, else by ARIMA_PLUS.

Weights are given by the path in MODEL or by `SET sqlml.timesfm`. Both methods read the same cleaned series (one value
per step, gaps interpolated) and answer through `Forecasts`, so the functions need not know which one ran.

Intervals of TimesFM under 'best' go through its deciles: between two deciles the quantile is linear in the normal
score, beyond 0.1 and 0.9 it goes on in proportion to them. Under 'bigquery' they are the service's: the printed
answers of its documentation are symmetric about the forecast, with the exact normal quantile times one number per row;
that number is taken to be the distance of the outer deciles in units of theirs in a normal distribution.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from sqlml.database import Database
from sqlml.errors import Error, NotSupportedError, OptionError, Span, notice
from sqlml.functions.base import Call
from sqlml.kernels import forecasts, intervals, series, workers
from sqlml.kernels.series_clean import DAY, WEEK, Frequency, Regular
from sqlml.kernels.timesfm import Deciles, TimesFM
from sqlml.kernels.timesfm_weights import FILE, Checkpoint, check, need_torch
from sqlml.kernels.torch_settings import resolve_device
from sqlml.kernels.types import F64, I64

TOO_SHORT = "The time series data is too short."
CONTEXTS = {
    "TIMESFM 2.0": (64, 128, 256, 512, 1024, 2048),
    "TIMESFM 2.5": (64, 128, 256, 512, 1024, 2048, 4096, 8192, 15360),
}
#: Normal scores of the deciles 0.5 ... 0.9.
SCORES = np.array([0.0, *(NormalDist().inv_cdf(k / 10) for k in range(6, 10))])


# ---------------------------------------------------------------- which method


@dataclass(frozen=True, slots=True)
class Method:
    """What forecasts.

    Args:
        checkpoint: the weights of TimesFM, or None for ARIMA_PLUS.
        context: latest points of a series that are used at most.
    """

    checkpoint: Checkpoint | None
    context: int


def chosen(call: Call) -> Method:
    """The method of a call, told in a notice.

    Raises:
        OptionError: neither a model nor a path, a model that is not that of SET sqlml.timesfm, a wrong context window.
        NotSupportedError, FormatError: weights that cannot be used.
    """
    s = call.settings
    model: str | None = s.model
    kept: str | None = call.context.settings.get("timesfm")
    checkpoint = None
    if model is not None and model.upper() not in CONTEXTS:
        checkpoint = _weights(call, model)
    elif kept is not None:
        checkpoint = located(call.context.database, kept, call.span, asked=False)
        if model is not None and model.upper() != checkpoint.name.upper():
            text = f"MODEL must be {checkpoint.name}, whose weights SET sqlml.timesfm names. Got {model!r}."
            hint = f"leave out MODEL, or name the weights of {model} by their path."
            raise OptionError(text, span=call.places.get("model", call.span), hint=hint)
    allowed = CONTEXTS[checkpoint.name.upper() if checkpoint else (model or "TIMESFM 2.5").upper()]
    if s.context_window is not None and s.context_window not in allowed:
        listed = ", ".join(str(c) for c in allowed)
        span = call.places.get("context_window", call.span)
        raise OptionError(f"CONTEXT_WINDOW must be one of {listed}. Got {s.context_window}.", span=span)
    if checkpoint is not None:
        notice(f"{call.name} used {checkpoint.name} with the weights in {checkpoint.path}.")
    elif model is None:
        notice(f"{call.name} used the ARIMA_PLUS method.")
    else:
        notice(
            f"{call.name} used the ARIMA_PLUS method: the weights of TimesFM are not part of this package. "
            "SET sqlml.timesfm = 'folder' names yours."
        )
    return Method(checkpoint, s.context_window or allowed[-1])


def _weights(call: Call, model: str) -> Checkpoint:
    span = call.places.get("model", call.span)
    if not any(mark in model for mark in "/\\.~:") or model.upper().startswith("TIMESFM "):
        text = f"MODEL must be TimesFM 2.0, TimesFM 2.5 or the path of their weights. Got {model!r}."
        raise OptionError(text, span=span, hint=f"leave out MODEL: {call.name} then uses the ARIMA_PLUS method.")
    return located(call.context.database, model, span, asked=True)


def located(database: Database, path: str, span: Span | None, *, asked: bool) -> Checkpoint:
    """The weights at a path, with a checked header.

    Args:
        asked: a statement names the path, so that DuckDB's settings decide whether files may be read.

    Raises:
        OptionError, NotSupportedError, FormatError: with the place in the statement.
    """
    try:
        if asked and not database.may_read(path, FILE):
            text = f"weights must lie where DuckDB's settings let statements read files. Got '{path}'."
            raise NotSupportedError(text, hint="sqlml.connect(..., timesfm=path) names weights outside of statements.")
        need_torch()
        return check(path)
    except Error as error:
        error.span = error.span or span
        raise


#: The model of each checkpoint in use: while a database that used it lives.
_MODELS: weakref.WeakValueDictionary[tuple[str, tuple[int, int], str], TimesFM] = weakref.WeakValueDictionary()
_USED: weakref.WeakKeyDictionary[Database, TimesFM] = weakref.WeakKeyDictionary()


def _model(call: Call, checkpoint: Checkpoint) -> TimesFM:
    """The loaded model; one at a time for a database."""
    device = resolve_device(str(call.context.settings.get("device", "AUTO")).lower())
    key = (str(checkpoint.path), checkpoint.stamp, device)
    found = _MODELS.get(key)
    if found is None:
        _USED.pop(call.context.database, None)  # before the next one takes as much memory
        found = _MODELS[key] = TimesFM(checkpoint, device)
    _USED[call.context.database] = found
    return found


# ---------------------------------------------------------------- answers


class Forecasts:
    """Forecasts of s series by either method.

    Attributes:
        error: why a series could not be forecast, "" where it could.
        start: time of the first point, microseconds, shape (s,).
        naive_error: mean absolute difference of neighbours in the history, shape (s,).
    """

    error: Sequence[str]
    start: I64 | Sequence[int]
    naive_error: F64

    def __len__(self) -> int:
        return len(self.error)

    def count(self, i: int) -> int:
        """Points in the history of series i."""
        raise NotImplementedError

    def history(self, i: int) -> F64:
        """The history of series i, one value per step, shape (n,)."""
        raise NotImplementedError

    def axis(self, i: int) -> Frequency:
        """The step in time of series i."""
        raise NotImplementedError

    def times(self, i: int, first: int, count: int) -> I64:
        """Times of points first .. first + count - 1 of series i; those from n on lie ahead."""
        raise NotImplementedError

    def ahead(self, i: int) -> F64:
        """The forecast of series i, shape (h,)."""
        raise NotImplementedError

    def bounds(self, i: int, steps: slice | I64, level: float) -> tuple[F64, F64]:
        """The central interval of probability `level` at some steps of series i."""
        raise NotImplementedError

    def probability(self, i: int, steps: I64, y: F64) -> F64:
        """Of values at some steps the probability of the central interval that ends at them; nan where unknown."""
        raise NotImplementedError


class ByArima(Forecasts):
    """Forecasts of the ARIMA_PLUS pipeline."""

    def __init__(self, record: forecasts.Forecasts, *, exact: bool):
        self._record, self._exact = record, exact
        self.error, self.start, self.naive_error = record.error, record.start, record.naive_error

    def count(self, i: int) -> int:
        return self._record.count(i)

    def history(self, i: int) -> F64:
        return self._record.data[self._record.points(i)]

    def axis(self, i: int) -> Frequency:
        return self._record.axis(i)

    def times(self, i: int, first: int, count: int) -> I64:
        return self._record.times(i, first, count)

    def ahead(self, i: int) -> F64:
        found: F64 = self._record.forecast[i]
        return found

    def bounds(self, i: int, steps: slice | I64, level: float) -> tuple[F64, F64]:
        f = self._record.forecast[i, steps]
        width = intervals.half_width(level, exact=self._exact) * self._record.standard_error[i, steps]
        return f - width, f + width

    def probability(self, i: int, steps: I64, y: F64) -> F64:
        f, se = self._record.forecast[i, steps], self._record.standard_error[i, steps]
        return _normal_probability(y, f, se, exact=self._exact)


class ByDeciles(Forecasts):
    """Forecasts of TimesFM."""

    def __init__(self, whole: Sequence[Regular | str], found: dict[int, Deciles], *, exact: bool):
        self._whole, self._found, self._exact = whole, found, exact
        self.error = [w if isinstance(w, str) else "" for w in whole]
        self.start = [0 if isinstance(w, str) else w.start for w in whole]
        steps = [np.zeros(0) if isinstance(w, str) else np.abs(np.diff(w.values)) for w in whole]
        self.naive_error = np.array([float(x.mean()) if len(x) else np.nan for x in steps])

    def _series(self, i: int) -> Regular:
        found = self._whole[i]
        assert isinstance(found, Regular)
        return found

    def count(self, i: int) -> int:
        return len(self.history(i)) if not self.error[i] else 0

    def history(self, i: int) -> F64:
        return self._series(i).values

    def axis(self, i: int) -> Frequency:
        return self._series(i).frequency

    def times(self, i: int, first: int, count: int) -> I64:
        return self._series(i).times(first, count)

    def ahead(self, i: int) -> F64:
        return self._found[i].values[:, 4] if i in self._found else np.zeros(0)

    def bounds(self, i: int, steps: slice | I64, level: float) -> tuple[F64, F64]:
        deciles = self._deciles(i)[steps]
        z = intervals.half_width(level, exact=True)
        if not self._exact:
            width = z * _spread(deciles)
            return deciles[:, 4] - width, deciles[:, 4] + width
        low = deciles[:, 4] - _reach(deciles[:, 4::-1], z)
        lowest = self._found[i].low if i in self._found else -np.inf
        return np.maximum(low, lowest), deciles[:, 4] + _reach(deciles[:, 4:], z)

    def probability(self, i: int, steps: I64, y: F64) -> F64:
        deciles = self._deciles(i)[steps]
        if not self._exact:
            return _normal_probability(y, deciles[:, 4], _spread(deciles), exact=True)
        upper = _score(deciles[:, 4:], y - deciles[:, 4])
        lower = _score(deciles[:, 4::-1], deciles[:, 4] - y)
        return intervals.anomaly_probability(np.where(y >= deciles[:, 4], upper, lower), exact=True)

    def _deciles(self, i: int) -> F64:
        return self._found[i].values if i in self._found else np.zeros((0, 9))


def _normal_probability(y: F64, f: F64, se: F64, *, exact: bool) -> F64:
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(y == f, 0.0, np.abs(y - f) / se)
    return intervals.anomaly_probability(distance, exact=exact)


def _spread(deciles: F64) -> F64:
    """The standard deviation of a normal distribution whose outer deciles are as far apart, of rows (m, 9)."""
    return (deciles[:, 8] - deciles[:, 0]) / (2 * SCORES[-1])


def _reach(side: F64, z: float) -> F64:
    """Distance from the median to the quantile of normal score z >= 0, of deciles (m, 5) from the median outwards."""
    away = np.abs(side - side[:, :1])
    if z >= SCORES[-1]:
        return away[:, -1] * (z / SCORES[-1])
    k = int(np.searchsorted(SCORES, z, side="right"))
    part = (z - SCORES[k - 1]) / (SCORES[k] - SCORES[k - 1])
    return away[:, k - 1] + part * (away[:, k] - away[:, k - 1])


def _score(side: F64, distance: F64) -> F64:
    """The inverse of `_reach`: the smallest normal score at distances (m,) from the median; inf where there is none."""
    away = np.abs(side - side[:, :1])
    row = np.arange(len(away))
    k = np.minimum((away < distance[:, None]).sum(1), len(SCORES) - 1)
    below, above = away[row, np.maximum(k - 1, 0)], away[row, k]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = SCORES[np.maximum(k - 1, 0)] + (distance - below) / (above - below) * (SCORES[k] - SCORES[k - 1])
        outside = distance / away[:, -1] * SCORES[-1]
    found = np.where(distance > away[:, -1], outside, np.where(k == 0, 0.0, inside))
    found[np.isnan(distance)] = np.nan
    return found


# ---------------------------------------------------------------- forecasting


def forecast(call: Call, method: Method, found: Sequence[tuple[I64, F64]], steps: Sequence[int]) -> Forecasts:
    """Forecast every series.

    Args:
        found: times and values of each.
        steps: of each; ARIMA_PLUS forecasts the most of them for all.
    """
    exact, stop = call.context.fidelity == "best", call.context.database.stop
    if method.checkpoint is None:
        settings = series.Settings(horizon=max([1, *steps]), fidelity=call.context.fidelity)
        chunks = (workers.Chunk(t, y, np.array([0, len(t)], np.int64)) for t, y in found)
        record = workers.fit_all(chunks, settings, report=lambda done: stop.check())
        error = tuple(TOO_SHORT if "too short" in e else e for e in record.error)
        return ByArima(replace(record, error=error), exact=exact)
    whole = [_cleaned(t, y) for t, y in found]
    wanted = [i for i, w in enumerate(whole) if isinstance(w, Regular) and steps[i] > 0]
    model = _model(call, method.checkpoint)
    regular = [w for w in (whole[i] for i in wanted) if isinstance(w, Regular)]
    answers = model.forecast(
        [w.values for w in regular],
        [steps[i] for i in wanted],
        frequencies=[frequency_code(w.frequency) for w in regular],
        context=method.context,
        report=stop.check,
    )
    return ByDeciles(whole, {wanted[k]: deciles for k, deciles in answers}, exact=exact)


def _cleaned(times: I64, values: F64) -> Regular | str:
    try:
        return series.clean(times, values, series.Settings())
    except ValueError as error:
        return TOO_SHORT if "too short" in str(error) else str(error)


def frequency_code(frequency: Frequency) -> int:
    """What TimesFM 2.0 is told of the step: 0 up to daily, 1 weekly and monthly, 2 quarterly and yearly."""
    if frequency.mean_step < WEEK:
        return 0
    return 1 if frequency.mean_step < 85 * DAY else 2
