"""The search of AUTOML_* models: trials over several model types, then a weighted ensemble of the best.

Every type begins with its default options; then boosted trees get every second trial and the other types take
turns, each with a Bayesian search of its own space. Evaluation rows choose members and weights; test rows judge.
The search ends with the budget, or after PATIENCE trials without an improvement.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml import encode
from sqlml.arrow import integers
from sqlml.errors import Cancelled, Error, SchemaError, TrainingError
from sqlml.functions.judge import HeldOut
from sqlml.functions.measure import Rows
from sqlml.functions.scoring import scored
from sqlml.kernels import ensemble
from sqlml.kernels.types import F64
from sqlml.models import MODELS
from sqlml.models.automl import AutoState, Member, goal
from sqlml.models.base import Model, Task, Trained, TrainingData
from sqlml.models.tuning import Shared, Trial
from sqlml.plan.session import Session
from sqlml.progress import Progress, Run
from sqlml.relation import LocalRelation
from sqlml.schema import Column, quote_name
from sqlml.tune.search import Search, searcher
from sqlml.tune.spaces import read_spaces

PATIENCE = 30
#: Rows whose predictions are explained for the global attributions, and orders in which their columns are switched.
EXPLAINED, ORDERS = 100, 6
#: The best trials that may become members.
LIBRARY = 40
#: A forest may take this share of the time that is left; so many trees tell how long one takes.
_FOREST_SHARE, _PILOT = 0.25, 2
_TREES = {"max_iterations": 300, "min_rel_progress": 1e-3}


class _OutOfTime(Exception):
    """Raised inside a training when the budget is spent."""


@dataclass(slots=True)
class _Kind:
    """A model type of the search, with its encoding of the columns and its search."""

    name: str
    model: Model[Any, Any]
    base: Any
    data: TrainingData
    search: Search
    tried: int = 0
    #: Of a forest: seconds for one tree. It is grown in one piece, which nothing can interrupt.
    per_tree: float = 0.0


@dataclass(frozen=True, slots=True)
class _Found:
    """A trained candidate with its predictions for the evaluation rows."""

    member: Member
    prediction: F64
    value: float
    trial: int


def search(
    session: Session, trained: Trained, data: TrainingData, features: tuple[Column, ...], whole: LocalRelation, run: Run
) -> Trained:
    """The ensemble for the rows of a statement.

    Args:
        trained: the model to be, without state.
        data: rows and label; the encodings are made here.
        features: the feature columns.
        whole: all rows, for the statistics of the encodings.

    Raises:
        TrainingError: no candidate could be trained.
    """
    assert data.label is not None and isinstance(data.evaluation, LocalRelation)
    title, objective = goal(trained.options, MODELS[trained.model].task, len(data.label.classes) or None)
    deadline = time.monotonic() + 3600.0 * trained.options.budget_hours
    shared: list[Shared] = []
    try:
        kinds = _kinds(trained, data, features, whole, run, shared)
        y = _labels(session, data)
        held = HeldOut(session.database, data.evaluation, data.label, ordered=True)
        found, trials = _candidates(held, trained, kinds, y, objective, title, deadline, run)
    finally:
        for item in shared:
            item.close()
    if not found:
        raise TrainingError(f"no candidate could be trained. {trials[0].error if trials else ''}".strip())
    library = sorted(found, key=lambda f: -f.value)[:LIBRARY]
    generator = np.random.default_rng([run.seed, 13])
    weights = ensemble.bagged([f.prediction for f in library], y, objective, generator)
    weights = ensemble.hedged(weights, [f.member.model for f in library], len(y))
    members = tuple(replace(f.member, weight=float(w)) for f, w in zip(library, weights, strict=True) if w > 0.0)
    shares = {f.trial: float(w) for f, w in zip(library, weights, strict=True)}
    listed = tuple(
        replace(t, hyperparameters=(*t.hyperparameters, ("weight", shares.get(t.trial_id, 0.0)))) for t in trials
    )
    listed = tuple(replace(t, is_optimal=t.trial_id == library[0].trial) for t in listed)
    return replace(trained, state=AutoState(members), trials=listed, iterations=tuple(run.iterations))


def _kinds(
    trained: Trained,
    data: TrainingData,
    features: tuple[Column, ...],
    whole: LocalRelation,
    run: Run,
    shared: list[Shared],
) -> list[_Kind]:
    """The model types that take these columns, each with its design and its default options."""
    assert data.label is not None
    regression = MODELS[trained.model].task is Task.REGRESSION
    end = "REGRESSOR" if regression else "CLASSIFIER"
    names = [f"BOOSTED_TREE_{end}", "LINEAR_REG" if regression else "LOGISTIC_REG", f"RANDOM_FOREST_{end}"]
    if importlib.util.find_spec("torch") is not None:
        names.append(f"DNN_{end}")
    found: list[_Kind] = []
    for name in names:
        model = MODELS[name]
        if len(data.label.classes) > model.max_classes:
            continue
        base = replace(model.options(), num_trials=100)
        try:
            encode.check_columns(features, model.encoding(base), name)
        except SchemaError:
            continue
        design = encode.fit(whole, features, model.encoding(base), data.rows)
        shared.append(Shared())
        own = replace(data, design=design, shared=shared[-1], weight=model.weight(base, data.label))
        dimensions = read_spaces(model, name, base, {}, {})
        active = _active(model, base)
        finder = searcher("VIZIER_DEFAULT", dimensions, active, 100, run.seed + len(found), 1)
        found.append(_Kind(name, model, base, own, finder))
    if not found:
        raise SchemaError("no model type takes the columns of the training query.")
    return found


def _active(model: Model[Any, Any], base: Any) -> Callable[[str, dict[str, Any]], bool]:
    return lambda name, point: model.active(name, dataclasses.replace(base, **point))


def _turn(kinds: list[_Kind], number: int) -> _Kind:
    """The type of a trial: each once, then boosted trees and the others by turns."""
    if number < len(kinds):
        return kinds[number]
    late = number - len(kinds)
    others = kinds[1:] or kinds
    return kinds[0] if late % 3 != 2 else others[(late // 3) % len(others)]


def _candidates(
    held: HeldOut,
    trained: Trained,
    kinds: list[_Kind],
    y: F64,
    objective: ensemble.Objective,
    title: str,
    deadline: float,
    run: Run,
) -> tuple[list[_Found], list[Trial]]:
    found: list[_Found] = []
    trials: list[Trial] = []
    best, since = -np.inf, 0
    while (not found or time.monotonic() < deadline) and since < PATIENCE:
        kind = _turn(kinds, len(trials))
        point = kind.search.ask()
        if point is None:
            since += 1
            continue
        kind.tried += 1
        # The first trial of a type is its default; later ones may boost for longer.
        more = _TREES if kind.tried > 1 and kind.name.startswith("BOOSTED") else {}
        options = replace(kind.base, num_trials=None, **{**more, **point})
        told = point
        if kind.name.startswith("RANDOM_FOREST"):
            options = _affordable(kind, options, deadline - time.monotonic(), run)
            told = {**point, "num_parallel_tree": options.num_parallel_tree}
        detail = "" if not found else f"best {title.lower()} so far {abs(best):.6g}"
        number = len(trials) + 1
        shown = (("model_type", kind.name), ("settings", _settings(told)))
        now = _Moment(number, shown, detail, deadline if found else np.inf)
        trial, item = _attempt(held, trained, kind, options, y, objective, run, now)
        if trial is None:
            break
        kind.search.tell(point, None if item is None else item.value)
        trials.append(trial)
        since += 1
        if item is not None:
            found.append(item)
            if item.value > best:
                best, since = item.value, 0
            run.report(number - 1, None if best == -np.inf else abs(float(best)))
    return found, trials


def _affordable(kind: _Kind, options: Any, left: float, run: Run) -> Any:
    """A forest of as many trees as a part of the time that is left can grow."""
    if not kind.per_tree:
        few = replace(options, num_parallel_tree=_PILOT)
        for _ in range(2):  # the first one reads the rows too
            begin = time.monotonic()
            try:
                kind.model.train(kind.data, few, Run(seed=run.seed, model=run.model, listeners=(_hearing(run),)))
            except Cancelled:
                raise
            except Error:
                return few  # the trial will say why
            kind.per_tree = (time.monotonic() - begin) / _PILOT
    most = int(_FOREST_SHARE * max(0.0, left) / kind.per_tree)
    return replace(options, num_parallel_tree=max(_PILOT, min(options.num_parallel_tree, most)))


def _hearing(run: Run) -> Callable[[Progress], object]:
    """A listener that only lets the statement be cancelled."""

    def listen(event: Progress) -> None:
        run.tell(event.stage)

    return listen


def _settings(point: dict[str, Any]) -> str:
    """A point in words."""
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in point.items() if v is not None)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Where the search stands: the trial's number and description, the best so far in words, when time is up."""

    number: int
    shown: tuple[tuple[str, Any], ...]
    detail: str
    deadline: float


def _attempt(
    held: HeldOut,
    trained: Trained,
    kind: _Kind,
    options: Any,
    y: F64,
    objective: ensemble.Objective,
    run: Run,
    now: _Moment,
) -> tuple[Trial | None, _Found | None]:
    """One trial; None when the budget ran out inside it."""
    number, shown = now.number, now.shown

    def forward(event: Progress) -> None:
        run.tell("trial", step=number, detail=f"{kind.name} {now.detail}".strip())
        if time.monotonic() > now.deadline:
            raise _OutOfTime

    own = Run(seed=run.seed + number, model=run.model, listeners=(forward,))
    try:
        forward(Progress("trial"))
        state = kind.model.train(kind.data, options, own)
        member = Member(kind.name, options, state, kind.data.design, 1.0)
        prediction = _predictions(held, trained, member)
        value = objective(y, prediction)
    except _OutOfTime:
        return None, None
    except Cancelled:
        raise
    except Error as error:
        return Trial(number, shown, status="FAILED", error=error.message), None
    if not np.isfinite(value):
        return Trial(number, shown, status="FAILED", error="the objective is not a number."), None
    last = own.iterations[-1] if own.iterations else None
    trial = Trial(
        number, shown, objective=abs(value), training_loss=last.loss if last else None,
        eval_loss=last.eval_loss if last else None,
    )  # fmt: skip
    return trial, _Found(member, prediction, value, number)


def _labels(session: Session, data: TrainingData) -> F64:
    """(n,) labels of the evaluation rows, in their order: numbers or class indices."""
    assert data.label is not None and isinstance(data.evaluation, LocalRelation)
    sql = data.label.code if data.label.classes else data.label.sql
    table = session.database.table(f"SELECT ({sql})::DOUBLE AS y FROM {data.evaluation.sql()} ORDER BY rowid")
    return np.asarray(table.column("y").combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)


def _predictions(held: HeldOut, trained: Trained, member: Member) -> F64:
    """(n,) or (n, k) predictions for the evaluation rows, in their order."""
    return held.predictions(
        replace(trained, model=member.model, options=member.options, state=member.state, design=member.design)
    )


def _scores(session: Session, trained: Trained, source: str, columns: tuple[Column, ...]) -> F64:
    """(n,) numbers or probabilities of the second class, or (n, k), in the order of the column `__row`."""
    assert trained.label is not None
    found = scored(session.database, trained, source, columns)
    k = len(trained.label.classes)
    value = found.score.list() if k > 2 else found.score.value(1 if k == 2 else 0)
    Rows(session.database).know(found)
    table = session.database.table(f"SELECT {value} AS p FROM {found.sql} ORDER BY __row")
    column = table.column("p").combine_chunks()
    if k > 2:
        flat = np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
        return flat.reshape(len(column), k)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


# ---------------------------------------------------------------- attributions


def attributions(session: Session, trained: Trained, held: LocalRelation, seed: int) -> F64:
    """(input columns,): mean absolute Shapley values of the ensemble's prediction, sampled.

    Each of EXPLAINED rows is reached from a random other row by switching the columns over in random order; what
    the prediction (a classifier's probability of the row's own predicted class) moves by is the column's.
    Source: Strumbelj & Kononenko 2014, "Explaining prediction models and individual predictions".
    """
    names = [c.name for c in trained.inputs]
    d = len(names)
    items = ", ".join(quote_name(n) for n in names)
    query = f"SELECT {items} FROM {held.sql()} ORDER BY hash({items}) LIMIT {EXPLAINED}"
    rows = session.database.table(query).combine_chunks()
    n = rows.num_rows
    rng = np.random.default_rng([seed, 11])
    own = np.repeat(np.arange(n), ORDERS)
    other = rng.integers(0, n, n * ORDERS)
    place = rng.permuted(np.tile(np.arange(d), (n * ORDERS, 1)), axis=1)  # when each column is switched
    step = np.arange(d + 1)
    mixed = {}
    for j, name in enumerate(names):
        index = np.where(place[:, [j]] < step, own[:, None], other[:, None]).ravel()
        mixed[name] = rows.column(name).take(integers(index))
    table = pa.table({**mixed, "__row": integers(np.arange(n * ORDERS * (d + 1)))})
    name = session.database.fresh_name("mixed")
    session.database.register(name, table)
    try:
        bare = replace(trained, transform=None)
        found = _scores(session, bare, name, (*trained.inputs, Column("__row", "BIGINT")))
    finally:
        session.database.unregister(name)
    value = found.reshape(n * ORDERS, d + 1, -1)
    output = value[:, -1].argmax(axis=1) if value.shape[2] > 1 else np.zeros(len(value), np.int64)
    moved = np.diff(value[np.arange(len(value)), :, output], axis=1)
    by_column = np.take_along_axis(moved, place, axis=1).reshape(n, ORDERS, d).mean(axis=1)
    return np.asarray(np.abs(by_column).mean(axis=0))
