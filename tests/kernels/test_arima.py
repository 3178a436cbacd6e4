"""ARIMA against statsmodels' state space models, closed forms and the published numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from sqlml.kernels import arima, arma, arma_estimation


def simulate(phi, theta, n, seed=0, d=0):
    """A series of the model with unit innovations."""
    e = np.random.default_rng(seed).normal(size=n + 200)
    x = lfilter(np.r_[1, theta], np.r_[1, -np.array(phi)], e)[200:]
    for _ in range(d):
        x = np.cumsum(x)
    return x


def statespace(x, p, q, phi, theta):
    """statsmodels' exact log-likelihood, variance and one-step predictions at fixed coefficients."""
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    model = SARIMAX(x, order=(p, 0, q), concentrate_scale=True)
    result = model.smooth(np.r_[phi, theta])
    return result.llf, result.scale, result.fittedvalues


PHI, THETA = np.array([0.3, -0.2, 0.1, 0.05, 0.1]), np.array([0.5, 0.2, -0.1, 0.1, 0.05])


@pytest.mark.parametrize("p", range(6))
@pytest.mark.parametrize("q", range(6))
def test_exact_likelihood_is_that_of_the_state_space_model(p, q):
    phi, theta = PHI[:p], THETA[:q]
    x = simulate(phi, theta, 90, seed=p + 10 * q)
    value, scale, predicted = statespace(x, p, q, phi, theta)
    assert arma.exact_loglik(x[:, None], None, phi, theta) == pytest.approx(value, abs=1e-6)
    found = arma.exact(x, phi, theta, mean=False)
    assert found.value == pytest.approx(value, abs=1e-6)
    assert found.variance == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(x - found.innovations, predicted, atol=1e-7)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize(("p", "q"), [(p, q) for p in range(4) for q in range(4) if p + q] + [(5, 0), (0, 5)])
def test_likelihoods_of_several_points_are_those_of_each(p, q, mean):
    x = simulate(PHI[:p], THETA[:q], 90, seed=3)
    columns = np.column_stack([x, np.ones(90)]) if mean else x[:, None]
    ones = columns[:, 1] if mean else None
    scale = np.array([[1.0], [0.5], [0.0], [0.9]])
    phi, theta = scale * PHI[:p], scale[::-1] * THETA[:q]
    values, variances = arma.exact_logliks(columns, ones, phi, theta)
    for i in range(4):
        one = arma.exact(x, phi[i], theta[i], mean=mean)
        assert values[i] == pytest.approx(one.value, abs=1e-9)
        assert variances[i] == pytest.approx(one.variance, rel=1e-10)


def test_mean_is_the_generalised_least_squares_mean():
    phi, theta, n = np.array([0.6]), np.array([0.4]), 40
    x = 5 + simulate(phi, theta, n)
    gamma = arma.autocovariances(phi, theta, n)
    inverse = np.linalg.inv(gamma[np.abs(np.subtract.outer(np.arange(n), np.arange(n)))])
    one = np.ones(n)
    mean = one @ inverse @ x / (one @ inverse @ one)
    variance = (x - mean) @ inverse @ (x - mean) / n
    found = arma.exact(x, phi, theta, mean=True)
    assert found.mean == pytest.approx(mean, rel=1e-10)
    assert found.variance == pytest.approx(variance, rel=1e-10)
    _, determinant = np.linalg.slogdet(inverse)
    value = -0.5 * n * (math.log(2 * math.pi * variance) + 1) + 0.5 * determinant
    assert found.value == pytest.approx(value, rel=1e-10)


def test_the_maximum_is_at_least_that_of_statsmodels():
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    x = simulate([0.7, -0.3], [0.4], 300, seed=4)
    other = SARIMAX(x, order=(2, 0, 1), concentrate_scale=True).fit(disp=False)
    found = arima.fixed(x, (2, 0, 1), constant=False)
    assert found.loglik > other.llf - 1e-3
    np.testing.assert_allclose(np.r_[found.phi, found.theta], other.params, atol=0.01)


def test_stability_is_about_roots():
    rng = np.random.default_rng(1)
    for k in range(1, 6):
        for _ in range(200):
            c = rng.uniform(-1.2, 1.2, size=k)
            roots = np.roots(np.r_[1, -c][::-1])
            assert arma.is_stable(c) == bool((np.abs(roots) > arma.SMALLEST_ROOT).all())
            assert arma.is_stable(arma.stabilise(c))


def test_admissible_refuses_the_hole_of_a_removed_season():
    week = 2 * math.pi / 7
    theta = np.array([-2 * math.cos(week) * 0.95, 0.95**2])
    assert arma.admissible(np.zeros(0), theta, False)
    assert not arma.admissible(np.zeros(0), theta, True)
    longer = np.convolve([1, *theta], [1, 0.2])[1:]
    assert not arma.admissible(np.zeros(0), longer, True)
    assert arma.admissible(np.zeros(0), np.array([-0.95]), True)


def test_conditional_derivatives_are_those_of_differences():
    x = simulate([0.5], [0.3], 60)
    e, jacobian = arma_estimation.conditional(x, np.array([0.4, 0.1]), np.array([0.2, -0.1]))
    for i in range(4):
        moved = np.array([0.4, 0.1, 0.2, -0.1])
        moved[i] += 1e-6
        there, _ = arma_estimation.conditional(x, moved[:2], moved[2:])
        np.testing.assert_allclose((there - e) / 1e-6, jacobian[i], atol=1e-4)


def test_forecast_is_that_of_the_state_space_model():
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    for order in ((2, 1, 1), (0, 1, 2), (1, 2, 1), (3, 0, 2), (0, 0, 3)):
        p, d, q = order
        x = simulate(PHI[:p], THETA[:q], 120, seed=sum(order), d=d)
        found = arima.fixed(x, order, constant=False)
        model = SARIMAX(x, order=order, concentrate_scale=True, simple_differencing=False)
        result = model.smooth(np.r_[found.phi, found.theta])
        other = result.get_forecast(12)
        values, error = arima.forecast(found, 12)
        np.testing.assert_allclose(values, other.predicted_mean, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(
            error / math.sqrt(found.variance), other.se_mean / math.sqrt(result.scale), rtol=1e-3
        )


def test_standard_error_is_the_sum_of_psi_weights():
    x = simulate([0.5], [], 200, d=1)
    found = arima.fixed(x, (1, 1, 0), constant=False)
    psi = np.cumsum(np.cumsum([found.phi[0] ** j for j in range(6)]) ** 2)
    np.testing.assert_allclose(arima.forecast(found, 6)[1], np.sqrt(found.variance * psi), rtol=1e-12)


def test_drift_goes_on():
    x = 3.0 * np.arange(150) + np.random.default_rng(2).normal(size=150)
    found = arima.search(x, max_order=2)
    assert found.d == 1 and found.has_constant
    values, _ = arima.forecast(found, 10)
    assert np.diff(values)[-1] == pytest.approx(3.0, abs=0.02)


@pytest.mark.parametrize(("seed", "d"), [(s, s % 3) for s in range(12)])
def test_differencing_is_found(seed, d):
    x = simulate([0.4], [0.2], 400, seed=seed, d=d)
    assert abs(arima.differencing(x) - d) <= (seed in (0, 3, 6, 9))  # a level that wanders may look stationary at 5%


def test_kpss_is_that_of_statsmodels():
    from statsmodels.tsa.stattools import kpss

    x = simulate([0.5], [], 365)
    with pytest.warns(Warning):  # statsmodels only tabulates p-values between 1% and 10%
        value, *_ = kpss(x, regression="c", nlags=int(3 * math.sqrt(365) / 13))
    assert arima.kpss(x) == pytest.approx(value, rel=1e-10)


def test_all_orders_are_tried():
    x = simulate([0.4], [0.2], 200, d=1)
    found = arima.search(x)
    assert found.d == 1
    c = found.candidates
    orders = set(zip(c.p.tolist(), c.q.tolist(), c.constant.tolist(), strict=True))
    assert len(orders) == len(c.p) == 42
    np.testing.assert_allclose(c.aic, -2 * c.loglik + 2 * (c.p + c.q + c.constant + 1))
    assert (np.diff(c.aic[1:]) > -1e-5).all()
    assert c.aic[0] < c.aic.min() + arima.DRIFT_GAIN
    few = arima.search(x, max_order=2, min_order=1).candidates
    assert ((few.p + few.q >= 1) & (few.p + few.q <= 2)).all() and len(few.p) == 10


def test_true_orders_are_found_or_beaten():
    """The chosen AIC is no more than 2 above that of the true order, as the truth is among the candidates."""
    rng = np.random.default_rng(5)
    near, tried = 0, 0
    for seed in range(40):
        p, q = int(rng.integers(0, 3)), int(rng.integers(0, 3))
        while True:
            phi, theta = rng.uniform(-0.9, 0.9, p), rng.uniform(-0.9, 0.9, q)
            if arma.is_stable(phi) and arma.is_stable(-theta):
                break
        x = simulate(phi, theta, 250, seed=seed, d=1)
        found = arima.search(x, max_order=4)
        if found.d != 1:
            continue
        truth = arima.fixed(x, (p, 1, q), constant=False)
        tried += 1
        near += found.aic <= truth.aic + 2
    assert tried >= 30 and near / tried >= 0.95


def test_skipping_the_hopeless_keeps_the_winner():
    same = 0
    for seed in range(12):
        x = simulate([0.5, -0.2][: seed % 3], [0.4][: seed % 2], 300, seed=seed, d=1)
        quick, slow = arima.search(x), arima.search(x, everything=True)
        assert quick.aic < slow.aic + 2
        same += quick.aic < slow.aic + 0.01
    assert same >= 11


def test_constant_and_straight_series_go_on():
    flat = arima.search(np.full(30, 7.0))
    assert (flat.d, flat.variance) == (0, 0.0)
    np.testing.assert_allclose(arima.forecast(flat, 3), [[7, 7, 7], [0, 0, 0]])
    line = arima.search(2.0 * np.arange(30))
    np.testing.assert_allclose(arima.forecast(line, 3)[0], [60, 62, 64])
    assert np.isnan(line.aic)


@pytest.mark.parametrize("n", range(3, 30))
def test_short_series_are_fitted(n):
    x = np.random.default_rng(n).normal(size=n).cumsum()
    values, error = arima.forecast(arima.search(x), 5)
    assert np.isfinite(values).all() and np.isfinite(error).all()


def test_bad_series_are_refused():
    with pytest.raises(ValueError, match="too short"):
        arima.search(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="not finite"):
        arima.search(np.array([1.0, np.nan, 2.0, 3.0]))
    with pytest.raises(ValueError, match="at least"):
        arima.fixed(np.arange(5.0) ** 2, (3, 1, 3), constant=False)


def test_scale_does_not_matter():
    x = simulate([0.6], [0.3], 200, d=1)
    a, b = arima.search(x), arima.search(1e9 * x)
    assert (len(a.phi), len(a.theta)) == (len(b.phi), len(b.theta))
    np.testing.assert_allclose(arima.forecast(a, 5)[0] * 1e9, arima.forecast(b, 5)[0], rtol=1e-6)
    assert b.aic - a.aic == pytest.approx(2 * 199 * math.log(1e9), rel=1e-9)


def test_predictions_of_a_longer_series_by_a_model_of_its_end():
    x = simulate([0.6], [0.3], 200, d=1)
    model = arima.search(x[100:])
    whole = arima.predictions(model, x)
    assert len(whole) == 200
    np.testing.assert_allclose(whole[150:], model.fitted[50:], atol=1e-6)


def test_corrected_criterion_takes_smaller_orders_in_short_series():
    rng = np.random.default_rng(8)
    sizes = {True: 0, False: 0}
    for _ in range(30):
        x = rng.normal(size=18)
        for corrected in sizes:
            model = arima.search(x, d=0, corrected=corrected)
            sizes[corrected] += len(model.phi) + len(model.theta)
            k = 2 + len(model.phi) + len(model.theta)
            c = model.candidates
            orders = c.p + c.q + c.constant + 1
            cost = c.aic + (2.0 * orders * (orders + 1) / np.maximum(18 - orders - 1, 0.1) if corrected else 0.0)
            assert cost[0] <= cost.min() + 1e-6 and orders[0] == k
            assert (np.diff(c.aic[1:]) > -1e-5).all()
    assert sizes[True] < sizes[False] / 2
