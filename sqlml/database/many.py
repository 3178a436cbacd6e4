"""Many rows for one `INSERT ... VALUES ($a, $b)`: by hundreds in a statement, for DuckDB plans each statement."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_INSERT = re.compile(r"(INSERT INTO [^'$()]+(?:\([^'$()]+\))? ?VALUES )\(([^']*)\)")
_NAME = re.compile(r"\$(\w+)")
#: Values of one of these types give the same column alone and beside others of the type.
_ALIKE = (bool, int, float, str, bytes, datetime.date)
_ROWS, _CELLS = 500, 4000


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT of one row of parameters and expressions over them: its text up to the row, and the row."""

    head: str
    row: str
    names: frozenset[str]


def one_row(sql: str) -> Insert | None:
    """The parts of an INSERT of one row, None for any other statement and where there are strings."""
    match = _INSERT.fullmatch(sql)
    if match is None:
        return None
    depth = 0
    for c in match[2]:
        depth += (c == "(") - (c == ")")
        if depth < 0:  # several rows, or a clause after them
            return None
    return Insert(match[1], match[2], frozenset(_NAME.findall(match[2])))


def alike(insert: Insert, rows: Sequence[Mapping[str, object]], at: int) -> int:
    """How many rows from `at` on can go together: each parameter has one type in them, or is NULL."""
    kinds: dict[str, type] = {}
    most = max(1, min(_ROWS, _CELLS // max(1, len(rows[at]))))
    for i in range(at, min(len(rows), at + most)):
        if not insert.names <= rows[i].keys():  # DuckDB says which one is missing
            return max(i - at, 1)
        for name in insert.names:
            value = rows[i][name]
            kind = type(value)
            if value is not None and (kind not in _ALIKE or kinds.setdefault(name, kind) is not kind):
                return max(i - at, 1)
    return min(len(rows) - at, most)


def together(insert: Insert, rows: Sequence[Mapping[str, object]]) -> tuple[str, list[object]]:
    """The statement for several rows and its parameters."""
    places = {name: i + 1 for i, name in enumerate(sorted(insert.names))}
    pieces = _NAME.split(insert.row)  # text, name, text, name, ... text
    parts = []
    for i in range(len(rows)):
        shift = i * len(places)
        row = (p if j % 2 == 0 else f"${places[p] + shift}" for j, p in enumerate(pieces))
        parts.append(f"({''.join(row)})")
    return insert.head + ", ".join(parts), [row[n] for row in rows for n in places]
