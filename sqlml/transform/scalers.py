"""Scalers and the imputer: one number per row, from a few statistics of the column.

A column without spread (all rows equal, or one row) is shifted and not scaled, as if its
spread were 1. NULL stays NULL in every scaler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlml.schema import quote_literal
from sqlml.transform.arguments import NUMBER, SCALAR, Call
from sqlml.transform.forms import Analytic


def _from_statistics(statistics: Sequence[str], formula: Callable[..., str], kind: str = "DOUBLE") -> Analytic:
    """An analytic function whose expression is `formula` over its statistics, windows or literals alike."""

    def replay(values: Sequence[object]) -> str:
        return formula(*(f"CAST(NULL AS {kind})" if v is None else quote_literal(v) for v in values))

    return Analytic(tuple(statistics), replay, formula(*(f"{s} OVER ()" for s in statistics)))


def _spread(scale: str) -> str:
    return f"CASE WHEN {scale} > 0 THEN {scale} ELSE 1 END"


def min_max_scaler(call: Call) -> Analytic:
    """(x - min) / (max - min), capped to [0, 1] for rows outside the training range."""
    call.count(1, 1)
    x = call.value(0, NUMBER)

    def formula(low: str, high: str) -> str:
        scaled = f"({x} - {low}) / {_spread(f'({high} - {low})')}"
        return f"CASE WHEN {x} < {low} THEN 0.0 WHEN {x} > {high} THEN 1.0 ELSE {scaled} END"

    return _from_statistics((f"min({x})", f"max({x})"), formula)


def standard_scaler(call: Call) -> Analytic:
    """(x - mean) / standard deviation.

    The deviation is the sample form. Under fidelity 'bigquery' a TRANSFORM clause divides by the
    population form, which is what the service's printed numbers show there.
    """
    call.count(1, 1)
    x = call.value(0, NUMBER)
    deviation = "stddev_pop" if call.frozen and call.fidelity == "bigquery" else "stddev_samp"

    def formula(mean: str, scale: str) -> str:
        return f"({x} - {mean}) / {_spread(scale)}"

    return _from_statistics((f"avg({x})", f"{deviation}({x})"), formula)


def max_abs_scaler(call: Call) -> Analytic:
    """x / max|x|."""
    call.count(1, 1)
    x = call.value(0, NUMBER)
    return _from_statistics((f"max(abs({x}))",), lambda scale: f"{x} / {_spread(scale)}")


def robust_scaler(call: Call) -> Analytic:
    """(x - median) / (upper - lower quantile); quantiles are order statistics, never interpolated."""
    call.count(1, 4)
    x = call.value(0, NUMBER)
    low, high = _quantile_range(call)
    with_median = call.boolean(2, "with_median", True)
    with_range = call.boolean(3, "with_quantile_range", True)
    points = f"[0.5, {low / 100:.2f}, {high / 100:.2f}]"

    def formula(quantiles: str) -> str:
        shifted = f"({x} - ({quantiles})[1])" if with_median else x
        return f"{shifted} / {_spread(f'(({quantiles})[3] - ({quantiles})[2])')}" if with_range else shifted

    return _from_statistics((f"quantile_disc({x}, {points})",), formula, "DOUBLE[]")


def _quantile_range(call: Call) -> tuple[int, int]:
    if len(call.args) < 2:
        return 25, 75
    rule = "be a constant array of two integers [lower, upper] with 0 < lower < upper < 100"
    value = call.constant(1, rule)
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) is int for v in value):
        raise call.error(1, rule)
    low, high = value
    if not 0 < low < high < 100:
        raise call.error(1, rule)
    return low, high


def imputer(call: Call) -> Analytic:
    """x with NULL replaced by the mean, the lower median, or the most frequent value (ties: the smallest)."""
    call.count(2, 2)
    strategy = call.choice(1, "strategy", "mean", ("mean", "median", "most_frequent"))
    if strategy == "most_frequent":
        return _most_frequent(call.value(0, SCALAR))
    x = call.value(0, NUMBER)
    statistic = f"avg({x})" if strategy == "mean" else f"quantile_disc({x}, 0.5)"
    return _from_statistics((statistic,), lambda fill: f"coalesce({x}, {fill})")


def _most_frequent(x: str) -> Analytic:
    def replay(values: Sequence[object]) -> str:
        fill = values[0]
        if fill is None:
            return x
        if isinstance(fill, str):
            return f"coalesce({x}, {quote_literal(fill)})"
        return f"coalesce(CAST({x} AS DOUBLE), {quote_literal(fill)})"  # a number comes back as FLOAT64

    statistic = f"mode({x} ORDER BY {x})"
    return Analytic((statistic,), replay, f"coalesce({x}, {statistic} OVER ())")
