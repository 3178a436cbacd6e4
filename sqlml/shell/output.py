"""Where results go: stdout, a file, or a pager when a table is longer than the screen."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, BinaryIO

from sqlml.render import BINARY_FORMATS, Style, write
from sqlml.render.table import TableLines

if TYPE_CHECKING:
    import pyarrow as pa

HEAD_ROWS = 200


class ReaderGone(Exception):
    """Whoever read our output has closed it: stop quietly."""


class UsageError(Exception):
    """What was asked for does not make sense: one sentence, exit code 2 from a command line."""


@dataclass(slots=True)
class Output:
    """The settings of `.mode`, `.rows`, `.pager`, `.output`, and the stream that they apply to.

    A file gets what a pipe would get: the first result replaces what was in it, later ones come after.
    """

    mode: str = "table"
    rows: int | None = None
    pager: bool = False
    color: bool = False
    path: str | None = None
    _begun: bool = False

    def to(self, path: str | None) -> None:
        """Send results into a file from its beginning, or to the screen again. Raises `UsageError`."""
        if path is not None and (code := _unwritable(path)):
            raise UsageError(f"{path} cannot be written: {os.strerror(code)}.")
        self.path, self._begun = path, False

    def show(self, reader: pa.RecordBatchReader) -> tuple[int, bool]:
        """Write a result; returns the number of rows written, and whether more were left."""
        try:
            if self.path is not None:
                return self._to_file(reader), False
            if self.mode != "table":
                return self._to_stdout(reader), False
            return self._table(reader)
        except BrokenPipeError:
            silence_stdout()
            raise ReaderGone from None
        except OSError as error:  # a full disk behind `> file`
            silence_stdout()
            raise UsageError(f"standard output cannot be written: {error.strerror or error}.") from None

    def _to_file(self, reader: pa.RecordBatchReader) -> int:
        assert self.path is not None
        if self._begun and self.mode in BINARY_FORMATS:
            raise UsageError(f"{self.path} must be the file of one result: {self.mode} holds no second one.")
        try:
            with open(self.path, "ab" if self._begun else "wb") as handle:
                self._begun = True
                return write(reader, self.mode, handle)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}.") from None

    def _to_stdout(self, reader: pa.RecordBatchReader) -> int:
        if self.mode in BINARY_FORMATS and sys.stdout.isatty():
            raise UsageError(f"{self.mode} is binary: send it into a file or a pipe.")
        out = sys.stdout.buffer
        count = write(reader, self.mode, out)
        out.flush()
        return count

    def _table(self, reader: pa.RecordBatchReader) -> tuple[int, bool]:
        if not sys.stdout.isatty():
            lines = TableLines(reader, Style(limit=self.rows))
            _send(iter(lines), sys.stdout.buffer)
            return lines.rows, lines.cut
        size = shutil.get_terminal_size()
        command = pager_command() if self.pager else None
        limit = self.rows if self.rows is not None else None if command else HEAD_ROWS
        lines = TableLines(reader, Style(width=size.columns, color=self.color, limit=limit))
        stream = iter(lines)
        screen = list(islice(stream, size.lines - 2)) if command else []
        if command and len(screen) == size.lines - 2:
            _page(command, chain(screen, stream))
        else:
            _send(chain(screen, stream), sys.stdout.buffer)
        return lines.rows, lines.cut


def _unwritable(path: str) -> int:
    """The number of the error that writing a file would give, 0 for none; the file is left as it is."""
    if os.path.isdir(path):
        return errno.EISDIR
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return errno.ENOENT
    return 0 if os.access(path if os.path.exists(path) else folder, os.W_OK) else errno.EACCES


def pager_command() -> list[str] | None:
    """The pager to use (`SQLML_PAGER`, `PAGER`, or less), or None."""
    words = shlex.split(os.environ.get("SQLML_PAGER") or os.environ.get("PAGER") or "less")
    if not words or shutil.which(words[0]) is None:
        return None
    if words == ["less"]:
        words = ["less", "-R", "-S", "-X", "-F"]
    return words


def _send(lines: Iterator[str], out: BinaryIO) -> None:
    for line in lines:
        out.write(line.encode("utf-8", "replace") + b"\n")
    out.flush()


def _page(command: list[str], lines: Iterator[str]) -> None:
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            for line in lines:
                process.stdin.write(line.encode("utf-8", "replace") + b"\n")
                process.stdin.flush()
        except BrokenPipeError:  # the user has seen enough
            raise ReaderGone from None
        finally:
            try:
                process.stdin.close()
            except BrokenPipeError:
                process.stdin = None


def silence_stdout() -> None:
    """After a broken pipe: nothing more is written, and the interpreter's last flush stays quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
