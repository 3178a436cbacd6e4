"""Series fitted in parallel: chunks go to worker processes and come back as packed records, in order.

A worker is this module run as a program; it speaks frames of plain arrays over its standard streams, so that
neither the caller's main module nor its threads take part. Results do not depend on the number of workers.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from sqlml.errors import TrainingError
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
        joined, done = forecasts.Joined(), 0
        for chunk in stream:
            joined.add(fit_chunk(chunk, settings))
            done += len(chunk)
            if report is not None:
                report(done)
        return joined.record()
    return _Pool(settings, count).run(stream, report)


def _chain(first: list[Chunk], rest: Iterator[Chunk]) -> Iterator[Chunk]:
    yield from first
    yield from rest


class _Pool:
    """Worker processes for one call, each served by a thread of this process.

    The source is read in the calling thread only: it may hold locks, such as that of a database connection.
    """

    def __init__(self, settings: series.Settings, count: int):
        self._header = _dump_settings(settings)
        self._count = count
        self._waiting: queue.Queue[tuple[int, Chunk] | None] = queue.Queue(maxsize=2 * count)
        self._finished: queue.Queue[tuple[int, int, forecasts.Forecasts | Exception]] = queue.Queue()

    def run(self, source: Iterator[Chunk], report: Report | None) -> forecasts.Forecasts:
        processes = [self._start() for _ in range(self._count)]
        threads = [threading.Thread(target=self._serve, args=(p,), daemon=True) for p in processes]
        for thread in threads:
            thread.start()
        results = _Ordered()
        given, done = 0, 0
        try:
            for chunk in source:
                while not self._offer((given, chunk)):
                    done += self._collect(results, report, done, wait=True)
                given += 1
                while not self._finished.empty():
                    done += self._collect(results, report, done, wait=False)
            while results.taken < given:
                done += self._collect(results, report, done, wait=True)
        finally:
            for process in processes:
                process.kill()
            for _ in threads:
                self._waiting_end()
            for thread in threads:
                thread.join()
            for process in processes:
                process.wait()
                for stream in (process.stdin, process.stdout):
                    # What a killed worker did not read is still in the buffer, and closing tries to write it.
                    with contextlib.suppress(OSError):
                        cast(BinaryIO, stream).close()
        return results.joined.record()

    def _offer(self, item: tuple[int, Chunk]) -> bool:
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            return False
        return True

    def _collect(self, results: _Ordered, report: Report | None, done: int, *, wait: bool) -> int:
        """Take one finished chunk; its number of series. With `wait`, none may come for half a second."""
        try:
            number, count, result = self._finished.get(timeout=0.5) if wait else self._finished.get_nowait()
        except queue.Empty:
            count = 0
        else:
            if isinstance(result, Exception):
                raise result
            results.take(number, result)
        if report is not None:
            report(done + count)  # also while nothing comes: it is how the work is stopped
        return count

    def _waiting_end(self) -> None:
        """Tell a thread to end, whatever still waits."""
        while True:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._waiting.get_nowait()
            else:
                return

    def _start(self) -> subprocess.Popen[bytes]:
        environment = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
        home = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, "-m", "sqlml.kernels.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def _serve(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        header: bytes | None = self._header
        while (item := self._waiting.get()) is not None:
            number, chunk = item
            result: forecasts.Forecasts | Exception
            try:
                if header is not None:
                    _write(process.stdin, header)
                    header = None
                _write(process.stdin, _dump(asdict_arrays(chunk)))
                result = forecasts.Forecasts(**_load(_read(process.stdout)))
            except (OSError, EOFError, ValueError) as error:
                result = TrainingError(
                    f"a worker process ended before it answered: {error}.",
                    hint="it was killed, as a rule because memory ran out; free some and run the statement again.",
                )
            self._finished.put((number, len(chunk), result))
            if isinstance(result, Exception):
                return


class _Ordered:
    """Results of chunks, joined in the order of the chunks as soon as those before them are there."""

    def __init__(self) -> None:
        self.joined = forecasts.Joined()
        self.taken = 0
        self._early: dict[int, forecasts.Forecasts] = {}
        self._next = 0

    def take(self, number: int, result: forecasts.Forecasts) -> None:
        self.taken += 1
        self._early[number] = result
        while (part := self._early.pop(self._next, None)) is not None:
            self.joined.add(part)
            self._next += 1


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
    size = int.from_bytes(head, "little")
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError("half an answer")
    return data


def main(source: BinaryIO, target: BinaryIO) -> None:
    """The loop of a worker: settings, then chunks until the stream ends."""
    settings = _load_settings(_read(source))
    while True:
        try:
            data = _read(source)
        except EOFError:
            return
        answer = _dump(asdict_arrays(fit_chunk(Chunk(**_load(data)), settings)))
        try:
            _write(target, answer)
        except BrokenPipeError:  # the caller was killed meanwhile: nobody listens, and nobody is told
            os._exit(0)  # closing the stream would try to write again


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
