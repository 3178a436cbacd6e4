"""What a forecasting model found: ML.ARIMA_EVALUATE, ML.ARIMA_COEFFICIENTS, ML.HOLIDAY_INFO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.forecast import FORECASTING, id_arrays, state_of
from sqlml.kernels.forecasts import Forecasts, packed
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


def evaluated(record: Forecasts, i: int, everything: bool) -> list[dict[str, Any]]:
    """The candidates of series i, the chosen one first; or the reason why there is none."""
    if record.error[i]:
        return [{"error_message": record.error[i]}]
    about, d = _about(record, i), int(record.d[i])
    low, high = int(record.candidate_offsets[i]), int(record.candidate_offsets[i + 1])
    rows = []
    for k in range(low, high if everything else low + 1):
        loglik, aic = float(record.candidate_loglik[k]), float(record.candidate_aic[k])
        rows.append(
            {
                "non_seasonal_p": int(record.candidate_p[k]),
                "non_seasonal_d": d,
                "non_seasonal_q": int(record.candidate_q[k]),
                "has_drift": bool(record.candidate_constant[k]) and d == 1,
                "log_likelihood": loglik if np.isfinite(loglik) else None,
                "AIC": aic if np.isfinite(aic) else None,
                "variance": float(record.candidate_variance[k]),
                **about,
            }
        )
    return rows


def arima_evaluate(call: Call, everything: bool | None, columns: Columns = EVALUATED) -> Computed:
    """The rows of ML.ARIMA_EVALUATE."""
    state = state_of(call.model)
    record = state.series
    shown = len(record) == 1 if everything is None else everything

    def compute() -> pa.Table:
        rows = [(i, row) for i in range(len(record)) for row in evaluated(record, i, shown)]
        return series_table(state, columns, rows)

    return Computed(series_columns(state, columns), compute)


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
