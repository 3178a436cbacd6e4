"""statsforecast as an outside reference, in an environment of its own, as it pins another pandas than sqlml.

`SQLML_STATSFORECAST` is the Python of that environment (`python -m venv sf && sf/bin/pip install statsforecast`).
This file is run by it and imports nothing of sqlml: one request of JSON a line, one answer a line.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

VARIABLE = "SQLML_STATSFORECAST"
#: Longer seasons take AutoARIMA minutes a series.
LONGEST_SEASON = 12


def python() -> str | None:
    """The Python that has statsforecast, or None where the variable is not set."""
    return os.environ.get(VARIABLE) or None


class Reference:
    """A process that answers requests; started, and its imports done, before anything is timed."""

    def __init__(self, path: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NIXTLA_ID_AS_COL": "1"}
        self._process = subprocess.Popen(
            [path, str(pathlib.Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.ask({"do": "warm"})

    def ask(self, request: dict[str, Any]) -> Any:
        """The answer to one request."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{VARIABLE} must be a Python that has statsforecast. It ended with {process.wait()}.")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


# ---------------------------------------------------------------- inside the other environment


def _model(name: str, periods: list[int]) -> Any:
    from statsforecast.models import MSTL, AutoARIMA

    if name == "mstl":
        return MSTL(season_length=periods, trend_forecaster=AutoARIMA())
    return AutoARIMA(season_length=periods[0] if periods and periods[0] <= LONGEST_SEASON else 1)


def _one(request: dict[str, Any]) -> Any:
    """Forecast and 95% bounds of one series."""
    import numpy as np

    values = np.array(request["values"], dtype=np.float64)
    found = _model(request["model"], request["periods"]).forecast(values, request["steps"], level=[95])
    return [np.asarray(found[key]).tolist() for key in ("mean", "lo-95", "hi-95")]


def _many(request: dict[str, Any]) -> Any:
    """Point forecasts of the series of a file, shape (s, n), by `jobs` processes."""
    import numpy as np
    import pandas as pd
    from statsforecast import StatsForecast

    values = np.load(request["file"])
    count, n = values.shape
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(count), n),
            "ds": np.tile(pd.date_range("2022-01-01", periods=n, freq="D"), count),
            "y": values.ravel(),
        }
    )
    engine = StatsForecast(models=[_model(request["model"], request["periods"])], freq="D", n_jobs=request["jobs"])
    found = engine.forecast(df=frame, h=request["steps"])
    return found.iloc[:, -1].to_numpy().reshape(count, -1).tolist()


def _serve() -> None:
    import warnings

    warnings.simplefilter("ignore")
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "warm":
            example = [float(i % 7 + i * i % 5) for i in range(60)]
            answer = _one({"values": example, "model": "mstl", "periods": [7], "steps": 3})
        else:
            answer = {"one": _one, "many": _many}[request["do"]](request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
