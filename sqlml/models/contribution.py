"""CONTRIBUTION_ANALYSIS: which segments of the data drove a change of a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, integers, texts
from sqlml.errors import OptionError
from sqlml.kernels import contribution as kernel
from sqlml.kernels.types import F64, I32
from sqlml.models.base import Fixed, Model, RegistryOptions, Task, Trained, TrainingData
from sqlml.models.segments import ALL_DIMENSIONS, DIMENSIONS, ContributionState, Metric, Search, parse_metric
from sqlml.options import REQUIRED, option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, Kind, find, same_name

DIMENSION_TYPES = frozenset({"BIGINT", "INTEGER", "SMALLINT", "TINYINT", "BOOLEAN", "VARCHAR"})
CATEGORY_TYPES = DIMENSION_TYPES | {"DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"}


@dataclass(frozen=True)
class ContributionOptions(RegistryOptions):
    """Options of CONTRIBUTION_ANALYSIS."""

    contribution_metric: str = option(REQUIRED, "The metric: SUM(m), SUM(a)/SUM(b), or SUM(m)/COUNT(DISTINCT c).")
    is_test_col: str = option(REQUIRED, "BOOL column: TRUE for test rows, FALSE for control rows.")
    dimension_id_cols: tuple[str, ...] | None = option(
        None, "Columns whose values define segments; by default all the others."
    )
    min_apriori_support: float = option(0.1, "Segments with less support are left out.", low=0.0, high=1.0)
    top_k_insights_by_apriori_support: int | None = option(
        None, "Keep so many segments, those of the highest support.", low=1, high=1_000_000
    )
    pruning_method: Literal["NO_PRUNING", "PRUNE_REDUNDANT_INSIGHTS"] = option(
        "NO_PRUNING", "Whether a segment is left out when a more specific one has the same metrics."
    )


class ContributionAnalysis(Model[ContributionOptions, ContributionState]):
    """Key drivers of a change between control and test rows."""

    names = ("CONTRIBUTION_ANALYSIS",)
    task = Task.CONTRIBUTION
    options = ContributionOptions
    state = ContributionState
    doc = "Segments that drove the change of a metric between control and test rows."
    transform = False
    encoded = False

    def check(self, options: ContributionOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        metric = parse_metric(options.contribution_metric)
        if metric is None:
            text = "CONTRIBUTION_METRIC must be SUM(m), SUM(a)/SUM(b) or SUM(m)/COUNT(DISTINCT c)."
            raise OptionError(f"{text} Got {options.contribution_metric!r}.")
        if {"min_apriori_support", "top_k_insights_by_apriori_support"} <= given:
            text = "TOP_K_INSIGHTS_BY_APRIORI_SUPPORT must not come with MIN_APRIORI_SUPPORT."
            raise OptionError(text)
        dimensions = self._dimensions(options, metric, columns)
        check_columns(metric, options.is_test_col, dimensions, columns, _OPTIONS)
        if options.dimension_id_cols is not None:
            used = {*metric.columns, options.is_test_col, *dimensions}
            extra = [c.name for c in columns if not any(same_name(c.name, u) for u in used)]
            if extra:
                text = "DIMENSION_ID_COLS, the metric and IS_TEST_COL must name every column of the query."
                raise OptionError(f"{text} They lack {', '.join(extra)}.")
        every = options.min_apriori_support == 0.0 and options.top_k_insights_by_apriori_support is None
        limit = ALL_DIMENSIONS if every else DIMENSIONS
        if len(dimensions) > limit:
            raise OptionError(f"DIMENSION_ID_COLS must name at most {limit} columns. Got {len(dimensions)}.")

    def reserved(self, options: ContributionOptions) -> tuple[str, ...]:
        metric = parse_metric(options.contribution_metric)
        return (*(metric.columns if metric else ()), options.is_test_col, *(options.dimension_id_cols or ()))

    def _dimensions(self, options: ContributionOptions, metric: Metric, columns: Sequence[Column]) -> tuple[str, ...]:
        if options.dimension_id_cols is not None:
            return options.dimension_id_cols
        used = (*metric.columns, options.is_test_col)
        return tuple(c.name for c in columns if not any(same_name(c.name, u) for u in used))

    def train(self, data: TrainingData, options: ContributionOptions, run: Run) -> ContributionState:
        metric = parse_metric(options.contribution_metric)
        assert metric is not None
        dimensions = self._dimensions(options, metric, data.columns)
        search = Search(data.train, metric, options.is_test_col, dimensions, data.columns, run)
        prune = options.pruning_method == "PRUNE_REDUNDANT_INSIGHTS"
        return search.run(options.min_apriori_support, options.top_k_insights_by_apriori_support, prune)

    def insights(self, trained: Trained) -> Fixed:
        """The rows of ML.GET_INSIGHTS."""
        return insight_rows(trained.state)

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        return {}


# ---------------------------------------------------------------- checks

#: How the arguments are called in messages: metric, test column, dimensions.
_OPTIONS = ("CONTRIBUTION_METRIC", "IS_TEST_COL", "DIMENSION_ID_COLS")


def check_columns(
    metric: Metric, test: str, dimensions: Sequence[str], columns: Sequence[Column], words: tuple[str, str, str]
) -> None:
    """Refuse columns that are missing, of a wrong type, or used twice. Raises `OptionError`."""
    if not dimensions:
        raise OptionError(f"{words[2]} must name at least one column.")
    seen: list[str] = []
    for word, name in (
        (words[0], metric.a),
        (words[0], metric.b),
        (words[1], test),
        *((words[2], d) for d in dimensions),
    ):
        if name is None:
            continue
        column = find(columns, name)
        if column is None:
            raise OptionError(f"{word} must name columns of the query. It has no {name}.")
        if any(same_name(name, s) for s in seen) and word != words[0]:
            raise OptionError(f"{word} must name columns that nothing else uses. Got {name}.")
        seen.append(name)
        _check_type(word, column, metric, words)


def _check_type(word: str, column: Column, metric: Metric, words: tuple[str, str, str]) -> None:
    kind = column.type.google
    if word == words[1] and column.type.name != "BOOLEAN":
        raise OptionError(f"{word} must be a BOOL column. {column.name} is {kind}.")
    if word == words[2] and column.type.name not in DIMENSION_TYPES:
        raise OptionError(f"{word} must name INT64, BOOL or STRING columns. {column.name} is {kind}.")
    if word == words[0]:
        counted = metric.form == "category" and same_name(column.name, metric.b or "")
        if counted and column.type.name not in CATEGORY_TYPES:
            text = "must count a BOOL, INT64, STRING, DATE or TIME column"
            raise OptionError(f"{word} {text}. {column.name} is {kind}.")
        if not counted and (column.kind is not Kind.NUMERIC or column.type.name == "BOOLEAN"):
            raise OptionError(f"{word} must sum numbers. {column.name} is {kind}.")


# ---------------------------------------------------------------- rows

SUM_COLUMNS = (
    "metric_test metric_control difference relative_difference unexpected_difference relative_unexpected_difference"
    " apriori_support contribution"
).split()
RATIO_COLUMNS = (
    "metric_test metric_control metric_test_over_metric_control metric_test_over_complement"
    " metric_control_over_complement aumann_shapley_attribution apriori_support contribution"
).split()
CATEGORY_COLUMNS = (
    "metric_test metric_control difference relative_difference metric_test_over_population"
    " metric_control_over_population apriori_support contribution"
).split()
#: Columns of integers when the metric is a sum of integers.
_WHOLE = frozenset({"metric_test", "metric_control", "difference", "contribution"})


def insight_columns(form: str, integer: bool, dimensions: Sequence[tuple[str, str]], lead: str) -> tuple[Column, ...]:
    """The output columns; `dimensions` are (name, DuckDB type), `lead` the name of the first."""
    names = {"sum": SUM_COLUMNS, "ratio": RATIO_COLUMNS, "category": CATEGORY_COLUMNS}[form]
    numbers = [Column(n, "BIGINT" if integer and n in _WHOLE else "DOUBLE") for n in names]
    return (Column(lead, "VARCHAR[]"), *(Column(n, t) for n, t in dimensions), *numbers)


def insight_rows(state: ContributionState, lead: str = "contributors") -> Fixed:
    """One row per segment, by descending contribution; the whole population is ['all']."""
    values = _values(state)
    size = np.nan_to_num(values["contribution"], nan=-1.0)
    order = np.lexsort(((state.codes >= 0).sum(axis=1), -size))
    codes = state.codes[order]
    dimensions = list(zip(state.dimensions, state.types, strict=True))
    columns = insight_columns(state.form, state.integer, dimensions, lead)
    arrays: list[pa.Array] = [_contributors(state, codes)]
    for i, kind in enumerate(state.types):
        level = [None if c < 0 else state.levels[i][c] for c in codes[:, i]]
        column = texts(level)
        if kind == "BOOLEAN":
            column = column.cast(pa.bool_())
        elif kind != "VARCHAR":
            column = column.cast(pa.int64())
        arrays.append(column)
    for column in columns[len(arrays) :]:
        found = values[column.name][order]
        whole = column.sql_type == "BIGINT"
        arrays.append(integers(np.round(found)) if whole else _nullable(found))
    return Fixed(columns, pa.Table.from_arrays(arrays, names=[c.name for c in columns]))


def _values(state: ContributionState) -> dict[str, F64]:
    test, control = state.test, state.control
    if state.form == "sum":
        total = (float(test[0, 0]), float(control[0, 0]))
        found = {"metric_test": test[:, 0], "metric_control": control[:, 0]}
        found |= kernel.summable(test[:, 0], control[:, 0], total)
    elif state.form == "ratio":
        found = dict(kernel.ratio(test, control, test[0], control[0]))
    else:
        found = dict(kernel.by_category(test, control, test[0], control[0]))
    return found | {"apriori_support": state.support}


def _contributors(state: ContributionState, codes: I32) -> pa.Array:
    """ARRAY<STRING> of dimension=value."""
    items: list[str | None] = []
    ends = [0]
    for row in codes.tolist():
        mine = [f"{state.dimensions[i]}={state.levels[i][c]}" for i, c in enumerate(row) if c >= 0]
        items += mine or ["all"]
        ends.append(len(items))
    offsets = integers(ends).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, texts(items))


def _nullable(values: F64) -> pa.Array:
    """NaN as NULL."""
    import pyarrow.compute as pc

    array = floats(values)
    return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
