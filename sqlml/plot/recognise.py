"""Which picture fits a result: decided by the names of its columns, which the ML functions fix."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlml.plot.picture import Bars, Grid, Lines, Panel, Picture, Series

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SERIES = 6
MOST_BARS = 30
MOST_PANELS = 8
Row = dict[str, Any]


def picture_of(table: pa.Table) -> Picture | None:
    """The picture of a result, or None when no rule fits."""
    return known_picture(table) or _plain(_rows(table), table)


def known_picture(table: pa.Table) -> Picture | None:
    """The picture of an ML function's result, or None for any other result."""
    names = {name.lower() for name in table.column_names}
    fitting = [rule for needed, rule in RULES if needed <= names] if table.num_rows else []
    rows = _rows(table) if fitting else []
    return next((picture for rule in fitting if (picture := rule(rows, table)) is not None), None)


def _rows(table: pa.Table) -> list[Row]:
    return [{key.lower(): value for key, value in row.items()} for row in table.to_pylist()]


def seconds(value: object) -> float:
    """A date or time as seconds since 1970."""
    if isinstance(value, datetime.datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return moment.timestamp()
    if isinstance(value, datetime.date):
        return datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC).timestamp()
    return float("nan")


def _number(value: object) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _numbers(rows: Iterable[Row], name: str) -> tuple[float | None, ...]:
    return tuple(_number(row.get(name)) for row in rows)


def _groups(rows: Sequence[Row], keys: Sequence[str]) -> list[tuple[str, list[Row]]]:
    """Rows by the values of some columns, the first few groups."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(", ".join(str(row[key]) for key in keys), []).append(row)
    return list(found.items())[:MOST_SERIES]


# ---------------------------------------------------------------- rules


def _roc(rows: list[Row], table: pa.Table) -> Picture:
    points = sorted((row["false_positive_rate"], row["recall"]) for row in rows)
    points = [(0.0, 0.0), *points, (1.0, 1.0)]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))
    series = Series("model", tuple(p[0] for p in points), tuple(p[1] for p in points))
    title = f"ROC curve (area {area:.3f})"
    return Lines((Panel(title, (series,), "false positive rate", "recall", diagonal=True),))


def _confusion(rows: list[Row], table: pa.Table) -> Picture:
    columns = [name for name in table.column_names if name.lower() not in ("expected_label", "trial_id")]
    values = tuple(tuple(_number(row[name.lower()]) for name in columns) for row in rows)
    labels = tuple(str(row["expected_label"]) for row in rows)
    return Grid("confusion matrix", labels, tuple(columns), values, "expected", "predicted", scale="row")


def _training(rows: list[Row], table: pa.Table) -> Picture | None:
    ordered = sorted(rows, key=lambda row: (row["training_run"], row["iteration"]))
    x = tuple(float(i) for i in range(len(ordered)))
    series = [Series(name, x, _numbers(ordered, name)) for name in ("loss", "eval_loss")]
    shown = tuple(s for s in series if any(y is not None for y in s.y))
    return Lines((Panel("training loss", shown, "iteration", "loss"),)) if shown else None


def _bars(title: str, name: str, value: str, label: str = "") -> Callable[[list[Row], Any], Picture]:
    def rule(rows: list[Row], table: pa.Table) -> Picture:
        pairs = [(str(row[name]), _number(row[value]) or 0.0) for row in rows]
        pairs.sort(key=lambda pair: -abs(pair[1]))
        return _of_pairs(title, pairs, label or value)

    return rule


def _of_pairs(title: str, pairs: Sequence[tuple[str, float]], label: str) -> Bars:
    shown = pairs[:MOST_BARS]
    return Bars(title, tuple(p[0] for p in shown), tuple(p[1] for p in shown), label)


def _global(rows: list[Row], table: pa.Table) -> Picture:
    classes = [name for name in table.column_names if name.lower() not in ("feature", "attribution", "trial_id")]
    if not classes:
        return _bars("global attribution", "feature", "attribution")(rows, table)
    pairs = [(f"{row[classes[0].lower()]}: {row['feature']}", _number(row["attribution"]) or 0.0) for row in rows]
    return _of_pairs("global attribution", sorted(pairs, key=lambda pair: -abs(pair[1])), "attribution")


def _attributions(rows: list[Row], table: pa.Table) -> Picture:
    """One explained row as it is; of several rows the mean size of each feature's attribution."""
    sums: dict[str, float] = {}
    for row in rows:
        for item in row["top_feature_attributions"] or ():
            value = item["attribution"] or 0.0
            sums[item["feature"]] = sums.get(item["feature"], 0.0) + (value if len(rows) == 1 else abs(value))
    pairs = sorted(((k, v / len(rows)) for k, v in sums.items()), key=lambda pair: -abs(pair[1]))
    title = "attributions" if len(rows) == 1 else f"mean size of attributions over {len(rows):,} rows"
    return _of_pairs(title, pairs, "attribution")


def _per_component(title: str, key: str) -> Callable[[list[Row], Any], Picture]:
    """Centroids and principal components: a grid, component by feature (or feature: category)."""

    def rule(rows: list[Row], table: pa.Table) -> Picture:
        cells: dict[str, dict[str, float | None]] = {}
        for row in rows:
            named = cells.setdefault(str(row[key]), {})
            for item in row["categorical_value"] or ():
                named[f"{row['feature']}: {item['category']}"] = _number(item["value"])
            if row["numerical_value"] is not None:
                named[str(row["feature"])] = _number(row["numerical_value"])
        features = list(dict.fromkeys(name for named in cells.values() for name in named))[:MOST_BARS]
        values = tuple(tuple(cells[c].get(f) for c in cells) for f in features)
        return Grid(title, tuple(features), tuple(cells), values, "feature", key, scale="row")

    return rule


def _variance(rows: list[Row], table: pa.Table) -> Picture:
    pairs = [(str(row["principal_component_id"]), _number(row["explained_variance_ratio"]) or 0.0) for row in rows]
    return _of_pairs("explained variance", pairs, "share")


def _weights(rows: list[Row], table: pa.Table) -> Picture:
    pairs: list[tuple[str, float]] = []
    for row in rows:
        prefix = f"{row['class_label']} / " if row.get("class_label") is not None else ""
        if row["weight"] is not None and row["processed_input"] != "__INTERCEPT__":
            pairs.append((prefix + row["processed_input"], _number(row["weight"]) or 0.0))
        for item in row.get("category_weights") or ():
            value = _number(item["weight"]) or 0.0
            pairs.append((f"{prefix}{row['processed_input']}: {item['category']}", value))
    return _of_pairs("weights", sorted(pairs, key=lambda pair: -abs(pair[1])), "weight")


def _forecast(rows: list[Row], table: pa.Table) -> Picture:
    first = [name.lower() for name in table.column_names].index("forecast_timestamp")
    keys = [name.lower() for name in table.column_names[:first]]
    series = []
    for name, group in _groups(rows, keys):
        ordered = sorted(group, key=lambda row: row["forecast_timestamp"])
        series.append(
            Series(
                name or "forecast",
                tuple(seconds(row["forecast_timestamp"]) for row in ordered),
                _numbers(ordered, "forecast_value"),
                _numbers(ordered, "prediction_interval_lower_bound"),
                _numbers(ordered, "prediction_interval_upper_bound"),
            )
        )
    return Lines((Panel("forecast with its prediction interval", tuple(series), time=True),))


def _decomposition(rows: list[Row], table: pa.Table) -> Picture:
    """History and forecast on top, a panel for every component that is there."""
    names = [name.lower() for name in table.column_names]
    keys = names[: names.index("time_series_timestamp")]
    _, chosen = _groups(rows, keys)[0]
    ordered = sorted(chosen, key=lambda row: row["time_series_timestamp"])
    x = tuple(seconds(row["time_series_timestamp"]) for row in ordered)
    past = [row["time_series_type"] == "history" for row in ordered]
    data = _numbers(ordered, "time_series_data")
    low = _numbers(ordered, "prediction_interval_lower_bound")
    high = _numbers(ordered, "prediction_interval_upper_bound")

    def part(values: Sequence[float | None], want: bool) -> tuple[float | None, ...]:
        return tuple(v if p is want else None for v, p in zip(values, past, strict=True))

    top = (
        Series("history", x, part(data, True)),
        Series("forecast", x, part(data, False), part(low, False), part(high, False)),
    )
    panels = [Panel("time series", top, time=True)]
    parts = ("trend", "seasonal_period_", "holiday_effect", "spikes_and_dips", "step_changes", "residual")
    for name in names:
        whole = name == "holiday_effect" or not name.startswith("holiday_effect_")
        values = _numbers(ordered, name) if whole and name.startswith(parts) else ()
        if any(value for value in values) and len(panels) < MOST_PANELS:
            panels.append(Panel(name.replace("_", " "), (Series(name, x, values),), time=True))
    return Lines(tuple(panels))


def _anomalies(rows: list[Row], table: pa.Table) -> Picture | None:
    """A series with its bounds; anomalies as dots."""
    import pyarrow as pa

    times = [f.name.lower() for f in table.schema if pa.types.is_timestamp(f.type) or pa.types.is_date(f.type)]
    names = [name.lower() for name in table.column_names]
    if not times or names.index("is_anomaly") == 0:
        return None
    time, data = times[0], names[names.index("is_anomaly") - 1]
    keys = [name for name in names[: names.index("is_anomaly")] if name not in (time, data)]
    _, chosen = _groups(rows, keys)[0]
    ordered = sorted(chosen, key=lambda row: row[time])
    x = tuple(seconds(row[time]) for row in ordered)
    y = _numbers(ordered, data)
    marked = tuple(v if row["is_anomaly"] else None for v, row in zip(y, ordered, strict=True))
    series = Series(data, x, y, _numbers(ordered, "lower_bound"), _numbers(ordered, "upper_bound"))
    return Lines((Panel("anomalies", (series, Series("anomaly", x, marked, dots=True)), time=True),))


def _plain(rows: list[Row], table: pa.Table) -> Picture | None:
    """Any other result: numbers over a time or number column as lines, one number per name as bars."""
    import pyarrow as pa

    def numeric(kind: pa.DataType) -> bool:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))

    fields = list(table.schema)
    numbers = [f.name.lower() for f in fields[1:] if numeric(f.type)]
    first = fields[0].name.lower()
    if not numbers or len(rows) < 2:
        return None
    kind = fields[0].type
    time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if time or numeric(kind):
        ordered = sorted((row for row in rows if row[first] is not None), key=lambda row: row[first])
        x = tuple(seconds(row[first]) if time else float(row[first]) for row in ordered)
        series = tuple(Series(name, x, _numbers(ordered, name)) for name in numbers[:MOST_SERIES])
        return Lines((Panel(", ".join(numbers[:MOST_SERIES]), series, first, time=bool(time)),))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        pairs = [(str(row[first]), _number(row[numbers[0]]) or 0.0) for row in rows]
        return _of_pairs(numbers[0], pairs, numbers[0])
    return None


Rule = Callable[[list[Row], Any], Picture | None]
RULES: tuple[tuple[frozenset[str], Rule], ...] = (
    (frozenset({"threshold", "recall", "false_positive_rate"}), _roc),
    (frozenset({"expected_label"}), _confusion),
    (frozenset({"training_run", "iteration", "loss"}), _training),
    (
        frozenset({"feature", "importance_gain"}),
        _bars("feature importance", "feature", "importance_gain", "gain"),
    ),
    (frozenset({"feature", "attribution"}), _global),
    (frozenset({"top_feature_attributions"}), _attributions),
    (
        frozenset({"centroid_id", "feature", "numerical_value", "categorical_value"}),
        _per_component("centroids", "centroid_id"),
    ),
    (
        frozenset({"principal_component_id", "feature", "numerical_value", "categorical_value"}),
        _per_component("principal components", "principal_component_id"),
    ),
    (frozenset({"principal_component_id", "explained_variance_ratio"}), _variance),
    (frozenset({"processed_input", "weight"}), _weights),
    (frozenset({"time_series_timestamp", "time_series_data", "trend"}), _decomposition),
    (frozenset({"forecast_timestamp", "forecast_value"}), _forecast),
    (frozenset({"is_anomaly", "lower_bound", "upper_bound"}), _anomalies),
)
