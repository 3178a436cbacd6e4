"""The magics, in a real kernel."""

from __future__ import annotations

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

PENGUINS = pathlib.Path(__file__).parents[1] / "sqlml" / "data" / "penguins.csv"
CREATE = (
    "%%sqlml\nCREATE MODEL mass OPTIONS (model_type='linear_reg', input_label_cols=['body_mass_g']) AS "
    "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL"
)
LOAD = f"%sqlml CREATE TABLE penguins AS SELECT * FROM read_csv('{PENGUINS}')"


def execute(*cells: str, fails: bool = False) -> list[nbformat.NotebookNode]:
    """Run cells in one kernel; the outputs of the last one."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(text) for text in ("%load_ext sqlml", *cells)]
    client = NotebookClient(notebook, timeout=600, startup_timeout=600, kernel_name="python3")
    if fails:
        with pytest.raises(CellExecutionError):
            client.execute()
    else:
        client.execute()
    return list(notebook.cells[-1].outputs)


def text_of(outputs: list[nbformat.NotebookNode], kind: str = "text/plain") -> str:
    return "\n".join(o.data[kind] for o in outputs if "data" in o and kind in o.data)


def test_a_story() -> None:
    """Variables, parameters, several statements, tables, DataFrames, pictures: one kernel for all."""
    outputs = execute(
        LOAD,
        CREATE,
        "%%sqlml df <<\nSELECT * FROM ML.EVALUATE(MODEL mass)",
        "assert abs(df.mean_absolute_error[0] - 227.012237) < 1e-3, df",
        "place = 'Biscoe'",
        "%%sqlml counted\nSELECT COUNT(*) AS n FROM penguins WHERE island = @place",
        "assert counted.n[0] == 168, counted",
        "%%sqlml << again --params {'place': 'Dream'}\nSELECT COUNT(*) AS n FROM penguins WHERE island = @place",
        "assert again.n[0] == 124, again",
        "x = %sqlml SELECT 40 + 2 AS answer\nassert x.df().answer[0] == 42\nassert len(x) == 1",
        "w = %sqlml SELECT * FROM ML.WEIGHTS(MODEL mass)\nassert '<svg' in w._repr_html_()",
        "assert '<svg' in w.plot()._repr_svg_()",
        '%%bigquery frame --project somewhere --params {"least": 5000}\n'
        "SELECT species FROM penguins WHERE body_mass_g > @least",
        "import pandas; assert isinstance(frame, pandas.DataFrame) and len(frame) > 10",
        "%load_ext google.cloud.bigquery",
        "query = 'SELECT 7 AS seven'",
        "%%bigquery held --project=somewhere --use_bqstorage_api --no_query_cache --verbose --max_results 1\n$query",
        "assert held.seven[0] == 7 and len(held) == 1, held",
        "%%sqlml\nSELECT 1 AS first;\nSELECT '<b>' AS second",
    )
    html = text_of(outputs, "text/html")
    assert "first" in html
    assert "&lt;b&gt;" in html
    assert "2 rows" not in html


def test_an_error_is_a_sentence() -> None:
    outputs = execute(
        "%%sqlml\nSELECT 1 AS a;\nCREATE MODEL m OPTIONS (model_type='linear_reg', l2_regg=1) AS SELECT 1 AS x",
        fails=True,
    )
    (error,) = [o for o in outputs if o.output_type == "error"]
    assert not any("Traceback" in line or "sqlml/" in line for line in error.traceback)
    assert "L2_REGG" in error.evalue
    assert "  2 | " in error.evalue
    assert "^" in error.evalue


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%sqlml --nonsense\nSELECT 1", "unrecognized"),
        ("%%sqlml a b\nSELECT 1", "one variable name"),
        ("%%sqlml\nSELECT @nowhere AS x", "@nowhere must be given"),
        ("%%sqlml --params oops\nSELECT @x AS x", "dictionary"),
        ("%%bigquery --use_legacy_sql\nSELECT 1", "legacy SQL"),
        ("%%bigquery\n$nothing", "$nothing must be a variable"),
        ("%%bigquery --job_timeout 5\nSELECT 1", "unrecognized arguments: --job_timeout"),
    ],
)
@pytest.mark.slow
def test_wrong_usage(cell: str, words: str) -> None:
    (error,) = [o for o in execute(cell, fails=True) if o.output_type == "error"]
    assert words in error.evalue
    assert len(error.traceback) < 5


@pytest.mark.slow
def test_dry_run_changes_nothing() -> None:
    execute(
        LOAD,
        CREATE.replace("%%sqlml", "%%sqlml --dry_run"),
        "%%sqlml models <<\nSHOW MODELS",
        "assert len(models) == 0",
    )


@pytest.mark.slow
def test_a_connection_of_the_notebook(tmp_path: pathlib.Path) -> None:
    execute(
        "import sqlml\ncon = sqlml.connect()\ncon.execute('CREATE TABLE mine AS SELECT 7 AS x')",
        "%%sqlml got --connection con\nSELECT x FROM mine",
        "assert got.x[0] == 7",
        f"%%sqlml --database {tmp_path / 'file.duckdb'}\nCREATE TABLE kept AS SELECT 1 AS one",
        "%%sqlml again\nSELECT one FROM kept",
        "assert again.one[0] == 1",
    )
