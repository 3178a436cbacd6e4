"""Pictures with matplotlib (an extra): SVG text or PNG bytes."""

from __future__ import annotations

import datetime
import io
from typing import Any

from sqlml.errors import NotSupportedError
from sqlml.plot.picture import Bars, Grid, Lines, Panel, Picture

#: Characters of a column's name that fit under its square.
LONG_NAME = 10


def to_svg(picture: Picture) -> str:
    """The picture as SVG. Raises `NotSupportedError` when matplotlib is not installed."""
    out = io.StringIO()
    figure = _figure(picture)
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "sqlml"}):  # the same picture gives the same text
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def to_png(picture: Picture, dpi: int = 110) -> bytes:
    """The picture as PNG. Raises `NotSupportedError` when matplotlib is not installed."""
    out = io.BytesIO()
    _figure(picture).savefig(out, format="png", dpi=dpi)
    return out.getvalue()


def _figure(picture: Picture) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotSupportedError(
            "pictures need matplotlib.", hint="install it with: pip install 'sqlml[plot]'"
        ) from None
    if isinstance(picture, Lines):
        count = len(picture.panels)
        figure = Figure(figsize=(7.5, 3.6 if count == 1 else 1.5 + 1.3 * count), layout="constrained")
        axes = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
        for panel, axis in zip(picture.panels, axes, strict=True):
            _panel(panel, axis)
        return figure
    if isinstance(picture, Bars):
        figure = Figure(figsize=(7.5, 1.1 + 0.28 * len(picture.names)), layout="constrained")
        _bars(picture, figure.subplots())
        return figure
    rows, columns = len(picture.rows), len(picture.columns)
    longest = max(map(len, picture.columns), default=0)
    below = 0.04 * longest if longest > LONG_NAME else 0.0
    across = 0.07 * max(map(len, picture.rows), default=0)
    figure = Figure(figsize=(1.2 + across + 0.9 * columns, 1.4 + 0.4 * rows + below), layout="constrained")
    _grid(picture, figure.subplots())
    return figure


def _panel(panel: Panel, axis: Any) -> None:
    def times(values: tuple[float, ...]) -> list[Any]:
        if not panel.time:
            return list(values)
        return [datetime.datetime.fromtimestamp(v, datetime.UTC) for v in values]

    def gaps(values: tuple[float | None, ...]) -> list[float]:
        return [float("nan") if v is None else v for v in values]

    if panel.diagonal:
        axis.plot([0, 1], [0, 1], color="#bbbbbb", linestyle="--", linewidth=1)
    for series in panel.series:
        x = times(series.x)
        if series.low and series.high:
            axis.fill_between(x, gaps(series.low), gaps(series.high), alpha=0.2, linewidth=0)
        if series.dots:
            axis.plot(x, gaps(series.y), "o", color="#cc3311", markersize=4, label=series.name)
        else:
            axis.plot(x, gaps(series.y), linewidth=1.4, label=series.name)
    if panel.time:
        from matplotlib.dates import ConciseDateFormatter

        axis.xaxis.set_major_formatter(ConciseDateFormatter(axis.xaxis.get_major_locator()))
    axis.set_title(panel.title, fontsize=10, loc="left")
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    axis.grid(alpha=0.25)
    if len(panel.series) > 1:
        axis.legend(fontsize=8, frameon=False)


def _bars(picture: Bars, axis: Any) -> None:
    colors = ["#cc3311" if value < 0 else "#0077bb" for value in picture.values]
    axis.barh(range(len(picture.names)), picture.values, color=colors)
    axis.set_yticks(range(len(picture.names)), picture.names, fontsize=8)
    axis.invert_yaxis()
    axis.set_title(picture.title, fontsize=10, loc="left")
    axis.set_xlabel(picture.label)
    axis.grid(alpha=0.25, axis="x")


def _grid(picture: Grid, axis: Any) -> None:
    shades = []
    for row in picture.values:
        group = row if picture.scale == "row" else [v for r in picture.values for v in r]
        top = max((abs(v) for v in group if v is not None), default=0.0) or 1.0
        shades.append([0.0 if v is None else abs(v) / top for v in row])
    axis.imshow(shades, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
    for i, row in enumerate(picture.values):
        for j, value in enumerate(row):
            if value is not None:
                axis.text(j, i, f"{value:.5g}", ha="center", va="center", fontsize=8)
    slanted = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    long = any(len(name) > LONG_NAME for name in picture.columns)
    axis.set_xticks(range(len(picture.columns)), picture.columns, fontsize=8, **(slanted if long else {}))
    axis.set_yticks(range(len(picture.rows)), picture.rows, fontsize=8)
    axis.set_xlabel(picture.column_label)
    axis.set_ylabel(picture.row_label)
    axis.set_title(picture.title, fontsize=10, loc="left")
