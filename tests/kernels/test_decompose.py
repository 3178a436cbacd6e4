"""Seasonal decomposition against published values, statsmodels and exact seasons."""

from __future__ import annotations

import csv
import pathlib

import numpy as np
import pytest

from sqlml.kernels import arima, decompose, seasons, series
from sqlml.kernels.series_clean import DAY, HOUR, Frequency

DAILY, MONTHLY = Frequency("DAILY", step=DAY), Frequency("MONTHLY", months=1)


def visits():
    """Daily visits of the Google Analytics sample, as in the published run: one visit less on day 16."""
    path = pathlib.Path(__file__).parents[1] / "data" / "daily_visits.csv"
    with path.open() as file:
        y = np.array([float(row["visits"]) for row in csv.DictReader(file)])
    y[16] -= 1
    return y


def test_weekly_part_is_the_published_one():
    part = decompose.stl(visits(), 7)
    published = [169.61193783007687, 287.0332731997334, 445.1408776311671, 403.092354, 145.688355, -751.49761]
    np.testing.assert_allclose(part[:6], published, atol=1e-5)


def test_trend_is_the_published_one():
    y = visits()
    model = arima.search(y - decompose.stl(y, 7), max_order=2, deseasoned=True, everything=True)
    assert (len(model.phi), model.d, len(model.theta), model.has_constant) == (0, 1, 2, False)
    trend = series.smooth(model.fitted, 5)
    np.testing.assert_allclose(trend[:3], [663.5826181713272, 1108.5377263889254, 1615.04323567092], rtol=2e-4)


def test_loess_is_least_squares():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    for degree in (0, 1):
        smooth = decompose.loess(y, 9, degree=degree)
        for i in (0, 3, 20, 39):
            left = min(max(i - 4, 0), 31)
            x = np.arange(left, left + 9)
            reach = max(i - left, left + 8 - i)
            w = np.clip(1 - (np.abs(x - i) / reach) ** 3, 0, None) ** 3
            design = np.vander(x - i, degree + 1, increasing=True)
            beta = np.linalg.solve(design.T @ (w[:, None] * design), design.T @ (w * y[x]))
            assert smooth[i] == pytest.approx(beta[0], rel=1e-9)


@pytest.mark.parametrize("degree", [0, 1])
def test_stl_is_near_that_of_statsmodels(degree):
    """statsmodels wants a low-pass window above the period; with our windows imposed on both they agree."""
    from statsmodels.tsa.seasonal import STL

    t = np.arange(200)
    y = 0.1 * t + 3 * np.sin(2 * np.pi * t / 12) + np.random.default_rng(1).normal(size=200)
    other = STL(y, period=12, seasonal=7, seasonal_deg=0, trend=23, low_pass=13, trend_jump=3, low_pass_jump=2).fit(
        inner_iter=2, outer_iter=0
    )
    np.testing.assert_allclose(decompose.stl(y, 12), other.seasonal, atol=1e-8)


def test_parts_add_up_and_exact_seasons_are_found():
    t = np.arange(24 * 7 * 8)
    day, week = 3 * np.sin(2 * np.pi * t / 24), 5 * np.cos(2 * np.pi * t / 168)
    found = decompose.decompose(day + week, [24, 168])
    np.testing.assert_allclose(found.parts.sum(axis=0) + found.rest, day + week)
    np.testing.assert_allclose(found.parts.sum(axis=0), day + week, atol=0.6)


def test_a_season_needs_two_cycles():
    with pytest.raises(ValueError, match="at least 14"):
        decompose.stl(np.arange(13.0), 7)
    assert len(decompose.decompose(np.arange(20.0), [7, 12]).periods) == 1


def test_noise_and_walks_have_no_season():
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=730)
        wrong += len(seasons.find(noise, DAILY)) > 0
        wrong += len(seasons.find(np.cumsum(noise), DAILY)) > 0
    assert wrong <= 8  # of 480 tests


def test_seasons_are_found():
    rng = np.random.default_rng(0)
    t = np.arange(900)
    weekly = rng.normal(size=7)[t % 7]
    yearly = 3 * np.sin(2 * np.pi * t / 365.25)
    y = weekly + yearly + 0.5 * rng.normal(size=900) + np.cumsum(0.1 * rng.normal(size=900))
    assert [name for name, _ in seasons.find(y, DAILY)] == ["WEEKLY", "YEARLY"]
    assert seasons.find(y, DAILY, ("NO_SEASONALITY",)) == ()
    assert [name for name, _ in seasons.find(y, DAILY, ("WEEKLY", "DAILY"))] == ["WEEKLY"]
    months = np.arange(96)
    z = 0.2 * months + 4 * np.sin(2 * np.pi * months / 12) + rng.normal(size=96)
    assert ("YEARLY", 12.0) in seasons.find(z, MONTHLY)


def test_hourly_series_have_days_and_weeks():
    t = np.arange(24 * 7 * 6)
    y = np.sin(2 * np.pi * t / 24) + np.cos(2 * np.pi * t / 168) + 0.1 * np.random.default_rng(0).normal(size=len(t))
    assert [n for n, _ in seasons.find(y, Frequency("HOURLY", step=HOUR))] == ["DAILY", "WEEKLY"]


@pytest.mark.parametrize("period", [7.0, 52.178571])
def test_an_exact_season_goes_on(period):
    t = np.arange(420)
    wave = np.sin(2 * np.pi * t / period)
    (season,) = seasons.separate(wave[:400], [("X", period)], sloped=False)
    future = seasons.extend(season.period, season.level, season.slope, 400, 20)
    np.testing.assert_allclose(future, wave[400:], atol=0.05)


def test_a_growing_season_has_a_slope():
    t = np.arange(7 * 60)
    y = (1 + t / 200) * np.sin(2 * np.pi * t / 7)
    flat = seasons.separate(y, [("WEEKLY", 7.0)], sloped=False)[0]
    sloped = seasons.separate(y, [("WEEKLY", 7.0)], sloped=True)[0]
    assert not flat.slope.any()
    assert (np.sign(sloped.slope) == np.sign(sloped.level)).all()
