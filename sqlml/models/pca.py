"""PCA: principal components from one pass of sums over the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.encode import Category, Design, Encoding, Number, Set
from sqlml.errors import DataError, OptionError
from sqlml.kernels import pca as kernel
from sqlml.kernels.gram import Gram
from sqlml.kernels.kmeans import Rows
from sqlml.kernels.pca import Components
from sqlml.kernels.threads import one_blas_thread
from sqlml.kernels.types import F64
from sqlml.models.base import (
    Anomalies,
    BatchFunction,
    Fixed,
    Model,
    Place,
    RegistryOptions,
    Score,
    Task,
    Trained,
    TrainingData,
)
from sqlml.models.blocks import Block, decode, dense_width, read
from sqlml.models.glm import linear_score
from sqlml.models.kmeans import ACCEPTS
from sqlml.models.kmeans_rows import QUANTILE_ROWS, cut_of, order_statistics, quantile_sample, share_of, training_rows
from sqlml.models.moments import BlockGram, Layout, known_moments, layout, linear_predictor, sql_moments, with_levels
from sqlml.models.networks import arguments, list_array
from sqlml.models.shared_options import ExampleOptions
from sqlml.options import option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, quote_literal

#: Most encoded columns of PCA_SOLVER='FULL'; the eigenvectors of a dense matrix of this size take seconds.
FULL_COLUMNS = 1500
#: Most components of PCA_SOLVER='RANDOMIZED'.
MOST_COMPONENTS = 10_000
#: Up to so many plain columns the levels are summed by SQL groups, beyond that over batches of whole rows.
SQL_COLUMNS = 48
#: Up to so many plain columns their products are summed by SQL, beyond that by BLAS over batches.
FEW_COLUMNS = 4
SQL_ROWS = 20_000
#: Most products of a prediction that are written as SQL.
SQL_PRODUCTS = 1500

_CATEGORY = pa.list_(pa.struct([("category", pa.string()), ("value", pa.float64())]))
COMPONENT_COLUMNS = (
    ("principal_component_id", "BIGINT", pa.int64()),
    ("feature", "VARCHAR", pa.string()),
    ("numerical_value", "DOUBLE", pa.float64()),
    ("categorical_value", "STRUCT(category VARCHAR, value DOUBLE)[]", _CATEGORY),
)
VARIANCE_COLUMNS = (
    ("principal_component_id", "BIGINT", pa.int64()),
    *(
        (n, "DOUBLE", pa.float64())
        for n in ("eigenvalue", "explained_variance_ratio", "cumulative_explained_variance_ratio")
    ),
)


@dataclass(frozen=True)
class PcaOptions(RegistryOptions, ExampleOptions):
    """Options of PCA."""

    num_principal_components: int | None = option(None, "Number of components to keep.", low=1)
    pca_explained_variance_ratio: float | None = option(
        None, "Keep as many components as explain this share of the variance.", above=0.0, below=1.0
    )
    scale_features: bool = option(True, "Scale numbers to deviation 1; their mean is always subtracted.")
    pca_solver: Literal["FULL", "RANDOMIZED", "AUTO"] = option(
        "AUTO", "Exact eigenvectors, or iterations for wide data; AUTO decides by the encoded columns."
    )


@dataclass(frozen=True, slots=True)
class PcaState:
    """Components over the columns of `Layout` (plain columns, then levels).

    Args:
        vectors: (k, width), orthonormal rows.
        values: (k,): eigenvalues of X'X / (n - 1), descending.
        total: sum of all eigenvalues.
        quantiles: evenly spaced order statistics of the training rows' reconstruction errors, ascending.
    """

    vectors: F64
    values: F64
    total: float
    quantiles: F64


class Pca(Model[PcaOptions, PcaState]):
    """Principal component analysis."""

    names = ("PCA",)
    task = Task.REDUCTION
    options = PcaOptions
    state = PcaState
    doc = "Principal components: few columns that keep most of the variance."
    evaluates_rows = False

    def encoding(self, options: PcaOptions) -> Encoding:
        return Encoding("standardize" if options.scale_features else "center", "one_hot", ACCEPTS)

    def check(self, options: PcaOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        count, ratio = options.num_principal_components, options.pca_explained_variance_ratio
        if count is None and ratio is None:
            hint = "add NUM_PRINCIPAL_COMPONENTS=2 (or another number) to OPTIONS."
            text = "NUM_PRINCIPAL_COMPONENTS or PCA_EXPLAINED_VARIANCE_RATIO must be given."
            raise OptionError(text, hint=hint)
        if count is not None and ratio is not None:
            text = "PCA_EXPLAINED_VARIANCE_RATIO must not be given together with NUM_PRINCIPAL_COMPONENTS."
            raise OptionError(text)

    def takes_products(self, options: PcaOptions, rows: int, numbers: int) -> bool:
        return rows >= SQL_ROWS and numbers <= SQL_COLUMNS

    def train(self, data: TrainingData, options: PcaOptions, run: Run) -> PcaState:
        lay = layout(data.design, False)
        wanted, most = options.num_principal_components, min(data.rows, lay.size, MOST_COMPONENTS)
        if wanted is not None and wanted > most:
            text = "NUM_PRINCIPAL_COMPONENTS must not be larger than the number of rows and of encoded columns."
            raise DataError(f"{text} Got {wanted}, for {data.rows} and {lay.size}.")
        if options.pca_solver == "FULL" and lay.size > FULL_COLUMNS:
            hint = "use PCA_SOLVER='RANDOMIZED' or 'AUTO'."
            text = f"PCA_SOLVER 'FULL' must have at most {FULL_COLUMNS} encoded columns. The features have {lay.size}."
            raise OptionError(text, hint=hint)
        passed = _read(data, lay)
        gram, n = passed.gram, max(data.rows - 1, 1)
        total = float(gram.diagonal().sum()) / n
        if total <= 0.0:
            raise DataError("the features must vary. Every column has one value in all rows.")
        if options.pca_solver == "FULL" or (options.pca_solver == "AUTO" and lay.size <= FULL_COLUMNS):
            found = kernel.full(gram.matrix() / n)
        else:
            found = _iterated(gram, n, total, options, most, run)
        ratio = options.pca_explained_variance_ratio
        k = wanted if ratio is None else kernel.enough(found.values[:most], total, ratio)
        assert k is not None
        found = found.first(k)
        run.report(0, max(1.0 - float(found.values.sum()) / total, 0.0))
        return PcaState(found.vectors, found.values, total, _quantiles(data, lay, found, passed.rows))

    # ------------------------------------------------------------ answers

    def score(self, trained: Trained) -> Score:
        """The components of a row, names `__eta<j>` or the list `__f`."""
        lay, vectors = layout(trained.design, False), trained.state.vectors
        if vectors.size > SQL_PRODUCTS:
            function = _function(trained, "score", lambda block: linear_predictor(block, lay, vectors))
            return Score(vector="__f", function=function)
        found = linear_score(trained.design, lay, vectors)
        names = tuple(f"__eta{j}" for j in range(len(vectors)))
        return Score(names, let=found.let, lookups=found.lookups)

    def prediction_columns(self, trained: Trained) -> tuple[tuple[str, str], ...]:
        score = self.score(trained)
        return tuple((f"principal_component_{i + 1}", score.value(i)) for i in range(len(trained.state.values)))

    def embedding(self, trained: Trained) -> str:
        """SQL of the components of a row as an array, over the score."""
        return self.score(trained).list()

    def place(self, trained: Trained) -> Place:
        """The components."""
        return Place(self.embedding(trained))

    def anomalies(self, trained: Trained, contamination: float) -> Anomalies:
        """Rows whose reconstruction error is larger than most training rows'."""
        cut = quote_literal(cut_of(trained.state.quantiles, contamination))
        columns = (("is_anomaly", f"__error > {cut}"), ("mean_squared_error", "__error"))
        design, lay, vectors = trained.design, layout(trained.design, False), trained.state.vectors
        if vectors.size > SQL_PRODUCTS:

            def errors(block: Block) -> F64:
                return reconstruction_errors(block, lay, vectors, len(design.columns))[:, None]

            return Anomalies(
                Score(vector="__f", function=_function(trained, "error", errors), let=(("__error", "__f[1]"),)), columns
            )
        # One more vector counts the squares of the one-hot entries; those of the numbers are written out.
        ones = np.ones(lay.size)
        numbers, at = [], 0
        for f in design.features:
            if isinstance(f, Category):
                continue
            if not isinstance(f, Set):
                ones[at : at + f.width] = 0.0
                elements = [f.scaled()] if isinstance(f, Number) else [f.element(i) for i in range(f.width)]
                numbers += elements
            at += f.width
        found = linear_score(design, lay, np.vstack([vectors, ones]))
        let = [*((f"__z{i}", sql) for i, sql in enumerate(numbers)), *found.let]
        squares = [*(f"__z{i} * __z{i}" for i in range(len(numbers))), f"__eta{len(vectors)}"]
        kept = " + ".join(f"__eta{j} * __eta{j}" for j in range(len(vectors)))
        inputs = quote_literal(float(len(design.columns)))
        error = f"greatest(({' + '.join(squares)}) - ({kept}), 0.0::DOUBLE) / {inputs}"
        return Anomalies(Score(let=(*let, ("__error", error)), lookups=found.lookups), columns)

    def metric_names(self, trained: Trained) -> tuple[str, ...]:
        return ("total_explained_variance_ratio",)

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        """The share of the training rows' variance that the components keep; the rows are not read again."""
        return {"total_explained_variance_ratio": min(float(trained.state.values.sum()) / trained.state.total, 1.0)}

    def principal_components(self, trained: Trained) -> Fixed:
        """The rows of ML.PRINCIPAL_COMPONENTS."""
        rows = []
        for i, vector in enumerate(trained.state.vectors):
            rows += [{"principal_component_id": i, **r} for r in _loadings(trained.design, vector)]
        return Fixed.of(COMPONENT_COLUMNS, rows)

    def principal_component_info(self, trained: Trained) -> Fixed:
        """The rows of ML.PRINCIPAL_COMPONENT_INFO."""
        values, total = trained.state.values, trained.state.total
        shares, summed = values / total, np.minimum(np.cumsum(values) / total, 1.0)
        columns = zip(range(len(values)), values.tolist(), shares.tolist(), summed.tolist(), strict=True)
        names = [name for name, _, _ in VARIANCE_COLUMNS]
        return Fixed.of(VARIANCE_COLUMNS, [dict(zip(names, row, strict=True)) for row in columns])


# ---------------------------------------------------------------- training


@dataclass(frozen=True, slots=True)
class _Read:
    """X'X, and a share of the rows when they were read anyway."""

    gram: Gram
    rows: tuple[Rows, ...] | None = None


def _read(data: TrainingData, lay: Layout) -> _Read:
    """One pass: products by BLAS over batches, or by SQL sums when there are few; levels by SQL groups."""
    if data.rows < SQL_ROWS or lay.lead > SQL_COLUMNS:
        sums = BlockGram(lay)
        for block in read(data.train, data.design):
            sums.add(block, np.ones(len(block)))
        return _Read(sums.gram())
    known = known_moments(data, lay)
    if known is not None and known.gram is not None:
        return _Read(with_levels(data.train, data.design, lay, known.gram.dense))
    if lay.lead <= FEW_COLUMNS:
        gram = sql_moments(data.train, data.design, lay, targets=[]).gram
        assert gram is not None
        return _Read(gram)
    plain = Design(tuple(f for f in data.design.features if not isinstance(f, Category)), data.design.columns)
    dense, kept = np.zeros((lay.lead, lay.lead)), []
    with one_blas_thread():
        for rows in training_rows(data.train, plain, np.zeros(lay.lead)):
            dense += rows.X.T @ rows.X
            if not lay.categories:
                kept.append(share_of(rows, 1 + data.rows // QUANTILE_ROWS))
    return _Read(with_levels(data.train, data.design, lay, dense), tuple(kept) if kept else None)


def _iterated(gram: Gram, n: int, total: float, options: PcaOptions, most: int, run: Run) -> Components:
    """The leading components by products with the Gram blocks: of a ratio, twice as many until they reach it."""
    product = gram.operator()

    def apply(v: F64) -> F64:
        return np.column_stack([product(column) for column in v.T]) / n

    k = options.num_principal_components or min(32, most)
    while True:
        found = kernel.randomized(apply, gram.size, k, generator=run.generator())
        ratio = options.pca_explained_variance_ratio
        if ratio is None or k == most or found.values.sum() >= ratio * total:
            return found
        k = min(2 * k, most)


def reconstruction_errors(block: Block, lay: Layout, vectors: F64, features: int) -> F64:
    """(n,): |x - V'V x|^2 / number of input columns."""
    y = linear_predictor(block, lay, vectors)
    square = np.einsum("ij,ij->i", block.dense, block.dense)
    for code in block.codes:
        square += code >= 0
    return np.maximum(square - np.einsum("ij,ij->i", y, y), 0.0) / features


def _quantiles(data: TrainingData, lay: Layout, found: Components, rows: tuple[Rows, ...] | None) -> F64:
    """Evenly spaced order statistics of the errors of the rows, or of a sample of many."""
    features = len(data.design.columns)

    def errors(blocks: Iterable[Block]) -> Iterator[F64]:
        return (reconstruction_errors(b, lay, found.vectors, features) for b in blocks)

    def everything() -> Iterator[F64]:
        return errors(read(data.train, data.design))

    if data.rows <= QUANTILE_ROWS:
        return order_statistics(everything())
    if rows is not None:
        kept = (Block(r.X.astype(np.float64, copy=False), r.codes, {}) for r in rows)
        return order_statistics(errors(kept), everything)
    return order_statistics(errors(read(quantile_sample(data), data.design)), everything)


# ---------------------------------------------------------------- results


def _function(trained: Trained, name: str, call: Callable[[Block], F64]) -> BatchFunction:
    """A function of encoded rows that gives (n, k), as DOUBLE[]."""

    def run(*arrays: pa.Array) -> pa.Array:
        dense, codes = decode(trained.design, {f"f{i}": a for i, a in enumerate(arrays)})
        return list_array(np.ascontiguousarray(call(Block(dense, codes, {}))))

    return BatchFunction(run, arguments(trained.design), "DOUBLE[]", name)


def _loadings(design: Design, vector: F64) -> list[dict[str, Any]]:
    """A component feature by feature."""
    found = []
    at, start = 0, dense_width(design)
    for f in design.features:
        row: dict[str, Any] = {"feature": f.name, "numerical_value": None, "categorical_value": []}
        if isinstance(f, Category):
            values, levels = vector[start : start + len(f.levels)], f.levels
            start += len(f.levels)
        else:
            values = vector[at : at + f.width]
            at += f.width
            levels = f.levels if isinstance(f, Set) else tuple(str(i) for i in range(f.width))
        if isinstance(f, Number):
            row["numerical_value"] = float(values[0])
        else:
            row["categorical_value"] = [
                {"category": "_null_filler" if n is None else n, "value": float(v)}
                for n, v in zip(levels, values, strict=True)
            ]
        found.append(row)
    return found
