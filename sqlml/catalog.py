"""Trained models <-> rows of the user's database, schema `sqlml`.

Records are stored field by field: a JSON document, and raw arrays with a hash. What is read back is built
from the type hints of classes that this package names itself; nothing in a file is executed, imported
or unpickled. Saving is one transaction: the old model stays until the new one is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import json
import time
import types
import typing
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from sqlml.arrays import LARGE, ROW, Damaged, Incoming, Outgoing, pieces, raw, take
from sqlml.database import Database
from sqlml.errors import Error, FormatError, InternalError, NameError, OperationalError, Span, did_you_mean
from sqlml.models import MODELS
from sqlml.models.base import Trained
from sqlml.models.tuning import Trial
from sqlml.progress import Iteration
from sqlml.schema import quote_name, quote_path
from sqlml.transform import Transform

#: Version of what is written. A model of a higher version is refused, lower ones are read.
FORMAT = 1

#: Arrays and pieces that are read at a time.
_BATCH = 2048

#: Models past their EXPIRATION_TIMESTAMP are gone for every reader.
_ALIVE = "coalesce((settings ->> '$.expiration_timestamp')::TIMESTAMPTZ > now(), TRUE)"

_TABLES = {
    "meta": "format BIGINT, counter BIGINT",
    "models": (
        "dataset VARCHAR, name VARCHAR, uid VARCHAR, format BIGINT, model_type VARCHAR, created TIMESTAMPTZ,"
        " modified TIMESTAMPTZ, document VARCHAR, settings VARCHAR"
    ),
    "arrays": "uid VARCHAR, key VARCHAR, dtype VARCHAR, shape BIGINT[], data BLOB, sha256 VARCHAR",
    "iterations": (
        "uid VARCHAR, training_run BIGINT, iteration BIGINT, loss DOUBLE, eval_loss DOUBLE, learning_rate DOUBLE,"
        " duration_ms BIGINT, extra VARCHAR"
    ),
    "trials": "uid VARCHAR, trial_id BIGINT, document VARCHAR",
    "versions": "uid VARCHAR, package VARCHAR, version VARCHAR",
    "views": "dataset VARCHAR, name VARCHAR, text VARCHAR, created TIMESTAMPTZ",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A line of SHOW MODELS."""

    dataset: str
    name: str
    uid: str
    model_type: str
    created: datetime.datetime
    modified: datetime.datetime
    settings: Mapping[str, Any]


class Catalog:
    """The models of one attached database."""

    def __init__(self, database: Database, catalog: str):
        self.database = database
        self.catalog = catalog
        self._cache: dict[str, Trained] = {}
        self._there: set[str] = set()

    def table(self, name: str) -> str:
        """Quoted path of one of our tables."""
        return quote_path([self.catalog, "sqlml", name])

    def exists(self) -> bool:
        """Whether a model was ever saved here."""
        return self.has("models")

    def has(self, table: str) -> bool:
        """Whether one of our tables is there."""
        if table in self._there:
            return True
        found = self.database.has_table(self.catalog, "sqlml", table)
        if found and not self.database.inside:  # a rollback may take it away again
            self._there.add(table)
        return found

    # ------------------------------------------------------------ reading

    def entries(self, dataset: str | None = None) -> list[Entry]:
        """All models, by name."""
        if not self.exists():
            return []
        rows = self.database.execute(
            f"SELECT dataset, name, uid, model_type, created, modified, settings FROM {self.table('models')}"
            f" WHERE (? IS NULL OR lower(dataset) = lower(?)) AND {_ALIVE} ORDER BY dataset, name",
            [dataset, dataset],
        )
        return [Entry(a, b, c, d, e, f, json.loads(g or "{}")) for a, b, c, d, e, f, g in rows]

    def find(self, dataset: str, name: str) -> str | None:
        """The uid of a model, or None."""
        if not self.exists():
            return None
        rows = self.database.execute(
            f"SELECT uid FROM {self.table('models')} WHERE lower(dataset) = lower(?) AND lower(name) = lower(?)"
            f" AND {_ALIVE} ORDER BY modified DESC LIMIT 1",
            [dataset, name],
        )
        return rows[0][0] if rows else None

    def load(self, dataset: str, name: str, span: Span | None = None) -> Trained:
        """A model. Raises `NameError` with the nearest name, or `FormatError`."""
        uid = self.find(dataset, name)
        if uid is None:
            known = [f"{e.dataset}.{e.name}" for e in self.entries()]
            hint = did_you_mean(f"{dataset}.{name}", known) or ("SHOW MODELS lists the models." if known else None)
            raise NameError(f"the model {dataset}.{name} does not exist.", span=span, hint=hint)
        if uid not in self._cache:
            self._cache[uid] = self._read(uid)
        return self._cache[uid]

    def _read(self, uid: str) -> Trained:
        path = self.table("models")
        rows = self.database.execute(
            f"SELECT format, dataset, name, model_type, document FROM {path} WHERE uid = ?", [uid]
        )
        form, dataset, name, kind, document = rows[0]
        if not isinstance(form, int) or form > FORMAT or form < 1:
            text = f"the model {dataset}.{name} has format {form}; this version reads formats 1 to {FORMAT}."
            raise FormatError(text, hint="install the version of sqlml that wrote it, or a newer one.")
        if kind not in MODELS:
            raise FormatError(f"the model {dataset}.{name} is of the type {kind}, which this version does not know.")
        arrays = self._arrays(uid, f"{dataset}.{name}")
        try:
            found = json.loads(document)
            found.update(dataset=dataset, name=name, uid=uid, model=kind)
            return self._trained(found, kind, arrays, uid)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"the model {dataset}.{name} is damaged: {error}.") from None

    def _trained(self, found: dict[str, Any], kind: str, arrays: Mapping[str, Any], uid: str) -> Trained:
        model = MODELS[kind]
        special: dict[str, Any] = {
            "options": model.options,
            "state": model.state,
            "transform": Transform | None,
        }
        hints = _hints(Trained)
        values: dict[str, Any] = {}
        for field in dataclasses.fields(Trained):
            if field.name == "iterations":
                values["iterations"] = self._iterations(uid)
            elif field.name == "trials":
                values["trials"] = tuple(_trial(model, t, arrays) for t in found.get("trials", ()))
            elif field.name in found:
                values[field.name] = decode(special.get(field.name, hints[field.name]), found[field.name], arrays)
        return Trained(**values)

    def _arrays(self, uid: str, owner: str) -> dict[str, Any]:
        """The arrays of a model. A batch is checked and copied to its place while the next one is read."""
        select = f"SELECT key, dtype, shape, data, sha256 FROM {self.table('arrays')} WHERE uid = ?"
        stream = self.database.stream(select, [uid], _BATCH)
        assert stream is not None
        arrays: dict[str, Incoming] = {}
        last: Future[None] | None = None
        try:
            with ThreadPoolExecutor(1) as pool:
                while (batch := stream.next()) is not None:
                    if last is not None:
                        last.result()
                    last = pool.submit(take, batch, arrays)
                if last is not None:
                    last.result()
            return {key: array.value() for key, array in arrays.items()}
        except Damaged as error:
            raise FormatError(f"the model {owner} is damaged: {error}.") from None
        finally:
            stream.close()

    def _iterations(self, uid: str) -> tuple[Iteration, ...]:
        rows = self.database.execute(
            "SELECT iteration, loss, eval_loss, learning_rate, duration_ms, training_run, extra"
            f" FROM {self.table('iterations')} WHERE uid = ? ORDER BY training_run, iteration",
            [uid],
        )
        return tuple(Iteration(a, b, c, d, e, f, json.loads(g or "{}")) for a, b, c, d, e, f, g in rows)

    # ------------------------------------------------------------ writing

    def save(self, trained: Trained, settings: Mapping[str, Any]) -> None:
        """Store a model in place of the one of the same name, in one transaction.

        Arrays are let go as they are written: where the caller keeps no reference to the model, memory does not
        hold them twice.
        """
        new = _rows_of(trained)
        del trained
        for attempt in range(12):
            try:
                with self.database.transaction():
                    self._write(new, settings)
                return
            except OperationalError as error:
                last = self.database.in_transaction or new.begun or attempt == 11
                if "onflict" not in error.message or last:
                    raise
                time.sleep(0.01 * 2 ** min(attempt, 6))

    def _write(self, new: _Rows, settings: Mapping[str, Any]) -> None:
        self._prepare()
        self._delete(new.dataset, new.name)
        now = datetime.datetime.now(datetime.UTC)
        self.database.execute(
            f"INSERT INTO {self.table('models')} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(new.dataset, new.name, new.uid, FORMAT, new.model, new.created, now),
                *(new.document, json.dumps(dict(settings))),
            ],
        )
        if new.iterations:
            self.database.insert(self.table("iterations"), new.iterations)
        self.database.insert(self.table("versions"), new.versions)
        self._write_arrays(new)

    def _write_arrays(self, new: _Rows) -> None:
        """Small arrays as rows, large ones as a stream of pieces: as parameters they would be copied several times."""
        insert = f"INSERT INTO {self.table('arrays')}"
        for array in new.small:
            row = [new.uid, array.key, array.dtype, array.shape, bytes(array.data), array.digest]
            self.database.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?)", row)
        if not new.large:
            return
        new.begun = True
        name = f"__sqlml_{uuid.uuid4().hex}"
        listed = ", ".join(ROW.names)
        self.database.register(name, pa.RecordBatchReader.from_batches(ROW, pieces(new.large)))
        try:
            self.database.execute(f"{insert} SELECT ?, {listed} FROM {quote_name(name)}", [new.uid])
        except BaseException:
            with contextlib.suppress(Error):  # in a transaction that failed nothing works, and its end forgets the name
                self.database.unregister(name)
            raise
        self.database.unregister(name)

    def _prepare(self) -> None:
        if self.database.read_only:
            raise OperationalError("the database is read-only.", hint="open it without read_only=True.")
        if not self.exists():
            self.database.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_path([self.catalog, 'sqlml'])}")
            for name, columns in _TABLES.items():
                self.database.execute(f"CREATE TABLE IF NOT EXISTS {self.table(name)} ({columns})")
            self.database.execute(f"INSERT INTO {self.table('meta')} VALUES ({FORMAT}, 0)")
        # Two writers must not both believe that a name is free: they conflict on this row.
        self.database.execute(f"UPDATE {self.table('meta')} SET counter = counter + 1")

    def _delete(self, dataset: str, name: str) -> bool:
        models = self.table("models")
        where = "lower(dataset) = lower(?) AND lower(name) = lower(?)"
        rows = self.database.execute(f"SELECT uid FROM {models} WHERE {where}", [dataset, name])
        for (uid,) in rows:
            for table in ("arrays", "iterations", "trials", "versions"):
                self.database.execute(f"DELETE FROM {self.table(table)} WHERE uid = ?", [uid])
            self._cache.pop(uid, None)
        self.database.execute(f"DELETE FROM {models} WHERE {where}", [dataset, name])
        return bool(rows)

    def drop(self, dataset: str, name: str) -> None:
        """Forget a model."""
        with self.database.transaction():
            self._prepare()
            self._delete(dataset, name)

    def alter(self, dataset: str, name: str, settings: Mapping[str, Any]) -> None:
        """Replace the settings of a model (description, labels, expiration)."""
        with self.database.transaction():
            self._prepare()
            self.database.execute(
                f"UPDATE {self.table('models')} SET settings = ?, modified = ?"
                " WHERE lower(dataset) = lower(?) AND lower(name) = lower(?)",
                [json.dumps(dict(settings)), datetime.datetime.now(datetime.UTC), dataset, name],
            )

    def touch(self, dataset: str, name: str) -> None:
        """Refresh the time of the last modification (CREATE MODEL IF NOT EXISTS does)."""
        entry = next(e for e in self.entries(dataset) if e.name.casefold() == name.casefold())
        self.alter(dataset, name, entry.settings)

    # ------------------------------------------------------------ views over ML functions

    def view(self, dataset: str, name: str) -> str | None:
        """The text of a view that uses ML functions, or None."""
        if not self.has("views"):
            return None
        rows = self.database.execute(
            f"SELECT text FROM {self.table('views')} WHERE lower(dataset) = lower(?) AND lower(name) = lower(?)",
            [dataset, name],
        )
        return rows[0][0] if rows else None

    def save_view(self, dataset: str, name: str, text: str) -> None:
        """Store a view in place of the one of the same name."""
        with self.database.transaction():
            self._prepare()
            self._delete_view(dataset, name)
            row = [dataset, name, text, datetime.datetime.now(datetime.UTC)]
            self.database.execute(f"INSERT INTO {self.table('views')} VALUES (?, ?, ?, ?)", row)

    def drop_view(self, dataset: str, name: str) -> None:
        """Forget a view."""
        with self.database.transaction():
            self._prepare()
            self._delete_view(dataset, name)

    def _delete_view(self, dataset: str, name: str) -> None:
        where = "lower(dataset) = lower(?) AND lower(name) = lower(?)"
        self.database.execute(f"DELETE FROM {self.table('views')} WHERE {where}", [dataset, name])


@dataclasses.dataclass(slots=True)
class _Rows:
    """What is stored of a model.

    Args:
        small, large: its arrays; the large ones are taken out as they are written.
        begun: some were, so that it cannot be written again.
    """

    dataset: str
    name: str
    uid: str
    model: str
    created: datetime.datetime
    document: str
    iterations: list[tuple[object, ...]]
    versions: list[tuple[object, ...]]
    small: list[Outgoing]
    large: deque[Outgoing]
    begun: bool = False


def _rows_of(trained: Trained) -> _Rows:
    arrays: dict[str, Any] = {}
    skipped = {"dataset", "name", "uid", "model", "iterations"}
    document = {
        f.name: encode(getattr(trained, f.name), arrays, f.name, _hints(Trained)[f.name])
        for f in dataclasses.fields(Trained)
        if f.name not in skipped
    }
    uid = trained.uid
    iterations: list[tuple[object, ...]] = [
        (uid, i.training_run, i.iteration, i.loss, i.eval_loss, i.learning_rate, i.duration_ms, json.dumps(i.extra))
        for i in trained.iterations
    ]
    rows = _Rows(
        trained.dataset,
        trained.name,
        uid,
        trained.model,
        trained.created,
        json.dumps(document),
        iterations,
        [(uid, k, v) for k, v in trained.versions.items()],
        [],
        deque(),
    )
    for key, value in arrays.items():
        data, dtype, shape = raw(value)
        (rows.small if len(data) < LARGE else rows.large).append(Outgoing(key, dtype, shape, data))
    return rows


# ---------------------------------------------------------------- records <-> JSON and arrays


def encode(value: Any, arrays: dict[str, Any], path: str, hint: Any = Any) -> Any:
    """A record as JSON values; arrays and bytes are put into `arrays` under their path."""
    if isinstance(value, (np.ndarray, bytes)):
        arrays[path] = value
        return {"$array": path}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        found = {
            f.name: encode(getattr(value, f.name), arrays, f"{path}.{f.name}", hints[f.name])
            for f in dataclasses.fields(value)
        }
        return {"$type": type(value).__name__, **found}
    if isinstance(value, Mapping):
        return {"$map": [[k, encode(v, arrays, f"{path}.{k}")] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [encode(v, arrays, f"{path}.{i}") for i, v in enumerate(value)]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return {"$time": value.isoformat()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise InternalError(f"{path}: a value of type {type(value).__name__} cannot be stored")


def decode(hint: Any, value: Any, arrays: Mapping[str, Any]) -> Any:
    """The value that `encode` wrote, of the type `hint`. Raises ValueError or KeyError when it does not fit."""
    if isinstance(value, dict):
        if "$array" in value:
            return arrays[value["$array"]]
        if "$time" in value:
            return datetime.datetime.fromisoformat(value["$time"])
        if "$map" in value:
            inner = _arguments(hint, Mapping)
            return {k: decode(inner[1] if len(inner) == 2 else Any, v, arrays) for k, v in value["$map"]}
        return _decode_record(hint, value, arrays)
    if isinstance(value, list):
        inner = _arguments(hint, tuple)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(decode(inner[0], v, arrays) for v in value)
        if inner and len(inner) == len(value):
            return tuple(decode(h, v, arrays) for h, v in zip(inner, value, strict=True))
        return tuple(decode(Any, v, arrays) for v in value)
    return value


def _trial(model: Any, item: Mapping[str, Any], arrays: Mapping[str, Any]) -> Trial:
    """A trial; its options and state are those of the model type."""
    hints = {**_hints(Trial), "options": model.options, "state": model.state}
    return Trial(**{k: decode(hint, item[k], arrays) for k, hint in hints.items() if k in item})


@functools.cache
def _hints(record: type) -> Mapping[str, Any]:
    """Types of the fields of a record; asking `typing` anew for every value costs more than reading a model."""
    return typing.get_type_hints(record)


def _alternatives(hint: Any) -> Sequence[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [a for part in typing.get_args(hint) for a in _alternatives(part)]
    return [hint]


def _arguments(hint: Any, kind: Any) -> tuple[Any, ...]:
    for part in _alternatives(hint):
        origin = typing.get_origin(part)
        if isinstance(origin, type) and (issubclass(origin, kind) or (kind is tuple and origin is list)):
            return typing.get_args(part)
    return ()


def _decode_record(hint: Any, value: dict[str, Any], arrays: Mapping[str, Any]) -> Any:
    for part in _alternatives(hint):
        if isinstance(part, type) and dataclasses.is_dataclass(part) and part.__name__ == value.get("$type"):
            hints = _hints(part)
            owner = value.get(getattr(part, "typed_by", ""))
            if owner is not None:  # options and state of another model type
                hints = {**hints, "options": MODELS[owner].options, "state": MODELS[owner].state}
            known = {f.name for f in dataclasses.fields(part)}
            given = {k: decode(hints[k], v, arrays) for k, v in value.items() if k in known}
            return part(**given)
    raise ValueError(f"{value.get('$type')} was not expected here")
