"""Exceptions while XGBoost asks for rows reach the caller as they are."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from sqlml.errors import Cancelled, TrainingError
from sqlml.kernels import trees
from sqlml.kernels.trees import Page, Settings, Spool

xgb = pytest.importorskip("xgboost")


class Failing(Spool):
    """Pages of which the second does something else first, at reading number `at`."""

    def __init__(self, pages, p, at, act, **more):
        super().__init__(pages, p, **more)
        self.at, self.act, self.readings = at, act, 0

    def __iter__(self):
        self.readings += 1
        for number, page in enumerate(super().__iter__()):
            if number == 1 and self.readings == self.at:
                self.act()
            yield page


def pages(n=4):
    rng = np.random.default_rng(0)
    for _ in range(n):
        X = rng.normal(size=(1024, 3)).astype(np.float32)
        yield Page(X, X[:, 0].copy())


def fit(act, at, **settings):
    parameters = {"tree_method": settings.pop("method", "hist"), "max_depth": 2, "nthread": 1}
    with Failing(pages(), 3, at, act, rows=1024) as kept:
        trees.train(kept, None, Settings("squared", 0, 2, parameters, **settings), lambda *a: None)
        return kept.readings


def stop(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize("settings", [{}, {"external": True}, {"external": True, "method": "approx"}])
def test_what_is_raised_stays_what_it_is(settings):
    readings = fit(lambda: None, 1, **dict(settings))
    assert readings >= 1
    for at in range(1, readings + 1):
        for error in (Cancelled("the statement was cancelled."), OSError("the disk is full"), KeyboardInterrupt()):
            with pytest.raises(type(error)) as caught:
                fit(stop(error), at, **dict(settings))
            assert caught.value is error


def test_the_handler_of_ctrl_c(capfd):
    """It runs at once; what it raises comes when XGBoost has returned, and afterwards all is as it was."""
    calls = []

    def handler(number, frame):
        calls.append(number)
        raise KeyboardInterrupt("by the handler")

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt, match="by the handler"):
            fit(lambda: signal.raise_signal(signal.SIGINT), 1)
        assert calls == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "ignored" not in capfd.readouterr().err
    assert fit(lambda: None, 1) >= 1


def test_the_library_s_own_errors():
    page = Page(np.full((2000, 3), 1.0, np.float32), np.full(2000, np.nan, np.float32))
    with Spool([page], 3) as kept, pytest.raises(TrainingError, match="the trees cannot be trained"):
        trees.train(kept, None, Settings("squared", 0, 2, {"tree_method": "hist"}), lambda *a: None)


def test_who_stops_the_training_is_heard_at_the_next_portion():
    """In every pass over the rows, and XGBoost is given no row afterwards."""
    asked = []

    def fit_until(stop):
        def check():
            asked.append(None)
            if len(asked) == stop:
                raise Cancelled("the statement was cancelled.")

        asked.clear()
        with Spool(pages(), 3, rows=1024) as kept:
            settings = Settings("squared", 0, 2, {"max_depth": 2, "nthread": 1})
            trees.train(kept, None, settings, lambda *a: None, check=check)

    fit_until(0)
    portions = len(asked)
    assert portions >= 8  # XGBoost reads the four portions more than once
    for stop in range(1, portions + 1):
        with pytest.raises(Cancelled):
            fit_until(stop)
        assert len(asked) == stop
