"""Declared options: one field per option, and everything that follows from the declaration.

A model type declares a frozen dataclass whose fields are its options in lower case:

    num_clusters: int | None = option(None, "Number of clusters.", low=2, high=100)

`bind` turns the values of OPTIONS(...) into an instance and refuses what the declaration does not
allow, with the place in the statement. Help texts, tuning spaces and the battery of invalid values
in the tests read the same declarations.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import difflib
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from sqlml.errors import NotSupportedError, OptionError, Span

T = TypeVar("T")

#: Marks an option that must be written.
REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Space:
    """Default search space of a tunable option.

    Args:
        low, high: bounds of a range; None for candidates.
        scale: "LINEAR" or "LOG".
        candidates: the values of a discrete space.
        always: False when the option is tuned only where the user writes a space for it.
    """

    low: float | None = None
    high: float | None = None
    scale: Literal["LINEAR", "LOG"] = "LINEAR"
    candidates: tuple[object, ...] = ()
    always: bool = True


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is known of one option."""

    name: str
    doc: str
    default: Any
    type: Any
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    tune: Space | None = None
    unsupported: str | None = None
    note: str | None = None

    @property
    def sql(self) -> str:
        """The name as users read it."""
        return self.name.upper()

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words of an enumeration, else ()."""
        for part in _alternatives(self.type):
            if typing.get_origin(part) is Literal:
                return tuple(str(a) for a in typing.get_args(part))
        return ()

    @property
    def sql_type(self) -> str:
        """The GoogleSQL type for help and messages."""
        for part in _alternatives(self.type):
            if part is not type(None):
                return _sql_type(part)
        return "STRING"


def option(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    tune: Space | None = None,
    unsupported: str | None = None,
    note: str | None = None,
) -> Any:
    """Declare an option.

    Args:
        default: its value when it is not written; `REQUIRED` when it must be.
        doc: one sentence.
        low, high: inclusive bounds of numbers (of array elements too).
        above, below: exclusive bounds.
        tune: default search space; None when the option cannot be tuned.
        unsupported: a sentence; writing the option then raises `NotSupportedError` with it.
        note: a sentence for options that are recorded and have no other effect; writing them warns with it.
    """
    metadata: dict[str, Any] = {"doc": doc, "low": low, "high": high, "above": above, "below": below, "tune": tune}
    metadata |= {"unsupported": unsupported, "note": note}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata, kw_only=True)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the user wrote, and where."""

    value: object
    name_span: Span | None = None
    value_span: Span | None = None


def declarations(options: type) -> dict[str, Declaration]:
    """The options of a class by lower-case name, in order of declaration."""
    return _declarations(options)


_CACHE: dict[type, dict[str, Declaration]] = {}


def _declarations(options: type) -> dict[str, Declaration]:
    if options not in _CACHE:
        hints = typing.get_type_hints(options)
        found = {}
        for f in dataclasses.fields(options):
            m = f.metadata
            default = REQUIRED if f.default is dataclasses.MISSING else f.default
            bounds = {k: m.get(k) for k in ("low", "high", "above", "below", "tune", "unsupported", "note")}
            found[f.name] = Declaration(f.name, m.get("doc", ""), default, hints[f.name], **bounds)
        _CACHE[options] = found
    return _CACHE[options]


def bind(
    options: type[T],
    given: Mapping[str, Given],
    *,
    owner: str,
    others: Callable[[str], Sequence[str]] | None = None,
) -> T:
    """An instance of `options` from what the user wrote.

    Args:
        options: the declaring dataclass.
        given: lower-case name -> value.
        owner: the model type or function, for messages.
        others: lower-case option name -> the model types that know it (for a better message).

    Raises:
        OptionError: an unknown option, a wrong type or range, a missing required option.
        NotSupportedError: an option that is declared as not supported.
    """
    known = _declarations(options)
    values: dict[str, object] = {}
    for name, item in given.items():
        declared = known.get(name)
        if declared is None:
            raise _unknown(name, item, known, owner, others)
        if declared.unsupported:
            raise NotSupportedError(f"{declared.sql} is not supported: {declared.unsupported}", span=item.name_span)
        values[name] = convert(declared, item)
    for name, declared in known.items():
        if declared.default is REQUIRED and name not in values:
            hint = f"add {declared.sql} = ..."
            if "." in owner:  # a function's setting
                low = (declared.low or 0.0) if declared.high is None else (declared.low or 0.0) + declared.high / 5
                value = f"{low:g}" if declared.sql_type in ("INT64", "FLOAT64") else "..."
                hint = f"add STRUCT({value} AS {declared.name})."
            raise OptionError(f"{declared.sql} must be given for {owner}.", hint=hint)
    return options(**values)


def _unknown(
    name: str,
    item: Given,
    known: Mapping[str, Declaration],
    owner: str,
    others: Callable[[str], Sequence[str]] | None,
) -> OptionError:
    elsewhere = list(others(name)) if others else []
    if elsewhere:
        where = ", ".join(elsewhere[:4]) + (" and others" if len(elsewhere) > 4 else "")
        text = f"{name.upper()} is not an option of {owner}. It belongs to {where}."
        return OptionError(text, span=item.name_span)
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f"did you mean {near[0].upper()}?" if near else None
    return OptionError(f"{name.upper()} is not an option of {owner}.", span=item.name_span, hint=hint)


def convert(declared: Declaration, item: Given) -> object:
    """The checked value of one option. Raises `OptionError` with the place of the value."""
    value = item.value
    parts = _alternatives(declared.type)
    if value is None:
        if type(None) in parts:
            return None
        raise _wrong(declared, item, f"must be {_article(declared.sql_type)}")
    for part in parts:
        if part is type(None):
            continue
        try:
            found = _cast(part, value)
        except (TypeError, ValueError):
            continue
        _check_bounds(declared, item, found)
        return found
    if declared.choices:
        near = difflib.get_close_matches(str(value).upper(), declared.choices, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else None
        raise _wrong(declared, item, f"must be one of {', '.join(declared.choices)}", hint)
    raise _wrong(declared, item, f"must be {_article(declared.sql_type)}")


def _article(sql_type: str) -> str:
    return f"an {sql_type}" if sql_type[0] in "AI" else f"a {sql_type}"


def _wrong(declared: Declaration, item: Given, rule: str, hint: str | None = None) -> OptionError:
    return OptionError(f"{declared.sql} {rule}. Got {written(item.value)}.", span=item.value_span, hint=hint)


def written(value: object) -> str:
    """A value as people write it in SQL, for sentences."""
    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).upper()
    if isinstance(value, Mapping):
        return f"STRUCT({', '.join(f'{written(v)} AS {k}' for k, v in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(written(v) for v in value)}]"
    if isinstance(value, tuple):
        return f"({', '.join(written(v) for v in value)})"
    if isinstance(value, datetime.date | datetime.time):
        kind = "DATETIME" if isinstance(value, datetime.datetime) else type(value).__name__.upper()
        return f"{kind} '{value}'"
    return repr(value)


def _check_bounds(declared: Declaration, item: Given, value: object) -> None:
    items = value if isinstance(value, tuple) else (value,)
    for v in items:
        if isinstance(v, bool) or not isinstance(v, (int, float)):
            continue
        if isinstance(v, float) and not math.isfinite(v):
            raise _wrong(declared, item, "must be finite")
        if declared.low is not None and v < declared.low:
            raise _wrong(declared, item, _range(declared))
        if declared.high is not None and v > declared.high:
            raise _wrong(declared, item, _range(declared))
        if declared.above is not None and v <= declared.above:
            raise _wrong(declared, item, _range(declared))
        if declared.below is not None and v >= declared.below:
            raise _wrong(declared, item, _range(declared))


def _plain(bound: float) -> str:
    """A bound as people write it: 1000000, not 1e+06."""
    return str(int(bound)) if float(bound).is_integer() and abs(bound) < 1e15 else f"{bound:g}"


def _range(d: Declaration) -> str:
    if d.low is not None and d.high is not None:
        return f"must be from {_plain(d.low)} to {_plain(d.high)}"
    words = []
    if d.low is not None:
        words.append(f"at least {_plain(d.low)}")
    if d.above is not None:
        words.append(f"greater than {_plain(d.above)}")
    if d.high is not None:
        words.append(f"at most {_plain(d.high)}")
    if d.below is not None:
        words.append(f"less than {_plain(d.below)}")
    return "must be " + " and ".join(words)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _cast(kind: Any, value: object) -> object:
    """`value` as `kind`; raises TypeError or ValueError when it is something else."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        if isinstance(value, str) and value.upper() in typing.get_args(kind):
            return value.upper()
        raise ValueError
    if origin is tuple:
        return _cast_tuple(typing.get_args(kind), value)
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.upper() in ("TRUE", "FALSE"):
            return value.upper() == "TRUE"
        raise TypeError
    if isinstance(value, bool):
        raise TypeError
    if kind is int:
        if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            return int(value)
        raise TypeError
    if kind is float:
        if isinstance(value, (int, float, decimal.Decimal)):
            return float(value)
        raise TypeError
    if kind is str and isinstance(value, str):
        return value
    if kind is object:
        return value
    raise TypeError


def _cast_tuple(args: tuple[Any, ...], value: object) -> tuple[object, ...]:
    if len(args) == 2 and args[1] is Ellipsis:
        if isinstance(value, (list, tuple)):
            return tuple(_cast(args[0], v) for v in value)
        return (_cast(args[0], value),)  # a single element stands for an array of one
    if isinstance(value, dict):
        value = tuple(value.values())
    if not isinstance(value, (list, tuple)) or len(value) != len(args):
        raise TypeError
    return tuple(_cast(a, v) for a, v in zip(args, value, strict=True))


def _sql_type(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin is tuple:
        args = typing.get_args(kind)
        if len(args) == 2 and args[1] is Ellipsis:
            return f"ARRAY<{_sql_type(args[0])}>"
        return f"STRUCT<{', '.join(_sql_type(a) for a in args)}>"
    if origin is Literal:
        return "STRING"
    return {bool: "BOOL", int: "INT64", float: "FLOAT64", str: "STRING"}.get(kind, "value")
