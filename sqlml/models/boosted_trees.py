"""BOOSTED_TREE_CLASSIFIER and BOOSTED_TREE_REGRESSOR: gradient-boosted trees, one round per iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlml.errors import OptionError
from sqlml.models.base import ClassWeightOptions, Task
from sqlml.models.trees import TreeOptions, Trees
from sqlml.options import Space, option
from sqlml.schema import Column

_SELDOM = Space(always=False)


@dataclass(frozen=True)
class BoostedTreeOptions(TreeOptions):
    """Options of BOOSTED_TREE_REGRESSOR."""

    booster_type: Literal["GBTREE", "DART"] = option(
        "GBTREE", "Plain boosting, or boosting that drops earlier trees at random.", tune=_SELDOM
    )
    dart_normalize_type: Literal["TREE", "FOREST"] = option(
        "TREE", "DART: a new tree weighs as each dropped tree, or as all of them together.", tune=_SELDOM
    )
    dropout: float = option(
        0.0, "DART: share of the earlier trees that a round drops.", low=0.0, high=1.0, tune=_SELDOM
    )
    num_parallel_tree: int = option(1, "Trees of each round; above 1 a boosted forest.", low=1, tune=_SELDOM)
    max_tree_depth: int = option(6, "Greatest depth of a tree.", low=1, tune=Space(1, 10))
    learn_rate: float = option(0.3, "Share of each round that is added.", above=0.0, tune=Space(0.0, 1.0))
    subsample: float = option(
        1.0, "Share of the rows for each round, drawn by the seed.", above=0.0, high=1.0, tune=Space(0.0, 1.0)
    )
    category_encoding_method: Literal["LABEL_ENCODING", "TARGET_ENCODING", "ONE_HOT_ENCODING", "NATIVE_ENCODING"] = (
        option(
            "LABEL_ENCODING",
            "Encoding of categorical features; NATIVE_ENCODING (ours) lets XGBoost split the set of categories.",
        )
    )
    max_iterations: int = option(20, "Upper bound on the number of rounds.", low=1)
    warm_start: bool = option(False, "Add rounds to the existing model.")


@dataclass(frozen=True)
class BoostedTreeClassifierOptions(ClassWeightOptions, BoostedTreeOptions):
    """Options of BOOSTED_TREE_CLASSIFIER."""


class BoostedTrees(Trees):
    """Base of the two model types."""

    def check(self, options: Any, given: frozenset[str], columns: Sequence[Column]) -> None:
        super().check(options, given, columns)
        if options.booster_type != "DART":
            for name in ("dropout", "dart_normalize_type"):
                if name in given:
                    raise OptionError(f"{name.upper()} must be given only with BOOSTER_TYPE = 'DART'.")
        if options.category_encoding_method == "NATIVE_ENCODING" and options.tree_method == "EXACT":
            raise OptionError(
                "CATEGORY_ENCODING_METHOD='NATIVE_ENCODING' must come with TREE_METHOD 'HIST' or 'APPROX'."
            )

    def active(self, name: str, options: Any) -> bool:
        """What belongs to DART means nothing without it."""
        return name not in ("dropout", "dart_normalize_type") or options.booster_type == "DART"

    def rounds(self, options: Any) -> int:
        return int(options.max_iterations)

    def parameters(self, options: Any) -> dict[str, Any]:
        found = {**super().parameters(options), "eta": options.learn_rate}
        if options.booster_type == "DART":
            found["booster"] = "dart"
            found["rate_drop"] = options.dropout
            found["normalize_type"] = options.dart_normalize_type.lower()
        return found


class BoostedTreeClassifier(BoostedTrees):
    """Classification."""

    names = ("BOOSTED_TREE_CLASSIFIER",)
    task = Task.CLASSIFICATION
    options = BoostedTreeClassifierOptions
    doc = "Gradient-boosted trees for two or more labels."


class BoostedTreeRegressor(BoostedTrees):
    """Regression."""

    names = ("BOOSTED_TREE_REGRESSOR",)
    task = Task.REGRESSION
    options = BoostedTreeOptions
    doc = "Gradient-boosted trees for numbers."
