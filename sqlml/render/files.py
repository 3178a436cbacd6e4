"""Results as files: CSV, JSON, Markdown, Parquet, Arrow. Each writer streams batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from sqlml.render.cells import cell, distinct_names, json_text
from sqlml.render.html import html_table
from sqlml.render.table import Style, TableLines
from sqlml.rows import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000


def slices(reader: pa.RecordBatchReader, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The batches of a reader, none longer than `rows`, so that text of a batch stays small."""
    for batch in reader:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def write_csv(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """RFC 4180, header, `\\n`. NULL is empty, an empty string is `""`, arrays and structs are JSON."""
    out.write(",".join(_csv_quoted(name) for name in reader.schema.names).encode() + b"\n")
    count = 0
    for batch in slices(reader):
        out.write(_csv_batch([_csv_column(column) for column in batch.columns]))
        count += batch.num_rows
    return count


def _csv_quoted(text: str) -> str:
    special = any(c in text for c in ',"\r\n') or text == ""
    return '"' + text.replace('"', '""') + '"' if special else text


def _csv_column(column: pa.Array) -> pa.Array:
    """The column as the CSV writer can take it: numbers as they are, the rest as text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_date(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_timestamp(kind):
        text = pc.replace_substring_regex(pc.cast(column, pa.string()), r"\.0+(Z?)$", r"\1")
        return pc.replace_substring_regex(text, "Z$", "+00")
    if pa.types.is_null(kind):
        return pc.cast(column, pa.string())
    nested = pa.types.is_nested(kind)
    texts = [None if v is None else json_text(v) if nested else cell(v) for v in column.to_pylist()]
    return pa.array(texts, pa.string())


def _csv_batch(columns: list[pa.Array]) -> bytes | pa.Buffer:
    """Lines of a batch. Arrow's writer is fast but cannot quote single values: it refuses them."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    strings = [c for c in columns if pa.types.is_string(c.type)]
    if not any(pc.any(pc.equal(c, "")).as_py() for c in strings):
        sink = pa.BufferOutputStream()
        options = csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
        try:
            csv.write_csv(pa.record_batch(columns, [str(i) for i in range(len(columns))]), sink, options)
            return sink.getvalue()
        except pa.ArrowInvalid:
            sink.close()
    texts = []
    for column in columns:
        text = pc.cast(column, pa.string())
        if pa.types.is_string(column.type):
            escaped = pc.replace_substring(text, '"', '""')
            quoted = pc.binary_join_element_wise('"', escaped, '"', "")
            text = pc.if_else(pc.match_substring_regex(text, '[",\r\n]|^$'), quoted, text)
        texts.append(pc.fill_null(text, ""))
    lines = pc.binary_join_element_wise(*texts, ",")
    whole = pa.LargeListArray.from_arrays(pa.array([0, len(lines)], pa.int64()), lines)
    return bytes(pc.binary_join(whole, "\n")[0].as_buffer()) + b"\n"


def write_jsonl(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """One JSON object per line."""
    names = distinct_names(reader.schema.names)
    count = 0
    for batch in slices(reader, 10_000):
        lines = [json_text(dict(zip(names, row, strict=True))) for row in rows_of(batch)]
        out.write(("\n".join(lines) + "\n").encode())
        count += batch.num_rows
    return count


def write_json(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """One JSON array, an object per line."""
    names = distinct_names(reader.schema.names)
    count = 0
    out.write(b"[")
    for batch in slices(reader, 10_000):
        lines = [json_text(dict(zip(names, row, strict=True))) for row in rows_of(batch)]
        if lines:
            out.write(((",\n" if count else "\n") + ",\n".join(lines)).encode())
        count += batch.num_rows
    out.write(b"\n]\n" if count else b"]\n")
    return count


def write_markdown(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """A Markdown table; numbers to the right."""
    import pyarrow as pa

    def line(cells: list[str]) -> bytes:
        return ("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |\n").encode()

    def right(kind: pa.DataType) -> bool:
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))

    out.write(line(list(reader.schema.names)))
    out.write(line(["---:" if right(field.type) else "---" for field in reader.schema]))
    count = 0
    for batch in slices(reader, 10_000):
        for row in rows_of(batch):
            out.write(line([cell(value) for value in row]))
        count += batch.num_rows
    return count


def write_html(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """An HTML table of all rows."""
    count = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in slices(reader, 10_000):
            count += batch.num_rows
            yield batch

    for piece in html_table(reader.schema, counted()):
        out.write(piece.encode())
    out.write(b"\n")
    return count


def write_parquet(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """A Parquet file (zstd)."""
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_arrow(reader: pa.RecordBatchReader, out: BinaryIO) -> int:
    """An Arrow IPC stream."""
    import pyarrow as pa

    count = 0
    with pa.ipc.new_stream(out, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def write_table(reader: pa.RecordBatchReader, out: BinaryIO, style: Style | None = None) -> int:
    """A text table."""
    lines = TableLines(reader, style or Style())
    for line in lines:
        out.write(line.encode() + b"\n")
    return lines.rows


FORMATS: dict[str, Callable[[pa.RecordBatchReader, BinaryIO], int]] = {
    "table": write_table,
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "markdown": write_markdown,
    "html": write_html,
    "parquet": write_parquet,
    "arrow": write_arrow,
}
BINARY_FORMATS = frozenset({"parquet", "arrow"})


def write(reader: pa.RecordBatchReader, form: str, out: BinaryIO) -> int:
    """Write a result in one of `FORMATS` to a binary stream; returns the number of rows."""
    return FORMATS[form](reader, out)
