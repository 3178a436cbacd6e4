"""The dot commands of the shell: one function each, found through `COMMANDS`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlml.errors import nearest
from sqlml.schema import quote_literal
from sqlml.shell.names import Names, read_models, vocabulary
from sqlml.shell.output import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from sqlml.shell.session import Session


@dataclass(frozen=True, slots=True)
class Command:
    """A dot command: what follows it, what it does, and its function."""

    arguments: str
    doc: str
    run: Callable[[Session, str], int | None]
    words: tuple[str, ...] = ()


def run_command(session: Session, line: str) -> int | None:
    """Run `.name arguments`; an exit code, or None when all went well. Raises `UsageError`."""
    head, _, rest = line.partition(" ")
    name = head.lower()
    command = COMMANDS.get(name)
    if command is None:
        near = nearest(name, COMMANDS)
        hint = f" Did you mean {near}?" if near else " .help lists the commands."
        raise UsageError(f"{head} is not a command.{hint}")
    return command.run(session, rest.strip().rstrip(";").strip())


def complete_command(text: str, names: Names) -> Iterator[tuple[str, int]]:
    """(word, characters that it replaces) for a line that begins with a dot."""
    head, blank, rest = text.partition(" ")
    if not blank:
        for name in COMMANDS:
            if name.startswith(head.lower()):
                yield name, len(head)
        return
    command = COMMANDS.get(head.lower())
    if command is None:
        return
    words = {"MODEL": tuple(names.models), "[TABLE]": tuple(names.tables.values())}.get(
        command.arguments, command.words
    )
    for word in words:
        if word.lower().startswith(rest.lower()):
            yield word, len(rest)


def _help(session: Session, rest: str) -> None:
    shown = {name: c for name, c in COMMANDS.items() if not rest or name.lstrip(".") == rest.lstrip(".")}
    width = max(len(f"{name} {c.arguments}") for name, c in COMMANDS.items())
    for name, command in shown.items():
        session.tell(f"{f'{name} {command.arguments}'.ljust(width)}  {command.doc}")
    if not rest:
        session.tell("Statements end with ';' and may span lines. Ctrl-C stops a statement, Ctrl-D leaves.")


def _show(session: Session, sql: str) -> None:
    session.statement(sql)


def _models(session: Session, rest: str) -> None:
    pattern = f" LIKE {quote_literal(rest)}" if rest else ""
    _show(session, f"SHOW MODELS{pattern}")


def _any(session: Session, sql: str) -> bool:
    """Whether a query about DuckDB's own catalog has rows."""
    cursor = session.connection.duckdb.cursor()
    try:
        return cursor.execute(sql).fetchone() is not None
    finally:
        cursor.close()


def _catalog(session: Session, sql: str) -> None:
    """Show the answer of a query about DuckDB's own catalog."""
    cursor = session.connection.duckdb.cursor()
    try:
        reader: pa.RecordBatchReader = cursor.sql(sql).to_arrow_reader(10_000)
        session.output.show(reader)
    finally:
        cursor.close()


def _tables(session: Session, rest: str) -> None:
    like = f" AND table_name LIKE {quote_literal(rest)}" if rest else ""
    _catalog(
        session,
        "SELECT table_schema AS dataset, table_name AS name, lower(table_type) AS kind"
        f" FROM information_schema.tables WHERE table_schema <> 'sqlml'{like} ORDER BY ALL",
    )


def _schema(session: Session, rest: str) -> None:
    name = rest.replace("`", "").split(".")[-1]
    like = f" AND lower(table_name) = lower({quote_literal(name)})" if name else ""
    if name and not _any(session, f"SELECT 1 FROM duckdb_columns() WHERE NOT internal{like}"):
        raise UsageError(f"there is no table {rest}; .tables lists them.")
    _catalog(
        session,
        'SELECT schema_name || \'.\' || table_name AS "table", column_name AS "column", data_type AS type'
        " FROM duckdb_columns() WHERE NOT internal AND schema_name <> 'sqlml'"
        f"{like} ORDER BY 1, column_index",
    )


def _describe(session: Session, rest: str) -> None:
    """What a model is, what it answers, and what it was trained on."""
    if not rest:
        raise UsageError(".describe needs the name of a model; .models lists them.")
    name = rest.replace("`", "").split(".")
    where = f"lower(model_name) = lower({quote_literal(name[-1])})"
    if len(name) > 1:
        where += f" AND lower(model_schema) = lower({quote_literal(name[-2])})"
    found = session.fetch(f"SELECT * FROM INFORMATION_SCHEMA.MODELS WHERE {where}").table()
    facts = found.to_pylist() if found is not None else []
    if not facts:
        near = nearest(name[-1], [key.split(".")[-1] for key in read_models(session.connection)])
        raise UsageError(f"there is no model {rest}." + (f" Did you mean {near}?" if near else ""))
    kind = str(facts[0]["model_type"])
    answers = [f for f, kinds in vocabulary().answers.items() if kind.upper() in kinds]
    lines = [f"{key}: {value}" for key, value in facts[0].items() if value is not None and key != "training_query"]
    lines += ["functions: " + ", ".join(answers), "training query:", str(facts[0].get("training_query"))]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
    if "ML.FEATURE_INFO" in answers:
        session.statement(f"SELECT * FROM ML.FEATURE_INFO(MODEL {rest})")


def _mode(session: Session, rest: str) -> None:
    from sqlml.render import FORMATS

    if not rest:
        session.tell(f"mode: {session.output.mode} ({', '.join(FORMATS)})")
    elif rest.lower() not in FORMATS:
        raise UsageError(f".mode must be one of {', '.join(FORMATS)}. Got {rest}.")
    else:
        session.output.mode = rest.lower()


def _timer(session: Session, rest: str) -> None:
    session.timer = _switch(".timer", rest, session.timer)
    session.tell(f"timer: {'on' if session.timer else 'off'}")


def _pager(session: Session, rest: str) -> None:
    session.output.pager = _switch(".pager", rest, session.output.pager)
    session.tell(f"pager: {'on' if session.output.pager else 'off'}")


def _switch(name: str, rest: str, now: bool) -> bool:
    if not rest:
        return not now
    if rest.lower() not in ("on", "off"):
        raise UsageError(f"{name} must be on or off. Got {rest}.")
    return rest.lower() == "on"


def _rows(session: Session, rest: str) -> None:
    if rest.lower() in ("all", ""):
        session.output.rows = None if not rest else 1 << 60
    elif rest.isdigit():
        session.output.rows = int(rest)
    else:
        raise UsageError(f".rows must be a number or all. Got {rest}.")


def _output(session: Session, rest: str) -> None:
    session.output.to(rest or None)


def _read(session: Session, rest: str) -> int:
    from sqlml.shell.main import read_script

    if not rest:
        raise UsageError(".read needs the name of a file.")
    path = rest.strip("'\"")
    try:
        text = read_script(path)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if session.reading >= 16:
        raise UsageError(f"{path} reads itself.")
    session.reading += 1
    try:
        return session.script(text, path)
    finally:
        session.reading -= 1


def _plot(session: Session, rest: str) -> None:
    """Draw the last result, or that of a query."""
    from sqlml.plot import draw, picture_of

    kept = session.last
    if rest:
        kept = session.fetch(rest)
    if kept is None:
        raise UsageError(".plot draws the last result: run a query first, or write .plot SELECT ...")
    table = kept.table()
    if table is None:
        raise UsageError("the last result has too many rows for a picture.")
    picture = picture_of(table)
    if picture is None:
        raise UsageError("no picture fits this result.")
    size = shutil.get_terminal_size()
    color = session.output.color
    for line in draw(picture, width=size.columns, height=min(24, max(10, size.lines - 6)), color=color):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _exit(session: Session, rest: str) -> None:
    session.ended = True


COMMANDS: dict[str, Command] = {
    ".help": Command("[COMMAND]", "this list", _help),
    ".models": Command("[PATTERN]", "the models", _models),
    ".tables": Command("[PATTERN]", "the tables and views", _tables),
    ".schema": Command("[TABLE]", "columns and their types", _schema),
    ".describe": Command("MODEL", "what a model is, answers and was trained on", _describe),
    ".read": Command("FILE", "run a script", _read),
    ".mode": Command(
        "[FORMAT]",
        "how results are written: table, csv, json, jsonl, markdown, html, parquet, arrow",
        _mode,
        ("table", "csv", "json", "jsonl", "markdown", "html", "parquet", "arrow"),
    ),
    ".output": Command("[FILE]", "write what follows to a file; without a name, to the screen again", _output),
    ".rows": Command("[N|all]", "rows of a table that are shown without a pager", _rows, ("all",)),
    ".pager": Command("[on|off]", "show long tables in a pager", _pager, ("on", "off")),
    ".timer": Command("[on|off]", "tell the seconds of each statement", _timer, ("on", "off")),
    ".plot": Command("[SQL]", "a picture of the last result, or of a query's", _plot),
    ".exit": Command("", "leave", _exit),
    ".quit": Command("", "leave", _exit),
}
