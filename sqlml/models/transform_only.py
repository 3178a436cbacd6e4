"""TRANSFORM_ONLY: a TRANSFORM clause with its fitted statistics, and no model behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlml.models.base import Model, Task, Trained, TrainingData
from sqlml.progress import Run
from sqlml.relation import Relation


@dataclass(frozen=True)
class TransformOnlyOptions:
    """TRANSFORM_ONLY has no options besides MODEL_TYPE."""


@dataclass(frozen=True, slots=True)
class TransformOnlyState:
    """Nothing is learned but the statistics of the clause, which every model keeps."""


class TransformOnly(Model[TransformOnlyOptions, TransformOnlyState]):
    """Features that are fitted once and used by ML.TRANSFORM."""

    names = ("TRANSFORM_ONLY",)
    task = Task.TRANSFORM
    options = TransformOnlyOptions
    state = TransformOnlyState
    doc = "A TRANSFORM clause without a model, for ML.TRANSFORM."
    encoded = False
    needs_transform = True

    def train(self, data: TrainingData, options: TransformOnlyOptions, run: Run) -> TransformOnlyState:
        """Nothing is left to do: the clause is fitted."""
        return TransformOnlyState()

    def measure(self, trained: Trained, data: Relation) -> Mapping[str, float | None]:
        """There is nothing to measure."""
        return {}
