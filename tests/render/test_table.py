"""Text tables, whole and folded."""

from __future__ import annotations

import pyarrow as pa

from sqlml.render import Style
from sqlml.render.table import TableLines, cut, display_width


def lines_of(table: pa.Table, **style) -> list[str]:
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    return list(TableLines(reader, Style(**style)))


def test_plain() -> None:
    table = pa.table({"name": ["Adelie", None], "mass": [3750.0, 12.5]})
    assert lines_of(table) == [
        " name   │   mass",
        "────────┼────────",
        " Adelie │ 3750.0",
        " NULL   │   12.5",
    ]


def test_no_rows_shows_the_header() -> None:
    assert lines_of(pa.table({"a": pa.array([], pa.int64())}), width=20) == [" a", "───"]


def test_wide_characters_line_up() -> None:
    lines = lines_of(pa.table({"s": ["日本", "ab"], "n": [1, 2]}))
    assert len({display_width(line) for line in lines if not line.startswith("─")}) == 1


def test_folded_to_the_width() -> None:
    table = pa.table({f"column_{i}": [float(i)] * 60 for i in range(12)})
    for width in (120, 60, 25):
        lines = lines_of(table, width=width)
        assert max(display_width(line) for line in lines) <= width
        text = "\n".join(lines)
        assert all(f"column_{i}" in text for i in range(12))
        assert sum(line.count("11.0") for line in lines) == 60


def test_lonely_row_lies_on_its_side() -> None:
    lines = lines_of(pa.table({f"a_rather_long_name_{i}": [i] for i in range(6)}), width=60)
    assert lines[0] == " a_rather_long_name_0 │ 0"
    assert len(lines) == 6


def test_long_cells_are_cut_only_on_a_terminal() -> None:
    table = pa.table({"s": ["x" * 500], "l": [list(range(30))]})
    assert "x" * 500 in "\n".join(lines_of(table))
    assert "… 24 more" in "\n".join(lines_of(table, width=200))
    assert max(map(len, lines_of(table, width=80))) <= 80


def test_limit() -> None:
    reader_of = pa.table({"i": list(range(5000))})
    lines = TableLines(reader_of.to_reader(max_chunksize=512), Style(limit=10))
    assert len(list(lines)) == 12
    assert lines.rows == 10
    assert lines.cut
    exact = TableLines(pa.table({"i": [1, 2]}).to_reader(), Style(limit=2))
    assert len(list(exact)) == 4
    assert not exact.cut


def test_a_long_result_keeps_every_row() -> None:
    lines = lines_of(pa.table({"i": list(range(3000))}))
    assert [line.strip() for line in lines[2:]] == [str(i) for i in range(3000)]


def test_color() -> None:
    lines = lines_of(pa.table({"a": [None, "NULL x"]}), color=True)
    assert lines[0].startswith(" \x1b[1m")
    assert "\x1b[2mNULL" in lines[2]


def test_cut() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
    assert display_width(cut("日本語日本語", 5)) <= 5
