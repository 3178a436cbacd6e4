"""`python -m benchmarks.forecast_accuracy`: held-out tails of the public series that ship with Python packages.

A line per series: the symmetric error (sMAPE, percent), the error over that of the seasonal naive forecast (MASE)
and the percentage of held-out values inside the 95% intervals; then their means and the coverage by frequency. With
`SQLML_STATSFORECAST` (see `benchmarks/statsforecast_side.py`) AutoARIMA and, where there is a season, MSTL with
AutoARIMA forecast the same split. Each series is cut `--origins` times, a tail earlier each time. `--simulated` adds
500 simulated ARIMA series: how often the search finds the true order or an AIC at most 2 above that of the true
order. Everything is deterministic.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import public_series, statsforecast_side
from benchmarks.public_series import Case
from sqlml.kernels import arima, arma, series

LEVEL = 1.959964


def errors(past: Any, future: Any, forecast: Any, season: int) -> tuple[float, float]:
    """sMAPE in percent and MASE."""
    e = np.abs(future - forecast)
    size = np.maximum(np.abs(future) + np.abs(forecast), 1e-12)
    return float(200 * np.mean(e / size)), float(e.mean() / np.abs(past[season:] - past[:-season]).mean())


def score(case: Case, forecast: Any, low: Any, high: Any) -> list[float]:
    """sMAPE, MASE and the percentage inside the bounds."""
    past, future = case.values[: -case.steps], case.values[-case.steps :]
    inside = (future >= np.asarray(low)) & (future <= np.asarray(high))
    return [*errors(past, future, np.asarray(forecast), case.season), 100 * float(inside.mean())]


def ours(case: Case) -> list[float]:
    """The scores of ARIMA_PLUS."""
    past = slice(None, -case.steps)
    found = series.fit(case.times[past], case.values[past], series.Settings(horizon=case.steps))
    width = LEVEL * found.standard_error
    return score(case, found.forecast, found.forecast - width, found.forecast + width)


def theirs(reference: statsforecast_side.Reference, case: Case) -> dict[str, list[float]]:
    """The scores of statsforecast's models."""
    found = {}
    seasons = [p for p in case.periods if 2 * p <= len(case.values) - case.steps]
    for model in ("autoarima", "mstl") if seasons else ("autoarima",):
        request = {"do": "one", "model": model, "periods": seasons, "steps": case.steps}
        past = case.values[: -case.steps]
        found[model] = score(case, *reference.ask({**request, "values": past.tolist()}))
    return found


def simulated(count: int = 500) -> None:
    """The order search on simulated series, d known, as AICs of different d cannot be compared."""
    rng = np.random.default_rng(2024)
    good = exact = 0
    for _ in range(count):
        p, q, d = (int(rng.integers(0, high)) for high in (4, 4, 3))
        n = int(rng.choice([120, 250, 500]))
        while True:
            phi, theta = rng.uniform(-0.95, 0.95, p), rng.uniform(-0.95, 0.95, q)
            if arma.is_stable(phi) and arma.is_stable(-theta):
                break
        x = arma.recursive_filter()(arma.monic(theta), arma.monic(-phi), rng.normal(size=n + 200))[200:]
        for _ in range(d):
            x = np.cumsum(x)
        found = arima.search(x, d=d, corrected=True)
        same = (len(found.phi), len(found.theta)) == (p, q)
        exact += same
        good += same or found.aic <= arima.fixed(x, (p, d, q), constant=d == 0).aic + 2
    print(f"simulated: the true order or an AIC at most 2 above it in {100 * good / count:.1f}% of {count} series")
    print(f"simulated: exactly the true order in {100 * exact / count:.1f}%")


def cuts(case: Case, origins: int) -> list[Case]:
    """The series, without its last tail, and so on, while three seasons and sixteen points are left to learn from."""
    ends = [len(case.values) - i * case.steps for i in range(origins)]
    least = max(3 * case.season, 16)
    return [
        replace(case, times=case.times[:end], values=case.values[:end])
        for i, end in enumerate(ends)
        if i == 0 or end - case.steps >= least
    ]


def summary(rows: list[tuple[Case, dict[str, list[float]]]]) -> None:
    """Means over all series and over those with several seasons, and coverage."""
    many = [row for row in rows if len(row[0].periods) > 1]
    for text, part in (("all series", rows), ("several seasons", many)):
        for model in ("autoarima", "mstl"):
            both = [found for _, found in part if model in found]
            if both:
                table = np.array([[found["sqlml"], found[model]] for found in both])
                means = "  ".join(
                    f"{name} sMAPE {s:.2f} MASE {m:.3f}"
                    for name, (s, m, _) in zip(("sqlml", model), table.mean(axis=0), strict=True)
                )
                print(f"{text}, {len(both)} with {model}: {means}; lower MASE in {better(table):.0f}%")
    means = np.array([found["sqlml"] for _, found in rows]).mean(axis=0)
    print(f"all {len(rows)} series: sqlml sMAPE {means[0]:.2f} MASE {means[1]:.3f}")
    for model in ("sqlml", "autoarima", "mstl"):
        shares = [(case, found[model][2]) for case, found in rows if model in found]
        if shares:
            print(f"95% intervals of {model} hold {covered(shares):.1f}% of {sum(c.steps for c, _ in shares)} values")
    for period in sorted({case.season for case, _ in rows}):
        shares = [(case, found["sqlml"][2]) for case, found in rows if case.season == period]
        print(f"  season of {period:2}: {covered(shares):5.1f}% in {len(shares)} series")


def better(table: Any) -> float:
    """How often, in percent, the first model has the lower MASE."""
    return 100 * float((table[:, 0, 1] < table[:, 1, 1]).mean())


def covered(part: list[tuple[Case, float]]) -> float:
    """Percentage of all held-out values inside their intervals."""
    return sum(case.steps * share for case, share in part) / sum(case.steps for case, _ in part)


def main() -> None:
    """Forecast every series, print a line each and the means."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecast_accuracy", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="also search the orders of 500 simulated series")
    parser.add_argument("--origins", type=int, default=1, help="how many tails of each series are forecast (default 1)")
    parser.add_argument("--statsforecast", default=statsforecast_side.python(), help="a Python that has statsforecast")
    arguments = parser.parse_args()
    reference = statsforecast_side.Reference(arguments.statsforecast) if arguments.statsforecast else None
    if reference is None:
        print(f"statsforecast is not compared: {statsforecast_side.VARIABLE} names no Python that has it")
    rows = []
    for case in (cut for whole in public_series.cases() for cut in cuts(whole, arguments.origins)):
        found = {"sqlml": ours(case), **({} if reference is None else theirs(reference, case))}
        rows.append((case, found))
        shown = (f"{model:9} {s:7.2f} {m:7.3f} {c:5.0f}%" for model, (s, m, c) in found.items())
        print(f"{case.name:26}", "  ".join(shown), flush=True)
    if reference is not None:
        reference.close()
    summary(rows)
    if arguments.simulated:
        simulated()


if __name__ == "__main__":
    main()
