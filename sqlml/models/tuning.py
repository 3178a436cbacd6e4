"""What tuning adds to models: objectives, trials, and what trials over the same rows share."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

REGRESSION_OBJECTIVES = (
    "R2_SCORE",
    "EXPLAINED_VARIANCE",
    "MEAN_ABSOLUTE_ERROR",
    "MEAN_SQUARED_ERROR",
    "MEAN_SQUARED_LOG_ERROR",
    "MEDIAN_ABSOLUTE_ERROR",
)
CLASSIFICATION_OBJECTIVES = ("ROC_AUC", "PRECISION", "RECALL", "ACCURACY", "F1_SCORE", "LOG_LOSS")


#: Objectives of which less is better.
MINIMISED = frozenset(
    {
        "MEAN_ABSOLUTE_ERROR",
        "MEAN_SQUARED_ERROR",
        "MEAN_SQUARED_LOG_ERROR",
        "MEDIAN_ABSOLUTE_ERROR",
        "LOG_LOSS",
        "DAVIES_BOULDIN_INDEX",
        "AVERAGE_RANK",
    }
)

T = TypeVar("T")


class Shared:
    """What several trainings over the same rows make once: encoded rows, sums. Safe for several threads."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()
        self._lock = threading.RLock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The value of a key, made when it is first asked for."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def enter(self, key: str, make: Callable[[], contextlib.AbstractContextManager[T]]) -> T:
        """Like `get`, of something that is closed when the last training is done."""
        return self.get(key, lambda: self._stack.enter_context(make()))

    def close(self) -> None:
        """Give everything back."""
        self._made.clear()
        self._stack.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a tuning: a line of ML.TRIAL_INFO, and the model it gave.

    Args:
        trial_id: from 1.
        hyperparameters: (name, value) of what was tuned; None where it means nothing beside the others.
        options: all options of the trial; `state` and `iterations` are what it learned, None without success.
        objective: the metric that is optimised, over the evaluation rows; None without success.
        metrics, evaluation: as in `Trained`, over the test rows.
        status: SUCCEEDED, FAILED, INFEASIBLE (a combination that is not allowed), or STOPPED_EARLY (hopeless).
        error: why there is no model; None when there is.
    """

    trial_id: int
    hyperparameters: tuple[tuple[str, Any], ...]
    options: Any = None
    state: Any = None
    objective: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    training_loss: float | None = None
    eval_loss: float | None = None
    status: str = "SUCCEEDED"
    error: str | None = None
    is_optimal: bool = False
