"""ML.FEATURES_AT_TIME and ML.ENTITY_FEATURES_AT_TIME: features as they were known at a time.

A feature table has `entity_id`, `feature_timestamp` and one column per feature. No row after the time
asked for is ever read into an answer: the lookup is DuckDB's ASOF join (or a filter when there is one
time for all), and NULLs are filled from earlier rows of the same entity only.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlml.errors import OptionError, SchemaError, did_you_mean
from sqlml.functions.base import Call, Inline, Source, TableFunction
from sqlml.options import option
from sqlml.schema import Column, find, names, quote_literal, quote_name

_TIMES = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"}


@dataclass(frozen=True)
class EntitySettings:
    """Settings of ML.ENTITY_FEATURES_AT_TIME."""

    num_rows: int = option(1, "Latest rows to return for each entity and time.", low=1)
    ignore_feature_nulls: bool = option(False, "Fill a NULL feature with the entity's last value before it.")


@dataclass(frozen=True)
class TimeSettings(EntitySettings):
    """Settings of ML.FEATURES_AT_TIME."""

    time: object = option(None, "Rows up to this TIMESTAMP count; now by default.")


def _column(call: Call, source: Source, name: str, argument: str, times: bool = False) -> Column:
    column = find(source.columns, name)
    if column is None:
        hint = did_you_mean(name, names(source.columns))
        raise SchemaError(f"{argument} of {call.name} must have a column {name}.", span=source.span, hint=hint)
    if times and column.type.name not in _TIMES:
        text = f"the column {name} of {argument} must be a TIMESTAMP. Got {column.type.google}."
        raise SchemaError(text, span=source.span)
    if not times and column.type.name in ("LIST", "STRUCT"):
        raise SchemaError(f"the column {name} must be a STRING. Got {column.type.google}.", span=source.span)
    return column


def _cutoff(call: Call) -> str:
    """The time asked for, as SQL."""
    given = call.settings.time
    if given is None:
        return "now()"
    if isinstance(given, str):
        try:
            given = datetime.datetime.fromisoformat(given.strip().replace(" UTC", "+00:00"))
        except ValueError:
            raise OptionError(
                f"TIME must be a TIMESTAMP. Got {given!r}.", span=call.places.get("time", call.span)
            ) from None
    if not isinstance(given, datetime.date):
        raise OptionError(f"TIME must be a TIMESTAMP. Got {given!r}.", span=call.places.get("time", call.span))
    if not isinstance(given, datetime.datetime):
        given = datetime.datetime.combine(given, datetime.time())
    return quote_literal(given if given.tzinfo else given.replace(tzinfo=datetime.UTC))


def _filled(call: Call, columns: tuple[Column, ...], entity: Column, when: Column, source: str) -> str:
    """The feature rows; with ignore_feature_nulls each NULL is the entity's last value before it."""
    items = []
    order = f"PARTITION BY {quote_name(entity.name)} ORDER BY {quote_name(when.name)}"
    frame = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
    for c in columns:
        name = quote_name(c.name)
        if c in (entity, when) or not call.settings.ignore_feature_nulls:
            items.append(name)
        else:
            items.append(f"last_value({name} IGNORE NULLS) OVER ({order} {frame}) AS {name}")
    return f"SELECT {', '.join(items)}, {_instant(when)} AS __when FROM {source}"


def _instant(column: Column) -> str:
    return f"CAST({quote_name(column.name)} AS TIMESTAMPTZ)"


def _at_time(call: Call) -> Inline:
    source = call.data
    entity = _column(call, source, "entity_id", "the feature table")
    when = _column(call, source, "feature_timestamp", "the feature table", times=True)
    cutoff = _cutoff(call)
    rows = f"(SELECT * FROM {source.sql} WHERE {_instant(when)} <= {cutoff})"
    rank = f"row_number() OVER (PARTITION BY {quote_name(entity.name)} ORDER BY __when DESC)"
    items = [
        f"CAST({cutoff} AS {c.sql_type}) AS {quote_name(c.name)}" if c == when else quote_name(c.name)
        for c in source.columns
    ]
    filled = _filled(call, source.columns, entity, when, rows)
    kept = f"SELECT * FROM ({filled}) QUALIFY {rank} <= {call.settings.num_rows}"
    return Inline(f"(SELECT {', '.join(items)} FROM ({kept}))")


def _entities_at_time(call: Call) -> Inline:
    if "entity_time_table" not in call.sources:
        hint = "add TABLE entities or (SELECT ...) with the columns entity_id and time."
        raise SchemaError(f"{call.name} must be given two tables.", span=call.span, hint=hint)
    source, asked = call.sources["feature_table"], call.sources["entity_time_table"]
    entity = _column(call, source, "entity_id", "the feature table")
    when = _column(call, source, "feature_timestamp", "the feature table", times=True)
    asker = _column(call, asked, "entity_id", "the entity-time table")
    time = _column(call, asked, "time", "the entity-time table", times=True)
    key = quote_name(entity.name)
    filled = _filled(call, source.columns, entity, when, source.sql)
    numbered = f"SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY __when) AS __number FROM ({filled})"
    found = (
        f"SELECT a.{quote_name(asker.name)} AS __entity, a.{quote_name(time.name)} AS __asked,"
        f" f.__number AS __latest FROM {asked.sql} AS a ASOF JOIN __features AS f"
        f" ON a.{quote_name(asker.name)} = f.{key} AND {_of('a', time)} >= f.__when"
    )
    items = [
        f"CAST(r.__asked AS {c.sql_type}) AS {quote_name(c.name)}" if c == when else f"f.{quote_name(c.name)}"
        for c in source.columns
    ]
    steps = f"(SELECT unnest(range({call.settings.num_rows})) AS __step) AS s"
    return Inline(
        f"(WITH __features AS ({numbered}), __found AS ({found}) SELECT {', '.join(items)}"
        f" FROM __found AS r CROSS JOIN {steps}"
        f" JOIN __features AS f ON f.{key} = r.__entity AND f.__number = r.__latest - s.__step)"
    )


def _of(alias: str, column: Column) -> str:
    return f"CAST({alias}.{quote_name(column.name)} AS TIMESTAMPTZ)"


FEATURES_AT_TIME = TableFunction(
    name="ML.FEATURES_AT_TIME",
    doc="The latest feature rows of every entity at one time.",
    run=_at_time,
    settings=TimeSettings,
    model=False,
    data="required",
)
ENTITY_FEATURES_AT_TIME = TableFunction(
    name="ML.ENTITY_FEATURES_AT_TIME",
    doc="The latest feature rows of given entities, each at its own time.",
    run=_entities_at_time,
    settings=EntitySettings,
    model=False,
    sources=("feature_table", "entity_time_table"),
)
