"""One series and many: cleaning, holidays, spikes, steps, intervals, hierarchies, workers."""

from __future__ import annotations

import contextlib
import datetime
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from sqlml.errors import Cancelled, TrainingError
from sqlml.kernels import changes, forecasts, holidays, intervals, reconcile, regions, series, series_clean, workers
from sqlml.kernels.series_clean import DAY, HOUR, MINUTE, WEEK
from tests.kernels.test_decompose import visits


def micros(text):
    return np.array(text, dtype="datetime64[us]").astype(np.int64)


def daily(y, start="2016-08-01"):
    return micros(start) + DAY * np.arange(len(y))


# ---------------------------------------------------------------- cleaning


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (np.arange(10) * MINUTE, "PER_MINUTE"),
        (np.arange(10) * HOUR, "HOURLY"),
        (np.arange(10) * DAY, "DAILY"),
        (np.arange(10) * WEEK, "WEEKLY"),
        (np.arange(10) * 15 * MINUTE, "CUSTOM"),
        (micros(["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"]), "MONTHLY"),
        (micros(["2020-01-15", "2020-04-15", "2020-07-15", "2020-10-15"]), "QUARTERLY"),
        (micros(["2018-03-01", "2019-03-01", "2020-03-01", "2021-03-01"]), "YEARLY"),
    ],
)
def test_frequency_is_found(times, name):
    assert series_clean.detect_frequency(times).name == name


def test_months_follow_the_calendar():
    whole = series_clean.regular(micros(["2020-01-31", "2020-02-29", "2020-05-31"]), np.array([1.0, 2, 5]), "MONTHLY")
    days = whole.times(0, 6).astype("datetime64[us]").astype("datetime64[D]").astype(str).tolist()
    assert days == ["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30", "2020-05-31", "2020-06-30"]
    np.testing.assert_allclose(whole.values, [1, 2, 3, 4, 5])
    assert whole.filled.tolist() == [False, False, True, True, False]
    fifteenth = series_clean.step_times(series_clean.Frequency("QUARTERLY", months=3), int(micros("2020-11-15")), 0, 2)
    assert fifteenth.astype("datetime64[us]").astype(str)[1].startswith("2021-02-15")


def test_duplicates_are_averaged_and_gaps_filled():
    times = DAY * np.array([0, 1, 1, 2, 5, 6, 7])
    values = np.array([1.0, 2, 4, np.nan, 9, 10, 11])
    whole = series_clean.regular(times, values)
    np.testing.assert_allclose(whole.values, [1, 3, 4.5, 6, 7.5, 9, 10, 11])
    assert whole.filled.sum() == 3


def test_irregular_times_fall_on_the_nearest_step():
    rng = np.random.default_rng(0)
    times = np.arange(30) * DAY + rng.integers(0, 6 * HOUR, 30)
    times[0] = 0
    whole = series_clean.regular(np.sort(times), np.arange(30.0), "DAILY")
    np.testing.assert_allclose(whole.values, np.arange(30.0))


def test_unusable_series_say_why():
    with pytest.raises(ValueError, match="infinite"):
        series_clean.regular(np.arange(4) * DAY, np.array([1, 2, np.inf, 3]))
    with pytest.raises(ValueError, match="no values"):
        series_clean.regular(np.arange(4) * DAY, np.full(4, np.nan))
    with pytest.raises(ValueError, match="equal"):
        series_clean.regular(np.zeros(4, np.int64), np.arange(4.0))
    with pytest.raises(ValueError, match="minute or more"):
        series_clean.regular(np.arange(4) * 1000, np.arange(4.0))
    with pytest.raises(ValueError, match="gaps"):
        series_clean.regular(np.array([0, 1, 2, 5000]) * DAY, np.arange(4.0))


# ---------------------------------------------------------------- changes


def test_published_steps_are_found():
    from sqlml.kernels.decompose import stl

    y = visits()
    steps = changes.steps(y - stl(y, 7))
    # The service reports windows from days 64 and 127 (2016-10-04, 2016-12-06), and 1205.28 at the start.
    assert steps.windows() == [(64, 80), (127, 143)]
    assert steps.effect[0] == pytest.approx(1205.283526, rel=0.01)
    assert not steps.effect[-100:].any()


def test_steps_of_noise_and_level():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=400)
    assert len(changes.steps(noise).begin) == 0
    stepped = noise + 20.0 * (np.arange(400) >= 230)
    found = changes.steps(stepped)
    assert len(found.begin) == 1 and found.windows() == [(230, 246)]
    assert found.effect[0] == pytest.approx(-20, abs=2)
    assert len(changes.steps(stepped[:50]).begin) == 0
    assert len(changes.steps(np.full(200, 3.0)).begin) == 0


def test_spikes_are_short_and_far():
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    assert not changes.spikes(z, 8.0).any()
    z[50] += 30
    z[100:102] -= 25
    z[150:170] += 25  # a level, not a spike
    assert np.flatnonzero(changes.spikes(z, 8.0)).tolist() == [50, 100, 101]
    cleaned = changes.bridge(z, changes.spikes(z, 8.0))
    assert cleaned[50] == pytest.approx((z[49] + z[51]) / 2)
    assert changes.bridge(z, np.ones(200, bool)) is z


def test_running_median_is_the_median():
    y = np.random.default_rng(0).normal(size=20)
    found = changes.running_median(y, 5)
    for i in range(20):
        assert found[i] == np.median(y[max(0, i - 2) : i + 3])


# ---------------------------------------------------------------- intervals


def test_quantiles_of_the_service():
    assert intervals.half_width(0.95, exact=False) == pytest.approx(1.956458, abs=1e-6)
    assert intervals.half_width(0.8, exact=False) == pytest.approx(1.282285, abs=1e-6)
    assert intervals.half_width(0.7, exact=False) == pytest.approx(1.037423, abs=1e-6)
    assert intervals.half_width(0.0, exact=False) == 0.0


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.9, 0.95, 0.999, 1 - 1e-12])
def test_exact_quantiles(level):
    z = intervals.half_width(level, exact=True)
    assert z == pytest.approx(norm.ppf(0.5 + level / 2), rel=1e-9)
    for exact in (True, False):
        z = intervals.half_width(level, exact=exact)
        assert intervals.anomaly_probability(np.array([z]), exact=exact)[0] == pytest.approx(level, abs=1e-9)


def test_published_anomaly_probabilities():
    rows = [
        (70.1, 67.65879917809896, 72.54120082190103, 0.0),
        (73.4, 71.71497131254985, 76.59737295635192, 0.20573021642489953),
        (64.6, 67.7428898975034, 72.62529154130547, 0.9463261042400903),
    ]
    for value, low, high, published in rows:
        sigma = (high - low) / 2 / intervals.half_width(0.6, exact=False)
        found = intervals.anomaly_probability(np.array([(value - (low + high) / 2) / sigma]), exact=False)
        assert found[0] == pytest.approx(published, abs=1e-6)


def test_levels_outside_are_refused():
    with pytest.raises(ValueError, match="level"):
        intervals.half_width(1.0, exact=False)


# ---------------------------------------------------------------- holidays


def test_calendar_of_a_region():
    days = holidays.builtin(["US"], 2019, 2020)
    christmas = [
        (str(np.datetime64(int(d), "D")), b, a)
        for n, d, b, a in zip(days.name, days.day, days.before, days.after, strict=True)
        if n == "Christmas"
    ]
    assert christmas == [("2019-12-25", 10, 1), ("2020-12-25", 10, 1)]
    assert all(name.isidentifier() for name in days.names())


def test_every_region_has_holidays():
    for region in sorted(regions.REGIONS):
        assert len(holidays.builtin([region], 2020, 2020)) > 2, region
    with pytest.raises(ValueError, match="'us'"):
        holidays.builtin(["us"], 2020, 2020)


def test_easter():
    from holidays import country_holidays

    for year in range(1991, 2060):
        found = datetime.date(year, *holidays.easter(year)) - datetime.timedelta(days=2)
        assert country_holidays("DE", years=year).get(found) is not None


def test_custom_days_replace_built_in_ones():
    given = holidays.calendar([("US", "A", 10, 1, 1), ("US", "B", 20, 1, 1)])
    custom = holidays.calendar([("US", "A", 11, 3, 0)])
    both = holidays.merge(given, custom)
    assert list(zip(both.name, both.day.tolist(), both.before.tolist(), strict=True)) == [
        ("A", 11, 3),
        ("B", 20, 1),
    ]


def test_effects_are_recovered_and_forecast():
    n, rng = 3 * 365, np.random.default_rng(0)
    days = holidays.calendar([("X", "Feast", 18000 + 365 * k, 1, 1) for k in range(5)])
    y = 100 + rng.normal(size=n)
    start = 17900
    for k in range(3):
        y[100 + 365 * k] += 40
        y[99 + 365 * k] -= 20
    effects = holidays.estimate(y, days, start, 1)
    found = dict(zip(effects.offset.tolist(), effects.value.tolist(), strict=True))
    assert found[0] == pytest.approx(40, abs=2) and found[-1] == pytest.approx(-20, abs=2) and 1 not in found
    whole = series.fit(DAY * (start + np.arange(n)), y, series.Settings(horizon=200, calendar=days))
    assert whole.forecast[100] - whole.forecast[50] == pytest.approx(40, abs=4)
    total, single = holidays.apply(effects, days, start, 1, n + 200)
    np.testing.assert_allclose(total, single[0])
    assert total[100 + 3 * 365] == found[0]


def test_overlapping_effects_add_the_extremes():
    days = holidays.calendar([("X", name, 5, 0, 0) for name in "ABC"])
    effects = holidays.Effects(np.arange(3), np.zeros(3, np.int64), np.array([10.0, 4.0, -3.0]))
    assert holidays.apply(effects, days, 0, 1, 8)[0][5] == 7.0


# ---------------------------------------------------------------- hierarchies


def test_bottom_up_adds_up():
    ids = [("a", "x"), ("a", "y"), ("b", "x")]
    tree = reconcile.hierarchy(ids, [0, 1])
    assert tree.keys == (("a", None), ("b", None), (None, None))
    values = np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(reconcile.bottom_up(tree, values), [[2, 4], [4, 5], [6, 9]])
    assert len(reconcile.hierarchy([], [0])) == 0


def test_columns_outside_the_hierarchy_stay():
    tree = reconcile.hierarchy([("a", 1, "s"), ("a", 2, "t")], [0, 1])
    assert set(tree.keys) == {("a", None, "s"), ("a", None, "t"), (None, None, "s"), (None, None, "t")}


# ---------------------------------------------------------------- the pipeline


def test_best_intervals_are_wider_by_a_factor_and_what_is_unknown():
    y = noisy(4)
    found = series.fit(daily(y), y, series.Settings(horizon=5))
    plain = series.arima.forecast(found.model, 5)[1]
    ratio = found.standard_error / plain
    assert (np.diff(ratio) > 0).all()
    assert 1.2 <= ratio[0] < 1.4 and ratio[-1] < 1.02 * ratio[0]


def test_the_services_intervals_take_everything_as_known():
    y = noisy(4)
    found = series.fit(daily(y), y, series.Settings(horizon=5, fidelity="bigquery"))
    np.testing.assert_array_equal(found.standard_error, series.arima.forecast(found.model, 5)[1])


def noisy(seed, n=200):
    rng = np.random.default_rng(seed)
    return 50 + np.cumsum(rng.normal(size=n)) + rng.normal(size=7)[np.arange(n) % 7] * 4 + rng.normal(size=n)


@pytest.mark.parametrize("fidelity", ["best", "bigquery"])
def test_published_forecast(fidelity):
    y = visits()
    found = series.fit(daily(y), y, series.Settings(horizon=30, fidelity=fidelity, everything=True))
    at = [1, 7, 11, 25, 29]
    published = [2621.33159, 2639.285993, 1845.439732, 1853.735689, 2615.993932]
    np.testing.assert_allclose(found.forecast[at], published, rtol=0.015 if fidelity == "bigquery" else 0.05)
    if fidelity == "bigquery":
        errors = [241.093355, 300.301186, 328.060405, 410.596551, 431.286628]
        np.testing.assert_allclose(found.standard_error[at], errors, rtol=0.12)
        assert not found.spikes.any()
    assert [s.name for s in found.seasons] == ["WEEKLY"]


def test_parts_add_up_to_the_forecast():
    y = noisy(0)
    settings = series.Settings(horizon=20)
    found = series.fit(daily(y), y, settings)
    ahead, _ = series.arima.forecast(found.model, 20)
    error = found.standard_error
    parts = series.future_parts(found.regular, found.seasons, found.effects, settings.calendar, 200, 20)
    np.testing.assert_allclose(found.forecast, ahead + parts)
    assert (np.diff(error) >= 0).all()


def test_bounds_are_kept():
    y = np.maximum(noisy(1) - 48, 0) + 0.01
    found = series.fit(daily(y), y, series.Settings(horizon=60, lower=0.0, upper=5.0))
    assert (found.forecast > 0).all() and (found.forecast < 5).all()
    with pytest.raises(ValueError, match="limits"):
        series.fit(daily(y), y, series.Settings(lower=1e9))


def test_only_the_end_is_fitted():
    assert series.trend_length(100, series.Settings(length_fraction=0.5)) == 50
    assert series.trend_length(30, series.Settings(length_fraction=0.5)) == 20
    assert series.trend_length(15, series.Settings(length_fraction=0.5)) == 15
    assert series.trend_length(100, series.Settings(max_length=30)) == 30
    y = noisy(2)
    found = series.fit(daily(y), y, series.Settings(horizon=5, max_length=60))
    assert len(found.trend) == 200


def test_smoothing_pads_the_ends():
    np.testing.assert_allclose(series.smooth(np.array([1.0, 2, 6]), 3), [4 / 3, 3, 14 / 3])
    np.testing.assert_allclose(series.smooth(np.array([1.0, 2, 6]), 1), [1, 2, 6])


def chunks(count, size, n=200):
    for first in range(0, count, size):
        y = [noisy(seed, n) for seed in range(first, min(first + size, count))]
        yield workers.Chunk(np.tile(daily(y[0]), len(y)), np.concatenate(y), n * np.arange(len(y) + 1))


def same(a, b):
    for name in forecasts.Forecasts.__slots__:
        x, y = getattr(a, name), getattr(b, name)
        if isinstance(x, tuple):
            assert x == y, name
        else:
            np.testing.assert_array_equal(x, y, err_msg=name)


def test_chunks_and_workers_do_not_matter(monkeypatch):
    settings = series.Settings(horizon=4, max_order=2)
    alone = workers.fit_all(chunks(9, 9), settings, workers=0)
    same(alone, workers.fit_all(chunks(9, 2), settings, workers=0))
    monkeypatch.setattr(workers, "WORTH_A_WORKER", 100)
    told = []
    same(alone, workers.fit_all(chunks(9, 2), settings, workers=2, report=told.append))
    assert told[-1] == 9 and told == sorted(told)


def test_a_report_can_stop_the_workers(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_A_WORKER", 100)

    def stop(done):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        workers.fit_all(chunks(40, 2), series.Settings(horizon=4, max_order=1), workers=2, report=stop)


def test_an_error_of_the_source_comes_through(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_A_WORKER", 100)

    def broken():
        yield from chunks(4, 2)
        raise ZeroDivisionError("from the source")

    with pytest.raises(ZeroDivisionError, match="source"):
        workers.fit_all(broken(), series.Settings(horizon=4, max_order=1), workers=2)


def test_a_worker_that_dies_is_an_error_and_never_a_wait(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_A_WORKER", 100)
    start = workers._Pool._start
    begun = []

    def mortal(pool):
        begun.append(start(pool))
        return begun[-1]

    def kill_them():
        yield from chunks(4, 2)
        for process in begun:
            process.kill()
        yield from chunks(30, 2)

    monkeypatch.setattr(workers._Pool, "_start", mortal)
    with pytest.raises(TrainingError, match="worker process ended"):
        workers.fit_all(kill_them(), series.Settings(horizon=4, max_order=1), workers=2)


def test_a_worker_whose_caller_was_killed_ends_without_a_word():
    process = subprocess.Popen(
        [sys.executable, "-m", "sqlml.kernels.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    workers._write(process.stdin, workers._dump_settings(series.Settings(horizon=4, max_order=1)))
    workers._write(process.stdin, workers._dump(workers.asdict_arrays(next(chunks(1, 1)))))
    told = process.stderr.read()
    assert (process.wait(timeout=120), told) == (0, b"")
    process.stderr.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


@pytest.mark.parametrize("size", [0, 3, 20])
def test_half_a_message_is_the_end_of_the_stream(size):
    buffer = io.BytesIO()
    workers._write(buffer, b"x" * 100)
    with pytest.raises(EOFError):
        workers._read(io.BytesIO(buffer.getvalue()[:size]))


def test_failed_series_leave_a_reason():
    y = noisy(0, 50)
    offsets = np.array([0, 50, 52, 102])
    times = np.concatenate([daily(y), daily(y)[:2], daily(y)])
    values = np.concatenate([y, y[:2], np.full(50, np.nan)])
    found = workers.fit_all([workers.Chunk(times, values, offsets)], series.Settings(horizon=3))
    assert found.error[0] == "" and "too short" in found.error[1] and "too short" in found.error[2]
    assert found.count(1) == 0 and np.isnan(found.forecast[1]).all() and np.isfinite(found.forecast[0]).all()


def test_a_record_gives_back_what_was_fitted():
    y = visits()
    y[200] += 30_000
    settings = series.Settings(horizon=6, fidelity="bigquery")
    one = series.fit(daily(y), y, settings)
    other = series.fit(daily(noisy(3)), noisy(3), settings)
    record = forecasts.concatenate([forecasts.pack([other], 6), forecasts.pack(["no", one], 6)])
    assert record.error == ("", "no", "") and record.horizon == 6
    np.testing.assert_array_equal(record.data[record.points(2)], y)
    np.testing.assert_array_equal(record.spikes(2), one.spikes)
    np.testing.assert_array_equal(record.steps(2), one.steps)
    assert record.spikes(0) is None and record.steps(0) is None
    (row,) = record.seasons_of(2)
    np.testing.assert_array_equal(record.season(row, len(y), 6)[: len(y)], one.seasons[0].part)
    times = record.times(2, len(y), 1)
    assert times[0] == daily(y)[-1] + DAY
    assert math.isnan(record.aic[1]) and record.aic[2] == one.model.aic


@pytest.mark.slow
def test_very_long_series_are_forecast_the_same_by_workers():
    n, ahead = 45_000, 48
    t = np.arange(n + ahead)
    rng = np.random.default_rng(8)
    times = t * HOUR
    chunks, truth = [], []
    for _ in range(2):
        y = (
            50
            + 10 * np.sin(2 * np.pi * t / 24)
            + np.cumsum(rng.normal(size=n + ahead)) * 0.02
            + rng.normal(size=n + ahead)
        )
        chunks.append(workers.Chunk(times[:n], y[:n], np.array([0, n])))
        truth.append(y[n:])
    settings = series.Settings(horizon=ahead)
    here = workers.fit_all(chunks, settings, workers=0)
    there = workers.fit_all(chunks, settings, workers=2)
    # Sums over so many points are split among the threads of this process: the last digits differ.
    np.testing.assert_allclose(here.forecast, there.forecast, rtol=1e-5)
    assert "DAILY" in here.season_name and here.error == ("", "")
    for i in range(2):
        miss = np.abs(truth[i] - here.forecast[i])
        assert miss.mean() < 1.2  # the noise alone misses by 0.8
        assert (miss <= 1.96 * here.standard_error[i]).mean() > 0.9
