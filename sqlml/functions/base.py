"""What an ML table function is: one record that says what it takes and how it becomes a relation.

A function gives either `Inline`, SQL that takes its place in the user's query, or `Computed`, a small
table that is made when the statement runs and registered for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pyarrow as pa

from sqlml.arrow import integers
from sqlml.catalog import Catalog
from sqlml.database import Database
from sqlml.errors import NotSupportedError, OptionError, SchemaError, Span
from sqlml.models import MODELS
from sqlml.models.base import BatchFunction, Fixed, Model, Task, Trained
from sqlml.schema import Column, find


@dataclass(frozen=True, slots=True)
class Source:
    """The data argument of a call.

    Args:
        sql: a FROM item; it may refer to the WITH clauses of the query around it.
        scope: those WITH clauses, as a prefix of a query that runs alone; "" when there are none.
        columns: names and types.
        span: where the argument stands.
    """

    sql: str
    scope: str
    columns: tuple[Column, ...]
    span: Span | None = None

    def query(self) -> str:
        """The rows as a query that runs alone."""
        return f"{self.scope} SELECT * FROM {self.sql}".strip()


@dataclass(frozen=True, slots=True)
class Ahead:
    """A part of a query that may be computed ahead of it, in large blocks.

    Args:
        sql: the part: the rows of `source`, and as `__f` what the function says of them.
        name: of the function in SQL.
        function: the function; its arguments are expressions over the columns.
        source, columns: a FROM item, and its columns.
        outputs: numbers that the function gives for a row.
    """

    sql: str
    name: str
    function: BatchFunction
    source: str
    columns: tuple[Column, ...]
    outputs: int


@dataclass(frozen=True, slots=True)
class Inline:
    """SQL (a parenthesised query) in place of the call, and tables that must be registered for it.

    `ahead` is a part of the SQL that may be computed ahead of the query.
    """

    sql: str
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    ahead: Ahead | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """A table that is made when the statement runs."""

    columns: tuple[Column, ...]
    compute: Callable[[], pa.Table]


@dataclass(frozen=True, slots=True)
class Context:
    """What functions may use."""

    database: Database
    catalog: Catalog
    settings: Mapping[str, Any]
    parameters: Any = None

    @property
    def fidelity(self) -> Literal["best", "bigquery"]:
        """SET sqlml.fidelity."""
        return "bigquery" if self.settings.get("fidelity") == "bigquery" else "best"


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose arguments are checked.

    Args:
        name: "ML.PREDICT".
        context: database and settings.
        trained: the model, or None for functions without one.
        source: the data argument, or None.
        settings: the bound STRUCT (or named arguments), an instance of the function's `settings`.
        given: names of the settings that were written.
        array: the array argument (ML.ROC_CURVE), or None.
        sources: further tables and queries, by argument name or position.
        places: where the value of each setting stands.
    """

    name: str
    context: Context
    trained: Trained | None
    source: Source | None
    settings: Any
    given: frozenset[str]
    span: Span
    array: tuple[object, ...] | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    places: Mapping[str, Span] = field(default_factory=dict)

    @property
    def model(self) -> Trained:
        """The model; the function's record promises that there is one."""
        assert self.trained is not None
        return self.trained

    @property
    def kind(self) -> Model[Any, Any]:
        """The model's type."""
        return MODELS[self.model.model]

    @property
    def data(self) -> Source:
        """The data argument; the function's record promises that there is one."""
        assert self.source is not None
        return self.source


@dataclass(frozen=True)
class NoSettings:
    """A function without settings."""


@dataclass(frozen=True, slots=True)
class TableFunction:
    """An ML.* or AI.* function that stands in FROM.

    Args:
        name: "ML.PREDICT".
        doc: one sentence.
        run: makes the relation.
        settings: dataclass that declares the settings with `option`.
        model: whether a MODEL argument is taken.
        data: whether a table or query is taken.
        asks: a method that the model type must have.
        tasks: the tasks of the model types it works on; None for all.
        array: whether an array argument is taken.
        sources: names of the data arguments of functions that take several (by position or name).
        positional: names of the settings that may be given by position, in order.
        forms: the function's other forms, for models of other tasks: their own settings, check and work.
    """

    name: str
    doc: str
    run: Callable[[Call], Inline | Computed]
    settings: type = NoSettings
    model: bool = True
    data: Literal["none", "optional", "required"] = "none"
    asks: str | None = None
    tasks: frozenset[Task] | None = None
    array: bool = False
    sources: tuple[str, ...] = ()
    positional: tuple[str, ...] = ()
    forms: tuple[TableFunction, ...] = ()

    def form(self, model: Model[Any, Any] | None) -> TableFunction:
        """The form of this function for models of this type."""
        if model is None:
            return self
        return next((f for f in self.forms if f.tasks is not None and model.task in f.tasks), self)

    def works_on(self, model: Model[Any, Any]) -> bool:
        """Whether the function works on models of this type."""
        if self.asks is not None and getattr(type(model), self.asks, None) is getattr(Model, self.asks, None):
            return False
        return self.tasks is None or model.task in self.tasks


def refuse_threshold(call: Call) -> None:
    """THRESHOLD is for two labels and needs data."""
    if "threshold" not in call.given:
        return
    span = call.places.get("threshold", call.span)
    if call.model.label is None or len(call.model.label.classes) != 2:
        raise OptionError("THRESHOLD must be given only for models with two labels.", span=span)
    if call.source is None:
        raise OptionError("THRESHOLD must be given only together with input data.", span=span)


def label_column(call: Call) -> Column:
    """The label in the data argument. Raises `SchemaError` when it is not there."""
    label = call.model.label
    assert label is not None
    column = find(call.data.columns, label.name)
    if column is None:
        text = f"the input of {call.name} must have the label column {label.name}."
        raise SchemaError(text, span=call.data.span)
    return column


def for_each_trial(call: Call, make: Callable[[Trained], Fixed]) -> Fixed:
    """The answer of a function without data: of a tuned model one part for each trial, TRIAL_ID first."""
    if not call.model.finished:
        return make(call.model)
    wanted = getattr(call.settings, "trial_id", None) if "trial_id" in call.given else None
    parts, ids = [], []
    for trial in call.model.finished:
        if wanted is None or trial.trial_id == wanted:
            parts.append(make(call.model.of_trial(trial)))
            ids += [trial.trial_id] * parts[-1].table.num_rows
    whole = pa.concat_tables([p.table for p in parts])
    names = ["trial_id", *whole.column_names]
    table = pa.Table.from_arrays([integers(ids), *whole.columns], names=names)
    return Fixed((Column("trial_id", "BIGINT"), *parts[0].columns), table)


def with_trial(call: Call) -> Call:
    """The call with the model of the trial that TRIAL_ID names. Raises `OptionError`."""
    if "trial_id" not in call.given or call.trained is None:
        return call
    refuse_trials(call)
    wanted, span = call.settings.trial_id, call.places.get("trial_id", call.span)
    trial = next((t for t in call.trained.trials if t.trial_id == wanted), None)
    if trial is None:
        text = f"TRIAL_ID must be from 1 to {len(call.trained.trials)} for {call.trained.path}. Got {wanted}."
        raise OptionError(text, span=span)
    if trial.status != "SUCCEEDED":
        text = f"TRIAL_ID must name a trial that succeeded. Trial {wanted} is {trial.status}: {trial.error}"
        raise OptionError(text, span=span, hint=f"SELECT * FROM ML.TRIAL_INFO(MODEL {call.trained.path})")
    return replace(call, trained=call.trained.of_trial(trial))


def refuse_trials(call: Call) -> None:
    """TRIAL_ID is for models that were trained with NUM_TRIALS."""
    if call.given and "trial_id" in call.given and not call.model.finished:
        span = call.places.get("trial_id", call.span)
        raise OptionError("TRIAL_ID must be given only for models trained with NUM_TRIALS.", span=span)


def led_by_trial(call: Call, found: Inline | Computed) -> Inline | Computed:
    """The answer, with TRIAL_ID before its columns when the model was tuned: the trial that served the call.

    Source: the printed answer of ML.PREDICT in the service's tutorial on hyperparameter tuning.
    """
    trial = serving_trial(call)
    if trial is None:
        return found
    if isinstance(found, Inline):
        return replace(found, sql=f"(SELECT {trial}::BIGINT AS trial_id, * FROM {found.sql})")

    def compute() -> pa.Table:
        table = found.compute()
        return table.add_column(0, "trial_id", integers([trial] * table.num_rows))

    return Computed((Column("trial_id", "BIGINT"), *found.columns), compute)


def serving_trial(call: Call) -> int | None:
    """The trial whose model the call uses: the one of TRIAL_ID, else the first optimal one; None when not tuned."""
    if call.trained is None or not call.trained.finished:
        return None
    if "trial_id" in call.given:
        return int(call.settings.trial_id)
    return next(t.trial_id for t in call.trained.finished if t.is_optimal)


def not_without_data(call: Call) -> NotSupportedError:
    """The error of a function that needs data for this model."""
    return NotSupportedError(f"{call.name} needs input data for the model {call.model.path}.", span=call.span)
