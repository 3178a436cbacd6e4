"""IPython and Jupyter: `%load_ext sqlml`, then `%%sqlml`, `%sqlml` and BigQuery's own `%%bigquery`.

    %%sqlml [name | name << | << name] [--params {...}] [--dry_run] [--database FILE] [--connection VARIABLE]
    SELECT ...

A cell may hold several statements; each result is shown, and the last one is the cell's value.
`@name` in the SQL takes the notebook's variable of that name unless `--params` gives it. Errors are
the sentence and the caret, without a stack trace, and they stop the notebook as any error does.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from sqlml import errors
from sqlml.console.live import LiveLine, describe
from sqlml.console.script import split, tokens
from sqlml.console.supervise import supervise
from sqlml.render import Style, html_table
from sqlml.render.table import TableLines

if TYPE_CHECKING:
    import pyarrow as pa

    import sqlml
    from sqlml.plot import Picture
    from sqlml.progress import Progress

SHOWN_ROWS = 100
BATCH_ROWS = 100_000
_SERVICE_EXTENSIONS = ("google.cloud.bigquery", "bigquery_magics")


class CellError(Exception):
    """What a cell raises: IPython shows the message and nothing else."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Result:
    """The rows of a statement in a notebook: a table, and the picture that belongs to its ML function."""

    def __init__(self, table: pa.Table, seconds: float = 0.0, pictures: bool = True) -> None:
        self._table = table
        self._seconds = seconds
        self._pictures = pictures

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        return self._table

    def df(self) -> Any:
        """The rows as a pandas DataFrame."""
        return self._table.to_pandas()

    def plot(self) -> Drawing:
        """The picture of the rows. Raises `CellError` when none fits."""
        from sqlml.plot import picture_of

        picture = picture_of(self._table)
        if picture is None:
            raise CellError("no picture fits this result.")
        return Drawing(picture)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def _note(self) -> str:
        rows = self._table.num_rows
        shown = f"{SHOWN_ROWS} of " if rows > SHOWN_ROWS else ""
        return f"{shown}{rows:,} row{'' if rows == 1 else 's'}, {self._seconds:.2f} s"

    def _repr_html_(self) -> str:
        from sqlml.plot import known_picture, to_svg

        table = "".join(html_table(self._table.schema, self._table.to_batches(), SHOWN_ROWS))
        text = f'{table}\n<p style="color: #888; font-size: smaller">{self._note()}</p>'
        picture = known_picture(self._table) if self._pictures else None
        if picture is None:
            return text
        try:
            svg = to_svg(picture)
        except errors.NotSupportedError:  # matplotlib is an extra: without it the table is the whole answer
            return text
        return text + svg[svg.index("<svg") :]

    def __repr__(self) -> str:
        lines = TableLines(self._table.to_reader(), Style(width=120, limit=SHOWN_ROWS))
        return "\n".join([*lines, f"({self._note()})"])


class Drawing:
    """A picture in a notebook."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def _repr_svg_(self) -> str:
        from sqlml.plot import to_svg

        return to_svg(self.picture)

    def __repr__(self) -> str:
        from sqlml.plot import draw

        return "\n".join(draw(self.picture, width=100))


# ---------------------------------------------------------------- arguments


class _Arguments(argparse.ArgumentParser):
    """Wrong usage is an error of the cell, not the end of the kernel."""

    def error(self, message: str) -> NoReturn:
        raise CellError(f"{self.prog}: {message}.")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise CellError((message or self.format_help()).rstrip())


def _common(name: str, doc: str) -> _Arguments:
    parser = _Arguments(prog=name, description=doc, add_help=False)
    parser.add_argument("--params", help="a dictionary, or $variable: values of @names")
    parser.add_argument("--dry_run", action="store_true", help="plan the statements and do not run them")
    return parser


def _sqlml_arguments() -> _Arguments:
    parser = _common("%%sqlml", "Run SQL.")
    parser.add_argument("--database", help="open this DuckDB file for this and the following cells")
    parser.add_argument("--connection", help="use the connection in this variable")
    parser.add_argument("--no_plot", action="store_true", help="no pictures of results")
    parser.add_argument("words", nargs="*")
    return parser


def _bigquery_arguments() -> _Arguments:
    """BigQuery's options; those about the service (project, location, cache ...) mean nothing here."""
    parser = _common("%%bigquery", "Run a BigQuery cell here.")
    parser.add_argument("--max_results", type=int)
    parser.add_argument("--destination_table", help="dataset.table that gets the rows")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--use_legacy_sql", action="store_true")
    for flag in ("--no_query_cache", "--use_bqstorage_api", "--use_rest_api"):
        parser.add_argument(flag, action="store_true")
    for name in ("--project", "--location", "--bigquery_api_endpoint", "--bqstorage_api_endpoint"):
        parser.add_argument(name)
    for name in ("--maximum_bytes_billed", "--progress_bar_type", "--connection_property"):
        parser.add_argument(name)
    parser.add_argument("words", nargs="*")
    return parser


def _split_line(line: str) -> list[str]:
    """Words of the magic's line. `--params {...}` may hold blanks and quotes, so it is cut out first."""
    match = re.search(r"--params(?:\s+|=)(\{.*\}|\[.*\])", line)
    if match is None:
        return shlex.split(line)
    return [*shlex.split(line[: match.start()]), "--params", match[1], *shlex.split(line[match.end() :])]


def _target(words: list[str]) -> str | None:
    """`name`, `name <<`, `<< name`: the variable that gets the result."""
    names = [word for word in " ".join(words).replace("<<", " ").split() if word]
    if len(names) > 1 or any(not name.isidentifier() for name in names):
        raise CellError(f"one variable name must be given for the result. Got {' '.join(words)}.")
    return names[0] if names else None


def _named_query(cell: str, variables: dict[str, Any]) -> str:
    """The text of a cell; `$name` alone is the text in that variable."""
    name = cell.strip().removeprefix("$")
    if not cell.strip().startswith("$") or not name.isidentifier():
        return cell
    found = variables.get(name)
    if not isinstance(found, str):
        raise CellError(f"${name} must be a variable that holds the text of a query.")
    return found


def _parameters(sql: str, given: str | None, variables: dict[str, Any]) -> dict[str, Any] | list[Any] | None:
    """Values of the `@names` in a statement: from `--params`, else the notebook's variables."""
    values: Any = {}
    if given is not None:
        text = repr(variables[given[1:]]) if given.startswith("$") and given[1:] in variables else given
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise CellError(f"--params must be a dictionary of constants. Got {given}.") from None
        if not isinstance(values, dict):
            raise CellError(f"--params must be a dictionary. Got {given}.")
    parts = tokens(sql)
    found: dict[str, Any] = {}
    lower = {str(key).lower(): value for key, value in values.items()}
    for mark, name in pairwise(parts):
        if mark.text != "@" or name.kind != "word":
            continue
        if name.text.lower() in lower:
            found[name.text] = lower[name.text.lower()]
        elif name.text in variables:
            found[name.text] = _plain(variables[name.text])
        else:
            raise CellError(f"@{name.text} must be given by --params or be a variable of the notebook.")
    return found or None


def _plain(value: Any) -> Any:
    """numpy and pandas scalars as Python's own."""
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    if hasattr(value, "tolist") and not isinstance(value, str | bytes):
        return value.tolist()
    return value


# ---------------------------------------------------------------- progress


class _Notebook:
    """Draws a training's progress in the cell and takes it away at the end."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._last = 0.0
        self._cancelled = False

    def __call__(self, event: Progress) -> bool:
        now = time.monotonic()
        if now - self._last >= 0.25:
            self._last = now
            from IPython.display import Pretty, display

            shown = Pretty(describe(event, 30))
            if self._handle is None:
                self._handle = display(shown, display_id=True)
            else:
                self._handle.update(shown)
        return not self._cancelled

    def start(self) -> None:
        self._cancelled, self._last = False, time.monotonic()

    def cancel(self) -> None:
        self._cancelled = True

    def clear(self) -> None:
        if self._handle is not None:
            from IPython.display import Pretty

            self._handle.update(Pretty(""))
            self._handle = None


# ---------------------------------------------------------------- the magics


class Magic:
    """The magics of one IPython session and the connection that they share."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._connection: sqlml.Connection | None = None
        in_notebook = type(shell).__name__ == "ZMQInteractiveShell"
        self._progress: Any = _Notebook() if in_notebook else LiveLine(sys.stderr, 80)

    def connection(self, database: str | None = None, variable: str | None = None) -> sqlml.Connection:
        """The shared connection: the one given now, else the one given before, else a new one in memory."""
        import sqlml

        if variable is not None:
            given = self.shell.user_ns.get(variable)
            if not isinstance(given, sqlml.Connection):
                raise CellError(f"--connection must name a variable that holds a connection. Got {variable}.")
            self._use(given)
        elif database is not None or self._connection is None:
            try:
                self._use(sqlml.connect(database or ":memory:"))
            except sqlml.Error as error:
                raise CellError(str(error)) from None
        assert self._connection is not None
        return self._connection

    def _use(self, connection: sqlml.Connection) -> None:
        if connection is not self._connection:
            connection.listen(self._progress)
            self._connection = connection

    def query(self, line: str, cell: str | None = None) -> Result | None:
        """`%%sqlml` and `%sqlml`."""
        parser = _sqlml_arguments()
        if cell is None:
            options, sql = _line_magic(parser, line)
        else:
            options, sql = parser.parse_args(_split_line(line)), cell
        target = _target(options.words) if cell is not None else None
        connection = self.connection(options.database, options.connection)
        if not sql.strip():
            return None
        result = self._script(connection, sql, options.params, options.dry_run, not options.no_plot)
        if target is not None:
            self.shell.user_ns[target] = result.df() if result is not None else None
            return None
        return result

    def bigquery(self, line: str, cell: str) -> Any:
        """`%%bigquery`: a DataFrame, shown or put into the variable."""
        options = _bigquery_arguments().parse_args(_split_line(line))
        cell = _named_query(cell, self.shell.user_ns)
        if options.use_legacy_sql:
            raise CellError("legacy SQL is not supported. Write the query in GoogleSQL.")
        connection = self.connection()
        target = _target(options.words)
        result = self._script(connection, cell, options.params, options.dry_run, False, shows=False)
        if result is None:
            return None
        if options.destination_table:
            self._store(connection, result, options.destination_table)
        frame = result.df()
        frame = frame.head(options.max_results) if options.max_results is not None else frame
        if target is None:
            return frame
        self.shell.user_ns[target] = frame
        return None

    def _store(self, connection: sqlml.Connection, result: Result, name: str) -> None:
        connection.duckdb.register("__sqlml_cell", result.arrow())
        try:
            path = "`" + name.replace("`", "").replace(".", "`.`") + "`"
            connection.execute(f"CREATE OR REPLACE TABLE {path} AS SELECT * FROM __sqlml_cell").close()
        except errors.Error as error:
            raise CellError(str(error)) from None
        finally:
            connection.duckdb.unregister("__sqlml_cell")

    def _script(
        self,
        connection: sqlml.Connection,
        text: str,
        params: str | None,
        dry_run: bool,
        pictures: bool,
        shows: bool = True,
    ) -> Result | None:
        """Run the statements of a cell; show every result but the last, which is returned."""
        pieces, rest = split(text)
        last: Result | None = None
        for piece in [*pieces, *([rest] if rest is not None else [])]:
            if last is not None and shows:
                self._display(last)
            values = _parameters(piece.text, params, self.shell.user_ns)
            try:
                last = self._statement(connection, piece.text, values, dry_run, pictures)
            except errors.Error as error:
                if error.span is not None and error.source == piece.text:
                    error.span = errors.Span(error.span.start + piece.start, error.span.end + piece.start)
                    error.source = text
                raise CellError(str(error)) from None
        return last

    def _statement(
        self, connection: sqlml.Connection, sql: str, values: Any, dry_run: bool, pictures: bool
    ) -> Result | None:
        start = time.perf_counter()
        self._progress.start()

        def work() -> pa.Table | None:
            cursor = connection.execute(f"EXPLAIN {sql}" if dry_run else sql, values)
            for _, warning in cursor.messages:
                sys.stderr.write(f"Warning: {warning}\n")
            return cursor.reader(BATCH_ROWS).read_all() if cursor.description is not None else None

        def stop() -> bool:
            self._progress.cancel()
            return connection.interrupt()

        try:
            table = supervise(work, stop)
        finally:
            self._progress.clear()
        return None if table is None else Result(table, time.perf_counter() - start, pictures)

    @staticmethod
    def _display(result: Result) -> None:
        from IPython.display import display

        display(result)


def _line_magic(parser: _Arguments, line: str) -> tuple[argparse.Namespace, str]:
    """Options in front of the SQL of a one-line statement."""
    words: list[str] = []
    rest = line.strip()
    while match := re.match(r"(--(?:database|connection|params))(?:\s+|=)(\{.*?\}|\S+)\s*|(--\w+)\s*", rest):
        words += [match[1], match[2]] if match[1] else [match[3]]
        rest = rest[match.end() :]
    return parser.parse_args(words), rest


def load_ipython_extension(shell: Any) -> None:
    """Register the magics: what `%load_ext sqlml` does."""
    magic = Magic(shell)
    shell.register_magic_function(magic.query, "line_cell", "sqlml")
    shell.register_magic_function(magic.bigquery, "cell", "bigquery")
    # A notebook's own `%load_ext google.cloud.bigquery` must not need that package, nor send the cells there.
    shell.extension_manager.loaded.update(_SERVICE_EXTENSIONS)
