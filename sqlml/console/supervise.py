"""Run a statement so that Ctrl-C stops the statement and nothing else.

Python delivers signals to the main thread, and a main thread inside the engine would hear them too
late. So the work runs in a second thread while the main thread listens.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from sqlml.errors import Cancelled

T = TypeVar("T")

#: Whether a statement is there to be stopped, and whether Ctrl-C came while none was; for `take_ctrl_c`.
_listening = _pressed = False


def take_ctrl_c() -> None:
    """From now on Ctrl-C stops statements only: between them a KeyboardInterrupt could come at any line.

    One that comes while a statement is being prepared stops it when it begins. This also undoes what a parent leaves
    that runs its children in the background: SIGINT ignored.
    """

    def pressed(number: int, frame: Any) -> None:
        global _pressed
        if _listening:
            raise KeyboardInterrupt
        _pressed = True

    signal.signal(signal.SIGINT, pressed)


def forget_ctrl_c() -> None:
    """What was pressed until now was not meant for the statements to come."""
    global _pressed
    _pressed = False


def _was_pressed() -> bool:
    global _pressed
    before, _pressed = _pressed, False
    return before


def supervise(work: Callable[[], T], stop: Callable[[], object]) -> T:
    """The result of `work()`; each Ctrl-C calls `stop()`. Errors of the work are raised here.

    While `stop()` gives False there is nothing to stop yet, and it is called again. Raises `Cancelled` for a Ctrl-C
    that came before.
    """
    global _listening
    if _was_pressed():
        raise Cancelled("the statement was cancelled.")
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
    waiting, unheard = True, False
    while waiting:
        try:
            _listening = True
            if _was_pressed():  # while nobody listened: as if it came now
                raise KeyboardInterrupt
            waiting = not ended.wait(0.2)
            _listening = False
            if waiting and unheard:
                unheard = stop() is False
        except KeyboardInterrupt:
            _listening = False
            unheard = stop() is False
    if failure:
        raise failure.pop()
    return result[0]
