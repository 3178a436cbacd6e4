"""What a forecasting model found: ML.ARIMA_EVALUATE, ML.ARIMA_COEFFICIENTS, ML.HOLIDAY_INFO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.forecast import FORECASTING, id_arrays, state_of
from sqlml.kernels.forecasts import Forecasts, packed
from sqlml.kernels.types import I64
from sqlml.models.time_series import ForecastState
from sqlml.options import option
from sqlml.schema import Column

EVALUATED = (
    ("non_seasonal_p", "BIGINT", pa.int64()),
    ("non_seasonal_d", "BIGINT", pa.int64()),
    ("non_seasonal_q", "BIGINT", pa.int64()),
    ("has_drift", "BOOLEAN", pa.bool_()),
    ("log_likelihood", "DOUBLE", pa.float64()),
    ("AIC", "DOUBLE", pa.float64()),
    ("variance", "DOUBLE", pa.float64()),
    ("seasonal_periods", "VARCHAR[]", pa.list_(pa.string())),
    ("has_holiday_effect", "BOOLEAN", pa.bool_()),
    ("has_spikes_and_dips", "BOOLEAN", pa.bool_()),
    ("has_step_changes", "BOOLEAN", pa.bool_()),
    ("error_message", "VARCHAR", pa.string()),
)
COEFFICIENTS = (
    ("ar_coefficients", "DOUBLE[]", pa.list_(pa.float64())),
    ("ma_coefficients", "DOUBLE[]", pa.list_(pa.float64())),
    ("intercept_or_drift", "DOUBLE", pa.float64()),
)
HOLIDAYS = (
    ("region", "VARCHAR", pa.string()),
    ("holiday_name", "VARCHAR", pa.string()),
    ("primary_date", "DATE", pa.date32()),
    ("preholiday_days", "BIGINT", pa.int64()),
    ("postholiday_days", "BIGINT", pa.int64()),
)
Columns = tuple[tuple[str, str, pa.DataType], ...]


@dataclass(frozen=True)
class ArimaEvaluateSettings:
    """Settings of ML.ARIMA_EVALUATE."""

    show_all_candidate_models: bool | None = option(
        None, "All orders tried, or only the best; by default all for one series and the best for many."
    )


def series_table(state: ForecastState, columns: Columns, rows: list[tuple[int, dict[str, Any]]]) -> pa.Table:
    """Rows (number of the series, values) with their id columns in front."""
    which = np.array([i for i, _ in rows], dtype=np.int64)
    ids = id_arrays(state, which)
    arrays = [pa.array([r.get(name) for _, r in rows], kind) for name, _, kind in columns]
    return pa.Table.from_arrays([*ids.values(), *arrays], names=[*ids, *(name for name, _, _ in columns)])


def series_columns(state: ForecastState, columns: Columns) -> tuple[Column, ...]:
    """Id columns and the given ones."""
    return (*state.id_columns, *(Column(name, sql) for name, sql, _ in columns))


def _about(record: Forecasts, i: int) -> dict[str, Any]:
    """What holds for every candidate of series i."""
    seasons = [record.season_name[row] for row in record.seasons_of(i)]
    whole = record.decomposed
    return {
        "seasonal_periods": seasons or ["NO_SEASONALITY"],
        "has_holiday_effect": bool(len(record.effects_of(i).value)) if whole else None,
        "has_spikes_and_dips": record.spikes(i) is not None if whole else None,
        "has_step_changes": record.steps(i) is not None if whole else None,
    }


def evaluated(record: Forecasts, everything: bool) -> tuple[I64, dict[str, pa.Array]]:
    """The candidates of every series, the chosen one first, or the reason why there is none.

    Returns:
        The number of the series of each row, and the columns of `EVALUATED`.
    """
    failed = np.array([bool(e) for e in record.error])
    tried = np.diff(record.candidate_offsets) if everything else np.ones(len(record), np.int64)
    size = np.where(failed, 1, tried)
    rows = np.repeat(np.arange(len(record)), size)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
    none = failed[rows]
    at = np.where(none, -1, record.candidate_offsets[rows] + nth)
    d = record.d[rows]

    def of_candidate(values: np.ndarray, kind: pa.DataType, *, finite: bool = False) -> pa.Array:
        taken = np.append(values, values.dtype.type(0))[at]  # a failed series takes what was put at the end
        return pa.array(taken, kind, mask=none | ~np.isfinite(taken) if finite else none)

    drift = np.append(record.candidate_constant, False)[at] & (d == 1)
    about = [None if e else _about(record, i) for i, e in enumerate(record.error)]
    index = pa.array(rows, pa.int64())
    arrays = {
        "non_seasonal_p": of_candidate(record.candidate_p, pa.int64()),
        "non_seasonal_d": pa.array(d, pa.int64(), mask=none),
        "non_seasonal_q": of_candidate(record.candidate_q, pa.int64()),
        "has_drift": pa.array(drift, pa.bool_(), mask=none),
        "log_likelihood": of_candidate(record.candidate_loglik, pa.float64(), finite=True),
        "AIC": of_candidate(record.candidate_aic, pa.float64(), finite=True),
        "variance": of_candidate(record.candidate_variance, pa.float64()),
    }
    for name, _, kind in EVALUATED[len(arrays) : -1]:
        arrays[name] = pa.array([a and a[name] for a in about], kind).take(index)
    arrays["error_message"] = pa.array([e or None for e in record.error], pa.string()).take(index)
    return rows, arrays


def arima_evaluate(call: Call, everything: bool | None) -> Computed:
    """The rows of ML.ARIMA_EVALUATE."""
    state = state_of(call.model)
    record = state.series
    shown = len(record) == 1 if everything is None else everything

    def compute() -> pa.Table:
        rows, arrays = evaluated(record, shown)
        ids = id_arrays(state, rows)
        return pa.Table.from_arrays([*ids.values(), *arrays.values()], names=[*ids, *arrays])

    return Computed(series_columns(state, EVALUATED), compute)


def _coefficients(call: Call) -> Computed:
    state = state_of(call.model)
    record = state.series
    weights = getattr(call.kind, "weight_rows", None)
    columns = (*COEFFICIENTS, *(call.kind.WEIGHTS if weights else ()))  # type: ignore[attr-defined]

    def compute() -> pa.Table:
        rows: list[tuple[int, dict[str, Any]]] = []
        for i in range(len(record)):
            if record.error[i]:
                continue
            row = {
                "ar_coefficients": packed(record.phi, record.phi_offsets, i).tolist(),
                "ma_coefficients": packed(record.theta, record.theta_offsets, i).tolist(),
                "intercept_or_drift": float(record.constant[i]),
            }
            rows += [(i, {**row, **w}) for w in weights(call.model, i)] if weights else [(i, row)]
        return series_table(state, columns, rows)

    return Computed(series_columns(state, columns), compute)


def _holidays(call: Call) -> Computed:
    days = state_of(call.model).calendar

    def compute() -> pa.Table:
        arrays = {
            "region": pa.array(days.region, pa.string()),
            "holiday_name": pa.array(days.name, pa.string()),
            "primary_date": pa.array(days.day.astype(np.int32), pa.int32()).cast(pa.date32()),
            "preholiday_days": pa.array(days.before, pa.int64()),
            "postholiday_days": pa.array(days.after, pa.int64()),
        }
        return pa.table(arrays)

    return Computed(tuple(Column(name, sql) for name, sql, _ in HOLIDAYS), compute)


ARIMA_EVALUATE = TableFunction(
    name="ML.ARIMA_EVALUATE",
    doc="The ARIMA orders tried for each series, with what was found in it, or why it failed.",
    run=lambda call: arima_evaluate(call, call.settings.show_all_candidate_models),
    settings=ArimaEvaluateSettings,
    tasks=FORECASTING,
)
ARIMA_COEFFICIENTS = TableFunction(
    name="ML.ARIMA_COEFFICIENTS",
    doc="The coefficients of each series' ARIMA model.",
    run=_coefficients,
    tasks=FORECASTING,
)
HOLIDAY_INFO = TableFunction(
    name="ML.HOLIDAY_INFO", doc="The holidays that a model looked for.", run=_holidays, tasks=FORECASTING
)
