"""The arguments of an ML table function: model, data, array, settings; each checked against the function's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlml.errors import OptionError, ProgrammingError
from sqlml.functions.base import Call, Source, TableFunction, with_trial
from sqlml.grammar import (
    Array,
    ModelArgument,
    Name,
    NamedArgument,
    QueryArgument,
    Struct,
    TableArgument,
    TableCall,
    Value,
    ValueArgument,
)
from sqlml.grammar.nodes import Argument, Bare, Query
from sqlml.grammar.nodes import Call as CallNode
from sqlml.models import MODELS
from sqlml.options import Given, bind
from sqlml.schema import quote_name

if TYPE_CHECKING:
    from sqlml.plan.query import Planner


class _Arguments:
    """What was found while the arguments are read."""

    def __init__(self) -> None:
        self.model: Name | None = None
        self.sources: dict[str, Source] = {}
        self.settings: dict[str, Given] = {}
        self.array: tuple[object, ...] | None = None
        self.values = 0


def bind_call(planner: Planner, function: TableFunction, call: TableCall, scope: Sequence[str]) -> Call:
    """The checked call. Raises with the place of the argument that is wrong."""
    found = _Arguments()
    for argument in call.args:
        _argument(planner, function, call, scope, argument, found)
    catalog, trained = planner.session.catalog(planner.session.current()[0]), None
    if function.model:
        if found.model is None:
            hint = f"write {function.name}(MODEL dataset.model{'' if function.data == 'none' else ', TABLE t'})"
            raise ProgrammingError(f"{function.name} must be given a MODEL.", span=call.name_span, hint=hint)
        catalog, dataset, name = planner.session.model(found.model)
        trained = catalog.load(dataset, name, found.model.span)
        function = function.form(MODELS[trained.model])
        _check_kind(function, trained.model, found.model)
    source = found.sources.get("data")
    if function.data == "required" and source is None:
        hint = f"add TABLE t or (SELECT ...) to the arguments of {function.name}."
        raise ProgrammingError(f"{function.name} must be given input data.", span=call.name_span, hint=hint)
    settings: Any = bind(function.settings, found.settings, owner=function.name)
    context = planner.session.context(catalog, planner.parameters())
    given = frozenset(found.settings)
    places = {name: item.value_span for name, item in found.settings.items() if item.value_span is not None}
    bound = Call(
        function.name, context, trained, source, settings, given, call.name_span, found.array, found.sources, places
    )
    return with_trial(bound)


def _check_kind(function: TableFunction, kind: str, name: Name) -> None:
    if not function.works_on(MODELS[kind]):
        able = [n for n, m in MODELS.items() if function.form(m).works_on(m)]
        hint = f"it works on {', '.join(able)}." if able else None
        raise ProgrammingError(f"{function.name} does not work on {kind} models.", span=name.span, hint=hint)


def _argument(
    planner: Planner,
    function: TableFunction,
    call: TableCall,
    scope: Sequence[str],
    argument: Argument,
    found: _Arguments,
) -> None:
    if isinstance(argument, NamedArgument):
        _named(planner, function, scope, argument, found)
    elif isinstance(argument, ModelArgument):
        if not function.model or found.model is not None:
            raise ProgrammingError(f"{function.name} takes no further MODEL.", span=argument.name.span)
        found.model = argument.name
    elif isinstance(argument, (TableArgument, QueryArgument)):
        names = function.sources or (("data",) if function.data != "none" else ())
        free = next((n for n in names if n not in found.sources), None)
        span = argument.name.span if isinstance(argument, TableArgument) else argument.query.span
        if free is None:
            raise ProgrammingError(f"{function.name} takes no {'further ' if names else ''}input data.", span=span)
        found.sources[free] = _source(planner, argument, scope)
    elif isinstance(argument, ValueArgument):
        _value(planner, function, argument.value, found)


def _source(planner: Planner, argument: TableArgument | QueryArgument, scope: Sequence[str]) -> Source:
    if isinstance(argument, QueryArgument):
        return planner.source(argument.query, scope)
    name = argument.name
    if planner.session.dialect == "bigquery":
        path = ".".join(f"`{p}`" for p in name.parts)
    else:
        path = ".".join(quote_name(p) for p in name.parts)
    # A TABLE argument may name a CTE of the query around it: the text is planned where it stands.
    text = f"SELECT * FROM {path}"
    query = Query(text, (), name.span)
    return planner.source(query, scope) if not _is_cte(name, scope) else _cte(planner, name, scope)


def _is_cte(name: Name, scope: Sequence[str]) -> bool:
    if len(name.parts) != 1:
        return False
    wanted = name.parts[0].casefold()
    return any(c.split(" AS ", 1)[0].split("(", 1)[0].strip().strip('"').casefold() == wanted for c in scope)


def _cte(planner: Planner, name: Name, scope: Sequence[str]) -> Source:
    path = quote_name(name.parts[0])
    columns = planner.columns(f"SELECT * FROM {path}", scope, name.span)
    return Source(f"(SELECT * FROM {path})", f"WITH {', '.join(scope)}", columns, name.span)


def _named(
    planner: Planner, function: TableFunction, scope: Sequence[str], argument: NamedArgument, found: _Arguments
) -> None:
    inner = argument.argument
    name = argument.name
    if isinstance(inner, (TableArgument, QueryArgument)):
        names = function.sources or ("data",)
        key = name if name in names else ("data" if function.data != "none" else name)
        if key not in names:
            raise ProgrammingError(f"{name} is not an argument of {function.name}.", span=argument.span)
        found.sources[key] = _source(planner, inner, scope)
    elif isinstance(inner, ModelArgument):
        found.model = inner.name
    elif isinstance(inner, ValueArgument):
        value = planner.constant(inner.value)
        if name in found.settings:
            raise OptionError(f"{name.upper()} must be given once.", span=argument.span)
        found.settings[name] = Given(value, argument.span, inner.value.span)


def _value(planner: Planner, function: TableFunction, value: Value, found: _Arguments) -> None:
    is_array = isinstance(value, Array) or (isinstance(value, CallNode) and value.name.upper() == "GENERATE_ARRAY")
    if isinstance(value, Struct) and any(name is not None for name, _, _ in value.fields):
        for name, item, span in value.fields:
            if name is None:
                raise OptionError("every setting in STRUCT must have a name: value AS name.", span=span)
            if name in found.settings:
                raise OptionError(f"{name.upper()} must be given once.", span=span)
            found.settings[name] = Given(planner.constant(item), span, item.span)
    elif isinstance(value, Struct) and not value.fields:
        return
    elif is_array and function.array:
        items = planner.constant(value)
        assert isinstance(items, list)
        found.array = tuple(items)
        if not all(isinstance(i, (int, float)) and not isinstance(i, bool) for i in items):
            raise OptionError(f"the array of {function.name} must hold numbers.", span=value.span)
    elif found.values < len(function.positional):
        name = function.positional[found.values]
        found.values += 1
        found.settings[name] = Given(planner.constant(value), value.span, value.span)
    else:
        if isinstance(value, Struct):
            raise OptionError("every setting in STRUCT must have a name: value AS name.", span=value.span)
        if isinstance(value, Bare) and (function.model or function.data != "none"):
            kind = "MODEL" if function.model and found.model is None else "TABLE"
            text = f"{value.text} must be named as a {kind}."
            raise ProgrammingError(text, span=value.span, hint=f"write {kind} {value.text}.")
        hint = f"settings are written as {'STRUCT(value AS name)' if function.model else 'name => value'}."
        raise ProgrammingError(f"{function.name} takes no such argument.", span=value.span, hint=hint)
