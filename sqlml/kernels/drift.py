"""Distances between two distributions, as TensorFlow Data Validation measures drift and skew.

L-infinity is the largest difference of the shares of one category. The Jensen-Shannon divergence has
logarithms to base 2, so it lies in [0, 1] (J. Lin, "Divergence measures based on the Shannon entropy",
IEEE Trans. Inf. Theory 37, 1991). Histograms of numbers are brought to the union of both sets of
boundaries first, with the mass of a bucket spread evenly over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.kernels.types import F64


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of k adjacent buckets between k + 1 ascending boundaries."""

    edges: F64
    counts: F64

    @classmethod
    def even(cls, low: float, high: float, counts: Sequence[float]) -> Histogram:
        """Buckets of equal width between two ends."""
        return cls(np.linspace(low, high, len(counts) + 1), np.asarray(counts, dtype=np.float64))


def l_infinity(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Largest |p_i - q_i| over the categories of both; a category that one side lacks has share 0 there."""
    return max((abs(p.get(k, 0.0) - q.get(k, 0.0)) for k in {*p, *q}), default=0.0)


def jensen_shannon(p: F64, q: F64) -> float:
    """Divergence of two distributions over the same k outcomes; each sums to 1, or to 0 when it is empty."""
    if p.sum() == 0 or q.sum() == 0:
        return 0.0 if p.sum() == q.sum() else 1.0
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2
    value = (_relative_entropy(p, m) + _relative_entropy(q, m)) / 2
    return float(min(1.0, max(0.0, value)))


def _relative_entropy(p: F64, m: F64) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log2(p[some] / m[some])))


def jensen_shannon_of_categories(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Divergence over the categories of both."""
    keys = sorted({*p, *q})
    return jensen_shannon(
        np.array([p.get(k, 0.0) for k in keys], dtype=np.float64),
        np.array([q.get(k, 0.0) for k in keys], dtype=np.float64),
    )


def jensen_shannon_of_histograms(a: Histogram, b: Histogram) -> float:
    """Divergence of two histograms after both are brought to the union of their boundaries."""
    if a.edges[0] == a.edges[-1] and b.edges[0] == b.edges[-1]:
        return float(a.edges[0] != b.edges[0])  # two constants
    edges = np.union1d(a.edges, b.edges)
    return jensen_shannon(rebucket(a, edges), rebucket(b, edges))


def rebucket(histogram: Histogram, edges: F64) -> F64:
    """The counts of `histogram` over other boundaries, which include its own.

    Args:
        edges: shape (k + 1,), ascending. With a single boundary all mass lies in one bucket.

    Returns:
        Shape (max(k, 1),). The mass of a bucket without width goes to the bucket that holds its value.
    """
    result = np.zeros(max(len(edges) - 1, 1))
    for low, high, count in zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True):
        if high > low:
            inside = np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None)
            result += count * inside / (high - low)
        elif count:
            place = int(np.searchsorted(edges, low, side="right")) - 1
            result[min(max(place, 0), len(result) - 1)] += count
    return result
