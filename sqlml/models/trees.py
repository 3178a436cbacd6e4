"""What boosted trees and random forests share: options, state, training, scoring, importance, explanations.

XGBoost does the arithmetic (kernels/trees.py). Rows stream out of the database once, as float32; scoring is a
vectorised function inside the query whose numbers are those of `Booster.predict`.

The service (fidelity 'bigquery') starts from the constant 0.5, replaces missing numbers by their mean and gives
categories codes in an order of its own. 'best' starts from the label's mean, lets the trees learn where
missing numbers go, and a forest averages shares of the classes rather than one Newton step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, singles
from sqlml.encode import Encoding
from sqlml.errors import DataError, NotSupportedError, OptionError, SchemaError
from sqlml.kernels import trees as kernel
from sqlml.kernels.types import F64
from sqlml.models.base import (
    BatchFunction,
    ExplainRequest,
    Explanation,
    Fixed,
    Label,
    Model,
    Place,
    RegistryOptions,
    Score,
    SplitOptions,
    Trained,
    TrainingData,
)
from sqlml.models.glm import refuse_unknown_classes
from sqlml.models.shared_options import ExampleOptions, TuningOptions
from sqlml.models.tree_columns import Columns, fit_columns, matrix, pages, scoring_arguments
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, find, quote_name

_UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SELDOM = Space(always=False)
#: Threads are worth their meetings from this many matrix cells each; the trees do not depend on their number.
CELLS_PER_THREAD = 500_000
KINDS = frozenset({Kind.NUMERIC, Kind.CATEGORY, Kind.STRUCT, Kind.VECTOR, Kind.SET, Kind.SPARSE})
#: XGBoost squares labels in single precision.
LARGEST_LABEL = 1e18
IMPORTANCE = (
    ("feature", "VARCHAR", pa.string()),
    *((f"importance_{n}", "DOUBLE", pa.float64()) for n in ("weight", "gain", "cover")),
)


@dataclass(frozen=True)
class TreeOptions(TuningOptions, SplitOptions, RegistryOptions, ExampleOptions):
    """Options of all tree models."""

    input_label_cols: tuple[str, ...] | None = option(None, "The label column; by default the column called label.")
    l1_reg: float = option(0.0, "L1 penalty on the leaf values.", low=0.0, tune=Space(0.0, 10.0, "LOG"))
    l2_reg: float = option(1.0, "L2 penalty on the leaf values.", low=0.0, tune=Space(0.0, 10.0, "LOG"))
    tree_method: Literal["AUTO", "EXACT", "APPROX", "HIST"] = option(
        "AUTO", "How splits are found; AUTO is HIST.", tune=_SELDOM
    )
    min_tree_child_weight: float = option(
        1.0, "Smallest sum of weights (of second derivatives) in a leaf.", low=0.0, tune=_SELDOM
    )
    colsample_bytree: float = option(1.0, "Share of the columns for each tree.", above=0.0, high=1.0, tune=_SELDOM)
    colsample_bylevel: float = option(1.0, "Share of the columns for each level.", above=0.0, high=1.0, tune=_SELDOM)
    colsample_bynode: float = option(1.0, "Share of the columns for each split.", above=0.0, high=1.0, tune=_SELDOM)
    min_split_loss: float = option(0.0, "Smallest improvement for which a leaf is split.", low=0.0, tune=_SELDOM)
    instance_weight_col: str | None = option(None, "Column of row weights; it is not a feature.")
    xgboost_version: Literal["0.9", "1.1", "2.1"] | None = option(
        None, "XGBoost of the service.", note="trees are trained with the installed XGBoost; the value is recorded."
    )
    enable_global_explain: bool = option(False, "Compute global attributions at training time.")
    approx_global_feature_contrib: bool | None = option(
        None, "Fast approximate contributions for the global attributions; by default for many parallel trees."
    )
    early_stop: bool = option(True, "Stop when an iteration improves the loss by less than MIN_REL_PROGRESS.")
    min_rel_progress: float = option(0.01, "Smallest relative improvement of the loss needed to go on.", low=0.0)


@dataclass(frozen=True, slots=True)
class TreeState:
    """A trained ensemble.

    Args:
        booster: XGBoost's own UBJ.
        objective: what the raw output is.
        columns: what the matrix columns mean.
    """

    booster: bytes
    objective: Literal["squared", "logistic", "softmax", "shares"]
    columns: Columns


class Trees(Model[Any, TreeState]):
    """Base of the model types."""

    state = TreeState
    forest = False
    #: From so many parallel trees global attributions are approximate unless the user says otherwise.
    many_trees = 10
    explain_settings = frozenset({"approx_feature_contrib"})

    def encoding(self, options: Any) -> Encoding:
        return Encoding("as_is", "label", KINDS)

    def reserved(self, options: Any) -> tuple[str, ...]:
        return (options.instance_weight_col,) if options.instance_weight_col else ()

    def weight(self, options: Any, label: Label | None) -> str | None:
        if options.instance_weight_col:
            return f"{quote_name(options.instance_weight_col)}::DOUBLE"
        return super().weight(options, label)

    def check(self, options: Any, given: frozenset[str], columns: Sequence[Column]) -> None:
        if "approx_global_feature_contrib" in given and not options.enable_global_explain:
            raise OptionError("APPROX_GLOBAL_FEATURE_CONTRIB must be given only with ENABLE_GLOBAL_EXPLAIN = TRUE.")
        if options.tree_method == "EXACT" and options.colsample_bynode < 1.0 and "colsample_bynode" in given:
            hint = "add COLSAMPLE_BYNODE=1.0, and COLSAMPLE_BYLEVEL=0.8 in its place."
            raise OptionError("TREE_METHOD='EXACT' must come with COLSAMPLE_BYNODE = 1.", hint=hint)
        name = options.instance_weight_col
        if name is None:
            return
        column = find(columns, name)
        if column is None:
            raise SchemaError(f"INSTANCE_WEIGHT_COL must name a column of the training query. Got {name!r}.")
        if column.kind is not Kind.NUMERIC:
            raise SchemaError(f"INSTANCE_WEIGHT_COL must name a number. {name} is {column.type.google}.")
        if getattr(options, "auto_class_weights", False) or getattr(options, "class_weights", None):
            raise OptionError("INSTANCE_WEIGHT_COL must not be given together with class weights.")
        arrays = [c.name for c in columns if c.kind in (Kind.VECTOR, Kind.SET, Kind.SPARSE)]
        if arrays:
            text = f"INSTANCE_WEIGHT_COL must not be given together with array features. Got {', '.join(arrays)}."
            raise OptionError(text)

    # ------------------------------------------------------------ training

    def objective(self, label: Label, fidelity: str) -> kernel.Objective:
        """The loss: squared error, logistic or softmax; a forest that is to be good votes."""
        if not label.classes:
            return "squared"
        if self.forest and fidelity == "best":
            return "shares"
        return "logistic" if len(label.classes) == 2 else "softmax"

    def rounds(self, options: Any) -> int:
        """Boosting rounds."""
        return 1

    def parameters(self, options: Any) -> dict[str, Any]:
        """XGBoost's parameters of the options that both kinds have."""
        method = {"AUTO": "hist"}.get(options.tree_method, options.tree_method.lower())
        return {
            "tree_method": method,
            "max_depth": options.max_tree_depth,
            "num_parallel_tree": options.num_parallel_tree,
            "alpha": options.l1_reg,
            "lambda": options.l2_reg,
            "subsample": options.subsample,
            "colsample_bytree": options.colsample_bytree,
            "colsample_bylevel": options.colsample_bylevel,
            "colsample_bynode": options.colsample_bynode,
            "gamma": options.min_split_loss,
            "min_child_weight": options.min_tree_child_weight,
        }

    def train(self, data: TrainingData, options: Any, run: Run) -> TreeState:
        label = data.label
        assert label is not None
        refuse_unknown_classes(label, options)
        if not label.classes:
            refuse_large(data.train, label)
        if options.instance_weight_col:
            refuse_weights(data.train, options.instance_weight_col)
        earlier = earlier_state(data, options)
        method: Any = getattr(options, "category_encoding_method", "LABEL_ENCODING")
        before = None if earlier is None else earlier.columns
        make = partial(fit_columns, data.design, data.train, label, method, data.fidelity, before)
        columns = data.once("columns", make)
        objective = self.objective(label, data.fidelity)
        memory, threads = resources(data.train)
        outputs = len(label.classes) if objective in ("softmax", "shares") else 1
        threads = min(threads, 1 + data.rows * columns.width // CELLS_PER_THREAD)
        parameters = {**self.parameters(options), "seed": run.seed % 2**31, "nthread": threads}
        if data.fidelity == "bigquery":
            parameters["base_score"] = 0.5
        settings = kernel.Settings(
            objective,
            len(label.classes),
            self.rounds(options),
            parameters,
            options.min_rel_progress if options.early_stop else None,
            matrix_bytes(data.rows, columns.width, outputs) > memory,
            columns.categorical,
        )
        if settings.external and parameters["tree_method"] == "exact":
            hint = "use TREE_METHOD='HIST', or raise SET memory_limit."
            raise NotSupportedError("TREE_METHOD='EXACT' needs rows that fit into the memory limit.", hint=hint)

        def report(i: int, loss: float, held: float | None) -> None:
            run.report(i, loss, eval_loss=held, learning_rate=float(parameters["eta"]))

        def check() -> None:
            run.tell("encoding")

        def spool(relation: Relation) -> kernel.Spool:
            found = pages(relation, data.design, columns, label, data.weight)
            relation.release()
            made = kernel.Spool(told(found, run), columns.width, memory=min(kernel.MEMORY, memory // 8))
            relation.release()  # not after an error: no statement works until the transaction has ended
            return made

        with data.open("rows", lambda: spool(data.train)) as rows:
            if not rows.rows:
                raise DataError("the training query must return rows to train on. All are held out.")
            start = None if earlier is None else earlier.booster
            if data.evaluation is None:
                booster = kernel.train(rows, None, settings, report, start=start, check=check)
            else:
                evaluation = data.evaluation
                with data.open("held", lambda: spool(evaluation)) as held:
                    booster = kernel.train(rows, held, settings, report, start=start, check=check)
        return TreeState(booster, objective, columns)

    # ------------------------------------------------------------ answers

    def score(self, trained: Trained) -> Score:
        state: TreeState = trained.state
        design, columns, raw = trained.design, state.columns, state.booster
        kernel.load(raw)  # refuse damaged bytes before rows are read

        def run(*arrays: pa.Array) -> pa.Array:
            found = kernel.predict(raw, matrix(design, columns, arrays), state.objective)
            return list_array(found) if found.ndim == 2 else singles(found)

        assert trained.label is not None
        k = len(trained.label.classes)
        arguments, lookups = scoring_arguments(design, columns)
        function = BatchFunction(run, arguments, "DOUBLE[]" if k > 2 else "FLOAT", blocks=True)
        if k > 2:
            return Score(vector="__f", lookups=lookups, function=function)
        values = ("1.0 - __p", "__p") if k == 2 else ("__p",)
        return Score(values, let=(("__p", "__f::DOUBLE"),), lookups=lookups, function=function)

    def feature_importance(self, trained: Trained) -> Fixed:
        """The rows of ML.FEATURE_IMPORTANCE: splits, gain per split and cover per split of each input column.

        A column made by TRANSFORM counts for every input column that it is computed from.
        """
        state: TreeState = trained.state
        design, p = trained.design, state.columns.width
        total = np.zeros((len(design.features), 3))
        kinds: tuple[kernel.Importance, ...] = ("weight", "total_gain", "total_cover")
        for j, kind in enumerate(kinds):
            np.add.at(total[:, j], state.columns.features(), kernel.importance(state.booster, p, kind))
        found = {c.name: np.zeros(3) for c in trained.inputs}
        for f, sums in zip(design.features, total, strict=True):
            for name in origins(trained, f.source):
                found[name] += sums
        rows = []
        for name, (weight, gain, cover) in found.items():
            n = max(weight, 1.0)
            rows.append(dict(zip([c[0] for c in IMPORTANCE], [name, weight, gain / n, cover / n], strict=True)))
        return Fixed.of(IMPORTANCE, rows)

    def approximates(self, options: Any) -> bool:
        if options.approx_global_feature_contrib is None:
            return bool(options.num_parallel_tree >= self.many_trees)
        return bool(options.approx_global_feature_contrib)

    def explain(self, trained: Trained, request: ExplainRequest) -> Explanation:
        function, lookups = self.explanation_function(trained, request)
        assert trained.label is not None
        k, d = len(trained.label.classes), len(trained.design.features)
        m = k if k > 2 else 1
        parts, baseline, value = f"__f[{m + 1}:{m + d}]", f"__f[{m + d + 1}]", f"__f[{m + d + 2}]"
        if k > 2:
            score = Score(vector=f"__f[1:{m}]", lookups=lookups, function=function)
            return Explanation(score, baseline, value, vector=parts)
        if k == 0:
            return Explanation(Score(("__f[1]",), lookups=lookups, function=function), baseline, value, vector=parts)
        score = Score(("1.0 - __f[1]", "__f[1]"), lookups=lookups, function=function)
        code = "__c" if request.output is None else str(request.output)
        sign = f"(CASE WHEN {code} = 1 THEN 1.0::DOUBLE ELSE -1.0::DOUBLE END)"
        # The share of the other class is 1 - share; its log odds are -log odds.
        shift = f"(CASE WHEN {code} = 1 THEN 0.0::DOUBLE ELSE 1.0::DOUBLE END)"
        move = f" + {shift}" if trained.state.objective == "shares" else ""
        signed = f"list_transform({parts}, lambda a: a * __s)"
        return Explanation(
            score, f"(__s * {baseline}{move})", f"(__s * {value}{move})", vector=signed, let=(("__s", sign),)
        )

    def place(self, trained: Trained) -> Place:
        """The leaf that the row reaches in each tree."""
        state: TreeState = trained.state
        design, columns, raw = trained.design, state.columns, state.booster

        def run(*arrays: pa.Array) -> pa.Array:
            return list_array(
                kernel.leaves(raw, matrix(design, columns, arrays), columns.categorical).astype(np.float64)
            )

        arguments, _ = scoring_arguments(design, columns)
        return Place(BatchFunction(run, arguments, "DOUBLE[]", "leaves"), "share")

    def explanation_function(self, trained: Trained, request: ExplainRequest) -> tuple[BatchFunction, Any]:
        """Rows -> [prediction or probabilities, one contribution per feature, baseline, value] as DOUBLE[]."""
        state: TreeState = trained.state
        design, columns, raw = trained.design, state.columns, state.booster
        owner = np.array(columns.features(), np.int64)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))

        def run(*arrays: pa.Array) -> pa.Array:
            X = matrix(design, columns, arrays)
            predicted = kernel.predict(raw, X, state.objective).reshape(len(X), -1)
            found = kernel.contributions(raw, X, approximate=request.approximate, categorical=columns.categorical)
            output = predicted.argmax(axis=1) if request.output is None else np.full(len(X), request.output)
            own = found[np.arange(len(X)), output if predicted.shape[1] > 1 else 0]
            sums = np.add.reduceat(own[:, :-1], starts, axis=1)
            base = own[:, -1:]
            return list_array(np.hstack([predicted, sums, base, base + sums.sum(axis=1, keepdims=True)]))

        arguments, lookups = scoring_arguments(design, columns)
        name = f"explain_{request.output}_{int(request.approximate)}"
        return BatchFunction(run, arguments, "DOUBLE[]", name), lookups


# ---------------------------------------------------------------- parts


def list_array(values: F64) -> pa.Array:
    """(n, k) as an Arrow list array."""
    n, k = values.shape
    ends = np.arange(0, (n + 1) * k, k, dtype=np.int32)
    offsets = pa.Array.from_buffers(pa.int32(), len(ends), [None, pa.py_buffer(ends)])
    return pa.ListArray.from_arrays(offsets, floats(values.ravel()))


def origins(trained: Trained, column: str) -> tuple[str, ...]:
    """The input columns (before TRANSFORM) that a column is computed from."""
    if trained.transform is None:
        return (column,)
    needs = next((item.needs for item in trained.transform.items if item.name == column), ())
    return tuple(c.name for n in needs if (c := find(trained.inputs, n)) is not None)


def told(found: Any, run: Run) -> Any:
    """The pages, each announced: reading can be cancelled."""
    rows = 0
    for page in found:
        rows += len(page)
        run.tell("reading", detail=f"{rows:,} rows")
        yield page


def refuse_large(relation: Relation, label: Label) -> None:
    """Labels are single-precision numbers, and their squares are summed."""
    largest = relation.aggregate([f"max(abs({label.sql}))"])[0]
    if largest is not None and largest > LARGEST_LABEL:
        hint = f"divide {label.name} by a constant."
        raise DataError(f"the label {label.name} must be at most 1e18. Got {largest:g}.", hint=hint)


def refuse_weights(relation: Relation, name: str) -> None:
    """Weights must be numbers from 0, not all 0."""
    column = f"{quote_name(name)}::DOUBLE"
    missing, low, high = relation.aggregate([f"count(*) - count({column})", f"min({column})", f"max({column})"])
    if missing:
        raise DataError(f"the weight {name} must not be NULL in any row.")
    if low < 0 or not np.isfinite(high):
        raise DataError(f"the weight {name} must be finite and at least 0. Got {low if low < 0 else high:g}.")
    if high == 0:
        raise DataError(f"the weight {name} must be greater than 0 in some row.")


#: What XGBoost keeps of the booster that it goes on with, or would weigh wrongly after a change.
_KEPT = ("booster_type", "num_parallel_tree", "category_encoding_method")


def earlier_state(data: TrainingData, options: Any) -> TreeState | None:
    """The state to continue from. Raises `OptionError` when label, features or the form of the booster are others."""
    if data.previous is None:
        return None
    previous: Trained = data.previous
    assert data.label is not None and previous.label is not None
    if previous.label.classes != data.label.classes:
        raise OptionError("WARM_START must keep the classes of the label of the first training.")
    was, now = previous.design.features, data.design.features
    if [(type(f), f.name) for f in was] != [(type(f), f.name) for f in now]:
        raise OptionError("WARM_START must keep the columns of the first training.")
    for name in _KEPT:
        before = getattr(previous.options, name)
        if getattr(options, name) != before:
            raise OptionError(f"{name.upper()} must stay {before} under WARM_START.")
    if previous.fidelity != data.fidelity:
        raise OptionError(f"WARM_START must keep the fidelity of the first training. It was '{previous.fidelity}'.")
    state: TreeState = previous.state
    return state


def matrix_bytes(rows: int, p: int, outputs: int) -> int:
    """Estimate of what XGBoost keeps: bins by row and by column, and per row labels, gradients and predictions."""
    return rows * (2 * p + 24 + 12 * outputs)


def resources(relation: Relation) -> tuple[int, int]:
    """(bytes, threads): DuckDB's memory_limit and threads, which hold for the trees as well."""
    row = relation.table("current_setting('memory_limit') AS m, current_setting('threads')::BIGINT AS t")
    text, threads = row.column("m")[0].as_py(), row.column("t")[0].as_py()
    found = re.fullmatch(r"([\d.]+) ?([A-Za-z]+)", text)
    if found is None or found[2] not in _UNITS:
        return 2**62, int(threads)
    return int(float(found[1]) * _UNITS[found[2]]), int(threads)
