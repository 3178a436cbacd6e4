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

Keep = Callable[[BaseException], None]


@contextlib.contextmanager
def feed(xgb: Any, portions: Callable[[], Iterable[Mapping[str, Any]]], cache: str | None) -> Iterator[Any]:
    """A `DataIter` to make one matrix of.

    Args:
        xgb: the library.
        portions: gives the rows from the first on, as often as it is called: the arguments of XGBoost's `input_data`.
        cache: the beginning of the names of files for quantised rows, or None to keep them in memory.

    Raises:
        What `portions` raised and what handlers of signals raised, when the matrix is made or has failed.
    """
    failures: list[BaseException] = []

    class Portions(xgb.DataIter):  # type: ignore[misc]
        """Hands the portions on, as often as XGBoost asks."""

        def __init__(self) -> None:
            self.portions = iter(portions())
            super().__init__(cache_prefix=cache, release_data=True)

        def next(self, input_data: Any) -> bool:
            try:
                portion = None if failures else next(self.portions, None)
                if portion is None:
                    return False
                input_data(**portion)
            except BaseException as error:  # noqa: BLE001 - it is raised later
                failures.append(error)
                return False
            return True

        def reset(self) -> None:
            try:
                self.portions = iter(portions())
            except BaseException as error:  # noqa: BLE001 - it is raised later
                failures.append(error)

    source = Portions()
    try:
        with _postponed(failures.append):
            yield source
    except xgb.core.XGBoostError:
        if not failures:
            raise
    finally:
        source.reraise()  # frees the last portion; it knows of no exception
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
