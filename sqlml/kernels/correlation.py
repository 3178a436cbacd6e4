"""Rank correlations of two samples.

Spearman's coefficient is Pearson's of the average ranks; Kendall's is tau-b, which corrects for ties
(M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945).
"""

from __future__ import annotations

import math

import numpy as np

from sqlml.kernels.types import F64


def spearman(x: F64, y: F64) -> float | None:
    """Spearman's rank correlation of finite samples of shape (n,); None when one of them is constant."""
    from scipy.stats import rankdata

    return _pearson(rankdata(x), rankdata(y))


def kendall(x: F64, y: F64) -> float | None:
    """Kendall's tau-b of finite samples of shape (n,); None when one of them is constant."""
    from scipy.stats import kendalltau

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    value = float(kendalltau(x, y).statistic)
    return None if math.isnan(value) else value


def _pearson(x: F64, y: F64) -> float | None:
    if len(x) < 2:
        return None
    a, b = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else None
