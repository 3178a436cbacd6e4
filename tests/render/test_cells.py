"""Values as text."""

from __future__ import annotations

import datetime
import decimal
import json
import math

import pytest

from sqlml.render.cells import cell, distinct_names, json_text, json_value, number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (3750.0, "3750.0"),
        (4207123.756, "4207123.756"),
        (0.1 + 0.2, "0.3"),
        (0.000123456789, "0.000123457"),
        (1 / 3, "0.333333"),
        (1.5e-9, "1.5e-09"),
        (1e22, "1e+22"),
        (-2.5, "-2.5"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_numbers_stay_close() -> None:
    for exponent in range(-20, 20):
        value = 1.2345678901234 * 10.0**exponent
        assert float(number(value)) == pytest.approx(value, rel=1e-5)


def test_cells() -> None:
    utc = datetime.UTC
    india = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    assert cell(None) == "NULL"
    assert cell("two\nlines\x1b[2J") == "two\\nlines\\x1b[2J"
    assert cell(True) == "true"
    assert cell(datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=utc)) == "2020-01-02 03:04:05+00"
    assert cell(datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=india)) == "2020-01-02 03:04:05+05:30"
    assert cell(datetime.date(2020, 1, 2)) == "2020-01-02"
    assert cell(decimal.Decimal("1.50")) == "1.50"
    assert cell(b"\x00\xff") == "\\x00ff"
    assert cell({"a": [1, None], "b": "x"}) == "{a: [1, NULL], b: x}"
    assert cell(list(range(10)), items=3) == "[0, 1, 2, … 7 more]"


def test_json() -> None:
    value = {
        "n": decimal.Decimal("0.10"),
        "f": math.inf,
        "d": datetime.date(2020, 1, 2),
        "b": b"\x00",
        "l": [None, 1.5],
    }
    assert json_value(value) == {
        "n": "0.10",
        "f": "Infinity",
        "d": "2020-01-02",
        "b": "AA==",
        "l": [None, 1.5],
    }
    assert json.loads(json_text({"ü": "ß"})) == {"ü": "ß"}


def test_repeated_names_stay_apart() -> None:
    assert distinct_names(["a", "a", "a_1", "b"]) == ["a", "a_1", "a_1_1", "b"]
