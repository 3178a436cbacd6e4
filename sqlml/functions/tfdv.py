"""ML.TFDV_DESCRIBE: statistics of a table as TensorFlow Data Validation's DatasetFeatureStatisticsList.

The JSON follows tensorflow_metadata's statistics.proto (names as in the proto, 64-bit integers as text,
which is protobuf's JSON mapping), so `json_format.Parse` reads it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.drift import BUCKETS, RANKS
from sqlml.functions.summary import Summary, Wanted, readable, summaries
from sqlml.models.base import Fixed
from sqlml.options import option

Message = dict[str, object]
COLUMNS = (("dataset_feature_statistics_list", "JSON", pa.string()),)
#: Entries of top_values.
TOP_VALUES = 20


@dataclass(frozen=True)
class TfdvSettings:
    """Settings of ML.TFDV_DESCRIBE."""

    num_histogram_buckets: int = option(BUCKETS, "Equally wide buckets of numbers.", low=1, high=1000)
    num_quantiles_histogram_buckets: int = option(BUCKETS, "Quantile buckets of numbers.", low=1, high=1000)
    num_values_histogram_buckets: int = option(BUCKETS, "Quantile buckets of array lengths.", low=1, high=1000)
    num_rank_histogram_buckets: int = option(RANKS, "Categories with their counts.", low=1, high=10_000)


def statistics_list(found: Sequence[Summary], settings: TfdvSettings) -> Message:
    """The DatasetFeatureStatisticsList message of the columns of one table."""
    rows = found[0].rows if found else 0
    features = [_feature(s, settings) for s in found]
    return {"datasets": [{"num_examples": str(rows), "features": features}]}


def _feature(s: Summary, settings: TfdvSettings) -> Message:
    common = _common(s, settings)
    path: Message = {"path": {"step": s.name.split(".")}}
    if s.numeric:
        kind = "INT" if s.google.startswith("INT64") else "FLOAT"
        return {**path, "type": kind, "num_stats": _numbers(s, common)}
    return {**path, "type": "STRING", "string_stats": _strings(s, common, settings)}


def _common(s: Summary, settings: TfdvSettings) -> Message:
    shortest, longest, average, total = s.lengths or (1, 1, 1.0, s.count)
    present = s.rows - s.nulls
    if s.array and s.length_quantiles:
        buckets = _quantile_buckets([float(q) for q in s.length_quantiles], present)
    else:
        share = present / settings.num_values_histogram_buckets
        one = {"low_value": 1.0, "high_value": 1.0, "sample_count": share}
        buckets = [dict(one) for _ in range(settings.num_values_histogram_buckets)]
    return {
        "num_non_missing": str(present),
        "num_missing": str(s.nulls),
        "min_num_values": str(shortest),
        "max_num_values": str(longest),
        "avg_num_values": average,
        "num_values_histogram": {"buckets": buckets, "type": "QUANTILES"},
        "tot_num_values": str(total),
    }


def _numbers(s: Summary, common: Message) -> Message:
    histograms: list[Message] = []
    if s.first is not None and s.last is not None:
        width = (s.last - s.first) / len(s.counts)
        standard = [
            {"low_value": s.first + i * width, "high_value": s.first + (i + 1) * width, "sample_count": float(n)}
            for i, n in enumerate(s.counts)
        ]
        standard[-1]["high_value"] = s.last
        histograms.append({"buckets": standard, "type": "STANDARD"})
        quantiles = _quantile_buckets(list(s.quantiles), s.count)
        histograms.append({"buckets": quantiles, "type": "QUANTILES"})
    known = {"mean": s.mean, "std_dev": s.stdev, "min": s.first, "median": s.median, "max": s.last}
    return {
        "common_stats": common,
        **{name: value for name, value in known.items() if value is not None},
        "num_zeros": str(s.zeros or 0),
        "histograms": histograms,
    }


def _quantile_buckets(edges: Sequence[float], count: int) -> list[Message]:
    share = count / (len(edges) - 1)
    return [{"low_value": low, "high_value": high, "sample_count": share} for low, high in itertools.pairwise(edges)]


def _strings(s: Summary, common: Message, settings: TfdvSettings) -> Message:
    top = [{"value": v, "frequency": float(n)} for v, n in s.top[:TOP_VALUES]]
    ranks = [
        {"low_rank": str(i), "high_rank": str(i), "label": v, "sample_count": float(n)}
        for i, (v, n) in enumerate(s.top[: settings.num_rank_histogram_buckets])
    ]
    return {
        "common_stats": common,
        "unique": str(s.unique or 0),
        "top_values": top,
        "avg_length": s.average_length or 0.0,
        "rank_histogram": {"buckets": ranks},
    }


def _run(call: Call) -> Computed:
    settings: TfdvSettings = call.settings
    wanted = Wanted(
        quantiles=settings.num_quantiles_histogram_buckets,
        length_quantiles=settings.num_values_histogram_buckets,
        top=max(TOP_VALUES, settings.num_rank_histogram_buckets),
        buckets=settings.num_histogram_buckets,
    )

    def compute() -> pa.Table:
        with readable(call, call.data) as relation:
            message = statistics_list(summaries(relation, wanted), settings)
        return Fixed.of(COLUMNS, [{COLUMNS[0][0]: json.dumps(message)}]).table

    return Computed(Fixed.of(COLUMNS, ()).columns, compute)


TFDV_DESCRIBE = TableFunction(
    name="ML.TFDV_DESCRIBE",
    doc="Statistics of a table as TensorFlow Data Validation writes them.",
    run=_run,
    settings=TfdvSettings,
    model=False,
    data="required",
)
