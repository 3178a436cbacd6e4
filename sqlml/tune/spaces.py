"""Search spaces: HPARAM_RANGE and HPARAM_CANDIDATES of the statement, or the defaults of the model type."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlml.errors import OptionError, Span
from sqlml.models.base import Model
from sqlml.options import Declaration, Given, Space, convert, declarations

#: What a lower bound of 0 on a logarithmic scale becomes.
SMALLEST = 1e-14
#: Share of a range by which an open end is left out.
_EDGE = 1e-3
_TUNING = ("max_parallel_trials", "hparam_tuning_algorithm", "hparam_tuning_objectives", "hparam_tuning_pruning")


@dataclass(frozen=True, slots=True)
class Written:
    """HPARAM_RANGE(...) or HPARAM_CANDIDATES(...) of an option, with constant arguments.

    Args:
        function: upper-case name.
        arguments: their values; `spans` are their places.
        span: of the whole call; `name_span` of the option.
    """

    function: str
    arguments: tuple[object, ...]
    spans: tuple[Span, ...]
    span: Span
    name_span: Span | None = None


@dataclass(frozen=True, slots=True)
class Dimension:
    """What is searched for one option.

    Args:
        low, high: ends of a range; None for candidates.
        log: whether steps are taken on a logarithmic scale.
        whole: whether values are whole numbers.
        candidates: the values of a discrete space; () for a range.
        start: where the search begins.
        first: what the first trial takes; the option's default, even outside a space that was not written.
    """

    name: str
    start: Any
    first: Any = None
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    candidates: tuple[Any, ...] = ()

    def at(self, u: float) -> Any:
        """The value at a share u of the space, 0 <= u < 1."""
        if self.candidates:
            return self.candidates[min(int(u * len(self.candidates)), len(self.candidates) - 1)]
        assert self.low is not None and self.high is not None
        if self.whole:
            low, high = self.low - 0.5, self.high + 0.5
            if self.log:
                value = math.exp(math.log(max(low, 0.5)) * (1 - u) + math.log(high) * u)
            else:
                value = low + u * (high - low)
            return int(min(max(round(value), self.low), self.high))
        if self.log:
            return math.exp(math.log(self.low) * (1 - u) + math.log(self.high) * u)
        return self.low + u * (self.high - self.low)

    def nearest(self, value: Any) -> Any:
        """The point of the space that is nearest to a value."""
        if self.candidates:
            if value in self.candidates:
                return value
            numbers = [c for c in self.candidates if isinstance(c, (int, float)) and not isinstance(c, bool)]
            if isinstance(value, (int, float)) and len(numbers) == len(self.candidates):
                return min(numbers, key=lambda c: abs(c - value))
            return self.candidates[0]
        assert self.low is not None and self.high is not None
        if not isinstance(value, (int, float)):
            return self.at(0.5)
        found = min(max(value, self.low), self.high)
        return round(found) if self.whole else float(found)

    @property
    def size(self) -> float:
        """Number of points; infinite for a range of real numbers."""
        if self.candidates:
            return len(self.candidates)
        assert self.low is not None and self.high is not None
        return self.high - self.low + 1 if self.whole else math.inf


def read_spaces(
    model: Model[Any, Any], kind: str, options: Any, given: Mapping[str, Given], written: Mapping[str, Written]
) -> tuple[Dimension, ...]:
    """The dimensions of a statement, () when nothing is tuned. Raises `OptionError` with the place of what is wrong."""
    known = declarations(model.options)
    _check_options(model, kind, options, given, written)
    if getattr(options, "num_trials", None) is None:
        return ()
    spaces = {name: _written(known, kind, name, item) for name, item in written.items()}
    if not spaces:
        for name, declared in known.items():
            if declared.tune is not None and declared.tune.always and name not in given:
                spaces[name] = _default(declared, declared.tune)
        spaces = {n: s for n, s in spaces.items() if _reachable(model, options, spaces, n)}
    for name in spaces:
        if not _reachable(model, options, spaces, name):
            text = f"{name.upper()} must be tuned only together with options under which it means something."
            raise OptionError(text, span=written[name].span, hint=_hint(model, name))
    if not spaces:
        text = f"NUM_TRIALS must come with something to tune. Every option of {kind} is fixed."
        able = next((d.sql for d in known.values() if d.tune is not None), "")
        hint = f"leave {able} out, or write {able} = HPARAM_RANGE(...)."
        raise OptionError(text, span=_place(given, "num_trials"), hint=hint)
    ordered = sorted(spaces, key=lambda n: (not _decides(model, options, spaces, n), list(known).index(n)))
    found = tuple(_started(spaces[n], getattr(options, n), n in written) for n in ordered)
    if options.hparam_tuning_algorithm == "GRID_SEARCH":
        wide = [d for d in found if not d.candidates]
        if wide:
            place = written[wide[0].name].span if wide[0].name in written else None
            text = f"GRID_SEARCH must have HPARAM_CANDIDATES for every option. {wide[0].name.upper()} has a range."
            place = place or _place(given, "hparam_tuning_algorithm")
            raise OptionError(text, span=place, hint=f"add {wide[0].name.upper()} = HPARAM_CANDIDATES([...]).")
    return found


def _check_options(
    model: Model[Any, Any], kind: str, options: Any, given: Mapping[str, Given], written: Mapping[str, Written]
) -> None:
    if not hasattr(options, "num_trials"):
        for name, item in written.items():
            raise OptionError(f"{name.upper()} must be a value: {kind} models cannot be tuned.", span=item.span)
        return
    if options.num_trials is None:
        for name, item in written.items():
            hint = "add NUM_TRIALS = 20."
            text = f"{item.function} of {name.upper()} must come with NUM_TRIALS."
            raise OptionError(text, span=item.span, hint=hint)
        for name in (*_TUNING, "data_split_test_fraction"):
            if name in given:
                raise OptionError(f"{name.upper()} must come with NUM_TRIALS.", span=_place(given, name))
        return
    if getattr(options, "warm_start", False):
        raise OptionError("WARM_START must not come with NUM_TRIALS.", span=_place(given, "warm_start"))
    fractions = [n for n in ("data_split_eval_fraction", "data_split_test_fraction") if n in given]
    if len(fractions) == 1:
        text = "DATA_SPLIT_EVAL_FRACTION and DATA_SPLIT_TEST_FRACTION must come together under NUM_TRIALS."
        raise OptionError(text, span=_place(given, fractions[0]))
    objective_of(model, options, given)


def _place(given: Mapping[str, Given], name: str) -> Span | None:
    return given[name].name_span if name in given else None


def objective_of(model: Model[Any, Any], options: Any, given: Mapping[str, Given] | None = None) -> str:
    """The metric that is optimised. Raises `OptionError` for one of another task."""
    allowed = model.objectives(options)
    chosen = options.hparam_tuning_objectives
    if chosen is None:
        return allowed[0]
    item = (given or {}).get("hparam_tuning_objectives")
    span = None if item is None else item.value_span
    if len(chosen) != 1:
        raise OptionError(f"HPARAM_TUNING_OBJECTIVES must name one metric. Got {len(chosen)}.", span=span)
    name = chosen[0].upper()
    if name not in allowed:
        near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'?" if near else None
        text = f"HPARAM_TUNING_OBJECTIVES must be one of {', '.join(allowed)}. Got '{chosen[0]}'."
        raise OptionError(text, span=span, hint=hint)
    return name


# ---------------------------------------------------------------- spaces of single options


def _is_whole(declared: Declaration) -> bool:
    return "INT64" in declared.sql_type


def _is_number(declared: Declaration) -> bool:
    return declared.sql_type in ("INT64", "FLOAT64")


def _default(declared: Declaration, space: Space) -> Dimension:
    if space.candidates:
        return Dimension(declared.name, None, candidates=space.candidates)
    assert space.low is not None and space.high is not None
    low, high = _open_ends(declared, float(space.low), float(space.high), space.scale == "LOG")
    return Dimension(declared.name, None, None, low, high, space.scale == "LOG", _is_whole(declared))


def _open_ends(declared: Declaration, low: float, high: float, log: bool) -> tuple[float, float]:
    """A range inside the bounds that exclude their ends; a logarithmic one begins above 0."""
    if log and low == 0.0:
        low = SMALLEST
    edge = _EDGE * (high - low)
    if declared.above is not None and low <= declared.above:
        low = declared.above + (SMALLEST if log else edge)
    if declared.below is not None and high >= declared.below:
        high = declared.below - edge
    return low, high


def _written(known: Mapping[str, Declaration], kind: str, name: str, item: Written) -> Dimension:
    declared = known.get(name)
    if declared is None:
        near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
        hint = f"did you mean {near[0].upper()}?" if near else None
        raise OptionError(f"{name.upper()} is not an option of {kind}.", span=item.name_span or item.span, hint=hint)
    if declared.tune is None:
        able = ", ".join(d.sql for d in known.values() if d.tune is not None)
        raise OptionError(f"{declared.sql} cannot be tuned.", span=item.span, hint=f"{kind} can tune {able}.")
    if item.function == "HPARAM_CANDIDATES":
        return Dimension(name, None, candidates=_candidates(declared, item))
    if item.function == "HPARAM_RANGE":
        return _range(declared, declared.tune, item)
    hint = "use HPARAM_RANGE(low, high) or HPARAM_CANDIDATES([...])."
    raise OptionError(f"{item.function} is not a way to write a search space.", span=item.span, hint=hint)


def _candidates(declared: Declaration, item: Written) -> tuple[Any, ...]:
    values = item.arguments[0] if len(item.arguments) == 1 else None
    if not isinstance(values, (list, tuple)) or not values:
        text = f"HPARAM_CANDIDATES of {declared.sql} must be one array with at least one value."
        raise OptionError(text, span=item.span)
    found: list[Any] = []
    for value in values:
        value = _inside(declared, value)
        checked = convert(declared, Given(value, item.span, item.spans[0]))
        if checked not in found:
            found.append(checked)
    return tuple(found)


def _inside(declared: Declaration, value: object) -> object:
    """The array of STRUCT([8, 4]), as arrays of arrays cannot be written."""
    if not declared.sql_type.startswith("ARRAY"):
        return value
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.values()))
    if isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], (list, tuple)):
        return value[0]
    return value


def _range(declared: Declaration, space: Space, item: Written) -> Dimension:
    if not _is_number(declared):
        hint = f"use HPARAM_CANDIDATES([...]) for {declared.sql}."
        raise OptionError(f"HPARAM_RANGE must be given to a number. {declared.sql} is none.", span=item.span, hint=hint)
    if len(item.arguments) != 2:
        text = f"HPARAM_RANGE of {declared.sql} must have a lower and an upper bound."
        raise OptionError(text, span=item.span)
    for value, span in zip(item.arguments, item.spans, strict=True):
        number = isinstance(value, (int, float)) or hasattr(value, "as_integer_ratio")
        if isinstance(value, bool) or not number or not math.isfinite(float(value)):  # type: ignore[arg-type]
            raise OptionError(f"the bounds of HPARAM_RANGE must be numbers. Got {value!r}.", span=span)
    low, high = (float(v) for v in item.arguments)  # type: ignore[arg-type]
    if low >= high:
        text = f"HPARAM_RANGE of {declared.sql} must have a lower bound below the upper one."
        raise OptionError(f"{text} Got {low:g} and {high:g}.", span=item.span)
    whole = _is_whole(declared)
    if whole and (low != round(low) or high != round(high)):
        text = f"the bounds of HPARAM_RANGE of {declared.sql} must be whole numbers."
        raise OptionError(f"{text} Got {low:g} and {high:g}.", span=item.span)
    log = space.scale == "LOG"
    outside = (
        declared.above is not None and low < declared.above,
        declared.below is not None and high > declared.below,
    )
    for value, span, wrong in zip((low, high), item.spans, outside, strict=True):
        if wrong:  # an end that is only excluded moves inside
            convert(declared, Given(int(value) if whole else value, item.span, span))
    low, high = _open_ends(declared, low, high, log)
    for value, span in zip((low, high), item.spans, strict=True):
        shown: object = int(value) if whole else value
        convert(declared, Given(shown, item.span, span))
    return Dimension(declared.name, None, None, low, high, log, whole)


def _started(space: Dimension, default: Any, written: bool) -> Dimension:
    start = space.nearest(default)
    return dataclasses.replace(space, start=start, first=start if written else default)


def settled(model: Model[Any, Any], dimensions: Sequence[Dimension], rows: int) -> tuple[Dimension, ...]:
    """The dimensions, started from defaults that depend on the number of training rows too."""
    known = declarations(model.options)
    found = []
    for d in dimensions:
        usual = model.usual(d.name, rows) if known[d.name].default is None else None
        if usual is not None:
            start = d.nearest(usual)
            # only a space that was not written may be left by the first trial
            d = dataclasses.replace(d, start=start, first=usual if d.first is None else start)
        found.append(d)
    return tuple(found)


# ---------------------------------------------------------------- conditions


def _choices(space: Dimension) -> Sequence[Any]:
    return space.candidates or (space.low, space.high)


def _reachable(model: Model[Any, Any], options: Any, spaces: Mapping[str, Dimension], name: str) -> bool:
    """Whether some point of the space gives the option a meaning."""
    if model.active(name, options) and not any(_hides(model, options, s, name) for s in spaces.values()):
        return True
    for parent, space in spaces.items():
        if parent == name:
            continue
        for choice in _choices(space):
            if model.active(name, dataclasses.replace(options, **{parent: choice})):
                return True
    return False


def _hides(model: Model[Any, Any], options: Any, space: Dimension, name: str) -> bool:
    """Whether every value of another option takes the meaning away."""
    if space.name == name or not space.candidates:
        return False
    return all(not model.active(name, dataclasses.replace(options, **{space.name: c})) for c in space.candidates)


def _decides(model: Model[Any, Any], options: Any, spaces: Mapping[str, Dimension], name: str) -> bool:
    """Whether other options have a meaning only under some values of this one; those are chosen later."""
    found = []
    for choice in _choices(spaces[name]):
        if isinstance(choice, str):
            changed = dataclasses.replace(options, **{name: choice})
            found.append(tuple(model.active(other, changed) for other in spaces))
    return len(set(found)) > 1


def _hint(model: Model[Any, Any], name: str) -> str:
    return f"{name.upper()} of {model.names[0]} depends on another option; give that option a candidate that uses it."
