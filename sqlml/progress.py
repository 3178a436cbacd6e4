"""The run of one training: random numbers, progress, cancellation.

`Run.report` is called by every iterative kernel. Listeners draw it, and may stop it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sqlml.errors import Cancelled


@dataclass(frozen=True, slots=True)
class Iteration:
    """One line of ML.TRAINING_INFO. `extra` holds what only some model types report (JSON values)."""

    iteration: int
    loss: float | None
    eval_loss: float | None = None
    learning_rate: float | None = None
    duration_ms: int = 0
    training_run: int = 0
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a listener sees.

    Args:
        stage: "reading", "encoding", "training", "evaluating", "saving", or "trial".
        model: name of the model being made.
        step, steps: where the stage stands, and its end when that is known.
        rows: training rows, when known.
        seconds: since the statement began.
        iteration: the iteration just finished, in stage "training".
        detail: a few words, such as "series 120" or "best so far 0.93".
    """

    stage: str
    model: str = ""
    step: int | None = None
    steps: int | None = None
    rows: int | None = None
    seconds: float = 0.0
    iteration: Iteration | None = None
    detail: str = ""


Listener = Callable[[Progress], object]


class Run:
    """Random generator, clock and listeners of one training; a listener that returns False cancels it."""

    def __init__(
        self,
        *,
        seed: int = 0,
        model: str = "",
        listeners: tuple[Listener, ...] = (),
        training_run: int = 0,
        max_iterations: int | None = None,
    ):
        self.seed = seed
        self.model = model
        self.training_run = training_run
        self.max_iterations = max_iterations
        self.rows: int | None = None
        #: Why the training ended before its time and kept what it had, or None.
        self.ended: str | None = None
        self.iterations: list[Iteration] = []
        self._listeners = listeners
        self._start = self._last = time.perf_counter()
        self._cancelled = False

    def generator(self, stream: int = 0) -> np.random.Generator:
        """A fresh generator; the same stream gives the same numbers."""
        return np.random.default_rng([self.seed, stream])

    def cancel(self) -> None:
        """Stop at the next report."""
        self._cancelled = True

    def report(
        self,
        iteration: int,
        loss: float | None,
        *,
        eval_loss: float | None = None,
        learning_rate: float | None = None,
        **extra: object,
    ) -> None:
        """Record an iteration (from 0). Raises `Cancelled` when someone wants the end."""
        now = time.perf_counter()
        item = Iteration(
            iteration, loss, eval_loss, learning_rate, round(1000 * (now - self._last)), self.training_run, extra
        )
        self._last = now
        self.iterations.append(item)
        self.tell("training", step=iteration + 1, steps=self.max_iterations, iteration=item)

    def amend(self, eval_loss: float | None) -> None:
        """Put the evaluation loss into the last iteration, when it is known only afterwards."""
        if self.iterations:
            self.iterations[-1] = replace(self.iterations[-1], eval_loss=eval_loss)

    def tell(
        self,
        stage: str,
        *,
        step: int | None = None,
        steps: int | None = None,
        iteration: Iteration | None = None,
        detail: str = "",
    ) -> None:
        """Send progress to the listeners; the point of cancellation."""
        if self._listeners:
            seconds = time.perf_counter() - self._start
            event = Progress(stage, self.model, step, steps, self.rows, seconds, iteration, detail)
            for listener in self._listeners:
                if listener(event) is False:
                    self._cancelled = True
        if self._cancelled:
            raise Cancelled("the statement was cancelled. Nothing was changed.")
