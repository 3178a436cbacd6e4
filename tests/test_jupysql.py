"""JupySQL (`%load_ext sql`) over the SQLAlchemy dialect, in a real kernel.

JupySQL is not among the packages for development, because it brings a client that reports its use to a
server; this test runs where somebody has installed it, with the reports switched off.
"""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

from tests.test_magic import PENGUINS, execute

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jupysql_plugin") is None, reason="JupySQL is not installed")


def test_a_model_from_jupysql(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLOOMBER_STATS_ENABLED", "false")
    execute(
        "%load_ext sql",
        "%config SqlMagic.displaycon = False",
        f"%sql sqlml:///{tmp_path / 'file.duckdb'}",
        f"%sql CREATE TABLE penguins AS SELECT * FROM read_csv('{PENGUINS}')",
        "%%sql\nCREATE MODEL mass OPTIONS (model_type='linear_reg', input_label_cols=['body_mass_g']) AS\n"
        "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL",
        "%%sql found <<\nSELECT predicted_body_mass_g, species FROM ML.PREDICT(MODEL mass, TABLE penguins)",
        "frame = found.DataFrame()\n"
        "assert list(frame.columns) == ['predicted_body_mass_g', 'species'] and len(frame) == 344, frame\n"
        "assert frame.predicted_body_mass_g.between(2000, 7000).all()",
        "evaluated = %sql SELECT mean_absolute_error FROM ML.EVALUATE(MODEL mass)\n"
        "assert abs(evaluated.DataFrame().mean_absolute_error[0] - 227.012237) < 1e-3",
        "least = 5000",
        "heavy = %sql SELECT COUNT(*) AS n FROM penguins WHERE body_mass_g > {{least}}\nassert heavy[0].n == 61, heavy",
        "tables = %sqlcmd tables\nassert 'penguins' in str(tables)",
    )


def test_errors_are_ours(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLOOMBER_STATS_ENABLED", "false")
    cells = ("%load_ext sql", f"%sql sqlml:///{tmp_path / 'file.duckdb'}", "%sql SELECT * FROM ML.EVALUATE(MODEL nope)")
    said = "\n".join(str(o) for o in execute(*cells, fails=True))
    assert "the model main.nope does not exist." in said
    assert "^^^^" in said
