"""What a benchmark is, and how its sides are measured.

A side has three steps: `setup` (imports, connections: not timed), `run` (timed; its memory is the
process's peak), `quality` (numbers that show that the work was done: not timed). Every repetition
of every side runs in its own process, and the sides take turns, so that a slow minute of the
machine hits both. Only the standard library is imported here: `import sqlml` itself is measured.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

MARK = "benchmark-result "
LIBRARIES = (
    "sqlml",
    "duckdb",
    "numpy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "xgboost",
    "torch",
    "statsmodels",
)


@dataclass(frozen=True, slots=True)
class Task:
    """What one process is to do: how many rows, and the folder that holds the generated data."""

    rows: int
    folder: pathlib.Path


@dataclass(frozen=True, slots=True)
class Side:
    """One contestant. `rows` overrides the benchmark's row count; without the module `needs` it is left out."""

    name: str
    setup: Callable[[Task], Any]
    run: Callable[[Any], Any]
    quality: Callable[[Any, Any], dict[str, float]] = lambda state, result: {}
    rows: int | None = None
    needs: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must be reached: `measure` gets the medians by side name."""

    text: str
    measure: Callable[[dict[str, Median]], float]
    holds: Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A name, the data it needs, its sides, and what they must reach."""

    title: str
    rows: int
    sides: Callable[[int], Sequence[Side]]
    prepare: Callable[[Task], None] = lambda task: None
    targets: Sequence[Target] = ()
    repeat: int = 3


@dataclass(frozen=True, slots=True)
class Median:
    """Medians of one side over its repetitions. Memory in megabytes (10^6 bytes)."""

    side: str
    rows: int
    seconds: float
    peak_mb: float
    grown_mb: float
    quality: dict[str, float] = field(default_factory=dict)
    all_seconds: tuple[float, ...] = ()


def peak_mb() -> float:
    """Highest resident memory of this process so far."""
    try:
        with open("/proc/self/status", encoding="ascii") as handle:
            for line in handle:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def measure_here(side: Side, task: Task) -> dict[str, Any]:
    """Run one repetition of a side in this process."""
    state = side.setup(task)
    before = peak_mb()
    start = time.perf_counter()
    result = side.run(state)
    seconds = time.perf_counter() - start
    after = peak_mb()
    quality = {name: float(value) for name, value in side.quality(state, result).items()}
    return {"seconds": seconds, "peak_mb": after, "grown_mb": after - before, "quality": quality}


def measure_in_child(name: str, side: Side, task: Task) -> dict[str, Any]:
    """Run one repetition of a side in a fresh process."""
    command = [
        *(sys.executable, "-m", "benchmarks.run", name, "--rows", str(task.rows)),
        *("--folder", str(task.folder), "--child", side.name),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise SystemExit(f"{name}: side {side.name!r} failed (exit code {done.returncode})\n{done.stderr[-4000:]}")
    return dict(json.loads(lines[-1].removeprefix(MARK)))


def median_of(side: Side, rows: int, measured: Sequence[dict[str, Any]]) -> Median:
    """Medians over repetitions, number by number."""

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    keys = measured[0]["quality"]
    return Median(
        side=side.name,
        rows=rows,
        seconds=middle([m["seconds"] for m in measured]),
        peak_mb=middle([m["peak_mb"] for m in measured]),
        grown_mb=middle([m["grown_mb"] for m in measured]),
        quality={key: middle([m["quality"][key] for m in measured]) for key in keys},
        all_seconds=tuple(m["seconds"] for m in measured),
    )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    model = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            model = next((line.split(":", 1)[1].strip() for line in handle if line.startswith("model name")), model)
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "processor": model,
        "memory_gb": round(memory, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that take part."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
