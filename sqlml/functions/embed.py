"""ML.GENERATE_EMBEDDING and AI.GENERATE_EMBEDDING, and ML.RECONSTRUCTION_LOSS of autoencoders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlml.errors import OptionError
from sqlml.functions.base import Call, Computed, Inline, TableFunction, led_by_trial, not_without_data, refuse_trials
from sqlml.functions.scoring import scored
from sqlml.models.base import Fixed
from sqlml.options import option
from sqlml.schema import Column, quote_name


@dataclass(frozen=True)
class EmbeddingSettings:
    """Settings of the embedding functions."""

    trial_id: int | None = option(None, "The trial of a tuned model.", low=1)


def _embed(call: Call, column: str) -> Inline | Computed:
    """The model's `embedding` is SQL over its score (with input data), or a finished table (without)."""
    refuse_trials(call)
    found = call.kind.embedding(call.model)  # type: ignore[attr-defined]
    if isinstance(found, Fixed):
        if call.source is not None:
            text = f"{call.name} takes no input data for {call.model.model} models."
            raise OptionError(text, span=call.source.span)
        columns = tuple(Column(column if c.name == "embedding" else c.name, c.sql_type) for c in found.columns)
        return led_by_trial(call, Computed(columns, lambda: found.table.rename_columns([c.name for c in columns])))
    if call.source is None:
        raise not_without_data(call)
    rows = scored(call.context.database, call.model, call.data.sql, call.data.columns, call.data.span)
    sql = f"(SELECT {found} AS {quote_name(column)}, {rows.rest} FROM {rows.sql})"
    return led_by_trial(call, Inline(sql, rows.tables))


def _reconstruction(call: Call) -> Inline:
    score = call.kind.reconstruction(call.model)  # type: ignore[attr-defined]
    found = scored(call.context.database, call.model, call.data.sql, call.data.columns, call.data.span, score)
    names = call.kind.metric_names(call.model)
    items = [f"{found.score.value(i)} AS {quote_name(n)}" for i, n in enumerate(names)]
    return Inline(f"(SELECT {', '.join(items)}, {found.rest} FROM {found.sql})", found.tables)


AI_EMBEDDING = TableFunction(
    name="AI.GENERATE_EMBEDDING",
    doc="Rows (or users and items) as vectors.",
    run=partial(_embed, column="embedding"),
    settings=EmbeddingSettings,
    data="optional",
    asks="embedding",
)
ML_EMBEDDING = TableFunction(
    name="ML.GENERATE_EMBEDDING",
    doc="Rows (or users and items) as vectors.",
    run=partial(_embed, column="ml_generate_embedding_result"),
    settings=EmbeddingSettings,
    data="optional",
    asks="embedding",
)
RECONSTRUCTION_LOSS = TableFunction(
    name="ML.RECONSTRUCTION_LOSS",
    doc="How far an autoencoder's reconstruction of each row is from the row.",
    run=_reconstruction,
    data="required",
    asks="reconstruction",
)
