"""ML.TRANSFORM: the fitted TRANSFORM clause of a model over new rows, as inlined SQL."""

from __future__ import annotations

from sqlml.encode import bind_columns
from sqlml.errors import ProgrammingError
from sqlml.functions.base import Call, Inline, TableFunction
from sqlml.schema import quote_name


def _run(call: Call) -> Inline:
    transform = call.model.transform
    if transform is None:
        hint = "create the model with TRANSFORM(...)."
        text = f"ML.TRANSFORM must be given a model with a TRANSFORM clause. {call.model.path} has none."
        raise ProgrammingError(text, span=call.span, hint=hint)
    bind_columns(call.model.inputs, call.data.columns, call.model.path, call.data.span)
    items = [f"{sql} AS {quote_name(name)}" for name, sql in transform.select_items()]
    # Input columns that the clause does not mention pass through.
    taken = {name.casefold() for name in (*transform.needs, *transform.outputs)}
    items += [quote_name(c.name) for c in call.data.columns if c.name.casefold() not in taken]
    return Inline(f"(SELECT {', '.join(items)} FROM {call.data.sql})")


TRANSFORM = TableFunction(
    name="ML.TRANSFORM",
    doc="Applies the TRANSFORM clause of a model, with the statistics of its training, to every input row.",
    run=_run,
    data="required",
)
