"""Golden scripts: statements, `---`, what they print. `pytest --update` rewrites them; the diff is read.

A statement prints its column names and rows, or the error as the user sees it. Numbers are shown with six
significant digits.
"""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import pytest

import sqlml

HERE = pathlib.Path(__file__).parent / "scripts"
SCRIPTS = sorted(HERE.rglob("*.sql"))


def shown(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime.datetime):
        return "<time>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(shown(v) for v in value) + "]"
    return str(value)


def run(connection: sqlml.Connection, statement: str) -> str:
    try:
        cursor = connection.execute(statement)
        lines = [f"Warning: {w}" for _, w in cursor.messages]
        if cursor.description is not None:
            lines.append(" | ".join(d[0] for d in cursor.description))
            lines.extend(" | ".join(shown(v) for v in row) for row in cursor.fetchall())
        return "\n".join(lines) or "ok"
    except sqlml.Error as error:
        return str(error)


def blocks(text: str) -> list[tuple[str, str]]:
    """(statement, expected output) pairs, separated by blank lines."""
    found = []
    for block in text.strip().split("\n\n\n"):
        statement, _, expected = block.partition("\n---")
        found.append((statement, expected.strip("\n")))
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_script(path: pathlib.Path, penguins: sqlml.Connection, request: pytest.FixtureRequest) -> None:
    pairs = blocks(path.read_text(encoding="utf-8"))
    actual = [(statement, run(penguins, statement)) for statement, _ in pairs]
    if request.config.getoption("--update"):
        path.write_text("\n\n\n".join(f"{s}\n---\n{o}" for s, o in actual) + "\n", encoding="utf-8")
        return
    for (statement, expected), (_, output) in zip(pairs, actual, strict=True):
        assert output == expected, f"after:\n{statement}"


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 4
    assert sum(len(blocks(p.read_text(encoding="utf-8"))) for p in SCRIPTS) >= 80
