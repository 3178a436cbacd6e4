"""CREATE MODEL, run: rows -> transform -> split -> encoder -> model -> metrics -> catalog."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlml import automl, encode
from sqlml.encode import Design
from sqlml.errors import Cancelled, DataError, Error
from sqlml.functions.drift import training_profiles
from sqlml.functions.examples import kept_examples
from sqlml.functions.explain import explains, global_attributions
from sqlml.functions.judge import HeldOut, Measured
from sqlml.functions.measure import Rows, classification_metrics, outcome, regression_metrics, stored
from sqlml.functions.scoring import scored
from sqlml.models.automl import AutoMl
from sqlml.models.base import FeatureStatistics, Label, Task, Trained, TrainingData
from sqlml.models.tuning import Shared
from sqlml.plan.create import SUPERVISED, CreatePlan, feature_columns
from sqlml.plan.locate import find_column
from sqlml.plan.session import Session
from sqlml.progress import Listener, Run
from sqlml.relation import LocalRelation, Relation, Remainder
from sqlml.schema import Column, Kind, find, quote_name
from sqlml.split import AUTO_EVAL_ROWS, Split, split
from sqlml.statistics import (
    NumberStatistics,
    Products,
    Raw,
    medians_of,
    number_statistics,
    sample_of,
    statistics_with_products,
)
from sqlml.tune import Attempt, objective_of, run_trials, settled

#: Held-out rows up to this share of the training rows are subtracted from sums rather than filtered out.
SMALL_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """How the training rows are read: where they lie, or from a copy, and why."""

    copied: bool
    reason: str


def reading(session: Session, sql: str) -> Reading:
    """Whether the training query can be read again at every pass."""
    text = sql.lower()
    # The list of functions takes DuckDB 20 ms: it is not read for a query without a call.
    known = session.database.volatile_functions() if "(" in text else ()
    volatile = sorted(f for f in known if f"{f}(" in text)
    if volatile:
        return Reading(True, f"{volatile[0]}() gives other values at each reading")
    if "sqlml_" in text:
        return Reading(True, "it calls functions that are dearer than a copy")
    operator = session.database.expensive_operator(sql)
    if operator is not None:
        return Reading(True, f"its plan has {operator}, which is dearer than a copy")
    return Reading(False, "it is a plain scan")


def create_model(session: Session, plan: CreatePlan, listeners: Sequence[Listener] = ()) -> None:
    """Train and save. Nothing is stored unless everything succeeds."""
    if plan.skip:
        plan.catalog.touch(plan.dataset, plan.name)
        return
    training_run = plan.previous.training_run + 1 if plan.previous else 0
    run = Run(
        seed=session.settings.seed,
        model=f"{plan.dataset}.{plan.name}",
        listeners=tuple(listeners),
        training_run=training_run,
        max_iterations=getattr(plan.options, "max_iterations", None),
    )
    try:
        with rows_of(session, plan) as relation:
            trained = [train(session, plan, relation, run)]
        if run.ended is None:
            run.tell("saving")
        plan.catalog.save(trained.pop(), {})  # the only reference: its arrays go as they are written
        if run.ended is not None:
            raise Cancelled(run.ended)
    except Error as error:
        if error.span is None:
            word = error.message.split(" ", 1)[0].lower()
            place = find_column(error.message, plan.planner.text, plan.query_span)
            error.span = plan.spans.get(word) or place or plan.query_span
        raise


@contextlib.contextmanager
def rows_of(session: Session, plan: CreatePlan) -> Iterator[LocalRelation]:
    """The rows of the training query; all passes see one state of the database."""
    database = session.database
    parameters = plan.planner.parameters()
    names: list[str] = []
    for name, computed in plan.planner.computed.items():
        database.register(name, computed.compute())
        names.append(name)
    copied = bool(parameters) or bool(names) or reading(session, plan.sql).copied
    before = set(database.snapshots)
    try:
        # A copy is one state already; otherwise all passes read inside one transaction.
        with contextlib.nullcontext() if copied else database.same_state():
            source = database.snapshot(plan.sql, parameters) if copied else f"({plan.sql})"
            yield LocalRelation(database, source, plan.columns)
    finally:
        for name in database.snapshots - before:
            with contextlib.suppress(Error):
                database.drop_snapshot(name)
        for name in names:
            database.unregister(name)


def train(session: Session, plan: CreatePlan, relation: LocalRelation, run: Run) -> Trained:
    """The trained model of a plan over its rows."""
    run.tell("reading")
    rows = relation.count()
    run.rows = rows
    if rows == 0:
        raise DataError("the training query must return rows. It returns none.")
    if rows < plan.model.min_rows:
        raise DataError(f"the training query must return at least {plan.model.min_rows} rows. Got {rows}.")
    relation = replace(relation, rows=rows)
    before = feature_columns(plan, plan.columns)
    label_number = _label_number(plan)
    sample = sample_of(relation, (*before, *label_number), rows)
    medians = medians_of(sample, [c for c in (*before, *label_number) if c.kind is Kind.NUMERIC])
    numbers, products = _numbers(plan, relation, before, label_number, rows, medians)
    transform, columns, data = None, plan.columns, relation
    if plan.transform is not None:
        transform = plan.transform.fit(relation)
        items = ", ".join(f"{e} AS {quote_name(n)}" for n, e in transform.select_items())
        source = f"(SELECT {items} FROM {relation.source})"
        columns = session.database.describe(f"SELECT * FROM {source}")
        data = LocalRelation(session.database, source, columns, rows=rows)
    features = feature_columns(plan, columns)
    if transform is not None and plan.model.encoded:
        encode.check_columns(features, plan.model.encoding(plan.options), plan.type_name)
    label = _label(plan, columns, data)
    parts = _kept_apart(split(data, plan.model.split(plan.options), rows, columns), data)
    train_rows = rows if parts.evaluation is None else parts.train.count()
    run.tell("encoding")
    encoding = plan.model.encoding(plan.options)
    design = Design((), ())
    if plan.model.encoded:
        design = encode.fit(data, features, encoding, rows, numbers if transform is None else None)
    statistics = feature_statistics(relation, before, rows, numbers, medians, design if transform is None else None)
    weight = plan.model.weight(plan.options, label)
    training = TrainingData(
        parts.train, parts.evaluation, design, label, weight, train_rows, columns, plan.previous, session.fidelity,
        plan.given, _extra(session, plan), _device(session), products=_of_training(products, parts),
        sample=sample if sample is not relation and transform is None and parts.evaluation is None else None,
    )  # fmt: skip
    searched = bool(plan.dimensions) or isinstance(plan.model, AutoMl)
    state = None if searched else plan.model.train(training, plan.options, run)
    trained = Trained(
        dataset=plan.dataset,
        name=plan.name,
        uid=uuid.uuid4().hex,
        model=plan.type_name,
        options=plan.options,
        given=tuple(sorted(plan.given)),
        query=plan.text,
        inputs=_inputs(plan, transform, features),
        label=label,
        design=design,
        transform=_replayed(plan, transform, features),
        state=state,
        statistics=statistics,
        iterations=(*(plan.previous.iterations if plan.previous else ()), *run.iterations),
        metrics={},
        evaluation={},
        rows=train_rows,
        eval_rows=parts.evaluation.count() if parts.evaluation else 0,
        fidelity=session.fidelity,
        seed=run.seed,
        training_run=run.training_run,
        created=datetime.datetime.now(datetime.UTC),
        versions=versions(),
        profile=training_profiles(sample, before, sample.count()),
        examples=kept_examples(parts.train, design, label, plan.options, train_rows, run.seed),
    )
    if plan.dimensions:
        return tuned(session, plan, trained, training, parts, run)
    if isinstance(plan.model, AutoMl):
        return automatic(session, plan, replace(trained, design=Design((), features)), training, parts, data, run)
    run.tell("evaluating")
    metrics, evaluation = measured(session, plan, trained, parts.held_out)
    evaluation = {**evaluation, **attributed(session, trained, parts.held_out)}
    return replace(trained, metrics=metrics, evaluation=evaluation)


def _label_number(plan: CreatePlan) -> tuple[Column, ...]:
    """The label when it is a number that is fitted as it is."""
    if plan.label is None or plan.transform is not None or plan.model.task is not Task.REGRESSION:
        return ()
    return (plan.label,) if plan.label.kind is Kind.NUMERIC else ()


def _numbers(
    plan: CreatePlan,
    relation: LocalRelation,
    columns: tuple[Column, ...],
    label: tuple[Column, ...],
    rows: int,
    medians: Mapping[str, float | None],
) -> tuple[dict[str, NumberStatistics], Products | None]:
    """Statistics of the numbers; for a model that is made of products of columns those too, from the same pass."""
    raw = encode.number_features(columns)
    method = plan.model.split(plan.options).method
    whole = method == "NO_SPLIT" or (method == "AUTO_SPLIT" and SMALL_SHARE * rows > AUTO_EVAL_ROWS)
    if plan.transform is None and whole and plan.model.takes_products(plan.options, rows, len(raw)):
        target = [Raw("number", c.name, Label(c.name, c.sql_type).sql, c.name, c.type) for c in label]
        return statistics_with_products(relation, raw, target, medians)
    return number_statistics(relation, raw, medians), None


def _of_training(products: Products | None, parts: Split) -> Products | None:
    """The products of the rows that train, when those of all rows tell them."""
    if products is None or parts.evaluation is None:
        return products
    return products.less(parts.train.part) if isinstance(parts.train, Remainder) else None


def tuned(session: Session, plan: CreatePlan, trained: Trained, data: TrainingData, parts: Split, run: Run) -> Trained:
    """The best of several trials, with all of them; evaluation rows choose it, test rows judge it.

    When the search is cancelled after some trials, `run.ended` says so and the trials are kept.
    """
    apart = Split(parts.train, _table_of(session, parts.evaluation), _table_of(session, parts.test))
    choosing = _judging(session, plan, trained, apart.evaluation or apart.train)
    seen: dict[int, Measured] = {}

    def judge(options: Any, state: Any) -> dict[str, float | None]:
        found = choosing(replace(trained, options=options, state=state))
        seen[id(state)] = found
        return dict(found[0])

    shared = Shared()
    data = replace(data, evaluation=apart.evaluation, shared=shared)
    attempt = Attempt(
        plan.model,
        plan.options,
        plan.given,
        data.columns,
        settled(plan.model, plan.dimensions, data.rows),
        objective_of(plan.model, plan.options),
        lambda options, trial_run: plan.model.train(data, options, trial_run),
        judge,
        session.database.wait,
    )
    try:
        found = run_trials(attempt, run)
    finally:
        shared.close()
    run.ended = found.cut
    judging = None if apart.test is None else _judging(session, plan, trained, apart.test)
    trials = []
    for trial in found.trials:
        if trial.status == "SUCCEEDED":
            metrics, evaluation = seen[id(trial.state)]
            if judging is not None:
                metrics, evaluation = judging(replace(trained, options=trial.options, state=trial.state))
            trial = replace(trial, metrics=metrics, evaluation=evaluation)
        trials.append(trial)
    best = trials[found.best.trial_id - 1]
    whole = replace(trained, state=best.state, options=best.options, trials=tuple(trials), iterations=found.iterations)
    evaluation = {**best.evaluation, **attributed(session, whole, apart.held_out)}
    return replace(whole, metrics=best.metrics, evaluation=evaluation)


def _judging(session: Session, plan: CreatePlan, trained: Trained, rows: Relation) -> Callable[[Trained], Measured]:
    """What measures trials over the same rows."""
    if plan.model.task in SUPERVISED:
        assert trained.label is not None and isinstance(rows, LocalRelation)
        return HeldOut(session.database, rows, trained.label).metrics
    return lambda one: measured(session, plan, replace(one, uid=uuid.uuid4().hex), rows)


def automatic(
    session: Session,
    plan: CreatePlan,
    trained: Trained,
    data: TrainingData,
    parts: Split,
    whole: LocalRelation,
    run: Run,
) -> Trained:
    """The ensemble of AutoML; evaluation rows choose its members, test rows judge it."""
    held, test = _table_of(session, parts.evaluation), _table_of(session, parts.test)
    if held is None:
        raise DataError("the training query must return rows that can be held out. Most rows are equal.")
    found = automl.search(session, trained, replace(data, evaluation=held), trained.design.columns, whole, run)
    run.tell("evaluating")
    metrics, evaluation = measured(session, plan, found, test or held)
    shares = automl.attributions(session, found, test or held, run.seed)
    return replace(found, metrics=metrics, evaluation={**evaluation, "attributions": shares})


def _table_of(session: Session, part: Relation | None) -> LocalRelation | None:
    """Held-out rows in a table of their own: every trial reads them."""
    if part is None:
        return None
    assert isinstance(part, LocalRelation)
    return LocalRelation(session.database, session.database.snapshot(f"SELECT * FROM {part.sql()}"), part.columns)


def _device(session: Session) -> Literal["auto", "cpu", "cuda"]:
    """SET sqlml.device, as the kernels spell it."""
    return {"AUTO": "auto", "CPU": "cpu", "CUDA": "cuda"}[session.settings.device]  # type: ignore[return-value]


def _kept_apart(parts: Split, data: LocalRelation) -> Split:
    """The same split; a small held-out part gets a table of its own, and sums leave it out by subtraction."""
    if parts.evaluation is None or parts.test is not None or len(parts.counts) < 2:
        return parts
    train_rows, held_rows = parts.counts[:2]
    assert isinstance(parts.evaluation, LocalRelation) and isinstance(parts.train, LocalRelation)
    train = replace(parts.train, rows=train_rows)
    if train_rows + held_rows != data.count() or held_rows > SMALL_SHARE * train_rows:
        return Split(train, replace(parts.evaluation, rows=held_rows))
    name = data.database.snapshot(f"SELECT * FROM {parts.evaluation.sql()}")
    held = LocalRelation(data.database, name, data.columns, rows=held_rows)
    return Split(Remainder(data, held, train), held)


def _extra(session: Session, plan: CreatePlan) -> dict[str, Any]:
    found = {}
    for name, sql in (plan.queries or {}).items():
        columns = session.database.describe(sql)
        found[name] = LocalRelation(session.database, f"({sql})", columns)
    return found


def _replayed(plan: CreatePlan, transform: Any, features: tuple[Column, ...]) -> Any:
    """The items of TRANSFORM that prediction needs: not the label and the split column."""
    if transform is None or not plan.model.encoded:
        return transform
    kept = {c.name for c in features}
    return transform.without([name for name in transform.outputs if name not in kept])


def _inputs(plan: CreatePlan, transform: Any, features: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns that prediction needs: those of the features, before TRANSFORM."""
    if transform is None:
        return features
    needs = _replayed(plan, transform, features).needs
    found = [find(plan.columns, n) for n in needs]
    return tuple(c for c in found if c is not None)


def _label(plan: CreatePlan, columns: tuple[Column, ...], relation: LocalRelation) -> Label | None:
    """The label with its classes; refuses NULL, NaN and infinite labels, one class, too many."""
    if plan.label is None:
        return None
    column = find(columns, plan.label.name) or plan.label
    name = quote_name(column.name)
    place = plan.spans.get("input_label_cols") or plan.query_span
    if relation.aggregate([f"count(*) - count({name})"])[0]:
        hint = f"add WHERE {column.name} IS NOT NULL to the training query."
        raise DataError(f"the label {column.name} must not be NULL in any row.", span=place, hint=hint)
    if plan.model.task is Task.REGRESSION:
        if column.type.name in ("FLOAT", "DOUBLE") and not relation.aggregate([f"bool_and(isfinite({name}))"])[0]:
            raise DataError(f"the label {column.name} must be finite. Some row has NaN or infinity.", span=place)
        return Label(column.name, column.sql_type)
    limit = plan.model.max_classes
    table = relation.table(
        f"{name}::VARCHAR AS v, any_value({name}) AS o, count(*) AS n"
        f" FROM {{rows}} GROUP BY 1 ORDER BY o LIMIT {limit + 1}"
    )
    values, counts = table.column("v").to_pylist(), table.column("n").to_pylist()
    if len(values) < 2:
        raise DataError(f"the label {column.name} must have at least two values. Got only {values[0]!r}.", span=place)
    if len(values) > limit:
        advice = "use a regression for a label that is a quantity." if column.kind is Kind.NUMERIC else None
        raise DataError(f"the label {column.name} must have at most {limit} values. Got more.", span=place, hint=advice)
    if column.type.name in ("FLOAT", "DOUBLE") and any(not math.isfinite(float(v)) for v in values):
        raise DataError(f"the label {column.name} must be finite. Some row has NaN or infinity.", span=place)
    return Label(column.name, column.sql_type, tuple(values), tuple(counts))


def measured(session: Session, plan: CreatePlan, trained: Trained, held: Relation) -> Measured:
    """The metrics of a model on rows (after TRANSFORM)."""
    if plan.model.task not in SUPERVISED:
        return dict(plan.model.training_metrics(trained, held)), {}
    assert trained.label is not None and isinstance(held, LocalRelation)
    # The rows are transformed already: score them as a model without TRANSFORM.
    bare = replace(trained, transform=None, inputs=trained.design.columns)
    found = scored(session.database, bare, held.sql(), held.columns)
    rows = Rows(session.database)
    if not trained.label.classes:
        return regression_metrics(rows, found, trained.label), {}
    result = outcome(rows, found, trained.label)
    return classification_metrics(result), stored(result)


def attributed(session: Session, trained: Trained, held: Relation) -> Mapping[str, Any]:
    """The global attributions over rows (after TRANSFORM), when the statement asks for them."""
    if not explains(trained):
        return {}
    assert isinstance(held, LocalRelation)
    bare = replace(trained, transform=None, inputs=trained.design.columns)
    return global_attributions(session.database, bare, held.sql(), held.columns, held.count())


def versions() -> Mapping[str, str]:
    """Versions of the libraries that decide what a model computes."""
    found = {}
    for package in ("sqlml", "duckdb", "numpy", "xgboost", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


# ---------------------------------------------------------------- statistics of the columns


def feature_statistics(
    relation: LocalRelation,
    columns: tuple[Column, ...],
    rows: int,
    numbers: Mapping[str, NumberStatistics],
    medians: Mapping[str, float | None],
    design: Design | None,
) -> tuple[FeatureStatistics, ...]:
    """The lines of ML.FEATURE_INFO, from what was read already; medians and other columns are read here."""
    known = {f.name: f for f in design.features if isinstance(f, encode.Category)} if design is not None else {}
    rest = [c for c in columns if c.kind is not Kind.NUMERIC and not (c.name in known and c.kind is Kind.CATEGORY)]
    wanted = [_statistics(c, quote_name(c.name)) for c in rest]
    values = iter(relation.aggregate([t for w in wanted for t in w.values()]))
    read = {c.name: {n: next(values) for n in w} for c, w in zip(rest, wanted, strict=True)}
    found = []
    for c in columns:
        if c.kind is Kind.NUMERIC:
            s = numbers[c.name]
            found.append(
                FeatureStatistics(
                    c.name, s.low, s.high, s.mean, medians[c.name], s.stddev if s.n else None, null_count=rows - s.n
                )
            )
        elif c.name in read:
            found.append(FeatureStatistics(c.name, **_integers(read[c.name])))
        else:
            levels = known[c.name].levels
            nulls = known[c.name].counts[levels.index(None)] if None in levels else 0
            found.append(FeatureStatistics(c.name, category_count=sum(v is not None for v in levels), null_count=nulls))
    return tuple(found)


def _integers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v if v is None else int(v) for k, v in values.items()}


def _statistics(c: Column, name: str) -> dict[str, str]:
    nulls = f"count(*) - count({name})"
    if c.kind is Kind.VECTOR:
        return {"null_count": nulls, "dimension": f"max(len({name}))"}
    if c.kind is Kind.SPARSE:
        assert c.type.item is not None
        index = quote_name(c.type.item.fields[0][0])
        inside = f"list_transform({name}, lambda __e: __e.{index})"
        return {"null_count": nulls, "dimension": f"max(list_max({inside})) + 1"}
    if c.kind is Kind.SET:
        return {"category_count": f"len(list_distinct(flatten(list(DISTINCT {name}))))", "null_count": nulls}
    return {"category_count": f"count(DISTINCT {name})", "null_count": nulls}
