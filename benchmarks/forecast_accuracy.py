"""`python -m benchmarks.forecast_accuracy`: held-out tails of the public series that ship with Python
packages.

Prints the symmetric error (sMAPE, percent), the error against the seasonal naive one (MASE) and the share of
held-out
values inside the 95% intervals, and their means. Where statsforecast is installed its AutoARIMA forecasts
the same split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlml.kernels import series

Case = tuple[str, Any, Any, int, int]  # name, times, values, held-out points, season


def _stamps(dates: Any) -> Any:
    return np.asarray(dates, dtype="datetime64[us]").astype(np.int64)


def _from_statsmodels() -> Iterator[Case]:
    import pandas as pd
    from statsmodels import datasets

    co2 = datasets.co2.load_pandas().data.co2.interpolate()
    yield "co2, weeks", _stamps(co2.index), co2.to_numpy(), 52, 52
    monthly = co2.resample("MS").mean()
    yield "co2, months", _stamps(monthly.index), monthly.to_numpy(), 24, 12
    spots = datasets.sunspots.load_pandas().data.SUNACTIVITY.to_numpy()
    yield "sunspots", _stamps(pd.date_range("1700", periods=len(spots), freq="YS")), spots, 20, 1
    warm = datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()
    yield "elnino", _stamps(pd.date_range("1950", periods=len(warm), freq="MS")), warm, 24, 12
    flow = datasets.nile.load_pandas().data.volume.to_numpy()
    yield "nile", _stamps(pd.date_range("1871", periods=len(flow), freq="YS")), flow, 15, 1
    macro = datasets.macrodata.load_pandas().data
    quarters = _stamps(pd.date_range("1959", periods=len(macro), freq="QS"))
    for name in macro.columns[2:]:
        yield f"macro {name}", quarters, macro[name].to_numpy(), 12, 4


def _from_vega() -> Iterator[Case]:
    from vega_datasets import local_data

    weather = local_data.seattle_weather()
    for name in ("temp_max", "temp_min", "wind", "precipitation"):
        yield f"seattle {name}", _stamps(weather.date), weather[name].to_numpy(), 60, 7
    warm = local_data.sf_temps()
    time = next(c for c in warm.columns if warm[c].dtype.kind == "M")
    value = next(c for c in warm.columns if warm[c].dtype.kind == "f")
    yield "san francisco", _stamps(warm[time]), warm[value].to_numpy(), 168, 24
    for symbol, rows in local_data.stocks().groupby("symbol"):
        yield f"stock {symbol}", _stamps(rows.date), rows.price.to_numpy(), 12, 12


def errors(past: Any, future: Any, forecast: Any, season: int) -> tuple[float, float]:
    """sMAPE in percent and MASE."""
    e = np.abs(future - forecast)
    size = np.maximum(np.abs(future) + np.abs(forecast), 1e-12)
    return float(200 * np.mean(e / size)), float(e.mean() / np.abs(past[season:] - past[:-season]).mean())


def other(past: Any, steps: int, season: int) -> Any:
    """AutoARIMA's forecast and bounds, or None where it is not installed or the season is too long for it."""
    try:
        from statsforecast.models import AutoARIMA
    except ImportError:
        return None
    found = AutoARIMA(season_length=season if season <= 12 else 1).forecast(past, steps, level=[95])
    return found["mean"], found["lo-95"], found["hi-95"]


def main() -> None:
    """Forecast every series, print a line each and the means."""
    rows = []
    for name, times, values, steps, season in [*_from_statsmodels(), *_from_vega()]:
        past, future = values[:-steps], values[-steps:]
        found = series.fit(times[:-steps], past, series.Settings(horizon=steps))
        smape, mase = errors(past, future, found.forecast, season)
        inside = float(np.mean(np.abs(future - found.forecast) <= 1.959964 * found.standard_error))
        row = [smape, mase, inside]
        if (beside := other(past, steps, season)) is not None:
            row += [*errors(past, future, beside[0], season)]
            row.append(float(np.mean((future >= beside[1]) & (future <= beside[2]))))
        rows.append((steps, *row))
        print(f"{name:22}", *(f"{x:9.3f}" for x in row))
    table = np.array(rows)
    print(f"{'mean':22}", *(f"{x:9.3f}" for x in table[:, 1:].mean(axis=0)))
    covered = (table[:, 3] * table[:, 0]).sum() / table[:, 0].sum()
    print(f"95% intervals hold {100 * covered:.1f}% of {int(table[:, 0].sum())} held-out values")


if __name__ == "__main__":
    main()
