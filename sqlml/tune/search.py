"""How the next points are chosen: a grid, at random, or by a Bayesian search (Optuna's TPE).

Every search begins at the start points of the dimensions and never proposes a point twice.
Source of the Bayesian search: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization".
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from sqlml.errors import NotSupportedError
from sqlml.tune.spaces import Dimension

Point = dict[str, Any]
#: Given the values chosen so far, whether the next option means anything.
Active = Callable[[str, Point], bool]
#: Random draws after which a search looks for a point that is left.
_DRAWS = 100


class Search(Protocol):
    """Proposes points and learns of their values."""

    def ask(self) -> Point | None:
        """The next point; None when the space is exhausted. Options without a meaning are left out."""
        ...

    def tell(self, point: Point, value: float | None) -> None:
        """What became of a proposed point; larger is better, None for a point that gave no model."""
        ...

    def stopped(self, point: Point, losses: Sequence[float]) -> None:
        """A proposed point was given up as hopeless after these losses."""
        ...


def searcher(
    algorithm: str, dimensions: Sequence[Dimension], active: Active, trials: int, seed: int, parallel: int
) -> Search:
    """The search of that name. Raises `NotSupportedError` when Optuna is wanted and not installed."""
    if algorithm == "GRID_SEARCH":
        return Listed(dimensions, active, None)
    generator = np.random.default_rng([seed, 7])
    if algorithm == "RANDOM_SEARCH":
        return Listed(dimensions, active, generator)
    return Bayesian(dimensions, active, generator, trials, seed, parallel)


def chosen(dimensions: Sequence[Dimension], active: Active, pick: Callable[[Dimension], Any]) -> Point:
    """A point: options one after the other, those without a meaning left out."""
    point: Point = {}
    for d in dimensions:
        if active(d.name, point):
            point[d.name] = pick(d)
    return point


def key(point: Point) -> tuple[tuple[str, Any], ...]:
    """A point as something that can be kept in a set."""
    return tuple(sorted(point.items()))


def _values(given: Point) -> Callable[[Dimension], Any]:
    return lambda d: given[d.name]


class Listed:
    """The points of a grid in order, or random ones; begins at the start point."""

    def __init__(self, dimensions: Sequence[Dimension], active: Active, generator: np.random.Generator | None):
        self.dimensions, self.active, self.generator = dimensions, active, generator
        self.seen: set[Any] = set()
        self._grid = self._points()

    def _points(self) -> Any:
        if not all(d.candidates for d in self.dimensions):
            return
        for values in itertools.product(*(d.candidates for d in self.dimensions)):
            given = dict(zip([d.name for d in self.dimensions], values, strict=True))
            yield chosen(self.dimensions, self.active, _values(given))

    def ask(self) -> Point | None:
        for point in self._candidates():
            if key(point) not in self.seen:
                self.seen.add(key(point))
                return point
        return None

    def _candidates(self) -> Any:
        if not self.seen:
            yield chosen(self.dimensions, self.active, lambda d: d.first)
        if self.generator is not None:
            draw = self.generator
            for _ in range(_DRAWS):
                yield chosen(self.dimensions, self.active, lambda d: d.at(float(draw.random())))
        for point in self._grid:  # noqa: UP028 - `yield from` would close it with this generator
            yield point

    def tell(self, point: Point, value: float | None) -> None:
        """A grid learns nothing."""

    def stopped(self, point: Point, losses: Sequence[float]) -> None:
        """Nor here."""


class Bayesian:
    """Optuna's tree-structured Parzen estimator, over all options together."""

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        active: Active,
        generator: np.random.Generator,
        trials: int,
        seed: int,
        parallel: int,
    ):
        optuna = _optuna()
        self.dimensions, self.active = dimensions, active
        self.spare = Listed(dimensions, active, generator)
        self.open: dict[Any, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(
                multivariate=True,
                group=True,
                n_startup_trials=max(3, min(10, trials // 4)),
                constant_liar=parallel > 1,
                seed=seed,
            )
            self.study = optuna.create_study(direction="maximize", sampler=sampler)
        start = chosen(dimensions, active, lambda d: d.start)
        self.study.enqueue_trial({d.name: _code(d, start[d.name]) for d in dimensions if d.name in start})
        self.failed, self.pruned = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED

    def ask(self) -> Point | None:
        for _ in range(_DRAWS // 10):
            trial = self.study.ask()
            point = chosen(self.dimensions, self.active, partial(self._suggest, trial))
            if not self.spare.seen:
                point = chosen(self.dimensions, self.active, lambda d: d.first)
            if key(point) not in self.spare.seen:
                self.spare.seen.add(key(point))
                self.open[key(point)] = trial
                return point
            self.study.tell(trial, state=self.failed)
        return self.spare.ask()

    def _suggest(self, trial: Any, d: Dimension) -> Any:
        if d.candidates:
            return d.candidates[trial.suggest_categorical(d.name, list(range(len(d.candidates))))]
        if d.whole:
            return int(trial.suggest_int(d.name, int(d.low or 0), int(d.high or 0), log=d.log))
        return float(trial.suggest_float(d.name, d.low, d.high, log=d.log))

    def tell(self, point: Point, value: float | None) -> None:
        trial = self.open.pop(key(point), None)
        if trial is None:
            return
        if value is None:
            self.study.tell(trial, state=self.failed)
        else:
            self.study.tell(trial, value)

    def stopped(self, point: Point, losses: Sequence[float]) -> None:
        trial = self.open.pop(key(point), None)
        if trial is None:
            return
        for step, loss in enumerate(losses):
            trial.report(-loss, step)
        self.study.tell(trial, state=self.pruned)


def _code(d: Dimension, value: Any) -> Any:
    return d.candidates.index(value) if d.candidates else value


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise NotSupportedError(
            "HPARAM_TUNING_ALGORITHM='VIZIER_DEFAULT' needs the package optuna, which is not installed.",
            hint="pip install \"sqlml[tune]\", or use HPARAM_TUNING_ALGORITHM='RANDOM_SEARCH'.",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
