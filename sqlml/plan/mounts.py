"""Tables that lie elsewhere: mounted files and objects, wildcard tables, the caller's data frames.

A mount gives a BigQuery path to a Parquet, CSV or JSON file (DuckDB reads it where it lies), to another
table, or to an Arrow, pandas or polars object. `SHARED` holds the mounts of all connections of the process;
the public tables that tutorials use are among them.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlml.errors import InterfaceError, NameError, OperationalError, Span
from sqlml.kernels import holidays
from sqlml.kernels.regions import REGIONS
from sqlml.schema import quote_literal, quote_path, same_name

if TYPE_CHECKING:
    import pyarrow as pa

    from sqlml.plan.session import Session

DATA = pathlib.Path(__file__).parents[1] / "data"
_READERS = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
_PACKED = (".gz", ".zst")
#: Libraries whose tables DuckDB reads, and the names of their classes.
_OBJECTS = {
    "pandas": ("DataFrame",),
    "polars": ("DataFrame", "LazyFrame"),
    "pyarrow": ("Table", "RecordBatch", "RecordBatchReader", "FileSystemDataset", "InMemoryDataset", "UnionDataset"),
}
#: First and last year of the table of built-in holidays.
HOLIDAY_YEARS = (1990, 2050)
_MEASURES = ("culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g")


class _Shipped:
    """A file of the package, with the types of its numbers."""

    def __init__(self, file: str, numbers: tuple[str, ...]):
        types = ", ".join(f"{quote_literal(n)}: 'DOUBLE'" for n in numbers)
        path = quote_literal(str(DATA / file))
        self.sql = f"(SELECT * FROM read_csv({path}, header = true, types = {{{types}}}))"


class _Made:
    """A table of the package that is computed when it is first read."""

    def __init__(self, make: Callable[[], pa.Table]):
        self.table = functools.cache(make)


def _holidays() -> pa.Table:
    """The built-in holidays of all regions, as the service's public table has them."""
    import pyarrow as pa

    days = holidays.builtin(sorted(REGIONS - {"CS"}), *HOLIDAY_YEARS, grouped=True)
    return pa.table(
        {
            "region": pa.array(days.region, pa.string()),
            "holiday_name": pa.array(days.name, pa.string()),
            "primary_date": pa.array(days.day, pa.int64()).cast(pa.int32()).cast(pa.date32()),
            "preholiday_days": pa.array(days.before, pa.int64()),
            "postholiday_days": pa.array(days.after, pa.int64()),
        }
    )


#: The mounts of every connection: path -> file, table name or object.
SHARED: dict[str, Any] = {
    "bigquery-public-data.ml_datasets.holidays_and_events_for_forecasting": _Made(_holidays),
    "bigquery-public-data.ml_datasets.penguins": _Shipped("penguins.csv", _MEASURES),
    "bigquery-public-data.ml_datasets.iris": _Shipped(
        "iris.csv", ("sepal_length", "sepal_width", "petal_length", "petal_width")
    ),
}


def mount(path: str, source: Any) -> None:
    """Let a BigQuery path stand for a file, a table or an object, in every connection of this process.

    Args:
        path: such as "project.dataset.table"; it may end in * when the file name has a * too.
        source: a Parquet, CSV or JSON file (its name may hold *), the name of a DuckDB table, or an
            Arrow, pandas or polars table.

    Raises:
        InterfaceError: a path or source that cannot be used. OperationalError: no such file.
    """
    name = checked_path(path)
    SHARED[name] = checked_source(source)


def checked_path(path: str) -> str:
    """A path without backticks. Raises `InterfaceError`."""
    text = path.replace("`", "").strip()
    if not 1 <= len(text.split(".")) <= 3 or not all(text.split(".")):
        raise InterfaceError(f"the path of a mount must be project.dataset.table. Got {path!r}.")
    return text


def checked_source(source: Any) -> Any:
    """A source that can be read. Raises `InterfaceError` or `OperationalError`."""
    if isinstance(source, (_Shipped, _Made)) or is_table_object(source):
        return source
    if not isinstance(source, str | pathlib.Path):
        kind = type(source).__name__
        raise InterfaceError(f"a mount must be a file, a table name, or an Arrow, pandas or polars table. Got {kind}.")
    if isinstance(source, pathlib.Path) or _reader(str(source)):
        text = str(source)
        if _reader(text) is None:
            raise InterfaceError(f"a mounted file must be Parquet, CSV or JSON. Got {text}.")
        remote = "://" in text
        if not remote and "*" not in text and not pathlib.Path(text).is_file():
            raise OperationalError(f"the file {text} must exist.")
    return source


def is_table_object(value: Any) -> bool:
    """Whether DuckDB can read a Python object as a table."""
    kind = type(value)
    return kind.__name__ in _OBJECTS.get(kind.__module__.split(".")[0], ())


def _reader(text: str) -> str | None:
    path = pathlib.PurePath(text)
    suffix = path.suffix.lower()
    if suffix in _PACKED:
        suffix = pathlib.PurePath(path.stem).suffix.lower()
    return _READERS.get(suffix)


def _mounts(session: Session) -> Iterator[tuple[str, Any]]:
    yield from session.mounts.items()
    yield from SHARED.items()


def mounted(session: Session, parts: list[str]) -> str | None:
    """The FROM item of a mounted path, or None."""
    wanted = ".".join(parts)
    source = next((s for path, s in _mounts(session) if same_name(path, wanted)), None)
    return None if source is None else reading(session, source)


def reading(session: Session, source: Any) -> str:
    """SQL that reads a source."""
    if isinstance(source, _Shipped):
        return source.sql
    if isinstance(source, _Made):
        source = source.table()
    if not isinstance(source, str | pathlib.Path):
        return f"(SELECT * FROM {session.borrow(source)})"
    reader = _reader(str(source))
    if reader is None:
        return f"(SELECT * FROM {quote_path(str(source).replace(chr(34), '').split('.'))})"
    return f"(SELECT * FROM {reader}({quote_literal(str(source))}))"


def wildcard(session: Session, parts: list[str], span: Span | None) -> str:
    """The union of all tables whose names begin like `prefix_*`, with their rest as _TABLE_SUFFIX."""
    prefix = ".".join(parts).removesuffix("*")
    found = [*_mounted_family(session, prefix), *_stored_family(session, parts)]
    if not found:
        raise NameError(f"{'.'.join(parts)} must match a table. It matches none.", span=span)
    return f"({' UNION ALL BY NAME '.join(found)})"


def _mounted_family(session: Session, prefix: str) -> list[str]:
    items = []
    for path, source in _mounts(session):
        if path.casefold() == f"{prefix}*".casefold():
            items.append(_globbed(str(source)))
        elif path.casefold().startswith(prefix.casefold()) and not path.endswith("*"):
            items.append(_member(path[len(prefix) :], reading(session, source)))
    return items


def _member(suffix: str, source: str) -> str:
    return f"SELECT *, {quote_literal(suffix)} AS _TABLE_SUFFIX FROM {source}"


def _globbed(text: str) -> str:
    """Files of a pattern; what stands for the * is the suffix."""
    before, _, after = pathlib.PurePath(text).name.partition("*")
    start, length = len(before) + 1, len(before) + len(after)
    name = "parse_filename(filename)"
    suffix = f"substr({name}, {start}, length({name}) - {length})"
    return (
        f"SELECT * EXCLUDE (filename), {suffix} AS _TABLE_SUFFIX"
        f" FROM {_reader(text)}({quote_literal(text)}, filename = true)"
    )


def _stored_family(session: Session, parts: list[str]) -> list[str]:
    here, schema = session.current()
    dataset = parts[-2] if len(parts) > 1 else schema
    catalog = next((a for a in session.attached() if len(parts) == 3 and same_name(a, parts[0])), here)
    stem = parts[-1].removesuffix("*")
    items = []
    for owner, place, name in sorted(session.database.tables()):
        if same_name(owner, catalog) and same_name(place, dataset) and name.casefold().startswith(stem.casefold()):
            items.append(_member(name[len(stem) :], quote_path([owner, place, name])))
    return items


def of_caller(session: Session, name: str) -> str | None:
    """The FROM item of a data frame or Arrow table in the caller's scope, unless a table has the name."""
    value = session.scope.get(name) if session.scope is not None else None
    if value is None or not is_table_object(value):
        return None
    if session.database.exists(None, name) or session.database.exists("main", name, "temp"):
        return None
    return f"(SELECT * FROM {session.borrow(value)})"


class Scope(Mapping[str, Any]):
    """The variables that a caller sees, local ones first."""

    def __init__(self, inner: Mapping[str, Any], outer: Mapping[str, Any]):
        self._levels = (inner, outer)

    def __getitem__(self, name: str) -> Any:
        for level in self._levels:
            if name in level:
                return level[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._levels[1], **self._levels[0]})

    def __len__(self) -> int:
        return len({**self._levels[1], **self._levels[0]})
