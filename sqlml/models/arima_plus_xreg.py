"""ARIMA_PLUS_XREG: forecasts with external features, by a regression whose errors follow ARIMA_PLUS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from sqlml.encode import Category, Design, Encoding, Number, matrix_terms
from sqlml.errors import SchemaError
from sqlml.kernels import forecasts, xreg
from sqlml.kernels.series import Settings
from sqlml.kernels.types import F64
from sqlml.kernels.workers import Chunk
from sqlml.models import time_series
from sqlml.models.arima_plus import TRAINING_INFO
from sqlml.models.base import Fixed, Model, Task, Trained, TrainingData
from sqlml.models.time_series import (
    ForecastState,
    TimeSeriesOptions,
    extra_columns,
    refuse_nothing,
    reserved,
    stored_ids,
    task_of,
    teller,
)
from sqlml.options import option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, quote_literal

ACCEPTED = frozenset({Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP, Kind.STRUCT, Kind.SET, Kind.SPARSE})
WIDEST = 10_000


@dataclass(frozen=True)
class XregOptions(TimeSeriesOptions):
    """Options of ARIMA_PLUS_XREG."""

    l2_reg: float = option(0.0, "L2 penalty on the weights of the features.", low=0.0)


@dataclass(frozen=True, slots=True)
class XregState(ForecastState):
    """What a model with features keeps.

    Args:
        beta: weights of the encoded columns, shape (series, columns).
        attribution: effect of each feature on each stored point, shape (points, features).
        names: the features.
        ahead: effects on the forecasts, shape (series, steps, features); filled when future values are given.
    """

    beta: F64
    attribution: F64
    names: tuple[str, ...]
    ahead: F64 = field(default_factory=lambda: np.zeros((0, 0, 0)))

    def attributions(self, i: int, h: int) -> dict[str, F64]:
        """Effect of each feature on the history of series i and h steps ahead."""
        past = self.attribution[self.series.points(i)]
        if not h:
            return {name: past[:, j] for j, name in enumerate(self.names)}
        return {name: np.concatenate([past[:, j], self.ahead[i, :h, j]]) for j, name in enumerate(self.names)}


class ArimaPlusXreg(Model[XregOptions, XregState]):
    """Forecasting with features."""

    names = ("ARIMA_PLUS_XREG",)
    task = Task.FORECASTING
    options = XregOptions
    state = XregState
    doc = "Forecasts time series from their past and from external features."
    transform = False
    WEIGHTS: ClassVar[tuple[tuple[str, str, pa.DataType], ...]] = (
        ("processed_input", "VARCHAR", pa.string()),
        ("weight", "DOUBLE", pa.float64()),
        (
            "category_weights",
            "STRUCT(category VARCHAR, weight DOUBLE)[]",
            pa.list_(pa.struct([("category", pa.string()), ("weight", pa.float64())])),
        ),
    )

    def encoding(self, options: XregOptions) -> Encoding:
        return Encoding(categories="dummy", accepts=ACCEPTED)

    def reserved(self, options: XregOptions) -> tuple[str, ...]:
        return reserved(options)

    def check(self, options: XregOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        time_series.check(options, given, columns)
        if not extra_columns(options, columns):
            hint = "MODEL_TYPE='ARIMA_PLUS' forecasts a series from its past alone."
            raise SchemaError("the training query must have at least one feature column.", hint=hint)

    def train(self, data: TrainingData, options: XregOptions, run: Run) -> XregState:
        design = data.design
        if design.width > WIDEST:
            raise SchemaError(f"the features must have at most {WIDEST} encoded columns. Got {design.width}.")
        task = task_of(options, data)
        rows = task.rows
        settings = task.settings
        report = teller(run, len(rows.counts))
        parts, betas, effects, done = [], [], [], 0
        for chunk, matrix in rows.chunks_with(terms(design)):
            fits: list[xreg.Regressed | str] = list(_fits(chunk, matrix, settings, options.l2_reg))
            parts.append(forecasts.pack([f if isinstance(f, str) else f.fitted for f in fits], settings.horizon))
            for f in fits:
                bad = isinstance(f, str)
                betas.append(np.full(design.width, np.nan) if isinstance(f, str) else f.beta)
                if not bad and not isinstance(f, str):
                    effects.append(by_feature(design, f.features * f.beta))
            done += len(chunk)
            report(done)
        found = forecasts.concatenate(parts)
        refuse_nothing(found, len(rows.counts))
        run.report(0, None)
        return XregState(
            found,
            stored_ids(rows.ids),
            task.ids,
            task.time,
            task.value,
            task.calendar,
            np.array(betas),
            np.concatenate(effects),
            tuple(f.name for f in design.features),
        )

    def training_info(self, trained: Trained) -> Fixed:
        rows = [
            {"training_run": i.training_run, "iteration": i.iteration, "duration_ms": i.duration_ms}
            for i in reversed(trained.iterations)
        ]
        return Fixed.of(TRAINING_INFO, rows)

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        return {}  # forecasts have no held-out rows; ML.ARIMA_EVALUATE describes the fits

    def weight_rows(self, trained: Trained, i: int) -> list[dict[str, object]]:
        """ML.ARIMA_COEFFICIENTS: the weights of series i, in the units of the features."""
        state: XregState = trained.state
        beta = state.beta[i]
        rows: list[dict[str, object]] = []
        intercept = 0.0
        for start, f in zip(trained.design.offsets(), trained.design.features, strict=False):
            if isinstance(f, Number):
                weight = float(beta[start]) / f.scale
                intercept -= weight * f.shift
                rows.append({"processed_input": f.name, "weight": weight, "category_weights": []})
                continue
            kept = f.kept() if isinstance(f, Category) else tuple(range(f.width))
            levels = f.levels if hasattr(f, "levels") else tuple(str(k) for k in range(f.width))
            weights = {k: float(beta[start + j]) for j, k in enumerate(kept)}
            categories = [
                {"category": "_null_filler" if level is None else level, "weight": weights.get(k, 0.0)}
                for k, level in enumerate(levels)
            ]
            rows.append({"processed_input": f.name, "weight": None, "category_weights": categories})
        rows.append({"processed_input": "__INTERCEPT__", "weight": intercept, "category_weights": []})
        return rows

    def forecast_with(self, trained: Trained, features: F64) -> XregState:
        """The state with forecasts for future features, shape (series, steps, encoded columns); nan where unknown."""
        state: XregState = trained.state
        steps = features.shape[1]
        effect = features * state.beta[:, None, :]
        ahead = np.stack([by_feature(trained.design, e) for e in effect])
        forecast = np.full_like(state.series.forecast, np.nan)
        forecast[:, :steps] = state.series.forecast[:, :steps] + ahead.sum(axis=2)
        return replace(state, series=replace(state.series, forecast=forecast), ahead=ahead)


def terms(design: Design) -> list[str]:
    """SQL of every encoded column, in order; never NULL."""
    found = dict(matrix_terms(design))
    for start, f in zip(design.offsets(), design.features, strict=False):
        if isinstance(f, Category):
            for j, k in enumerate(f.kept()):
                level = f.levels[k]
                same = f"({f.sql}) IS NULL" if level is None else f"({f.sql}) = {quote_literal(level)}"
                found[start + j] = f"(CASE WHEN {same} THEN 1.0::DOUBLE ELSE 0.0::DOUBLE END)"
    return [found[j] for j in range(design.width)]


def by_feature(design: Design, columns: F64) -> F64:
    """Sums of the encoded columns of each feature: (n, columns) to (n, features)."""
    offsets = design.offsets()
    parts = [columns[:, a:b].sum(axis=1) for a, b in itertools.pairwise(offsets)]
    return np.column_stack(parts)


def _fits(chunk: Chunk, matrix: F64, settings: Settings, l2: float) -> Iterator[xreg.Regressed | str]:
    for i in range(len(chunk)):
        rows = slice(int(chunk.offsets[i]), int(chunk.offsets[i + 1]))
        try:
            yield xreg.fit(chunk.times[rows], chunk.values[rows], matrix[rows], settings, l2=l2)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            yield str(error)
