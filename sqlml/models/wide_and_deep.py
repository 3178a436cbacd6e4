"""DNN_LINEAR_COMBINED_*: a linear model and a network added up, each half with its own optimiser.

Source: Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlml.errors import OptionError
from sqlml.kernels.mlp_train import Training
from sqlml.models.base import ClassWeightOptions, Task
from sqlml.models.dnn import SupervisedNetwork, SupervisedOptions
from sqlml.models.networks import OPTIMIZERS, PROXIMAL, Optimizer
from sqlml.options import option
from sqlml.schema import Column

HALVES = ("dnn", "linear")


@dataclass(frozen=True)
class WideRegressorOptions(SupervisedOptions):
    """Options of DNN_LINEAR_COMBINED_REGRESSOR."""

    optimizer: Optimizer | tuple[tuple[str, str], ...] = option(
        (("dnn", "ADAM"), ("linear", "FTRL")), "The optimiser, or one for 'dnn' and one for 'linear'."
    )
    learn_rate: float | tuple[tuple[str, float], ...] = option(
        0.001, "Learning rate, or one for 'dnn' and one for 'linear'.", above=0.0
    )
    integrated_gradients_num_steps: int = option(50, "Points of the integrated gradients.", low=1)


@dataclass(frozen=True)
class WideClassifierOptions(ClassWeightOptions, WideRegressorOptions):
    """Options of DNN_LINEAR_COMBINED_CLASSIFIER."""


class WideNetwork(SupervisedNetwork):
    """Base of the two model types."""

    wide = True

    def check(self, options: Any, given: frozenset[str], columns: Sequence[Column]) -> None:
        for name in self.optimizers(options):
            if name not in OPTIMIZERS:
                raise OptionError(f"OPTIMIZER must be one of {', '.join(OPTIMIZERS)}. Got '{name}'.")
        halves("LEARN_RATE", options.learn_rate, 0.001)
        super().check(options, given, columns)

    def optimizers(self, options: Any) -> tuple[str, ...]:
        dnn, linear = halves("OPTIMIZER", options.optimizer, None)
        return (dnn or "ADAM").upper(), (linear or "FTRL").upper()

    def settings(self, options: Any, rows: int) -> Training:
        optimizer, linear_optimizer = self.optimizers(options)
        rate, linear_rate = halves("LEARN_RATE", options.learn_rate, 0.001)
        common = super().settings(replace(options, optimizer="SGD", learn_rate=1.0), rows)
        # A half whose optimiser has no proximal step goes without penalties.
        deep, wide = optimizer in PROXIMAL, linear_optimizer in PROXIMAL
        return replace(
            common,
            optimizer=optimizer,
            learn_rate=float(rate),
            linear_optimizer=linear_optimizer,
            linear_learn_rate=float(linear_rate),
            l1=options.l1_reg if deep else 0.0,
            l2=options.l2_reg if deep else 0.0,
            linear_l1=options.l1_reg if wide else 0.0,
            linear_l2=options.l2_reg if wide else 0.0,
        )


def halves(name: str, value: Any, default: Any) -> tuple[Any, Any]:
    """The values for the deep and the linear half. Raises `OptionError` for another key."""
    if not isinstance(value, tuple):
        return value, value
    found = {}
    for key, item in value:
        half = key.lower()
        if half not in HALVES or half in found:
            example = "'ADAM'), ('linear', 'FTRL'" if name == "OPTIMIZER" else "0.001), ('linear', 0.01"
            text = f"{name} must name 'dnn' and 'linear', each once. Got '{key}'."
            raise OptionError(text, hint=f"{name}=[('dnn', {example})]")
        if name == "LEARN_RATE" and item <= 0:
            raise OptionError(f"LEARN_RATE must be greater than 0. Got {item}.")
        found[half] = item
    return found.get("dnn", default), found.get("linear", default)


class WideClassifier(WideNetwork):
    """Classification by a wide & deep network."""

    names = ("DNN_LINEAR_COMBINED_CLASSIFIER",)
    task = Task.CLASSIFICATION
    options = WideClassifierOptions
    doc = "Wide & deep network for two or more labels."


class WideRegressor(WideNetwork):
    """Regression by a wide & deep network."""

    names = ("DNN_LINEAR_COMBINED_REGRESSOR",)
    task = Task.REGRESSION
    options = WideRegressorOptions
    doc = "Wide & deep network for numbers."
