"""Ctrl-C stops the work and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from sqlml.console.supervise import supervise


def test_result_and_error() -> None:
    assert supervise(lambda: 42, lambda: None) == 42
    with pytest.raises(ValueError, match="no"):
        supervise(lambda: (_ for _ in ()).throw(ValueError("no")), lambda: None)


def test_every_interrupt_is_passed_on() -> None:
    stops: list[float] = []
    free = threading.Event()

    def stop() -> None:
        stops.append(time.monotonic())
        if len(stops) == 2:
            free.set()

    def work() -> str:
        for _ in range(2):
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGINT)
        assert free.wait(5)
        return "done"

    assert supervise(work, stop) == "done"
    assert len(stops) == 2
