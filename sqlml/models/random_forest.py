"""RANDOM_FOREST_CLASSIFIER and RANDOM_FOREST_REGRESSOR: one round of parallel trees on sampled rows and columns.

Under 'best' a leaf holds the mean of its rows (the share of each class), drawn towards the overall mean by
L2_REG, and the forest averages its trees (Breiman 2001). Under 'bigquery' it is what the service does: one Newton
step of the boosting loss from 0.5, which leaves large labels hardly split and probabilities near the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlml.errors import OptionError
from sqlml.models.base import ClassWeightOptions, Task
from sqlml.models.trees import TreeOptions, Trees
from sqlml.options import Space, option
from sqlml.schema import Column


@dataclass(frozen=True)
class RandomForestOptions(TreeOptions):
    """Options of RANDOM_FOREST_REGRESSOR."""

    num_parallel_tree: int = option(100, "Number of trees.", low=2, tune=Space(2, 200))
    max_tree_depth: int = option(15, "Greatest depth of a tree.", low=1, tune=Space(1, 20))
    colsample_bynode: float = option(
        0.8,
        "Share of the columns for each split; with TREE_METHOD='EXACT', which cannot do that, for each level.",
        above=0.0,
        high=1.0,
        tune=Space(always=False),
    )
    subsample: float = option(
        0.8, "Share of the rows for each tree, drawn by the seed.", above=0.0, below=1.0, tune=Space(0.0, 1.0)
    )


@dataclass(frozen=True)
class RandomForestClassifierOptions(ClassWeightOptions, RandomForestOptions):
    """Options of RANDOM_FOREST_CLASSIFIER."""


class RandomForests(Trees):
    """Base of the two model types."""

    forest = True
    many_trees = 50

    def check(self, options: Any, given: frozenset[str], columns: Sequence[Column]) -> None:
        super().check(options, given, columns)
        if min(options.colsample_bytree, options.colsample_bylevel, options.colsample_bynode) >= 1.0:
            raise OptionError("COLSAMPLE_BYTREE, COLSAMPLE_BYLEVEL or COLSAMPLE_BYNODE must be less than 1.")

    def parameters(self, options: Any) -> dict[str, Any]:
        found = {**super().parameters(options), "eta": 1.0}
        share = found["colsample_bynode"]
        if options.tree_method == "EXACT" and share < 1.0:  # the default: EXACT draws columns by level at most
            found |= {"colsample_bynode": 1.0, "colsample_bylevel": min(share, found["colsample_bylevel"])}
        return found


class RandomForestClassifier(RandomForests):
    """Classification."""

    names = ("RANDOM_FOREST_CLASSIFIER",)
    task = Task.CLASSIFICATION
    options = RandomForestClassifierOptions
    doc = "Random forest for two or more labels."


class RandomForestRegressor(RandomForests):
    """Regression."""

    names = ("RANDOM_FOREST_REGRESSOR",)
    task = Task.REGRESSION
    options = RandomForestOptions
    doc = "Random forest for numbers."
