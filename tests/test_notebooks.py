"""The notebooks run from top to bottom."""

from __future__ import annotations

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_they_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["flights", "forecast", "penguins", "segments"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: pathlib.Path) -> None:
    notebook = nbformat.read(path, 4)
    client = NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "<svg" in output.get("data", {}).get("text/html", "")
        or {"image/png", "image/svg+xml"} & set(output.get("data", {}))
    ]
    assert len(pictures) >= 3
