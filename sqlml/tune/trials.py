"""Trials, one after the other or several at once: train, judge, remember; bad ones do not end the job."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlml.errors import Cancelled, Error, NotSupportedError, OptionError, TrainingError
from sqlml.models.base import Model
from sqlml.models.tuning import MINIMISED, Trial
from sqlml.options import declarations
from sqlml.progress import Iteration, Progress, Run
from sqlml.schema import Column
from sqlml.tune.search import Point, searcher
from sqlml.tune.spaces import Dimension

#: A trial is compared with finished ones when there are so many, and after so many of its iterations.
PRUNE_TRIALS, PRUNE_ITERATIONS = 4, 4


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is tuned, and how a trial is made.

    Args:
        model, options, given: of the statement; `columns` of its query.
        dimensions: what is searched.
        objective: upper-case name of the metric.
        fit: options and run -> state.
        judge: options and state -> metrics over the evaluation rows, by lower-case name.
        wait: called while trials run in other threads; it must let them use the database until all are done.
    """

    model: Model[Any, Any]
    options: Any
    given: frozenset[str]
    columns: tuple[Column, ...]
    dimensions: tuple[Dimension, ...]
    objective: str
    fit: Callable[[Any, Run], Any]
    judge: Callable[[Any, Any], dict[str, float | None]]
    wait: Callable[[Sequence[Future[Any]]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The trials, the best of them, the iterations of its training, and why it ended before its time (or None)."""

    trials: tuple[Trial, ...]
    best: Trial
    iterations: tuple[Iteration, ...]
    cut: str | None = None


class Hopeless(Exception):
    """Raised inside a training that cannot end better than most others did."""


class TrialRun(Run):
    """The run of one trial: its progress is the tuning's, and it may be stopped as hopeless."""

    def __init__(self, parent: Run, number: int, story: _Story, prune: bool, limit: int | None):
        super().__init__(seed=parent.seed, model=parent.model, listeners=(self._forward,), max_iterations=limit)
        self.parent, self.number, self.story, self.prune = parent, number, story, prune
        self.losses: list[float] = []
        self.rows = parent.rows

    def _forward(self, event: Progress) -> object:
        self.parent.tell("trial", step=self.number, steps=self.story.trials, detail=self.story.detail())
        return None

    def report(
        self,
        iteration: int,
        loss: float | None,
        *,
        eval_loss: float | None = None,
        learning_rate: float | None = None,
        **extra: object,
    ) -> None:
        """Record an iteration. Raises `Cancelled`, or `Hopeless`."""
        super().report(iteration, loss, eval_loss=eval_loss, learning_rate=learning_rate, **extra)
        if eval_loss is not None:
            self.losses.append(eval_loss)
            if self.prune and self.max_iterations and self.story.hopeless(self.losses, self.max_iterations):
                raise Hopeless


class _Story:
    """What earlier trials did."""

    def __init__(self, trials: int, objective: str):
        self.trials, self.objective = trials, objective
        self.curves: list[list[float]] = []
        self.best: float | None = None

    def detail(self) -> str:
        """Best so far, in words."""
        return "" if self.best is None else f"best {self.objective.lower()} so far {self.best:.6g}"

    def hopeless(self, losses: Sequence[float], iterations: int) -> bool:
        """Whether the loss would end above the median of the finished trials even if it kept its present pace.

        Losses fall ever more slowly, so that is more than a trial can reach. A comparison at equal iterations would
        stop whatever learns slowly, which is often what ends best.
        """
        n = len(losses)
        if n < PRUNE_ITERATIONS or len(self.curves) < PRUNE_TRIALS:
            return False
        pace = max(0.0, (losses[-3] - losses[-1]) / 2.0)
        reach = min(losses) - pace * max(0, iterations - n)
        return reach > statistics.median(min(c) for c in self.curves)


def run_trials(attempt: Attempt, run: Run) -> Outcome:
    """All trials.

    Raises:
        TrainingError: more than half of the trials fail, or none gives a model.
        Cancelled: before any trial was finished; later ones end the search and keep what there is.
    """
    options = attempt.options
    parallel = min(options.max_parallel_trials, options.num_trials)
    sign = -1.0 if attempt.objective in MINIMISED else 1.0
    story = _Story(options.num_trials, attempt.objective)
    search = searcher(
        options.hparam_tuning_algorithm, attempt.dimensions, _active(attempt), options.num_trials, run.seed, parallel
    )
    found: list[_Made] = []
    cut = None
    with ThreadPoolExecutor(parallel, thread_name_prefix="sqlml-trial") as pool:
        while len(found) < options.num_trials and cut is None:
            points = _asked(search, min(parallel, options.num_trials - len(found)))
            if not points:
                break
            numbers = range(len(found) + 1, len(found) + len(points) + 1)
            jobs = [(n, p, TrialRun(run, n, story, options.hparam_tuning_pruning, run.max_iterations)) for n, p in
                    zip(numbers, points, strict=True)]  # fmt: skip
            futures: list[Future[_Made]] = []
            try:
                if parallel == 1:
                    made = [_trial(attempt, *job) for job in jobs]
                else:
                    futures = [pool.submit(_trial, attempt, *job) for job in jobs]
                    attempt.wait(futures)
                    made = [f.result() for f in futures]
            except (Cancelled, KeyboardInterrupt):
                run.cancel()  # the trials beside it end at their next report; until then they need the connection
                attempt.wait(futures)
                if not any(m.trial.status == "SUCCEEDED" for m in found):
                    raise
                cut = f"the statement was cancelled. The {len(found)} finished trials were kept."
                break
            for point, item in zip(points, made, strict=True):
                _remember(item, found, story, sign)
                if item.trial.status == "STOPPED_EARLY":
                    search.stopped(point, item.run.losses)
                else:
                    search.tell(point, None if item.trial.objective is None else sign * item.trial.objective)
            _refuse_failures(found, options.num_trials)
    return _outcome(found, sign, cut)


@dataclass(frozen=True, slots=True)
class _Made:
    trial: Trial
    run: TrialRun


def _asked(search: Any, count: int) -> list[Point]:
    points = []
    for _ in range(count):
        point = search.ask()
        if point is None:
            break
        points.append(point)
    return points


def _active(attempt: Attempt) -> Callable[[str, Point], bool]:
    def active(name: str, point: Point) -> bool:
        return attempt.model.active(name, dataclasses.replace(attempt.options, **point))

    return active


def _trial(attempt: Attempt, number: int, point: Point, run: TrialRun) -> _Made:
    """One trial; what is wrong with it becomes its status."""
    known = declarations(attempt.model.options)
    shown = tuple((d.name, point.get(d.name)) for d in attempt.dimensions)
    values = dict(point)
    for d in attempt.dimensions:
        if d.name not in point:
            values[d.name] = known[d.name].default
    options = dataclasses.replace(attempt.options, **values)
    run.tell("trial")

    def bad(status: str, why: str) -> _Made:
        return _Made(Trial(number, shown, options, status=status, error=why), run)

    try:
        attempt.model.check(options, attempt.given | set(point), attempt.columns)
    except (OptionError, NotSupportedError) as error:
        return bad("INFEASIBLE", error.message)
    try:
        state = attempt.fit(options, run)
        metrics = attempt.judge(options, state)
    except Hopeless:
        at = len(run.losses)
        return bad("STOPPED_EARLY", f"stopped after {at} iterations: it could not have ended better than most trials.")
    except Cancelled:
        raise
    except Error as error:
        return bad("FAILED", error.message)
    value = metrics.get(attempt.objective.lower())
    if value is None or not math.isfinite(value):
        return bad("FAILED", f"{attempt.objective} is not a number.")
    last = run.iterations[-1] if run.iterations else None
    trial = Trial(
        number,
        shown,
        options,
        state,
        value,
        training_loss=last.loss if last else None,
        eval_loss=last.eval_loss if last else None,
    )
    return _Made(trial, run)


def _remember(item: _Made, found: list[_Made], story: _Story, sign: float) -> None:
    found.append(item)
    value = item.trial.objective
    if value is None:
        return
    if item.run.losses:
        story.curves.append(item.run.losses)
    if story.best is None or sign * value > sign * story.best:
        story.best = value


def _refuse_failures(found: Sequence[_Made], trials: int) -> None:
    failed = [m.trial for m in found if m.trial.status == "FAILED"]
    if 2 * len(failed) > trials:
        text = f"more than half of the trials failed. Trial {failed[0].trial_id}: {failed[0].error}"
        raise TrainingError(text)


def _outcome(found: Sequence[_Made], sign: float, cut: str | None) -> Outcome:
    good = [m for m in found if m.trial.objective is not None]
    if not good:
        first = found[0].trial
        raise TrainingError(f"NUM_TRIALS must give at least one model. Trial {first.trial_id}: {first.error}")
    top = max(sign * (m.trial.objective or 0.0) for m in good)
    trials = tuple(
        dataclasses.replace(m.trial, is_optimal=m in good and sign * (m.trial.objective or 0.0) == top) for m in found
    )
    best = next(t for t in trials if t.is_optimal)
    mine = next(m for m in good if m.trial.trial_id == best.trial_id)
    return Outcome(trials, best, tuple(mine.run.iterations), cut)
