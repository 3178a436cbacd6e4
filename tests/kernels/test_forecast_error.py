"""Standard errors of forecasts from short and restless histories."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sqlml.kernels import arima, arma, forecast_error


def covariance(phi: np.ndarray, theta: np.ndarray, count: int) -> np.ndarray:
    """Covariance matrix of an ARMA process with unit innovations, by its first 5,000 weights."""
    psi = arma.psi_weights(phi, theta, 5_000)
    gamma = np.array([psi[: 5_000 - k] @ psi[k:] for k in range(count)])
    return gamma[np.abs(np.subtract.outer(np.arange(count), np.arange(count)))]


@pytest.mark.parametrize(
    ("phi", "theta"), [((), (0.9,)), ((0.6,), ()), ((0.5, 0.2), (-0.9,)), ((0.4,), (0.5, 0.3)), ((), (-0.5, -0.4, 0.1))]
)
@pytest.mark.parametrize("d", [0, 1])
def test_the_best_linear_forecast_of_a_finite_series(phi: tuple[float, ...], theta: tuple[float, ...], d: int) -> None:
    """The variance equals that of universal kriging: the whole covariance matrix, the mean estimated with it."""
    n, h = 12, 6
    a, b = np.array(phi), np.array(theta)
    full = covariance(a, b, n + h)
    past, cross = full[:n, :n], full[:n, n:]
    weights = np.linalg.solve(past, cross)
    error = full[n:, n:] - cross.T @ weights
    inverse = np.linalg.inv(past)
    information = float(np.ones(n) @ inverse @ np.ones(n))
    unknown = 1.0 - weights.T @ np.ones(n)
    error = error + np.outer(unknown, unknown) / information
    total = np.tril(np.ones((h, h))) if d else np.eye(h)
    wanted = np.diag(total @ error @ total.T)
    psi = arma.psi_weights(a, b, h)
    known = np.cumsum((np.cumsum(psi) if d else psi) ** 2)
    model = _model(a, b, d)
    assert known + forecast_error.estimation_variance(model, n, h) == pytest.approx(wanted, rel=1e-6)


def _model(phi: np.ndarray, theta: np.ndarray, d: int) -> arima.Arima:
    none = np.zeros(0)
    return arima.Arima(d, phi, theta, True, 0.0, 1.0, 0.0, 0.0, none, none, none, np.zeros(d), None)  # type: ignore[arg-type]


def test_a_random_walk_with_an_unknown_drift() -> None:
    """sigma^2 (h + h^2 / n), n - 1 degrees of freedom, whether the drift was kept or not."""
    y = np.cumsum(np.random.default_rng(3).normal(size=40))
    h = np.arange(1, 9)
    for constant in (True, False):
        model = arima.fixed(y, (0, 1, 0), constant=constant)
        known = arima.forecast(model, 8)[1]
        found = forecast_error.standard_error(model, y - model.fitted, known)
        n, used = 39, int(constant)
        scale = n / (n - used) * forecast_error.recent_growth((y - model.fitted)[1:])
        wanted = np.sqrt(model.variance * scale * (h + h**2 / n)) * forecast_error.student(n - used - 1)
        assert found == pytest.approx(wanted)


@pytest.mark.parametrize("freedom", [2, 3, 5, 10, 30, 100])
def test_students_distribution(freedom: int) -> None:
    """Within 1% of the exact point."""
    exact = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    assert forecast_error.student(freedom) == pytest.approx(exact, rel=0.01)


def test_errors_that_grow_are_believed_and_errors_that_shrink_are_not() -> None:
    """Mean squares of the last third over those of all."""
    assert forecast_error.recent_growth(np.r_[np.ones(20), np.full(10, 3.0)]) == pytest.approx(9 / (110 / 30))
    assert forecast_error.recent_growth(np.r_[np.full(20, 3.0), np.ones(10)]) == 1.0
    assert forecast_error.recent_growth(np.zeros(9)) == 1.0


@pytest.mark.parametrize("length", [16, 30])
def test_intervals_of_short_random_walks(length: int) -> None:
    """Forecasts of fixed models of random walks with a drift lie inside their 95% intervals as often as they say."""
    rng, inside = np.random.default_rng(11), []
    for _ in range(600):
        y = np.cumsum(rng.normal(0.3, 1.0, size=length + 6))
        model = arima.fixed(y[:length], (0, 1, 0), constant=True)
        values, known = arima.forecast(model, 6)
        error = forecast_error.standard_error(model, y[:length] - model.fitted, known)
        inside.append(np.abs(y[length:] - values) <= 1.959964 * error)
    assert 0.94 < np.mean(inside) < 0.98


def test_a_series_without_noise_has_no_error() -> None:
    """Nothing is unknown about a straight line."""
    y = np.arange(20.0)
    model = arima.search(y)
    known = arima.forecast(model, 5)[1]
    assert np.array_equal(forecast_error.standard_error(model, y - model.fitted, known), known)
