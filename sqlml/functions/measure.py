"""Metrics of a model over rows, by SQL aggregates; used by ML.EVALUATE and at the end of training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlml.arrow import numbers
from sqlml.database import Database
from sqlml.errors import DataError
from sqlml.functions.scoring import Scored, predicted_code
from sqlml.kernels.metrics import ScoreCounts, binary_metrics, macro_metrics, roc_auc
from sqlml.kernels.types import F64
from sqlml.models.base import Label
from sqlml.schema import quote_name

REGRESSION = (
    "mean_absolute_error",
    "mean_squared_error",
    "mean_squared_log_error",
    "median_absolute_error",
    "r2_score",
    "explained_variance",
)
CLASSIFICATION = ("precision", "recall", "accuracy", "f1_score", "log_loss", "roc_auc")

#: Above this many rows scores are rounded to six decimals before they are counted, and the median error is
#: taken from a sample chosen by content.
EXACT_ROWS = 2_000_000
SAMPLE_ROWS = 500_000
#: Probabilities are clipped here in the log loss.
EPSILON = 1e-15


@dataclass(frozen=True, slots=True)
class Rows:
    """Where scored rows lie: a database, a scope (WITH prefix) and the parameters of the statement."""

    database: Database
    scope: str = ""
    parameters: Any = None

    def table(self, select: str) -> list[dict[str, Any]]:
        """The rows of a query as dictionaries."""
        found = self.database.table(f"{self.scope} {select}".strip(), self.parameters)
        return found.to_pylist()

    def know(self, scored: Scored) -> None:
        """Register the score's tables."""
        for name, table in scored.tables.items():
            self.database.keep(name, table)


def regression_metrics(rows: Rows, scored: Scored, label: Label, weight: str | None = None) -> dict[str, float | None]:
    """The six regression metrics. Raises `DataError` without a row that has a label."""
    rows.know(scored)
    inner = f"SELECT {label.sql} AS y, {scored.score.value(0)} AS p FROM {scored.sql}"
    first = rows.table(f"SELECT count(y) AS n, min(y) AS low FROM ({inner})")[0]
    n = int(first["n"] or 0)
    if n == 0:
        raise DataError("the evaluation must have at least one row with a label.")
    items = {
        "mae": "avg(abs(y - p))",
        "mse": "avg((y - p) * (y - p))",
        "me": "avg(y - p)",
        "vy": "var_pop(y)",
        # Rows of a large set are chosen by label and prediction; float32 hides the last bits of the prediction.
        "median": "quantile_disc(abs(y - p), 0.5)"
        + ("" if n <= EXACT_ROWS else f" FILTER (WHERE hash(y, p::FLOAT) % {1 + n // SAMPLE_ROWS} = 0)"),
    }
    if first["low"] > -1:
        items["below"] = "count_if(p <= -1)"
        items["msle"] = "avg(CASE WHEN p > -1 THEN pow(ln(1 + y) - ln(1 + greatest(p, -1 + 1e-300)), 2) END)"
    select = ", ".join(f"{sql} AS {name}" for name, sql in items.items())
    found = rows.table(f"SELECT {select} FROM ({inner}) WHERE y IS NOT NULL")[0]
    spread, nan = float(found["vy"] or 0.0), float("nan")
    return {
        "mean_absolute_error": found["mae"],
        "mean_squared_error": found["mse"],
        "mean_squared_log_error": found["msle"] if found.get("below") == 0 else nan,
        "median_absolute_error": found["median"],
        "r2_score": 1.0 - found["mse"] / spread if spread > 0.0 else nan,
        "explained_variance": 1.0 - max(found["mse"] - found["me"] ** 2, 0.0) / spread if spread > 0.0 else nan,
    }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a classifier did on some rows.

    Args:
        confusion: (k, k) rows by actual and predicted class, of rows whose label training had.
        log_loss: per class, (k,): sum of -ln p(actual) over its rows.
        counts: scores of each class against the rest (for two classes only of the positive one).
        unknown: rows whose label training did not have.
    """

    confusion: F64
    log_loss: F64
    counts: tuple[ScoreCounts, ...]
    unknown: int


def outcome(rows: Rows, scored: Scored, label: Label, threshold: float | None = None) -> Outcome:
    """Count what a classifier predicts. Raises `DataError` without a labelled row."""
    k = len(label.classes)
    predicted = predicted_code(scored.score, label, threshold)
    inner = f"SELECT {label.code} AS y, {predicted} AS c, {scored.score.list()} AS p FROM {scored.sql}"
    inner += f" WHERE {_not_null(label)}"
    rows.know(scored)
    name = rows.database.snapshot(f"{rows.scope} {inner}".strip(), rows.parameters)
    try:
        return _outcome(rows.database, name, k)
    finally:
        rows.database.drop_snapshot(name)


def _not_null(label: Label) -> str:
    return f"{quote_name(label.name)} IS NOT NULL"


def _outcome(database: Database, name: str, k: int) -> Outcome:
    confusion, log_loss, unknown = np.zeros((k, k)), np.zeros(k), 0
    found = database.execute(
        f"SELECT y, c, count(*), sum(-ln(greatest(p[y + 1], {EPSILON!r}))) FROM {name} GROUP BY y, c"
    )
    total = 0
    for y, c, n, loss in found:
        total += n
        if y is None:
            unknown += n
        else:
            confusion[y, c] += n
            log_loss[y] += loss
    if total == 0:
        raise DataError("the evaluation must have at least one row with a label.")
    counts = []
    for j in [1] if k == 2 else range(k):
        score = f"p[{j + 1}]" if total <= EXACT_ROWS else f"round(p[{j + 1}], 6)"
        table = database.table(
            f"SELECT {score} AS s, count_if(y = {j}) AS pos, count_if(y <> {j}) AS neg FROM {name}"
            " WHERE y IS NOT NULL GROUP BY s ORDER BY s"
        )
        s, pos, neg = (numbers(table.column(i).combine_chunks().cast("double")) for i in range(3))
        counts.append(ScoreCounts(s, pos, neg))
    return Outcome(confusion, log_loss, tuple(counts), unknown)


def classification_metrics(found: Outcome) -> dict[str, float | None]:
    """The six classification metrics."""
    actual = found.confusion.sum(axis=1)
    if len(actual) == 2:
        (tn, fp), (fn, tp) = found.confusion
        precision, recall, accuracy, f1 = binary_metrics(tp, fp, tn, fn)
        loss = float(found.log_loss.sum() / actual.sum()) if actual.sum() else float("nan")
        auc = roc_auc(found.counts[0])
    else:
        precision, recall, accuracy, f1 = macro_metrics(found.confusion)
        there = actual > 0
        loss = float((found.log_loss[there] / actual[there]).mean()) if there.any() else float("nan")
        areas = np.array([roc_auc(c) for c in found.counts])
        auc = float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")
    known = float(actual.sum())
    accuracy = accuracy * known / (known + found.unknown) if known else 0.0
    return dict(zip(CLASSIFICATION, (precision, recall, accuracy, f1, loss, auc), strict=True))


def stored(found: Outcome) -> Mapping[str, Any]:
    """What the functions without data need later; at most 20,000 distinct scores are kept."""
    counts = found.counts[0]
    if len(counts.score) > 20_000:
        rounded, at = np.unique(np.round(counts.score, 4), return_inverse=True)
        positives: F64 = np.bincount(at, counts.positives).astype(np.float64)
        negatives: F64 = np.bincount(at, counts.negatives).astype(np.float64)
        counts = ScoreCounts(rounded, positives, negatives)
    return {
        "confusion": found.confusion,
        "score": counts.score,
        "positives": counts.positives,
        "negatives": counts.negatives,
    }
