"""KMEANS: Lloyd's algorithm, over encoded rows in memory while they are few, over the table itself beyond that.

In memory a step costs what the fastest libraries need; the rows are then kept at most `CACHE_BYTES` large, in
single precision above `DOUBLE_BYTES`. Beyond the limit memory does not grow with the rows: a step is one
GROUP BY inside DuckDB, or, where that would be dear (many centers and columns), a pass over Arrow batches.
On 3 million rows of 10 numbers with 8 centers a step costs 0.54 s of processor time by SQL and 0.31 s over
batches; of 4 numbers with 4 centers 0.17 s either way, and DuckDB uses all cores.

Starting rows are chosen by a hash of their content, so that neither the order of the rows nor the number of
threads matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.encode import Category, Design, Encoding, Number, Set, refuse_overflow
from sqlml.errors import DataError, OptionError, SchemaError, did_you_mean
from sqlml.kernels import kmeans as kernel
from sqlml.kernels.kmeans import Geometry, Packed, Passes, Real, Rows, Step
from sqlml.kernels.types import F64
from sqlml.models.base import (
    Anomalies,
    BatchFunction,
    Fixed,
    Model,
    RegistryOptions,
    Score,
    Task,
    Trained,
    TrainingData,
)
from sqlml.models.blocks import categories, decode
from sqlml.models.kmeans_rows import (
    QUANTILE_ROWS,
    cached,
    cut_of,
    default_clusters,
    first_centers,
    order_statistics,
    packed,
    quantile_sample,
    share_of,
    slices,
    training_rows,
)
from sqlml.models.kmeans_sql import distance_score, geometry, nearest_names, normalized_names, offset, sql_pass
from sqlml.models.networks import arguments, list_array
from sqlml.models.shared_options import TuningOptions
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, find, names, quote_literal

#: Most products (centers x plain columns) that are written as SQL.
SQL_PRODUCTS = 1500
#: Up to so many products a step over numbers alone is faster by SQL than over batches.
FEW_PRODUCTS = 48
ACCEPTS = frozenset({Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP, Kind.STRUCT, Kind.VECTOR, Kind.SET})
METRICS = ("davies_bouldin_index", "mean_squared_distance")
#: Distances that ML.PREDICT lists.
LISTED = 5

_CATEGORY = pa.list_(pa.struct([("category", pa.string()), ("value", pa.float64())]))
CENTROID_COLUMNS = (
    ("centroid_id", "BIGINT", pa.int64()),
    ("feature", "VARCHAR", pa.string()),
    ("numerical_value", "DOUBLE", pa.float64()),
    ("categorical_value", "STRUCT(category VARCHAR, value DOUBLE)[]", _CATEGORY),
    ("geography_value", "VARCHAR", pa.string()),
)
_CLUSTER = pa.struct([("centroid_id", pa.int64()), ("cluster_radius", pa.float64()), ("cluster_size", pa.int64())])
TRAINING_COLUMNS = (
    ("training_run", "BIGINT", pa.int64()),
    ("iteration", "BIGINT", pa.int64()),
    ("loss", "DOUBLE", pa.float64()),
    ("learning_rate", "DOUBLE", pa.float64()),
    ("duration_ms", "BIGINT", pa.int64()),
    (
        "cluster_info",
        "STRUCT(centroid_id BIGINT, cluster_radius DOUBLE, cluster_size BIGINT)[]",
        pa.list_(_CLUSTER),
    ),
)


@dataclass(frozen=True)
class KMeansOptions(TuningOptions, RegistryOptions):
    """Options of KMEANS."""

    num_clusters: int | None = option(
        None, "Number of clusters; log10 of the number of rows by default.", low=2, high=100, tune=Space(2, 10)
    )
    kmeans_init_method: Literal["RANDOM", "KMEANS++", "CUSTOM"] = option(
        "RANDOM", "How the first centers are chosen: random rows, k-means++, or the rows that KMEANS_INIT_COL marks."
    )
    kmeans_init_col: str | None = option(None, "BOOL column that is TRUE in the rows that are the first centers.")
    distance_type: Literal["EUCLIDEAN", "COSINE"] = option("EUCLIDEAN", "How distances are measured.")
    standardize_features: bool = option(True, "Scale numbers to mean 0 and deviation 1.")
    max_iterations: int = option(20, "Upper bound on the number of iterations.", low=1)
    early_stop: bool = option(True, "Stop when an iteration improves the loss by less than MIN_REL_PROGRESS.")
    min_rel_progress: float = option(0.01, "Smallest relative improvement of the loss needed to go on.", low=0.0)
    warm_start: bool = option(False, "Continue the training of the existing model.")


@dataclass(frozen=True, slots=True)
class KMeansState:
    """Clusters, in the coordinates of the design (columns as in `kernels.kmeans.Geometry`).

    Args:
        centers: (k, width): what distances are measured to; unit vectors for cosine.
        means: (k, width): mean of the rows of each cluster; the centers themselves for Euclidean distance.
        counts: (k,): training rows.
        radii: (k,): root mean square distance of the training rows.
        quantiles: evenly spaced order statistics of the training rows' normalised distances, ascending.
    """

    centers: F64
    means: F64
    counts: F64
    radii: F64
    quantiles: F64


class KMeans(Model[KMeansOptions, KMeansState]):
    """K-means clustering."""

    names = ("KMEANS",)
    task = Task.CLUSTERING
    options = KMeansOptions
    state = KMeansState
    doc = "Clusters of similar rows by k-means."

    def encoding(self, options: KMeansOptions) -> Encoding:
        return Encoding("standardize" if options.standardize_features else "as_is", "one_hot", ACCEPTS)

    def check(self, options: KMeansOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        custom = options.kmeans_init_method == "CUSTOM"
        if custom and options.kmeans_init_col is None:
            hint = "add KMEANS_INIT_COL='...', a BOOL column of the training query."
            raise OptionError("KMEANS_INIT_METHOD 'CUSTOM' must come with KMEANS_INIT_COL.", hint=hint)
        if options.kmeans_init_col is None:
            return
        if not custom:
            raise OptionError("KMEANS_INIT_COL must be given only with KMEANS_INIT_METHOD='CUSTOM'.")
        column = find(columns, options.kmeans_init_col)
        if column is None:
            near = did_you_mean(options.kmeans_init_col, names(columns))
            text = f"KMEANS_INIT_COL must name a column of the training query. Got {options.kmeans_init_col}."
            raise SchemaError(text, hint=near)
        if column.type.name != "BOOLEAN":
            raise SchemaError(f"KMEANS_INIT_COL must name a BOOL column. {column.name} is {column.type.google}.")

    def reserved(self, options: KMeansOptions) -> tuple[str, ...]:
        return (options.kmeans_init_col,) if options.kmeans_init_col else ()

    def train(self, data: TrainingData, options: KMeansOptions, run: Run) -> KMeansState:
        for f in data.design.features:
            if isinstance(f, Number):
                refuse_overflow(f.source, f.mean, f.stddev)
        cosine = options.distance_type == "COSINE"
        geo, moves = geometry(data.design, cosine), offset(data.design, cosine)
        start = first_centers(data, options, run, geo) - moves
        kept = data.once("blocks", lambda: cached(data, geo))
        if kept is not None:
            one_pass: Callable[[F64], Step] = Passes(lambda: kept, geo)
        elif len(start) * geo.dense <= (SQL_PRODUCTS if geo.levels else FEW_PRODUCTS):
            one_pass = sql_pass(data.train, data.design, cosine)
        else:
            one_pass = Passes(lambda: packed(data, geo), geo)

        def report(i: int, found: Step) -> None:
            run.report(i, found.loss, cluster_info=_cluster_info(found))

        fit = kernel.lloyd(
            one_pass,
            start,
            max_iterations=options.max_iterations,
            min_progress=options.min_rel_progress if options.early_stop else None,
            report=report,
        )
        found, radii = fit.last, fit.last.radii()
        means = np.where(found.counts[:, None] > 0, found.sums / np.maximum(found.counts, 1.0)[:, None], fit.centers)
        quantiles = _quantiles(data, kept, fit.centers, radii, geo)
        centers = fit.centers + moves
        return KMeansState(centers, means if cosine else centers, found.counts, radii, quantiles)

    # ------------------------------------------------------------ answers

    def score(self, trained: Trained) -> Score:
        """Distances to every center; names `__nearest` (from 1)."""
        score = _distances(trained)
        return _with(score, nearest_names(score, len(trained.state.centers)))

    def prediction_columns(self, trained: Trained) -> tuple[tuple[str, str], ...]:
        score = _distances(trained)
        few = min(len(trained.state.centers), LISTED)
        item = "{'CENTROID_ID': z, 'DISTANCE': y[z]}"
        ranked = f"list_transform(list_grade_up(y)[1:{few}], lambda z: {item})"
        # A list of one element is mapped to bind its value to the name y.
        found = f"list_transform([{score.list()}], lambda y: {ranked})[1]"
        return (("CENTROID_ID", "__nearest"), ("NEAREST_CENTROIDS_DISTANCE", found))

    def anomalies(self, trained: Trained, contamination: float) -> Anomalies:
        """Rows whose distance, measured in radii of the nearest cluster, is larger than most training rows'."""
        score = _distances(trained)
        cut = quote_literal(cut_of(trained.state.quantiles, contamination))
        columns = (
            ("is_anomaly", f"__normalized > {cut}"),
            ("normalized_distance", "__normalized"),
            ("centroid_id", "__closest"),
        )
        return Anomalies(_with(score, normalized_names(score, trained.state.radii)), columns)

    def usual(self, name: str, rows: int) -> object:
        return default_clusters(rows) if name == "num_clusters" else None

    def objectives(self, options: KMeansOptions) -> tuple[str, ...]:
        return ("DAVIES_BOULDIN_INDEX",)

    def metric_names(self, trained: Trained) -> tuple[str, ...]:
        return METRICS

    def training_metrics(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        state = trained.state
        return _metrics(trained, Step(state.counts, state.means, state.radii**2 * state.counts))

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        cosine = trained.options.distance_type == "COSINE"
        design, moves = trained.design, offset(trained.design, cosine)
        geo = geometry(design, cosine)

        def blocks() -> Iterator[Packed]:
            for rows in training_rows(data, design, moves, trained_rows=False):
                yield kernel.packed(rows, geo)

        found = Passes(blocks, geo)(trained.state.centers - moves)
        if not found.counts.sum():
            raise DataError("the evaluation must have at least one row.")
        return _metrics(trained, found)

    def centroids(self, trained: Trained, standardize: bool) -> Fixed:
        """The rows of ML.CENTROIDS."""
        rows = []
        for i, mean in enumerate(trained.state.means):
            about: dict[str, Any] = {"centroid_id": i + 1, "geography_value": None}
            rows += [{**about, **r} for r in _features(trained.design, mean, standardize)]
        return Fixed.of(CENTROID_COLUMNS, rows)

    def training_info(self, trained: Trained) -> Fixed:
        rows = []
        for i in reversed(trained.iterations):
            row = {name: getattr(i, name) for name, _, _ in TRAINING_COLUMNS[:-1]}
            rows.append({**row, "cluster_info": i.extra.get("cluster_info")})
        return Fixed.of(TRAINING_COLUMNS, rows)


# ---------------------------------------------------------------- results


def _cluster_info(found: Step) -> list[dict[str, object]]:
    return [
        {"centroid_id": j + 1, "cluster_radius": float(r), "cluster_size": int(n)}
        for j, (r, n) in enumerate(zip(found.radii(), found.counts, strict=True))
    ]


def _quantiles(data: TrainingData, kept: Sequence[Packed] | None, centers: F64, radii: F64, geo: Geometry) -> F64:
    """Order statistics of the rows' normalised distances, or of a share of many rows."""
    every, moves = 1 + data.rows // QUANTILE_ROWS, offset(data.design, geo.cosine)

    def values(rows: Rows) -> Real:
        return kernel.normalized(kernel.square_distances(rows, centers, geo), radii)

    def everything() -> Iterator[Real]:
        for rows in (p.rows() for p in kept) if kept is not None else training_rows(data.train, data.design, moves):
            yield values(rows)

    if every == 1:
        return order_statistics(everything())
    if kept is not None and data.sample is None:
        return order_statistics((values(share_of(p.rows(), every)) for p in kept), everything)
    some = training_rows(quantile_sample(data), data.design, moves)
    return order_statistics((values(rows) for rows in some), everything)


def _metrics(trained: Trained, found: Step) -> Mapping[str, float | None]:
    cosine = trained.options.distance_type == "COSINE"
    index = kernel.davies_bouldin(trained.state.centers, found.radii(), cosine)
    return dict(zip(METRICS, (index, found.loss), strict=True))


def _features(design: Design, mean: F64, standardize: bool) -> list[dict[str, Any]]:
    """A center feature by feature: numbers in original units, shares of the categories that occur."""
    found = []
    for f, at in slices(design).items():
        row: dict[str, Any] = {"feature": f.name, "numerical_value": None, "categorical_value": []}
        values = mean[at]
        if isinstance(f, Number):
            value = float(values[0]) * f.scale + f.shift
            if standardize:
                value = (value - f.mean) / f.stddev if f.stddev > 0.0 else 0.0
            row["numerical_value"] = value
        else:
            listed = f.levels if isinstance(f, (Category, Set)) else tuple(str(i) for i in range(f.width))
            keep = [v > 0.0 or not isinstance(f, (Category, Set)) for v in values]
            row["categorical_value"] = [
                {"category": "_null_filler" if n is None else n, "value": float(v)}
                for n, v, k in zip(listed, values, keep, strict=True)
                if k
            ]
        found.append(row)
    return found


def _with(score: Score, more: Sequence[tuple[str, str]]) -> Score:
    return Score(score.values, score.vector, (*score.let, *more), score.lookups, score.function)


def _distances(trained: Trained) -> Score:
    """A row's distances to all centers, as SQL or, when there would be too much of it, by a function."""
    cosine = trained.options.distance_type == "COSINE"
    geo, centers = geometry(trained.design, cosine), trained.state.centers
    scalars = sum(f.width for f in trained.design.features if isinstance(f, (Number, Set)))
    if len(centers) * (scalars + len(categories(trained.design))) <= SQL_PRODUCTS:
        return distance_score(trained.design, centers, cosine)
    moves = offset(trained.design, cosine)

    def run(*arrays: pa.Array) -> pa.Array:
        X, codes = decode(trained.design, {f"f{i}": a for i, a in enumerate(arrays)})
        found = kernel.square_distances(Rows(X - moves[: geo.dense], codes), centers - moves, geo)
        return list_array(np.ascontiguousarray(np.sqrt(np.asarray(found, dtype=np.float64)).T))

    return Score(vector="__f", function=BatchFunction(run, arguments(trained.design), "DOUBLE[]"))
