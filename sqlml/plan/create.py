"""CREATE MODEL: model type, options, query, columns, label, split; all checked before a row is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlml.catalog import Catalog
from sqlml.encode import check_columns
from sqlml.errors import (
    Error,
    NameError,
    NotSupportedError,
    OperationalError,
    OptionError,
    ParseError,
    ProgrammingError,
    SchemaError,
    Span,
    did_you_mean,
    notice,
)
from sqlml.grammar import Call, CreateModel, Name, Option, Query
from sqlml.grammar.nodes import Mode
from sqlml.models import model_type, owners
from sqlml.models.base import Model, Task, Trained
from sqlml.models.label import check_weights
from sqlml.options import Given, bind, declarations
from sqlml.plan.locate import find_column
from sqlml.plan.query import Planner
from sqlml.plan.session import Session
from sqlml.schema import Column, Kind, find, names, same_name
from sqlml.split import check_plan
from sqlml.transform import TransformPlan, plan_transform
from sqlml.tune import Dimension, Written, read_spaces

#: Older spellings of options.
ALIASES = {"labels": "input_label_cols", "data_split_eval_frac": "data_split_eval_fraction"}
SUPERVISED = (Task.REGRESSION, Task.CLASSIFICATION)


@dataclass(frozen=True, slots=True)
class CreatePlan:
    """A checked CREATE MODEL.

    Args:
        skip: the model exists and IF NOT EXISTS was written: nothing to train.
        sql: DuckDB SQL of the training query; `text` is the user's.
        columns: of the training query.
        features: columns that are encoded (after TRANSFORM when there is one).
        label: the label column, or None.
        spans: where options were written, for errors that training finds.
        previous: the model to continue from under WARM_START.
        queries: DuckDB SQL of further named queries, such as custom_holiday.
        dimensions: what is tuned; () for a single training.
    """

    catalog: Catalog
    dataset: str
    name: str
    model: Model[Any, Any]
    type_name: str
    options: Any
    given: frozenset[str]
    spans: Mapping[str, Span]
    sql: str
    text: str
    columns: tuple[Column, ...]
    transform: TransformPlan | None
    label: Column | None
    planner: Planner
    span: Span
    query_span: Span
    previous: Trained | None = None
    queries: Mapping[str, str] | None = None
    dimensions: tuple[Dimension, ...] = ()
    skip: bool = False


#: GoogleSQL's reserved words: names only in backticks, or after a dot.
_RESERVED = frozenset(
    """ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT
    DEFAULT DEFINE DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT FALSE FETCH FOLLOWING FOR FROM
    FULL GROUP GROUPING GROUPS HASH HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL LEFT LIKE LIMIT
    LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE
    RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST
    USING WHEN WHERE WINDOW WITH WITHIN""".split()
)


def _check_bare(name: Name, text: str) -> None:
    """A reserved word must not be the first part of a name without backticks."""
    written = re.match(r"[\w-]+", text[name.span.start : name.span.end])
    if written is not None and written[0].upper() in _RESERVED:
        place = Span(name.span.start, name.span.start + written.end())
        hint = f"write `{written[0]}`."
        raise ParseError(f"{written[0]} is a reserved word and must stand in backticks.", span=place, hint=hint)


def plan_create(session: Session, statement: CreateModel, text: str, parameters: Any = None) -> CreatePlan:
    """Check a CREATE MODEL statement. Raises with the place of what is wrong."""
    if session.database.read_only:
        raise OperationalError("the database is read-only: no model can be created.", span=statement.name.span)
    _check_bare(statement.name, text)
    catalog, dataset, name = session.model(statement.name, must_exist=True)
    exists = catalog.find(dataset, name) is not None
    planner = Planner(session, text, parameters)
    given, hparams = _given(statement, planner)
    model, kind = _model_type(statement, given)
    warm = _written_true(given.get("warm_start"))
    if exists and statement.mode is Mode.CREATE:
        hint = "write CREATE OR REPLACE MODEL, or CREATE MODEL IF NOT EXISTS."
        raise ProgrammingError(f"the model {dataset}.{name} already exists.", span=statement.name.span, hint=hint)
    previous = None
    if warm:
        if not exists:
            raise OptionError(
                "WARM_START must be given only for a model that exists.", span=given["warm_start"].name_span
            )
        previous = catalog.load(dataset, name, statement.name.span)
        given = _inherited(previous, kind, given)
    options: Any = bind(model.options, given, owner=kind, others=owners)
    dimensions = read_spaces(model, kind, options, given, hparams)
    _note_recorded(model, options, given)
    query = _training_query(statement)
    sql = planner.sql(query)
    columns = planner.columns(sql, span=query.span)
    _check_unique(columns, query.span, text)
    spans = {k: v.name_span for k, v in given.items() if v.name_span is not None}
    label = _label(model, options, columns, given, query.span)
    transform = _transform(statement, model, options, columns, label, session)
    plan = CreatePlan(
        catalog,
        dataset,
        name,
        model,
        kind,
        options,
        frozenset(given) - {"model_type"},
        spans,
        sql,
        query.text.strip() if not query.calls else text[query.span.start : query.span.end],
        columns,
        transform,
        label,
        planner,
        statement.span,
        query.span,
        previous,
        _named_queries(statement, planner),
        dimensions,
        skip=exists and statement.mode is Mode.IF_NOT_EXISTS,
    )
    _check_model(plan, given)
    return plan


def _given(statement: CreateModel, planner: Planner) -> tuple[dict[str, Given], dict[str, Written]]:
    found: dict[str, Given] = {}
    hparams: dict[str, Written] = {}
    for option in statement.options:
        name = ALIASES.get(option.name.lower(), option.name.lower())
        if name in found or name in hparams:
            raise OptionError(f"{option.name.upper()} must be given once.", span=option.span)
        if isinstance(option.value, Call) and option.value.name.upper().startswith("HPARAM_"):
            hparams[name] = _written(option, option.value, planner)
            continue
        place = option.value.span  # an empty array has none of its own
        place = option.span if place.start < option.span.start else place
        found[name] = Given(planner.constant(option.value), option.span, place)
    return found, hparams


def _written(option: Option, call: Call, planner: Planner) -> Written:
    """A search space, its arguments as values."""
    values = tuple(planner.constant(a) for a in call.args)
    spans = tuple(a.span for a in call.args)
    return Written(call.name.upper(), values, spans, call.span, option.span)


def _model_type(statement: CreateModel, given: dict[str, Given]) -> tuple[Model[Any, Any], str]:
    if statement.remote:
        raise NotSupportedError("models behind a REMOTE CONNECTION are not available here.", span=statement.name.span)
    item = given.get("model_type")
    if item is None:
        hint = "add MODEL_TYPE='LINEAR_REG' (or another type) to OPTIONS."
        raise OptionError("MODEL_TYPE must be given.", span=statement.name.span, hint=hint)
    if not isinstance(item.value, str):
        raise OptionError(f"MODEL_TYPE must be a STRING. Got {item.value!r}.", span=item.value_span)
    try:
        return model_type(item.value), item.value.upper()
    except (NameError, NotSupportedError) as error:
        error.span = item.value_span
        raise
    finally:
        given.pop("model_type", None)


def _written_true(item: Given | None) -> bool:
    return item is not None and (item.value is True or str(item.value).upper() == "TRUE")


def _inherited(previous: Trained, kind: str, given: dict[str, Given]) -> dict[str, Given]:
    """Options of the first training that are not written again keep their values."""
    if previous.model != kind:
        text = f"WARM_START must keep MODEL_TYPE. The model is a {previous.model}."
        raise OptionError(text, span=given["warm_start"].name_span)
    old = {n: Given(getattr(previous.options, n)) for n in previous.given if n not in given and n != "warm_start"}
    return {**old, **given}


def _note_recorded(model: Model[Any, Any], options: Any, given: Mapping[str, Given]) -> None:
    """Options that are kept with the model and have no other effect here are said so."""
    known = declarations(model.options)
    for name in given:
        if name in known and known[name].note:
            notice(f"{name.upper()}: {known[name].note}")


def _training_query(statement: CreateModel) -> Query:
    named = dict(statement.queries)
    if statement.query is not None:
        return statement.query
    if "training_data" in named:
        return named["training_data"]
    if named:
        raise ProgrammingError("AS (...) must name a training_data query.", span=statement.queries[0][1].span)
    hint = "end the statement with AS SELECT ..."
    raise ProgrammingError("CREATE MODEL must have a training query.", span=statement.name.span, hint=hint)


def _named_queries(statement: CreateModel, planner: Planner) -> dict[str, str]:
    found = {}
    for name, query in statement.queries:
        if name not in ("training_data", "custom_holiday"):
            raise ProgrammingError(f"{name} is not a query that CREATE MODEL knows.", span=query.span)
        if name != "training_data":
            found[name] = planner.sql(query)
    return found


def _check_unique(columns: tuple[Column, ...], span: Span, text: str) -> None:
    seen: set[str] = set()
    for c in columns:
        if c.name.casefold() in seen:
            said = f"the columns of the training query must differ. Got {c.name} twice."
            raise SchemaError(said, span=find_column(said, text, span) or span)
        seen.add(c.name.casefold())


def _label(
    model: Model[Any, Any], options: Any, columns: tuple[Column, ...], given: Mapping[str, Given], span: Span
) -> Column | None:
    if model.task not in SUPERVISED:
        return None
    wanted = options.input_label_cols
    item = given.get("input_label_cols")
    place = (item.value_span if item else None) or span
    if wanted is not None and len(wanted) != 1:
        raise OptionError(f"INPUT_LABEL_COLS must name exactly one column. Got {len(wanted)}.", span=place)
    name = wanted[0] if wanted else "label"
    label = find(columns, name)
    if label is None:
        hint = did_you_mean(name, names(columns))
        if not wanted:
            hint = "add INPUT_LABEL_COLS=['...'] to OPTIONS, or name a column label."
        raise SchemaError(f"the label column {name} must be in the training query.", span=place, hint=hint)
    if model.task is Task.REGRESSION and label.kind is not Kind.NUMERIC:
        hint = "use a classifier, or cast the label to FLOAT64."
        text = f"the label of a regression must be a number. {label.name} is {label.type.google}."
        raise SchemaError(text, span=place, hint=hint)
    if model.task is Task.CLASSIFICATION and label.kind not in (Kind.NUMERIC, Kind.CATEGORY, Kind.TIMESTAMP):
        raise SchemaError(f"the label must be a single value. {label.name} is {label.type.google}.", span=place)
    return label


def _transform(
    statement: CreateModel,
    model: Model[Any, Any],
    options: Any,
    columns: tuple[Column, ...],
    label: Column | None,
    session: Session,
) -> TransformPlan | None:
    if statement.transform is None:
        if model.needs_transform:
            text = f"{model.names[0]} models must have a TRANSFORM clause."
            hint = "write TRANSFORM(expression AS name, ...) before OPTIONS."
            raise ProgrammingError(text, span=statement.name.span, hint=hint)
        return None
    if not model.transform:
        text = f"{model.names[0]} models take no TRANSFORM clause."
        raise NotSupportedError(text, span=statement.transform.span)
    split = model.split(options)
    through = [c for c in (split.column, *model.reserved(options)) if c]
    if label is not None:
        through.append(label.name)
    fragment = statement.transform
    start = fragment.span.start
    return plan_transform(
        fragment.text, start, columns, tuple(through), session.fidelity, session.user_functions, session.variables
    )


def feature_columns(plan: CreatePlan, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns that are encoded: all but the label, the split column and reserved ones."""
    out = [c for c in (plan.model.split(plan.options).column, *plan.model.reserved(plan.options)) if c]
    if plan.label is not None:
        out.append(plan.label.name)
    return tuple(c for c in columns if not any(same_name(c.name, o) for o in out))


def _check_model(plan: CreatePlan, given: Mapping[str, Given]) -> None:
    """The model type's own checks; a sentence that begins with an option's name gets that option's place."""
    try:
        _check_registry(plan)
        _check_roles(plan)
        check_weights(plan.options)
        plan.model.check(plan.options, plan.given, plan.columns)
        check_plan(plan.model.split(plan.options), plan.columns)
        if plan.transform is None:
            _check_features(plan, plan.columns)
    except Error as error:
        if error.span is None:
            word = error.message.split(" ", 1)[0].lower()
            words = re.findall(r"\w+", error.message)
            column = next((s for n, s in plan.spans.items() if n.upper() in words), None)
            value = _refused_value(error.message, given.get(word), plan.planner.text)
            feature = find_column(error.message, plan.planner.text, plan.query_span)
            error.span = value or plan.spans.get(word) or column or feature or plan.query_span
        raise


def _refused_value(message: str, item: Given | None, text: str) -> Span | None:
    """Where the value stands that the sentence ends with ("... Got 'x'."), alone or in an array or tuple."""
    said = re.search(r"Got (\S+)\.$", message)
    if said is None or item is None or item.value_span is None:
        return None
    place = item.value_span
    written = re.escape(said[1].strip("'"))
    found = re.search(rf"""(?<![\w.])(['"]?){written}\1(?![\w.])""", text[place.start : place.end], re.IGNORECASE)
    return None if found is None else Span(place.start + found.start(), place.start + found.end())


_MODEL_ID = re.compile(r"[a-z_][a-z0-9_-]{0,62}")


def _check_registry(plan: CreatePlan) -> None:
    """What is recorded for a registry must be what the registry takes."""
    registered = ("vertex_ai_model_id", "vertex_ai_model_version_aliases")
    for name in registered:
        if getattr(plan.options, name, None) is not None and plan.options.model_registry is None:
            hint = "add MODEL_REGISTRY='VERTEX_AI'."
            raise OptionError(f"{name.upper()} must come with MODEL_REGISTRY.", hint=hint)
    model_id = getattr(plan.options, registered[0], None)
    if model_id is not None and not _MODEL_ID.fullmatch(model_id):
        rule = "at most 63 of a-z, 0-9, _ and -, the first no digit or hyphen"
        raise OptionError(f"VERTEX_AI_MODEL_ID must be {rule}. Got '{model_id}'.")


def _check_roles(plan: CreatePlan) -> None:
    """The label cannot be the weight, or what splits the rows."""
    if plan.label is None:
        return
    for name in sorted(n for n in plan.given if n.endswith("_col")):
        value = getattr(plan.options, name)
        if isinstance(value, str) and same_name(value, plan.label.name):
            raise SchemaError(f"{name.upper()} must not be the label. Got {value}.")


def _check_features(plan: CreatePlan, columns: tuple[Column, ...]) -> None:
    features = feature_columns(plan, columns)
    if plan.model.encoded:
        if not features:
            raise SchemaError("the training query must have at least one feature column.", span=plan.query_span)
        check_columns(features, plan.model.encoding(plan.options), plan.type_name)
