"""What the forecasting models share: options, reading many series in one sorted scan, holidays, the stored state."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from sqlml.arrow import bigints, numbers
from sqlml.errors import (
    OptionError,
    SchemaError,
    TrainingError,
    did_you_mean,
    notice,
)
from sqlml.kernels import holidays, series
from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.regions import GROUPS, REGIONS, nearest_region
from sqlml.kernels.workers import Chunk
from sqlml.models.base import RegistryOptions, TrainingData
from sqlml.models.series_holidays import calendar_of
from sqlml.options import option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, find, names, quote_literal, quote_name, same_name

TIMES = frozenset(
    {
        "DATE",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
        "TIMESTAMP_NS",
        "TIMESTAMP WITH TIME ZONE",
    }
)
#: Series of one chunk have about so many points together.
CHUNK_POINTS = 20_000
CHUNK_SERIES = 40
#: Rows that are sorted at a time.
SCAN_ROWS = 250_000

Frequency = Literal["AUTO_FREQUENCY", "PER_MINUTE", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"]


@dataclass(frozen=True)
class TimeSeriesOptions(RegistryOptions):
    """Options of ARIMA_PLUS and ARIMA_PLUS_XREG."""

    time_series_timestamp_col: str = option("", "The time axis: a TIMESTAMP, DATE or DATETIME column.")
    time_series_data_col: str = option("", "The column to forecast.")
    time_series_id_col: tuple[str, ...] | None = option(
        None, "Columns that tell series apart; each series is modelled on its own."
    )
    horizon: int = option(1000, "Number of points to forecast when the model is made.", low=1, high=10_000)
    auto_arima: bool = option(True, "Choose the order of the ARIMA model by AIC.")
    auto_arima_max_order: int = option(
        5, "Largest p + q that is tried. 5 tries 21 orders (42 with and without drift).", low=1, high=5
    )
    auto_arima_min_order: int = option(0, "Smallest p + q that is tried.", low=0, high=4)
    non_seasonal_order: tuple[int, int, int] | None = option(
        None, "A fixed (p, d, q); needs AUTO_ARIMA=FALSE.", low=0, high=5
    )
    data_frequency: Frequency = option("AUTO_FREQUENCY", "The step between points; found in the data by default.")
    include_drift: bool = option(False, "Add a drift to a fixed order with d = 1.")
    holiday_region: tuple[str, ...] | None = option(
        None, "Regions whose holidays are modelled, in daily or weekly series of more than a year."
    )
    clean_spikes_and_dips: bool = option(True, "Find single points far away and replace them.")
    adjust_step_changes: bool = option(True, "Find abrupt changes of level and remove them.")
    time_series_length_fraction: float | None = option(
        None, "Share of a series, from its end, that the trend is fitted to.", above=0.0, below=1.0
    )
    min_time_series_length: int | None = option(
        None, "Fewest points kept by TIME_SERIES_LENGTH_FRACTION; 20 by default.", low=4
    )
    max_time_series_length: int | None = option(None, "Most points, from the end, that the trend is fitted to.", low=4)
    trend_smoothing_window_size: int | None = option(
        None, "Moving average over the reported trend of the history; forecasts do not change.", low=1
    )


@dataclass(frozen=True, slots=True)
class ForecastState:
    """What a forecasting model keeps.

    Args:
        series: fits and forecasts, in the order of the ids.
        ids: an Arrow IPC stream with one row of id columns per series (one row without columns for one series).
        id_columns, time_column, data_column: of the training query.
        calendar: the holidays that were looked for.
    """

    series: Forecasts
    ids: bytes
    id_columns: tuple[Column, ...]
    time_column: Column
    data_column: Column
    calendar: holidays.Calendar


@dataclass(frozen=True, slots=True)
class SeriesTask:
    """What both types of models are trained on.

    Args:
        rows: the series.
        ids, time, value: columns of the training query.
    """

    rows: Reader
    ids: tuple[Column, ...]
    time: Column
    value: Column
    calendar: holidays.Calendar
    settings: series.Settings


def task_of(o: TimeSeriesOptions, data: TrainingData) -> SeriesTask:
    """The series of the training query, and how they are modelled."""
    time = column_of(data.columns, o.time_series_timestamp_col, "TIME_SERIES_TIMESTAMP_COL")
    value = column_of(data.columns, o.time_series_data_col, "TIME_SERIES_DATA_COL")
    ids = tuple(column_of(data.columns, n, "TIME_SERIES_ID_COL") for n in o.time_series_id_col or ())
    rows = reader(data.train, time, value, ids)
    calendar = calendar_of(o, data, time)
    settings = settings_of(o, data, calendar, single=len(rows.counts) == 1)
    return SeriesTask(rows, ids, time, value, calendar, settings)


# ---------------------------------------------------------------- checks


def check(o: TimeSeriesOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
    """What both types of models ask of their options and columns. Raises `OptionError` or `SchemaError`."""
    check_columns(o, columns)
    check_orders(o, given)
    check_lengths(o)
    check_regions(o)


def check_columns(o: TimeSeriesOptions, columns: Sequence[Column]) -> None:
    """The time, data and id columns are there and have usable types. Raises `OptionError` or `SchemaError`."""
    for name in ("time_series_timestamp_col", "time_series_data_col"):
        if not getattr(o, name):
            raise OptionError(f"{name.upper()} must be given.", hint=f"add {name.upper()}='...' to OPTIONS.")
    time = column_of(columns, o.time_series_timestamp_col, "TIME_SERIES_TIMESTAMP_COL")
    if time.type.name not in TIMES:
        text = "TIME_SERIES_TIMESTAMP_COL must be a TIMESTAMP, DATE or DATETIME column."
        cast = {"STRING": f"CAST({time.name} AS DATE)", "INT64": f"TIMESTAMP_SECONDS({time.name})"}
        hint = f"write {cast[time.type.google]} AS {time.name}." if time.type.google in cast else None
        raise SchemaError(f"{text} {time.name} is {time.type.google}.", hint=hint)
    data = column_of(columns, o.time_series_data_col, "TIME_SERIES_DATA_COL")
    if data.kind is not Kind.NUMERIC:
        raise SchemaError(f"TIME_SERIES_DATA_COL must be a numeric column. {data.name} is {data.type.google}.")
    used = [time.name, data.name]
    for wanted in o.time_series_id_col or ():
        found = column_of(columns, wanted, "TIME_SERIES_ID_COL")
        inner = found.type.item if found.type.name == "LIST" and found.type.item else found.type
        if inner.google not in ("STRING", "INT64"):
            raise SchemaError(
                "TIME_SERIES_ID_COL must be STRING or INT64 columns, or arrays of them."
                f" {found.name} is {found.type.google}."
            )
        used.append(found.name)
    if len({n.casefold() for n in used}) < len(used):
        raise OptionError("TIME_SERIES_ID_COL must name other columns than the time and the data, each once.")


def column_of(columns: Sequence[Column], name: str, what: str) -> Column:
    """A column of the training query by the name in an option. Raises `SchemaError`."""
    found = find(columns, name)
    if found is None:
        hint = did_you_mean(name, names(columns))
        raise SchemaError(f"{what} must name a column of the training query. Got {name!r}.", hint=hint)
    return found


def check_orders(o: TimeSeriesOptions, given: frozenset[str]) -> None:
    """Options about the order of the ARIMA model. Raises `OptionError`."""
    if o.time_series_id_col and not o.auto_arima:
        raise OptionError("AUTO_ARIMA must be TRUE with TIME_SERIES_ID_COL.")
    if o.auto_arima and o.non_seasonal_order is not None:
        hint = "remove NON_SEASONAL_ORDER." if o.time_series_id_col else "add AUTO_ARIMA=FALSE."
        raise OptionError("NON_SEASONAL_ORDER must be given only with AUTO_ARIMA=FALSE.", hint=hint)
    if not o.auto_arima and o.non_seasonal_order is None:
        raise OptionError(
            "NON_SEASONAL_ORDER must be given with AUTO_ARIMA=FALSE.", hint="NON_SEASONAL_ORDER=(1, 1, 1)"
        )
    if o.non_seasonal_order is not None and o.non_seasonal_order[1] > 2:
        text = f"NON_SEASONAL_ORDER must have a d from 0 to 2. Got {o.non_seasonal_order[1]}."
        raise OptionError(text)
    if o.auto_arima and "auto_arima_min_order" in given and o.auto_arima_min_order >= o.auto_arima_max_order:
        raise OptionError(
            "AUTO_ARIMA_MIN_ORDER must be less than AUTO_ARIMA_MAX_ORDER."
            f" Got {o.auto_arima_min_order} and {o.auto_arima_max_order}."
        )
    if "include_drift" in given and (o.auto_arima or (o.non_seasonal_order or (0, 0, 0))[1] != 1):
        raise OptionError("INCLUDE_DRIFT must be given only with AUTO_ARIMA=FALSE and a NON_SEASONAL_ORDER of d = 1.")


def check_lengths(o: TimeSeriesOptions) -> None:
    """Options about which end of a series is used. Raises `OptionError`."""
    if o.max_time_series_length is not None and (
        o.time_series_length_fraction is not None or o.min_time_series_length is not None
    ):
        raise OptionError(
            "MAX_TIME_SERIES_LENGTH must not be given with TIME_SERIES_LENGTH_FRACTION or MIN_TIME_SERIES_LENGTH."
        )
    if o.min_time_series_length is not None and o.time_series_length_fraction is None:
        raise OptionError("MIN_TIME_SERIES_LENGTH must be given only with TIME_SERIES_LENGTH_FRACTION.")


def check_regions(o: TimeSeriesOptions) -> None:
    """The holiday regions are known. Raises `OptionError`."""
    for region in o.holiday_region or ():
        if region not in REGIONS:
            near = nearest_region(region)
            hint = f"did you mean {near!r}?" if near else f"write GLOBAL, {', '.join(GROUPS)}, or a country such as US."
            raise OptionError(f"HOLIDAY_REGION must be a known region. Got {region!r}.", hint=hint)


def settings_of(o: TimeSeriesOptions, data: TrainingData, calendar: holidays.Calendar, single: bool) -> series.Settings:
    """The kernels' settings; a single series has all candidate orders taken to their exact maximum."""
    return series.Settings(
        horizon=o.horizon,
        frequency=o.data_frequency,
        max_order=o.auto_arima_max_order,
        min_order=o.auto_arima_min_order,
        order=None if o.auto_arima else o.non_seasonal_order,
        drift=o.include_drift,
        clean_spikes=o.clean_spikes_and_dips,
        adjust_steps=o.adjust_step_changes,
        length_fraction=o.time_series_length_fraction,
        min_length=o.min_time_series_length or 20,
        max_length=o.max_time_series_length,
        calendar=calendar,
        everything=single,
        fidelity=data.fidelity,
    )


# ---------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Reader:
    """The series of a relation, one after the other.

    Args:
        ids: one row per series, ordered.
        counts: rows of each series, shape (s,).
    """

    relation: Relation
    time: str
    data: str
    order: tuple[str, ...]
    ids: pa.Table
    counts: np.ndarray

    def chunks(self, extra: Sequence[str] = ()) -> Iterator[Chunk]:
        """Packed series, in order; whole series are never split."""
        for chunk, _ in self.chunks_with(extra):
            yield chunk

    def chunks_with(self, extra: Sequence[str]) -> Iterator[tuple[Chunk, np.ndarray]]:
        """Chunks, and further numeric expressions as a matrix of shape (rows, len(extra))."""
        columns = {"__t": self.time, "__y": self.data, **{f"__x{i}": e for i, e in enumerate(extra)}}
        # Rows of one time are averaged later: an order among them keeps the last digit the same.
        order = (*self.order, "__t", "__y")
        for start, stop, condition in self._scans():
            self.relation.release()
            source = self.relation if condition is None else self.relation.where(condition)
            rows = _Rows(source.batches(columns, order=order), len(extra))
            first, total = start, 0
            for i in range(start, stop):
                total += int(self.counts[i])
                if total >= CHUNK_POINTS or i + 1 - first >= CHUNK_SERIES or i + 1 == stop:
                    times, values, matrix = rows.take(total)
                    offsets = np.concatenate([[0], np.cumsum(self.counts[first : i + 1])]).astype(np.int64)
                    yield Chunk(times, values, offsets), matrix
                    first, total = i + 1, 0

    def _scans(self) -> list[tuple[int, int, str | None]]:
        """(first series, end, condition) of each sorted scan: one, or several by ranges of the first id column.

        A sort holds all its rows in memory; several scans keep that bounded.
        """
        whole: list[tuple[int, int, str | None]] = [(0, len(self.counts), None)]
        if self.counts.sum() <= SCAN_ROWS or not self.ids.num_columns:
            return whole
        keys = self.ids.column(0).to_pylist()
        name = quote_name(self.ids.column_names[0])
        if not all(isinstance(k, (int, str)) for k in keys if k is not None):
            return whole
        cuts, rows = [0], 0
        for i, count in enumerate(self.counts):
            if rows + int(count) > SCAN_ROWS and keys[i] != keys[i - 1]:
                cuts.append(i)
                rows = 0
            rows += int(count)
        found: list[tuple[int, int, str | None]] = []
        for start, stop in itertools.pairwise([*cuts, len(keys)]):
            low, high = keys[start], keys[stop - 1]
            terms = [] if low is None else [f"{name} >= {quote_literal(low)}"]
            if high is None:  # NULL sorts last
                last = f"{name} IS NULL"
                terms = [last] if low is None else [f"({terms[0]} OR {last})"]
            else:
                terms.append(f"{name} <= {quote_literal(high)}")
            found.append((start, stop, " AND ".join(terms)))
        return found


class _Rows:
    """Batches re-cut to asked lengths."""

    def __init__(self, batches: Iterator[pa.RecordBatch], width: int):
        self._batches = batches
        self._width = width
        self._kept: list[tuple[np.ndarray, ...]] = []
        self._length = 0

    def take(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        while self._length < count:
            batch = next(self._batches)
            times, *others = batch.columns
            self._kept.append((bigints(times), *(numbers(c.cast(pa.float64())) for c in others)))
            self._length += batch.num_rows
        joined = [np.concatenate(parts) for parts in zip(*self._kept, strict=True)] if self._kept else []
        if not joined:
            joined = [np.zeros(0, np.int64), *(np.zeros(0) for _ in range(1 + self._width))]
        self._kept = [tuple(a[count:] for a in joined)]
        self._length -= count
        taken = [a[:count] for a in joined]
        matrix = np.column_stack(taken[2:]) if self._width else np.zeros((count, 0))
        return taken[0].astype(np.int64), taken[1].astype(np.float64), matrix.astype(np.float64)


def microseconds(column: Column) -> str:
    """SQL of a time column as microseconds since 1970-01-01 UTC."""
    name = quote_name(column.name)
    if column.type.name == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us({name})"
    return f"epoch_us({name}::TIMESTAMP)"


def reader(relation: Relation, time: Column, data: Column, ids: Sequence[Column]) -> Reader:
    """Count the series of a relation. Rows without a time are left out."""
    there = relation.where(f"{quote_name(time.name)} IS NOT NULL")
    keys = [quote_name(c.name) for c in ids]
    # Inside a relation an expression and its output column may have one name: the order is by the input.
    order = tuple(f"{k} ASC NULLS LAST" for k in keys)
    if keys:
        listed = ", ".join(keys)
        tail = f"{listed}, count(*) AS __n FROM {{rows}} GROUP BY {listed} ORDER BY {', '.join(order)}"
        found = there.table(tail)
    else:
        found = there.table("count(*) AS __n FROM {rows}")
    counts = bigints(found.column("__n").combine_chunks())
    value = f"{quote_name(data.name)}::DOUBLE"
    return Reader(there, microseconds(time), value, order, found.drop_columns(["__n"]), counts)


def teller(run: Run, total: int, done: int = 0) -> Callable[[int], None]:
    """A report of finished series to the listeners of a run; the point of cancellation."""

    def report(more: int) -> None:
        run.tell("training", step=done + more, steps=total, detail=f"{done + more} of {total} series")

    return report


def refuse_nothing(found: Forecasts, total: int) -> None:
    """Raise `TrainingError` when no series could be modelled, warn when some could not."""
    failed = [e for e in found.error if e]
    if failed and len(failed) == len(found):
        text = failed[0][0].lower() + failed[0][1:]
        if len(found) == 1:
            raise TrainingError(text)
        raise TrainingError(f"none of the {total} series can be modelled. The first: {text}")
    if failed:
        text = f"{len(failed)} of {len(found)} series could not be modelled; ML.ARIMA_EVALUATE says why."
        notice(text)


def stored_ids(table: pa.Table) -> bytes:
    """An Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def read_ids(data: bytes) -> pa.Table:
    """The table of `stored_ids`."""
    return pa.ipc.open_stream(data).read_all()


def reserved(o: TimeSeriesOptions) -> tuple[str, ...]:
    """Columns that are not features."""
    return (o.time_series_timestamp_col, o.time_series_data_col, *(o.time_series_id_col or ()))


def extra_columns(o: TimeSeriesOptions, columns: Sequence[Column]) -> list[str]:
    """Columns that no option names."""
    return [c.name for c in columns if not any(same_name(c.name, n) for n in reserved(o))]


def replaced(record: Forecasts, **changes: object) -> Forecasts:
    """A record with some fields changed."""
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]
