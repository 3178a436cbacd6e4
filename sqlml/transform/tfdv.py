"""ML.TFDV_VALIDATE: two DatasetFeatureStatisticsList messages compared, as an Anomalies message.

A scalar function of two JSON values, so it is a vectorised function in DuckDB. Messages follow
tensorflow_metadata's statistics.proto and anomalies.proto; names in snake case or camel case are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.errors import ProgrammingError, Span
from sqlml.guards import failing, marked
from sqlml.kernels.drift import (
    Histogram,
    jensen_shannon_of_categories,
    jensen_shannon_of_histograms,
    l_infinity,
)
from sqlml.schema import quote_literal
from sqlml.transform.arguments import Call, constant
from sqlml.transform.forms import Scalar
from sqlml.translate.udfs import UDF

_METRICS = ("L_INFTY", "JENSEN_SHANNON_DIVERGENCE")
_TYPES = {0: "INT", 1: "FLOAT", 2: "STRING", 3: "BYTES", 4: "STRUCT"}
_JSON = r'^(JSON|VARCHAR|"NULL")$'


@dataclass(frozen=True, slots=True)
class Check:
    """What to compare, and from where a distance is an anomaly."""

    detection_type: str = "SKEW"
    categorical_threshold: float = 0.3
    categorical_metric: str = "L_INFTY"
    numerical_threshold: float = 0.3
    thresholds: tuple[tuple[str, float], ...] = ()
    place: tuple[int, int] | None = None

    def threshold(self, name: str, numeric: bool) -> float:
        """The threshold of one column."""
        limits = {n.casefold(): limit for n, limit in self.thresholds}
        return limits.get(name.casefold(), self.numerical_threshold if numeric else self.categorical_threshold)


# ---------------------------------------------------------------- the call


def tfdv_validate(call: Call) -> Scalar:
    """JSON of the Anomalies message; NULL when a side is NULL."""
    call.count(2, 8)
    if call.frozen:
        raise ProgrammingError(f"{call.name} must not stand in TRANSFORM.", span=call.span)
    check = Check(
        detection_type=call.choice(2, "detection_type", "SKEW", ("SKEW", "DRIFT")),
        categorical_threshold=_share(call, 3, "categorical_default_threshold"),
        categorical_metric=call.choice(4, "categorical_metric_type", "L_INFTY", _METRICS),
        numerical_threshold=_share(call, 5, "numerical_default_threshold"),
        thresholds=_thresholds(call, 7),
        place=(call.span.start, call.span.end) if call.span else None,
    )
    call.choice(6, "numerical_metric_type", _METRICS[1], _METRICS[1:])
    sides = [_side(call, i) for i in (0, 1)]
    settings = quote_literal(json.dumps(asdict(check)))
    return Scalar(f"CAST(sqlml_tfdv_validate({sides[0]}, {sides[1]}, {settings}) AS JSON)")


def _side(call: Call, index: int) -> str:
    sql = f"({call.args[index].sql})"
    sentence = f"Argument {index + 1} of {call.name} must be JSON."
    failure = failing(sentence, call.args[index].span, f"typeof({sql})")
    wrong = f"NOT regexp_matches(typeof({sql}), {quote_literal(_JSON)})"
    return f"CASE WHEN {wrong} THEN {failure} ELSE CAST({sql} AS VARCHAR) END"


def _share(call: Call, index: int, name: str) -> float:
    if index >= len(call.nodes):
        return 0.3
    rule = f"be a constant number of at least 0 and less than 1 ({name})"
    value = call.constant(index, rule)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise call.error(index, rule)
    return float(value)


def _thresholds(call: Call, index: int) -> tuple[tuple[str, float], ...]:
    if index >= len(call.nodes):
        return ()
    rule = "be a constant array of (column, threshold) with thresholds in [0, 1)"
    found = []
    for item in call.nodes[index].unnest().expressions:
        parts = [getattr(p, "expression", None) or p for p in item.unnest().expressions]
        values = [constant(p) for p in parts]
        if len(values) != 2 or not all(known for known, _ in values):
            raise call.error(index, rule)
        name, limit = values[0][1], values[1][1]
        if not isinstance(name, str) or not isinstance(limit, int | float) or not 0 <= limit < 1:
            raise call.error(index, rule)
        found.append((name, float(limit)))
    return tuple(found)


# ---------------------------------------------------------------- the comparison


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a statistics message: its path, and a histogram or the counts of its categories."""

    steps: tuple[str, ...]
    type: str
    histogram: Histogram | None
    counts: Mapping[str, float]

    @property
    def name(self) -> str:
        """The path as text."""
        return ".".join(self.steps)


def anomalies(base: Any, study: Any, check: Check) -> dict[str, Any]:
    """The Anomalies message of two statistics messages.

    Raises:
        ValueError: a message is no DatasetFeatureStatisticsList.
    """
    first, second = _features(base), {f.name.casefold(): f for f in _features(study)}
    skew = check.detection_type == "SKEW"
    found: dict[str, Any] = {}
    measured, baseline = [], []
    for a in first:
        b = second.get(a.name.casefold())
        result = _distance(a, b, check) if b is not None else None
        entry: dict[str, Any] = {"name": a.name, "type": "BYTES" if a.type == "STRING" else a.type}
        if result is not None:
            metric, value, numeric = result
            limit = check.threshold(a.name, numeric)
            key = "infinity_norm" if metric == "L_INFTY" else "jensen_shannon_divergence"
            entry["skew_comparator" if skew else "drift_comparator"] = {key: {"threshold": limit}}
            measurement = {"type": metric, "value": value, "threshold": limit}
            kind = "skew_measurements" if skew else "drift_measurements"
            measured.append({"path": {"step": list(a.steps)}, kind: [measurement]})
            if value > limit:
                found[a.name] = _anomaly(a, metric, value, limit, skew)
        baseline.append(entry)
    message: dict[str, Any] = {"anomaly_info": found} if found else {}
    return {"baseline": {"feature": baseline}, **message, "drift_skew_info": measured}


def _anomaly(feature: Feature, metric: str, value: float, limit: float, skew: bool) -> dict[str, Any]:
    word = "Linfty distance" if metric == "L_INFTY" else "approximate Jensen-Shannon divergence"
    sides = "training and serving" if skew else "current and previous"
    short = f"High {word} between {sides}"
    long = f"The {word} between {sides} is {value:.6g}, above the threshold {limit:g}."
    reason = {
        "type": f"COMPARATOR_{'L_INFTY' if metric == 'L_INFTY' else 'JENSEN_SHANNON_DIVERGENCE'}_HIGH",
        "short_description": short,
        "description": long,
    }
    path = {"step": list(feature.steps)}
    return {"path": path, "severity": "ERROR", "short_description": short, "description": long, "reason": [reason]}


def _distance(a: Feature, b: Feature, check: Check) -> tuple[str, float, bool] | None:
    """(metric, value, whether both are numbers), or None where the metric cannot compare the types."""
    numbers = (a.type in ("INT", "FLOAT"), b.type in ("INT", "FLOAT"))
    if all(numbers):
        if a.histogram is None or b.histogram is None:
            return _METRICS[1], float(a.histogram is not b.histogram), True
        return _METRICS[1], jensen_shannon_of_histograms(a.histogram, b.histogram), True
    if any(numbers) and check.categorical_metric != "L_INFTY":
        return None
    p, q = _normal(a.counts), _normal(b.counts)
    if check.categorical_metric == "L_INFTY":
        return "L_INFTY", l_infinity(p, q), False
    return _METRICS[1], jensen_shannon_of_categories(p, q), False


def _normal(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {k: n / total for k, n in counts.items()} if total else {}


def _features(message: Any) -> list[Feature]:
    message = _snake(message)
    try:
        return [_feature(f) for dataset in message["datasets"] for f in dataset.get("features", [])]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no such field: {error}") from None


def _feature(f: Mapping[str, Any]) -> Feature:
    steps = tuple(f["path"]["step"]) if "path" in f else (f["name"],)
    kind = f.get("type", "INT")
    kind = _TYPES[kind] if isinstance(kind, int) else kind
    histogram = None
    for h in f.get("num_stats", {}).get("histograms", ()):
        if h.get("type", "STANDARD") in ("STANDARD", 0) and h.get("buckets"):
            histogram = _histogram(h["buckets"])
    counts: dict[str, float] = {}
    strings = f.get("string_stats", {})
    for bucket in strings.get("rank_histogram", {}).get("buckets", ()):
        counts[bucket.get("label", "")] = float(bucket.get("sample_count", 0))
    return Feature(steps, kind, histogram, counts)


def _histogram(buckets: list[Mapping[str, Any]]) -> Histogram:
    edges = [float(buckets[0].get("low_value", 0)), *(float(b.get("high_value", 0)) for b in buckets)]
    counts = [float(b.get("sample_count", 0)) for b in buckets]
    return Histogram(np.asarray(edges), np.asarray(counts))


def _snake(value: Any) -> Any:
    """The message with the names of its fields in snake case."""
    if isinstance(value, list):
        return [_snake(v) for v in value]
    if isinstance(value, dict):
        return {re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", k).lower(): _snake(v) for k, v in value.items()}
    return value


def _validate(base: Any, study: Any, settings: Any) -> pa.Array:
    found: list[str | None] = []
    for a, b, s in zip(base.to_pylist(), study.to_pylist(), settings.to_pylist(), strict=True):
        if a is None or b is None:
            found.append(None)
            continue
        options = json.loads(s)
        options["thresholds"] = tuple((n, t) for n, t in options["thresholds"])
        check = Check(**options)
        try:
            found.append(json.dumps(anomalies(json.loads(a), json.loads(b), check)))
        except ValueError:
            span = Span(*check.place) if check.place else None
            sentence = "ML.TFDV_VALIDATE must be given two DatasetFeatureStatisticsList messages."
            raise ValueError(marked(sentence, span, f"{a[:30]} and {b[:30]}")) from None
    return pa.array(found, pa.string())


VALIDATE = UDF("sqlml_tfdv_validate", ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR", _validate)
