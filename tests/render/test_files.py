"""Results as files: read back with another reader."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sqlml.render import FORMATS, html_table, write

UTC = datetime.UTC


def reader_of(table: pa.Table, rows: int = 2) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=rows))


def text_of(table: pa.Table, form: str) -> str:
    out = io.BytesIO()
    assert write(reader_of(table), form, out) == table.num_rows
    return out.getvalue().decode()


MIXED = pa.table(
    {
        "i": pa.array([1, None, 3], pa.int64()),
        "x": [0.1, 2.0, None],
        "s": ["plain", 'quote " and, comma', None],
        "e": ["", "line\nbreak", "NULL"],
        "d": [datetime.date(2020, 1, 2), None, None],
        "t": pa.array([datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), None, None], pa.timestamp("us", "UTC")),
        "n": [decimal.Decimal("1.50"), None, None],
        "l": [[1, 2], None, []],
        "r": [{"label": "a", "prob": 0.5}, None, None],
        "b": [True, False, None],
    }
)


def test_csv_round_trip() -> None:
    rows = list(csv.reader(io.StringIO(text_of(MIXED, "csv"), newline="")))
    assert rows[0] == MIXED.column_names
    assert rows[1][:7] == ["1", "0.1", "plain", "", "2020-01-02", "2020-01-02 03:04:05+00", "1.50"]
    assert json.loads(rows[1][7]) == [1, 2]
    assert json.loads(rows[1][8]) == {"label": "a", "prob": 0.5}
    assert rows[1][9] == "true"
    assert rows[2][2:4] == ['quote " and, comma', "line\nbreak"]
    assert rows[3][2] == ""
    assert rows[3][3] == "NULL"


def test_csv_tells_null_from_empty() -> None:
    assert text_of(pa.table({"a,b": ["", None, "x"], "c": ["1", "2", "3"]}), "csv") == '"a,b",c\n"",1\n,2\nx,3\n'


def test_csv_both_ways_agree() -> None:
    """The fast path (nothing to quote) and the slow one write numbers alike."""
    numbers = [0.1, 1e300, -2.5e-7, 1 / 3, None, 12345678.9]
    fast = text_of(pa.table({"x": numbers, "s": ["p"] * 6}), "csv").splitlines()
    slow = text_of(pa.table({"x": numbers, "s": ["p,"] * 6}), "csv").splitlines()
    assert [line.split(",")[0] for line in fast] == [line.split(",")[0] for line in slow]


def test_json_formats() -> None:
    whole = json.loads(text_of(MIXED, "json"))
    lines = [json.loads(line) for line in text_of(MIXED, "jsonl").splitlines()]
    assert whole == lines
    assert whole[0]["r"] == {"label": "a", "prob": 0.5}
    assert whole[2]["l"] == []
    assert whole[1]["i"] is None
    assert json.loads(text_of(MIXED.slice(0, 0), "json")) == []
    assert text_of(MIXED.slice(0, 0), "jsonl") == ""


def test_markdown() -> None:
    text = text_of(pa.table({"a": [1], "b|c": ["x|y"]}), "markdown")
    assert text == "| a | b\\|c |\n| ---: | --- |\n| 1 | x\\|y |\n"


def test_parquet_and_arrow() -> None:
    out = io.BytesIO()
    assert write(reader_of(MIXED), "parquet", out) == 3
    assert pq.read_table(io.BytesIO(out.getvalue())).to_pylist() == MIXED.to_pylist()
    out = io.BytesIO()
    assert write(reader_of(MIXED), "arrow", out) == 3
    assert pa.ipc.open_stream(out.getvalue()).read_all().equals(MIXED)


def test_html_escapes_and_limits() -> None:
    table = pa.table({"<b>": ["<script>", None, "x" * 400]})
    text = "".join(html_table(table.schema, table.to_batches()))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    assert "NULL" in text
    assert text.count("<tr>") == 4
    assert "".join(html_table(table.schema, table.to_batches(), limit=1)).count("<tr>") == 2


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_takes_no_rows(form: str) -> None:
    out = io.BytesIO()
    assert write(reader_of(MIXED.slice(0, 0)), form, out) == 0


def test_streaming_reads_one_batch_at_a_time() -> None:
    """The writer asks for a batch only after it has written the one before."""
    out = io.BytesIO()
    sizes = []

    def batches():
        for i in range(5):
            sizes.append(out.tell())
            yield pa.record_batch({"i": [i]})

    write(pa.RecordBatchReader.from_batches(pa.schema({"i": pa.int64()}), batches()), "csv", out)
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[1] > sizes[0]
