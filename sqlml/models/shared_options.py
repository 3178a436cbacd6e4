"""Options that several model types have: registry, split, class weights, tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlml.options import option

_RECORDED = "it is kept with the model; no outside service is asked."


@dataclass(frozen=True)
class RegistryOptions:
    """Options of the external model registry and key service: recorded, without effect here."""

    model_registry: Literal["VERTEX_AI"] | None = option(None, "External model registry.", note=_RECORDED)
    vertex_ai_model_id: str | None = option(None, "Registry id of the model.", note=_RECORDED)
    vertex_ai_model_version_aliases: tuple[str, ...] | None = option(
        None, "Aliases of the registered version.", note=_RECORDED
    )
    kms_key_name: str | None = option(None, "Key of the stored model.", note=_RECORDED)


@dataclass(frozen=True)
class SplitOptions:
    """Options that hold rows out."""

    data_split_method: Literal["AUTO_SPLIT", "RANDOM", "CUSTOM", "SEQ", "NO_SPLIT"] = option(
        "AUTO_SPLIT", "How rows are divided into training and evaluation rows."
    )
    data_split_eval_fraction: float | None = option(
        None, "Share of the rows that is held out for evaluation; 0.2 when needed.", low=0.0, below=1.0
    )
    data_split_test_fraction: float | None = option(
        None, "Share of the rows that judges the tuned models; only with NUM_TRIALS.", low=0.0, below=1.0
    )
    data_split_col: str | None = option(None, "Column that drives a CUSTOM or SEQ split; it is not a feature.")


@dataclass(frozen=True)
class ClassWeightOptions:
    """Options that weigh classes."""

    auto_class_weights: bool = option(False, "Weigh each class by rows / (rows of the class * number of classes).")
    class_weights: tuple[tuple[str, float], ...] | None = option(
        None, "Weight of every class, as (label, weight).", low=0.0
    )


@dataclass(frozen=True)
class TuningOptions:
    """Options of hyperparameter tuning."""

    num_trials: int | None = option(None, "Number of models to try; turns tuning on.", low=1, high=100)
    max_parallel_trials: int = option(1, "Trials that run at once.", low=1, high=5)
    hparam_tuning_algorithm: Literal["VIZIER_DEFAULT", "RANDOM_SEARCH", "GRID_SEARCH"] = option(
        "VIZIER_DEFAULT", "How hyperparameters are chosen; VIZIER_DEFAULT is a Bayesian search."
    )
    hparam_tuning_objectives: tuple[str, ...] | None = option(None, "The metric to optimise; one only.")
    hparam_tuning_pruning: bool = option(True, "Stop trials early that cannot end better than most others (ours).")


@dataclass(frozen=True)
class ExampleOptions:
    """What models with an embedding may keep of their rows (ours)."""

    keep_examples: int | None = option(
        None,
        "Training rows that are stored with the model, drawn by the seed, for TOP_K_EXAMPLES; none by default (ours).",
        low=1,
        high=10_000,
    )
