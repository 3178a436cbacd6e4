"""Future values of features, read from the input of a forecasting function and laid beside the stored forecasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sqlml.encode import bind_columns
from sqlml.errors import DataError
from sqlml.functions.base import Call
from sqlml.functions.forecast import fitted_series, id_arrays, input_columns, state_of
from sqlml.kernels.series_clean import positions
from sqlml.models.arima_plus_xreg import ArimaPlusXreg, terms
from sqlml.models.time_series import ForecastState, microseconds
from sqlml.schema import quote_name


def future_state(call: Call) -> Callable[[], ForecastState]:
    """Check the input's columns; reading it comes later. Steps whose features it lacks have no forecast."""
    state = state_of(call.model)
    bind_columns(call.model.inputs, call.data.columns, call.model.path, call.data.span)
    time, *ids = input_columns(call, (state.time_column, *state.id_columns))
    columns = terms(call.model.design)

    def read() -> ForecastState:
        database = call.context.database
        which = fitted_series(state.series)
        numbered = {f"k{j}": a for j, a in enumerate(id_arrays(state, np.array(which, np.int64)).values())}
        table = pa.table({**numbered, "number": pa.array(which, pa.int64())})
        name = database.fresh_name("series")
        on = [f"s.k{j} IS NOT DISTINCT FROM r.__id{j}" for j in range(len(ids))] or ["TRUE"]
        items = [f"{microseconds(time)} AS __t"]
        items += [f"{quote_name(c.name)} AS __id{j}" for j, c in enumerate(ids)]
        items += [f"{e} AS __x{j}" for j, e in enumerate(columns)]
        listed = ", ".join(["s.number", "r.__t", *(f"r.__x{j}" for j in range(len(columns)))])
        inner = f"(SELECT {', '.join(items)} FROM {call.data.sql} WHERE {quote_name(time.name)} IS NOT NULL) AS r"
        database.register(name, table)
        try:
            sql = f"{call.data.scope} SELECT {listed} FROM {inner} JOIN {name} AS s ON {' AND '.join(on)} ORDER BY ALL"
            rows = database.table(sql, call.context.parameters)
        finally:
            database.unregister(name)
        return _laid(call, state, rows, len(columns))

    return read


def _laid(call: Call, state: ForecastState, rows: pa.Table, width: int) -> ForecastState:
    record = state.series
    numbers = np.asarray(rows.column("number").to_numpy(), np.int64)
    times = np.asarray(rows.column("__t").to_numpy(), np.int64)
    values = np.zeros((len(rows), width))  # features that never vary have no column
    for j in range(width):
        values[:, j] = rows.column(f"__x{j}").to_numpy()
    features = np.full((len(record), record.horizon, width), np.nan)
    given = np.zeros((len(record), record.horizon), dtype=np.bool_)
    found, first = np.unique(numbers, return_index=True)  # the rows are in the order of the series
    for i, start, stop in zip(found, first, [*first[1:], len(numbers)], strict=True):
        mine = slice(start, stop)
        step = positions(record.axis(int(i)), int(record.start[i]), times[mine]) - record.count(int(i))
        inside = (step >= 0) & (step < record.horizon)
        # Rows of one step are averaged, as those of the training were.
        taken, at, count = np.unique(step[inside], return_inverse=True, return_counts=True)
        total = np.zeros((len(taken), width))
        np.add.at(total, at, values[mine][inside])
        features[i, taken] = total / count[:, None]
        given[i, taken] = True
    if not given.any():
        text = f"the input of {call.name} must have rows for the times after the history of the model. It has none."
        raise DataError(text, span=call.data.span)
    kind = call.kind
    assert isinstance(kind, ArimaPlusXreg)
    state = kind.forecast_with(call.model, features)
    forecast = np.where(given, state.series.forecast, np.nan)
    return replace(state, series=replace(state.series, forecast=forecast))
