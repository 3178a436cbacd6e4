"""One value -> its text in a table, or its value in JSON."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import uuid
from collections.abc import Iterable

NULL = "NULL"
_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord("\x1b"): "\\x1b", 0: "\\0"}


def number(value: float) -> str:
    """A float for people: six decimals from 1 up, six significant digits below, no trailing zeros."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    size = abs(value)
    if size == 0:
        return "0.0"
    if size >= 1e15 or size < 1e-5:
        mantissa, _, exponent = f"{value:.5e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent):+03d}"
    decimals = 6 if size >= 1 else 6 + int(-math.floor(math.log10(size))) - 1
    text = f"{value:.{decimals}f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def moment(value: datetime.datetime) -> str:
    """A date and time; UTC is written +00, as in SQL."""
    text = value.replace(tzinfo=None).isoformat(sep=" ")
    if value.tzinfo is None:
        return text
    offset = value.strftime("%z")
    return text + (offset[:3] if offset.endswith("00") else f"{offset[:3]}:{offset[3:5]}")


def cell(value: object, items: int = 8) -> str:
    """A value as one line of text. Lists show their first `items` elements.

    >>> cell([{"label": "a", "prob": 0.25}, None])
    '[{label: a, prob: 0.25}, NULL]'
    """
    if value is None:
        return NULL
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, datetime.datetime):
        return moment(value)
    if isinstance(value, bytes):
        return "\\x" + value[:32].hex() + ("…" if len(value) > 32 else "")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{cell(k)}: {cell(v, items)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        shown = [cell(item, items) for item in value[:items]]
        rest = len(value) - len(shown)
        return "[" + ", ".join(shown) + (f", … {rest} more" if rest else "") + "]"
    return str(value).translate(_ESCAPES)


def json_value(value: object) -> object:
    """A value as JSON holds it.

    Exact decimals, times and infinities become strings, bytes base64: what BigQuery's TO_JSON does.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else number(value)
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, datetime.datetime):
        return moment(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, decimal.Decimal | datetime.timedelta | uuid.UUID):
        return str(value)
    return str(value)


def json_text(value: object) -> str:
    """A value as one line of JSON."""
    return json.dumps(json_value(value), ensure_ascii=False)


def distinct_names(names: Iterable[str]) -> list[str]:
    """Column names as keys: a repeated name gets `_1`, `_2`, so that no value is lost in a dictionary."""
    taken: set[str] = set()
    result = []
    for name in names:
        key, count = name, 0
        while key in taken:
            count += 1
            key = f"{name}_{count}"
        taken.add(key)
        result.append(key)
    return result
