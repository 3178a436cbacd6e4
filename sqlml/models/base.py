"""What a model type declares: options, encoding, training, scoring.

A model type is one file with one class. It reads rows through `Relation`, keeps what it learned in a
frozen record (`state`), and says how to score: with SQL when there is a closed form, else with a
vectorised function. Everything around it (binding, split, encoding, storage, metrics, the ML
functions) is derived from this declaration.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

import pyarrow as pa

from sqlml.encode import Design, Encoding
from sqlml.errors import InternalError
from sqlml.models.label import Label as Label
from sqlml.models.label import class_weight
from sqlml.models.profile import ColumnProfile
from sqlml.models.shared_options import ClassWeightOptions as ClassWeightOptions
from sqlml.models.shared_options import RegistryOptions as RegistryOptions
from sqlml.models.shared_options import SplitOptions as SplitOptions
from sqlml.models.shared_options import TuningOptions as TuningOptions
from sqlml.models.tuning import CLASSIFICATION_OBJECTIVES, REGRESSION_OBJECTIVES, Shared, Trial
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column
from sqlml.split import SplitPlan
from sqlml.statistics import Products


class Task(enum.Enum):
    """What a model is for; the metrics and prediction columns follow from it."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    CLUSTERING = "clustering"
    REDUCTION = "dimensionality reduction"
    RECOMMENDATION = "recommendation"
    FORECASTING = "forecasting"
    CONTRIBUTION = "contribution analysis"
    TRANSFORM = "transform only"


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What `Model.train` gets.

    Args:
        train: the rows to fit.
        evaluation: held-out rows, or None.
        design: the encoded features.
        label: None for unsupervised models.
        weight: SQL of the weight of a row, or None when all weigh 1.
        rows: number of training rows.
        columns: the columns of the training query (after TRANSFORM).
        previous: the `Trained` to continue from under WARM_START, or None.
        fidelity: "best" or "bigquery".
        given: names of the options that the user wrote.
        extra: further queries of CREATE MODEL, such as custom_holiday.
        device: SET sqlml.device: "auto", "cpu" or "cuda".
        shared: what the trials of one tuning share; None for a single training.
        products: sums of the products of the training rows' numbers, when `Model.takes_products` wanted them.
        sample: a copy of some of the training rows, chosen by their content, when they are many; or None.
    """

    train: Relation
    evaluation: Relation | None
    design: Design
    label: Label | None
    weight: str | None
    rows: int
    columns: tuple[Column, ...]
    previous: Any = None
    fidelity: Literal["best", "bigquery"] = "best"
    given: frozenset[str] = frozenset()
    extra: Mapping[str, Relation] = field(default_factory=dict)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    shared: Shared | None = None
    products: Products | None = None
    sample: Relation | None = None

    def once(self, key: str, make: Callable[[], T]) -> T:
        """A value made from the rows alone, whatever is tuned: the trials of one tuning share it."""
        return make() if self.shared is None else self.shared.get(key, make)

    def open(
        self, key: str, make: Callable[[], contextlib.AbstractContextManager[T]]
    ) -> contextlib.AbstractContextManager[T]:
        """Like `once`, of something that must be closed."""
        if self.shared is None:
            return make()
        return contextlib.nullcontext(self.shared.enter(key, make))


@dataclass(frozen=True, slots=True)
class Lookup:
    """A small table that scoring joins: `on` (SQL over the features) = column `key`; NULL joins NULL.

    A row without a match has NULL in `columns`, which are referred to as `<name>_<column>`.
    """

    name: str
    on: str
    table: pa.Table


@dataclass(frozen=True, slots=True)
class BatchFunction:
    """A vectorised function: Arrow arrays of the argument expressions in, one Arrow array out.

    Args:
        call: called with one `pa.Array` per argument, all of one length.
        arguments: (SQL over the features, DuckDB type).
        result: DuckDB type of the result.
        name: tells the functions of one model apart.
        blocks: whether many rows at once cost far less than as many calls of few.
    """

    call: Callable[..., pa.Array]
    arguments: tuple[tuple[str, str], ...]
    result: str
    name: str = "score"
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """How to compute a model's raw output for a row.

    `let` names intermediate expressions; later ones may use earlier ones, lookups' columns and
    `__f`, the result of `function`. `values` are the outputs: one number for regression, the probability of each
    class in order for classification (or `vector`, one SQL expression of type DOUBLE[], when there are many).
    """

    values: tuple[str, ...] = ()
    vector: str | None = None
    let: tuple[tuple[str, str], ...] = ()
    lookups: tuple[Lookup, ...] = ()
    function: BatchFunction | None = None

    def list(self) -> str:
        """SQL of all outputs as DOUBLE[]."""
        return self.vector or f"[{', '.join(self.values)}]"

    def value(self, i: int) -> str:
        """SQL of output i, from 0."""
        return f"({self.vector})[{i + 1}]" if self.vector else self.values[i]


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """What is to be explained.

    Args:
        output: the class whose raw output is explained, from 0; None for the predicted one, whose index is the
            column `__c`. Without classes there is one output.
        steps: points of the integrated gradients; None for the model's own number.
        approximate: trees: the faster contributions along the paths instead of Shapley values.
    """

    output: int | None = None
    steps: int | None = None
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a raw output (a number, a logit) comes about: value = baseline + one attribution per feature.

    All expressions may use the names of `score`, of `let`, and `__c` (see `ExplainRequest`).

    Args:
        score: the model's outputs; its function may give the attributions too.
        baseline, value: SQL of the raw output without and with the row's features.
        parts: SQL of each feature's attribution, in the order of the design.
        vector: one SQL expression of type DOUBLE[] instead of `parts`.
        let: further names.
        exact: False when the sum meets the value only nearly.
    """

    score: Score
    baseline: str
    value: str
    parts: tuple[str, ...] = ()
    vector: str | None = None
    let: tuple[tuple[str, str], ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model puts a row: near rows are alike to it (`top_k_examples` of ML.EXPLAIN_PREDICT).

    Args:
        vector: SQL of the coordinates as DOUBLE[] over the names of `Model.score`, or a function of the features.
        measure: Euclidean distance, or the share of coordinates that differ.
    """

    vector: str | BatchFunction
    measure: Literal["euclidean", "share"] = "euclidean"


@dataclass(frozen=True, slots=True)
class Anomalies:
    """How ML.DETECT_ANOMALIES judges a row.

    Args:
        score: what to compute for it.
        columns: (name, SQL over the score's names), is_anomaly first.
    """

    score: Score
    columns: tuple[tuple[str, str], ...]


O = TypeVar("O")  # noqa: E741
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Fixed:
    """The answer of a function that needs nothing but the model: its columns and rows."""

    columns: tuple[Column, ...]
    table: pa.Table

    @staticmethod
    def of(columns: Sequence[tuple[str, str, pa.DataType]], rows: Sequence[Mapping[str, object]]) -> Fixed:
        """From (name, DuckDB type, Arrow type) and rows as mappings."""
        arrays = {name: pa.array([r.get(name) for r in rows], kind) for name, _, kind in columns}
        return Fixed(tuple(Column(name, sql) for name, sql, _ in columns), pa.table(arrays))


class Model(Generic[O, S]):
    """A model type. Subclasses set the class variables and write `train` and what applies to them.

    An ML function works on a model type that has the method the function asks for (`centroids` for
    ML.CENTROIDS, `weights` for ML.WEIGHTS ...); see sqlml/functions.
    """

    names: ClassVar[tuple[str, ...]]
    task: ClassVar[Task]
    options: ClassVar[type]
    state: ClassVar[type]
    #: One sentence for SHOW and the documentation.
    doc: ClassVar[str] = ""
    #: Largest number of classes of a classifier.
    max_classes: ClassVar[int] = 1000
    #: Smallest number of training rows.
    min_rows: ClassVar[int] = 1
    #: False for model types whose TRANSFORM clause is refused.
    transform: ClassVar[bool] = True
    #: True for model types that must have a TRANSFORM clause.
    needs_transform: ClassVar[bool] = False
    #: Whether ML.PREDICT of a dimensionality reduction returns the input columns too.
    keeps_columns: ClassVar[bool] = False
    #: Settings of ML.EXPLAIN_PREDICT that this type honours besides the common ones.
    explain_settings: ClassVar[frozenset[str]] = frozenset()
    #: False for models whose ML.EVALUATE takes no input data.
    evaluates_rows: ClassVar[bool] = True
    #: False for models that read columns themselves, without automatic preprocessing (`data.design` is then empty).
    encoded: ClassVar[bool] = True

    def encoding(self, options: O) -> Encoding:
        """How the feature columns are encoded."""
        return Encoding()

    def check(self, options: O, given: frozenset[str], columns: Sequence[Column]) -> None:
        """Refuse combinations of options. Raises `OptionError`, `SchemaError` or `NotSupportedError`."""

    def objectives(self, options: O) -> tuple[str, ...]:
        """Metrics that tuning may optimise, the default first; () when the type cannot be tuned."""
        if not hasattr(options, "num_trials"):
            return ()
        if self.task is Task.REGRESSION:
            return REGRESSION_OBJECTIVES
        return CLASSIFICATION_OBJECTIVES if self.task is Task.CLASSIFICATION else ()

    def active(self, name: str, options: O) -> bool:
        """Whether a hyperparameter means anything under these options (DROPOUT without DART does not)."""
        return True

    def usual(self, name: str, rows: int) -> object:
        """The value of an option that is not written, where it depends on the number of training rows; else None."""
        return None

    def reserved(self, options: O) -> tuple[str, ...]:
        """Names of columns that are not features (ids, time stamps, weights)."""
        return ()

    def split(self, options: O) -> SplitPlan:
        """How rows are held out."""
        if isinstance(options, SplitOptions):
            return SplitPlan(
                options.data_split_method,
                options.data_split_eval_fraction,
                getattr(options, "data_split_test_fraction", None),
                options.data_split_col,
                getattr(options, "num_trials", None) is not None,
            )
        return SplitPlan("NO_SPLIT")

    def takes_products(self, options: O, rows: int, numbers: int) -> bool:
        """Whether training starts from the sums of products of so many numbers over so many rows."""
        return False

    def weight(self, options: O, label: Label | None) -> str | None:
        """SQL of the weight of a row, or None."""
        return class_weight(options, label)

    def _lacks(self, what: str) -> InternalError:
        return InternalError(f"{self.names[0]} declares no {what}")

    def train(self, data: TrainingData, options: O, run: Run) -> S:
        """Fit. Raises `DataError` or `TrainingError`; reports every iteration to `run`."""
        raise self._lacks("training")

    def score(self, trained: Trained) -> Score:
        """How to predict."""
        raise self._lacks("prediction")

    def explain(self, trained: Trained, request: ExplainRequest) -> Explanation:
        """How a prediction comes about (ML.EXPLAIN_PREDICT, ML.GLOBAL_EXPLAIN)."""
        raise self._lacks("explanation")

    def place(self, trained: Trained) -> Place:
        """Where a row lies in the model's own space (TOP_K_EXAMPLES)."""
        raise self._lacks("embedding of rows")

    def approximates(self, options: O) -> bool:
        """Whether global attributions are the faster, approximate ones (trees)."""
        return False

    def prediction_columns(self, trained: Trained) -> tuple[tuple[str, str], ...]:
        """(name, SQL over the score's names) of ML.PREDICT's columns; not asked of models with a label."""
        raise self._lacks("columns of predictions")

    def metric_names(self, trained: Trained) -> tuple[str, ...]:
        """Columns of ML.EVALUATE; not asked of models with a label."""
        return ()

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        """Metrics over rows (after TRANSFORM), by column; not asked of models with a label."""
        raise self._lacks("metrics")

    def training_metrics(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        """The metrics that are stored with the model; `data` are the rows held out, or all."""
        return self.measure(trained, data)

    def feature_statistics(self, trained: Trained) -> tuple[FeatureStatistics, ...]:
        """The lines of ML.FEATURE_INFO."""
        return trained.statistics

    def training_info(self, trained: Trained) -> Fixed:
        """The rows of ML.TRAINING_INFO, the latest iteration first."""
        rows = [
            {
                "training_run": i.training_run,
                "iteration": i.iteration,
                "loss": i.loss,
                "eval_loss": i.eval_loss,
                "learning_rate": i.learning_rate,
                "duration_ms": i.duration_ms,
            }
            for i in reversed(trained.iterations)
        ]
        return Fixed.of(TRAINING_INFO, rows)


TRAINING_INFO = (
    ("training_run", "BIGINT", pa.int64()),
    ("iteration", "BIGINT", pa.int64()),
    ("loss", "DOUBLE", pa.float64()),
    ("eval_loss", "DOUBLE", pa.float64()),
    ("learning_rate", "DOUBLE", pa.float64()),
    ("duration_ms", "BIGINT", pa.int64()),
)


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """A line of ML.FEATURE_INFO; of the columns before TRANSFORM."""

    name: str
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    median: float | None = None
    stddev: float | None = None
    category_count: int | None = None
    null_count: int = 0
    dimension: int | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, as the catalog keeps it.

    Args:
        dataset, name: where it is filed.
        uid: unique for every training.
        model: the model type's name.
        options: the bound options; `given` are the names that were written.
        query: the user's training query.
        inputs: columns that prediction needs (before TRANSFORM).
        metrics: of ML.EVALUATE without data, by column.
        evaluation: what else the functions without data need (confusion counts, scores), as arrays.
        training_run: 0 for a new model, one more for each warm start.
        profile: how the values of the training columns (before TRANSFORM) were distributed.
        examples: the rows that KEEP_EXAMPLES kept, as an Arrow stream; b"" when there are none.
    """

    dataset: str
    name: str
    uid: str
    model: str
    options: Any
    given: tuple[str, ...]
    query: str
    inputs: tuple[Column, ...]
    label: Label | None
    design: Design
    transform: Any
    state: Any
    statistics: tuple[FeatureStatistics, ...]
    iterations: tuple[Any, ...]
    metrics: Mapping[str, float | None]
    evaluation: Mapping[str, Any]
    rows: int
    eval_rows: int
    fidelity: Literal["best", "bigquery"]
    seed: int
    training_run: int
    created: Any
    versions: Mapping[str, str]
    trials: tuple[Trial, ...] = ()
    profile: tuple[ColumnProfile, ...] = ()
    examples: bytes = b""

    @property
    def path(self) -> str:
        """dataset.name"""
        return f"{self.dataset}.{self.name}"

    def of_trial(self, trial: Trial) -> Trained:
        """The model that a trial gave."""
        return replace(
            self,
            uid=f"{self.uid}_{trial.trial_id}",
            options=trial.options,
            state=trial.state,
            metrics=trial.metrics,
            evaluation=trial.evaluation,
        )

    @property
    def finished(self) -> tuple[Trial, ...]:
        """The trials whose models are kept."""
        return tuple(t for t in self.trials if t.state is not None)
