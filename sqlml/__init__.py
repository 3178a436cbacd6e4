"""sqlml: BigQuery ML on your own machine, over DuckDB tables.

    import sqlml
    con = sqlml.connect("shop.duckdb")
    con.execute("CREATE MODEL d.m OPTIONS(model_type='LINEAR_REG', input_label_cols=['y']) AS SELECT * FROM d.t")
    con.execute("SELECT * FROM ML.EVALUATE(MODEL d.m)").df()

Life of a statement. `connection` takes the text; `grammar` reads it into nodes with their places and cuts
the ML calls out of queries; `plan` finds models, binds options, translates GoogleSQL (`translate`) and checks
every name before any work; `train` fits a model through `relation` (sums and batches computed by DuckDB)
and `catalog` keeps it in the same file; `functions` turn ML calls into SQL or small tables; `execute` gives DuckDB one
statement and streams the rows back. Errors travel the other way, with the place in the user's text.
"""

from __future__ import annotations

import datetime as _datetime
from typing import TYPE_CHECKING, Any

from sqlml.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)

if TYPE_CHECKING:
    from sqlml.connection import BINARY, DATETIME, NUMBER, ROWID, STRING, Connection, Cursor, connect
    from sqlml.plan.mounts import mount

__version__ = "0.1.0"

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"

Date = _datetime.date
Time = _datetime.time
Timestamp = _datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> _datetime.date:
    """A date from seconds since the epoch (PEP 249)."""
    return _datetime.datetime.fromtimestamp(ticks).date()


def TimeFromTicks(ticks: float) -> _datetime.time:
    """A time of day from seconds since the epoch (PEP 249)."""
    return _datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> _datetime.datetime:
    """A timestamp from seconds since the epoch (PEP 249)."""
    return _datetime.datetime.fromtimestamp(ticks)


_LAZY = ("BINARY", "DATETIME", "NUMBER", "ROWID", "STRING", "Connection", "Cursor", "connect")


def __getattr__(name: str) -> Any:
    if name == "mount":
        from sqlml.plan.mounts import mount

        return mount
    if name in _LAZY:
        from sqlml import connection

        return getattr(connection, name)
    raise AttributeError(f"module 'sqlml' has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext sqlml`."""
    from sqlml import magic

    magic.load_ipython_extension(ipython)


__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "mount",
    "paramstyle",
    "threadsafety",
]
