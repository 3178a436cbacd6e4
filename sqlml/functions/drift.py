"""ML.VALIDATE_DATA_DRIFT and ML.VALIDATE_DATA_SKEW: how far two sets of data are apart, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from sqlml.errors import NotSupportedError, OptionError, SchemaError, did_you_mean
from sqlml.functions.base import Call, Computed, TableFunction
from sqlml.functions.summary import MOST_VALUES, Summary, Wanted, readable, summaries
from sqlml.kernels.drift import (
    Histogram,
    jensen_shannon_of_categories,
    jensen_shannon_of_histograms,
    l_infinity,
)
from sqlml.models.base import Fixed, Task
from sqlml.models.profile import ColumnProfile
from sqlml.options import option
from sqlml.relation import LocalRelation
from sqlml.schema import Column, quote_name

COLUMNS = (
    ("input", "VARCHAR", pa.string()),
    ("metric", "VARCHAR", pa.string()),
    ("threshold", "DOUBLE", pa.float64()),
    ("value", "DOUBLE", pa.float64()),
    ("is_anomaly", "BOOLEAN", pa.bool_()),
)
_JENSEN_SHANNON = "JENSEN_SHANNON_DIVERGENCE"
#: Buckets of a number's histogram, and the categories that are compared.
BUCKETS, RANKS = 10, 50
#: The most rows whose values are kept with a model.
PROFILE_ROWS = 200_000
_LINK = "there is no cloud console to link to."


@dataclass(frozen=True)
class SkewSettings:
    """Settings of ML.VALIDATE_DATA_SKEW."""

    categorical_default_threshold: float = option(
        0.3, "Distance from which a column of categories is anomalous.", low=0.0, below=1.0
    )
    categorical_metric_type: Literal["L_INFTY", "JENSEN_SHANNON_DIVERGENCE"] = option(
        "L_INFTY", "Distance between columns of categories."
    )
    numerical_default_threshold: float = option(
        0.3, "Distance from which a column of numbers is anomalous.", low=0.0, below=1.0
    )
    numerical_metric_type: Literal["JENSEN_SHANNON_DIVERGENCE"] = option(
        "JENSEN_SHANNON_DIVERGENCE", "Distance between columns of numbers."
    )
    thresholds: tuple[tuple[str, float], ...] = option((), "Thresholds of single columns: [('column', 0.1)].")
    enable_visualization_link: bool = option(False, "Add a link to the cloud console; only FALSE is possible here.")


@dataclass(frozen=True)
class DriftSettings(SkewSettings):
    """Settings of ML.VALIDATE_DATA_DRIFT."""

    num_histogram_buckets: int = option(BUCKETS, "Equally wide buckets of numbers.", low=1, high=1000)
    num_quantiles_histogram_buckets: int = option(
        BUCKETS, "Quantile buckets of numbers; distances do not depend on them.", low=1, high=1000
    )
    num_values_histogram_buckets: int = option(
        BUCKETS, "Quantile buckets of array lengths; distances do not depend on them.", low=1, high=1000
    )
    num_rank_histogram_buckets: int = option(
        RANKS, "Most frequent categories of each side that are compared.", low=1, high=10_000
    )


def profile_of(s: Summary) -> ColumnProfile:
    """What a distance reads of a summary."""
    values, frequencies = tuple(v for v, _ in s.top), tuple(n for _, n in s.top)
    return ColumnProfile(s.name, s.numeric, s.count, s.first, s.last, s.counts, values, frequencies)


def profiles(relation: LocalRelation, only: Sequence[str] | None = None, buckets: int = BUCKETS) -> list[ColumnProfile]:
    """The distribution of every column."""
    wanted = Wanted(moments=False, top=MOST_VALUES, buckets=buckets)
    return [profile_of(s) for s in summaries(relation, wanted, only)]


def training_profiles(relation: LocalRelation, features: Sequence[Column], rows: int) -> tuple[ColumnProfile, ...]:
    """What ML.VALIDATE_DATA_SKEW compares with; of rows chosen by their content when there are many."""
    if not features:
        return ()
    if rows <= PROFILE_ROWS:
        return tuple(profiles(relation, [c.name for c in features]))
    names = [quote_name(c.name) for c in features]
    chosen = f"hash({', '.join(names[:2])}) % {1 + rows // PROFILE_ROWS} = 0"
    database = relation.database
    kept = database.snapshot(f"SELECT {', '.join(names)} FROM {relation.where(chosen).sql()}")
    try:
        part = LocalRelation(database, kept, tuple(features))
        # Rows that differ too little to choose among them are all read.
        some = part.count() > PROFILE_ROWS // 20
        return tuple(profiles(part if some else relation, [c.name for c in features]))
    finally:
        database.drop_snapshot(kept)


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one column is from the other side's."""

    name: str
    metric: str
    threshold: float
    value: float

    @property
    def anomalous(self) -> bool:
        """Whether the distance is above the threshold."""
        return self.value > self.threshold


def distance(
    base: ColumnProfile, study: ColumnProfile, metric: str, ranks: int | None = None
) -> tuple[str, float] | None:
    """(metric, value) of two profiles; None where types differ and the metric cannot compare them."""
    if base.numeric and study.numeric:
        return _JENSEN_SHANNON, _numbers(base, study)
    if base.numeric != study.numeric and metric == _JENSEN_SHANNON:
        return None
    p, q = _shares(base), _shares(study)
    if ranks is not None:
        compared = {*list(p)[:ranks], *list(q)[:ranks]}
        p, q = ({k: v for k, v in side.items() if k in compared} for side in (p, q))
    if metric == "L_INFTY":
        return metric, l_infinity(p, q)
    return metric, jensen_shannon_of_categories(p, q)


def _numbers(base: ColumnProfile, study: ColumnProfile) -> float:
    if base.low is None or base.high is None or study.low is None or study.high is None:
        return 0.0 if base.low is study.low else 1.0
    return jensen_shannon_of_histograms(
        Histogram.even(base.low, base.high, base.counts), Histogram.even(study.low, study.high, study.counts)
    )


def _shares(profile: ColumnProfile) -> dict[str, float]:
    pairs = zip(profile.values, profile.frequencies, strict=True)
    return {v: n / profile.count for v, n in pairs} if profile.count else {}


def compared(
    base: Sequence[ColumnProfile], study: Sequence[ColumnProfile], settings: SkewSettings, ranks: int | None = None
) -> list[Distance]:
    """The distances of the columns that both sides have, in the order of the base."""
    limits = {name.casefold(): limit for name, limit in settings.thresholds}
    other = {p.name.casefold(): p for p in study}
    found = []
    for a in base:
        b = other.get(a.name.casefold())
        measured = distance(a, b, settings.categorical_metric_type, ranks) if b is not None else None
        if measured is None:
            continue
        metric, value = measured
        both = a.numeric and b is not None and b.numeric
        default = settings.numerical_default_threshold if both else settings.categorical_default_threshold
        found.append(Distance(a.name, metric, limits.get(a.name.casefold(), default), value))
    return found


def _check(call: Call, names: Sequence[str]) -> None:
    """Thresholds must name columns and lie in [0, 1)."""
    known = {n.casefold() for n in names}
    for name, limit in call.settings.thresholds:
        place = call.places.get("thresholds", call.span)
        if name.casefold() not in known:
            hint = did_you_mean(name, names)
            raise OptionError(f"THRESHOLDS must name columns of both sides. Got {name}.", span=place, hint=hint)
        if not 0 <= limit < 1:
            raise OptionError(f"THRESHOLDS must be at least 0 and less than 1. Got {limit:g}.", span=place)
    if call.settings.enable_visualization_link:
        place = call.places.get("enable_visualization_link", call.span)
        raise NotSupportedError(f"ENABLE_VISUALIZATION_LINK is not supported: {_LINK}", span=place)


def _computed(find: Callable[[], list[Distance]]) -> Computed:
    def compute() -> pa.Table:
        rows: list[dict[str, Any]] = [
            {"input": d.name, "metric": d.metric, "threshold": d.threshold, "value": d.value, "is_anomaly": d.anomalous}
            for d in find()
        ]
        return Fixed.of(COLUMNS, rows).table

    return Computed(Fixed.of(COLUMNS, ()).columns, compute)


def _drift(call: Call) -> Computed:
    if len(call.sources) < 2:
        hint = f"write {call.name}(TABLE base, TABLE study)."
        raise SchemaError(f"{call.name} must be given two tables.", span=call.span, hint=hint)
    base, study = call.sources["base"], call.sources["study"]
    other = {c.name.casefold() for c in study.columns}
    common = [c.name for c in base.columns if c.name.casefold() in other]
    if not common:
        raise SchemaError(f"the two sides of {call.name} must have a column in common.", span=study.span)
    settings: DriftSettings = call.settings
    _check(call, common)

    def find() -> list[Distance]:
        found = []
        for side in (base, study):
            with readable(call, side) as relation:
                found.append(profiles(relation, buckets=settings.num_histogram_buckets))
        return compared(found[0], found[1], settings, settings.num_rank_histogram_buckets)

    return _computed(find)


def _skew(call: Call) -> Computed:
    saved = call.model.profile
    if not saved:
        text = f"{call.name} needs the statistics of the training data, which {call.model.path} does not have."
        raise NotSupportedError(text, span=call.span, hint="train the model again.")
    if call.model.training_run:
        text = f"{call.name} does not work on models that were trained with WARM_START."
        raise NotSupportedError(text, span=call.span)
    other = {c.name.casefold() for c in call.data.columns}
    names = [p.name for p in saved if p.name.split(".")[0].casefold() in other]
    if not names:
        raise SchemaError(f"the input of {call.name} must have a feature of the model.", span=call.data.span)
    _check(call, names)

    def find() -> list[Distance]:
        with readable(call, call.data) as relation:
            return compared(saved, profiles(relation), call.settings)

    return _computed(find)


VALIDATE_DATA_DRIFT = TableFunction(
    name="ML.VALIDATE_DATA_DRIFT",
    doc="Distances between the columns of two tables, and which are anomalous.",
    run=_drift,
    settings=DriftSettings,
    model=False,
    sources=("base", "study"),
)
VALIDATE_DATA_SKEW = TableFunction(
    name="ML.VALIDATE_DATA_SKEW",
    doc="Distances between the training data of a model and other data, and which are anomalous.",
    run=_skew,
    settings=SkewSettings,
    data="required",
    tasks=frozenset({Task.REGRESSION, Task.CLASSIFICATION, Task.CLUSTERING, Task.REDUCTION, Task.TRANSFORM}),
)
