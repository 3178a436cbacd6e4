"""The whole pipeline for one series: clean, holidays, spikes, seasons, steps, ARIMA, and back together.

data = trend + seasons + holiday effect + spikes and dips + step changes + residual in the history, and
forecast = trend + seasons + holiday effect afterwards; both add up exactly because the residual of the
history and the
trend of the forecast are what the other parts leave.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sqlml.kernels import arima, changes, forecast_error, holidays, seasons
from sqlml.kernels.series_clean import DAY, WEEK, Regular, regular
from sqlml.kernels.types import F64, I64

Fidelity = Literal["best", "bigquery"]
# Robust standard deviations from the running median at which a point is a spike. The service does not flag a
# day of 10.5
# in the daily visits of the Google Analytics sample.
SPIKE_THRESHOLD = {"best": 8.0, "bigquery": 11.0}
SPIKE_ROUNDS, SEASON_ROUNDS = 4, 3
SHORTEST = 3
#: Sums of squares of larger values leave the range of FLOAT64.
LARGEST = 1e140
# Cycles smoothed together, and the height of a step in units of the usual change. The service's are 7 and 4;
# on the
# held-out tails of public series steadier seasons and fewer steps forecast better.
SEASONAL_WINDOW = {"best": 15, "bigquery": 7}
STEP_THRESHOLD = {"best": 8.0, "bigquery": 4.0}
# A model that was chosen on the data predicts worse than its variance says, even when its mean and its noise are taken
# as unknown: neither the order nor the coefficients nor the season are known. Fidelity 'best' widens by this factor.
WIDENING = 1.2


@dataclass(frozen=True, slots=True)
class Settings:
    """How series are modelled; the fields are the options of ARIMA_PLUS.

    Attributes:
        order: a fixed (p, d, q) instead of the search.
        drift: with a fixed order and d = 1, add a drift.
        length_fraction, min_length, max_length: which end of the series the trend is fitted to.
        lower, upper: open bounds of data and forecasts.
        calendar: holidays, already windowed; empty for none.
        additive: never model the logarithm of a series.
        everything: take all candidate orders to their exact maximum.
    """

    horizon: int = 1000
    frequency: str = "AUTO_FREQUENCY"
    max_order: int = 5
    min_order: int = 0
    order: tuple[int, int, int] | None = None
    drift: bool = False
    seasonalities: tuple[str, ...] = ("AUTO",)
    clean_spikes: bool = True
    adjust_steps: bool = True
    length_fraction: float | None = None
    min_length: int = 20
    max_length: int | None = None
    lower: float | None = None
    upper: float | None = None
    longest: int = 500_000
    calendar: holidays.Calendar = field(default=holidays.EMPTY)
    additive: bool = False
    everything: bool = False
    fidelity: Fidelity = "best"


@dataclass(frozen=True, slots=True)
class Fitted:
    """One modelled series of n points and its forecast of h steps.

    Attributes:
        trend: one-step predictions of the adjusted series, shape (n,).
        holiday, spikes, steps: parts of the history, shape (n,), zero where there is none.
        effects: the holidays' effects.
        forecast, standard_error: in units of the data, shape (h,).
        log: the pipeline ran on log(data); all parts but forecast and standard_error are those of the
        logarithm.
    """

    regular: Regular
    seasons: tuple[seasons.Season, ...]
    trend: F64
    holiday: F64
    spikes: F64
    steps: F64
    step_windows: tuple[tuple[int, int], ...]
    effects: holidays.Effects
    model: arima.Arima
    forecast: F64
    standard_error: F64
    log: bool = False


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A series taken apart, before its trend is modelled. `rest` is left to the trend, shape (n,)."""

    seasons: tuple[seasons.Season, ...]
    holiday: F64
    spikes: F64
    steps: changes.Steps
    effects: holidays.Effects
    rest: F64


def fit(times: I64, values: F64, settings: Settings) -> Fitted:
    """Model and forecast one series.

    Args:
        times: ascending, microseconds since 1970-01-01 UTC, shape (n,).
        values: nan where missing, shape (n,).

    Raises:
        ValueError: the series cannot be modelled; the message is for the user.
    """
    return fit_regular(clean(times, values, settings), settings)


def fit_regular(whole: Regular, settings: Settings) -> Fitted:
    """Model and forecast a series that is evenly spaced already. Raises as `fit`."""
    if settings.fidelity == "best" and not settings.additive and is_multiplicative(whole, settings):
        return _in_logarithms(whole, settings)
    parts = take_apart(whole, settings)
    model = model_trend(parts, settings)
    n, h = len(whole.values), settings.horizon
    values_ahead, error = arima.forecast(model, h)
    trend = model.fitted
    if settings.fidelity == "best":
        # The first values have no past to be predicted from: nothing is left over. The service's trend has 0 there.
        trend = np.concatenate([parts.rest[: model.d], trend[model.d :]])
        tail = slice(n - trend_length(n, settings), n)
        error = WIDENING * forecast_error.standard_error(model, parts.rest[tail] - model.fitted[tail], error)
    ahead = values_ahead + future_parts(whole, parts.seasons, parts.effects, settings.calendar, n, h)
    return Fitted(
        whole,
        parts.seasons,
        trend,
        parts.holiday,
        parts.spikes,
        parts.steps.effect,
        tuple(parts.steps.windows()),
        parts.effects,
        model,
        bounded(ahead, settings.lower, settings.upper),
        error,
    )


def is_multiplicative(whole: Regular, settings: Settings) -> bool:
    """Whether a positive series has a season in its logarithm whose swings, in the data, grow with the level."""
    y = whole.values
    if not y.min() > 0 or "NO_SEASONALITY" in settings.seasonalities:
        return False
    for name in ("DAILY", "WEEKLY", "YEARLY"):
        period = seasons.period_of(name, whole.frequency)
        if seasons.grows_with_level(y, period):
            return any(n == name for n, _ in seasons.find(np.log(y), whole.frequency, settings.seasonalities))
    return False


def _in_logarithms(whole: Regular, settings: Settings) -> Fitted:
    """The pipeline on log(data); the forecast is the median, the standard error that of a log-normal of that median."""
    plain = replace(settings, additive=True, lower=None, upper=None)
    found = fit_regular(replace(whole, values=np.log(whole.values)), plain)
    # Beyond these bounds a forecast in logarithms has run away; they keep it finite.
    ahead = np.exp(np.clip(found.forecast, -300.0, 300.0))
    error = ahead * np.sqrt(np.expm1(np.minimum(found.standard_error**2, 50.0)))
    ahead = bounded(ahead, settings.lower, settings.upper)
    return replace(found, regular=whole, forecast=ahead, standard_error=error, log=True)


def clean(times: I64, values: F64, settings: Settings) -> Regular:
    """The evenly spaced series inside its bounds."""
    if settings.lower is not None or settings.upper is not None:
        low = -np.inf if settings.lower is None else settings.lower
        high = np.inf if settings.upper is None else settings.upper
        with np.errstate(invalid="ignore"):
            inside = (values > low) & (values < high)
        times, values = times[inside], values[inside]
        if not len(values):
            raise ValueError("No value of the time series lies between the forecast limits.")
    present = int((~np.isnan(values)).sum())
    if present < SHORTEST:
        raise ValueError(f"The time series data is too short: {present} points, at least {SHORTEST} are needed.")
    sizes = np.abs(values[np.isfinite(values)])
    largest = float(sizes.max()) if len(sizes) else 0.0
    if largest > LARGEST or 0.0 < largest < 1 / LARGEST:
        text = "The largest value of the time series must be 0 or between 1e-140 and 1e140 in size."
        raise ValueError(f"{text} It is {largest:.3g}: change its unit.")
    return regular(times, values, settings.frequency, longest=settings.longest)


def take_apart(whole: Regular, settings: Settings) -> Adjusted:
    """Holidays, spikes, seasons and steps of a series, in this order."""
    y = whole.values
    n = len(y)
    sloped, window = settings.fidelity == "bigquery", SEASONAL_WINDOW[settings.fidelity]
    periods = seasons.find(y, whole.frequency, settings.seasonalities)
    parts = seasons.separate(y, periods, sloped=sloped, window=window)
    seasonal = _total(parts, n)
    holiday, effects = _holidays(whole, y - seasonal, settings)
    spiked = np.zeros(n)
    if settings.clean_spikes:
        threshold = SPIKE_THRESHOLD[settings.fidelity]
        large = np.zeros(n, dtype=np.bool_)
        # Spikes are in the seasons, too, and make dips of the same days of the cycles beside theirs. So the large ones
        # are found first, and the seasons estimated without them: each time they take in less of what stood there.
        for _ in range(SPIKE_ROUNDS if periods else 0):
            z = changes.bridge(y - holiday - seasonal, large)
            more = changes.spikes(z, threshold, leading=True)
            if not more.any():
                break
            large |= more
            for _ in range(SEASON_ROUNDS):
                without = seasonal + changes.bridge(y - holiday - seasonal, large)
                seasonal = _total(seasons.separate(without, periods, sloped=sloped, window=window), n)
        z = y - holiday - seasonal
        spiked = z - changes.bridge(z, changes.spikes(z, threshold))
    if holiday.any() or spiked.any():
        cleaned = y - holiday - spiked
        periods = seasons.find(cleaned, whole.frequency, settings.seasonalities)
        parts = seasons.separate(cleaned, periods, sloped=sloped, window=window)
        seasonal = _total(parts, n)
    z = y - holiday - spiked - seasonal
    steps = changes.steps(z, STEP_THRESHOLD[settings.fidelity]) if settings.adjust_steps else changes.no_steps(n)
    return Adjusted(parts, holiday, spiked, steps, effects, z - steps.effect)


def model_trend(parts: Adjusted, settings: Settings) -> arima.Arima:
    """ARIMA of what the other parts leave, fitted to the end that the length options choose."""
    y = parts.rest
    tail = y[len(y) - trend_length(len(y), settings) :]
    if settings.order is not None:
        constant = settings.order[1] == 0 or (settings.order[1] == 1 and settings.drift)
        model = arima.fixed(tail, settings.order, constant=constant)
    else:
        model = arima.search(
            tail,
            max_order=settings.max_order,
            min_order=settings.min_order,
            deseasoned=bool(parts.seasons),
            everything=settings.everything,
            corrected=settings.fidelity == "best",
        )
    return model if len(tail) == len(y) else replace(model, fitted=arima.predictions(model, y))


def trend_length(n: int, settings: Settings) -> int:
    """Number of points at the end of a series of n that the trend is fitted to."""
    if settings.max_length is not None:
        return min(n, settings.max_length)
    if settings.length_fraction is not None:
        return min(n, max(settings.min_length, round(n * settings.length_fraction)))
    return n


def smooth(x: F64, window: int) -> F64:
    """Centred moving average; the ends are padded with the first and last value, shape (n,)."""
    before = (window - 1) // 2
    padded = np.concatenate([np.full(before, x[0]), x, np.full(window - 1 - before, x[-1])])
    result: F64 = np.convolve(padded, np.full(window, 1.0 / window), "valid")
    return result


def future_parts(
    whole: Regular,
    parts: tuple[seasons.Season, ...],
    effects: holidays.Effects,
    calendar: holidays.Calendar,
    n: int,
    count: int,
) -> F64:
    """Seasons and holidays of the points n .. n + count - 1, shape (count,)."""
    total = np.zeros(count)
    for season in parts:
        total = total + seasons.extend(season.period, season.level, season.slope, n, count)
    if len(effects.value):
        start, step = _days(whole)
        total = total + holidays.apply(effects, calendar, start, step, n + count)[0][n:]
    return total


def bounded(x: F64, lower: float | None, upper: float | None) -> F64:
    """x inside the open interval (lower, upper): values outside move to just inside the bound."""
    if lower is not None:
        x = np.maximum(x, np.nextafter(lower, np.inf))
    if upper is not None:
        x = np.minimum(x, np.nextafter(upper, -np.inf))
    return x


def _total(parts: tuple[seasons.Season, ...], n: int) -> F64:
    total = np.zeros(n)
    for season in parts:
        total = total + season.part
    return total


def _days(whole: Regular) -> tuple[int, int]:
    return whole.start // DAY, whole.frequency.step // DAY


def _holidays(whole: Regular, z: F64, settings: Settings) -> tuple[F64, holidays.Effects]:
    """Effects in a daily or weekly series of more than a year; nothing elsewhere."""
    n = len(z)
    step = whole.frequency.step
    if not len(settings.calendar) or step not in (DAY, WEEK) or n * step <= 365 * DAY:
        return np.zeros(n), holidays.NO_EFFECTS
    start, days = _days(whole)
    effects = holidays.estimate(z, settings.calendar, start, days)
    return holidays.apply(effects, settings.calendar, start, days, n)[0], effects
