"""DNN_CLASSIFIER and DNN_REGRESSOR: multi-layer perceptrons, trained with torch, scored with numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from sqlml.encode import Encoding
from sqlml.errors import OptionError
from sqlml.kernels.mlp import Network
from sqlml.kernels.mlp_train import Training
from sqlml.models.base import (
    BatchFunction,
    ClassWeightOptions,
    ExplainRequest,
    Explanation,
    Model,
    Place,
    Score,
    SplitOptions,
    Task,
    Trained,
    TrainingData,
)
from sqlml.models.blocks import dense_width
from sqlml.models.networks import (
    OPTIMIZERS,
    PROXIMAL,
    NetworkOptions,
    NetworkState,
    Optimizer,
    apart_for,
    apart_of,
    arguments,
    check_first,
    check_layers,
    check_rate,
    default_batch,
    explanation_function,
    fit_network,
    frozen,
    hidden_layers,
    list_array,
    network_encoding,
    pack_weights,
    quiet,
    rows_of_arrays,
    settings_of,
    vector_function,
)
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.schema import Column

Activation = Literal["RELU", "RELU6", "CRELU", "ELU", "SELU", "SIGMOID", "TANH"]


@dataclass(frozen=True)
class SupervisedOptions(NetworkOptions, SplitOptions):
    """Options of the networks with a label."""

    activation_fn: Activation = option("RELU", "Activation of the hidden layers.", tune=Space(always=False))
    input_label_cols: tuple[str, ...] | None = option(None, "The label column; by default the column called label.")
    enable_global_explain: bool = option(False, "Compute global attributions at training time.")


@dataclass(frozen=True)
class DnnRegressorOptions(SupervisedOptions):
    """Options of DNN_REGRESSOR."""

    optimizer: Optimizer = option("ADAM", "The optimiser.", tune=Space(candidates=OPTIMIZERS))
    learn_rate: float = option(0.001, "Learning rate.", above=0.0, tune=Space(0.0, 1.0))
    integrated_gradients_num_steps: int = option(15, "Points of the integrated gradients.", low=1, high=30)


@dataclass(frozen=True)
class DnnClassifierOptions(ClassWeightOptions, DnnRegressorOptions):
    """Options of DNN_CLASSIFIER."""


class SupervisedNetwork(Model[Any, NetworkState]):
    """Base of the networks with a label."""

    state = NetworkState
    wide = False
    explain_settings = frozenset({"integrated_gradients_num_steps"})

    def encoding(self, options: Any) -> Encoding:
        return network_encoding()

    def check(self, options: Any, given: frozenset[str], columns: Sequence[Column]) -> None:
        steps = "integrated_gradients_num_steps"
        if steps in given and not options.enable_global_explain:
            raise OptionError(f"{steps.upper()} must be given only with ENABLE_GLOBAL_EXPLAIN = TRUE.")
        check_layers(options)
        settings = self.settings(options, 1)
        check_rate(settings.learn_rate, settings.linear_learn_rate if self.wide else settings.learn_rate)
        check_penalties(options, self.optimizers(options))

    def usual(self, name: str, rows: int) -> object:
        return default_batch(rows) if name == "batch_size" else None

    def active(self, name: str, options: Any) -> bool:
        """L1 and L2 belong to the optimisers with a proximal step."""
        return name not in ("l1_reg", "l2_reg") or bool(PROXIMAL & set(self.optimizers(options)))

    def optimizers(self, options: Any) -> tuple[str, ...]:
        """The optimisers of the halves."""
        return (options.optimizer,)

    def settings(self, options: Any, rows: int) -> Training:
        """The kernel's settings, but for seed and device."""
        return settings_of(options, rows)

    def train(self, data: TrainingData, options: Any, run: Run) -> NetworkState:
        assert data.label is not None
        check_first(options, data.device)
        apart = apart_for(data)
        network = self.network(data, apart, options)
        settings = with_place(self.settings(options, data.rows), run.seed, data.device)
        fit = fit_network(data, network, apart, settings, run)
        return NetworkState(network, pack_weights(fit.weights), fit.device, apart=apart)

    def network(self, data: TrainingData, apart: Sequence[int], options: Any) -> Network:
        """The shape that fits the columns and the label."""
        assert data.label is not None
        classes = len(data.label.classes)
        task: Any = "regression" if not classes else "binary" if classes == 2 else "multiclass"
        outputs = classes if classes > 2 else 1
        p = dense_width(data.design, apart)
        hidden = hidden_layers(data, options, outputs)
        return Network(task, p, data.design.width - p, hidden, outputs, options.activation_fn, self.wide)

    def score(self, trained: Trained) -> Score:
        state: NetworkState = trained.state
        ready, design = frozen(state), trained.design
        apart = apart_of(design, state)

        @quiet
        def run(*arrays: pa.Array) -> pa.Array:
            rows = rows_of_arrays(design, apart, arrays)
            found = ready.predict(rows.X, rows.codes, rows.bags)
            return list_array(found) if found.ndim == 2 else pa.array(np.ascontiguousarray(found))

        many = state.network.task == "multiclass"
        function = BatchFunction(run, arguments(design), "DOUBLE[]" if many else "DOUBLE")
        if many:
            return Score(vector="__f", function=function)
        return Score(("1.0 - __f", "__f") if state.network.task == "binary" else ("__f",), function=function)

    def place(self, trained: Trained) -> Place:
        """The last hidden layer."""
        return Place(vector_function(trained, "place", "last"))

    def explain(self, trained: Trained, request: ExplainRequest) -> Explanation:
        steps = request.steps or trained.options.integrated_gradients_num_steps
        function = explanation_function(trained, request, steps)
        task, d = trained.state.network.task, len(trained.design.features)
        m = trained.state.network.outputs
        parts, baseline, value = f"__f[{m + 1}:{m + d}]", f"__f[{m + d + 1}]", f"__f[{m + d + 2}]"
        if task == "multiclass":
            return Explanation(Score(vector=f"__f[1:{m}]", function=function), baseline, value, (), parts, (), False)
        if task == "regression":
            return Explanation(Score(("__f[1]",), function=function), baseline, value, (), parts, (), False)
        score = Score(("1.0 - __f[1]", "__f[1]"), function=function)
        code = "__c" if request.output is None else str(request.output)
        sign = (("__s", f"(CASE WHEN {code} = 1 THEN 1.0::DOUBLE ELSE -1.0::DOUBLE END)"),)
        signed = f"list_transform({parts}, lambda a: a * __s)"
        return Explanation(score, f"__s * {baseline}", f"__s * {value}", (), signed, sign, False)


def check_penalties(options: Any, optimizers: Sequence[str]) -> None:
    """L1 and L2 exist as proximal steps; ADAM and RMSPROP have none."""
    if (options.l1_reg or options.l2_reg) and not PROXIMAL & set(optimizers):
        name = "L1_REG" if options.l1_reg else "L2_REG"
        raise OptionError(
            f"{name} must come with the OPTIMIZER ADAGRAD, FTRL or SGD. Got {', '.join(optimizers)}.",
            hint="add OPTIMIZER='ADAGRAD'.",
        )


def with_place(settings: Training, seed: int, device: Any) -> Training:
    """The settings with a seed and a device."""
    return replace(settings, seed=seed, device=device)


class DnnClassifier(SupervisedNetwork):
    """Classification by a network."""

    names = ("DNN_CLASSIFIER",)
    task = Task.CLASSIFICATION
    options = DnnClassifierOptions
    doc = "Neural network for two or more labels."


class DnnRegressor(SupervisedNetwork):
    """Regression by a network."""

    names = ("DNN_REGRESSOR",)
    task = Task.REGRESSION
    options = DnnRegressorOptions
    doc = "Neural network for numbers."
