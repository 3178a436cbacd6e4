"""A result as an HTML table that stands on its own: no script, no style sheet, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlml.render.cells import NULL, cell
from sqlml.rows import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 300


def html_table(schema: pa.Schema, batches: Iterable[pa.RecordBatch], limit: int | None = None) -> Iterator[str]:
    """Pieces of the HTML text, at most `limit` rows of it.

    NULL is shown in grey, so that it differs from the string 'NULL'; numbers stand to the right; long
    cells are cut and keep their whole text as a tooltip.
    """
    import pyarrow as pa

    numeric = [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type) for f in schema
    ]
    yield '<table class="sqlml" border="1" style="border-collapse: collapse">\n<thead><tr>'
    yield "".join(f'<th style="text-align: left">{html.escape(name)}</th>' for name in schema.names)
    yield "</tr></thead>\n<tbody>\n"
    left = limit
    for batch in batches:
        part = batch if left is None else batch.slice(0, left)
        for row in rows_of(part):
            yield "<tr>" + "".join(map(_cell, row, numeric)) + "</tr>\n"
        if left is not None:
            left -= part.num_rows
            if left <= 0:
                break
    yield "</tbody></table>"


def _cell(value: object, numeric: bool) -> str:
    side = "right" if numeric else "left"
    if value is None:
        return f'<td style="text-align: {side}; color: #999">{NULL}</td>'
    text = cell(value)
    if len(text) <= LONGEST:
        return f'<td style="text-align: {side}">{html.escape(text)}</td>'
    return f'<td style="text-align: {side}" title="{html.escape(text)}">{html.escape(text[:LONGEST])}…</td>'
