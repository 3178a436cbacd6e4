"""Text tables for terminals and pipes.

Widths come from the first `SAMPLE` rows, so that a result of any length can be written as it comes.
A table that is too wide for the terminal is folded: its columns are dealt out over several blocks,
one below the other, and a lonely row is turned on its side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sqlml.render.cells import NULL, cell
from sqlml.rows import rows_of

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE = 1_000
FOLDED_ROWS = 50
DIM, BOLD, RESET = "\x1b[2m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    """How a table looks.

    Args:
        width: columns of the terminal; None means that nothing is folded or cut (a pipe).
        color: whether NULL is dimmed and the header is bold (ANSI).
        longest: widest cell, when `width` is given.
        items: elements of an array that are shown, when `width` is given; otherwise all.
        limit: rows after which reading stops; None for all.
    """

    width: int | None = None
    color: bool = False
    longest: int = 60
    items: int = 6
    limit: int | None = None


def display_width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    try:
        from wcwidth import wcswidth
    except ImportError:
        return len(text)
    width = wcswidth(text)
    return int(width) if width >= 0 else len(text)


def cut(text: str, width: int) -> str:
    """The text, shortened to `width` columns with an ellipsis."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def pad(text: str, width: int, right: bool) -> str:
    """The text, filled with blanks to `width` columns."""
    blanks = " " * max(0, width - display_width(text))
    return blanks + text if right else text + blanks


class TableLines:
    """The lines of a table, once. Afterwards `rows` says how many were read, `cut` whether more are left."""

    def __init__(self, reader: pa.RecordBatchReader, style: Style) -> None:
        self.rows = 0
        self.cut = False
        self._reader = reader
        self._style = style

    def __iter__(self) -> Iterator[str]:
        rows = self._rows()
        first = list(islice(rows, SAMPLE))
        layout = Layout(self._reader.schema, first, self._style, whole=len(first) < SAMPLE)
        if layout.sideways:
            yield from layout.records(first)
            return
        if len(layout.blocks) <= 1:
            yield from layout.header(layout.blocks[0] if layout.blocks else [])
            for row in first:
                yield layout.line(row, layout.blocks[0])
            for row in rows:
                yield layout.line(row, layout.blocks[0])
            return
        yield from self._folded(layout, first, rows)

    def _folded(self, layout: Layout, first: list[list[str]], rows: Iterator[list[str]]) -> Iterator[str]:
        """Several blocks for every few rows."""
        start = 0
        chunk = first[:FOLDED_ROWS]
        rest = iter(first[FOLDED_ROWS:])
        while chunk or start == 0:
            for block in layout.blocks:
                if start or block is not layout.blocks[0]:
                    yield ""
                yield from layout.header(block)
                for row in chunk:
                    yield layout.line(row, block)
            start += len(chunk)
            chunk = list(islice(rest, FOLDED_ROWS))
            if len(chunk) < FOLDED_ROWS:
                chunk += islice(rows, FOLDED_ROWS - len(chunk))
            if not chunk:
                return

    def _rows(self) -> Iterator[list[str]]:
        """Rows as cells, up to the limit."""
        items = self._style.items if self._style.width is not None else 1 << 60
        limit = self._style.limit
        for batch in self._reader:
            for start in range(0, batch.num_rows, SAMPLE):
                part = batch.slice(start, SAMPLE)
                for values in rows_of(part):
                    if limit is not None and self.rows >= limit:
                        self.cut = True
                        return
                    self.rows += 1
                    yield [cell(value, items) for value in values]


class Layout:
    """Widths of the columns and their distribution over blocks."""

    def __init__(self, schema: pa.Schema, sample: Sequence[list[str]], style: Style, whole: bool) -> None:
        import pyarrow as pa

        self.style = style
        self.names = [name.translate({10: " ", 13: " "}) for name in schema.names]
        self.right = [
            pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type) for f in schema
        ]
        self.widths = [
            max([display_width(name), *(display_width(row[i]) for row in sample)]) for i, name in enumerate(self.names)
        ]
        self.sideways = False
        everything = list(range(len(self.names)))
        self.blocks = [everything]
        if style.width is None or self._needs(everything) <= style.width:
            return
        self.sideways = whole and len(sample) == 1
        self._shrink(style.width)
        self.blocks = self._deal(style.width)

    def _needs(self, block: Sequence[int]) -> int:
        return sum(self.widths[i] + 3 for i in block) - 1

    def _shrink(self, width: int) -> None:
        """Cut wide cells: not below what a name and a date need, and no further than fits."""
        for longest in (self.style.longest, 40, 30, 24):
            limit = min(longest, width - 2)
            self.widths = [min(w, max(limit, 1)) for w in self.widths]
            if self._needs(range(len(self.widths))) <= width:
                return

    def _deal(self, width: int) -> list[list[int]]:
        blocks: list[list[int]] = []
        for i in range(len(self.names)):
            if blocks and self._needs([*blocks[-1], i]) <= width:
                blocks[-1].append(i)
            else:
                blocks.append([i])
        return blocks

    def _text(self, text: str, i: int) -> str:
        fits = cut(text, self.widths[i]) if self.style.width is not None else text
        shown = pad(fits, self.widths[i], self.right[i])
        return f"{DIM}{shown}{RESET}" if self.style.color and text == NULL else shown

    def header(self, block: Sequence[int]) -> Iterator[str]:
        """The names and a rule."""
        names = [pad(cut(self.names[i], self.widths[i]), self.widths[i], self.right[i]) for i in block]
        bold = [f"{BOLD}{name}{RESET}" for name in names] if self.style.color else names
        yield " " + " │ ".join(bold)
        yield "─" + "─┼─".join("─" * self.widths[i] for i in block) + "─"

    def line(self, row: Sequence[str], block: Sequence[int]) -> str:
        """One row."""
        return (" " + " │ ".join(self._text(row[i], i) for i in block)).rstrip()

    def records(self, rows: Sequence[list[str]]) -> Iterator[str]:
        """A row on its side: one line per column."""
        wide = max(display_width(name) for name in self.names)
        room = max(10, (self.style.width or 80) - wide - 4)
        for row in rows:
            for name, text in zip(self.names, row, strict=True):
                label = pad(cut(name, wide), wide, right=False)
                shown = cut(text, room)
                if self.style.color:
                    label = f"{BOLD}{label}{RESET}"
                    shown = f"{DIM}{shown}{RESET}" if text == NULL else shown
                yield f" {label} │ {shown}"
