"""Series fitted in parallel: chunks go to worker processes and come back as packed records, in order.

A worker is this module run as a program; it speaks frames of plain arrays over its standard streams, so that
neither the
caller's main module nor its threads take part. Results do not depend on the number of workers.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sqlml.kernels import forecasts, holidays, series
from sqlml.kernels.types import F64, I64

#: Called with the number of series done so far; what it raises ends the work.
Report = Callable[[int], object]
# Starting a worker costs as much as fitting this many points.
WORTH_A_WORKER = 40_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some series, packed.

    Attributes:
        times: microseconds, ascending within a series, shape (n,).
        values: nan where missing, shape (n,).
        offsets: first row of each series, shape (s + 1,).
    """

    times: I64
    values: F64
    offsets: I64

    def __len__(self) -> int:
        return len(self.offsets) - 1


def fit_chunk(chunk: Chunk, settings: series.Settings) -> forecasts.Forecasts:
    """Fit every series of a chunk; a series that fails leaves its reason."""
    fits: list[series.Fitted | str] = []
    for i in range(len(chunk)):
        rows = slice(int(chunk.offsets[i]), int(chunk.offsets[i + 1]))
        try:
            fits.append(series.fit(chunk.times[rows], chunk.values[rows], settings))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            fits.append(str(error) or type(error).__name__)
    return forecasts.pack(fits, settings.horizon)


def fit_all(
    chunks: Iterable[Chunk],
    settings: series.Settings,
    *,
    workers: int | None = None,
    report: Report | None = None,
) -> forecasts.Forecasts:
    """Fit a stream of chunks.

    Args:
        workers: processes; None for one per core, 0 to stay in this process. Little work stays here anyway.
        report: called after every chunk, in this thread; an exception from it stops the workers.
    """
    source = iter(chunks)
    first: list[Chunk] = []
    size = 0
    for chunk in source:
        first.append(chunk)
        size += len(chunk.values)
        if size > WORTH_A_WORKER and len(first) > 1:
            break
    stream = _chain(first, source)
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 1 or sys.executable is None or size <= WORTH_A_WORKER or len(first) < 2:
        parts, done = [], 0
        for chunk in stream:
            parts.append(fit_chunk(chunk, settings))
            done += len(chunk)
            if report is not None:
                report(done)
        return forecasts.concatenate(parts)
    return _Pool(settings, count).run(stream, report)


def _chain(first: list[Chunk], rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield from first
    yield from rest


class _Pool:
    """Worker processes for one call, each fed by a thread of this process."""

    def __init__(self, settings: series.Settings, count: int):
        self._header = _dump_settings(settings)
        self._count = count
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._results: dict[int, forecasts.Forecasts] = {}
        self._done = 0
        self._idle = 0
        self._failure: BaseException | None = None
        self._next = 0

    def run(self, source: Iterator[Chunk], report: Report | None) -> forecasts.Forecasts:
        processes = [self._start() for _ in range(self._count)]
        threads = [threading.Thread(target=self._feed, args=(p, source), daemon=True) for p in processes]
        for thread in threads:
            thread.start()
        told = 0
        try:
            while True:
                with self._changed:
                    if self._done == told and self._idle < self._count:
                        self._changed.wait(0.5)
                    done, over, failure = self._done, self._idle == self._count, self._failure
                if failure is not None:
                    raise failure
                if report is not None and done > told:
                    report(done)
                told = done
                if over and done == self._done:
                    break
        finally:
            for process in processes:
                process.kill()
            for thread in threads:
                thread.join()
            for process in processes:
                process.wait()
                for stream in (process.stdin, process.stdout):
                    if stream is not None:
                        stream.close()
        return forecasts.concatenate([self._results.pop(i) for i in sorted(self._results)])

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        home = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "sqlml.kernels.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdin is not None
        _write(process.stdin, self._header)
        return process

    def _feed(self, process: subprocess.Popen[bytes], source: Iterator[Chunk]) -> None:
        assert process.stdin is not None and process.stdout is not None
        try:
            while True:
                with self._lock:
                    chunk = None if self._failure else next(source, None)
                    number, self._next = self._next, self._next + 1
                if chunk is None:
                    break
                _write(process.stdin, _dump(asdict_arrays(chunk)))
                result = forecasts.Forecasts(**_load(_read(process.stdout)))
                with self._changed:
                    self._results[number] = result
                    self._done += len(chunk)
                    self._changed.notify_all()
        except (OSError, EOFError, ValueError) as error:
            self._failure = self._failure or RuntimeError(f"a worker process ended: {error}")
        except Exception as error:  # noqa: BLE001 - whatever the source of chunks raised is raised again by run()
            self._failure = self._failure or error
        finally:
            with self._changed:
                self._idle += 1
                self._changed.notify_all()


def asdict_arrays(record: Any) -> dict[str, Any]:
    """The fields of a flat record."""
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _dump(values: dict[str, Any]) -> bytes:
    """Arrays as npz; tuples of strings as one JSON array of bytes."""
    buffer = io.BytesIO()
    arrays = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            value = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
            name = f"{name}:text"
        arrays[name] = value
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _load(data: bytes) -> dict[str, Any]:
    out: dict[str, Any] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        for name in arrays.files:
            if name.endswith(":text"):
                out[name.removesuffix(":text")] = tuple(json.loads(arrays[name].tobytes().decode()))
            else:
                out[name] = arrays[name]
    return out


def _dump_settings(settings: series.Settings) -> bytes:
    plain = asdict(settings)
    days = plain.pop("calendar")
    return _dump({"settings": (json.dumps(plain),), **{f"calendar_{k}": v for k, v in days.items()}})


def _load_settings(data: bytes) -> series.Settings:
    found = _load(data)
    plain = json.loads(found.pop("settings")[0])
    days = holidays.Calendar(**{k.removeprefix("calendar_"): v for k, v in found.items()})
    for name in ("order", "seasonalities"):
        plain[name] = None if plain[name] is None else tuple(plain[name])
    return series.Settings(**plain, calendar=days)


def _write(stream: Any, data: bytes) -> None:
    stream.write(len(data).to_bytes(8, "little"))
    stream.write(data)
    stream.flush()


def _read(stream: Any) -> bytes:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError("no answer")
    data: bytes = stream.read(int.from_bytes(head, "little"))
    return data


def main(source: BinaryIO, target: BinaryIO) -> None:
    """The loop of a worker: settings, then chunks until the stream ends."""
    settings = _load_settings(_read(source))
    while True:
        try:
            data = _read(source)
        except EOFError:
            return
        _write(target, _dump(asdict_arrays(fit_chunk(Chunk(**_load(data)), settings))))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
