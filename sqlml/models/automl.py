"""AUTOML_CLASSIFIER and AUTOML_REGRESSOR: an ensemble of our own model types, found within a budget of time.

The search itself lies above (sqlml/automl.py), for it trains other model types; here are the options,
the stored ensemble, and its score: the weighted mean of what the members predict.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, integers
from sqlml.encode import Design
from sqlml.errors import OptionError
from sqlml.kernels import ensemble as kernel
from sqlml.kernels.types import F64
from sqlml.models.base import BatchFunction, Lookup, Model, RegistryOptions, Score, Task, Trained
from sqlml.options import option
from sqlml.schema import Column, find
from sqlml.split import SplitPlan

REGRESSION_GOALS = ("MINIMIZE_RMSE", "MINIMIZE_MAE", "MINIMIZE_RMSLE")
BINARY_GOALS = ("MAXIMIZE_AU_ROC", "MINIMIZE_LOG_LOSS", "MAXIMIZE_AU_PRC")
FIXED_GOALS = ("MAXIMIZE_PRECISION_AT_RECALL", "MAXIMIZE_RECALL_AT_PRECISION")


@dataclass(frozen=True)
class AutoOptions(RegistryOptions):
    """Options of both types."""

    budget_hours: float = option(
        1.0, "Longest time of the search, in hours; less than the service's 1 is allowed.", above=0.0, high=72.0
    )
    optimization_objective: str | tuple[str, float] | None = option(
        None, "What is optimised; STRUCT(name, value) fixes the recall or the precision."
    )
    input_label_cols: tuple[str, ...] | None = option(None, "The label column; by default the column called label.")
    data_split_col: str | None = option(
        None, "Column of TRAIN, VALIDATE, TEST or UNASSIGNED, or a TIMESTAMP for a chronological split."
    )


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the ensemble.

    Args:
        model: its type; `options` and `state` are of that type.
        design: its own encoding of the columns.
        weight: its share.
    """

    #: Options and state are stored as those of the model type that this field names.
    typed_by: ClassVar[str] = "model"

    model: str
    options: Any
    state: Any
    design: Design
    weight: float


@dataclass(frozen=True, slots=True)
class AutoState:
    """The ensemble; weights add up to 1."""

    members: tuple[Member, ...]


class AutoMl(Model[AutoOptions, AutoState]):
    """Base of the two model types."""

    options = AutoOptions
    state = AutoState
    transform = False
    encoded = False
    min_rows = 50

    def split(self, options: AutoOptions) -> SplitPlan:
        if options.data_split_col is not None:
            return SplitPlan("COLUMN", 0.1, 0.1, options.data_split_col, True)
        return SplitPlan("RANDOM", 0.1, 0.1, None, True)

    def check(self, options: AutoOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        goal(options, self.task, None)
        name = options.data_split_col
        column = None if name is None else find(columns, name)
        if name is not None and (column is None or column.type.name not in ("VARCHAR", "TIMESTAMP", "TIMESTAMPTZ")):
            what = "no such column" if column is None else f"{column.name} {column.type.google}"
            raise OptionError(f"DATA_SPLIT_COL must name a STRING or TIMESTAMP column. Got {what}.")

    def score(self, trained: Trained) -> Score:
        parts = [_part(i, m, trained) for i, m in enumerate(trained.state.members)]
        assert trained.label is not None
        k = len(trained.label.classes)
        arguments = tuple(a for p in parts for a in p.arguments)
        lookups = tuple(x for p in parts for x in p.lookups)
        weights = [m.weight for m in trained.state.members]

        def run(*arrays: pa.Array) -> pa.Array:
            at, total = 0, None
            for part, w in zip(parts, weights, strict=True):
                n = len(part.arguments)
                found = w * part.call(arrays[at : at + n])
                total = found if total is None else total + found
                at += n
            assert total is not None
            return _lists(total) if k > 2 else floats(total)

        function = BatchFunction(run, arguments, "DOUBLE[]" if k > 2 else "DOUBLE")
        if k > 2:
            return Score(vector="__f", lookups=lookups, function=function)
        return Score(("1.0 - __f", "__f") if k == 2 else ("__f",), lookups=lookups, function=function)


class AutoClassifier(AutoMl):
    """Classification."""

    names = ("AUTOML_CLASSIFIER",)
    task = Task.CLASSIFICATION
    doc = "A search over linear models, trees, forests and networks for two or more labels."


class AutoRegressor(AutoMl):
    """Regression."""

    names = ("AUTOML_REGRESSOR",)
    task = Task.REGRESSION
    doc = "A search over linear models, trees, forests and networks for numbers."


def goal(options: AutoOptions, task: Task, classes: int | None) -> tuple[str, kernel.Objective]:
    """The objective's name and function; `classes` is None before rows are read. Raises `OptionError`."""
    given = options.optimization_objective
    name, value = (given, None) if isinstance(given, str) or given is None else given
    if task is Task.REGRESSION:
        allowed: tuple[str, ...] = REGRESSION_GOALS
    else:
        allowed = ("MINIMIZE_LOG_LOSS",) if classes is not None and classes > 2 else (*BINARY_GOALS, *FIXED_GOALS)
    name = allowed[0] if name is None else name.upper()
    if name not in allowed:
        raise OptionError(f"OPTIMIZATION_OBJECTIVE must be one of {', '.join(allowed)}. Got '{name}'.")
    if (name in FIXED_GOALS) != (value is not None):
        form = f"STRUCT('{name}', 0.9)" if name in FIXED_GOALS else f"'{name}'"
        raise OptionError(f"OPTIMIZATION_OBJECTIVE must be written as {form}.")
    if value is not None and not 0.0 <= value <= 1.0:
        raise OptionError(f"OPTIMIZATION_OBJECTIVE must fix a value from 0 to 1. Got {value:g}.")
    simple = {
        "MINIMIZE_RMSE": kernel.rmse,
        "MINIMIZE_MAE": kernel.mae,
        "MINIMIZE_RMSLE": kernel.rmsle,
        "MINIMIZE_LOG_LOSS": kernel.log_loss,
        "MAXIMIZE_AU_ROC": kernel.au_roc,
        "MAXIMIZE_AU_PRC": kernel.au_prc,
    }
    if name in simple:
        return name, simple[name]
    make = kernel.precision_at_recall if name == FIXED_GOALS[0] else kernel.recall_at_precision
    return name, make(float(value or 0.0))


# ---------------------------------------------------------------- members as one function


@dataclass(frozen=True, slots=True)
class _Part:
    """A member's share of the function: its arguments, tables, and (n,) or (n, k) of their values."""

    arguments: tuple[tuple[str, str], ...]
    lookups: tuple[Lookup, ...]
    call: Any


def _part(i: int, member: Member, trained: Trained) -> _Part:
    from sqlml.models import MODELS

    own = replace(trained, model=member.model, options=member.options, state=member.state, design=member.design)
    score = MODELS[member.model].score(own)
    names = {x.name: f"__m{i}{x.name}" for x in score.lookups}
    lookups = tuple(replace(x, name=names[x.name]) for x in score.lookups)

    def renamed(sql: str) -> str:
        for old, new in names.items():
            sql = re.sub(rf"\b{old}(?=_|\b)", new, sql)
        return sql

    if score.function is not None:
        function = score.function
        arguments = tuple((renamed(sql), kind) for sql, kind in function.arguments)
        return _Part(arguments, lookups, lambda arrays: _numbers(function.call(*arrays)))
    # Linear models: the linear predictors are the arguments, the rest is done here.
    etas = [(renamed(sql), "DOUBLE") for name, sql in score.let if name.startswith("__eta")]
    classes = trained.label is not None and bool(trained.label.classes)
    return _Part(tuple(etas), lookups, lambda arrays: _linked([_numbers(a) for a in arrays], classes))


def _linked(etas: list[F64], classes: bool) -> F64:
    if not classes:
        return etas[0]
    if len(etas) == 1:
        return 1.0 / (1.0 + np.exp(-np.clip(etas[0], -700.0, 700.0)))
    eta = np.column_stack(etas)
    e = np.exp(eta - eta.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _numbers(array: pa.Array) -> F64:
    if pa.types.is_list(array.type):
        flat = np.asarray(array.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
        return flat.reshape(len(array), -1)
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _lists(values: F64) -> pa.Array:
    n, k = values.shape
    offsets = integers(np.arange(0, (n + 1) * k, k)).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, floats(values.ravel()))
