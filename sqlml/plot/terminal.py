"""Pictures with Unicode: braille dots for lines, blocks for bars, shades for grids."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence

from sqlml.plot.picture import Bars, Grid, Panel, Picture, Series
from sqlml.render.cells import number
from sqlml.render.table import cut, pad

COLORS = ("\x1b[34m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[36m", "\x1b[31m")
RESET = "\x1b[0m"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHADES = " ░▒▓█"


def draw(picture: Picture, width: int = 80, height: int = 20, color: bool = False) -> list[str]:
    """The lines of a picture, none wider than `width`; `height` is that of one panel of lines."""
    if isinstance(picture, Bars):
        return _bars(picture, width, color)
    if isinstance(picture, Grid):
        return _grid(picture, width)
    several = len(picture.panels) > 1
    lines: list[str] = []
    for i, panel in enumerate(picture.panels):
        room = height if i == 0 else max(5, height // 3)
        lines += _panel(panel, width, room, color, axis=i == len(picture.panels) - 1 or not several)
    return lines


class Canvas:
    """Dots of 2 x 4 per character; a cell has the colour of the series that touched it last."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._cells = [[0] * columns for _ in range(rows)]
        self._owner = [[-1] * columns for _ in range(rows)]

    def dot(self, x: int, y: int, owner: int) -> None:
        """A dot, counted from the top left corner."""
        if 0 <= x < 2 * self.columns and 0 <= y < 4 * self.rows:
            self._cells[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._owner[y // 4][x // 2] = owner

    def line(self, a: tuple[int, int], b: tuple[int, int], owner: int) -> None:
        """A straight line of dots."""
        steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
        for i in range(steps + 1):
            x = a[0] + (b[0] - a[0]) * i / steps
            y = a[1] + (b[1] - a[1]) * i / steps
            self.dot(round(x), round(y), owner)

    def lines(self, color: bool) -> list[str]:
        """The rows as text."""
        result = []
        for cells, owners in zip(self._cells, self._owner, strict=True):
            text = ""
            for bits, owner in zip(cells, owners, strict=True):
                char = chr(0x2800 + bits) if bits else " "
                text += f"{COLORS[owner % len(COLORS)]}{char}{RESET}" if color and bits and owner >= 0 else char
            result.append(text)
        return result


def _bounds(panel: Panel) -> tuple[float, float, float, float]:
    xs = [x for s in panel.series for x in s.x if math.isfinite(x)]
    ys = [y for s in panel.series for y in (*s.y, *s.low, *s.high) if y is not None]
    low_x, high_x = (min(xs), max(xs)) if xs else (0.0, 1.0)
    low_y, high_y = (min(ys), max(ys)) if ys else (0.0, 1.0)
    if low_x == high_x:
        low_x, high_x = low_x - 0.5, high_x + 0.5
    if low_y == high_y:
        low_y, high_y = low_y - 0.5, high_y + 0.5
    return low_x, high_x, low_y, high_y


def _panel(panel: Panel, width: int, height: int, color: bool, axis: bool) -> list[str]:
    low_x, high_x, low_y, high_y = _bounds(panel)
    labels = [_label(v, high_y - low_y) for v in (high_y, (low_y + high_y) / 2, low_y)]
    margin = min(max(map(len, labels)), 12)
    canvas = Canvas(max(10, width - margin - 3), max(3, height - 3))
    right, bottom = 2 * canvas.columns - 1, 4 * canvas.rows - 1

    def place(x: float, y: float) -> tuple[int, int]:
        return (
            round((x - low_x) / (high_x - low_x) * right),
            bottom - round((y - low_y) / (high_y - low_y) * bottom),
        )

    if panel.diagonal:
        for i in range(0, right + 1, 6):
            canvas.dot(i, bottom - round(i / right * bottom), -1)
    for owner, series in enumerate(panel.series):
        _trace(canvas, series, place, owner)
    rows = canvas.lines(color)
    at = {0: labels[0], len(rows) // 2: labels[1], len(rows) - 1: labels[2]}
    lines = [" " * (margin + 2) + _heading(panel, canvas.columns, color)]
    lines += [f"{pad(cut(at.get(i, ''), margin), margin, True)} │{row}".rstrip() for i, row in enumerate(rows)]
    lines.append(f"{' ' * margin} └{'─' * canvas.columns}")
    if axis:
        left, end = _tick(low_x, panel), _tick(high_x, panel)
        middle = panel.x_label[: max(0, canvas.columns - len(left) - len(end) - 2)]
        gap = canvas.columns - len(left) - len(end)
        lines.append(f"{' ' * (margin + 2)}{left}{middle.center(gap)}{end}")
    return lines


def _label(value: float, span: float) -> str:
    """A number of the axis, no finer than the axis can show."""
    return "0" if abs(value) < span * 1e-3 else f"{value:.5g}"


def _heading(panel: Panel, room: int, color: bool) -> str:
    """The title, and the names of the series when there are several."""
    if len(panel.series) < 2:
        return cut(panel.title, room)
    plain = cut(f"{panel.title}: {', '.join(s.name for s in panel.series)}", room)
    if not color or plain.endswith("…"):
        return plain
    names = [f"{COLORS[i % len(COLORS)]}{s.name}{RESET}" for i, s in enumerate(panel.series)]
    return f"{panel.title}: {', '.join(names)}"


def _trace(canvas: Canvas, series: Series, place: Callable[[float, float], tuple[int, int]], owner: int) -> None:
    for bound in (series.low, series.high):
        for i, (x, y) in enumerate(zip(series.x, bound, strict=False)):
            if y is not None and (i % 2 == 0 or len(bound) < canvas.columns):
                dot = place(x, y)
                canvas.dot(dot[0], dot[1], owner)
    before: tuple[int, int] | None = None
    for x, y in zip(series.x, series.y, strict=True):
        if y is None or not math.isfinite(x):
            before = None
            continue
        here = place(x, y)
        if series.dots:
            for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
                canvas.dot(here[0] + dx, here[1] + dy, owner)
        elif before is not None:
            canvas.line(before, here, owner)
        else:
            canvas.dot(here[0], here[1], owner)
        before = here


def _tick(value: float, panel: Panel) -> str:
    if not panel.time:
        return number(value) if value != int(value) else str(int(value))
    moment = datetime.datetime.fromtimestamp(value, datetime.UTC)
    midnight = moment.hour == moment.minute == 0
    return moment.strftime("%Y-%m-%d") if midnight else moment.strftime("%Y-%m-%d %H:%M")


def _bars(picture: Bars, width: int, color: bool) -> list[str]:
    whole = all(value == int(value) for value in picture.values)
    texts = [f"{value:.0f}" if whole else number(value) for value in picture.values]
    margin = min(max((len(name) for name in picture.names), default=0), max(8, width // 3))
    tail = max((len(text) for text in texts), default=0)
    negative = any(value < 0 for value in picture.values)
    room = max(8, width - margin - tail - 4)
    half = room // 2 if negative else 0
    largest = max((abs(value) for value in picture.values), default=0.0) or 1.0
    lines = [cut(f"{' ' * (margin + 1)}{picture.title}", width)]
    for name, value, text in zip(picture.names, picture.values, texts, strict=True):
        size = abs(value) / largest * (room - half if not negative else half)
        if value < 0:
            bar = pad("█" * round(size) or "▏", half, True)
        else:
            bar = " " * half + "█" * int(size) + _EIGHTHS[int((size - int(size)) * 8)].rstrip()
        if color:
            bar = f"{COLORS[5 if value < 0 else 0]}{bar}{RESET}"
        lines.append(f"{pad(cut(name, margin), margin, True)} {bar} {text}")
    return lines


def _grid(picture: Grid, width: int) -> list[str]:
    names = [picture.row_label, *picture.rows]
    margin = min(max(map(len, names)), max(8, width // 3))
    texts = [["" if v is None else number(v).removesuffix(".0") for v in row] for row in picture.values]
    largest = max((len(text) for row in texts for text in row), default=1)
    share = (width - margin - 2) // max(1, len(picture.columns)) - 1
    size = max(3, min(share, max(largest + 2, *(len(c) for c in picture.columns))))
    fits = max(1, (width - margin - 2) // (size + 1))
    title = f"{picture.title} ({picture.row_label} down, {picture.column_label} across)"
    lines = [cut(f"{' ' * min(margin + 2, max(0, width - len(title)))}{title}", width)]
    head = " ".join(pad(cut(name, size), size, True) for name in picture.columns[:fits])
    lines.append(f"{' ' * margin}  {head}")
    for name, row, shown in zip(picture.rows, picture.values, texts, strict=True):
        shades = _shades(row, picture)
        cells = []
        for shade, text in list(zip(shades, shown, strict=True))[:fits]:
            body = cut(text, size)
            cells.append(shade * (size - len(body) - 1) + (" " if len(body) < size else "") + body)
        lines.append(f"{pad(cut(name, margin), margin, True)}  {' '.join(cells)}")
    if fits < len(picture.columns):
        lines.append(cut(f"({len(picture.columns) - fits} more columns need a wider window)", width))
    return lines


def _shades(row: Sequence[float | None], picture: Grid) -> list[str]:
    """A shade for each cell: its size within the row or within the whole grid."""
    group = row if picture.scale == "row" else [v for r in picture.values for v in r]
    sizes = [abs(v) for v in group if v is not None]
    top = max(sizes, default=0.0) or 1.0
    return [" " if v is None else _SHADES[min(4, int(abs(v) / top * 4.999))] for v in row]
