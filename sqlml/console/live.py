"""The live line of a training on stderr: stage, iteration, losses, rows, seconds, a bar."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from sqlml.progress import Progress

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
INTERVAL = 0.08


def describe(event: Progress, width: int = 0) -> str:
    """One line of words about an event; with `width`, a bar of so many columns where the end is known."""
    parts = [f"{event.model}: {event.stage}" if event.model else event.stage]
    if event.step is not None:
        noun = {"training": "iteration", "trial": ""}.get(event.stage, "step")
        count = f"{event.step:,}" + (f" of {event.steps:,}" if event.steps else "")
        parts.append(f"{noun} {count}".strip())
    iteration = event.iteration
    if iteration is not None and iteration.loss is not None:
        parts.append(f"loss {iteration.loss:.5g}")
    if iteration is not None and iteration.eval_loss is not None:
        parts.append(f"eval loss {iteration.eval_loss:.5g}")
    if event.detail:
        parts.append(event.detail)
    if event.rows is not None:
        parts.append(f"{event.rows:,} rows")
    parts.append(f"{event.seconds:.1f} s")
    text = " · ".join(parts)
    if width and event.step is not None and event.steps:
        done = min(width, round(width * event.step / event.steps))
        text += " " + "█" * done + "░" * (width - done)
    return text


class LiveLine:
    """Draws events over each other on one line of a terminal; draws nothing elsewhere.

    It is a listener: it returns False, which cancels the training, once `cancel` was called.
    """

    def __init__(self, stream: TextIO, columns: int) -> None:
        self._stream = stream
        self._columns = columns
        self._on = stream.isatty()
        self._drawn = False
        self._last = 0.0
        self._count = 0
        self._cancelled = False
        self._lock = threading.Lock()

    def __call__(self, event: Progress) -> bool:
        """Draw, at most a dozen times a second."""
        now = time.monotonic()
        with self._lock:
            if self._on and now - self._last >= INTERVAL:
                self._last = now
                self._count += 1
                mark = SPINNER[self._count % len(SPINNER)]
                bar = 20 if self._columns >= 100 else 10 if self._columns >= 60 else 0
                text = f"{mark} {describe(event, bar)}"[: self._columns - 1]
                self._stream.write(f"\r\x1b[2K{text}")
                self._stream.flush()
                self._drawn = True
        return not self._cancelled

    def start(self) -> None:
        """Before a statement."""
        self._cancelled = False
        self._last = 0.0

    def cancel(self) -> None:
        """Ask the training to stop at its next event."""
        self._cancelled = True

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._drawn:
                self._stream.write("\r\x1b[2K")
                self._stream.flush()
                self._drawn = False
