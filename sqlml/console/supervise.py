"""Run a statement so that Ctrl-C stops the statement and nothing else.

Python delivers signals to the main thread, and a main thread inside the engine would hear them too
late. So the work runs in a second thread while the main thread listens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def supervise(work: Callable[[], T], stop: Callable[[], None]) -> T:
    """The result of `work()`; each Ctrl-C calls `stop()`. Errors of the work are raised here."""
    result: list[T] = []
    failure: list[BaseException] = []
    # An event, because an interrupted Thread.join() leaves the thread marked as ended.
    ended = threading.Event()

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - carried over to the main thread, raised below
            failure.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, name="sqlml-statement", daemon=True).start()
    waiting = True
    while waiting:
        try:
            waiting = not ended.wait(0.2)
        except KeyboardInterrupt:
            stop()
    if failure:
        raise failure.pop()
    return result[0]
