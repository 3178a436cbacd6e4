"""GoogleSQL's procedural language: scripts with variables, branches, loops, handlers and procedures.

`parse` reads a text into frozen nodes (every statement with its place), `Interpreter` runs them
over a `Host`, which knows how to run one statement and how to fetch the rows of a query. Nothing
here knows DuckDB or models, so CREATE MODEL in a loop is a statement like any other.
"""

from sqlml.script.interpret import Host, Interpreter, Piece, Procedure, Rows
from sqlml.script.parse import is_script, parse

__all__ = ["Host", "Interpreter", "Piece", "Procedure", "Rows", "is_script", "parse"]
