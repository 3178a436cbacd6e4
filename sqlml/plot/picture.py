"""Pictures as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one name. x is seconds since 1970 when the panel shows time; None in y is a gap.

    `low` and `high` are the ends of an interval around y, or empty.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    title: str
    series: tuple[Series, ...]
    x_label: str = ""
    y_label: str = ""
    time: bool = False
    diagonal: bool = False


@dataclass(frozen=True, slots=True)
class Lines:
    """One or more panels below each other, with the same x axis."""

    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Bars:
    """A value for each name, in the order in which they are drawn, top down."""

    title: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of numbers shown by shade; None is empty. `scale`: shades compare "all" cells or a "row"."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    row_label: str = ""
    column_label: str = ""
    scale: str = "all"


Picture = Lines | Bars | Grid
