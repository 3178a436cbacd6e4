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
    """Also one that comes before anybody listens, or while an earlier one is passed on."""
    take_ctrl_c()
    stops: list[int] = []

    def work() -> str:
        for n in range(1, 4):
            os.kill(os.getpid(), signal.SIGINT)
            while len(stops) < n:
                time.sleep(0.01)
        return "done"

    assert supervise(work, lambda: stops.append(1)) == "done"
    assert len(stops) == 3


def test_a_stop_that_comes_too_early_is_repeated() -> None:
    """Ctrl-C falls before the statement of the work has begun."""
    take_ctrl_c()
    answers = [False, False, True]
    stopped = threading.Event()

    def stop() -> bool:
        answer = answers.pop(0)
        if answer:
            stopped.set()
        return answer

    def work() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return stopped.wait(60)

    assert supervise(work, stop) is True
    assert answers == []


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

    def work() -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return free.wait(60)

    assert supervise(work, free.set) is True
    assert not module._listening
