"""Ctrl-C stops the work and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from sqlml.console import supervise as module
from sqlml.console.supervise import forget_ctrl_c, supervise, take_ctrl_c
from sqlml.errors import Cancelled


@pytest.fixture(autouse=True)
def keyboard() -> Iterator[None]:
    """Ctrl-C as in a program of its own, whatever the runner inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
    forget_ctrl_c()


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
        assert free.wait(60)
        return "done"

    assert supervise(work, stop) == "done"
    assert len(stops) == 2


def test_between_statements_nothing_is_raised() -> None:
    take_ctrl_c()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    forget_ctrl_c()
    assert supervise(lambda: 42, lambda: None) == 42


def test_a_statement_that_begins_after_ctrl_c_is_cancelled() -> None:
    take_ctrl_c()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    ran: list[int] = []
    with pytest.raises(Cancelled, match="cancelled"):
        supervise(lambda: ran.append(1), lambda: None)
    assert ran == []
    assert supervise(lambda: 42, lambda: None) == 42


def test_a_running_statement_is_stopped() -> None:
    take_ctrl_c()
    free = threading.Event()
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    assert supervise(lambda: free.wait(60), free.set) is True
    assert not module._listening
