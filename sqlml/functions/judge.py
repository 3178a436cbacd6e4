"""Many models over the same held-out rows: their predictions and metrics, for tuning and AutoML.

A model that predicts by a function is called here rather than from SQL. What it takes is read once and serves
every model with the same encoding; and no function is registered that would outlive its trial.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import numbers
from sqlml.database import Database
from sqlml.errors import DataError
from sqlml.functions.measure import (
    EPSILON,
    REGRESSION,
    Outcome,
    Rows,
    classification_metrics,
    outcome,
    regression_metrics,
    stored,
)
from sqlml.functions.scoring import Scored, scored
from sqlml.kernels.metrics import ScoreCounts
from sqlml.kernels.types import F64
from sqlml.models import MODELS
from sqlml.models.base import Label, Score, Trained
from sqlml.relation import LocalRelation
from sqlml.schema import Column

#: Above this many numbers the rows stay in the database.
MOST_CELLS = 20_000_000
#: Metrics of a model over rows, and what else the functions without data need.
Measured = tuple[Mapping[str, float | None], Mapping[str, Any]]
_NUMBERING = itertools.count()


class HeldOut:
    """Rows that judge several models.

    Args:
        relation: the rows, after TRANSFORM.
        label: what is predicted.
        ordered: whether predictions come in the order of the table (`relation` is a table then).
    """

    def __init__(self, database: Database, relation: LocalRelation, label: Label, *, ordered: bool = False):
        self.database, self.label, self.ordered = database, label, ordered
        self.columns, self.source = relation.columns, relation.sql()
        if ordered:
            self.source = f"(SELECT *, rowid AS __row FROM {self.source})"
            self.columns = (*relation.columns, Column("__row", "BIGINT"))
        self.rows = relation.count()
        self._read: dict[Any, tuple[F64, tuple[pa.Array, ...]]] = {}

    def metrics(self, trained: Trained) -> Measured:
        """The metrics of a model (its own TRANSFORM is left out). Raises `DataError` without a labelled row."""
        bare, label = self._bare(trained), self.label
        score = MODELS[bare.model].score(bare)
        if not self._fits(bare):
            rows, found = Rows(self.database), scored(self.database, bare, self.source, self.columns, None, score)
            if not label.classes:
                return regression_metrics(rows, found, label), {}
            result = outcome(rows, found, label)
            return classification_metrics(result), stored(result)
        y, p = self._scores(bare, score)
        if not label.classes:
            return regression_of(y, p), {}
        result = outcome_of(y, p, len(label.classes))
        return classification_metrics(result), stored(result)

    def predictions(self, trained: Trained) -> F64:
        """(n,) numbers or probabilities of the second class, or (n, k)."""
        bare = self._bare(trained)
        return self._scores(bare, MODELS[bare.model].score(bare))[1]

    def _bare(self, trained: Trained) -> Trained:
        """The model over rows that are transformed already, under a name of its own: functions go by it."""
        uid = f"{trained.uid}_{next(_NUMBERING)}"
        return replace(trained, transform=None, inputs=trained.design.columns, uid=uid)

    def _fits(self, trained: Trained) -> bool:
        width = max(len(trained.design.features), len(self.label.classes), 1)
        return self.rows * width <= MOST_CELLS

    def _scores(self, bare: Trained, score: Score) -> tuple[F64, F64]:
        """Labels (NaN: NULL or unknown to training) and predictions of the rows that have a label."""
        k = len(self.label.classes)
        function = score.function
        plain = score.vector == "__f" if k > 2 else score.value(1 if k == 2 else 0) == "__f"
        if function is None or score.let or not plain:
            value = score.list() if k > 2 else score.value(1 if k == 2 else 0)
            y, (column,) = self._fetch(scored(self.database, bare, self.source, self.columns, None, score), (value,))
            return y, _values(column)
        key = (bare.model, function.arguments)
        taken = self._read.get(key)
        if taken is None:
            asked = Score(lookups=score.lookups)
            found = scored(self.database, bare, self.source, self.columns, None, asked)
            taken = self._fetch(found, tuple(f"({sql})::{kind}" for sql, kind in function.arguments))
            if self._fits(bare):
                self._read[key] = taken
        return taken[0], _values(function.call(*taken[1]))

    def _fetch(self, found: Scored, items: tuple[str, ...]) -> tuple[F64, tuple[pa.Array, ...]]:
        """Labels and the values of expressions."""
        Rows(self.database).know(found)
        y = f"({self.label.code if self.label.classes else self.label.sql})::DOUBLE"
        listed = ", ".join(f"{sql} AS v{i}" for i, sql in enumerate(items))
        end = " ORDER BY __row" if self.ordered else ""
        table = self.database.table(f"SELECT {y} AS y, {listed} FROM {found.sql}{end}")
        y_, *values = (_whole(table.column(i)) for i in range(len(items) + 1))
        return numbers(y_), tuple(values)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _values(array: pa.Array) -> F64:
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return numbers(array.flatten().cast(pa.float64())).reshape(len(array), -1)
    return numbers(array.cast(pa.float64()))


# ---------------------------------------------------------------- metrics of arrays


def regression_of(y: F64, p: F64) -> dict[str, float | None]:
    """The six metrics of measure.regression_metrics from labels and predictions (n,); NaN labels are left out."""
    known = ~np.isnan(y)
    y, p = y[known], p[known]
    if not len(y):
        raise DataError("the evaluation must have at least one row with a label.")
    error = y - p
    size, mse, spread = np.abs(error), float(np.mean(error**2)), float(np.var(y))
    msle = float("nan")
    if y.min() > -1.0 and p.min() > -1.0:
        msle = float(np.mean((np.log1p(y) - np.log1p(p)) ** 2))
    middle = (len(y) - 1) // 2  # the lower one of two
    found = (
        float(size.mean()),
        mse,
        msle,
        float(np.partition(size, middle)[middle]),
        1.0 - mse / spread if spread > 0.0 else float("nan"),
        1.0 - float(np.var(error)) / spread if spread > 0.0 else float("nan"),
    )
    return dict(zip(REGRESSION, found, strict=True))


def outcome_of(y: F64, p: F64, k: int) -> Outcome:
    """What measure.outcome counts, from codes (n,), NaN for unknown labels, and probabilities (n,) or (n, k)."""
    if not len(y):
        raise DataError("the evaluation must have at least one row with a label.")
    P = p if p.ndim == 2 else np.column_stack([1.0 - p, p])
    known = ~np.isnan(y)
    actual, P = y[known].astype(np.int64), P[known]
    predicted = P.argmax(axis=1) if k > 2 else (P[:, 1] > 0.5).astype(np.int64)
    confusion = np.bincount(actual * k + predicted, minlength=k * k).reshape(k, k).astype(np.float64)
    loss = -np.log(np.maximum(P[np.arange(len(actual)), actual], EPSILON))
    counts = []
    for j in [1] if k == 2 else range(k):
        score, at = np.unique(P[:, j], return_inverse=True)
        mine = actual == j
        positives = np.bincount(at[mine], minlength=len(score)).astype(np.float64)
        negatives = np.bincount(at[~mine], minlength=len(score)).astype(np.float64)
        counts.append(ScoreCounts(score, positives, negatives))
    by_class = np.bincount(actual, loss, k).astype(np.float64)
    return Outcome(confusion, by_class, tuple(counts), int((~known).sum()))
