"""Nearest training examples as an explanation (ours): which rows are kept, where a model puts them, the nearest.

KEEP_EXAMPLES stores a sample of the training rows with the model, as the model sees them (after TRANSFORM), with
the label. Nothing is kept unless the user asks for it; DROP MODEL drops the rows too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrow import floats, integers
from sqlml.database import Database
from sqlml.encode import Design
from sqlml.errors import FormatError, NotSupportedError, OptionError
from sqlml.functions.base import Call
from sqlml.functions.scoring import register_function, scored
from sqlml.kernels.neighbours import nearest
from sqlml.models import MODELS
from sqlml.models.base import BatchFunction, Label, Model, Place, Trained
from sqlml.relation import Relation
from sqlml.schema import Column, quote_name

#: Rows are drawn from so many times more of them, when there are more.
_DRAWN_FROM = 50
SETTING = "top_k_examples"


# ---------------------------------------------------------------- training


def kept_examples(rows: Relation, design: Design, label: Label | None, options: Any, count: int, seed: int) -> bytes:
    """The rows that KEEP_EXAMPLES keeps, as an Arrow stream; b"" without the option.

    They are different from each other and drawn by their content and the seed, whatever their order is.

    Args:
        rows: the training rows (after TRANSFORM); `count` is their number.
    """
    wanted = getattr(options, "keep_examples", None)
    if wanted is None:
        return b""
    items = ", ".join(quote_name(c.name) for c in example_columns(design, label))
    drawn = f"hash({int(seed)}, {items})"
    tail = f" ORDER BY {drawn} LIMIT {wanted}"
    share = max(1, count // (_DRAWN_FROM * wanted))
    found = rows.table(f"{items} FROM (SELECT DISTINCT {items} FROM {{rows}} WHERE {drawn} % {share} = 0){tail}")
    if found.num_rows < wanted and share > 1:
        found = rows.table(f"{items} FROM (SELECT DISTINCT {items} FROM {{rows}}){tail}")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.schema) as writer:
        writer.write_table(found)
    return bytes(sink.getvalue().to_pybytes())


def example_columns(design: Design, label: Label | None) -> tuple[Column, ...]:
    """The columns of an example: those of the features, then the label."""
    last = () if label is None else (Column(label.name, label.sql_type),)
    return (*design.columns, *last)


# ---------------------------------------------------------------- answers


def has_place(model: Model[Any, Any]) -> bool:
    """Whether models of this type put rows into a space of their own."""
    return type(model).place is not Model.place


def check_examples(call: Call) -> None:
    """Refuse models without an embedding, and those that were trained without KEEP_EXAMPLES."""
    span = call.places.get(SETTING, call.span)
    if not has_place(call.kind):
        able = ", ".join(name for name, model in MODELS.items() if has_place(model))
        text = f"{SETTING.upper()} must be given only for models with an embedding. {call.model.model} has none."
        raise OptionError(text, span=span, hint=f"it is for {able}.")
    if not call.model.examples:
        text = f"{SETTING.upper()} needs training rows that are kept with the model. {call.model.path} has none."
        raise NotSupportedError(text, span=span, hint="train with KEEP_EXAMPLES=1000 (or another number of rows).")


def place_of(database: Database, trained: Trained) -> tuple[Place, tuple[str, str]]:
    """The model's space, and (name, SQL) of the place of a row, for the `let` of its score."""
    place = MODELS[trained.model].place(trained)
    if isinstance(place.vector, str):
        return place, ("__place", place.vector)
    name = register_function(database, f"sqlml_{place.vector.name}_{trained.uid}", place.vector)
    arguments = ", ".join(f"({sql})::{kind}" for sql, kind in place.vector.arguments)
    return place, ("__place", f"{name}({arguments})")


def nearest_item(database: Database, trained: Trained, place: Place, let: tuple[str, str], k: int) -> str:
    """SQL of the k nearest examples of a row, over its `__place`."""
    table = _read(trained)
    points = _points(database, trained, table, let)
    structs = pa.StructArray.from_arrays([c.combine_chunks() for c in table.columns], table.column_names)

    def run(vectors: pa.Array) -> pa.Array:
        index, distance = nearest(_matrix(vectors, points.shape[1]), points, k, place.measure)
        pairs = pa.StructArray.from_arrays(
            [floats(distance.ravel()), structs.take(integers(index.ravel()))], ["distance", "example"]
        )
        n, width = index.shape
        return pa.ListArray.from_arrays(integers(np.arange(0, (n + 1) * width, width)).cast(pa.int32()), pairs)

    fields = ", ".join(f"{quote_name(c.name)} {c.sql_type}" for c in example_columns(trained.design, trained.label))
    function = BatchFunction(run, (), f"STRUCT(distance DOUBLE, example STRUCT({fields}))[]")
    return f"{register_function(database, f'sqlml_nearest{k}_{trained.uid}', function)}(__place)"


def _read(trained: Trained) -> pa.Table:
    """The kept rows. Raises `FormatError` when they are damaged."""
    try:
        table = pa.ipc.open_stream(trained.examples).read_all()
        table.validate(full=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(f"the training examples of {trained.path} cannot be read: {error}.") from None
    if table.column_names != [c.name for c in example_columns(trained.design, trained.label)] or not table.num_rows:
        raise FormatError(f"the training examples of {trained.path} cannot be read: they have other columns.")
    return table


def _points(database: Database, trained: Trained, table: pa.Table, let: tuple[str, str]) -> Any:
    """(m, d) places of the kept rows, in their order."""
    name = database.fresh_name("examples")
    number = integers(np.arange(table.num_rows))
    database.register(name, table.append_column("__row", number))
    try:
        # The rows are transformed already: place them as a model without TRANSFORM.
        bare = replace(trained, transform=None, inputs=trained.design.columns)
        columns = (*example_columns(trained.design, trained.label), Column("__row", "BIGINT"))
        score = MODELS[trained.model].score(bare)
        found = scored(database, bare, name, columns, None, replace(score, let=(*score.let, let)))
        for key, lookup in found.tables.items():
            database.register(key, lookup)
        try:
            column = database.table(f"SELECT __place FROM {found.sql} ORDER BY __row").column(0).combine_chunks()
        finally:
            for key in found.tables:
                database.unregister(key)
    finally:
        database.unregister(name)
    return _matrix(column, len(column.flatten()) // len(column))


def _matrix(vectors: pa.Array, width: int) -> Any:
    """(n, width) of a list array."""
    values = np.asarray(vectors.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    return values.reshape(len(vectors), width)
