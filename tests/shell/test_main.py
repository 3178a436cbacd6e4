"""The command in pipes and scripts: data on stdout, everything else on stderr, exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

MANY = "UNNEST(GENERATE_ARRAY(1, 1000000))"
ROOT = pathlib.Path(__file__).parents[2]


def run(*arguments: str, stdin: bytes = b"", check: int | None = 0) -> subprocess.CompletedProcess[bytes]:
    """Run the command; `check` is the exit code that it must have."""
    command = [sys.executable, "-m", "sqlml.shell", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=ROOT, timeout=600, check=False)
    if check is not None:
        assert done.returncode == check, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


def test_stdout_is_data_alone() -> None:
    done = run("-c", "CREATE TABLE t AS SELECT 1 AS a, 'x,y' AS b; SELECT * FROM t;", "--format", "csv", "--timer")
    assert done.stdout == b'a,b\n1,"x,y"\n'
    assert b"Time:" in done.stderr


def test_formats() -> None:
    sql = "SELECT 1 AS a, NULL AS b, [1, 2] AS c, STRUCT('x' AS s) AS d"
    assert json.loads(run("-c", sql, "--format", "json").stdout) == [{"a": 1, "b": None, "c": [1, 2], "d": {"s": "x"}}]
    parquet = run("-c", sql, "--format", "parquet").stdout
    assert pq.read_table(io.BytesIO(parquet)).to_pylist() == [{"a": 1, "b": None, "c": [1, 2], "d": {"s": "x"}}]
    table = run("-c", sql).stdout.decode()
    assert "NULL" in table
    assert "{s: x}" in table
    assert "\x1b" not in table


def test_statements_from_a_pipe() -> None:
    assert run("--format", "csv", stdin=b"SELECT 1 AS a; -- one\nSELECT 2 AS b").stdout == b"a\n1\nb\n2\n"


def test_output_to_a_file(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out.csv"
    done = run("-c", "SELECT 5 AS five", "--format", "csv", "--output", str(target))
    assert done.stdout == b""
    assert target.read_text() == "five\n5\n"
    run("-c", "SELECT 5", "--output", str(tmp_path / "no" / "such"), check=2)


def test_several_results_in_one_file(tmp_path: pathlib.Path) -> None:
    """A file gets what a pipe would; a format that cannot hold two results says so and keeps the first."""
    target = tmp_path / "out.csv"
    target.write_text("old\n")
    statements = ("-c", "SELECT 5 AS five; SELECT 6 AS six", "-c", "SELECT 7 AS seven", "--format", "csv")
    assert run(*statements, "--output", str(target)).stdout == b""
    assert target.read_bytes() == run(*statements).stdout == b"five\n5\nsix\n6\nseven\n7\n"
    target = tmp_path / "out.parquet"
    both = "SELECT 5 AS five; SELECT 6 AS six"
    done = run("-c", both, "--format", "parquet", "--output", str(target), check=2)
    assert done.stderr.decode() == f"{target} must be the file of one result: parquet holds no second one.\n"
    assert pq.read_table(target).to_pylist() == [{"five": 5}]


def test_a_file_begins_anew_with_its_command(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "out.csv"
    lines = (".mode csv", f".output {target}", "SELECT 1 AS a;", "SELECT 2 AS a;", f".output {target}")
    script = "\n".join((*lines, "SELECT 3 AS a;", "SELECT 4 AS a;", ".output", "SELECT 5 AS a;"))
    assert run(stdin=script.encode()).stdout == b"a\n5\n"
    assert target.read_bytes() == b"a\n3\na\n4\n"


def test_train_and_predict_from_a_script(tmp_path: pathlib.Path) -> None:
    database = tmp_path / "birds.duckdb"
    penguins = ROOT / "sqlml" / "data" / "penguins.csv"
    script = tmp_path / "train.sql"
    script.write_text(
        f"CREATE TABLE penguins AS SELECT * FROM read_csv('{penguins}');\n"
        "CREATE MODEL mass OPTIONS (model_type = 'linear_reg', input_label_cols = ['body_mass_g']) AS\n"
        "SELECT * FROM penguins WHERE body_mass_g IS NOT NULL;\n"
    )
    run(str(database), "-f", str(script))
    done = run(str(database), "--read-only", "-c", "SELECT * FROM ML.EVALUATE(MODEL mass)", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(done.stdout.decode()))
    assert float(row["mean_absolute_error"]) == pytest.approx(227.012237, rel=1e-6)
    done = run(
        str(database),
        "--format",
        "csv",
        stdin=b".models\n.describe mass\n.plot SELECT * FROM ML.WEIGHTS(MODEL mass)",
    )
    text = done.stdout.decode()
    assert "LINEAR_REG" in text
    assert "ML.WEIGHTS" in text
    assert "culmen_length_mm" in text
    assert "█" in text
    assert b"Did you mean mass" in run(str(database), "-c", ".describe mas", check=2).stderr


def test_error_in_a_script(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("SELECT 1 AS a;\n\nSELECT\n  no_such_column\nFROM (SELECT 2 AS b);\nSELECT 3 AS c;\n")
    stopped = run("-f", str(script), "--format", "csv", check=1)
    assert stopped.stdout == b"a\n1\n"
    first = stopped.stderr.decode().splitlines()[0]
    assert str(script) in first
    assert "line 3" in first or "line 4" in first
    assert "\x1b" not in stopped.stderr.decode()
    gone_on = run("-f", str(script), "--format", "csv", "--continue", check=1)
    assert gone_on.stdout == b"a\n1\nc\n3\n"


def test_caret_points_into_the_script(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text(
        "SELECT 1 AS a;\nCREATE MODEL m\nOPTIONS (model_type = 'linear_reg', l2_regg = 1) AS SELECT 1 AS label;\n"
    )
    lines = run("-f", str(script), check=1).stderr.decode().splitlines()
    assert "line 3" in lines[0]
    excerpt = next(line for line in lines if line.startswith("  3 | "))
    caret = next(line for line in lines if line.strip().startswith("^"))
    assert excerpt[caret.index("^") :].startswith("l2_regg")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--no-such-flag",), 2, "unrecognized"),
        (("--format", "xml"), 2, "invalid choice"),
        (("-f", "no/such/file.sql"), 2, "cannot be read"),
        (("--mount", "oops", "-c", "SELECT 1"), 2, "NAME=PATH"),
        (("no/such/folder/x.duckdb", "-c", "SELECT 1"), 1, "x.duckdb"),
        (("-c", "SELEC 1"), 1, "SELEC"),
        (("-c", ".nonsense"), 2, "not a command"),
        (("-c", ".mode xml"), 2, "must be one of"),
        (("-c", ".schema nosuch"), 2, "there is no table nosuch"),
        (("-c", ".output no/such/folder/x; SELECT 1"), 2, "cannot be written: No such file"),
        (("--output", "tests", "-c", "SELECT 1"), 2, "Is a directory"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(*arguments, check=code)
    assert words in done.stderr.decode()
    assert done.stdout == b""


def test_not_a_database(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "text.duckdb"
    path.write_text("this is no database, however long it may be\n" * 500)
    done = run(str(path), "-c", "SELECT 1", check=1)
    assert len(done.stderr.decode().splitlines()) <= 3


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("form", ["table", "csv", "parquet"])
def test_a_full_disk_behind_stdout(form: str) -> None:
    command = [sys.executable, "-m", "sqlml.shell", "-c", "SELECT 1 AS a", "--format", form]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == 2
    assert b"standard output cannot be written: No space left on device." in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_read_only_makes_no_database(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "none.duckdb"
    assert b"does not exist, and --read-only" in run(str(path), "--read-only", "-c", "SELECT 1", check=2).stderr
    assert b"must come with the file" in run("--read-only", "-c", "SELECT 1", check=2).stderr
    assert not path.exists()


def test_not_utf8(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "latin.sql"
    script.write_bytes(b"SELECT 1;\nSELECT 'caf\xe9';\n")
    assert b"UTF-8" in run("-f", str(script), check=2).stderr
    done = run(stdin=script.read_bytes(), check=2)
    assert b"line 2" in done.stderr


def test_database_locked_by_another_process(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "busy.duckdb"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb, time; c = duckdb.connect({str(path)!r}); print(1, flush=True); time.sleep(600)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        done = run(str(path), "-c", "SELECT 1", check=1)
        assert "locked" in done.stderr.decode()
    finally:
        holder.kill()
        holder.wait()


def test_broken_pipe() -> None:
    """A reader that has seen enough ends the command quietly, long before the last row."""
    sql = f"SELECT x FROM {MANY} AS a, {MANY} AS x"
    command = f"{shlex.quote(sys.executable)} -m sqlml.shell -c {shlex.quote(sql)} --format csv | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, timeout=600, check=False)
    assert done.stdout.splitlines()[0] == b"x"
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == b""


def test_interrupt_has_its_own_exit_code() -> None:
    sql = f"SELECT 1 AS ready; SELECT COUNT(*) AS n FROM {MANY} AS a, {MANY} AS b WHERE MOD(a * b, 7) = 3"
    # A runner in the background of a script leaves SIGINT ignored, and programs keep to that.
    hearing = ["env", "--default-signal=INT"]
    command = [*hearing, sys.executable, "-m", "sqlml.shell", "--format", "csv", "-c", sql]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(1)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in err


def test_a_large_result_does_not_fill_memory() -> None:
    """Thirty million rows (480 MB as columns) pass through a process that stays small."""
    code = (
        "import resource, sys; from sqlml.shell import main;"
        "code = main(['-c', 'SELECT x, x * 2 AS y FROM UNNEST(GENERATE_ARRAY(1, 3000)) AS a,"
        " UNNEST(GENERATE_ARRAY(1, 10000)) AS x', '--format', 'csv', '--output', '/dev/null']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=600, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < 900


def test_mount() -> None:
    name = "bigquery-public-data.ml_datasets.penguins"
    path = ROOT / "sqlml" / "data" / "penguins.csv"
    done = run("--mount", f"{name}={path}", "-c", f"SELECT COUNT(*) AS n FROM `{name}`", "--format", "csv")
    assert done.stdout == b"n\n344\n"


def test_procedural_script() -> None:
    script = "DECLARE x INT64 DEFAULT 5;\nWHILE x < 8 DO SET x = x + 1; END WHILE;\nSELECT x;"
    assert run("--format", "csv", stdin=script.encode()).stdout == b"x\n8\n"
    block = "SELECT 1 AS a; BEGIN DECLARE y INT64; SET y = 4; SELECT y; END; SELECT 2 AS b;"
    assert run("--format", "csv", "-c", block).stdout == b"a\n1\ny\n4\nb\n2\n"


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith(b"sqlml ")
    assert b"exit codes" in run("--help").stdout
