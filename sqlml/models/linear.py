"""LINEAR_REG: least squares. One pass of sums gives the normal equations, solved exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sqlml.errors import OptionError, notice
from sqlml.kernels import glm as solvers
from sqlml.kernels.gram import inverse_diagonal, lasso, solve
from sqlml.kernels.types import F64
from sqlml.models.base import Score, Task, Trained, TrainingData
from sqlml.models.blocks import dense_width, repeated
from sqlml.models.glm import (
    Glm,
    GlmOptions,
    GlmState,
    penalties,
    refuse_wide_p_values,
    start,
)
from sqlml.models.moments import BlockGram, Layout, Moments, block_targets, known_moments, layout, sql_moments
from sqlml.progress import Run
from sqlml.schema import Column

#: Above this many dense columns the products are made by BLAS over blocks, not by SQL.
SQL_COLUMNS = 48
#: Below this many rows blocks are faster than planning a query with many terms.
SQL_ROWS = 20_000


#: Options that say when and how steps are taken.
_OF_DESCENT = frozenset({"max_iterations", "early_stop", "min_rel_progress", "learn_rate_strategy"})


@dataclass(frozen=True)
class LinearOptions(GlmOptions):
    """Options of LINEAR_REG."""


class LinearReg(Glm):
    """Linear regression."""

    names = ("LINEAR_REG",)
    task = Task.REGRESSION
    options = LinearOptions
    doc = "Linear regression by least squares."

    def check(self, options: GlmOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        super().check(options, given, columns)
        if options.optimize_strategy == "NORMAL_EQUATION":
            if options.l1_reg > 0.0:
                raise OptionError("OPTIMIZE_STRATEGY must not be 'NORMAL_EQUATION' when L1_REG is set.")
            if options.warm_start:
                raise OptionError("OPTIMIZE_STRATEGY must not be 'NORMAL_EQUATION' with WARM_START.")
        idle = sorted(given & _OF_DESCENT)
        if idle and not _descends(options, given):
            listed = ", ".join(name.upper() for name in idle)
            verb = "has" if len(idle) == 1 else "have"
            text = f"{listed} {verb} no effect, because the normal equations are solved exactly."
            notice(f"{text} OPTIMIZE_STRATEGY='BATCH_GRADIENT_DESCENT' takes steps.")

    def takes_products(self, options: GlmOptions, rows: int, numbers: int) -> bool:
        return rows >= SQL_ROWS and numbers <= SQL_COLUMNS

    def train(self, data: TrainingData, options: GlmOptions, run: Run) -> GlmState:
        lay = layout(data.design, options.fit_intercept)
        if options.calculate_p_values:
            refuse_wide_p_values(lay)
        moments = data.once("moments", lambda: _moments(data, lay))
        l1, l2 = penalties(lay, 1, options.l1_reg, options.l2_reg)
        total = moments.scalars[0]
        if _descends(options, data.given):
            beta = self._descend(data, options, run, lay, moments, l1, l2)
        else:
            beta = _exact(moments, total, l1[0], l2[0])[None, :]
            run.report(0, _mean_squared_error(moments, beta[0]))
        errors = _standard_errors(moments, beta[0], data.rows, l2[0]) if options.calculate_p_values else None
        return GlmState(beta, errors)

    def _descend(
        self, data: TrainingData, options: GlmOptions, run: Run, lay: Layout, moments: Moments, l1: F64, l2: F64
    ) -> F64:
        """The service's descent; it needs no further pass, for the sums are a quadratic form."""
        gram = moments.gram
        assert gram is not None
        apply, total = gram.operator(), moments.scalars[0]

        def evaluate(beta: F64, hessian: bool) -> solvers.Sums:
            gradient = (apply(beta[0]) - moments.targets[0]) / total
            return solvers.Sums(_mean_squared_error(moments, beta[0]) / 2.0, gradient[None, :])

        def report(i: int, loss: float, beta: F64, rate: float | None) -> None:
            run.report(i, 2.0 * loss, learning_rate=rate)

        scale = _rms_scale(gram.diagonal() / total)
        first = start(lay, 1, data.design, data.previous)
        stop = self.stop(options, data.given, data.fidelity)
        return solvers.descent(evaluate, first, l1, l2, stop, self.rate(options), report, scale)

    def score(self, trained: Trained) -> Score:
        linear = self.score_linear(trained, 1)
        return Score(("__eta0",), let=linear.let, lookups=linear.lookups)


def _descends(options: GlmOptions, given: frozenset[str]) -> bool:
    """Whether steps are taken.

    The service takes the normal equations under AUTO_STRATEGY even when a strategy of rates is written.
    """
    rates = {"learn_rate", "ls_init_learn_rate"} & given
    return options.optimize_strategy == "BATCH_GRADIENT_DESCENT" or bool(rates)


def _moments(data: TrainingData, lay: Layout) -> Moments:
    """Sums of products, label times column, and of (weight, label squared)."""
    assert data.label is not None
    y = data.label.sql
    if data.rows >= SQL_ROWS and dense_width(data.design) <= SQL_COLUMNS:
        let = {"__y": y}
        w = "1.0" if data.weight is None else data.weight
        target = "__y" if data.weight is None else f"({w}) * __y"
        return sql_moments(
            data.train,
            data.design,
            lay,
            targets=[target],
            scalars=[w, f"{target} * __y"],
            weight=data.weight,
            let=let,
            known=known_moments(data, lay),
        )
    extra = {"y": y} if data.weight is None else {"y": y, "w": data.weight}
    sums = BlockGram(lay)
    targets, scalars = np.zeros((1, lay.size)), np.zeros(2)
    for block in repeated(data.train, data.design, extra, data.rows, limit=0)():
        w_ = block.extra.get("w", np.ones(len(block)))
        wy = w_ * block.extra["y"]
        sums.add(block, w_)
        targets += block_targets(block, lay, wy[:, None])
        scalars += (w_.sum(), float(wy @ block.extra["y"]))
    return Moments(sums.gram(), targets, scalars)


def _exact(moments: Moments, total: float, l1: F64, l2: F64) -> F64:
    """(columns,): the optimum of mean squared error / 2 + penalties."""
    gram = moments.gram
    assert gram is not None
    if l1.any():
        a = gram.matrix() / total + np.diag(l2)
        return lasso(a, moments.targets[0] / total, l1, np.zeros(gram.size))
    return solve(gram, moments.targets[0], l2 * total)


def _mean_squared_error(moments: Moments, beta: F64) -> float:
    gram = moments.gram
    assert gram is not None
    total, yy = moments.scalars
    value = yy - 2.0 * float(moments.targets[0] @ beta) + float(beta @ gram.operator()(beta))
    return max(float(value / total), 0.0)


def _standard_errors(moments: Moments, beta: F64, rows: int, l2: F64) -> F64:
    """(columns,): sqrt of the diagonal of s^2 (X'X)^-1, s^2 with rows - columns degrees of freedom."""
    gram = moments.gram
    assert gram is not None
    matrix = gram.matrix() + np.diag(l2 * moments.scalars[0])
    used = int((np.diag(matrix) > 0.0).sum())
    if rows <= used:
        return np.full(len(beta), np.nan)
    variance = _mean_squared_error(moments, beta) * moments.scalars[0] / (rows - used)
    return np.sqrt(variance * inverse_diagonal(matrix))


def _rms_scale(mean_square: F64) -> F64:
    """1 / root mean square of each column, 1 for a column of zeros."""
    return 1.0 / np.sqrt(np.where(mean_square > 0.0, mean_square, 1.0))
