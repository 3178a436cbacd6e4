"""The command line of `sqlml`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlml
    from sqlml.shell.session import Session

OK, SQL_ERROR, USAGE, CANCELLED = 0, 1, 2, 130
FORMATS = ("table", "csv", "json", "jsonl", "markdown", "html", "parquet", "arrow")
EPILOG = """\
examples:
  sqlml penguins.duckdb                           the interactive shell
  sqlml penguins.duckdb -c "SHOW MODELS"          one statement
  sqlml db.duckdb -f train.sql --continue         a script; go on after errors
  sqlml -c "SELECT * FROM t" --format csv db.duckdb > t.csv
  echo "SELECT 1" | sqlml                         statements from a pipe

exit codes: 0 done, 1 SQL error, 2 wrong usage, 130 cancelled
"""


class _Work(argparse.Action):
    """-c and -f in the order in which they were given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        kind = "file" if option_string in ("-f", "--file") else "text"
        namespace.work = [*(namespace.work or []), (kind, values)]


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    result = argparse.ArgumentParser(
        prog="sqlml",
        description="BigQuery ML on your own machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("database", nargs="?", default=":memory:", help="a DuckDB file (default: in memory)")
    result.add_argument("-c", "--command", action=_Work, dest="work", metavar="SQL", help="run SQL and end")
    result.add_argument("-f", "--file", action=_Work, dest="work", metavar="FILE", help="run a script and end")
    result.add_argument("--continue", action="store_true", dest="keep_going", help="go on after an SQL error")
    result.add_argument("--format", choices=FORMATS, default="table", help="how results are written")
    result.add_argument("--output", metavar="FILE", help="write all results to a file instead of stdout")
    result.add_argument("--read-only", action="store_true", help="open the database without writing to it")
    result.add_argument("--dialect", choices=("bigquery", "duckdb"), default="bigquery", help="dialect of queries")
    result.add_argument(
        "--fidelity",
        choices=("best", "bigquery"),
        default="best",
        help="converge, or stop where BigQuery stops",
    )
    result.add_argument(
        "--mount",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="make a file or folder readable as NAME",
    )
    result.add_argument("--timesfm", metavar="PATH", help="weights of TimesFM, for AI.FORECAST and its neighbours")
    result.add_argument("--timer", action="store_true", help="tell the seconds of each statement on stderr")
    result.add_argument("--version", action="store_true", help="print the version and end")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        given = parser().parse_args(arguments)
    except SystemExit as end:
        return USAGE if end.code else OK
    if given.version:
        from sqlml import __version__

        sys.stdout.write(f"sqlml {__version__}\n")
        return OK
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return CANCELLED
    except BrokenPipeError:
        from sqlml.shell.output import silence_stdout

        silence_stdout()
        return OK


def _run(given: argparse.Namespace) -> int:
    interactive = not given.work and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        texts = _texts(given.work) if not interactive else []
        mounts = dict(_mount(text) for text in given.mount)
        _check_readable(given)
    except ValueError as error:
        return _refuse(str(error))
    if interactive:
        from sqlml.shell import prompt

        if (sentence := prompt.missing()) is not None:
            return _refuse(sentence)
    session = _session(given, mounts, interactive)
    try:
        if interactive:
            from sqlml.shell.prompt import converse

            return converse(session)
        return _scripts(session, texts, given.keep_going)
    finally:
        session.opening.close()


def _scripts(session: Session, texts: Sequence[tuple[str | None, str]], keep_going: bool) -> int:
    """Run scripts one after another; the first exit code that is not 0."""
    import sqlml

    try:
        session.opening()
    except sqlml.Error as error:
        session.complain(str(error))
        return SQL_ERROR
    worst = OK
    for origin, text in texts:
        code = session.script(text, origin, keep_going)
        worst = worst or code
        if session.ended or code == CANCELLED or (code != OK and not keep_going):
            break
    return worst


def _session(given: argparse.Namespace, mounts: dict[str, str], interactive: bool) -> Session:
    """The sitting that the arguments describe; its database is opened when it is first needed."""
    from sqlml.shell.commands import run_command
    from sqlml.shell.opening import Opening
    from sqlml.shell.output import Output
    from sqlml.shell.session import Session

    def connect() -> sqlml.Connection:
        import sqlml

        return sqlml.connect(
            given.database,
            read_only=given.read_only,
            fidelity=given.fidelity,
            dialect=given.dialect,
            mounts=mounts or None,
            timesfm=given.timesfm,
        )

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    output = Output(
        mode=given.format,
        pager=interactive,
        color=sys.stdout.isatty() and color,
        path=given.output,
    )
    return Session(
        Opening(connect),
        output,
        timer=given.timer,
        color=color,
        interactive=interactive,
        database=given.database,
        command=run_command,
    )


def _texts(work: Sequence[tuple[str, str]] | None) -> list[tuple[str | None, str]]:
    """The scripts to run: (name told in errors, text). Raises ValueError with a sentence."""
    if not work:
        return [("stdin", _decode(sys.stdin.buffer.read(), "standard input"))]
    return [(value, read_script(value)) if kind == "file" else (None, value) for kind, value in work]


def read_script(path: str) -> str:
    """The text of a script. Raises ValueError with a sentence."""
    try:
        with open(path, "rb") as handle:
            data = handle.read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    return _decode(data, path)


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} must be UTF-8. Got byte 0x{data[error.start]:02x} in line {line}.") from None


def _check_readable(given: argparse.Namespace) -> None:
    """`--read-only` makes no database. Raises ValueError with a sentence."""
    if given.read_only and given.database == ":memory:":
        raise ValueError("--read-only must come with the file of a database.")
    if given.read_only and not os.path.exists(given.database):
        raise ValueError(f"{given.database} does not exist, and --read-only makes no database.")


def _mount(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ValueError(f"--mount must be NAME=PATH. Got {text}.")
    return name, path


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"sqlml: {sentence}\n")
    return USAGE
