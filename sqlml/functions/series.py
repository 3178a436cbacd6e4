"""Functions over series without a model: ML.TREND, ML.SEASONALITY, ML.DETECT_CHANGE_POINTS.

They take the series apart as ARIMA_PLUS does, with its documented default of orders p + q <= 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlml.errors import OptionError, SchemaError, did_you_mean
from sqlml.functions.base import Call, Computed, Source, TableFunction
from sqlml.functions.forecast import PERIODS, STAMP_SQL, numbers, stamps, told
from sqlml.functions.series_rows import STAMP
from sqlml.kernels import series, workers
from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.types import F64, I64
from sqlml.models.time_series import TIMES, Reader, reader
from sqlml.options import REQUIRED, option
from sqlml.relation import LocalRelation
from sqlml.schema import Column, Kind, find, names, same_name

MAX_ORDER = 2
METRICS_SQL = 'STRUCT("avg" DOUBLE, "min" DOUBLE, "max" DOUBLE, stddev DOUBLE, "count" BIGINT)'


@dataclass(frozen=True)
class SeriesSettings:
    """Settings of functions over series."""

    data_col: str = option(REQUIRED, "The numeric column.")
    timestamp_col: str = option(REQUIRED, "The TIMESTAMP, DATE or DATETIME column.")
    id_cols: tuple[str, ...] | None = option(None, "Columns that tell series apart.")


@dataclass(frozen=True)
class TrendSettings(SeriesSettings):
    """Settings of ML.TREND."""

    horizon: int = option(0, "Future points; none by default.", low=0, high=10_000)
    smoothing_window_size: int = option(5, "Centred moving average over the trend; 1 for none.", low=0)
    adjust_step_changes: bool = option(False, "Remove abrupt changes of level first.")


@dataclass(frozen=True)
class SeasonalitySettings(SeriesSettings):
    """Settings of ML.SEASONALITY."""

    seasonalities: tuple[str, ...] | None = option(None, "Seasons to model; found in the data by default.")
    horizon: int = option(0, "Future points; none by default.", low=0, high=10_000)


@dataclass(frozen=True, slots=True)
class Given:
    """The series of a data argument."""

    reader: Reader
    time: Column
    data: Column
    ids: tuple[Column, ...]

    def id_arrays(self, rows: Sequence[int] | I64) -> dict[str, pa.Array]:
        """Id columns of the series numbers in `rows`."""
        taken = self.reader.ids.take(pa.array(np.asarray(rows, np.int64), pa.int64())) if self.ids else None
        return {c.name: taken.column(c.name).combine_chunks() for c in self.ids} if taken is not None else {}

    def times(self, x: I64) -> pa.Array:
        """Microseconds in the type of the time column."""
        name = self.time.type.name
        if name == "DATE":
            return pa.array(x, pa.int64()).cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
        if name == "TIMESTAMP WITH TIME ZONE":
            return stamps(x)
        return pa.array(x, pa.int64()).cast(pa.timestamp("us"))

    @property
    def time_out(self) -> Column:
        """The time column of the answer."""
        name = self.time.type.name
        return Column(self.time.name, name if name in ("DATE", "TIMESTAMP WITH TIME ZONE") else "TIMESTAMP")


def given_series(call: Call, source: Source) -> Callable[[], Given]:
    """Check the columns that the settings name; reading them comes later. Raises `SchemaError`."""
    settings = call.settings
    time = _column(call, source, settings.timestamp_col, "TIMESTAMP_COL")
    if time.type.name not in TIMES:
        text = f"TIMESTAMP_COL must be a TIMESTAMP, DATE or DATETIME column. {time.name} is {time.type.google}."
        raise SchemaError(text, span=call.places.get("timestamp_col", source.span))
    data = _column(call, source, settings.data_col, "DATA_COL")
    if data.kind is not Kind.NUMERIC:
        text = f"DATA_COL must be a numeric column. {data.name} is {data.type.google}."
        raise SchemaError(text, span=call.places.get("data_col", source.span))
    ids = tuple(_column(call, source, n, "ID_COLS") for n in settings.id_cols or ())
    used = [time, data, *ids]
    if any(same_name(a.name, b.name) for i, a in enumerate(used) for b in used[:i]):
        text = "ID_COLS must name other columns than the time and the data, each once."
        raise OptionError(text, span=call.places.get("id_cols", call.span))

    def read() -> Given:
        return Given(reader(relation_of(call, source), time, data, ids), time, data, ids)

    return read


def relation_of(call: Call, source: Source) -> LocalRelation:
    """The rows of a data argument."""
    context = call.context
    sql = f"({source.query()})"
    if context.parameters:
        sql = context.database.snapshot(source.query(), context.parameters)
    return LocalRelation(context.database, sql, source.columns)


def _column(call: Call, source: Source, name: str, what: str) -> Column:
    found = find(source.columns, name)
    if found is None:
        hint = did_you_mean(name, names(source.columns))
        text = f"{what} must name a column of the input. Got {name!r}."
        raise SchemaError(text, span=call.places.get(what.lower(), source.span), hint=hint)
    return found


def fit(call: Call, given: Given, settings: series.Settings) -> Forecasts:
    """Fit every series."""
    return workers.fit_all(given.reader.chunks(), settings, report=lambda done: call.context.database.stop.check())


def rows_of(
    given: Given,
    record: Forecasts,
    horizon: int,
    columns: Sequence[Column],
    values: Callable[[int, int], dict[str, F64]],
) -> pa.Table:
    """Rows of every series: ids, time, type, data, `values`, status; one row for a failed series."""
    which: list[int] = []
    times: list[I64] = []
    kinds: list[Any] = []
    statuses: list[str | None] = []
    parts: list[dict[str, F64]] = []
    lead = len(given.ids) + 3
    data: list[F64] = []
    for i, error in enumerate(record.error):
        n = record.count(i)
        h = 0 if error else int(told(record.times(i, n, horizon), record.forecast[i, :horizon]).sum())
        rows = 1 if error else n + h
        which += [i] * rows
        times.append(np.array([-1], np.int64) if error else record.times(i, 0, n + h))
        kinds += [None] if error else ["history"] * n + ["forecast"] * h
        statuses += [error] if error else [""] * rows
        found = {c.name: np.full(1, np.nan) for c in columns[lead:-1]}
        if not error:
            found = {name: x[:rows] for name, x in values(i, n).items()}
        known = (record.data[record.points(i)], record.forecast[i, :h])
        data.append(np.full(1, np.nan) if error else np.concatenate(known))
        parts.append(found)
    flat = np.concatenate(times) if times else np.zeros(0, np.int64)
    missing = np.array([k is None for k in kinds], dtype=np.bool_)
    stamped = pc.if_else(pa.array(~missing), given.times(flat), None)
    joined = [np.concatenate([p[c.name] for p in parts]) if parts else np.zeros(0) for c in columns[lead:-1]]
    arrays = [
        *given.id_arrays(which).values(),
        stamped,
        pa.array(kinds, pa.string()),
        numbers(np.concatenate(data) if data else np.zeros(0)),
        *(numbers(x) for x in joined),
        pa.array(statuses, pa.string()),
    ]
    return pa.table(arrays, names=[c.name for c in columns])


def _lead(call: Call, source: Source) -> tuple[Column, ...]:
    settings = call.settings
    time = _column(call, source, settings.timestamp_col, "TIMESTAMP_COL")
    data = _column(call, source, settings.data_col, "DATA_COL")
    ids = tuple(_column(call, source, n, "ID_COLS") for n in settings.id_cols or ())
    name = time.type.name if time.type.name in ("DATE", "TIMESTAMP WITH TIME ZONE") else "TIMESTAMP"
    return (*ids, Column(time.name, name), Column("time_series_type", "VARCHAR"), Column(data.name, "DOUBLE"))


def _trend(call: Call) -> Computed:
    s: TrendSettings = call.settings
    read = given_series(call, call.data)
    columns = (*_lead(call, call.data), Column("trend", "DOUBLE"), Column("status", "VARCHAR"))

    def compute() -> pa.Table:
        given = read()
        settings = series.Settings(
            horizon=max(1, s.horizon),
            max_order=MAX_ORDER,
            additive=True,
            adjust_steps=s.adjust_step_changes,
            everything=True,
            fidelity=call.context.fidelity,
        )
        record = fit(call, given, settings)

        def values(i: int, n: int) -> dict[str, F64]:
            known = sum((record.season(row, n, s.horizon)[n:] for row in record.seasons_of(i)), np.zeros(s.horizon))
            past = series.smooth(record.trend[record.points(i)], max(1, s.smoothing_window_size))
            return {"trend": np.concatenate([past, record.forecast[i, : s.horizon] - known])}

        return rows_of(given, record, s.horizon, columns, values)

    return Computed(columns, compute)


def _seasonality(call: Call) -> Computed:
    s: SeasonalitySettings = call.settings
    wanted = tuple(x.upper() for x in s.seasonalities) if s.seasonalities is not None else None
    for name in wanted or ():
        if name not in PERIODS:
            text = f"SEASONALITIES must be some of {', '.join(PERIODS)}. Got {name!r}."
            place = call.places.get("seasonalities", call.span)
            raise OptionError(text, span=place, hint=did_you_mean(name, PERIODS))
    read = given_series(call, call.data)
    shown = [p for p in PERIODS if wanted is None or p in wanted]
    columns = (
        *_lead(call, call.data),
        *(Column(p.lower(), "DOUBLE") for p in shown),
        Column("status", "VARCHAR"),
    )

    def compute() -> pa.Table:
        given = read()
        settings = series.Settings(
            horizon=max(1, s.horizon),
            max_order=MAX_ORDER,
            additive=True,
            seasonalities=wanted or ("AUTO",),
            fidelity=call.context.fidelity,
        )
        record = fit(call, given, settings)

        def values(i: int, n: int) -> dict[str, F64]:
            found = {p.lower(): np.full(n + s.horizon, np.nan) for p in shown}
            for row in record.seasons_of(i):
                found[record.season_name[row].lower()] = record.season(row, n, s.horizon)
            return found

        return rows_of(given, record, s.horizon, columns, values)

    return Computed(columns, compute)


def _change_points(call: Call) -> Computed:
    read = given_series(call, call.data)
    ids = tuple(_column(call, call.data, n, "ID_COLS") for n in call.settings.id_cols or ())
    columns = (
        *ids,
        Column("begin_timestamp", STAMP_SQL),
        Column("end_timestamp", STAMP_SQL),
        Column("metrics", METRICS_SQL),
        Column("status", "VARCHAR"),
    )

    def compute() -> pa.Table:
        given = read()
        which: list[int] = []
        begin: list[int | None] = []
        end: list[int | None] = []
        metrics: list[dict[str, float] | None] = []
        statuses: list[str] = []
        settings = series.Settings(fidelity=call.context.fidelity)
        for number, (times, values) in enumerate(each(given)):
            for row in _windows(times, values, settings):
                which.append(number)
                begin.append(row[0])
                end.append(row[1])
                metrics.append(row[2])
                statuses.append(row[3])
        numeric = [(name, pa.float64()) for name in ("avg", "min", "max", "stddev")]
        kind = pa.struct([*numeric, ("count", pa.int64())])
        arrays = [
            *given.id_arrays(which).values(),
            pa.array(begin, pa.int64()).cast(STAMP),
            pa.array(end, pa.int64()).cast(STAMP),
            pa.array(metrics, kind),
            pa.array(statuses, pa.string()),
        ]
        return pa.table(arrays, names=[c.name for c in columns])

    return Computed(columns, compute)


def each(given: Given) -> Any:
    """Times and values of one series after the other."""
    for chunk in given.reader.chunks():
        for i in range(len(chunk)):
            rows = slice(int(chunk.offsets[i]), int(chunk.offsets[i + 1]))
            yield chunk.times[rows], chunk.values[rows]


Window = tuple[int | None, int | None, dict[str, float] | None, str]


def _windows(times: I64, values: F64, settings: series.Settings) -> list[Window]:
    try:
        whole = series.clean(times, values, settings)
        found = series.take_apart(whole, settings).steps.windows()
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return [(None, None, None, str(error))]
    rows: list[Window] = []
    for first, last in found:
        part = whole.values[first : last + 1]
        spread = float(part.std(ddof=1)) if len(part) > 1 else 0.0
        statistics = {
            "avg": float(part.mean()),
            "min": float(part.min()),
            "max": float(part.max()),
            "stddev": spread,
            "count": len(part),
        }
        at = whole.times(first, last - first + 1)
        rows.append((int(at[0]), int(at[-1]), statistics, ""))
    return rows


TREND = TableFunction(
    name="ML.TREND",
    doc="The trend of time series, without a model.",
    run=_trend,
    settings=TrendSettings,
    model=False,
    data="required",
)
SEASONALITY = TableFunction(
    name="ML.SEASONALITY",
    doc="The seasonal parts of time series, without a model.",
    run=_seasonality,
    settings=SeasonalitySettings,
    model=False,
    data="required",
)
DETECT_CHANGE_POINTS = TableFunction(
    name="ML.DETECT_CHANGE_POINTS",
    doc="Windows in which the level of a time series changes.",
    run=_change_points,
    settings=SeriesSettings,
    model=False,
    data="required",
)
