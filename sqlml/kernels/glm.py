"""Fitting generalised linear models through callables that return sums over the rows.

The solvers never see rows: they ask for the loss, the gradient and (Newton) the Hessian at a
coefficient matrix. The same solver therefore runs over SQL, over numpy blocks, over a cluster.

Objective everywhere: weighted mean loss + sum(l1 |b|) + sum(l2 b^2) / 2, with l1 and l2 per coefficient
(0 for the intercept).

Sources: Newton with step halving (Nelder and Wedderburn 1972, IRLS); proximal Newton for l1 (Lee, Sun,
Saunders 2014); L-BFGS (Liu and Nocedal 1989); the descent reproduces the published behaviour of
BigQuery ML (doubling and halving line search, early stop on relative progress).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sqlml.errors import TrainingError
from sqlml.kernels.gram import Gram, lasso, solve
from sqlml.kernels.types import F64


@dataclass(frozen=True, slots=True)
class Sums:
    """What one pass over the rows gives, divided by the total weight.

    Args:
        loss: mean loss without penalties.
        gradient: (k, d) for k coefficient vectors.
        hessian: blocks of the Hessian, when asked for (k = 1).
    """

    loss: float
    gradient: F64
    hessian: Gram | None = None


Pass = Callable[[F64, bool], Sums]


class Report(Protocol):
    """Called after every iteration; may raise to cancel."""

    def __call__(self, iteration: int, loss: float, beta: F64, rate: float | None, /) -> None:
        """Take note of an iteration."""
        ...


@dataclass(frozen=True, slots=True)
class Stop:
    """When to stop.

    Args:
        iterations: at most so many.
        early: stop after the first iteration whose relative improvement is below `progress`.
    """

    iterations: int
    early: bool
    progress: float

    def reached(self, before: float, after: float) -> bool:
        """Whether the improvement was too small to go on."""
        return self.early and before - after < self.progress * abs(before)


def penalty(beta: F64, l1: F64, l2: F64) -> float:
    """The penalties' part of the objective."""
    return float((l1 * np.abs(beta)).sum() + 0.5 * (l2 * beta * beta).sum())


def newton(evaluate: Pass, beta: F64, l1: F64, l2: F64, stop: Stop, report: Report) -> F64:
    """Newton's method for one coefficient vector; beta is (1, d). Returns (1, d).

    Raises `TrainingError` when the loss is not finite.
    """
    now = evaluate(beta, True)
    value = _finite(now.loss) + penalty(beta, l1, l2)
    for i in range(stop.iterations):
        direction = _newton_step(now, beta, l1, l2) - beta
        step, trial, new = 1.0, beta + direction, value
        while True:
            found = evaluate(trial, True)
            new = found.loss + penalty(trial, l1, l2)
            if np.isfinite(new) and new <= value + 1e-12 * abs(value):
                break
            step /= 2.0
            if step < 1e-6:  # no descent left at this precision: the last point is the optimum
                report(i, now.loss, beta, None)
                return beta
            trial = beta + step * direction
        before, value, beta, now = value, new, trial, found
        report(i, now.loss, beta, None)
        if stop.reached(before, value) or np.abs(direction).max(initial=0.0) < 1e-12:
            break
    return beta


def _newton_step(now: Sums, beta: F64, l1: F64, l2: F64) -> F64:
    """The minimiser of the quadratic model at beta."""
    assert now.hessian is not None
    b, ridge = beta[0], l2[0]
    gradient = now.gradient[0] + ridge * b
    if not l1.any():
        return (b - solve(now.hessian, gradient, ridge))[None, :]
    a = now.hessian.matrix() + np.diag(ridge)
    return lasso(a, a @ b - gradient, l1[0], b)[None, :]


def lbfgs(evaluate: Pass, beta: F64, l2: F64, stop: Stop, report: Report, scale: F64, memory: int = 12) -> F64:
    """L-BFGS over (k, d) coefficients, in coordinates divided by `scale` (d,). No l1."""
    shape = beta.shape
    x = (beta / scale).ravel()

    def at(v: F64) -> tuple[float, F64]:
        b = v.reshape(shape) * scale
        sums = evaluate(b, False)
        return sums.loss + penalty(b, np.zeros_like(b), l2), ((sums.gradient + l2 * b) * scale).ravel()

    value, gradient = at(x)
    _finite(value)
    history: list[tuple[F64, F64, float]] = []
    for i in range(stop.iterations):
        direction = -_two_loops(gradient, history)
        slope = float(gradient @ direction)
        if slope >= 0.0:
            history.clear()
            direction, slope = -gradient, -float(gradient @ gradient)
        step = 1.0 if history else min(1.0, 1.0 / max(float(np.abs(gradient).sum()), 1e-300))
        while True:
            trial = x + step * direction
            new, changed = at(trial)
            if np.isfinite(new) and new <= value + 1e-4 * step * slope:
                break
            step /= 2.0
            if step < 1e-12:
                report(i, value, x.reshape(shape) * scale, None)
                return x.reshape(shape) * scale
        s, y = trial - x, changed - gradient
        if float(s @ y) > 1e-14 * float(np.sqrt((s @ s) * (y @ y))):
            history = [*history[-(memory - 1) :], (s, y, 1.0 / float(s @ y))]
        before, value, x, gradient = value, new, trial, changed
        report(i, value, x.reshape(shape) * scale, None)
        if stop.reached(before, value) or np.abs(gradient).max(initial=0.0) < 1e-9:
            break
    return x.reshape(shape) * scale


def _two_loops(gradient: F64, history: list[tuple[F64, F64, float]]) -> F64:
    q = gradient.copy()
    alphas = []
    for s, y, rho in reversed(history):
        a = rho * float(s @ q)
        q -= a * y
        alphas.append(a)
    if history:
        s, y, _ = history[-1]
        q *= float(s @ y) / float(y @ y)
    for (s, y, rho), a in zip(history, reversed(alphas), strict=True):
        q += (a - rho * float(y @ q)) * s
    return q


@dataclass(frozen=True, slots=True)
class Rate:
    """Step sizes of the descent: a line search that starts at `initial`, or a constant."""

    initial: float
    search: bool


def descent(evaluate: Pass, beta: F64, l1: F64, l2: F64, stop: Stop, rate: Rate, report: Report, scale: F64) -> F64:
    """Gradient descent as the service does it, in columns divided by `scale` (d,).

    The line search first doubles the last rate, then halves it until the loss falls by rate * |g|^2 / 2.
    l1 is applied by soft thresholding after the step.
    """
    u = beta / scale  # coefficients of the scaled columns
    u_l1, u_l2 = l1 * scale, l2 * scale * scale

    def at(v: F64) -> tuple[float, float, F64]:
        sums = evaluate(v * scale, False)
        smooth = sums.loss + 0.5 * float((u_l2 * v * v).sum())
        return smooth + float((u_l1 * np.abs(v)).sum()), sums.loss, sums.gradient * scale + u_l2 * v

    value, _, gradient = at(u)
    _finite(value)
    a = rate.initial
    for i in range(stop.iterations):
        a = a * 2.0 if rate.search and i else a
        square = float((gradient * gradient).sum())
        while True:
            trial = _shrink(u - a * gradient, a * u_l1)
            new, loss, changed = at(trial)
            enough = new <= value - 0.5 * a * square if not u_l1.any() else new <= value
            if not rate.search or enough or square == 0.0:
                break
            a /= 2.0
            if a < 1e-18:
                return u * scale
        if not np.isfinite(new):
            hint = "use a smaller LEARN_RATE, or LEARN_RATE_STRATEGY='LINE_SEARCH'."
            raise TrainingError(f"the training must converge. The loss is not finite after iteration {i}.", hint=hint)
        before, value, u, gradient = value, new, trial, changed
        report(i, loss, u * scale, a)
        if stop.reached(before, value):
            break
    return u * scale


def _shrink(v: F64, amount: F64) -> F64:
    return np.sign(v) * np.maximum(np.abs(v) - amount, 0.0)


def _finite(value: float) -> float:
    if not np.isfinite(value):
        raise TrainingError("the loss of the first iteration must be finite. A feature or weight is too large.")
    return value
