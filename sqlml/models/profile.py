"""How the values of a column were distributed: kept with every model, for checks against later data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """The distribution of one column (of the elements, for an array).

    Args:
        name: the path of the column.
        numeric: whether it holds numbers.
        count: values that are not NULL.
        low, high: the ends of the range of numbers; `counts` are the values in buckets of equal width.
        values, frequencies: categories, the most frequent first, and how often each occurs.
    """

    name: str
    numeric: bool
    count: int
    low: float | None = None
    high: float | None = None
    counts: tuple[int, ...] = ()
    values: tuple[str, ...] = ()
    frequencies: tuple[int, ...] = ()
