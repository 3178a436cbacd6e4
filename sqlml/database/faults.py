"""DuckDB's errors as sqlml's own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from sqlml import errors
from sqlml.guards import bare_sentence, guard_error
from sqlml.kernels.threads import during_query
from sqlml.schema import parse_type

_CLASSES: tuple[tuple[type[duckdb.Error], type[errors.DatabaseError]], ...] = (
    (duckdb.ParserException, errors.ParseError),
    (duckdb.CatalogException, errors.NameError),
    (duckdb.BinderException, errors.ProgrammingError),
    (duckdb.NotImplementedException, errors.NotSupportedError),
    (duckdb.ConstraintException, errors.IntegrityError),
    (duckdb.InterruptException, errors.Cancelled),
    (duckdb.IOException, errors.OperationalError),
    (duckdb.OutOfMemoryException, errors.OperationalError),
    (duckdb.TransactionException, errors.OperationalError),
    (duckdb.InternalException, errors.InternalError),
    (duckdb.ConversionException, errors.DataError),
    (duckdb.OutOfRangeException, errors.DataError),
    (duckdb.InvalidInputException, errors.ProgrammingError),
    (duckdb.DataError, errors.DataError),
    (duckdb.ProgrammingError, errors.ProgrammingError),
    (duckdb.OperationalError, errors.OperationalError),
    (duckdb.IntegrityError, errors.IntegrityError),
    (duckdb.NotSupportedError, errors.NotSupportedError),
)

_INNER_TYPE = re.compile(
    r"(?<= to )(?:INT8|INT16|INT32|DOUBLE|FLOAT|VARCHAR|BOOLEAN|TIMESTAMP WITH TIME ZONE|TIMESTAMP)\b"
)
_SIZES = {"INT8": "TINYINT", "INT16": "SMALLINT", "INT32": "INTEGER"}


#: Ctrl-C while DuckDB runs a function of ours, or reads a stream of ours.
_BY_HAND = re.compile(r"Python exception\b.*\bKeyboardInterrupt\b", re.DOTALL)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise sqlml's errors for DuckDB's."""
    try:
        with during_query():
            yield
    except (duckdb.Error, pa.ArrowException) as error:  # a stream reports DuckDB's errors as Arrow's
        if _BY_HAND.search(str(error)):
            raise KeyboardInterrupt from None
        if isinstance(error, duckdb.Error):
            raise from_duckdb(error) from None
        if not isinstance(error, pa.ArrowInvalid):
            raise
        raise guard_error(str(error)) or errors.DataError(bare_sentence(str(error))) from None
    except RuntimeError as error:  # DuckDB's word for Ctrl-C
        if str(error) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None
    except OSError as error:
        if "Interrupted!" in str(error):  # a stream's word for an interrupt
            raise errors.Cancelled("the statement was cancelled.") from None
        if _BY_HAND.search(str(error)):
            raise KeyboardInterrupt from None
        raise errors.OperationalError(bare_sentence(str(error))) from None


def from_duckdb(error: duckdb.Error) -> errors.DatabaseError:
    """DuckDB's error as one of ours, without the rewritten SQL that it quotes."""
    guarded = guard_error(str(error))
    if guarded is not None:
        return guarded
    text = bare_sentence(str(error)).replace("'not a whole number: ", "'")
    if text.startswith("Could not convert"):
        text = _INNER_TYPE.sub(lambda m: parse_type(_SIZES.get(m[0], m[0])).google, text)
    if "lock" in text and "Conflicting" in text:
        hint = "close the other program, or have both open the file read-only."
        return errors.OperationalError("the database file is locked by another process.", hint=hint)
    if "read-only" in text and "Cannot" in text:
        return errors.OperationalError("the database is read-only.", hint="open it without read_only=True.")
    for kind, ours in _CLASSES:
        if isinstance(error, kind):
            if ours is errors.Cancelled:
                return errors.Cancelled("the statement was cancelled.")
            return ours(text)
    return errors.DatabaseError(text)
