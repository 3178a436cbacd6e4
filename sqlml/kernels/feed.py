"""Rows handed to XGBoost portion by portion: what is raised meanwhile is raised once XGBoost has returned.

XGBoost calls for rows from C++, where an exception of Python is lost: it is printed, the rows seem to end, and
XGBoost complains of their number. So exceptions are kept here, among them those of a signal's handler (Ctrl-C),
which Python may run at the first step of any function that XGBoost calls.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlml.kernels.boosting import NEXT, RESET, BoosterError, Matrix

Keep = Callable[[BaseException], None]


@contextlib.contextmanager
def feed(portions: Callable[[], Iterable[Mapping[str, Any]]]) -> Iterator[tuple[Matrix, Any, Any]]:
    """What `boosting.streamed` takes to make one matrix: the proxy, and the functions that XGBoost calls.

    Args:
        portions: gives the rows from the first on, as often as it is called: the arguments of `Matrix.hand_over`.

    Raises:
        What `portions` raised and what handlers of signals raised, when the matrix is made or has failed.
    """
    failures: list[BaseException] = []
    proxy = Matrix.proxy()
    rows = iter(portions())
    kept: Mapping[str, Any] | None = None  # the portion that XGBoost reads, where it lies

    def reset(_: Any) -> None:
        nonlocal rows, kept
        kept = None
        try:
            rows = iter(portions())
        except BaseException as error:  # noqa: BLE001 - it is raised later
            failures.append(error)

    def following(_: Any) -> int:
        nonlocal kept
        kept = None
        try:
            kept = None if failures else next(rows, None)
            if kept is None:
                return 0
            proxy.hand_over(**kept)
        except BaseException as error:  # noqa: BLE001 - it is raised later
            failures.append(error)
            return 0
        return 1

    try:
        with _postponed(failures.append):
            yield proxy, RESET(reset), NEXT(following)
    except BoosterError:
        if not failures:
            raise
    if failures:
        raise failures[0]


@contextlib.contextmanager
def _postponed(keep: Keep) -> Iterator[None]:
    """What the handler of Ctrl-C raises is kept; Python runs handlers in the main thread alone."""
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):
        yield
        return

    def handle(number: int, frame: Any) -> None:
        try:
            before(number, frame)
        except BaseException as error:  # noqa: BLE001 - it is raised later
            keep(error)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
