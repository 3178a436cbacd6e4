"""The shell driven through a pseudo-terminal, as a person would."""

from __future__ import annotations

import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pexpect
import pytest
from pexpect import fdpexpect

PROMPT = "sqlml>"
# Seconds: for a machine that does other things as well.
WAIT = 120
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Terminal:
    """A running shell in a window of a given size."""

    def __init__(self, folder: pathlib.Path, *arguments: str, columns: int = 120, rows: int = 40, **env: str):
        environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "SQLML_HISTORY": str(folder / "history"),
            "SQLML_PAGER": "cat",
            "PROMPT_TOOLKIT_NO_CPR": "1",
            **env,
        }
        for name in {"NO_COLOR", "COLUMNS", "LINES"} - set(env):
            environment.pop(name, None)
        # `setsid --ctty` and Popen instead of `pexpect.spawn`: no Python code runs in a fork of a worker with threads.
        screen, keyboard = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "sqlml.shell", *arguments],
            env=environment,
            cwd=str(pathlib.Path(__file__).parents[2]),
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
        )
        os.close(keyboard)
        self.child = fdpexpect.fdspawn(screen, timeout=WAIT, encoding="utf-8")
        try:
            self.child.expect_exact(PROMPT)
        except pexpect.EOF:
            status = self.process.wait(WAIT)
            pytest.fail(f"the shell ended with {status} before its first prompt and printed {self.child.before!r}")

    def run(self, text: str, until: str) -> str:
        """Type a text and Enter; what was printed up to `until` (a pattern), without escapes."""
        self.type(text + "\r")
        self.child.expect(until)
        seen = self.child.before + self.child.after
        return _ESCAPE.sub("", seen)

    def type(self, text: str) -> None:
        """Press keys, at a person's pace: what is typed before the prompt is drawn goes to the terminal's own editor."""
        time.sleep(0.1)
        self.child.send(text)

    def wait(self, pattern: str) -> str:
        self.child.expect(pattern)
        return _ESCAPE.sub("", self.child.before + self.child.after)

    def leave(self) -> int:
        for _ in range(20):
            self.type("\x04")
            if self.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1) == 0:
                break
        self.child.close()
        return self.process.wait(WAIT)

    def end(self) -> None:
        """Close the window: the shell gets SIGHUP, as from a terminal that is closed."""
        self.child.close()
        try:
            self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def terminal(tmp_path: pathlib.Path) -> Iterator[Terminal]:
    it = Terminal(tmp_path)
    yield it
    it.end()


def test_a_query_over_several_lines(terminal: Terminal) -> None:
    terminal.type("SELECT 40 + 2 AS answer,\r")
    terminal.type("  'two words' AS text\r")
    seen = terminal.run(";", r"\(1 row, [\d.]+ s\)")
    assert "42" in seen
    assert "two words" in seen
    assert terminal.leave() == 0


def test_commands(terminal: Terminal) -> None:
    terminal.run("CREATE TABLE birds (name STRING, weight FLOAT64);", r"\(done")
    assert "birds" in terminal.run(".tables", r"table\b")
    seen = terminal.run(".schema birds", "DOUBLE")
    assert "VARCHAR" in seen
    assert ".describe" in terminal.run(".help", "Ctrl-D leaves")
    terminal.run(".mode csv", PROMPT)
    terminal.run("INSERT INTO birds VALUES ('auk', 0.5), (NULL, 2);", r"\(")
    assert "auk,0.5" in terminal.run("SELECT * FROM birds ORDER BY weight;", r"\(2 rows")
    assert "Did you mean .tables" in terminal.run(".table", r"tables\?")
    assert terminal.run(".exit", "exit") is not None
    terminal.child.expect(pexpect.EOF)


def test_completion(terminal: Terminal) -> None:
    terminal.run("CREATE TABLE penguin_weights (a_long_column INT64);", r"\(done")
    terminal.type("SELECT COUNT(*) AS n FROM penguin_w\t")
    terminal.wait("eights")
    assert re.search(r"\b0\b", terminal.run(";", r"\(1 row"))
    terminal.type("SELECT a_lo\t\x1b[D")
    terminal.type("\x03")
    terminal.wait(PROMPT)
    terminal.type("CREATE MODEL m OPTIONS(model_type='linear_reg', optim\t")
    terminal.wait("ize_strategy")


def test_history_lives_on(tmp_path: pathlib.Path) -> None:
    first = Terminal(tmp_path)
    first.run("SELECT 'remember me' AS x;", r"\(1 row")
    assert first.leave() == 0
    second = Terminal(tmp_path)
    second.type("\x1b[A")
    second.wait("remember me")
    assert "remember me" in second.run("", r"\(1 row")
    assert second.leave() == 0
    assert (tmp_path / "history").stat().st_mode & 0o077 == 0


def test_errors_leave_the_shell_open(terminal: Terminal) -> None:
    seen = terminal.run("SELECT * FROM no_such_table;", r"\^")
    assert "no_such_table" in seen
    assert "Traceback" not in seen
    assert "7" in terminal.run("SELECT 3 + 4 AS x;", r"\(1 row")


def test_ctrl_c_stops_a_query(terminal: Terminal) -> None:
    terminal.type(
        "SELECT SUM(a.x * b.x) AS s FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS a_x, "
        "(SELECT x FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS x) AS a, "
        "(SELECT x FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS x) AS b;\r"
    )
    time.sleep(1.0)
    terminal.type("\x03")
    terminal.wait("cancelled")  # the join would take minutes
    assert "12" in terminal.run("SELECT 5 + 7 AS x;", r"\(1 row")


def test_ctrl_c_stops_a_training(terminal: Terminal) -> None:
    terminal.run(
        "CREATE TABLE t AS SELECT RAND() AS a, RAND() AS b, IF(RAND() > 0.5, 'x', 'y') AS label "
        "FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS i;",
        r"\(",
    )
    terminal.type(
        "CREATE MODEL m OPTIONS(model_type='logistic_reg', max_iterations=1000000, early_stop=FALSE, "
        "learn_rate_strategy='CONSTANT', learn_rate=0.0001) AS SELECT * FROM t;\r"
    )
    terminal.wait(r"iteration \d")
    terminal.type("\x03")
    terminal.wait("cancelled")
    terminal.wait(PROMPT)
    assert "0 rows" in terminal.run("SHOW MODELS;", r"\(0 rows")


def test_ctrl_c_right_after_a_statement(terminal: Terminal) -> None:
    for _ in range(5):
        terminal.run("SELECT 1 AS x;", r"\(1 row")
        terminal.child.send("\x03")
        terminal.wait(PROMPT)
    assert "9" in terminal.run("SELECT 4 + 5 AS x;", r"\(1 row")


def test_ctrl_c_at_the_prompt_drops_the_line(terminal: Terminal) -> None:
    terminal.type("SELECT nonsense")
    terminal.type("\x03")
    terminal.wait(PROMPT)
    assert "8" in terminal.run("SELECT 8 AS x;", r"\(1 row")


@pytest.mark.parametrize("columns", [120, 60])
def test_tables_fit_the_window(tmp_path: pathlib.Path, columns: int) -> None:
    terminal = Terminal(tmp_path, columns=columns)
    wide = ", ".join(f"{i} AS a_column_called_{i}" for i in range(12))
    terminal.type(".timer off\r")
    terminal.run(f"CREATE TABLE wide AS SELECT {wide}, x FROM UNNEST([1, 2]) AS x;", r"\(")
    terminal.type("SELECT * FROM wide;\r")
    seen = terminal.wait(r"\(2 rows")
    table = seen[seen.index("a_column_called_0") :]
    lines = [line for line in table.split("\n") if "│" in line or "─" in line]
    assert lines
    too_long = [line for line in lines if len(line.rstrip()) > columns]
    assert not too_long
    assert all(f"a_column_called_{i}" in table for i in range(12))
    assert terminal.leave() == 0


def test_a_pager_may_be_left_early(tmp_path: pathlib.Path) -> None:
    """`head` stands for a user who quits the pager: the query stops and the shell goes on."""
    terminal = Terminal(tmp_path, rows=20, SQLML_PAGER="head -n 5")
    terminal.type("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS a, UNNEST(GENERATE_ARRAY(1, 10000)) AS x;\r")
    terminal.wait(r"─\r\n *1\r\n *2\r\n *3\r\n")
    assert "21" in terminal.run("SELECT 3 * 7 AS x;", r"\(1 row")
    assert terminal.leave() == 0


def test_plot(terminal: Terminal) -> None:
    seen = terminal.run(".plot SELECT x, x * x AS y FROM UNNEST(GENERATE_ARRAY(1, 30)) AS x", "└")
    assert any("\u2801" <= c <= "\u28ff" for c in seen)


def test_no_color(tmp_path: pathlib.Path) -> None:
    plain = Terminal(tmp_path, NO_COLOR="1")
    plain.type("SELECT NULL AS nothing;\r")
    plain.child.expect(r"\(1 row")
    assert not re.search(r"\x1b\[(?:1|2|3[0-7])m", plain.child.before)
    colored = Terminal(tmp_path)
    colored.type("SELECT NULL AS nothing;\r")
    colored.child.expect(r"\(1 row")
    assert "\x1b[2mNULL" in colored.child.before


def test_the_prompt_is_drawn_before_the_engine_is_loaded() -> None:
    """What takes longest to import comes after the first drawing, while the user reads."""
    code = """
import sys
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from sqlml.shell import opening, prompt
from sqlml.shell.main import _session, parser

slow = {"duckdb", "sqlglot", "lark", "numpy", "pyarrow", "pandas", "sklearn", "torch", "xgboost"}
opening.Opening.start = lambda self, failed: print("drawn", sorted(slow & set(sys.modules)))
with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
    keys.send_text("\\x04")
    session = _session(parser().parse_args([]), {}, interactive=True)
    sys.exit(prompt.converse(session))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "drawn []" in done.stdout
