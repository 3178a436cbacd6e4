"""Rank correlations against pandas and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from sqlml.kernels.correlation import kendall, spearman


def tau_b(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b by its definition over all pairs."""
    pairs = list(itertools.combinations(range(len(x)), 2))
    score = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    tied = [sum(z[i] != z[j] for i, j in pairs) for z in (x, y)]
    return float(score / math.sqrt(tied[0] * tied[1]))


@pytest.mark.parametrize("seed", range(5))
def test_against_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 40).astype(float)
    y = x + rng.integers(0, 5, 40)
    assert kendall(x, y) == pytest.approx(tau_b(x, y))
    assert spearman(x, y) == pytest.approx(pd.Series(x).corr(pd.Series(y), method="spearman"))


def test_constants_have_no_correlation() -> None:
    x, y = np.ones(5), np.arange(5.0)
    assert kendall(x, y) is None and spearman(x, y) is None
    assert kendall(y[:1], y[:1]) is None and spearman(y[:1], y[:1]) is None
