"""Numbers of contribution analysis: how segments of a population changed between two sets of rows.

A segment has sums over its test rows and over its control rows; a population is the segment of all rows.

Source of the attribution of ratios: Aumann & Shapley, "Values of Non-Atomic Games" (1974), along the straight
path from the control sums to the test sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from sqlml.kernels.types import F64, I32

#: Points of the quadrature that replaces the closed form where the denominator hardly moves.
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def divide(a: F64, b: F64) -> F64:
    """a / b, NaN where b is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0.0, np.nan, a / np.where(b == 0.0, 1.0, b))


def shares(test: F64, control: F64, total_test: float, total_control: float) -> F64:
    """(n,): the larger of a segment's shares of the test total and of the control total."""
    both = [v / t if t else np.zeros_like(v) for v, t in ((test, total_test), (control, total_control))]
    return np.maximum(both[0], both[1])


def summable(test: F64, control: F64, total: tuple[float, float]) -> Mapping[str, F64]:
    """Columns of a summable metric.

    Args:
        test, control: (n,) sums of the segments.
        total: those of the population.

    Returns:
        difference, relative_difference, unexpected_difference, relative_unexpected_difference, contribution. The
        expected test value is the control value, grown as the rest of the population grew.
    """
    difference = test - control
    rest_test, rest_control = total[0] - test, total[1] - control
    growth = divide(rest_test, rest_control)
    empty = (rest_test == 0.0) & (rest_control == 0.0)  # nothing to compare with: as if it had not grown
    expected = control * np.where(empty, 1.0, growth)
    unexpected = test - expected
    return {
        "difference": difference,
        "relative_difference": divide(difference, control),
        "unexpected_difference": unexpected,
        "relative_unexpected_difference": divide(unexpected, expected),
        "contribution": np.abs(difference),
    }


def ratio(test: F64, control: F64, total_test: F64, total_control: F64) -> Mapping[str, F64]:
    """Columns of a metric SUM(a) / SUM(b).

    Args:
        test, control: (n, 2) sums of a and b.
        total_test, total_control: (2,) those of the population.

    Returns:
        metric_test, metric_control, metric_test_over_metric_control, the ratios over the complements (NaN where the
        complement is empty), aumann_shapley_attribution, contribution.
    """
    metric_test, metric_control = divide(test[:, 0], test[:, 1]), divide(control[:, 0], control[:, 1])

    def over_rest(metric: F64, part: F64, total: F64) -> F64:
        rest = total - part
        return divide(metric, divide(rest[:, 0], rest[:, 1]))

    attribution = aumann_shapley(test - control, total_test, total_control)
    return {
        "metric_test": metric_test,
        "metric_control": metric_control,
        "metric_test_over_metric_control": divide(metric_test, metric_control),
        "metric_test_over_complement": over_rest(metric_test, test, total_test),
        "metric_control_over_complement": over_rest(metric_control, control, total_control),
        "aumann_shapley_attribution": attribution,
        "contribution": np.abs(attribution),
    }


def aumann_shapley(change: F64, total_test: F64, total_control: F64) -> F64:
    """(n,): what the changes (n, 2) of a segment's sums a and b did to the population's ratio A / B.

    change_a * integral of 1 / B - change_b * integral of A / B^2, from the control to the test totals. Over a
    partition of the population the attributions add up to the change of the ratio.
    """
    (a0, b0), (a1, b1) = total_control, total_test
    if b0 <= 0.0 or b1 <= 0.0:
        return np.full(len(change), np.nan)
    if abs(b1 - b0) > 1e-3 * max(b0, b1):
        first = np.log(b1 / b0) / (b1 - b0)
        second = ((a1 - a0) * first - (a1 / b1 - a0 / b0)) / (b1 - b0)
    else:
        t = (_POINTS + 1.0) / 2.0
        a, b = a0 + t * (a1 - a0), b0 + t * (b1 - b0)
        first, second = float(_WEIGHTS @ (1.0 / b)) / 2.0, float(_WEIGHTS @ (a / b**2)) / 2.0
    return change[:, 0] * first - change[:, 1] * second


def by_category(test: F64, control: F64, total_test: F64, total_control: F64) -> Mapping[str, F64]:
    """Columns of a metric SUM(m) / COUNT(DISTINCT c); arguments as for `ratio`, with counts for b."""
    metric_test, metric_control = divide(test[:, 0], test[:, 1]), divide(control[:, 0], control[:, 1])
    difference = metric_test - metric_control
    whole_test, whole_control = divide(total_test[:1], total_test[1:]), divide(total_control[:1], total_control[1:])
    return {
        "metric_test": metric_test,
        "metric_control": metric_control,
        "difference": difference,
        "relative_difference": divide(difference, metric_control),
        "metric_test_over_population": divide(metric_test, np.broadcast_to(whole_test, metric_test.shape)),
        "metric_control_over_population": divide(metric_control, np.broadcast_to(whole_control, metric_test.shape)),
        "contribution": np.abs(difference),
    }


def redundant(codes: I32, values: F64, monotone: bool) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """(n,): segments whose sums equal those of a longer segment that has all their dimension values.

    Args:
        codes: (n, dimensions): level of each dimension, -1 where it is not part of the segment.
        values: (n, p): the sums.
        monotone: sums of a part never exceed those of the whole (no negative numbers); then it is enough
            to compare with segments of one dimension more.
    """
    found = np.zeros(len(codes), dtype=np.bool_)
    at = {row.tobytes(): i for i, row in enumerate(codes)}
    for i, row in enumerate(codes):
        used = np.flatnonzero(row >= 0)
        sizes = (1,) if monotone else range(1, len(used))
        for left_out in (c for n in sizes for c in combinations(used, n) if n < len(used)):
            part = row.copy()
            part[list(left_out)] = -1
            j = at.get(part.tobytes())
            if j is not None and np.array_equal(values[i], values[j]):
                found[j] = True
    return found
