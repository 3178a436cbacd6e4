"""What linear and logistic regression share: options, state, weights, scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, texts
from sqlml.encode import Category, Design, Encoding, Number, Set, Sparse, Vector
from sqlml.errors import NotSupportedError, OptionError
from sqlml.kernels.glm import Rate, Stop
from sqlml.kernels.types import F64
from sqlml.models.base import (
    ExplainRequest,
    Explanation,
    Fixed,
    Lookup,
    Model,
    RegistryOptions,
    Score,
    SplitOptions,
    Trained,
)
from sqlml.models.moments import Layout, layout
from sqlml.models.shared_options import TuningOptions
from sqlml.options import Space, option
from sqlml.schema import Column, quote_literal

#: Newton's method has converged when an iteration improves the loss by less than this share: the next one
#: would improve it by about the square.
CONVERGED = 1e-7
#: A categorical feature with more levels than this is looked up in a table rather than by CASE.
CASE_LEVELS = 12


_CATEGORY = pa.list_(pa.struct([("category", pa.string()), ("weight", pa.float64())]))
WEIGHT_COLUMNS = (
    ("processed_input", "VARCHAR", pa.string()),
    ("weight", "DOUBLE", pa.float64()),
    ("category_weights", "STRUCT(category VARCHAR, weight DOUBLE)[]", _CATEGORY),
)
ADVANCED_COLUMNS = (
    ("processed_input", "VARCHAR", pa.string()),
    ("category", "VARCHAR", pa.string()),
    *((n, "DOUBLE", pa.float64()) for n in ("weight", "standard_error", "p_value")),
)


@dataclass(frozen=True)
class GlmOptions(TuningOptions, SplitOptions, RegistryOptions):
    """Options of LINEAR_REG and LOGISTIC_REG."""

    input_label_cols: tuple[str, ...] | None = option(None, "The label column; by default the column called label.")
    l1_reg: float = option(0.0, "L1 penalty on the standardised weights.", low=0.0, tune=Space(0.0, 10.0, "LOG"))
    l2_reg: float = option(0.0, "L2 penalty on the standardised weights.", low=0.0, tune=Space(0.0, 10.0, "LOG"))
    max_iterations: int = option(20, "Upper bound on the number of iterations.", low=1)
    learn_rate_strategy: Literal["LINE_SEARCH", "CONSTANT"] = option(
        "LINE_SEARCH", "Step-size rule of the gradient descent."
    )
    learn_rate: float = option(0.1, "Step size under LEARN_RATE_STRATEGY='CONSTANT'.", above=0.0)
    ls_init_learn_rate: float = option(0.1, "First step size of the line search.", above=0.0)
    early_stop: bool = option(True, "Stop when an iteration improves the loss by less than MIN_REL_PROGRESS.")
    min_rel_progress: float = option(0.01, "Smallest relative improvement of the loss needed to go on.", low=0.0)
    fit_intercept: bool = option(True, "Whether to fit an intercept.")
    category_encoding_method: Literal["ONE_HOT_ENCODING", "DUMMY_ENCODING"] = option(
        "ONE_HOT_ENCODING", "Encoding of categorical features; DUMMY_ENCODING drops the most frequent category."
    )
    calculate_p_values: bool = option(False, "Compute standard errors and p-values at training time.")
    enable_global_explain: bool = option(False, "Compute global attributions at training time.")
    warm_start: bool = option(False, "Continue the training of the existing model.")
    optimize_strategy: Literal["AUTO_STRATEGY", "BATCH_GRADIENT_DESCENT", "NORMAL_EQUATION"] = option(
        "AUTO_STRATEGY", "The solver."
    )


@dataclass(frozen=True, slots=True)
class GlmState:
    """Learned weights, in standardised units.

    Args:
        beta: (k, columns of X): one vector per class (one for regression and two classes); the columns are
            those of `Layout`: intercept, dense columns, levels.
        standard_errors: (columns of X,), NaN where undefined; None unless p-values were asked for.
    """

    beta: F64
    standard_errors: F64 | None = None


class Glm(Model[Any, GlmState]):
    """Base of the two model types."""

    state = GlmState

    def encoding(self, options: GlmOptions) -> Encoding:
        dummy = options.category_encoding_method == "DUMMY_ENCODING"
        return Encoding("standardize", "dummy" if dummy else "one_hot")

    def check(self, options: GlmOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        if "learn_rate" in given and options.learn_rate_strategy != "CONSTANT":
            hint = "add LEARN_RATE_STRATEGY='CONSTANT', or use LS_INIT_LEARN_RATE."
            raise OptionError("LEARN_RATE must be given only with LEARN_RATE_STRATEGY='CONSTANT'.", hint=hint)
        if "ls_init_learn_rate" in given and options.learn_rate_strategy == "CONSTANT":
            raise OptionError("LS_INIT_LEARN_RATE must be given only with LEARN_RATE_STRATEGY='LINE_SEARCH'.")
        if options.calculate_p_values:
            if options.category_encoding_method != "DUMMY_ENCODING":
                hint = "add CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'."
                raise OptionError(
                    "CALCULATE_P_VALUES must come with CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'.", hint=hint
                )
            if options.l1_reg > 0.0:
                raise OptionError("CALCULATE_P_VALUES must come with L1_REG = 0.")

    def stop(self, options: GlmOptions, explicit: frozenset[str], fidelity: str) -> Stop:
        """When the solver stops: the service's early stop, or convergence unless the user wrote otherwise."""
        if fidelity == "bigquery" or descends(options, explicit):
            return Stop(options.max_iterations, options.early_stop, options.min_rel_progress)
        progress = options.min_rel_progress if "min_rel_progress" in explicit else CONVERGED
        return Stop(options.max_iterations if "max_iterations" in explicit else 50, options.early_stop, progress)

    def rate(self, options: GlmOptions) -> Rate:
        """Step sizes of the gradient descent."""
        if options.learn_rate_strategy == "CONSTANT":
            return Rate(options.learn_rate, search=False)
        return Rate(options.ls_init_learn_rate, search=True)

    def weights(self, trained: Trained, standardize: bool) -> Fixed:
        """The rows of ML.WEIGHTS."""
        rows = weight_rows(trained, standardize)
        columns: tuple[tuple[str, str, pa.DataType], ...] = WEIGHT_COLUMNS
        if len(trained.state.beta) > 1:
            assert trained.label is not None
            columns = (*WEIGHT_COLUMNS, ("class_label", "VARCHAR", pa.string()))
            rows = [{**r, "class_label": trained.label.classes[r["code"]]} for r in rows]
        return Fixed.of(columns, rows)

    def advanced_weights(self, trained: Trained, standardize: bool) -> Fixed:
        """The rows of ML.ADVANCED_WEIGHTS. Raises `NotSupportedError` without p-values."""
        if trained.state.standard_errors is None:
            hint = "train with CALCULATE_P_VALUES=TRUE and CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'."
            raise NotSupportedError(f"the model {trained.path} was trained without p-values.", hint=hint)
        return Fixed.of(ADVANCED_COLUMNS, advanced_rows(trained, standardize))

    def explain(self, trained: Trained, request: ExplainRequest) -> Explanation:
        return explain_linear(trained, self.score(trained), request)

    def score_linear(self, trained: Trained, k: int) -> Score:
        """Score whose `let` holds the linear predictors `__eta0` ... of k coefficient vectors."""
        lay = layout(trained.design, trained.options.fit_intercept)
        return linear_score(trained.design, lay, trained.state.beta[:k])


def explain_linear(trained: Trained, score: Score, request: ExplainRequest) -> Explanation:
    """Exact attributions: weight * (value - mean) of a number, the weight of a category.

    With one coefficient vector and two classes the raw output is the log odds of the larger class, with the
    opposite sign for the smaller one.
    """
    beta = trained.state.beta
    lay = layout(trained.design, trained.options.fit_intercept)
    parts = linear_parts(trained.design, lay, beta)
    base = [quote_literal(float(b[0]) if lay.intercept else 0.0) for b in beta]
    code = "__c" if request.output is None else str(request.output)
    if len(beta) > 1:
        if request.output is not None:
            j = request.output
            return Explanation(score, base[j], f"__eta{j}", tuple(parts[j]))
        found = tuple(_by_class(code, [p[i] for p in parts]) for i in range(len(parts[0])))
        etas = [f"__eta{j}" for j in range(len(beta))]
        return Explanation(score, _by_class(code, base), _by_class(code, etas), found)
    if trained.label is None or not trained.label.classes:
        return Explanation(score, base[0], "__eta0", tuple(parts[0]))
    sign = f"(CASE WHEN {code} = 1 THEN 1.0::DOUBLE ELSE -1.0::DOUBLE END)"
    signed = tuple(f"__s * ({p})" for p in parts[0])
    return Explanation(score, f"__s * {base[0]}", "__s * __eta0", signed, let=(("__s", sign),))


def _by_class(code: str, values: Sequence[str]) -> str:
    whens = " ".join(f"WHEN {j} THEN {v}" for j, v in enumerate(values))
    return f"(CASE {code} {whens} END)"


def descends(options: GlmOptions, explicit: frozenset[str]) -> bool:
    """Whether the user asked for the service's gradient descent."""
    rates = {"learn_rate_strategy", "learn_rate", "ls_init_learn_rate"}
    return options.optimize_strategy == "BATCH_GRADIENT_DESCENT" or bool(rates & explicit)


def penalties(lay: Layout, k: int, l1: float, l2: float) -> tuple[F64, F64]:
    """(k, columns) penalties; none on the intercept."""
    ones = np.ones((k, lay.size))
    if lay.intercept:
        ones[:, 0] = 0.0
    return l1 * ones, l2 * ones


def start(lay: Layout, k: int, design: Design, previous: Trained | None) -> F64:
    """Zeros, or under WARM_START the weights of the earlier model, matched by feature and level."""
    beta = np.zeros((k, lay.size))
    if previous is None:
        return beta
    old = layout(previous.design, previous.options.fit_intercept)
    if previous.state.beta.shape[0] != k or previous.options.fit_intercept != lay.intercept:
        raise OptionError("WARM_START must keep the classes of the label and FIT_INTERCEPT of the first training.")
    if [f.name for f in design.features] != [f.name for f in previous.design.features] or old.dense != lay.dense:
        raise OptionError("WARM_START must keep the columns of the first training.")
    beta[:, : lay.lead] = previous.state.beta[:, : old.lead]
    for new, new_at, was, was_at in zip(lay.categories, lay.starts(), old.categories, old.starts(), strict=True):
        known = {level: i for i, level in enumerate(was.levels)}
        for i, level in enumerate(new.levels):
            if level in known:
                beta[:, new_at + i] = previous.state.beta[:, was_at + known[level]]
    return beta


def linear_score(design: Design, lay: Layout, beta: F64) -> Score:
    """The linear predictors as SQL, names `__eta<j>`; level weights by CASE or by a joined table."""
    k = len(beta)
    sums: list[list[str]] = [[] for _ in range(k)]
    constant = beta[:, 0].copy() if lay.intercept else np.zeros(k)
    lookups: list[Lookup] = []
    at, level_at = int(lay.intercept), dict(zip([c.name for c in lay.categories], lay.starts(), strict=True))
    for f in design.features:
        if isinstance(f, Category):
            start_ = level_at[f.name]
            _category_terms(f, beta[:, start_ : start_ + len(f.levels)], sums, lookups)
            continue
        for j in range(k):
            part = beta[j, at : at + f.width]
            if isinstance(f, Number):
                if part[0] != 0.0:
                    weight = float(part[0] / f.scale)
                    constant[j] -= weight * f.shift
                    sums[j].append(f"coalesce({f.sql}, {quote_literal(f.mean)}) * {quote_literal(weight)}")
            else:
                sums[j].extend(_array_terms(f, part))
        at += f.width
    let = [(f"__eta{j}", " + ".join([quote_literal(float(constant[j])), *sums[j]])) for j in range(k)]
    return Score(let=tuple(let), lookups=tuple(lookups))


def linear_parts(design: Design, lay: Layout, beta: F64) -> list[list[str]]:
    """[coefficient vector][feature]: SQL of each feature's part of the linear predictor, centred for numbers.

    Uses the lookup tables of `linear_score` under their names.
    """
    k = len(beta)
    found: list[list[str]] = [[] for _ in range(k)]
    lookups: list[Lookup] = []
    at, level_at = int(lay.intercept), dict(zip([c.name for c in lay.categories], lay.starts(), strict=True))
    for f in design.features:
        if isinstance(f, Category):
            begin = level_at[f.name]
            _category_terms(f, beta[:, begin : begin + len(f.levels)], found, lookups)
            continue
        for j in range(k):
            part = beta[j, at : at + f.width]
            if isinstance(f, Number):
                weight = quote_literal(float(part[0] / f.scale))
                value = f"(coalesce({f.sql}, {quote_literal(f.mean)}) - {quote_literal(f.shift)})"
                found[j].append(f"{value} * {weight}" if part[0] != 0.0 else "0.0::DOUBLE")
            else:
                found[j].append(" + ".join(_array_terms(f, part)) or "0.0::DOUBLE")
        at += f.width
    return found


def _array_terms(f: Set | Vector | Sparse, weights: F64) -> list[str]:
    found = []
    for i, w in enumerate(weights):
        if w != 0.0:
            sql = f.has(f.levels[i]) if isinstance(f, Set) else f.element(i)
            found.append(f"{sql} * {quote_literal(float(w))}")
    return found


def _category_terms(f: Category, weights: F64, sums: list[list[str]], lookups: list[Lookup]) -> None:
    if len(f.levels) <= CASE_LEVELS:
        for j, row in enumerate(weights):
            whens = []
            for level, w in zip(f.levels, row, strict=True):
                test = f"{f.sql} IS NULL" if level is None else f"{f.sql} = {quote_literal(level)}"
                whens.append(f"WHEN {test} THEN {quote_literal(float(w))}")
            sums[j].append(f"(CASE {' '.join(whens)} ELSE 0.0::DOUBLE END)")
        return
    name = f"__l{len(lookups)}"
    columns = {f"w{j}": floats(row) for j, row in enumerate(weights)}
    lookups.append(Lookup(name, f.sql, pa.table({"key": texts(f.levels), **columns})))
    for j in range(len(weights)):
        sums[j].append(f"coalesce({name}_w{j}, 0.0)")


def weight_rows(trained: Trained, standardize: bool) -> list[dict[str, Any]]:
    """Rows of ML.WEIGHTS: processed_input, weight, category_weights, and the class index `code` (None if one)."""
    design, beta = trained.design, trained.state.beta
    lay = layout(design, trained.options.fit_intercept)
    rows: list[dict[str, Any]] = []
    codes: list[int | None] = [None] if len(beta) == 1 else list(range(len(beta)))
    for code, b in zip(codes, beta, strict=True):
        at, categories = int(lay.intercept), iter(lay.starts())
        intercept = float(b[0]) if lay.intercept else 0.0
        for f in design.features:
            row: dict[str, Any] = {"code": code, "processed_input": f.name, "weight": None, "category_weights": []}
            if isinstance(f, Category):
                begin = next(categories)
                row["category_weights"] = _levels(f.levels, b[begin : begin + len(f.levels)])
            else:
                part = b[at : at + f.width]
                at += f.width
                if isinstance(f, Number):
                    scale = 1.0 if standardize else f.scale
                    row["weight"] = float(part[0]) / scale
                    intercept -= 0.0 if standardize else float(part[0]) * f.shift / f.scale
                else:
                    names = f.levels if isinstance(f, Set) else tuple(str(i) for i in range(f.size))
                    row["category_weights"] = _levels(names, part)
            rows.append(row)
        if lay.intercept:
            last: dict[str, Any] = {
                "code": code,
                "processed_input": "__INTERCEPT__",
                "weight": intercept,
                "category_weights": [],
            }
            rows.append(last)
    return rows


def advanced_rows(trained: Trained, standardize: bool) -> list[dict[str, Any]]:
    """Rows of ML.ADVANCED_WEIGHTS: p = 2 (1 - Phi(|weight| / standard error))."""
    errors = trained.state.standard_errors
    lay = layout(trained.design, trained.options.fit_intercept)
    dense_at, category_at = int(lay.intercept), iter(lay.starts())
    found: list[dict[str, Any]] = []

    def add(name: str, category: str | None, weight: float, error: float | None) -> None:
        p = None
        if error is not None:
            p = math.erfc(abs(weight) / error / math.sqrt(2.0)) if error > 0.0 else math.nan
        row = {"processed_input": name, "category": category, "weight": weight, "standard_error": error, "p_value": p}
        found.append(row)

    for row in weight_rows(trained, standardize):
        f = next((f for f in trained.design.features if f.name == row["processed_input"]), None)
        if f is None:  # the error of the intercept in original units would need the covariances
            add(row["processed_input"], None, row["weight"], float(errors[0]) if standardize else None)
        elif isinstance(f, Number):
            scale = 1.0 if standardize else f.scale
            add(f.name, None, row["weight"], float(errors[dense_at]) / scale)
            dense_at += 1
        else:
            begin = next(category_at) if isinstance(f, Category) else dense_at
            dense_at += 0 if isinstance(f, Category) else f.width
            for i, level in enumerate(row["category_weights"]):
                add(f.name, level["category"], level["weight"], float(errors[begin + i]))
    return found


def _levels(names: Sequence[str | None], weights: F64) -> list[dict[str, Any]]:
    return [
        {"category": "_null_filler" if n is None else n, "weight": float(w)}
        for n, w in zip(names, weights, strict=True)
    ]


def refuse_unknown_classes(label: Any, options: Any) -> None:
    """CLASS_WEIGHTS must have an entry for every class and none besides, and weigh at least two."""
    if not getattr(options, "class_weights", None):
        return
    named = {c for c, _ in options.class_weights}
    missing, extra = set(label.classes) - named, named - set(label.classes)
    if missing or extra:
        what = f"lacks {', '.join(sorted(missing))}" if missing else f"names {', '.join(sorted(extra))}"
        raise OptionError(f"CLASS_WEIGHTS must have one entry for every class. It {what}.")
    weighed = sum(weight > 0.0 for _, weight in options.class_weights)
    if weighed < 2:
        raise OptionError(f"CLASS_WEIGHTS must be greater than 0 for at least two classes. Got {weighed}.")


def refuse_wide_p_values(lay: Layout) -> None:
    """The service's limit, and ours: the inverse of the Hessian is dense."""
    if lay.size >= 1000:
        raise NotSupportedError(f"CALCULATE_P_VALUES needs fewer than 1000 columns. The features have {lay.size}.")
