"""Many fitted series in one record of flat arrays, and parts of it read back.

Arrays of points are packed one series after the other; `offsets` say where each begins. What few series have
(seasons,
steps, spikes, holiday effects) is kept in tables of its own with the number of the series.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlml.kernels import holidays, seasons
from sqlml.kernels.series import Fitted
from sqlml.kernels.series_clean import DAY, Frequency, step_times
from sqlml.kernels.types import F64, I64, Bool


@dataclass(frozen=True, slots=True)
class Forecasts:
    """s series of n points in all, and their forecasts of h steps.

    Attributes:
        error: why a series could not be modelled, "" where it could.
        frequency, start, step, months, month_end: the time axis of each series.
        log: the series was modelled in logarithms; trend, seasons, effects, spikes, steps and variance are
        those of log(data).
        length: points of the history, shape (s,); 0 for failed series.
        offsets: first stored point of each series, shape (s + 1,); without decomposition none are stored.
        data, trend: shape (n,).
        season_*: one row per season of a series; part, level and slope packed by their own offsets. The part of a
        season of waves is empty: its level holds their coefficients.
        spike_*: points (numbered over all series) with a spike or dip, and its size.
        step_*: one row per series with step changes, the effect on each of its points packed.
        effect_*: significant holiday effects; name counts `holidays.Calendar.names()`.
        d, constant, has_constant, variance, loglik, aic, phi, theta: the trend's model, coefficients packed.
        naive_error: mean absolute difference of neighbours in the history, the scale of scaled errors, shape
        (s,).
        candidate_*: every order tried, packed.
        forecast, standard_error: shape (s, h), nan for failed series.
    """

    error: tuple[str, ...]
    frequency: tuple[str, ...]
    start: I64
    step: I64
    months: I64
    month_end: Bool
    log: Bool
    length: I64
    offsets: I64
    data: F64
    trend: F64
    season_series: I64
    season_name: tuple[str, ...]
    season_period: F64
    season_offsets: I64
    season_part: F64
    season_level_offsets: I64
    season_level: F64
    season_slope_offsets: I64
    season_slope: F64
    spike_point: I64
    spike_value: F64
    step_series: I64
    step_offsets: I64
    step_effect: F64
    effect_series: I64
    effect_name: I64
    effect_day: I64
    effect_value: F64
    d: I64
    has_constant: Bool
    constant: F64
    variance: F64
    loglik: F64
    aic: F64
    naive_error: F64
    phi_offsets: I64
    phi: F64
    theta_offsets: I64
    theta: F64
    candidate_offsets: I64
    candidate_p: I64
    candidate_q: I64
    candidate_constant: Bool
    candidate_loglik: F64
    candidate_aic: F64
    candidate_variance: F64
    forecast: F64
    standard_error: F64

    def __len__(self) -> int:
        return len(self.error)

    @property
    def horizon(self) -> int:
        """Steps forecast per series."""
        return int(self.forecast.shape[1])

    @property
    def decomposed(self) -> bool:
        """Whether the parts of the history were kept."""
        return len(self.data) > 0 or not self.length.any()

    def count(self, i: int) -> int:
        """Points in the history of series i."""
        return int(self.length[i])

    def points(self, i: int) -> slice:
        """Where series i lies in `data` and `trend`."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def axis(self, i: int) -> Frequency:
        """The step in time of series i."""
        return Frequency(self.frequency[i], int(self.step[i]), int(self.months[i]), bool(self.month_end[i]))

    def times(self, i: int, first: int, count: int) -> I64:
        """Times of points first .. first + count - 1 of series i, microseconds."""
        return step_times(self.axis(i), int(self.start[i]), first, count)

    def seasons_of(self, i: int) -> list[int]:
        """Rows of the season table that belong to series i."""
        low, high = np.searchsorted(self.season_series, [i, i + 1])
        return list(range(int(low), int(high)))

    def season(self, row: int, n: int, ahead: int) -> F64:
        """One season in the history of n points and `ahead` steps beyond, shape (n + ahead,)."""
        period = float(self.season_period[row])
        level = packed(self.season_level, self.season_level_offsets, row)
        slope = packed(self.season_slope, self.season_slope_offsets, row)
        part = packed(self.season_part, self.season_offsets, row)
        if not len(part):  # made of waves: its coefficients tell the history too
            return seasons.extend(period, level, slope, 0, n + ahead)
        return np.concatenate([part, seasons.extend(period, level, slope, n, ahead)])

    def effects_of(self, i: int) -> holidays.Effects:
        """Holiday effects of series i."""
        low, high = np.searchsorted(self.effect_series, [i, i + 1])
        return holidays.Effects(self.effect_name[low:high], self.effect_day[low:high], self.effect_value[low:high])

    def holiday(self, i: int, calendar: holidays.Calendar, n: int, ahead: int) -> tuple[F64, dict[int, F64]] | None:
        """Total and single holiday effects on n + ahead points of series i; None when it has none."""
        effects = self.effects_of(i)
        if not len(effects.value):
            return None
        return holidays.apply(effects, calendar, int(self.start[i]) // DAY, int(self.step[i]) // DAY, n + ahead)

    def spikes(self, i: int) -> F64 | None:
        """Spikes and dips of series i, shape (n,); None when it has none."""
        low, high = np.searchsorted(self.spike_point, self.offsets[i : i + 2])
        if low == high:
            return None
        out = np.zeros(self.count(i))
        out[self.spike_point[low:high] - self.offsets[i]] = self.spike_value[low:high]
        return out

    def steps(self, i: int) -> F64 | None:
        """Step changes of series i, shape (n,); None when it has none."""
        row = int(np.searchsorted(self.step_series, i))
        if row == len(self.step_series) or self.step_series[row] != i:
            return None
        return packed(self.step_effect, self.step_offsets, row)


def packed(values: F64, offsets: I64, row: int) -> F64:
    """The values of one row of a packed array."""
    return values[int(offsets[row]) : int(offsets[row + 1])]


def _offsets(lengths: Sequence[int]) -> I64:
    return np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))]).astype(np.int64)


def _flat(arrays: Sequence[F64]) -> F64:
    return np.concatenate(arrays) if len(arrays) else np.zeros(0)


def pack(fits: Sequence[Fitted | str], horizon: int) -> Forecasts:
    """One record of many fits; a string is the reason why its series failed."""
    good = [f for f in fits if not isinstance(f, str)]
    where = [i for i, f in enumerate(fits) if not isinstance(f, str)]
    lengths = [0 if isinstance(f, str) else len(f.trend) for f in fits]
    offsets = _offsets(lengths)
    axis = {i: f.regular for i, f in zip(where, good, strict=True)}
    steps = [(i, f.steps) for i, f in zip(where, good, strict=True) if len(f.step_windows)]
    spikes = [(int(offsets[i]), f.spikes) for i, f in zip(where, good, strict=True) if f.spikes.any()]
    full = np.full((len(fits), horizon), np.nan)
    error = full.copy()
    for i, f in zip(where, good, strict=True):
        full[i], error[i] = f.forecast, f.standard_error
    return Forecasts(
        error=tuple(f if isinstance(f, str) else "" for f in fits),
        frequency=tuple(axis[i].frequency.name if i in axis else "" for i in range(len(fits))),
        start=np.array([axis[i].start if i in axis else 0 for i in range(len(fits))], np.int64),
        step=np.array([axis[i].frequency.step if i in axis else 0 for i in range(len(fits))], np.int64),
        months=np.array([axis[i].frequency.months if i in axis else 0 for i in range(len(fits))], np.int64),
        month_end=np.array([i in axis and axis[i].frequency.month_end for i in range(len(fits))], np.bool_),
        log=np.array([not isinstance(f, str) and f.log for f in fits], np.bool_),
        length=np.array(lengths, np.int64),
        offsets=offsets,
        data=_flat([f.regular.values for f in good]),
        trend=_flat([f.trend for f in good]),
        **_season_table(where, good),
        spike_point=np.concatenate([[], *(o + np.flatnonzero(x) for o, x in spikes)]).astype(np.int64),
        spike_value=_flat([x[x != 0] for _, x in spikes]),
        step_series=np.array([i for i, _ in steps], np.int64),
        step_offsets=_offsets([len(x) for _, x in steps]),
        step_effect=_flat([x for _, x in steps]),
        **_effect_table(where, good),
        **_model_table(fits),
        naive_error=np.array(
            [np.nan if isinstance(f, str) else float(np.abs(np.diff(f.regular.values)).mean()) for f in fits]
        ),
        forecast=full,
        standard_error=error,
    )


def _season_table(where: Sequence[int], good: Sequence[Fitted]) -> dict[str, Any]:
    rows = [(i, s) for i, f in zip(where, good, strict=True) for s in f.seasons]
    parts = [s.part[:0] if seasons.is_wave(s.period) else s.part for _, s in rows]
    return {
        "season_series": np.array([i for i, _ in rows], np.int64),
        "season_name": tuple(s.name for _, s in rows),
        "season_period": np.array([s.period for _, s in rows], np.float64),
        "season_offsets": _offsets([len(x) for x in parts]),
        "season_part": _flat(parts),
        "season_level_offsets": _offsets([len(s.level) for _, s in rows]),
        "season_level": _flat([s.level for _, s in rows]),
        "season_slope_offsets": _offsets([len(s.slope) for _, s in rows]),
        "season_slope": _flat([s.slope for _, s in rows]),
    }


def _effect_table(where: Sequence[int], good: Sequence[Fitted]) -> dict[str, Any]:
    effects = [f.effects for f in good]
    return {
        "effect_series": np.repeat(np.array(where, np.int64), [len(e.value) for e in effects]),
        "effect_name": np.concatenate([[], *(e.name for e in effects)]).astype(np.int64),
        "effect_day": np.concatenate([[], *(e.offset for e in effects)]).astype(np.int64),
        "effect_value": _flat([e.value for e in effects]),
    }


def _model_table(fits: Sequence[Fitted | str]) -> dict[str, Any]:
    models = [None if isinstance(f, str) else f.model for f in fits]
    nothing = np.zeros(0)
    tried = [m.candidates for m in models if m is not None]
    return {
        "d": np.array([0 if m is None else m.d for m in models], np.int64),
        "has_constant": np.array([m is not None and m.has_constant for m in models], np.bool_),
        "constant": np.array([np.nan if m is None else m.constant for m in models]),
        "variance": np.array([np.nan if m is None else m.variance for m in models]),
        "loglik": np.array([np.nan if m is None else m.loglik for m in models]),
        "aic": np.array([np.nan if m is None else m.aic for m in models]),
        "phi_offsets": _offsets([0 if m is None else len(m.phi) for m in models]),
        "phi": _flat([nothing if m is None else m.phi for m in models]),
        "theta_offsets": _offsets([0 if m is None else len(m.theta) for m in models]),
        "theta": _flat([nothing if m is None else m.theta for m in models]),
        "candidate_offsets": _offsets([0 if m is None else len(m.candidates.p) for m in models]),
        "candidate_p": np.concatenate([[], *(c.p for c in tried)]).astype(np.int64),
        "candidate_q": np.concatenate([[], *(c.q for c in tried)]).astype(np.int64),
        "candidate_constant": np.concatenate([[], *(c.constant for c in tried)]).astype(np.bool_),
        "candidate_loglik": _flat([c.loglik for c in tried]),
        "candidate_aic": _flat([c.aic for c in tried]),
        "candidate_variance": _flat([c.variance for c in tried]),
    }


def without_history(record: Forecasts) -> Forecasts:
    """The forecasts alone: data, parts and effects of the history are dropped."""
    none, whole = np.zeros(0), np.zeros(0, np.int64)
    rows = np.zeros(1, np.int64)
    return dataclasses.replace(
        record,
        offsets=np.zeros(len(record) + 1, np.int64),
        data=none,
        trend=none,
        season_offsets=np.zeros(len(record.season_series) + 1, np.int64),
        season_part=none,
        spike_point=whole,
        spike_value=none,
        step_series=whole,
        step_offsets=rows,
        step_effect=none,
        effect_series=whole,
        effect_name=whole,
        effect_day=whole,
        effect_value=none,
    )


def concatenate(parts: list[Forecasts]) -> Forecasts:
    """The series of several records in order. The list is emptied, so that memory holds one copy."""
    if len(parts) == 1:
        return parts.pop()
    joined = Joined()
    parts.reverse()
    while parts:
        joined.add(parts.pop())
    return joined.record()


class Joined:
    """A record that grows by the series of others.

    Each field is one buffer that grows in place: joining many small arrays at the end would hold all values twice.
    """

    def __init__(self) -> None:
        self._buffers: dict[str, bytearray] = {}
        self._kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._texts: dict[str, list[str]] = {}
        self._ends: dict[str, int] = {}
        self._series = self._points = 0

    def add(self, part: Forecasts) -> None:
        """Put the series of a record behind those that are there."""
        for field in dataclasses.fields(Forecasts):
            name, value = field.name, getattr(part, field.name)
            if isinstance(value, tuple):
                self._texts.setdefault(name, []).extend(value)
                continue
            if name.endswith("offsets"):
                end = self._ends.get(name)
                value = value if end is None else value[1:] + end
                self._ends[name] = int(value[-1]) if len(value) else end or 0
            elif name.endswith("_series"):
                value = value + self._series
            elif name == "spike_point":
                value = value + self._points
            self._kinds.setdefault(name, (value.dtype, value.shape[1:]))
            buffer = self._buffers.setdefault(name, bytearray())
            buffer += np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        self._series += len(part)
        self._points += len(part.data)

    def record(self) -> Forecasts:
        """All series; nothing can be added afterwards."""
        if not self._buffers:
            return pack([], 0)
        values: dict[str, Any] = {name: tuple(texts) for name, texts in self._texts.items()}
        for name, (dtype, shape) in self._kinds.items():
            values[name] = np.frombuffer(self._buffers[name], dtype=dtype).reshape(-1, *shape)
        return Forecasts(**values)
