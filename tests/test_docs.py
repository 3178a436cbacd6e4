"""The generated pages say what the code says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import sqlml

ROOT = pathlib.Path(__file__).parents[1]


def test_pages_are_current() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr[-2000:]}\nrun: make docs"


def test_the_lines_of_the_readme_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "227.012" in done.stdout
    assert "Gentoo" in done.stdout


def test_readme_names_both_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text


def test_the_statements_of_the_readme_run(tmp_path: pathlib.Path) -> None:
    """The SQL at the top, then what SQLAlchemy's section and page do with a file."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (sql,) = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    _, from_readme = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (from_page,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "sqlalchemy.md").read_text(encoding="utf-8"), re.DOTALL
    )
    with sqlml.connect(str(tmp_path / "birds.duckdb")) as con:
        con.execute(f"CREATE TABLE penguins AS SELECT * FROM read_csv('{ROOT / 'sqlml' / 'data' / 'penguins.csv'}')")
        assert len(con.execute(sql).fetchall()) == 168
        con.execute(sql.split(";")[0].replace("penguin_mass", "mass"))
    command = [sys.executable, "-c", f"{from_readme}\nengine.dispose()\n{from_page}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['a', None]", "['mass', 'penguin_mass']"]


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
