"""Which picture a result gets, and that both ways of drawing show it."""

from __future__ import annotations

import datetime
import math

import pyarrow as pa
import pytest

from sqlml.plot import Bars, Grid, Lines, draw, figure, picture_of, to_png, to_svg
from sqlml.plot.terminal import Canvas
from sqlml.render.table import display_width

DAYS = [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=i) for i in range(40)]
WAVE = [10 + i / 10 + math.sin(i) for i in range(40)]

RESULTS: dict[str, pa.Table] = {
    "roc": pa.table({"threshold": [0.9, 0.5, 0.1], "recall": [0.2, 0.7, 1.0], "false_positive_rate": [0.0, 0.2, 0.8]}),
    "confusion": pa.table({"expected_label": ["FEMALE", "MALE"], "FEMALE": [150, 15], "MALE": [10, 158]}),
    "training": pa.table(
        {
            "training_run": [0] * 6,
            "iteration": range(6),
            "loss": [1.0, 0.6, 0.4, 0.3, 0.25, 0.24],
            "eval_loss": [1.1, 0.7, 0.5, 0.42, 0.4, 0.41],
        }
    ),
    "importance": pa.table({"feature": ["a", "b"], "importance_weight": [1.0, 2.0], "importance_gain": [0.5, 7.25]}),
    "global": pa.table({"feature": ["a", "b", "c"], "attribution": [0.5, 2.25, 0.1]}),
    "explain": pa.table(
        {
            "predicted_y": [1.0],
            "top_feature_attributions": [[{"feature": "a", "attribution": -2.0}, {"feature": "b", "attribution": 1.0}]],
        }
    ),
    "centroids": pa.table(
        {
            "centroid_id": [1, 1, 2, 2],
            "feature": ["mass", "island", "mass", "island"],
            "numerical_value": [3700.0, None, 5000.0, None],
            "categorical_value": [
                None,
                [{"category": "Biscoe", "value": 0.2}],
                None,
                [{"category": "Biscoe", "value": 0.9}],
            ],
        }
    ),
    "weights": pa.table(
        {
            "processed_input": ["x", "c", "__INTERCEPT__"],
            "weight": [2.5, None, 100.0],
            "category_weights": [None, [{"category": "u", "weight": -3.0}], None],
        }
    ),
    "forecast": pa.table(
        {
            "id": ["a"] * 20 + ["b"] * 20,
            "forecast_timestamp": DAYS,
            "forecast_value": WAVE,
            "prediction_interval_lower_bound": [v - 1 for v in WAVE],
            "prediction_interval_upper_bound": [v + 1 for v in WAVE],
        }
    ),
    "decomposition": pa.table(
        {
            "time_series_timestamp": DAYS,
            "time_series_type": ["history"] * 30 + ["forecast"] * 10,
            "time_series_data": WAVE,
            "prediction_interval_lower_bound": [None] * 30 + [v - 1 for v in WAVE[30:]],
            "prediction_interval_upper_bound": [None] * 30 + [v + 1 for v in WAVE[30:]],
            "trend": [10 + i / 10 for i in range(40)],
            "seasonal_period_weekly": [math.sin(i) for i in range(40)],
            "seasonal_period_yearly": pa.array([None] * 40, pa.float64()),
            "holiday_effect": [0.0] * 40,
        }
    ),
    "anomalies": pa.table(
        {
            "day": DAYS,
            "visits": WAVE,
            "is_anomaly": [i == 20 for i in range(40)],
            "lower_bound": [v - 1 for v in WAVE],
            "upper_bound": [v + 1 for v in WAVE],
        }
    ),
    "plain lines": pa.table({"day": DAYS, "visits": WAVE}),
    "plain bars": pa.table({"island": ["Biscoe", "Dream"], "n": [168, 124]}),
}
KINDS = {"confusion": Grid, "centroids": Grid} | dict.fromkeys(
    ("importance", "global", "explain", "weights", "plain bars"), Bars
)


@pytest.mark.parametrize("name", RESULTS)
def test_kind(name: str) -> None:
    assert isinstance(picture_of(RESULTS[name]), KINDS.get(name, Lines))


@pytest.mark.parametrize("width", [120, 60, 40])
@pytest.mark.parametrize("name", RESULTS)
def test_terminal(name: str, width: int) -> None:
    picture = picture_of(RESULTS[name])
    assert picture is not None
    lines = draw(picture, width=width, height=15)
    assert max(display_width(line) for line in lines) <= width
    assert any(any(c in line for c in "█▏░▒▓") or any("\u2801" <= c <= "\u28ff" for c in line) for line in lines)


@pytest.mark.parametrize("name", RESULTS)
def test_files(name: str) -> None:
    picture = picture_of(RESULTS[name])
    assert picture is not None
    assert "<svg" in to_svg(picture)
    assert to_png(picture).startswith(b"\x89PNG")


def test_roc_area_and_corners() -> None:
    picture = picture_of(RESULTS["roc"])
    assert isinstance(picture, Lines)
    (series,) = picture.panels[0].series
    assert (series.x[0], series.y[0], series.x[-1], series.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    # 0.2 * (0.2 + 0.7) / 2 + 0.6 * (0.7 + 1) / 2 + 0.2 * 1
    assert "0.800" in picture.panels[0].title


def test_bars_are_sorted_by_size_and_signed() -> None:
    picture = picture_of(RESULTS["weights"])
    assert isinstance(picture, Bars)
    assert list(zip(picture.names, picture.values, strict=True)) == [("c: u", -3.0), ("x", 2.5)]
    lines = draw(picture, width=60)
    assert lines[1].index("█") < lines[2].index("█")


def test_decomposition_shows_the_parts_that_are_there() -> None:
    picture = picture_of(RESULTS["decomposition"])
    assert isinstance(picture, Lines)
    assert [panel.title for panel in picture.panels] == ["time series", "trend", "seasonal period weekly"]


def test_forecast_has_a_line_for_each_series() -> None:
    picture = picture_of(RESULTS["forecast"])
    assert isinstance(picture, Lines)
    assert [series.name for series in picture.panels[0].series] == ["a", "b"]


def test_nothing_fits() -> None:
    assert picture_of(pa.table({"a": ["x"], "b": ["y"]})) is None
    assert picture_of(pa.table({"a": pa.array([], pa.int64())})) is None


def test_canvas() -> None:
    canvas = Canvas(2, 1)
    canvas.line((0, 3), (3, 0), 0)
    assert canvas.lines(color=False) == ["⡠⠊"]


def test_long_names_of_columns_do_not_lie_over_each_other() -> None:
    names = ("a name of thirty characters ..", "another one of many characters", "and a third one that is longer")
    axis = figure._figure(Grid("confusion matrix", names, names, ((1.0,) * 3,) * 3)).axes[0]
    axis.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
    assert all(label.get_rotation() > 0 for label in axis.get_xticklabels())
    assert axis.get_window_extent().height > 40 and min(box.y0 for box in boxes) >= 0
