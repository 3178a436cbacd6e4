"""The holidays of a forecasting model: the built-in ones of its regions, and the rows of its custom_holiday query."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlml.errors import DataError, NotSupportedError, SchemaError
from sqlml.kernels import holidays
from sqlml.models.base import TrainingData
from sqlml.schema import Column, find, quote_name

if TYPE_CHECKING:
    from sqlml.models.time_series import TimeSeriesOptions

CUSTOM_ROWS = 50_000
CUSTOM_NAMES = 500
LONGEST_WINDOW = 30


def calendar_of(o: TimeSeriesOptions, data: TrainingData, time: Column) -> holidays.Calendar:
    """The holidays of the regions and the custom_holiday query, over the history and the horizon."""
    custom = _custom(data, o) if "custom_holiday" in data.extra else holidays.EMPTY
    if not o.holiday_region:
        return custom
    name = quote_name(time.name)
    first, last = data.train.aggregate([f"min(year({name}::TIMESTAMP))", f"max(year({name}::TIMESTAMP))"])
    if first is None:
        return custom
    step = 1 if o.data_frequency == "DAILY" else 7
    ahead = math.ceil(o.horizon * step / 365) + 1
    return holidays.merge(holidays.builtin(o.holiday_region, int(first), int(last) + ahead), custom)


def _custom(data: TrainingData, o: TimeSeriesOptions) -> holidays.Calendar:
    """The rows of the custom_holiday query, checked."""
    relation = data.extra["custom_holiday"]
    if o.data_frequency not in ("AUTO_FREQUENCY", "DAILY"):
        raise NotSupportedError(f"custom holidays need daily data. DATA_FREQUENCY is {o.data_frequency}.")
    for wanted in ("region", "holiday_name", "primary_date"):
        if find(relation.columns, wanted) is None:
            raise SchemaError(f"the custom_holiday query must have a column {wanted}.")
    windows = {
        name: f"coalesce({quote_name(name)}, 1)::BIGINT" if find(relation.columns, name) else "1"
        for name in ("preholiday_days", "postholiday_days")
    }
    day = "epoch_us(primary_date::DATE::TIMESTAMP) // 86400000000"
    table = relation.table(
        f"region::VARCHAR AS region, holiday_name::VARCHAR AS holiday_name, {day} AS day,"
        f" {windows['preholiday_days']} AS before, {windows['postholiday_days']} AS after FROM {{rows}} ORDER BY ALL"
    )
    rows = [tuple(row.values()) for row in table.to_pylist()]
    if len(rows) > CUSTOM_ROWS or len({r[1] for r in rows}) > CUSTOM_NAMES:
        raise DataError(f"custom_holiday must have at most {CUSTOM_ROWS} rows and {CUSTOM_NAMES} names.")
    window: dict[tuple[str, str], tuple[int, int]] = {}
    last: dict[tuple[str, str], int] = {}
    for region, name, at, before, after in rows:
        if region is None or name is None or at is None:
            raise DataError("custom_holiday must not have NULL in region, holiday_name or primary_date.")
        if not name.isidentifier():
            hint = f"write {holidays.column_name(name)!r}."
            raise DataError(f"a holiday_name must be a valid column name. Got {name!r}.", hint=hint)
        if before < 1 or after < 1 or before + after + 1 > LONGEST_WINDOW:
            raise DataError(
                f"the window of {name} must have at least one day on each side and at most {LONGEST_WINDOW} in all."
            )
        if window.setdefault((region, name), (before, after)) != (before, after):
            raise DataError(f"the window of {name} must be the same for all its dates.")
        if (region, name) in last and at - before <= last[region, name] and not holidays.is_builtin(region, name, at):
            raise DataError(f"the windows of {name} must not overlap.")
        last[region, name] = at + after
    _refuse_nested(rows)
    return holidays.calendar((str(r), str(n), int(a), int(b), int(c)) for r, n, a, b, c in rows)


def _refuse_nested(rows: Sequence[tuple[Any, ...]]) -> None:
    """Windows of different holidays of a region may overlap in part; DataError for one inside another.

    Those of two built-in holidays may lie as they do: rows of the table of built-in holidays are taken as they are.
    """
    found = sorted((region, at - before, -(at + after), name, at) for region, name, at, before, after in rows)
    for i, (region, _, end, name, day) in enumerate(found):
        for other_region, begin, other_end, other, other_day in itertools.islice(found, i + 1, None):
            if other_region != region or begin > -end:
                break
            pair = ((name, day), (other, other_day))
            if -other_end <= -end and other != name and not all(holidays.is_builtin(region, *one) for one in pair):
                raise DataError(
                    f"the window of the custom holiday {other} must not lie inside that of {name}.",
                    hint="change the days before and after one of them, so that they overlap in part or not at all.",
                )
