"""The shell: a large result as CSV against DuckDB's own COPY, the first prompt, completion."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from typing import Any

from benchmarks import data
from benchmarks.harness import Benchmark, Median, Side, Target, Task

COLUMNS = "x0, x1, c8, c1000, y, yb"


def prepare(task: Task) -> None:
    """The database file."""
    data.database(task.folder, task.rows)


def setup_csv(task: Task) -> list[str]:
    """The command line."""
    import sqlml.connection
    import sqlml.shell  # noqa: F401

    target = task.folder / "shell.csv"
    database = str(data.database(task.folder, task.rows))
    query = f"SELECT {COLUMNS} FROM t"
    return [database, "--read-only", "-c", query, "--format", "csv", "--output", str(target)]


def run_csv(arguments: list[str]) -> None:
    """The command, from opening the file to the last line."""
    from sqlml.shell import main

    assert main(arguments) == 0


def size_of(arguments: list[str], result: None) -> dict[str, float]:
    """Size of the file, in megabytes."""
    return {"megabytes": os.path.getsize(arguments[-1]) / 1e6}


def setup_copy(task: Task) -> list[str]:
    """The same through DuckDB."""
    import duckdb  # noqa: F401

    return [str(data.database(task.folder, task.rows)), str(task.folder / "copy.csv")]


def run_copy(arguments: list[str]) -> None:
    """Open, COPY."""
    import duckdb

    with duckdb.connect(arguments[0], read_only=True) as connection:
        connection.execute(f"COPY (SELECT {COLUMNS} FROM t) TO '{arguments[1]}' (HEADER)")


def run_prompt(state: None) -> None:
    """Start the shell on a terminal and wait for its first prompt."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "SQLML_HISTORY": os.devnull}
    command = [sys.executable, "-m", "sqlml.shell"]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    seen = b""
    while b"sqlml>" not in seen:
        seen += os.read(leader, 4096)
    process.terminate()
    process.wait()


def setup_completion(task: Task) -> Any:
    """A thousand tables of twenty columns, read once."""
    import sqlml
    from sqlml.shell.complete import candidates
    from sqlml.shell.names import read_names, vocabulary

    con = sqlml.connect()
    columns = ", ".join(f"column_{j} INTEGER" for j in range(20))
    for i in range(1000):
        con.duckdb.execute(f"CREATE TABLE table_{i} ({columns})").fetchall()
    vocabulary()
    candidates("SELECT 1", 8, read_names(con), vocabulary())
    return con


def run_completion(con: Any) -> tuple[float, float]:
    """What a Tab costs right after a statement, in milliseconds: the candidates, and reading the names anew."""
    from sqlml.shell.complete import candidates
    from sqlml.shell.names import read_names, vocabulary

    text = "SELECT column_1 FROM table_99"
    start = time.perf_counter()
    names = read_names(con)
    read = time.perf_counter()
    assert candidates(text, len(text), names, vocabulary())
    return 1000 * (time.perf_counter() - read), 1000 * (read - start)


def ratio(medians: dict[str, Median]) -> float:
    """Time of the shell over COPY's."""
    return medians["CSV by the shell"].seconds / medians["CSV by COPY"].seconds


BENCHMARK = Benchmark(
    title="the shell: CSV of a table, first prompt, completion among 1,000 tables of 20 columns",
    rows=10_000_000,
    sides=lambda rows: (
        Side("CSV by the shell", setup_csv, run_csv, size_of),
        Side("CSV by COPY", setup_copy, run_copy, size_of),
        Side("first prompt", lambda task: None, run_prompt),
        Side(
            "completion",
            setup_completion,
            run_completion,
            lambda con, ms: {"candidates_ms": ms[0], "names_ms": ms[1]},
        ),
    ),
    prepare=prepare,
    targets=(
        Target("CSV within 1.5 times of COPY", ratio, lambda v: v <= 1.5),
        Target("first prompt under 0.5 s", lambda m: m["first prompt"].seconds, lambda v: v < 0.5),
        Target("completion under 50 ms", lambda m: m["completion"].quality["candidates_ms"], lambda v: v < 50),
    ),
)
