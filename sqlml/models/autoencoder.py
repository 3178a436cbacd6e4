"""AUTOENCODER: a network that reproduces its encoded input through a narrow middle layer.

The error of a row is the mean over all encoded inputs (standardised numbers and one-hot columns)
of the squared difference to its reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sqlml.encode import Design, Encoding, Sparse
from sqlml.errors import DataError, OptionError
from sqlml.kernels.mlp import Network, Rows
from sqlml.kernels.types import F64
from sqlml.models.base import Anomalies, Model, Place, Score, Task, Trained, TrainingData
from sqlml.models.blocks import dense_width
from sqlml.models.network_rows import TrainingRows
from sqlml.models.networks import (
    OPTIMIZERS,
    NetworkOptions,
    NetworkState,
    Optimizer,
    apart_for,
    apart_of,
    check_first,
    check_layers,
    check_rate,
    default_batch,
    fit_network,
    frozen,
    hidden_layers,
    network_encoding,
    pack_weights,
    settings_of,
    vector_function,
)
from sqlml.options import Space, option
from sqlml.progress import Run
from sqlml.relation import Relation
from sqlml.schema import Column, quote_literal

METRICS = ("mean_absolute_error", "mean_squared_error", "mean_squared_log_error")
#: Order statistics of the training errors that are kept.
KEPT_ERRORS = 10_001
#: The reconstruction of a row is dense, whatever the row is; more encoded columns are refused.
WIDEST = 65_536


@dataclass(frozen=True)
class AutoencoderOptions(NetworkOptions):
    """Options of AUTOENCODER."""

    activation_fn: Literal["RELU", "RELU6", "ELU", "SELU", "SIGMOID", "TANH"] = option(
        "RELU", "Activation of the hidden layers.", tune=Space(always=False)
    )
    optimizer: Optimizer = option("ADAM", "The optimiser.", tune=Space(candidates=OPTIMIZERS))
    learn_rate: float = option(0.001, "Learning rate.", above=0.0, tune=Space(0.0, 1.0, "LOG"))
    l1_reg_activation: float = option(
        0.0, "L1 penalty on the activations of the latent layer.", low=0.0, tune=Space(0.0, 10.0, "LOG")
    )


class Autoencoder(Model[AutoencoderOptions, NetworkState]):
    """Dimensionality reduction, embeddings and anomaly scores."""

    names = ("AUTOENCODER",)
    task = Task.REDUCTION
    options = AutoencoderOptions
    state = NetworkState
    doc = "Neural network that reproduces its input through a narrow layer."
    keeps_columns = True

    def encoding(self, options: AutoencoderOptions) -> Encoding:
        return network_encoding(timestamps=True)

    def check(self, options: AutoencoderOptions, given: frozenset[str], columns: Sequence[Column]) -> None:
        check_layers(options)
        check_rate(options.learn_rate)
        layers = options.hidden_units
        if layers is not None and len(layers) % 2 == 0:
            raise OptionError(
                "HIDDEN_UNITS must have an odd number of layers: the middle one is the latent layer."
                f" Got {list(layers)}."
            )

    def train(self, data: TrainingData, options: AutoencoderOptions, run: Run) -> NetworkState:
        check_first(options, data.device)
        refuse_wide(data.design)
        apart = apart_for(data)
        width = data.design.width
        hidden = hidden_layers(data, options, width)
        p = dense_width(data.design, apart)
        network = Network("autoencoder", p, width - p, hidden, width, options.activation_fn)
        settings = replace(
            settings_of(options, data.rows),
            l1_activation=options.l1_reg_activation,
            seed=run.seed,
            device=data.device,
        )
        fit = fit_network(data, network, apart, settings, run)
        state = NetworkState(network, pack_weights(fit.weights), fit.device, apart=apart)
        errors = np.concatenate(_errors(state, data.train, data))
        kept = _order_statistics(np.sort(errors[:, 1]))
        return replace(state, errors=kept, means=errors.mean(axis=0))

    def training_metrics(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        if trained.eval_rows:
            return self.measure(trained, data)
        return dict(zip(METRICS, trained.state.means.tolist(), strict=True))

    def prediction_columns(self, trained: Trained) -> tuple[tuple[str, str], ...]:
        network = trained.state.network
        k = network.hidden[network.latent]
        return tuple((f"latent_col_{i + 1}", f"__f[{i + 1}]") for i in range(k))

    def score(self, trained: Trained) -> Score:
        return Score(vector="__f", function=vector_function(trained, "score", "latent"))

    def embedding(self, trained: Trained) -> str:
        """SQL of the latent vector over the score."""
        return "__f"

    def place(self, trained: Trained) -> Place:
        """The latent vector."""
        return Place(self.embedding(trained))

    def reconstruction(self, trained: Trained) -> Score:
        """The errors of a row as three values, in the order of METRICS."""
        return Score(vector="__f", function=vector_function(trained, "errors", "reconstruction_errors"))

    def anomalies(self, trained: Trained, contamination: float) -> Anomalies:
        """Rows whose reconstruction error is larger than that of most training rows."""
        cut = float(np.quantile(trained.state.errors, 1.0 - contamination))
        columns = (("is_anomaly", f"__f[2] > {quote_literal(cut)}"), ("mean_squared_error", "__f[2]"))
        return Anomalies(self.reconstruction(trained), columns)

    def objectives(self, options: AutoencoderOptions) -> tuple[str, ...]:
        return ("MEAN_SQUARED_ERROR", "MEAN_ABSOLUTE_ERROR", "MEAN_SQUARED_LOG_ERROR")

    def usual(self, name: str, rows: int) -> object:
        return default_batch(rows) if name == "batch_size" else None

    def metric_names(self, trained: Trained) -> tuple[str, ...]:
        return METRICS

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        total, n = np.zeros(len(METRICS)), 0
        for errors in _errors(trained.state, data, trained):
            total += errors.sum(axis=0)
            n += len(errors)
        if not n:
            raise DataError("the evaluation must have at least one row.")
        return dict(zip(METRICS, (total / n).tolist(), strict=True))


def refuse_wide(design: Design) -> None:
    """The output has every encoded column, so there is a bound on them."""
    if design.width <= WIDEST:
        return
    widest = max(design.features, key=lambda f: f.width)
    hint = None
    if isinstance(widest, Sparse):
        key, value = widest.index_field, widest.value_field
        folded = f"MOD(e.{key}, 10000) AS {key}, e.{value} FROM UNNEST({widest.source}) AS e"
        hint = f"fold the keys: ARRAY(SELECT AS STRUCT {folded}) AS {widest.source}"
    raise DataError(
        f"the features of an AUTOENCODER must have at most {WIDEST} encoded columns, each of which it reproduces."
        f" Got {design.width}, of which {widest.width} in {widest.source}.",
        hint=hint,
    )


def _errors(state: NetworkState, rows: Relation, owner: Any) -> list[F64]:
    """Reconstruction errors (n, 3) of the rows, piece by piece; `owner` has the design."""
    ready = frozen(state)
    found = []
    for piece in TrainingRows(rows, owner.design, {}, "autoencoder", apart_of(owner.design, state)):
        part: Rows = piece
        found.append(ready.reconstruction_errors(part.X, part.codes, part.bags))
    return found


def _order_statistics(errors: F64) -> F64:
    """All of few values, else KEPT_ERRORS evenly spaced order statistics (min and max among them)."""
    if len(errors) <= KEPT_ERRORS:
        return errors
    at = np.round(np.linspace(0, len(errors) - 1, KEPT_ERRORS)).astype(np.int64)
    return errors[at]
