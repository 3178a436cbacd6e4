"""ARIMA_PLUS: forecasts of one or many series by decomposition and automatic ARIMA.

Series are cut from one sorted scan, modelled in worker processes and forecast at once; the ML functions read
what is stored. With HIERARCHICAL_TIME_SERIES_COLS the sums of the series along the hierarchy are series of their own,
whose forecasts are the sums of their children's.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sqlml.errors import OptionError, SchemaError
from sqlml.kernels import forecasts, reconcile, workers
from sqlml.kernels.forecasts import Forecasts
from sqlml.kernels.series import Settings
from sqlml.kernels.series_clean import positions
from sqlml.kernels.types import F64, I64
from sqlml.models import time_series
from sqlml.models.base import Fixed, Model, Task, Trained, TrainingData
from sqlml.models.time_series import (
    ForecastState,
    TimeSeriesOptions,
    extra_columns,
    refuse_nothing,
    reserved,
    stored_ids,
    task_of,
    teller,
)
from sqlml.options import option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, same_name

SEASONALITIES = ("AUTO", "NO_SEASONALITY", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY")
TRAINING_INFO = (
    ("training_run", "BIGINT", pa.int64()),
    ("iteration", "BIGINT", pa.int64()),
    ("duration_ms", "BIGINT", pa.int64()),
)
LONGEST = {True: 500_000, False: 1_000_000}


@dataclass(frozen=True)
class ArimaPlusOptions(TimeSeriesOptions):
    """Options of ARIMA_PLUS."""

    decompose_time_series: bool = option(True, "Keep the parts of the history for explanations.")
    forecast_limit_lower_bound: float | None = option(
        None, "Forecasts stay above it; values at or below it are dropped."
    )
    forecast_limit_upper_bound: float | None = option(
        None, "Forecasts stay below it; values at or above it are dropped."
    )
    seasonalities: tuple[str, ...] = option(
        ("AUTO",),
        "Seasons to model: AUTO, NO_SEASONALITY, or some of DAILY, WEEKLY, MONTHLY, QUARTERLY, YEARLY.",
    )
    hierarchical_time_series_cols: tuple[str, ...] | None = option(
        None,
        "Id columns along which series are summed, the parent first; forecasts of sums are sums of forecasts.",
    )


class ArimaPlus(Model[ArimaPlusOptions, ForecastState]):
    """Univariate forecasting."""

    names = ("ARIMA_PLUS", "ARIMA")
    task = Task.FORECASTING
    options = ArimaPlusOptions
    state = ForecastState
    doc = "Forecasts time series: seasons, holidays, steps and an automatic ARIMA trend."
    transform = False
    encoded = False

    def reserved(self, options: ArimaPlusOptions) -> tuple[str, ...]:
        return reserved(options)

    def check(self, options: ArimaPlusOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        time_series.check(options, given, columns)
        _check_seasons(options)
        low, high = options.forecast_limit_lower_bound, options.forecast_limit_upper_bound
        if low is not None and high is not None and low >= high:
            text = "FORECAST_LIMIT_LOWER_BOUND must be less than FORECAST_LIMIT_UPPER_BOUND."
            raise OptionError(f"{text} Got {low:g} and {high:g}.")
        ids = options.time_series_id_col or ()
        levels = options.hierarchical_time_series_cols or ()
        for name in levels:
            if not any(same_name(name, i) for i in ids):
                text = "HIERARCHICAL_TIME_SERIES_COLS must name columns of TIME_SERIES_ID_COL."
                raise OptionError(f"{text} Got {name!r}.")
        if len({n.casefold() for n in levels}) < len(levels):
            raise OptionError("HIERARCHICAL_TIME_SERIES_COLS must name each column once.")
        extra = extra_columns(options, columns)
        if extra:
            listed = ", ".join(extra)
            raise SchemaError(
                f"the training query must have only the time, data and id columns. It also has {listed}.",
                hint=f"add them to TIME_SERIES_ID_COL, or use MODEL_TYPE='ARIMA_PLUS_XREG'. Got {listed}.",
            )

    def train(self, data: TrainingData, options: ArimaPlusOptions, run: Run) -> ForecastState:
        task = task_of(options, data)
        rows = task.rows
        settings = replace(
            task.settings,
            seasonalities=tuple(s.upper() for s in options.seasonalities),
            lower=options.forecast_limit_lower_bound,
            upper=options.forecast_limit_upper_bound,
            longest=LONGEST[options.decompose_time_series],
        )
        total = len(rows.counts)
        found = workers.fit_all(rows.chunks(), settings, report=teller(run, total))
        table = rows.ids
        if options.hierarchical_time_series_cols:
            found, table = _with_sums(found, table, options, settings, run)
        refuse_nothing(found, total)
        if not options.decompose_time_series:
            found = forecasts.without_history(found)
        run.report(0, None)
        return ForecastState(found, stored_ids(table), task.ids, task.time, task.value, task.calendar)

    def training_info(self, trained: Trained) -> Fixed:
        rows = [
            {"training_run": i.training_run, "iteration": i.iteration, "duration_ms": i.duration_ms}
            for i in reversed(trained.iterations)
        ]
        return Fixed.of(TRAINING_INFO, rows)

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        return {}  # forecasts have no held-out rows; ML.ARIMA_EVALUATE describes the fits


def _check_seasons(options: ArimaPlusOptions) -> None:
    wanted = [s.upper() for s in options.seasonalities]
    for name in wanted:
        if name not in SEASONALITIES:
            raise OptionError(f"SEASONALITIES must be some of {', '.join(SEASONALITIES)}. Got {name!r}.")
    if not wanted:
        raise OptionError("SEASONALITIES must not be empty.", hint="SEASONALITIES=['NO_SEASONALITY']")
    if len(wanted) > 1 and ("AUTO" in wanted or "NO_SEASONALITY" in wanted):
        raise OptionError("SEASONALITIES must name AUTO or NO_SEASONALITY alone.")


# ---------------------------------------------------------------- hierarchies


def _with_sums(
    found: Forecasts, ids: pa.Table, options: ArimaPlusOptions, settings: Settings, run: Run
) -> tuple[Forecasts, pa.Table]:
    """The series and after them the sums along the hierarchy; ids that are summed over are NULL."""
    names = ids.column_names
    tree = _tree(_keys(ids), ids, options)
    total = len(found) + len(tree)
    sums = workers.fit_all(
        _summed(found, tree), replace(settings, lower=None, upper=None), report=teller(run, total, len(found))
    )
    values = np.array([_sum_ahead(found, tree, node, sums) for node in range(len(tree))])
    if len(tree):
        sums = replace(sums, forecast=values)
    rows = {n: pa.array([_plain(key[i]) for key in tree.keys], ids.schema.field(n).type) for i, n in enumerate(names)}
    return forecasts.concatenate([found, sums]), pa.concat_tables([ids, pa.table(rows, schema=ids.schema)])


def _tree(keys: Sequence[tuple[object, ...]], ids: pa.Table, options: ArimaPlusOptions) -> reconcile.Hierarchy:
    names = ids.column_names
    wanted = options.hierarchical_time_series_cols or ()
    return reconcile.hierarchy(keys, [next(i for i, n in enumerate(names) if same_name(n, w)) for w in wanted])


def _keys(ids: pa.Table) -> list[tuple[object, ...]]:
    columns = [[_hashable(v) for v in column.to_pylist()] for column in ids.columns]
    return list(zip(*columns, strict=True))


def summed_series(ids: pa.Table, options: ArimaPlusOptions, failed: Sequence[bool]) -> I64:
    """How many modelled series each row of the stored ids stands for: 1, and more for the sums behind them."""
    total = ids.num_rows
    counts = np.ones(total, dtype=np.int64)
    if not options.hierarchical_time_series_cols:
        return counts
    keys = _keys(ids)
    # The first rows are the series themselves, and their number decides how many sums follow.
    first = bisect.bisect_left(range(total), total, key=lambda n: n + len(_tree(keys[:n], ids, options)))
    tree = _tree(keys[:first], ids, options)
    alive = ~np.array(failed, dtype=np.bool_)
    counts[first:] = [int(alive[tree.of(node)].sum()) for node in range(len(tree))]
    return counts


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _summed(found: Forecasts, tree: reconcile.Hierarchy) -> Iterator[workers.Chunk]:
    """The sums of the cleaned series under each node, as series."""
    for node in range(len(tree)):
        total: dict[int, float] = {}
        for i in tree.of(node):
            if found.error[i]:
                continue
            for at, value in zip(found.times(i, 0, found.count(i)).tolist(), found.data[found.points(i)], strict=True):
                total[at] = total.get(at, 0.0) + float(value)
        times = np.array(sorted(total), dtype=np.int64)
        values = np.array([total[at] for at in times.tolist()], dtype=np.float64)
        yield workers.Chunk(times, values, np.array([0, len(times)], dtype=np.int64))


def _sum_ahead(found: Forecasts, tree: reconcile.Hierarchy, node: int, sums: Forecasts) -> F64:
    """The children's forecasts at the parent's forecast times, added up; a child that ended early goes on flat."""
    h = found.horizon
    if sums.error[node]:
        return np.full(h, np.nan)
    total = np.zeros(h)
    ahead = sums.times(node, sums.count(node), h)
    for i in tree.of(node):
        if not found.error[i]:
            step = positions(found.axis(i), int(found.start[i]), ahead) - found.count(i)
            total += found.forecast[i][np.clip(step, 0, h - 1)]
    return total
