"""LOGISTIC_REG: two labels by Newton's method over SQL sums, more by Newton or L-BFGS over blocks.

Two labels have one coefficient vector (log odds of the larger label); k labels have k (softmax).
Under fidelity 'bigquery', or when a learn rate is written, the fit is the service's early-stopped descent
of the softmax loss, with one vector per label even for two; it is stored as their difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from sqlml.encode import matrix_terms
from sqlml.errors import NotSupportedError
from sqlml.kernels import glm as solvers
from sqlml.kernels.gram import Gram, inverse_diagonal, solve_dense
from sqlml.kernels.types import F64
from sqlml.models.base import ClassWeightOptions, Score, Task, Trained, TrainingData
from sqlml.models.blocks import Block, dense_width, repeated
from sqlml.models.glm import (
    Glm,
    GlmOptions,
    GlmState,
    descends,
    penalties,
    refuse_unknown_classes,
    refuse_wide_p_values,
    start,
)
from sqlml.models.moments import (
    BlockGram,
    Blocks,
    Layout,
    block_targets,
    layout,
    lead_columns,
    level_lookups,
    linear_predictor,
    sql_moments,
)
from sqlml.progress import Run
from sqlml.schema import quote_literal, quote_name

#: SQL sums are used from this many rows, when there are at most SQL_COLUMNS dense columns.
SQL_ROWS = 100_000
SQL_COLUMNS = 40
#: Rows of the sample from which Newton's method starts when there are five times as many.
SAMPLE_ROWS = 100_000
#: Newton's method over all classes at once up to this many coefficients.
NEWTON_SIZE = 400


@dataclass(frozen=True)
class LogisticOptions(ClassWeightOptions, GlmOptions):
    """Options of LOGISTIC_REG."""


class LogisticReg(Glm):
    """Logistic regression, binary and multinomial."""

    names = ("LOGISTIC_REG",)
    task = Task.CLASSIFICATION
    options = LogisticOptions
    doc = "Logistic regression for two or more labels."
    max_classes = 50

    def train(self, data: TrainingData, options: LogisticOptions, run: Run) -> GlmState:
        assert data.label is not None
        refuse_unknown_classes(data.label, options)
        lay = layout(data.design, options.fit_intercept)
        k = len(data.label.classes)
        if options.calculate_p_values:
            refuse_wide_p_values(lay)
            if k > 2:
                raise NotSupportedError("CALCULATE_P_VALUES needs a label with two values.")
        fit = _Fit(data, lay, run)
        l1, l2 = penalties(lay, 1 if k == 2 else k, options.l1_reg, options.l2_reg)
        stop = self.stop(options, data.given, data.fidelity)
        first = start(lay, 1 if k == 2 else k, data.design, data.previous)
        if data.fidelity == "bigquery" or descends(options, data.given):
            beta = fit.descent(first, l1, l2, stop, self.rate(options))
        elif k == 2:
            beta = fit.newton(first, l1, l2, stop)
        else:
            beta = fit.softmax(first, l1, l2, stop)
        errors = fit.standard_errors(beta, l2) if options.calculate_p_values else None
        return GlmState(beta, errors)

    def score(self, trained: Trained) -> Score:
        k = len(trained.state.beta)
        linear = self.score_linear(trained, k)
        if k == 1:
            let = (*linear.let, ("__p", "1.0 / (1.0 + exp(-__eta0))"))
            return Score(("1.0 - __p", "__p"), let=let, lookups=linear.lookups)
        top = "greatest(" + ", ".join(f"__eta{j}" for j in range(k)) + ")"
        shifted = [(f"__e{j}", f"exp(__eta{j} - __top)") for j in range(k)]
        total = ("__total", " + ".join(f"__e{j}" for j in range(k)))
        let = (*linear.let, ("__top", top), *shifted, total)
        return Score(tuple(f"__e{j} / __total" for j in range(k)), let=let, lookups=linear.lookups)


class _Fit:
    """The passes over the rows that the solvers ask for, and the reports of their iterations."""

    def __init__(self, data: TrainingData, lay: Layout, run: Run):
        assert data.label is not None
        self.data, self.lay, self.run, self.label = data, lay, run, data.label
        self.classes = len(data.label.classes)
        self._blocks: Blocks | None = None
        self._held: Blocks | None = None
        self.by_sql = data.rows >= SQL_ROWS and dense_width(data.design) <= SQL_COLUMNS

    # ------------------------------------------------------------ rows

    def _extra(self) -> dict[str, str]:
        extra = {"code": self.label.code}
        return extra if self.data.weight is None else {**extra, "w": self.data.weight}

    def blocks(self) -> Iterator[Block]:
        """Encoded training rows."""
        if self._blocks is None:
            data = self.data
            make = partial(repeated, data.train, data.design, self._extra(), data.rows)
            self._blocks = data.once("blocks", make)
        return self._blocks()

    def report(self, i: int, loss: float, beta: F64, rate: float | None) -> None:
        """An iteration, with the loss on the held-out rows."""
        eval_loss = None
        if self.data.evaluation is not None:
            if self._held is None:
                rows = self.data.evaluation.count()
                make = partial(repeated, self.data.evaluation, self.data.design, self._extra(), rows)
                self._held = self.data.once("held", make)
            eval_loss = mean_log_loss(self._held(), self.lay, beta)
        self.run.report(i, loss, eval_loss=eval_loss, learning_rate=rate)

    # ------------------------------------------------------------ two labels

    def newton(self, beta: F64, l1: F64, l2: F64, stop: solvers.Stop) -> F64:
        """The optimum for two labels; many rows are approached from the optimum of a sample of them."""
        if self.by_sql and self.data.previous is None and self.data.rows >= 5 * SAMPLE_ROWS:
            beta = self._sample_optimum(beta, l1, l2)
        evaluate = self._binary_sql if self.by_sql else self._binary_blocks
        return solvers.newton(evaluate, beta, l1, l2, stop, self.report)

    def _sample_optimum(self, beta: F64, l1: F64, l2: F64) -> F64:
        """The optimum over rows chosen by their content, lightly penalised: a start near the optimum of all rows."""
        names = ", ".join(quote_name(c.name) for c in self.data.design.columns[:3])
        part = self.data.train.where(f"hash({names}) % {self.data.rows // SAMPLE_ROWS} = 0")
        blocks = repeated(part, self.data.design, self._extra(), 2 * SAMPLE_ROWS)
        rows = sum(len(b) for b in blocks())
        if rows < SAMPLE_ROWS // 4:
            return beta

        def evaluate(b: F64, hessian: bool) -> solvers.Sums:
            return self._binary_over(blocks(), b, hessian)

        def progress(i: int, loss: float, b: F64, rate: float | None) -> None:
            self.run.tell("training", detail="a sample")

        ridge = l2 + 5.0 / rows  # a level with one label in the sample must not run away
        return solvers.newton(evaluate, beta, l1, ridge, solvers.Stop(15, True, 1e-6), progress)

    def _binary_sql(self, beta: F64, hessian: bool) -> solvers.Sums:
        relation, weight = self.data.train, self.data.weight
        lookups, terms = level_lookups(self.lay, beta[0])
        dense = [
            f"__z{i} * {quote_literal(float(b))}" for i, b in enumerate(beta[0, self.lay.intercept : self.lay.lead])
        ]
        base = [quote_literal(float(beta[0, 0]))] if self.lay.intercept else ["0.0"]
        let = {f"__z{i}": sql for i, (_, sql) in enumerate(matrix_terms(self.data.design, trained_rows=True))}
        let |= {"__y": f"{self.label.code}::DOUBLE", "__eta": " + ".join([*base, *dense, *terms])}
        let |= {"__p": "1.0 / (1.0 + exp(-__eta))"}
        w = "1.0" if weight is None else weight
        let |= {"__w": w, "__h": f"{_times(weight)}__p * (1.0 - __p)", "__r": f"{_times(weight)}(__p - __y)"}
        # log(1 + exp(eta)) - y eta, without overflow
        loss = f"{_times(weight)}(greatest(__eta, 0.0) + ln(1.0 + exp(-abs(__eta))) - __y * __eta)"
        m = sql_moments(
            relation,
            self.data.design,
            self.lay,
            targets=["__r"],
            scalars=["__w", loss],
            weight="__h",
            let=let,
            lookups=lookups,
            gram=hessian,
        )
        total, value = m.scalars
        return solvers.Sums(float(value / total), m.targets / total, _divided(m.gram, float(total)))

    def _binary_blocks(self, beta: F64, hessian: bool) -> solvers.Sums:
        return self._binary_over(self.blocks(), beta, hessian)

    def _binary_over(self, blocks: Iterator[Block], beta: F64, hessian: bool) -> solvers.Sums:
        gram, gradient = BlockGram(self.lay), np.zeros((1, self.lay.size))
        loss = total = 0.0
        for block in blocks:
            eta = linear_predictor(block, self.lay, beta)[:, 0]
            y, w = block.extra["code"], block.extra.get("w", np.ones(len(block)))
            p = 1.0 / (1.0 + np.exp(-np.clip(eta, -700.0, 700.0)))
            loss += float(w @ (np.logaddexp(0.0, eta) - y * eta))
            total += float(w.sum())
            gradient += block_targets(block, self.lay, (w * (p - y))[:, None])
            if hessian:
                gram.add(block, w * p * (1.0 - p))
        return solvers.Sums(loss / total, gradient / total, _divided(gram.gram(), total) if hessian else None)

    # ------------------------------------------------------------ softmax

    def softmax(self, beta: F64, l1: F64, l2: F64, stop: solvers.Stop) -> F64:
        """The optimum for more labels; with an l1 penalty by descent to convergence."""
        scale = self._rms_scale()
        if l1.any():
            far = solvers.Stop(max(stop.iterations, 2000), stop.early, min(stop.progress, 1e-9))
            return solvers.descent(self._softmax, beta, l1, l2, far, solvers.Rate(0.1, search=True), self.report, scale)
        if beta.size <= NEWTON_SIZE:
            return self._newton_softmax(beta, l2, stop)
        more = solvers.Stop(max(stop.iterations, 200), stop.early, stop.progress)
        return solvers.lbfgs(self._softmax, beta, l2, more, self.report, scale)

    def _softmax(self, beta: F64, hessian: bool) -> solvers.Sums:
        gradient = np.zeros_like(beta)
        loss = total = 0.0
        for block, p, log_p, w in self._probabilities(beta):
            rows, code = np.arange(len(block)), block.extra["code"].astype(np.int64)
            loss -= float(w @ log_p[rows, code])
            total += float(w.sum())
            p[rows, code] -= 1.0
            gradient += block_targets(block, self.lay, p * w[:, None])
        return solvers.Sums(loss / total, gradient / total)

    def _probabilities(self, beta: F64) -> Iterator[tuple[Block, F64, F64, F64]]:
        for block in self.blocks():
            log_p = log_softmax(linear_predictor(block, self.lay, beta))
            yield block, np.exp(log_p), log_p, block.extra.get("w", np.ones(len(block)))

    def _newton_softmax(self, beta: F64, l2: F64, stop: solvers.Stop) -> F64:
        """Newton over all k vectors; the system is singular (adding a vector to all changes nothing)."""
        zero = np.zeros_like(l2)
        now = self._softmax(beta, False)
        value = now.loss + solvers.penalty(beta, zero, l2)
        for i in range(stop.iterations):
            gradient = (now.gradient + l2 * beta).ravel()
            step = solve_dense(self._softmax_hessian(beta) + np.diag(l2.ravel()), gradient).reshape(beta.shape)
            rate = 1.0
            while True:
                trial = beta - rate * step
                found = self._softmax(trial, False)
                new = found.loss + solvers.penalty(trial, zero, l2)
                if np.isfinite(new) and new <= value + 1e-12 * abs(value):
                    break
                rate /= 2.0
                if rate < 1e-6:
                    self.report(i, now.loss, beta, None)
                    return beta
            before, value, beta, now = value, new, trial, found
            self.report(i, now.loss, beta, None)
            if stop.reached(before, value) or np.abs(step).max() < 1e-12:
                break
        return beta

    def _softmax_hessian(self, beta: F64) -> F64:
        k, d = beta.shape
        out = np.zeros((k, d, k, d))
        total = 0.0
        for block, p, _, w in self._probabilities(beta):
            x = full_matrix(block, self.lay)
            total += float(w.sum())
            for a in range(k):
                for b in range(a + 1):
                    h = w * p[:, a] * ((a == b) - p[:, b])
                    part = (x * h[:, None]).T @ x
                    out[a, :, b, :] += part
                    if a != b:
                        out[b, :, a, :] += part
        return out.reshape(k * d, k * d) / total

    # ------------------------------------------------------------ the service's descent

    def descent(self, beta: F64, l1: F64, l2: F64, stop: solvers.Stop, rate: solvers.Rate) -> F64:
        """Early-stopped descent of the softmax loss; two labels have two vectors, +b/2 and -b/2."""
        scale = self._rms_scale()
        if self.classes > 2:
            return solvers.descent(self._softmax, beta, l1, l2, stop, rate, self.report, scale)
        both = np.concatenate([-beta / 2.0, beta / 2.0])
        two_l1, two_l2 = np.repeat(l1, 2, axis=0), np.repeat(l2, 2, axis=0)

        def report(i: int, loss: float, found: F64, a: float | None) -> None:
            self.report(i, loss, found[1:] - found[:1], a)

        found = solvers.descent(self._softmax, both, two_l1, two_l2, stop, rate, report, scale)
        return found[1:] - found[:1]

    def _rms_scale(self) -> F64:
        square, total = np.zeros(self.lay.size), 0.0
        for block in self.blocks():
            w = block.extra.get("w", np.ones(len(block)))
            square[: self.lay.lead] += w @ (lead_columns(block, self.lay) ** 2)
            square[self.lay.lead :] += block_targets(block, self.lay, w[:, None])[0, self.lay.lead :]
            total += float(w.sum())
        mean = square / total
        return 1.0 / np.sqrt(np.where(mean > 0.0, mean, 1.0))

    def standard_errors(self, beta: F64, l2: F64) -> F64:
        """(columns,): sqrt of the diagonal of the inverse Hessian of the total loss."""
        evaluate = self._binary_sql if self.by_sql else self._binary_blocks
        sums = evaluate(beta, True)
        assert sums.hessian is not None
        weight = float(self.data.rows)
        return np.sqrt(inverse_diagonal((sums.hessian.matrix() + np.diag(l2[0])) * weight))


def _times(weight: str | None) -> str:
    return "" if weight is None else "__w * "


def _divided(gram: Gram | None, total: float) -> Gram | None:
    if gram is None:
        return None
    return Gram(
        gram.dense / total,
        gram.levels,
        tuple(w / total for w in gram.weight),
        tuple(c / total for c in gram.cross),
        {key: (i, j, v / total) for key, (i, j, v) in gram.pairs.items()},
    )


def log_softmax(eta: F64) -> F64:
    """(n, k): logarithms of the probabilities."""
    shifted = eta - eta.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def full_matrix(block: Block, lay: Layout) -> F64:
    """(n, columns of X): X with its indicator columns; for small designs only."""
    x = np.zeros((len(block), lay.size))
    x[:, : lay.lead] = lead_columns(block, lay)
    for code, category, at in zip(block.codes, lay.categories, lay.starts(), strict=True):
        good = (code >= 0) & (code != (-1 if category.dropped is None else category.dropped))
        x[np.flatnonzero(good), at + code[good]] = 1.0
    return x


def mean_log_loss(blocks: Iterator[Block], lay: Layout, beta: F64) -> float | None:
    """Mean log loss of rows whose label was seen in training."""
    loss = total = 0.0
    for block in blocks:
        code = block.extra["code"]
        good = np.isfinite(code)
        eta = linear_predictor(block, lay, beta)
        if eta.shape[1] == 1:
            eta = np.hstack([np.zeros_like(eta), eta])
        log_p = log_softmax(eta)
        w = block.extra.get("w", np.ones(len(block)))
        loss -= float(w[good] @ log_p[good, code[good].astype(np.int64)])
        total += float(w[good].sum())
    return loss / total if total else None
