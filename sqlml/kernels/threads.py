"""BLAS on one thread, for code whose callers already run on all cores.

A vectorised function is called by every thread of the database, and pieces of a factorisation run in
a pool. A BLAS that starts threads of its own below them makes small products ten times slower.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_lock = threading.Lock()
_depth = 0
_limiter: Any = None
_called = False


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS uses one thread until the last of all threads that are inside has left."""
    global _depth, _limiter
    with _lock:
        if _depth == 0:
            _limiter = _controller().limit(limits=1, user_api="blas")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _limiter.restore_original_limits()


def expect_callers() -> None:
    """From now on queries may call vectorised functions that use BLAS."""
    global _called
    _called = True


@contextmanager
def during_query() -> Iterator[None]:
    """Around a whole query: its many calls then change nothing, which OpenBLAS does at a price."""
    if not _called:
        yield
        return
    with one_blas_thread():
        yield


@lru_cache(maxsize=1)
def _controller() -> Any:
    import numpy  # noqa: F401 - its BLAS must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
